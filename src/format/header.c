/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers, meta blocks, dirids: fields in and out, reserved bytes checked.
 *
 * A parser never trusts a length it has not compared with what is there, and says -EUCLEAN for anything that this
 * version would not have written. Whether the bytes are authentic is a question for the tag, which the caller checks;
 * the *_tag_parts() functions are the one place that says what a tag covers.
 */
#include "format/header.h"

#include "base/secret.h"
#include "format/span.h"

static struct iovec part(const void *data, size_t bytes)
{
	/* iovec has no const; the MAC only reads. */
	return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
}

struct xtsfs_growing xtsfs_growing_get(const struct xtsfs_disk_block *block)
{
	struct xtsfs_growing growing = {.from = xtsfs_le64_get(block->file.growing.from)};

	memcpy(growing.tag, block->file.growing.tag, sizeof(growing.tag));
	return growing;
}

void xtsfs_growing_set(struct xtsfs_disk_block *block, const struct xtsfs_growing *growing)
{
	memset(&block->file.growing, 0, sizeof(block->file.growing));
	if (!growing)
		return;
	block->file.growing.from = xtsfs_le64_of(growing->from);
	memcpy(block->file.growing.tag, growing->tag, sizeof(growing->tag));
}

/* It is of a sector of the group that was the last, and not a whole one. */
static bool growing_is_valid(const struct xtsfs_disk_block *block, uint64_t group_no)
{
	const struct xtsfs_disk_growing *growing = &block->file.growing;
	uint64_t from = xtsfs_le64_get(growing->from);

	if (from == 0)
		return xtsfs_is_zero(growing->tag, sizeof(growing->tag));
	return from <= XTSFS_PLAIN_MAX && from % XTSFS_BLOCK_BYTES != 0 &&
	       xtsfs_sector_group(from / XTSFS_BLOCK_BYTES) == group_no;
}

void xtsfs_header_pack(const struct xtsfs_header *header, struct xtsfs_disk_block *ret_block)
{
	struct xtsfs_disk_header *disk = &ret_block->file;
	struct xtsfs_disk_growing growing = disk->growing;

	memset(disk, 0, sizeof(*disk));
	disk->growing = growing;
	memcpy(disk->magic, XTSFS_MAGIC_FILE, sizeof(disk->magic));
	disk->version = xtsfs_le32_of(XTSFS_FORMAT_VERSION);
	disk->flags = xtsfs_le32_of(header->flags);
	memcpy(disk->file_id, header->file_id, XTSFS_ID_BYTES);
	disk->plain_bytes = xtsfs_le64_of(header->plain_bytes);
	memcpy(disk->dirid_hint, header->dirid_hint, XTSFS_ID_BYTES);
	disk->renewed = xtsfs_le64_of(header->renewed);
}

int xtsfs_header_parse(const struct xtsfs_disk_block *block, size_t cipher_bytes, struct xtsfs_header *ret_header)
{
	const struct xtsfs_disk_header *disk = &block->file;
	struct xtsfs_header header = {0};

	if (cipher_bytes < XTSFS_HEADER_BYTES || memcmp(disk->magic, XTSFS_MAGIC_FILE, sizeof(disk->magic)) != 0)
		return -XTSFS_EDAMAGED;
	header.flags = xtsfs_le32_get(disk->flags);
	header.plain_bytes = xtsfs_le64_get(disk->plain_bytes);
	header.renewed = xtsfs_le64_get(disk->renewed);
	if (xtsfs_le32_get(disk->version) != XTSFS_FORMAT_VERSION || (header.flags & ~(uint32_t)XTSFS_FILE_FLAGS))
		return -XTSFS_EFEATURE;
	if (!xtsfs_is_zero(disk->zero, sizeof(disk->zero)) || !growing_is_valid(block, 0) ||
	    ((header.flags & XTSFS_FILE_INLINE) &&
	     (!xtsfs_is_zero(&disk->growing, sizeof(disk->growing)) || header.renewed)))
		return -XTSFS_EDAMAGED;
	if (header.flags & XTSFS_FILE_INLINE) {
		if (!(header.flags & XTSFS_FILE_CLEAN) || (header.flags & XTSFS_FILE_SPARSE) ||
		    header.plain_bytes == 0 || header.plain_bytes > XTSFS_INLINE_MAX ||
		    cipher_bytes < XTSFS_HEADER_BYTES + xtsfs_pad16((uint32_t)header.plain_bytes))
			return -XTSFS_EDAMAGED;
	} else {
		if (cipher_bytes < XTSFS_BLOCK_BYTES || header.plain_bytes > XTSFS_PLAIN_MAX ||
		    (!(header.flags & XTSFS_FILE_CLEAN) && header.plain_bytes != 0))
			return -XTSFS_EDAMAGED;
	}
	memcpy(header.file_id, disk->file_id, XTSFS_ID_BYTES);
	memcpy(header.dirid_hint, disk->dirid_hint, XTSFS_ID_BYTES);
	*ret_header = header;
	return 0;
}

