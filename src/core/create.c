/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making entries.
 *
 * Everything here is done with the directory's stripe locked: the .name file of a long name comes before the entry, and
 * a directory is complete, with its id, before it gets its name.
 */
#include "core/internal.h"

#include "base/base64.h"
#include "core/fs.h"
#include "core/reverse-internal.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* A directory in which something is being made or removed: id, descriptor, lock. */
struct place {
	struct xtsfs_volume *volume;
	struct xtsfs_node *dir;
	struct xtsfs_fd *fd;
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_backing_name backing;
};

static int place_begin(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, struct place *ret)
{
	int r;

	*ret = (struct place){.volume = volume, .dir = dir};
	if (volume->read_only)
		return -EROFS;
	r = xtsfs_dirid_get(volume, dir, ret->dirid);
	if (r == 0)
		r = xtsfs_names_seal(volume, ret->dirid, name, &ret->backing);
	if (r == 0)
		r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &ret->fd);
	if (r < 0)
		return r;
	r = xtsfs_renew_name(volume, dir, ret->fd->handle, ret->dirid, name);
	if (r >= 0)
		r = xtsfs_dirs_lock(volume, &(struct xtsfs_dirs){{dir}});
	if (r < 0)
		xtsfs_fd_put(volume, ret->fd);
	return r;
}

/* The entry is there (@error 0) or not: let go, and on an error take the .name file back unless an entry needs it. */
static void place_end(struct place *place, int error)
{
	struct xtsfs_store *store = place->volume->store;
	struct stat st;

	if (error < 0 && place->backing.long_text[0] &&
	    store->ops->stat(store, place->fd->handle, place->backing.entry, &st) == -ENOENT)
		xtsfs_names_remove(place->volume, place->fd->handle, place->backing.entry);
	xtsfs_dirs_unlock(place->volume, &(struct xtsfs_dirs){{place->dir}});
	xtsfs_fd_put(place->volume, place->fd);
}

static int result(struct place *place, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_store *store = place->volume->store;
	struct stat st;
	int r = store->ops->stat(store, place->fd->handle, place->backing.entry, &st);

	if (r == 0)
		r = xtsfs_node_get(place->volume, &st, place->dir, place->backing.entry, ret_node);
	if (r < 0)
		return r;
	r = xtsfs_node_stat(place->volume, *ret_node, &st, ret_stat);
	if (r < 0)
		xtsfs_node_unref(place->volume, *ret_node, 1);
	return r;
}

/* The same for an entry that was just made. If that fails the entry goes again, for the caller is told of an error.
 * @node: whose name it is, if there was one before. */
static int result_of_new(struct place *place, struct xtsfs_node *node, struct xtsfs_node **ret_node,
			 struct stat *ret_stat)
{
	struct xtsfs_store *store = place->volume->store;
	int r = result(place, ret_node, ret_stat);

	if (r == 0)
		return 0;
	(void)store->ops->unlink(store, place->fd->handle, place->backing.entry, 0);
	if (node)
		xtsfs_node_remove_link(place->volume, node, place->dir, place->backing.entry);
	return r;
}

int xtsfs_create(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, mode_t mode, bool exclusive,
		 const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	struct place place;
	struct xtsfs_fd *fd;
	int r = place_begin(volume, dir, name, &place), handle = -1;

	if (r < 0)
		return r;
	r = xtsfs_names_place(volume, place.fd->handle, &place.backing);
	if (r == 0)
		r = handle = store->ops->open(store, place.fd->handle, place.backing.entry, O_RDWR | O_CREAT | O_EXCL,
					      mode & 07777, cred);
	if (r == -EEXIST && !exclusive)
		r = 0;
	if (r >= 0)
		r = handle >= 0 ? result_of_new(&place, NULL, ret_node, ret_stat) : result(&place, ret_node, ret_stat);
	place_end(&place, r);
	if (handle >= 0 && r < 0)
		store->ops->close(store, handle);
	if (handle < 0 || r < 0)
		return r;
	/* The descriptor is at hand: the open that follows needs no other. */
	r = xtsfs_fd_adopt(volume, *ret_node, handle, XTSFS_ACCESS_WRITE, &fd);
	if (r == 0)
		xtsfs_fd_put(volume, fd);
	return 0;
}

