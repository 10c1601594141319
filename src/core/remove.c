/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing and renaming.
 *
 * A directory is empty for the mount when nothing in it is an encrypted name; what else may lie there (its id, debris)
 * goes with it. It is first renamed to a temporary name, so that it is never seen without its id.
 *
 * Renaming a directory over an empty one exchanges the two and then removes the other, because the backing directory is
 * not empty; a backing filesystem without RENAME_EXCHANGE gets the target removed first.
 */
#include "core/internal.h"

#include "core/file.h"
#include "core/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define DEBRIS_DEPTH 4U /* of half-made directories in half-made directories */
#include <unistd.h>

/* One end of a removal or rename: the directory and the entry in it. */
struct end {
	struct xtsfs_node *dir;
	struct xtsfs_fd *fd;
	struct xtsfs_backing_name backing;
	struct xtsfs_node *node; /* of the entry, if it is known */
	struct stat st;		 /* of the entry */
	int found;		 /* 0, or the error of stat */
	bool kept, lost;	 /* the node got a descriptor to keep; it should have, and there was none */
};

static int end_begin(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, struct end *ret)
{
	uint8_t dirid[XTSFS_ID_BYTES];
	int r;

	*ret = (struct end){.dir = dir};
	if (volume->read_only)
		return -EROFS;
	r = xtsfs_dirid_get(volume, dir, dirid);
	if (r == 0)
		r = xtsfs_names_seal(volume, dirid, name, &ret->backing);
	if (r == 0)
		r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &ret->fd);
	if (r == 0)
		r = xtsfs_renew_name(volume, dir, ret->fd->handle, dirid, name);
	return r < 0 ? r : 0;
}

static void end_look(struct xtsfs_volume *volume, struct end *end)
{
	end->found = volume->store->ops->stat(volume->store, end->fd->handle, end->backing.entry, &end->st);
	if (end->found == 0)
		end->node = xtsfs_node_find(volume, &end->st);
}

/* Is at that name what was there before the lock was taken? */
static int end_is_still(struct xtsfs_volume *volume, const struct end *end)
{
	struct stat st;
	int r = volume->store->ops->stat(volume->store, end->fd->handle, end->backing.entry, &st);

	return r == 0 && (st.st_ino != end->st.st_ino || st.st_dev != end->st.st_dev) ? -ESTALE : r;
}

static void end_done(struct xtsfs_volume *volume, struct end *end)
{
	if (end->kept) /* and not removed */
		xtsfs_fd_unkeep(volume, end->node);
	if (end->node)
		xtsfs_node_unref(volume, end->node, 1);
	if (end->fd)
		xtsfs_fd_put(volume, end->fd);
}

/* The last name, or the last that is known, is about to go: whoever still uses the node keeps a descriptor, and of a
 * directory its id, which goes with it: it can still be opened and listed. An error: the name must stay. */
static int end_keep(struct xtsfs_volume *volume, struct end *end)
{
	uint8_t dirid[XTSFS_ID_BYTES];
	int r;

	if (end->node && S_ISDIR(end->st.st_mode) && xtsfs_dirid_get(volume, end->node, dirid) < 0)
		xtsfs_debug("the id of a directory that is being removed cannot be read");
	if (!end->node || (end->st.st_nlink > 1 && !S_ISDIR(end->st.st_mode) &&
			   xtsfs_node_has_other_link(volume, end->node, end->dir, end->backing.entry)))
		return 0;
	/* A network filesystem does not remove what is open but renames it, and then its directory cannot be removed.
	 */
	if (volume->store->flock_is_range && !xtsfs_file_in_use(end->node) && S_ISREG(end->st.st_mode)) {
		xtsfs_fd_drop(volume, end->node);
		end->lost = end->st.st_nlink <= 1;
		return 0;
	}
	r = xtsfs_fd_keep(volume, end->node);
	end->kept = r == 0;
	end->lost = r < 0 && (end->st.st_nlink <= 1 || S_ISDIR(end->st.st_mode));
	/* Whoever has the file open would lose it; whoever has not could not tell. */
	return r == -ESTALE || r == -ENOENT || !xtsfs_file_in_use(end->node) ? 0 : r;
}

/* The entry has gone from its name. */
static void end_removed(struct xtsfs_volume *volume, struct end *end)
{
	if (!end->node)
		return;
	xtsfs_node_remove_link(volume, end->node, end->dir, end->backing.entry);
	if (end->lost)
		xtsfs_node_set_gone(volume, end->node);
	end->kept = false;
}

