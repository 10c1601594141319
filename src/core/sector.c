/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sector: cipher, tag, verdict (spec 9.2 and 9.6); and the buffer in which a thread assembles a group.
 */
#include "core/file.h"

#include <stdlib.h>
#include <string.h>

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static int scratch_error;

static void scratch_free(void *scratch)
{
	explicit_bzero(scratch, sizeof(struct xtsfs_scratch)); /* it held plaintext */
	free(scratch);
}

static void scratch_init(void)
{
	scratch_error = pthread_key_create(&scratch_key, scratch_free);
}

struct xtsfs_scratch *xtsfs_scratch(void)
{
	void *scratch;

	pthread_once(&scratch_once, scratch_init);
	if (scratch_error)
		return NULL;
	scratch = pthread_getspecific(scratch_key);
	if (!scratch && posix_memalign(&scratch, XTSFS_BLOCK_BYTES, sizeof(struct xtsfs_scratch)) == 0) {
		memset(scratch, 0, sizeof(struct xtsfs_scratch));
		if (pthread_setspecific(scratch_key, scratch) != 0) {
			free(scratch);
			scratch = NULL;
		}
	}
	return scratch;
}

void xtsfs_scratch_wipe(void)
{
	void *scratch = NULL;

	pthread_once(&scratch_once, scratch_init);
	if (!scratch_error)
		scratch = pthread_getspecific(scratch_key);
	if (scratch)
		explicit_bzero(scratch, sizeof(struct xtsfs_scratch));
}

int xtsfs_sector_crypt(struct xtsfs_io *io, enum xtsfs_direction direction, uint64_t sector_no, const uint8_t *in,
		       uint8_t *out, size_t bytes)
{
	const uint8_t *id = io->file->header.file_id;
	struct xtsfs_keys *keys = xtsfs_sector_keys(io, sector_no);
	struct xtsfs_run run = {.in = in, .out = out, .bytes = bytes, .sector_bytes = XTSFS_BLOCK_BYTES};

	xtsfs_tweak_add(id, sector_no, run.first_tweak);
	return xtsfs_pool_crypt(keys->content[id[XTSFS_ID_BYTES - 1] & (keys->content_keys - 1)], direction, &run);
}

/* Without tags, after a crash: parts of a last sector that were never written (spec 9.8). */
static int decrypt_torn(struct xtsfs_io *io, uint64_t sector_no, const uint8_t *in, uint8_t *out, size_t bytes)
{
	bool absent[XTSFS_BLOCK_BYTES / 16];

	for (size_t at = 0; at < bytes; at += XTSFS_BLOCK_BYTES, sector_no++) {
		size_t some = bytes - at < XTSFS_BLOCK_BYTES ? bytes - at : XTSFS_BLOCK_BYTES;
		int r;

		for (size_t i = 0; i < some / 16; i++)
			absent[i] = xtsfs_is_zero(in + at + i * 16, 16);
		r = xtsfs_sector_crypt(io, XTSFS_DECRYPT, sector_no, in + at, out + at, some);
		if (r < 0)
			return r;
		for (size_t i = 0; i < some / 16; i++)
			if (absent[i])
				memset(out + at + i * 16, 0, 16);
	}
	return 0;
}

int xtsfs_sector_decrypt(struct xtsfs_io *io, uint64_t sector_no, const uint8_t *in, uint8_t *out, size_t bytes)
{
	if (!xtsfs_has_tags(io) && xtsfs_is_interrupted(io))
		return decrypt_torn(io, sector_no, in, out, bytes);
	return xtsfs_sector_crypt(io, XTSFS_DECRYPT, sector_no, in, out, bytes);
}

int xtsfs_sector_tag(struct xtsfs_io *io, uint64_t sector_no, uint32_t plain_bytes, const uint8_t *cipher,
		     uint8_t ret_tag[XTSFS_TAG_BYTES])
{
	struct {
		uint8_t id[XTSFS_ID_BYTES];
		struct xtsfs_le64 sector_no, plain_bytes;
	} prefix;
	struct iovec parts[2] = {
		{.iov_base = &prefix, .iov_len = sizeof(prefix)},
		{.iov_base = (uint8_t *)(uintptr_t)cipher, .iov_len = xtsfs_pad16(plain_bytes)},
	};

	memcpy(prefix.id, io->file->header.file_id, sizeof(prefix.id));
	prefix.sector_no = xtsfs_le64_of(sector_no);
	prefix.plain_bytes = xtsfs_le64_of(plain_bytes);
	return xtsfs_mac_tag(xtsfs_sector_keys(io, sector_no)->sector, parts, 2, ret_tag);
}

