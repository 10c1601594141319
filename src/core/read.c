/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: the ciphertext of one group at a time into the thread's buffer, verdict on each sector, and decryption of
 * what is wanted straight into the caller's buffer. The stripe is held while meta block and sectors are read, so that
 * both are of one moment; checking and decrypting happen without it.
 *
 * A request with a bad sector fails as a whole: a short answer would be taken for the end of the file, and filled with
 * zeros.
 */
#include "core/file.h"

#include "core/fs.h"

#include <string.h>

/* Fetch ciphertext of sectors [first, first + count) of one group and its meta block. */
static int fetch(struct xtsfs_io *io, struct xtsfs_scratch *scratch, uint64_t first, uint64_t count)
{
	uint64_t group_no = xtsfs_sector_group(first);
	size_t bytes = (size_t)count * XTSFS_BLOCK_BYTES;
	ssize_t n;

	xtsfs_guard_shared(xtsfs_stripe(io, group_no));
	if (xtsfs_has_tags(io)) {
		int r = xtsfs_meta_load(io, group_no, &scratch->meta);

		if (r < 0)
			return r;
	}
	n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, bytes,
			      xtsfs_sector_cipher_off(io->volume->layout, first));
	if (n < 0)
		return (int)n;
	memset(scratch->sectors + n, 0, bytes - (size_t)n);
	xtsfs_waiting_overlay(io->file, first, count, scratch->sectors);
	return 0;
}

/* Decrypt sectors [first, first + count), all data, that are at @cipher, copying plain bytes [from, to) of the file to
 * @ret_data. @plain_bytes: of content in each; more than one sector has all. */
static int emit(struct xtsfs_io *io, uint64_t first, uint64_t count, uint8_t *cipher, uint32_t plain_bytes,
		uint64_t from, uint64_t to, uint8_t *ret_data)
{
	uint64_t start = first * XTSFS_BLOCK_BYTES, end = (first + count) * XTSFS_BLOCK_BYTES;
	int r;

	if (from <= start && end <= to && plain_bytes == XTSFS_BLOCK_BYTES)
		return xtsfs_sector_decrypt(io, first, cipher, ret_data + (start - from), end - start);
	/* One sector of which a part is wanted, or not all is content, or the last one. */
	r = xtsfs_sector_decrypt(io, first, cipher, cipher, xtsfs_pad16(plain_bytes));
	if (r < 0)
		return r;
	memset(cipher + plain_bytes, 0, XTSFS_BLOCK_BYTES - plain_bytes);
	if (from < start)
		memcpy(ret_data + (start - from), cipher, (size_t)((to < end ? to : end) - start));
	else
		memcpy(ret_data, cipher + (from - start), (size_t)((to < end ? to : end) - from));
	return 0;
}

static int read_group(struct xtsfs_io *io, uint8_t *ret_data, uint64_t from, uint64_t to)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t first = from / XTSFS_BLOCK_BYTES, count = (to - 1) / XTSFS_BLOCK_BYTES - first + 1, run = 0;
	int r;

	if (!scratch)
		return -ENOMEM;
	r = fetch(io, scratch, first, count);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i <= count; i++) {
		uint64_t sector_no = first + i, start = sector_no * XTSFS_BLOCK_BYTES;
		bool whole = i < count && start >= from && start + XTSFS_BLOCK_BYTES <= to, wanted = i < count;
		uint32_t plain_bytes = 0;
		int verdict = XTSFS_IS_NOW;

		if (wanted) {
			plain_bytes = xtsfs_sector_plain_bytes(io->file->plain_bytes, sector_no);
			verdict = xtsfs_sector_verify(io, sector_no, plain_bytes,
						      scratch->sectors + i * XTSFS_BLOCK_BYTES,
						      xtsfs_has_tags(io) ? &scratch->meta : NULL);
			if (verdict < 0)
				return verdict;
			plain_bytes = xtsfs_verdict_bytes(verdict, &scratch->meta, plain_bytes);
			whole &= plain_bytes == XTSFS_BLOCK_BYTES;
			if (verdict == XTSFS_IS_BAD && !io->volume->salvage) {
				xtsfs_sector_report(io, sector_no);
				return -EIO;
			}
		}
		/* A run of whole data sectors goes to the engine at once. */
		if (run && !whole) {
			r = emit(io, sector_no - run, run, scratch->sectors + (i - run) * XTSFS_BLOCK_BYTES,
				 XTSFS_BLOCK_BYTES, from, to, ret_data);
			if (r < 0)
				return r;
			run = 0;
		}
		if (!wanted)
			break;
		if (plain_bytes == 0) { /* a hole */
			uint64_t a = start > from ? start : from;
			uint64_t b = start + XTSFS_BLOCK_BYTES < to ? start + XTSFS_BLOCK_BYTES : to;

			memset(ret_data + (a - from), 0, (size_t)(b - a));
		} else if (whole) {
			run++;
		} else {
			r = emit(io, sector_no, 1, scratch->sectors + i * XTSFS_BLOCK_BYTES, plain_bytes, from, to,
				 ret_data);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int read_inline(struct xtsfs_io *io, uint8_t *ret_data, size_t bytes, uint64_t offset)
{
	uint8_t plain[XTSFS_BLOCK_BYTES];
	int r = xtsfs_inline_load(io, plain);

	if (r == 0)
		memcpy(ret_data, plain + offset, bytes);
	explicit_bzero(plain, sizeof(plain));
	return r;
}

int xtsfs_read_locked(struct xtsfs_io *io, uint8_t *ret_data, size_t bytes, uint64_t offset)
{
	static const uint64_t group_bytes = (uint64_t)XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES;
	uint64_t end = offset + bytes;

	if (xtsfs_file_is_inline(io->file))
		return read_inline(io, ret_data, bytes, offset);
	for (uint64_t from = offset, to; from < end; from = to) {
		int r;

		to = (from / group_bytes + 1) * group_bytes;
		if (to > end)
			to = end;
		r = read_group(io, ret_data + (from - offset), from, to);
		if (r < 0)
			return r;
	}
	return 0;
}

ssize_t xtsfs_read(struct xtsfs_volume *volume, struct xtsfs_node *node, void *ret_data, size_t bytes, uint64_t offset)
{
	struct xtsfs_io io;
	ssize_t done = 0;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);

	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		uint64_t size = io.file->plain_bytes;

		if (offset < size && bytes > 0) {
			done = (ssize_t)(bytes < size - offset ? bytes : size - offset);
			r = xtsfs_read_locked(&io, ret_data, (size_t)done, offset);
			if (r < 0)
				memset(ret_data, 0, (size_t)done); /* some of it may be decrypted already */
		}
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r < 0 ? r : done;
}
