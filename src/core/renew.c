/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the old key to the new one: names, directory ids, symbolic links (docs/reencrypt.md). Content is in
 * renew-file.c, attributes are in xattr.c.
 *
 * Each is one rename, so a crash leaves the old or the new; and each is done with the directory's stripe held, so that
 * nothing is made or removed in between. The times of the directory are put back: nobody has changed anything.
 */
#include "core/internal.h"

#include "base/base64.h"
#include "crypto/kdf.h"
#include "format/header.h"

#include <fcntl.h>
#include <string.h>

#define XATTRS_MAX_BYTES 65536U

static void put_back_times(struct xtsfs_store *store, int dir_handle, const struct stat *before)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, before->st_mtim};

	(void)store->ops->utimens(store, dir_handle, NULL, times);
}

static bool is_there(struct xtsfs_store *store, int dir_handle, const char *entry, struct stat *ret_stat,
		     int *ret_error)
{
	int r = store->ops->stat(store, dir_handle, entry, ret_stat);

	*ret_error = r == -ENOENT ? 0 : r;
	return r == 0;
}

/* The stripe is held. The node, if it is known, goes by the new name from the same instant on. */
static int rename_entry(struct xtsfs_volume *volume, struct xtsfs_node *dir, int dir_handle,
			const struct xtsfs_backing_name *from, const struct xtsfs_backing_name *to,
			const struct stat *st)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_node *node;
	int r = xtsfs_names_place(volume, dir_handle, to);

	if (r < 0)
		return r;
	node = xtsfs_node_find(volume, st);
	pthread_rwlock_wrlock(&volume->names_lock);
	r = xtsfs_store_rename_new(store, dir_handle, from->entry, to->entry);
	if (r == 0 && node) {
		(void)xtsfs_node_add_link(volume, node, dir, to->entry);
		xtsfs_node_remove_link(volume, node, dir, from->entry);
	}
	pthread_rwlock_unlock(&volume->names_lock);
	if (node)
		xtsfs_node_unref(volume, node, 1);
	if (r == 0)
		xtsfs_names_remove(volume, dir_handle, from->entry);
	return r;
}

int xtsfs_renew_name(struct xtsfs_volume *volume, struct xtsfs_node *dir, int dir_handle,
		     const uint8_t dirid[XTSFS_ID_BYTES], const char *name)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_backing_name from, to;
	struct stat st, dir_st;
	int r;

	if (!volume->keys->old || volume->read_only)
		return 0;
	r = xtsfs_names_seal_old(volume, dirid, name, &from);
	if (r == 0)
		r = xtsfs_names_seal(volume, dirid, name, &to);
	if (r < 0)
		return r;
	if (!is_there(store, dir_handle, from.entry, &st, &r))
		return r;
	xtsfs_guard_mutex(xtsfs_dir_mutex(volume, dir));
	if (!is_there(store, dir_handle, from.entry, &st, &r))
		return r;
	r = store->ops->fstat(store, dir_handle, &dir_st);
	if (r == 0)
		r = rename_entry(volume, dir, dir_handle, &from, &to, &st);
	if (r < 0)
		return r;
	put_back_times(store, dir_handle, &dir_st);
	return 1;
}

/* The id and what is known of the parent, with a tag under the new key, owner and mode as it has them. */
static int write_dirid(struct xtsfs_volume *volume, int dir_handle, struct xtsfs_disk_dirid *dirid, const char *tmp)
{
	struct xtsfs_store *store = volume->store;
	struct iovec parts[2];
	struct stat st;
	int r = xtsfs_mac_tag(volume->keys->meta, parts, xtsfs_dirid_tag_parts(dirid, parts), dirid->tag), handle;

	if (r == 0)
		r = store->ops->stat(store, dir_handle, XTSFS_NAME_DIRID, &st);
	if (r < 0)
		return r;
	handle = store->ops->open(store, dir_handle, tmp, O_CREAT | O_EXCL | O_WRONLY, 0400, NULL);
	if (handle < 0)
		return handle;
	r = xtsfs_store_pwrite(store, handle, dirid, sizeof(*dirid), 0);
	if (r == 0)
		r = store->ops->chown(store, handle, NULL, st.st_uid, st.st_gid);
	if (r == 0)
		r = store->ops->chmod(store, handle, NULL, st.st_mode & 07777);
	if (r == 0)
		r = store->ops->sync(store, handle, false);
	store->ops->close(store, handle);
	if (r == 0)
		r = store->ops->rename(store, dir_handle, tmp, dir_handle, XTSFS_NAME_DIRID, 0);
	if (r < 0)
		(void)store->ops->unlink(store, dir_handle, tmp, 0);
	return r;
}

static int renew_dirid(struct xtsfs_volume *volume, struct xtsfs_node *dir, int dir_handle)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_disk_dirid dirid;
	char tmp[XTSFS_NAME_MAX + 1];
	struct stat dir_st;
	bool old = false;
	int r;

	xtsfs_guard_mutex(xtsfs_dir_mutex(volume, dir));
	r = xtsfs_dirid_read(store, volume->keys, dir_handle, &dirid, &old);
	if (r < 0 || !old)
		return r;
	r = store->ops->fstat(store, dir_handle, &dir_st);
	if (r == 0)
		r = xtsfs_names_tmp(tmp);
	if (r == 0)
		r = write_dirid(volume, dir_handle, &dirid, tmp);
	if (r < 0)
		return r;
	put_back_times(store, dir_handle, &dir_st);
	return 1;
}