int xtsfs_unlink(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name)
{
	struct xtsfs_store *store = volume->store;
	struct end end;
	int r = end_begin(volume, dir, name, &end);

	if (r == 0)
		r = xtsfs_dirs_lock(volume, &(struct xtsfs_dirs){{dir}});
	if (r == 0) {
		end_look(volume, &end);
		r = end.found;
		if (r == 0)
			r = end_keep(volume, &end);
		if (r == 0) {
			/* With other names it must not be looked for under this one. */
			bool shared = end.st.st_nlink > 1;

			if (shared)
				pthread_rwlock_wrlock(&volume->names_lock);
			if (shared && end.node)
				xtsfs_node_note_links(end.node);
			r = store->ops->unlink(store, end.fd->handle, end.backing.entry, 0);
			if (r == 0)
				end_removed(volume, &end);
			if (shared)
				pthread_rwlock_unlock(&volume->names_lock);
		}
		if (r == 0)
			xtsfs_names_remove(volume, end.fd->handle, end.backing.entry);
		xtsfs_dirs_unlock(volume, &(struct xtsfs_dirs){{dir}});
	}
	end_done(volume, &end);
	return r;
}

/*
 * A directory whose mode keeps us out (we are not root, but its owner) gets access for as long as we look into it: the
 * mount's kernel has granted the removal, for which the mode of what is removed does not matter.
 */
static bool widen(struct xtsfs_store *store, int parent, const char *name, mode_t *ret_mode)
{
	struct stat st;

	if (geteuid() == 0 || store->ops->stat(store, parent, name, &st) < 0)
		return false;
	*ret_mode = st.st_mode & 07777;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0700) != 0700 &&
	       store->ops->chmod(store, parent, name, *ret_mode | 0700) == 0;
}

/*
 * Does the directory hold an encrypted name? With @clear, its other entries of ours are unlinked on the way.
 * 0: no; -ENOTEMPTY; or an error. Foreign entries count as not empty: they are somebody's.
 */
static int scan(struct xtsfs_store *store, int parent, const char *name, bool clear, unsigned depth);

/* One entry that is not an encrypted name. A half-made directory is debris like any other if it is empty itself. */
static int scan_debris(struct xtsfs_store *store, int dir, const char *name, enum xtsfs_name_kind kind, bool clear,
		       unsigned depth)
{
	struct stat st;
	int r;

	if (kind == XTSFS_NAME_KIND_TMP) {
		r = store->ops->stat(store, dir, name, &st);
		if (r < 0)
			return r;
		if (S_ISDIR(st.st_mode)) {
			r = depth < DEBRIS_DEPTH ? scan(store, dir, name, clear, depth + 1) : -ENOTEMPTY;
			return r == 0 && clear ? store->ops->unlink(store, dir, name, AT_REMOVEDIR) : r;
		}
	}
	return clear ? store->ops->unlink(store, dir, name, 0) : 0;
}

