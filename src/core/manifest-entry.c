/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a manifest says of one object (docs/manifest-format.md section 4).
 *
 * The content of a file stands for itself by the tags of its sectors: they are keyed, cover file id, place and length,
 * and change with every write, so 1/125 of the file is read and nothing decrypted. The tag here is a chain of MACs over
 * them. That the sectors fit their tags is what verify checks anyway. With integrity none there are no tags, and the
 * chain goes over the ciphertext.
 */
#include "core/file.h"
#include "core/manifest.h"

#include "crypto/kdf.h"

#include <stdlib.h>
#include <string.h>

#define LABEL_FILE "xtsfs mfile v1\0"
#define LABEL_LINK "xtsfs mlink v1\0"
#define LABEL_ATTR "xtsfs mattr v1\0"
static_assert(sizeof(LABEL_FILE) == XTSFS_LABEL_BYTES, "label");
static_assert(sizeof(LABEL_LINK) == XTSFS_LABEL_BYTES, "label");
static_assert(sizeof(LABEL_ATTR) == XTSFS_LABEL_BYTES, "label");
#define ATTR_MOST 65536U

static struct iovec part(const void *data, size_t bytes)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
}

/* A link of the chain: MAC(label ‖ what was before ‖ a ‖ b ‖ data). */
static int chain(struct xtsfs_volume *volume, uint64_t a, uint64_t b, const void *data, size_t bytes,
		 uint8_t tag[static XTSFS_TAG_BYTES])
{
	uint8_t before[XTSFS_TAG_BYTES], numbers[16];
	struct iovec parts[4];

	memcpy(before, tag, sizeof(before));
	xtsfs_store_le(numbers, 8, a);
	xtsfs_store_le(numbers + 8, 8, b);
	parts[0] = part(LABEL_FILE, XTSFS_LABEL_BYTES);
	parts[1] = part(before, sizeof(before));
	parts[2] = part(numbers, sizeof(numbers));
	parts[3] = part(data, bytes);
	return xtsfs_mac_tag(volume->keys->meta, parts, 4, tag);
}

static int chain_tags(struct xtsfs_io *io, uint64_t group_no, unsigned count, uint8_t *tag)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint8_t now[XTSFS_GROUP_SECTORS][XTSFS_TAG_BYTES];
	int r = scratch ? xtsfs_meta_load(io, group_no, &scratch->meta) : -ENOMEM;

	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++)
		memcpy(now[i], scratch->meta.entry[i].now, sizeof(now[i]));
	return chain(io->volume, group_no, count, now, count * sizeof(now[0]), tag);
}

/* Where the backing file has holes, for files of which most is one: what they read as is known without reading. */
struct holes {
	uint64_t data_off; /* from the last place asked for to here there is nothing but holes */
	bool hashed;
	uint8_t hash[32]; /* of a whole group of zeros */
};

/* Are the bytes from @cipher_off on, which must be the file's, a hole? Where the store cannot tell they are not. */
static bool is_hole(struct xtsfs_io *io, struct holes *holes, uint64_t cipher_off, size_t bytes)
{
	struct xtsfs_store *store = io->volume->store;

	if (holes->data_off < cipher_off + bytes) {
		int64_t at = store->ops->seek(store, io->handle, cipher_off, SEEK_DATA);

		holes->data_off = at >= 0 ? (uint64_t)at : at == -ENXIO ? UINT64_MAX : cipher_off;
	}
	return holes->data_off >= cipher_off + bytes;
}

static int chain_sectors(struct xtsfs_io *io, struct holes *holes, uint64_t group_no, unsigned count, uint8_t *tag)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	size_t bytes = (size_t)count * XTSFS_BLOCK_BYTES;
	uint64_t cipher_off = xtsfs_sector_cipher_off(io->volume->layout, group_no * XTSFS_GROUP_SECTORS);
	uint8_t hash[32];
	ssize_t n;
	int r = 0;

	if (!scratch)
		return -ENOMEM;
	/* The last group may end within its last sector. */
	if (count == XTSFS_GROUP_SECTORS && (group_no + 1) * sizeof(scratch->sectors) <= io->file->plain_bytes &&
	    is_hole(io, holes, cipher_off, bytes)) {
		if (!holes->hashed) {
			memset(scratch->sectors, 0, bytes);
			r = xtsfs_sha256(scratch->sectors, bytes, holes->hash);
			holes->hashed = r == 0;
		}
		return r < 0 ? r : chain(io->volume, group_no, count, holes->hash, sizeof(holes->hash), tag);
	}
	n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, bytes, cipher_off);
	if (n < 0)
		return (int)n;
	r = xtsfs_sha256(scratch->sectors, (size_t)n, hash);
	return r < 0 ? r : chain(io->volume, group_no, count, hash, sizeof(hash), tag);
}