int xtsfs_renew_dirid(struct xtsfs_volume *volume, struct xtsfs_node *dir)
{
	struct xtsfs_fd *fd;
	int r;

	if (!volume->keys->old)
		return 0;
	r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	r = renew_dirid(volume, dir, fd->handle);
	xtsfs_fd_put(volume, fd);
	return r;
}

/* ---- symbolic links ---- */

/* The stored text under the new key, if it is under the old one: 1. */
static int seal_target(struct xtsfs_volume *volume, int dir_handle, const char *entry, char ret_text[4096])
{
	struct xtsfs_store *store = volume->store;
	uint8_t stored[XTSFS_SYMLINK_MAX + 32], target[XTSFS_SYMLINK_MAX];
	char text[4096];
	ssize_t n = store->ops->readlink(store, dir_handle, entry, text, sizeof(text));
	bool old = false;
	size_t bytes;
	int r;

	if (n < 0)
		return (int)n;
	bytes = xtsfs_base64_bytes((size_t)n);
	if (bytes <= 32 || bytes > sizeof(stored) || xtsfs_base64_decode(text, (size_t)n, stored) < 0)
		return -EIO;
	r = xtsfs_keys_siv_open(volume->keys, XTSFS_SIV_SYMLINK, stored, 16, stored + 16, bytes - 16, target, &old);
	if (r < 0 || !old)
		return r == -XTSFS_EAUTH ? -EIO : r;
	r = xtsfs_random(stored, 16);
	if (r == 0)
		r = xtsfs_siv_seal(volume->keys->symlink, stored, 16, target, bytes - 32, stored + 16);
	xtsfs_wipe(target, sizeof(target));
	if (r < 0)
		return r;
	xtsfs_base64_encode(stored, bytes, ret_text);
	return 1;
}

/* Those that are ours must come along; others (labels of the system) as far as they can. */
static int copy_xattrs(struct xtsfs_store *store, int dir_handle, const char *from, const char *to)
{
	xtsfs_auto_free char *names = malloc(XATTRS_MAX_BYTES);
	xtsfs_auto_free uint8_t *value = malloc(2 * XATTRS_MAX_BYTES);
	ssize_t n;

	if (!names || !value)
		return -ENOMEM;
	n = store->ops->listxattr(store, dir_handle, from, names, XATTRS_MAX_BYTES);
	if (n < 0)
		return n == -EOPNOTSUPP ? 0 : (int)n;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		ssize_t bytes = store->ops->getxattr(store, dir_handle, from, name, value, 2 * XATTRS_MAX_BYTES);
		int r = bytes < 0 ? (int)bytes
				  : store->ops->setxattr(store, dir_handle, to, name, value, (size_t)bytes, 0);

		if (r < 0 && strncmp(name, "trusted.xtsfs.", 14) == 0)
			return r;
	}
	return 0;
}

/* As the other in all but its text. */
static int make_like(struct xtsfs_store *store, int dir_handle, const char *text, const char *like,
		     const struct stat *st, const char *tmp)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	struct stat made;
	int r = store->ops->symlink(store, text, dir_handle, tmp, NULL);

	if (r < 0)
		return r;
	r = store->ops->stat(store, dir_handle, tmp, &made);
	if (r == 0 && (made.st_uid != st->st_uid || made.st_gid != st->st_gid))
		r = store->ops->chown(store, dir_handle, tmp, st->st_uid, st->st_gid);
	if (r == 0)
		r = copy_xattrs(store, dir_handle, like, tmp);
	if (r == 0)
		r = store->ops->utimens(store, dir_handle, tmp, times);
	if (r < 0)
		(void)store->ops->unlink(store, dir_handle, tmp, 0);
	return r;
}

static int replace_symlink(struct xtsfs_volume *volume, struct xtsfs_node *dir, int dir_handle, const char *entry,
			   struct xtsfs_node *node)
{
	struct xtsfs_store *store = volume->store;
	char text[4096], tmp[XTSFS_NAME_MAX + 1];
	struct stat st, dir_st;
	int r;

	xtsfs_guard_mutex(xtsfs_dir_mutex(volume, dir));
	r = store->ops->stat(store, dir_handle, entry, &st);
	if (r < 0 || st.st_ino != node->ino || st.st_dev != node->dev)
		return r == -ENOENT ? 0 : r; /* it is another one by now, and that is under the new key */
	r = seal_target(volume, dir_handle, entry, text);
	if (r <= 0)
		return r;
	r = store->ops->fstat(store, dir_handle, &dir_st);
	if (r == 0)
		r = xtsfs_names_tmp(tmp);
	if (r == 0)
		r = make_like(store, dir_handle, text, entry, &st, tmp);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&volume->names_lock);
	r = store->ops->rename(store, dir_handle, tmp, dir_handle, entry, 0);
	if (r == 0) {
		/* Whoever knows the node by this name has to look it up again. */
		xtsfs_node_remove_link(volume, node, dir, entry);
		if (st.st_nlink <= 1)
			xtsfs_node_set_gone(volume, node);
	}
	pthread_rwlock_unlock(&volume->names_lock);
	if (r < 0) {
		(void)store->ops->unlink(store, dir_handle, tmp, 0);
		return r;
	}
	put_back_times(store, dir_handle, &dir_st);
	return 1;
}

int xtsfs_renew_symlink(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *entry, struct xtsfs_node *node)
{
	struct xtsfs_fd *fd;
	int r;

	if (!volume->keys->old)
		return 0;
	r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	r = replace_symlink(volume, dir, fd->handle, entry, node);
	xtsfs_fd_put(volume, fd);
	return r;
}