/* Spec 9.8, for a sector that is not good by itself. */
static int verify_interrupted(struct xtsfs_io *io, uint64_t sector_no, uint32_t plain_bytes, const uint8_t *cipher,
			      const struct xtsfs_disk_block *meta, const uint8_t *now_tag)
{
	const struct xtsfs_disk_entry *entry = &meta->entry[sector_no % XTSFS_GROUP_SECTORS];
	struct xtsfs_growing growing = xtsfs_growing_get(meta);
	uint32_t from = (uint32_t)(growing.from % XTSFS_BLOCK_BYTES);
	uint8_t tag[XTSFS_TAG_BYTES];
	int r;

	if (growing.from && growing.from / XTSFS_BLOCK_BYTES == sector_no) {
		if (plain_bytes == from && xtsfs_equal_secret(now_tag, growing.tag, sizeof(growing.tag)))
			return XTSFS_IS_BETWEEN;
		if (plain_bytes > from) {
			r = xtsfs_sector_tag(io, sector_no, from, cipher, tag);
			if (r < 0)
				return r;
			if (xtsfs_equal_secret(tag, entry->before, sizeof(tag)))
				return XTSFS_IS_SHORT;
			if (xtsfs_equal_secret(tag, entry->now, sizeof(tag)))
				return XTSFS_IS_CUT;
		}
	}
	return xtsfs_is_zero(entry->now, sizeof(entry->now)) || xtsfs_is_zero(entry->before, sizeof(entry->before))
		       ? XTSFS_IS_ABSENT
		       : XTSFS_IS_BAD;
}

int xtsfs_sector_verify(struct xtsfs_io *io, uint64_t sector_no, uint32_t plain_bytes, const uint8_t *cipher,
			const struct xtsfs_disk_block *meta)
{
	const struct xtsfs_disk_entry *entry = meta ? &meta->entry[sector_no % XTSFS_GROUP_SECTORS] : NULL;
	bool sparse = io->file->header.flags & XTSFS_FILE_SPARSE;
	uint8_t tag[XTSFS_TAG_BYTES];
	int r;

	if (!entry)
		return sparse && xtsfs_is_zero(cipher, xtsfs_pad16(plain_bytes)) ? XTSFS_IS_HOLE : XTSFS_IS_NOW;
	if (sparse &&
	    (xtsfs_is_zero(entry->now, sizeof(entry->now)) || xtsfs_is_zero(entry->before, sizeof(entry->before))) &&
	    xtsfs_is_zero(cipher, xtsfs_pad16(plain_bytes)))
		return XTSFS_IS_HOLE;
	r = xtsfs_sector_tag(io, sector_no, plain_bytes, cipher, tag);
	if (r < 0)
		return r;
	if (xtsfs_equal_secret(tag, entry->now, sizeof(tag)))
		return XTSFS_IS_NOW;
	if (xtsfs_equal_secret(tag, entry->before, sizeof(tag)))
		return XTSFS_IS_BEFORE;
	return xtsfs_is_interrupted(io) ? verify_interrupted(io, sector_no, plain_bytes, cipher, meta, tag)
					: XTSFS_IS_BAD;
}

void xtsfs_sector_settle(struct xtsfs_disk_block *meta, uint64_t sector_no, int verdict)
{
	struct xtsfs_disk_entry *entry = &meta->entry[sector_no % XTSFS_GROUP_SECTORS];

	if (verdict == XTSFS_IS_BEFORE || verdict == XTSFS_IS_SHORT)
		memcpy(entry->now, entry->before, sizeof(entry->now));
	else if (verdict == XTSFS_IS_HOLE || verdict == XTSFS_IS_ABSENT)
		memset(entry->now, 0, sizeof(entry->now));
	else if (verdict == XTSFS_IS_BETWEEN)
		memcpy(entry->now, meta->file.growing.tag, sizeof(entry->now));
}

void xtsfs_sector_report(struct xtsfs_io *io, uint64_t sector_no)
{
	xtsfs_auto_free char *path = xtsfs_node_describe(io->volume, io->file->node);

	xtsfs_error("%s: sector %llu (plain bytes from %llu) is not authentic, refusing to read it; xtsfsctl fsck "
		    "shows what can be done",
		    path ? path : "a file", (unsigned long long)sector_no,
		    (unsigned long long)sector_no * XTSFS_BLOCK_BYTES);
}
