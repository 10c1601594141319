/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files without tags after a crash (spec 9.8): parts of sectors that were never written are zeros on disk and read as
 * zeros as long as the volume has its marker. Before that goes, they are written as such. And where content reached the
 * disk and the length that it brought did not, there is something behind the end: that becomes zeros, or it would come
 * up after a crash in which the length does.
 *
 * Only files that changed since the marker was made can have any. One write is within one block, and changes nothing
 * but how the block is encrypted, so it may come to its end or not.
 */
#include "core/fsck-file.h"

#include <string.h>
#include <unistd.h>

#define CLOCK_SLACK_S 3600 /* a backing filesystem elsewhere may have another clock */

/* Has it parts that were never written, but is not a hole? */
static bool is_torn(const struct xtsfs_fsck_file *file, const uint8_t *cipher, size_t bytes)
{
	bool sparse = file->state.header.flags & XTSFS_FILE_SPARSE;

	for (size_t at = 0; at < bytes; at += 16)
		if (xtsfs_is_zero(cipher + at, 16))
			return !(sparse && xtsfs_is_zero(cipher, bytes));
	return false;
}

static int mend_sector(struct xtsfs_fsck_file *file, uint64_t sector_no, uint8_t *cipher, size_t bytes)
{
	int r;

	if (!file->fsck->options.repair)
		return 0;
	r = file->write_error;
	if (r == 0)
		r = xtsfs_sector_decrypt(&file->io, sector_no, cipher, cipher, bytes);
	if (r == 0)
		r = xtsfs_sector_crypt(&file->io, XTSFS_ENCRYPT, sector_no, cipher, cipher, bytes);
	if (r == 0)
		r = xtsfs_store_pwrite(file->fsck->store, file->io.handle, cipher, bytes,
				       xtsfs_sector_cipher_off(XTSFS_LAYOUT_PLAIN, sector_no));
	if (r == 0)
		file->written = true;
	return r;
}

/* The next sector from @sector_no on that is not in a hole of the backing file. */
static uint64_t skip_hole(struct xtsfs_fsck_file *file, uint64_t sector_no)
{
	struct xtsfs_store *store = file->fsck->store;
	int64_t at;

	if (!(file->state.header.flags & XTSFS_FILE_SPARSE))
		return sector_no;
	at = store->ops->seek(store, file->io.handle, xtsfs_sector_cipher_off(XTSFS_LAYOUT_PLAIN, sector_no),
			      SEEK_DATA);
	if (at == -ENXIO)
		return UINT64_MAX;
	return at < 0 ? sector_no : (uint64_t)at / XTSFS_BLOCK_BYTES - 1;
}

/* Makes what is behind the content of the last sector zeros. Nobody has ever seen it, so there is no finding. */
static int smooth_tail(struct xtsfs_fsck_file *file, struct xtsfs_scratch *scratch)
{
	uint64_t sector_no = file->state.plain_bytes / XTSFS_BLOCK_BYTES;
	uint32_t used = (uint32_t)(file->state.plain_bytes % XTSFS_BLOCK_BYTES), padded = xtsfs_pad16(used);
	uint32_t stored = xtsfs_tail_cipher_bytes(used);
	uint64_t offset = xtsfs_sector_cipher_off(XTSFS_LAYOUT_PLAIN, sector_no);
	uint8_t *cipher = scratch->sectors;
	ssize_t n;
	bool hole;
	int r;

	if (used == 0)
		return 0;
	n = xtsfs_store_pread(file->fsck->store, file->io.handle, cipher, stored, offset);
	if (n < 0)
		return (int)n;
	memset(cipher + n, 0, stored - (size_t)n);
	hole = xtsfs_sector_verify(&file->io, sector_no, used, cipher, NULL) == XTSFS_IS_HOLE;
	r = hole ? 0 : xtsfs_sector_decrypt(&file->io, sector_no, cipher, cipher, padded);
	if (r < 0 || xtsfs_is_zero(cipher + used, stored - used))
		return r;
	memset(cipher + used, 0, stored - used);
	r = hole ? 0 : xtsfs_sector_crypt(&file->io, XTSFS_ENCRYPT, sector_no, cipher, cipher, padded);
	if (r == 0)
		r = file->write_error;
	if (r == 0)
		r = xtsfs_store_pwrite(file->fsck->store, file->io.handle, cipher, stored, offset);
	if (r == 0)
		file->written = true;
	return r;
}

void xtsfs_fsck_mend_torn(struct xtsfs_fsck_file *file)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t sectors = xtsfs_sector_count(file->state.plain_bytes), torn = 0;
	int r = scratch ? 0 : -ENOMEM, error = 0;

	if (!file->fsck->volume->unclean || file->st.st_ctim.tv_sec < file->fsck->volume->marker_s - CLOCK_SLACK_S)
		return;
	for (uint64_t s = 0; r == 0 && (s = skip_hole(file, s)) < sectors && !xtsfs_fsck_stopped(file->fsck);) {
		uint64_t count = sectors - s < XTSFS_GROUP_SECTORS ? sectors - s : XTSFS_GROUP_SECTORS;
		size_t bytes = (size_t)count * XTSFS_BLOCK_BYTES;
		ssize_t n = xtsfs_store_pread(file->fsck->store, file->io.handle, scratch->sectors, bytes,
					      xtsfs_sector_cipher_off(XTSFS_LAYOUT_PLAIN, s));

		if (n < 0) {
			r = (int)n;
			break;
		}
		xtsfs_fsck_count(&file->fsck->totals.checked_bytes, (uint64_t)n);
		memset(scratch->sectors + n, 0, bytes - (size_t)n);
		for (uint64_t i = 0; i < count; i++) {
			uint8_t *cipher = scratch->sectors + i * XTSFS_BLOCK_BYTES;
			size_t used = xtsfs_pad16(xtsfs_sector_plain_bytes(file->state.plain_bytes, s + i));
			int mended;

			if (!is_torn(file, cipher, used))
				continue;
			torn++;
			mended = mend_sector(file, s + i, cipher, used);
			error = mended < 0 ? mended : error;
		}
		s += count;
	}
	if (r == 0 && file->fsck->options.repair && !xtsfs_fsck_stopped(file->fsck))
		r = smooth_tail(file, scratch);
	if (r < 0)
		xtsfs_fsck_report_io(file->fsck, &file->place, r, "look for parts that were never written");
	if (torn)
		xtsfs_fsck_report(file->fsck, &file->place, XTSFS_FSCK_DEBRIS, "sector-torn",
				  xtsfs_fsck_outcome_of(file->fsck, error), error, "written as the zeros they read as",
				  "%llu sectors have parts that never reached the disk, the trace of a write that was "
				  "interrupted",
				  (unsigned long long)torn);
}