int xtsfs_tmpfile(struct xtsfs_volume *volume, struct xtsfs_node *dir, mode_t mode, bool linkable,
		  const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_node *node;
	struct xtsfs_fd *fd;
	struct stat st;
	int r, handle;

	if (volume->read_only)
		return -EROFS;
	r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	handle = store->ops->open(store, fd->handle, ".", O_RDWR | O_TMPFILE | (linkable ? 0 : O_EXCL), mode & 07777,
				  cred);
	xtsfs_fd_put(volume, fd);
	if (handle < 0)
		return handle;
	r = store->ops->fstat(store, handle, &st);
	if (r == 0)
		r = xtsfs_node_get(volume, &st, NULL, NULL, &node);
	if (r < 0) {
		store->ops->close(store, handle);
		return r;
	}
	/* The descriptor is all there is of it. */
	r = xtsfs_fd_adopt(volume, node, handle, XTSFS_ACCESS_WRITE, &fd);
	if (r == 0) {
		r = xtsfs_fd_keep(volume, node);
		xtsfs_fd_put(volume, fd);
	}
	if (r == 0)
		r = xtsfs_node_stat(volume, node, &st, ret_stat);
	if (r < 0) {
		xtsfs_node_unref(volume, node, 1);
		return r;
	}
	*ret_node = node;
	return 0;
}

int xtsfs_mknod(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, mode_t mode, dev_t rdev,
		const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct place place;
	int r = place_begin(volume, dir, name, &place);

	if (r < 0)
		return r;
	r = xtsfs_names_place(volume, place.fd->handle, &place.backing);
	if (r == 0)
		r = volume->store->ops->mknod(volume->store, place.fd->handle, place.backing.entry, mode, rdev, cred);
	if (r == 0)
		r = result_of_new(&place, NULL, ret_node, ret_stat);
	place_end(&place, r);
	return r;
}

int xtsfs_symlink(struct xtsfs_volume *volume, const char *target, struct xtsfs_node *dir, const char *name,
		  const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	uint8_t stored[XTSFS_SYMLINK_MAX + 32];
	char text[4096];
	size_t bytes = strlen(target);
	struct place place;
	int r;

	if (bytes == 0)
		return -ENOENT;
	if (bytes > XTSFS_SYMLINK_MAX)
		return -ENAMETOOLONG;
	r = xtsfs_random(stored, 16);
	if (r == 0)
		r = xtsfs_siv_seal(volume->keys->symlink, stored, 16, target, bytes, stored + 16);
	if (r < 0)
		return r;
	xtsfs_base64_encode(stored, bytes + 32, text);
	r = place_begin(volume, dir, name, &place);
	if (r < 0)
		return r;
	r = xtsfs_names_place(volume, place.fd->handle, &place.backing);
	if (r == 0)
		r = volume->store->ops->symlink(volume->store, text, place.fd->handle, place.backing.entry, cred);
	if (r == 0)
		r = result_of_new(&place, NULL, ret_node, ret_stat);
	place_end(&place, r);
	return r;
}

int xtsfs_readlink(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_target)
{
	uint8_t stored[XTSFS_SYMLINK_MAX + 32];
	char text[4096];
	struct xtsfs_at at;
	size_t bytes;
	ssize_t n;
	int r;

	if (!S_ISLNK(node->type))
		return -EINVAL;
	if (volume->reverse)
		return xtsfs_reverse_readlink(volume, node, ret_target);
	r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	n = volume->store->ops->readlink(volume->store, at.handle, at.name ? at.name : "", text, sizeof(text));
	xtsfs_at_put(volume, &at);
	if (n < 0)
		return (int)n;
	bytes = xtsfs_base64_bytes((size_t)n);
	if (bytes <= 32 || bytes > sizeof(stored) || xtsfs_base64_decode(text, (size_t)n, stored) < 0)
		r = -EIO;
	else
		r = xtsfs_keys_siv_open(volume->keys, XTSFS_SIV_SYMLINK, stored, 16, stored + 16, bytes - 16,
					ret_target, NULL);
	if (r == 0) {
		ret_target[bytes - 32] = '\0';
		r = strlen(ret_target) == bytes - 32 ? 0 : -EIO;
	}
	if (r == -EIO || r == -XTSFS_EAUTH) {
		xtsfs_auto_free char *path = xtsfs_node_describe(volume, node);

		xtsfs_error("%s: the target of this symbolic link is not authentic, refusing to read it",
			    path ? path : "a link");
		r = -EIO;
	}
	return r;
}

static bool has_name(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	xtsfs_auto_free char *name = NULL;
	struct xtsfs_node *parent;

	if (xtsfs_node_link(volume, node, &parent, &name) < 0)
		return false;
	xtsfs_node_unref(volume, parent, 1);
	return true;
}

int xtsfs_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_node *dir, const char *name,
	       struct stat *ret_stat)
{
	struct xtsfs_node *same;
	struct xtsfs_at at = {0};
	struct place place;
	int r = volume->read_only || !volume->keys->old || !S_ISREG(node->type) || has_name(volume, node)
			? 0
			: xtsfs_renew_file(volume, node, NULL, NULL);