static int scan(struct xtsfs_store *store, int parent, const char *name, bool clear, unsigned depth)
{
	_Alignas(struct dirent64) char buffer[4096];
	mode_t mode;
	bool widened = widen(store, parent, name, &mode);
	int handle = store->ops->open(store, parent, name, O_RDONLY | O_DIRECTORY, 0, NULL);
	struct stat st;
	int r = handle < 0 ? handle : store->fresh ? store->ops->fstat(store, handle, &st) : 0;
	ssize_t n = 0;

	while (r == 0 && (n = store->ops->getdents(store, handle, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; r == 0 && at < n;) {
			const struct dirent64 *record = (const struct dirent64 *)(const void *)(buffer + at);
			enum xtsfs_name_kind kind = xtsfs_name_classify(record->d_name, false);

			at += record->d_reclen;
			if (strcmp(record->d_name, ".") == 0 || strcmp(record->d_name, "..") == 0)
				continue;
			if (kind == XTSFS_NAME_KIND_SHORT || kind == XTSFS_NAME_KIND_LONG ||
			    kind == XTSFS_NAME_KIND_FOREIGN)
				r = -ENOTEMPTY;
			else
				r = scan_debris(store, handle, record->d_name, kind, clear, depth);
		}
	}
	if (handle >= 0)
		store->ops->close(store, handle);
	if (r == 0 && n < 0)
		r = (int)n;
	if (widened && (!clear || r < 0))
		(void)store->ops->chmod(store, parent, name, mode); /* what it was found with */
	return r;
}

/* Takes away a directory that is empty for the mount and has no name of its own any more. Debris if it fails. */
static void remove_tmp_directory(struct xtsfs_store *store, int parent, const char *tmp)
{
	if (scan(store, parent, tmp, true, 0) == 0)
		(void)store->ops->unlink(store, parent, tmp, AT_REMOVEDIR);
}

int xtsfs_rmdir(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name)
{
	struct xtsfs_store *store = volume->store;
	char tmp[XTSFS_NAME_MAX + 1];
	struct end end;
	int r = end_begin(volume, dir, name, &end);

	if (r == 0)
		r = xtsfs_names_tmp(tmp);
	if (r == 0) {
		end_look(volume, &end);
		r = end.found;
		if (r == 0 && !S_ISDIR(end.st.st_mode))
			r = -ENOTDIR;
	}
	if (r == 0) {
		const struct xtsfs_dirs dirs = {{dir, end.node}};

		/* Nothing may be made in it from here on. */
		r = xtsfs_dirs_lock(volume, &dirs);
		if (r < 0) {
			end_done(volume, &end);
			return r;
		}
		r = volume->shared ? end_is_still(volume, &end) : 0;
		if (r == 0)
			r = scan(store, end.fd->handle, end.backing.entry, false, 0);
		if (r == 0)
			r = end_keep(volume, &end);
		if (r == 0)
			r = xtsfs_store_rename_new(store, end.fd->handle, end.backing.entry, tmp);
		if (r == 0) {
			end_removed(volume, &end);
			remove_tmp_directory(store, end.fd->handle, tmp);
			xtsfs_names_remove(volume, end.fd->handle, end.backing.entry);
			if (end.node)
				xtsfs_dirid_not_pending(volume, end.node);
		}
		xtsfs_dirs_unlock(volume, &dirs);
	}
	end_done(volume, &end);
	return r;
}

/* A directory goes over another, which is empty for the mount. */
static int rename_over_directory(struct xtsfs_store *store, struct end *from, struct end *to, unsigned flags)
{
	char tmp[XTSFS_NAME_MAX + 1];
	int r = xtsfs_names_tmp(tmp);

	if (r == 0)
		r = scan(store, to->fd->handle, to->backing.entry, false, 0);
	if (r < 0)
		return r;
	r = store->ops->rename(store, from->fd->handle, from->backing.entry, to->fd->handle, to->backing.entry,
			       RENAME_EXCHANGE);
	if (r == 0) {
		/* The empty one now has the old name, and leaves the whiteout there. */
		r = flags & RENAME_WHITEOUT ? store->ops->rename(store, from->fd->handle, from->backing.entry,
								 from->fd->handle, tmp, RENAME_WHITEOUT)
					    : xtsfs_store_rename_new(store, from->fd->handle, from->backing.entry, tmp);
		if (r == 0)
			remove_tmp_directory(store, from->fd->handle, tmp);
		else if (store->ops->rename(store, from->fd->handle, from->backing.entry, to->fd->handle,
					    to->backing.entry, RENAME_EXCHANGE) < 0)
			r = 0; /* it is done, but for an empty directory under the old name */
		return r;
	}
	if (r != -EINVAL && r != -ENOSYS)
		return r;
	r = xtsfs_store_rename_new(store, to->fd->handle, to->backing.entry, tmp);
	if (r < 0)
		return r;
	r = store->ops->rename(store, from->fd->handle, from->backing.entry, to->fd->handle, to->backing.entry, flags);
	if (r == 0)
		remove_tmp_directory(store, to->fd->handle, tmp);
	else if (xtsfs_store_rename_new(store, to->fd->handle, tmp, to->backing.entry) < 0)
		xtsfs_error("a directory that was to be replaced is left as %s; it is empty", tmp);
	return r;
}

/* Links of the nodes after the backing rename. A failure to remember a name is not one of the rename: a lookup finds it
 * again. */
static void move_links(struct xtsfs_volume *volume, struct end *from, struct end *to, unsigned flags)
{
	end_removed(volume, from);
	end_removed(volume, to);
	if (from->node)
		(void)xtsfs_node_add_link(volume, from->node, to->dir, to->backing.entry);
	if ((flags & RENAME_EXCHANGE) && to->node)
		(void)xtsfs_node_add_link(volume, to->node, from->dir, from->backing.entry);
}

/* What is at that name before the lock is taken, to be locked too if it is a directory; referenced. */
static struct xtsfs_node *look_ahead(struct xtsfs_volume *volume, const struct end *end)
{
	struct stat st;
	int r = volume->store->ops->stat(volume->store, end->fd->handle, end->backing.entry, &st);

	return r == 0 ? xtsfs_node_find(volume, &st) : NULL;
}

/* @locked: the directory to be replaced, if its stripe is held. */
static int rename_locked(struct xtsfs_volume *volume, struct end *from, struct end *to, unsigned flags,
			 const struct xtsfs_node *locked)
{
	struct xtsfs_store *store = volume->store;
	bool target;
	int r;

	end_look(volume, from);
	end_look(volume, to);
	target = to->found == 0;
	if (from->found < 0)
		return from->found;
	if (!target && to->found != -ENOENT)
		return to->found;
	if (target && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (volume->shared && target && S_ISDIR(to->st.st_mode) && to->node != locked && !(flags & RENAME_EXCHANGE))
		return -ESTALE; /* somebody else has put it there meanwhile: the kernel asks again */
	if (target && !(flags & RENAME_EXCHANGE) && from->st.st_ino == to->st.st_ino &&
	    from->st.st_dev == to->st.st_dev)
		return 0; /* two names of one file: nothing happens (POSIX) */
	if (!target)
		r = xtsfs_names_place(volume, to->fd->handle, &to->backing);
	else
		r = flags & RENAME_EXCHANGE ? 0 : end_keep(volume, to);
	if (r < 0)
		return r;
	if (target && !(flags & RENAME_EXCHANGE) && to->node)
		xtsfs_node_note_links(to->node);
	/* Nobody may look for an object between its move and that of its links. */
	pthread_rwlock_wrlock(&volume->names_lock);
	if (target && !(flags & RENAME_EXCHANGE) && S_ISDIR(from->st.st_mode) && S_ISDIR(to->st.st_mode))
		r = rename_over_directory(store, from, to, flags);
	else
		r = store->ops->rename(store, from->fd->handle, from->backing.entry, to->fd->handle, to->backing.entry,
				       flags);
	if (r == -EINVAL && flags == RENAME_NOREPLACE) /* a backing filesystem without it (NFS); there is nothing */
		r = store->ops->rename(store, from->fd->handle, from->backing.entry, to->fd->handle, to->backing.entry,
				       0);
	if (r == 0)
		move_links(volume, from, to, flags);
	if (r == 0 && from->dir != to->dir)
		(void)__atomic_add_fetch(&volume->moves, 1, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&volume->names_lock);
	if (r < 0) {
		if (!target)
			xtsfs_names_remove(volume, to->fd->handle, to->backing.entry);
		return r;
	}
	if (!(flags & (RENAME_EXCHANGE | RENAME_WHITEOUT)))
		xtsfs_names_remove(volume, from->fd->handle, from->backing.entry);
	if (!(flags & RENAME_EXCHANGE) && to->node && S_ISDIR(to->st.st_mode))
		xtsfs_dirid_not_pending(volume, to->node);
	return 0;
}

int xtsfs_rename(struct xtsfs_volume *volume, struct xtsfs_node *old_dir, const char *old_name,
		 struct xtsfs_node *new_dir, const char *new_name, unsigned flags)
{
	struct end from, to = {0};
	int r;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
		return -EINVAL;
	r = end_begin(volume, old_dir, old_name, &from);
	if (r == 0)
		r = end_begin(volume, new_dir, new_name, &to);
	if (r == 0) {
		struct xtsfs_dirs dirs = {{old_dir, new_dir}};
		struct xtsfs_node *replaced = volume->shared ? look_ahead(volume, &to) : NULL;

		dirs.dir[2] = replaced && S_ISDIR(replaced->type) ? replaced : NULL;
		r = xtsfs_dirs_lock(volume, &dirs);
		if (r == 0) {
			r = rename_locked(volume, &from, &to, flags, dirs.dir[2]);
			xtsfs_dirs_unlock(volume, &dirs);
		}
		if (replaced)
			xtsfs_node_unref(volume, replaced, 1);
	}
	end_done(volume, &to);
	end_done(volume, &from);
	return r;
}