unsigned xtsfs_header_tag_parts(const struct xtsfs_disk_block *block, struct iovec ret_parts[3])
{
	size_t rest = XTSFS_BLOCK_BYTES - XTSFS_HEADER_BYTES;

	if (xtsfs_le32_get(block->file.flags) & XTSFS_FILE_INLINE) {
		uint64_t plain_bytes = xtsfs_le64_get(block->file.plain_bytes);

		if (plain_bytes <= XTSFS_INLINE_MAX)
			rest = xtsfs_pad16((uint32_t)plain_bytes);
	}
	ret_parts[0] = part(XTSFS_LABEL_BLOCK0, XTSFS_LABEL_BYTES);
	ret_parts[1] = part(block, offsetof(struct xtsfs_disk_header, tag));
	ret_parts[2] = part(block->inline_cipher, rest);
	return 3;
}

void xtsfs_meta_pack(uint64_t group_no, const uint8_t file_id[XTSFS_ID_BYTES], struct xtsfs_disk_block *ret_block)
{
	struct xtsfs_disk_meta_header *disk = &ret_block->meta;
	struct xtsfs_disk_growing growing = disk->growing;

	memset(disk, 0, sizeof(*disk));
	disk->growing = growing;
	memcpy(disk->magic, XTSFS_MAGIC_META, sizeof(disk->magic));
	disk->group_no = xtsfs_le64_of(group_no);
	memcpy(disk->file_id, file_id, XTSFS_ID_BYTES);
}

int xtsfs_meta_check(const struct xtsfs_disk_block *block, uint64_t group_no, const uint8_t file_id[XTSFS_ID_BYTES])
{
	const struct xtsfs_disk_meta_header *disk = &block->meta;

	if (memcmp(disk->magic, XTSFS_MAGIC_META, sizeof(disk->magic)) != 0 ||
	    xtsfs_le64_get(disk->group_no) != group_no || memcmp(disk->file_id, file_id, XTSFS_ID_BYTES) != 0 ||
	    !xtsfs_is_zero(disk->zero, sizeof(disk->zero)) ||
	    !xtsfs_is_zero(disk->more_zero, sizeof(disk->more_zero)) || !growing_is_valid(block, group_no))
		return -XTSFS_EDAMAGED;
	return 0;
}

unsigned xtsfs_meta_tag_parts(const struct xtsfs_disk_block *block, struct iovec ret_parts[3])
{
	ret_parts[0] = part(XTSFS_LABEL_META, XTSFS_LABEL_BYTES);
	ret_parts[1] = part(block, offsetof(struct xtsfs_disk_meta_header, tag));
	ret_parts[2] = part(block->entry, sizeof(block->entry));
	return 3;
}

unsigned xtsfs_dirid_tag_parts(const struct xtsfs_disk_dirid *dirid, struct iovec ret_parts[2])
{
	ret_parts[0] = part(XTSFS_LABEL_DIRID, XTSFS_LABEL_BYTES);
	ret_parts[1] = part(dirid, offsetof(struct xtsfs_disk_dirid, tag));
	return 2;
}

unsigned xtsfs_unclean_tag_parts(const struct xtsfs_disk_unclean *unclean, struct iovec ret_parts[2])
{
	ret_parts[0] = part(XTSFS_LABEL_UNCLEAN, XTSFS_LABEL_BYTES);
	ret_parts[1] = part(unclean, offsetof(struct xtsfs_disk_unclean, tag));
	return 2;
}

unsigned xtsfs_redo_tag_parts(const struct xtsfs_disk_redo *redo, const uint8_t hash[static 32],
			      struct iovec ret_parts[3])
{
	ret_parts[0] = part(XTSFS_LABEL_REDO, XTSFS_LABEL_BYTES);
	ret_parts[1] = part(redo, offsetof(struct xtsfs_disk_redo, tag));
	ret_parts[2] = part(hash, 32);
	return 3;
}
