/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inline files (spec 9.4): header and content in one block, so that a small file is one write.
 *
 * The write of the block is the commit in every case: growing makes the file longer first, which the old header
 * ignores; shrinking, and coming back from sectors, write the block first and then cut what is behind it. What comes
 * second must not become durable before the first, so there is a flush in between.
 */
#include "core/file.h"

#include <string.h>

int xtsfs_inline_load(struct xtsfs_io *io, uint8_t *ret_plain)
{
	struct xtsfs_file *file = io->file;
	uint32_t plain_bytes = (uint32_t)file->header.plain_bytes, padded = xtsfs_pad16(plain_bytes);
	int r = xtsfs_sector_crypt(io, XTSFS_DECRYPT, XTSFS_INLINE_SECTOR, file->block0.inline_cipher, ret_plain,
				   padded);

	if (r < 0)
		return r;
	memset(ret_plain + plain_bytes, 0, xtsfs_pad16(XTSFS_INLINE_MAX) - plain_bytes);
	return 0;
}

int xtsfs_inline_store(struct xtsfs_io *io, uint8_t *plain, uint32_t plain_bytes)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	uint64_t cipher_bytes = xtsfs_inline_cipher_bytes(plain_bytes);
	struct xtsfs_header header = file->header;
	struct xtsfs_disk_block block;
	bool shorter;
	int r;

	shorter = file->has_block0 && (file->trim || !xtsfs_file_is_inline(file) || plain_bytes < file->plain_bytes);
	memset(&block, 0, sizeof(block));
	memset(plain + plain_bytes, 0, xtsfs_pad16(plain_bytes) - plain_bytes);
	r = xtsfs_sector_crypt(io, XTSFS_ENCRYPT, XTSFS_INLINE_SECTOR, plain, block.inline_cipher,
			       xtsfs_pad16(plain_bytes));
	if (r < 0)
		return r;
	header.flags = XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN;
	header.plain_bytes = plain_bytes;
	header.renewed = 0; /* all of it is under the keys of block 0 */
	xtsfs_header_pack(&header, &block);
	r = xtsfs_block0_tag(xtsfs_group_keys(io, 0), &block, block.file.tag);
	/* Inline content at a new length is read only if all of it is there. */
	if (r == 0 && xtsfs_file_is_inline(file) && plain_bytes > file->plain_bytes) {
		r = store->ops->truncate(store, io->handle, cipher_bytes);
		if (r == 0)
			r = xtsfs_file_flush(io);
	}
	if (r == 0)
		r = xtsfs_store_pwrite(store, io->handle, &block, cipher_bytes, 0);
	if (r < 0 && xtsfs_file_is_inline(file)) {
		file->trim = true; /* it may be longer already */
		xtsfs_file_set_changed(file, true);
		return r;
	}
	if (r < 0) {
		/* Whether it failed before it changed anything is not known: a file in sectors gets its header back. */
		if (file->has_block0 && xtsfs_file_store_block0(io) < 0) {
			file->loaded = false; /* what is on disk decides */
			xtsfs_file_set_unsure(file, true);
			xtsfs_file_set_changed(file, true);
		}
		return r;
	}
	file->header = header;
	file->block0 = block;
	file->has_block0 = true;
	file->plain_bytes = plain_bytes;
	pthread_mutex_lock(&file->dirty_mutex);
	xtsfs_groupset_clear(&file->dirty);
	pthread_mutex_unlock(&file->dirty_mutex);
	xtsfs_file_set_changed(file, false);
	/* The write was the commit. A cut that fails is tried again before the next change and after the last use. */
	if (shorter) {
		file->trim = xtsfs_file_flush(io) < 0 || store->ops->truncate(store, io->handle, cipher_bytes) < 0;
		xtsfs_file_set_changed(file, file->trim);
	}
	return 0;
}
