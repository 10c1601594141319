/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes in the reverse view: those of the plain object but for size, blocks and inode number; and the files that
 * only the view has.
 */
#include "core/reverse-internal.h"

#include "base/base64.h"
#include "crypto/mac.h"
#include "format/config.h"
#include "format/header.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SALT_BYTES	  16U
#define DISK_SECTOR_BYTES 512U

/* So that a file without holes never looks as if it had some, and one with holes about as large as it is. */
static blkcnt_t blocks_of(const struct stat *st, uint64_t cipher_bytes)
{
	const uint64_t per_block = XTSFS_BLOCK_BYTES / DISK_SECTOR_BYTES;
	uint64_t whole = (cipher_bytes + XTSFS_BLOCK_BYTES - 1) / XTSFS_BLOCK_BYTES * per_block, data;

	if (cipher_bytes == 0)
		return 0;
	if ((uint64_t)st->st_blocks * DISK_SECTOR_BYTES >= (uint64_t)st->st_size)
		return (blkcnt_t)whole;
	data = (uint64_t)st->st_blocks;
	data += (1 + data / (per_block * XTSFS_GROUP_SECTORS)) * per_block;
	return (blkcnt_t)(data < whole ? data : whole);
}

uint64_t xtsfs_reverse_cipher_bytes(const struct xtsfs_volume *volume, uint64_t plain_bytes)
{
	return plain_bytes == 0			 ? 0
	       : plain_bytes <= XTSFS_INLINE_MAX ? xtsfs_inline_cipher_bytes(plain_bytes)
						 : xtsfs_plain_to_cipher_bytes(volume->layout, plain_bytes);
}

int xtsfs_reverse_stat(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, const struct stat *st,
		       struct stat *ret_stat)
{
	struct stat shown = *st;

	if (S_ISREG(st->st_mode)) {
		uint64_t cipher_bytes;

		if ((uint64_t)st->st_size > XTSFS_PLAIN_MAX)
			return -EOVERFLOW;
		cipher_bytes = xtsfs_reverse_cipher_bytes(volume, (uint64_t)st->st_size);
		shown.st_size = (off_t)cipher_bytes;
		shown.st_blocks = blocks_of(st, cipher_bytes);
		shown.st_blksize = XTSFS_BLOCK_BYTES;
	} else if (S_ISLNK(st->st_mode)) {
		shown.st_size = (off_t)xtsfs_base64_chars(SALT_BYTES + XTSFS_SIV_IV_BYTES + (size_t)st->st_size);
	}
	*ret_stat = shown;
	return xtsfs_reverse_ino(volume, dir, name, st->st_dev, st->st_ino, &ret_stat->st_ino);
}

int xtsfs_reverse_source_stat(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_at at;
	struct stat st;
	int r = xtsfs_at_get(volume, node, &at);

	if (r < 0)
		return r;
	r = at.name ? store->ops->stat(store, at.handle, at.name, &st) : store->ops->fstat(store, at.handle, &st);
	xtsfs_at_put(volume, &at);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	if (st.st_ino != node->ino || st.st_dev != node->dev || (st.st_mode & S_IFMT) != node->type)
		return -ESTALE;
	*ret_stat = st;
	return 0;
}

int xtsfs_reverse_getattr(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat)
{
	struct stat st;
	int r;

	if (xtsfs_virtual_of(node))
		return xtsfs_reverse_virtual_stat(volume, node, ret_stat);
	r = xtsfs_reverse_source_stat(volume, node, &st);
	if (r == -ESTALE && xtsfs_reverse_open_stat(volume, node, &st))
		r = 0;
	if (r < 0)
		return r;
	return node->is_root
		       ? xtsfs_reverse_stat(volume, NULL, "", &st, ret_stat)
		       : xtsfs_reverse_stat(volume, node->links->parent, node->links->backing_name, &st, ret_stat);
}

int xtsfs_reverse_node_id(struct xtsfs_volume *volume, struct xtsfs_node *node, uint8_t ret_id[XTSFS_ID_BYTES])
{
	struct stat st;
	int r;

	if (S_ISDIR(node->type))
		return xtsfs_dirid_get(volume, node, ret_id);
	r = xtsfs_reverse_source_stat(volume, node, &st);
	return r < 0 ? r : xtsfs_reverse_object_id(volume, node->links->parent, node->links->backing_name, &st, ret_id);
}

/* ---- virtual files ---- */

static int dirid_content(struct xtsfs_volume *volume, struct xtsfs_node *dir, struct xtsfs_disk_dirid *ret_dirid)
{
	struct xtsfs_disk_dirid dirid = {0};
	struct iovec parts[2];
	int r = xtsfs_dirid_get(volume, dir, dirid.id);

	if (r == 0 && !dir->is_root)
		r = xtsfs_dirid_get(volume, dir->links->parent, dirid.parent_id);
	if (r == 0)
		r = xtsfs_mac_tag(volume->keys->meta, parts, xtsfs_dirid_tag_parts(&dirid, parts), dirid.tag);
	if (r == 0)
		*ret_dirid = dirid;
	return r;
}

