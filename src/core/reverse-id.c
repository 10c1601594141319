/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ordinary volume takes from the random number generator, a reverse view derives (docs/reverse.md 2).
 */
#include "core/reverse-internal.h"

#include "crypto/mac.h"

#include <string.h>

#define LABEL_DIRECTORY "xtsfs r dir\0\0\0\0"
#define LABEL_OBJECT	"xtsfs r object\0"
#define LABEL_LINKS	"xtsfs r links\0\0"
#define LABEL_SYMLINK	"xtsfs r symlink"
#define LABEL_XATTR	"xtsfs r xattr\0\0"
#define LABEL_INODE	"xtsfs r inode\0\0"
#define LABEL_OWN	"xtsfs r own\0\0\0\0"
static_assert(sizeof(LABEL_DIRECTORY) == XTSFS_LABEL_BYTES && sizeof(LABEL_OBJECT) == XTSFS_LABEL_BYTES &&
		      sizeof(LABEL_LINKS) == XTSFS_LABEL_BYTES && sizeof(LABEL_SYMLINK) == XTSFS_LABEL_BYTES &&
		      sizeof(LABEL_XATTR) == XTSFS_LABEL_BYTES && sizeof(LABEL_INODE) == XTSFS_LABEL_BYTES &&
		      sizeof(LABEL_OWN) == XTSFS_LABEL_BYTES,
	      "labels");

/* The two upper bits of inode numbers: those of the source's own filesystem have none. */
#define INO_BITS    62
#define INO_VIRTUAL (1ULL << INO_BITS)
#define INO_OTHER   (2ULL << INO_BITS)
#define INO_MASK    (INO_VIRTUAL - 1)

static int derive(const struct xtsfs_keys *keys, const char *label, const uint8_t id[XTSFS_ID_BYTES], const void *data,
		  size_t bytes, uint8_t ret_id[XTSFS_ID_BYTES])
{
	const struct iovec parts[3] = {
		{.iov_base = (void *)(uintptr_t)label, .iov_len = XTSFS_LABEL_BYTES},
		{.iov_base = (void *)(uintptr_t)id, .iov_len = XTSFS_ID_BYTES},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = bytes},
	};

	return xtsfs_mac_tag(keys->reverse, parts, 3, ret_id);
}

static const uint8_t no_id[XTSFS_ID_BYTES];

int xtsfs_reverse_dirid(const struct xtsfs_keys *keys, const uint8_t *parent_id, const char *name,
			uint8_t ret_id[XTSFS_ID_BYTES])
{
	return derive(keys, LABEL_DIRECTORY, parent_id ? parent_id : no_id, name, strlen(name), ret_id);
}

/*
 * Where the filesystem begins that this directory is in: zeros for that of the root, else the id of the directory it
 * is mounted at. In the place of a device number, which is another one tomorrow.
 */
static int anchor_of(struct xtsfs_volume *volume, struct xtsfs_node *dir, uint8_t ret_anchor[XTSFS_ID_BYTES])
{
	while (!dir->is_root && dir->links->parent->dev == dir->dev)
		dir = dir->links->parent;
	if (!dir->is_root)
		return xtsfs_dirid_get(volume, dir, ret_anchor);
	memset(ret_anchor, 0, XTSFS_ID_BYTES);
	return 0;
}

int xtsfs_reverse_object_id(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
			    const struct stat *st, uint8_t ret_id[XTSFS_ID_BYTES])
{
	const struct xtsfs_le64 ino = xtsfs_le64_of(st->st_ino);
	uint8_t id[XTSFS_ID_BYTES];
	/* A file that is itself a mount point has a device of its own. */
	bool by_inode = st->st_nlink > 1 && st->st_dev == dir->dev;
	int r = by_inode ? anchor_of(volume, dir, id) : xtsfs_dirid_get(volume, dir, id);

	if (r < 0)
		return r;
	return by_inode ? derive(volume->keys, LABEL_LINKS, id, &ino, sizeof(ino), ret_id)
			: derive(volume->keys, LABEL_OBJECT, id, name, strlen(name), ret_id);
}

int xtsfs_reverse_salt(struct xtsfs_volume *volume, const uint8_t object_id[XTSFS_ID_BYTES], const char *name,
		       uint8_t ret_salt[16])
{
	return derive(volume->keys, name ? LABEL_XATTR : LABEL_SYMLINK, object_id, name, name ? strlen(name) : 0,
		      ret_salt);
}

static ino_t ino_from(const uint8_t id[XTSFS_ID_BYTES], uint64_t class)
{
	return (ino_t)((xtsfs_load_le(id, 8) & INO_MASK) | class);
}

int xtsfs_reverse_ino(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, dev_t dev, ino_t ino,
		      ino_t *ret_ino)
{
	const struct xtsfs_le64 number = xtsfs_le64_of(ino);
	uint8_t id[XTSFS_ID_BYTES] = {0};
	bool mounted = dir && dev != dir->dev; /* it is where a filesystem begins: known by its name alone */
	int r;

	if (!dir) { /* its attributes are told of a locked volume, too: nothing may take a key */
		*ret_ino = (uint64_t)ino & ~INO_MASK ? (ino_t)(((uint64_t)ino & INO_MASK) | INO_OTHER) : ino;
		return 0;
	}
	r = mounted ? xtsfs_dirid_get(volume, dir, id) : anchor_of(volume, dir, id);
	if (r < 0)
		return r;
	if (!mounted && xtsfs_is_zero(id, sizeof(id)) && ((uint64_t)ino & ~INO_MASK) == 0) {
		*ret_ino = ino;
		return 0;
	}
	r = mounted ? derive(volume->keys, LABEL_INODE, id, name, strlen(name), id)
		    : derive(volume->keys, LABEL_INODE, id, &number, sizeof(number), id);
	if (r == 0)
		*ret_ino = ino_from(id, INO_OTHER);
	return r;
}

int xtsfs_reverse_virtual_ino(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], const char *shown,
			      ino_t *ret_ino)
{
	uint8_t id[XTSFS_ID_BYTES];
	int r = derive(volume->keys, LABEL_OWN, dirid, shown, strlen(shown), id);

	if (r == 0)
		*ret_ino = ino_from(id, INO_VIRTUAL);
	return r;
}
