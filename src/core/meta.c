/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Meta blocks: loading with verification, sealing, storing (spec 9.1 and 9.6). Group 0's entries are in block 0, which
 * a file in use has in memory.
 */
#include "core/file.h"

#include <string.h>

int xtsfs_block0_tag(const struct xtsfs_keys *keys, const struct xtsfs_disk_block *block,
		     uint8_t ret_tag[XTSFS_TAG_BYTES])
{
	struct iovec parts[3];

	return xtsfs_mac_tag(keys->meta, parts, xtsfs_header_tag_parts(block, parts), ret_tag);
}

int xtsfs_block0_verify(struct xtsfs_volume *volume, const struct xtsfs_disk_block *block, bool *ret_old)
{
	struct iovec parts[3];

	return xtsfs_keys_meta_verify(volume->keys, parts, xtsfs_header_tag_parts(block, parts), block->file.tag,
				      ret_old);
}

int xtsfs_meta_load(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *ret_block)
{
	struct xtsfs_file *file = io->file;
	const struct xtsfs_waiting_group *waits;
	uint8_t tag[XTSFS_TAG_BYTES];
	struct iovec parts[3];
	bool is_there;
	ssize_t n;
	int r;

	waits = xtsfs_waiting_find(file, group_no);
	if (waits || group_no == 0) {
		*ret_block = waits ? waits->meta : file->block0;
		return 0;
	}
	n = xtsfs_store_pread(io->volume->store, io->handle, ret_block, sizeof(*ret_block),
			      xtsfs_group_cipher_off(group_no));
	if (n < 0)
		return (int)n;
	/* Below the end a block is stored, or somebody has cut the file since it was loaded: that is no hole. */
	is_there = n == sizeof(*ret_block) || group_no * XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES >= file->plain_bytes;
	memset((uint8_t *)ret_block + n, 0, sizeof(*ret_block) - (size_t)n);
	if ((file->header.flags & XTSFS_FILE_SPARSE) && is_there && xtsfs_is_zero(ret_block, sizeof(*ret_block))) {
		xtsfs_meta_pack(group_no, file->header.file_id, ret_block);
		return 0;
	}
	r = xtsfs_mac_tag(xtsfs_group_keys(io, group_no)->meta, parts, xtsfs_meta_tag_parts(ret_block, parts), tag);
	if (r < 0)
		return r;
	if (xtsfs_meta_check(ret_block, group_no, file->header.file_id) < 0 ||
	    !xtsfs_equal_secret(tag, ret_block->meta.tag, sizeof(tag))) {
		xtsfs_auto_free char *path = xtsfs_node_describe(io->volume, file->node);

		if (io->volume->salvage)
			return 0;
		xtsfs_error("%s: the meta block of sectors %llu to %llu is not authentic, refusing to read them; "
			    "xtsfsctl fsck shows what can be done",
			    path ? path : "a file", (unsigned long long)(group_no * XTSFS_GROUP_SECTORS),
			    (unsigned long long)(group_no * XTSFS_GROUP_SECTORS + XTSFS_GROUP_SECTORS - 1));
		return -EIO;
	}
	return 0;
}

int xtsfs_meta_seal(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *block)
{
	struct iovec parts[3];

	if (group_no == 0) {
		xtsfs_header_pack(&io->file->header, block);
		return xtsfs_block0_tag(xtsfs_group_keys(io, 0), block, block->file.tag);
	}
	xtsfs_meta_pack(group_no, io->file->header.file_id, block);
	return xtsfs_mac_tag(xtsfs_group_keys(io, group_no)->meta, parts, xtsfs_meta_tag_parts(block, parts),
			     block->meta.tag);
}

int xtsfs_meta_store(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *block)
{
	int r = xtsfs_meta_seal(io, group_no, block);

	if (r < 0)
		return r;
	r = xtsfs_store_pwrite(io->volume->store, io->handle, block, sizeof(*block), xtsfs_group_cipher_off(group_no));
	if (r < 0)
		xtsfs_file_set_unsure(io->file, true);
	else if (group_no == 0)
		io->file->block0 = *block;
	return r;
}