static ssize_t name_content(struct xtsfs_volume *volume, struct xtsfs_node *node, char **ret_text)
{
	struct xtsfs_backing_name backing;
	uint8_t dirid[XTSFS_ID_BYTES];
	int r = xtsfs_dirid_get(volume, node->links->parent, dirid);

	if (r == 0)
		r = xtsfs_names_seal(volume, dirid, node->links->backing_name, &backing);
	if (r < 0)
		return r;
	*ret_text = strdup(backing.long_text);
	return *ret_text ? (ssize_t)strlen(*ret_text) : -ENOMEM;
}

static const char *conf_name(enum xtsfs_virtual kind)
{
	return kind == XTSFS_VIRTUAL_CONF ? XTSFS_NAME_CONF : XTSFS_NAME_CONF_COPY;
}

static ssize_t conf_content(struct xtsfs_volume *volume, enum xtsfs_virtual kind, uint8_t **ret_content)
{
	struct xtsfs_store *store = volume->reverse->params.conf_store;
	int handle = store->ops->open(store, store->root, conf_name(kind), O_RDONLY | O_NONBLOCK, 0, NULL);
	uint8_t *content;
	ssize_t n;

	if (handle < 0)
		return handle;
	content = malloc(XTSFS_CONFIG_MAX_BYTES);
	n = content ? xtsfs_store_pread(store, handle, content, XTSFS_CONFIG_MAX_BYTES, 0) : -ENOMEM;
	store->ops->close(store, handle);
	if (n < 0)
		free(content);
	else
		*ret_content = content;
	return n;
}

ssize_t xtsfs_reverse_virtual_content(struct xtsfs_volume *volume, struct xtsfs_node *node, uint8_t **ret_content)
{
	enum xtsfs_virtual kind = xtsfs_virtual_of(node);
	struct xtsfs_disk_dirid dirid;
	char *text = NULL;
	ssize_t n;

	switch (kind) {
	case XTSFS_VIRTUAL_DIRID:
		n = dirid_content(volume, node->links->parent, &dirid);
		if (n < 0)
			return n;
		*ret_content = malloc(sizeof(dirid));
		if (!*ret_content)
			return -ENOMEM;
		memcpy(*ret_content, &dirid, sizeof(dirid));
		return sizeof(dirid);
	case XTSFS_VIRTUAL_NAME:
		n = name_content(volume, node, &text);
		*ret_content = (uint8_t *)text;
		return n;
	default:
		return conf_content(volume, kind, ret_content);
	}
}

/* A directory's own files are for whoever may list it, and of a time that never changes. */
static int of_directory(struct xtsfs_volume *volume, struct xtsfs_node *dir, off_t bytes, struct stat *ret_stat)
{
	const struct timespec created = {.tv_sec = (time_t)volume->reverse->created_s};
	struct stat st;
	int r = xtsfs_reverse_source_stat(volume, dir, &st);

	if (r < 0)
		return r;
	*ret_stat = (struct stat){.st_mode = S_IFREG | 0400 | (st.st_mode & 0444),
				  .st_nlink = 1,
				  .st_uid = st.st_uid,
				  .st_gid = st.st_gid,
				  .st_size = bytes,
				  .st_blksize = XTSFS_BLOCK_BYTES,
				  .st_blocks = XTSFS_BLOCK_BYTES / DISK_SECTOR_BYTES,
				  .st_atim = created,
				  .st_mtim = created,
				  .st_ctim = created};
	return 0;
}

int xtsfs_reverse_virtual_stat(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->reverse->params.conf_store;
	enum xtsfs_virtual kind = xtsfs_virtual_of(node);
	struct xtsfs_node *dir = node->links->parent;
	xtsfs_auto_free char *text = NULL;
	ssize_t n;
	int r;

	switch (kind) {
	case XTSFS_VIRTUAL_DIRID:
		r = of_directory(volume, dir, sizeof(struct xtsfs_disk_dirid), ret_stat);
		break;
	case XTSFS_VIRTUAL_NAME:
		n = name_content(volume, node, &text);
		r = n < 0 ? (int)n : of_directory(volume, dir, n, ret_stat);
		break;
	default:
		r = store->ops->stat(store, store->root, conf_name(kind), ret_stat);
		ret_stat->st_nlink = 1;
	}
	if (r == 0)
		ret_stat->st_ino = node->ino;
	return r;
}

int xtsfs_reverse_readlink(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_target)
{
	uint8_t sealed[SALT_BYTES + XTSFS_SIV_IV_BYTES + XTSFS_SYMLINK_MAX], id[XTSFS_ID_BYTES];
	char target[XTSFS_SYMLINK_MAX + 1];
	struct xtsfs_at at;
	ssize_t n;
	int r = xtsfs_reverse_node_id(volume, node, id);

	if (r == 0)
		r = xtsfs_reverse_salt(volume, id, NULL, sealed);
	if (r == 0)
		r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	n = at.name ? volume->store->ops->readlink(volume->store, at.handle, at.name, target, sizeof(target)) : -ESTALE;
	xtsfs_at_put(volume, &at);
	if (n <= 0)
		return n < 0 ? (int)n : -EINVAL;
	if ((size_t)n > XTSFS_SYMLINK_MAX)
		return -ENAMETOOLONG;
	r = xtsfs_siv_seal(volume->keys->symlink, sealed, SALT_BYTES, target, (size_t)n, sealed + SALT_BYTES);
	if (r == 0)
		xtsfs_base64_encode(sealed, SALT_BYTES + XTSFS_SIV_IV_BYTES + (size_t)n, ret_target);
	return r;
}