	if (r >= 0)
		r = place_begin(volume, dir, name, &place);
	if (r < 0)
		return r;
	/* Without a name: made by xtsfs_tmpfile(), or unlinked. The store knows which, and that what is unlinked stays
	 * so. */
	r = xtsfs_at_get(volume, node, &at);
	if (r == 0)
		r = xtsfs_names_place(volume, place.fd->handle, &place.backing);
	if (r == 0) {
		xtsfs_node_note_links(node);
		r = volume->store->ops->link(volume->store, at.handle, at.name, place.fd->handle, place.backing.entry);
	}
	if (r == 0)
		r = result_of_new(&place, node, &same, ret_stat);
	if (r == 0 && at.nameless && same == node)
		xtsfs_fd_unkeep(volume, node);
	if (r == 0)
		(void)__atomic_add_fetch(&volume->moves, 1, __ATOMIC_RELAXED);
	place_end(&place, r);
	xtsfs_at_put(volume, &at);
	if (r < 0)
		return r;
	if (same != node) {
		xtsfs_node_unref(volume, same, 1);
		return -ESTALE;
	}
	return 0; /* the caller's reference is the one that result() took */
}

/* Inside the temporary directory: the id. */
static int fill_directory(struct place *place, const char *tmp)
{
	struct xtsfs_store *store = place->volume->store;
	uint8_t id[XTSFS_ID_BYTES];
	int handle = store->ops->open(store, place->fd->handle, tmp, O_PATH | O_DIRECTORY, 0, NULL), r;

	if (handle < 0)
		return handle;
	r = xtsfs_dirid_write(store, place->volume->keys->meta, handle, NULL, place->dirid, id);
	store->ops->close(store, handle);
	return r;
}

static void discard_directory(struct place *place, const char *tmp)
{
	struct xtsfs_store *store = place->volume->store;
	int handle = store->ops->open(store, place->fd->handle, tmp, O_PATH | O_DIRECTORY, 0, NULL);

	if (handle >= 0) {
		(void)store->ops->unlink(store, handle, XTSFS_NAME_DIRID, 0);
		store->ops->close(store, handle);
	}
	(void)store->ops->unlink(store, place->fd->handle, tmp, AT_REMOVEDIR);
}

/*
 * A directory whose mode would keep us out (we are not root, or it lacks u+rwx) is made with access and gets its mode
 * once the id is in it: nobody else sees it before its rename.
 */
static int make_directory(struct place *place, const char *tmp, mode_t mode, const struct xtsfs_cred *cred)
{
	struct xtsfs_store *store = place->volume->store;
	bool widen = geteuid() != 0 && (mode & ~(cred ? cred->umask : 0) & 0700) != 0700;
	struct xtsfs_cred open_cred = cred ? *cred : (struct xtsfs_cred){.uid = (uid_t)-1, .gid = (gid_t)-1};
	struct stat st;
	int r;

	if (widen)
		open_cred.umask &= ~(mode_t)0700;
	r = store->ops->mkdir(store, place->fd->handle, tmp, widen ? mode | 0700 : mode,
			      widen || cred ? &open_cred : NULL);
	if (r < 0)
		return r;
	r = fill_directory(place, tmp);
	if (r == 0 && widen)
		r = store->ops->stat(store, place->fd->handle, tmp, &st);
	if (r == 0 && widen)
		r = store->ops->chmod(store, place->fd->handle, tmp,
				      (st.st_mode & 07077) | (mode & ~(cred ? cred->umask : 0) & 0700));
	return r;
}

int xtsfs_mkdir(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, mode_t mode,
		const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	char tmp[XTSFS_NAME_MAX + 1];
	struct place place;
	struct stat st;
	int r = place_begin(volume, dir, name, &place);

	if (r < 0)
		return r;
	/* Before any work: the usual mistake. The rename below decides. */
	r = store->ops->stat(store, place.fd->handle, place.backing.entry, &st);
	r = r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
	if (r == 0)
		r = xtsfs_names_tmp(tmp);
	if (r == 0) {
		r = make_directory(&place, tmp, mode & 07777, cred);
		if (r == 0)
			r = xtsfs_names_place(volume, place.fd->handle, &place.backing);
		if (r == 0)
			r = xtsfs_store_rename_new(store, place.fd->handle, tmp, place.backing.entry);
		if (r == 0) {
			r = result(&place, ret_node, ret_stat);
			if (r < 0 && xtsfs_store_rename_new(store, place.fd->handle, place.backing.entry, tmp) < 0)
				xtsfs_warning("a directory that could not be made completely is left empty");
		}
		if (r < 0)
			discard_directory(&place, tmp);
	}
	place_end(&place, r);
	if (r == 0)
		xtsfs_dirid_pending(volume, *ret_node);
	return r;
}