static int describe_locked(struct xtsfs_io *io, struct xtsfs_manifest_entry *entry)
{
	const struct xtsfs_file *file = io->file;
	uint64_t sectors = xtsfs_sector_count(file->plain_bytes);
	struct holes holes = {0};
	int r;

	entry->size = file->plain_bytes;
	if (!file->has_block0 || file->plain_bytes == 0)
		return 0;
	memcpy(entry->id, file->header.file_id, sizeof(entry->id));
	memcpy(entry->tag, file->header.file_id, sizeof(entry->tag));
	if (xtsfs_file_is_inline(file))
		return chain(io->volume, XTSFS_INLINE_SECTOR, file->plain_bytes, file->block0.inline_cipher,
			     xtsfs_pad16((uint32_t)file->plain_bytes), entry->tag);
	r = chain(io->volume, XTSFS_INLINE_SECTOR, file->plain_bytes, NULL, 0, entry->tag);
	for (uint64_t at = 0; r == 0 && at < sectors; at += XTSFS_GROUP_SECTORS) {
		unsigned count = sectors - at < XTSFS_GROUP_SECTORS ? (unsigned)(sectors - at) : XTSFS_GROUP_SECTORS;
		uint64_t group_no = at / XTSFS_GROUP_SECTORS;

		r = xtsfs_has_tags(io) ? chain_tags(io, group_no, count, entry->tag)
				       : chain_sectors(io, &holes, group_no, count, entry->tag);
	}
	return r;
}

static int describe_file(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_manifest_entry *entry)
{
	struct xtsfs_io io;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);

	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		r = describe_locked(&io, entry);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r;
}

static int describe_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_manifest_entry *entry)
{
	char target[XTSFS_SYMLINK_MAX + 1];
	struct iovec parts[2];
	int r = xtsfs_readlink(volume, node, target);

	if (r < 0)
		return r;
	entry->size = strlen(target);
	parts[0] = part(LABEL_LINK, XTSFS_LABEL_BYTES);
	parts[1] = part(target, strlen(target));
	return xtsfs_mac_tag(volume->keys->meta, parts, 2, entry->tag);
}

/* Attributes have no order: the tags of each, added without carry. */
static int describe_attribute(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name, uint8_t *value,
			      uint8_t *attr)
{
	ssize_t n = xtsfs_getxattr(volume, node, name, value, ATTR_MOST);
	uint8_t hashes[64], tag[XTSFS_TAG_BYTES];
	struct iovec parts[2] = {part(LABEL_ATTR, XTSFS_LABEL_BYTES), part(hashes, sizeof(hashes))};
	int r = n < 0 ? (int)n : xtsfs_sha256(name, strlen(name), hashes);

	if (r == 0)
		r = xtsfs_sha256(value, (size_t)n, hashes + 32);
	if (r == 0)
		r = xtsfs_mac_tag(volume->keys->meta, parts, 2, tag);
	for (unsigned i = 0; r == 0 && i < sizeof(tag); i++)
		attr[i] ^= tag[i];
	return r;
}

static int describe_attributes(struct xtsfs_volume *volume, struct xtsfs_node *node, uint8_t *attr)
{
	xtsfs_auto_free char *list = NULL;
	ssize_t n = xtsfs_listxattr(volume, node, NULL, 0);
	int r = 0;

	if (n <= 0)
		return n == -EOPNOTSUPP ? 0 : (int)n;
	list = malloc(2 * ATTR_MOST);
	if (!list)
		return -ENOMEM;
	n = xtsfs_listxattr(volume, node, list, ATTR_MOST);
	for (const char *name = list; r == 0 && name < list + n; name += strlen(name) + 1)
		r = describe_attribute(volume, node, name, (uint8_t *)list + ATTR_MOST, attr);
	return n < 0 ? (int)n : r;
}

int xtsfs_manifest_describe(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct stat *st,
			    struct xtsfs_manifest_entry *ret_entry)
{
	struct xtsfs_manifest_entry entry = {.mode = (uint16_t)st->st_mode,
					     .uid = st->st_uid,
					     .gid = st->st_gid,
					     .mtime_s = st->st_mtim.tv_sec,
					     .mtime_ns = (uint32_t)st->st_mtim.tv_nsec};
	int r = 0;

	if (S_ISREG(st->st_mode))
		r = describe_file(volume, node, &entry);
	else if (S_ISLNK(st->st_mode))
		r = describe_link(volume, node, &entry);
	else if (S_ISDIR(st->st_mode))
		r = xtsfs_dirid_get(volume, node, entry.id);
	else
		entry.size = st->st_rdev;
	if (r == 0)
		r = describe_attributes(volume, node, entry.attr);
	if (r == 0)
		*ret_entry = entry;
	return r;
}
