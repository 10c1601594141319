/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of nodes: a bounded cache. A node has at most one descriptor in it; a lease keeps it open, unused ones
 * stay open in order of use until there are more than fd_max, then the oldest is closed.
 *
 * A descriptor is opened through a link of the node, from the parent's descriptor, and believed only if (dev, ino) and
 * type are the node's: somebody may have changed the backing directory. A node that has lost its last name keeps its
 * descriptor (fd_keeps).
 *
 * A read-only descriptor that is not enough is replaced by a writable one; the old one lives as long as its users
 * ("orphan").
 */
#include "core/internal.h"

#include "core/file.h"
#include "core/fs.h"

#include <fcntl.h>

static void lru_remove(struct xtsfs_volume *volume, struct xtsfs_fd *fd)
{
	if (fd->newer)
		fd->newer->older = fd->older;
	else if (volume->lru_newest == fd)
		volume->lru_newest = fd->older;
	if (fd->older)
		fd->older->newer = fd->newer;
	else if (volume->lru_oldest == fd)
		volume->lru_oldest = fd->newer;
	fd->newer = fd->older = NULL;
}

static void lru_add(struct xtsfs_volume *volume, struct xtsfs_fd *fd)
{
	fd->older = volume->lru_newest;
	if (fd->older)
		fd->older->newer = fd;
	else
		volume->lru_oldest = fd;
	volume->lru_newest = fd;
}

/* Takes the oldest unused descriptor out if there are too many; the caller closes it after unlocking. */
static struct xtsfs_fd *evict_locked(struct xtsfs_volume *volume, unsigned limit)
{
	struct xtsfs_fd *fd = volume->lru_oldest;

	if (volume->fd_count <= limit || !fd)
		return NULL;
	lru_remove(volume, fd);
	fd->node->fd = NULL;
	volume->fd_count--;
	return fd;
}

static void close_fd(struct xtsfs_volume *volume, struct xtsfs_fd *fd)
{
	if (fd) {
		volume->store->ops->close(volume->store, fd->handle);
		free(fd);
	}
}

static struct xtsfs_fd *lease_locked(struct xtsfs_volume *volume, struct xtsfs_node *node, enum xtsfs_access access)
{
	struct xtsfs_fd *fd = node->fd;

	if (!fd || fd->access < access)
		return NULL;
	if (fd->users++ == 0 && !node->fd_keeps)
		lru_remove(volume, fd);
	return fd;
}

int xtsfs_fd_adopt(struct xtsfs_volume *volume, struct xtsfs_node *node, int handle, enum xtsfs_access access,
		   struct xtsfs_fd **ret_fd)
{
	struct xtsfs_fd *fd = calloc(1, sizeof(*fd)), *mine, *old = NULL, *evicted;

	if (!fd) {
		volume->store->ops->close(volume->store, handle);
		return -ENOMEM;
	}
	*fd = (struct xtsfs_fd){.handle = handle, .access = access, .users = 1, .node = node};
	pthread_mutex_lock(&volume->fd_mutex);
	mine = lease_locked(volume, node, access);
	if (mine) { /* another thread was quicker */
		old = fd;
	} else {
		mine = fd;
		old = node->fd;
		node->fd = fd;
		volume->fd_count++;
		if (old) {
			volume->fd_count--;
			if (old->users) {
				old->orphan = true;
				old = NULL;
			} else if (!node->fd_keeps) {
				lru_remove(volume, old);
			}
		}
	}
	evicted = evict_locked(volume, volume->fd_max);
	pthread_mutex_unlock(&volume->fd_mutex);
	close_fd(volume, old);
	close_fd(volume, evicted);
	*ret_fd = mine;
	return 0;
}

/*
 * Open for reading or writing although the mode forbids it to us (not root, but the owner): the mount's kernel has
 * granted the access, when the file was created or still had another mode. The mode is widened for the moment of the
 * open.
 */
static int open_against_mode(struct xtsfs_volume *volume, int dir, const char *name, int flags, const struct stat *st)
{
	struct xtsfs_store *store = volume->store;
	int handle, r;

	if (st->st_uid != geteuid() || volume->reverse)
		return -EACCES;
	r = store->ops->chmod(store, dir, name, (st->st_mode & 07777) | 0600);
	if (r < 0)
		return r;
	handle = store->ops->open(store, dir, name, flags, 0, NULL);
	r = store->ops->chmod(store, dir, name, st->st_mode & 07777);
	if (r < 0)
		xtsfs_warning("cannot restore the mode of a file: %s; it stays readable and writable by its owner",
			      xtsfs_strerror(r));
	return handle;
}

int xtsfs_open_existing(struct xtsfs_volume *volume, int dir, const char *name, int flags)
{
	struct xtsfs_store *store = volume->store;
	int handle = store->ops->open(store, dir, name, flags | (volume->no_atime ? O_NOATIME : 0), 0, NULL);

	/* O_NOATIME is for the owner and root. */
	return handle == -EPERM && volume->no_atime ? store->ops->open(store, dir, name, flags, 0, NULL) : handle;
}

static int open_link(struct xtsfs_volume *volume, struct xtsfs_node *node, int dir, const char *name,
		     enum xtsfs_access access)
{
	static const int flags[] = {
		[XTSFS_ACCESS_PATH] = O_PATH, [XTSFS_ACCESS_READ] = O_RDONLY, [XTSFS_ACCESS_WRITE] = O_RDWR};
	struct xtsfs_store *store = volume->store;
	struct stat st;
	int handle, r;

	if (S_ISDIR(node->type))
		return store->ops->open(store, dir, name, O_PATH | O_DIRECTORY, 0, NULL);
	if (access != XTSFS_ACCESS_PATH) {
		/* Never open a fifo or device that was put in the file's place: they block or act. */
		r = store->ops->stat(store, dir, name, &st);
		if (r < 0)
			return r;
		if (st.st_ino != node->ino || st.st_dev != node->dev || !S_ISREG(st.st_mode))
			return -ESTALE;
	}
	handle = access == XTSFS_ACCESS_PATH ? store->ops->open(store, dir, name, O_PATH, 0, NULL)
					     : xtsfs_open_existing(volume, dir, name, flags[access]);
	if (handle == -EACCES && access != XTSFS_ACCESS_PATH)
		handle = open_against_mode(volume, dir, name, flags[access], &st);
	return handle;
}

static int open_node(struct xtsfs_volume *volume, struct xtsfs_node *node, enum xtsfs_access access)
{
	struct xtsfs_store *store = volume->store;
	xtsfs_auto_free char *name = NULL;
	struct xtsfs_node *parent;
	struct xtsfs_fd *dir;
	struct stat st;
	int handle = -1, r;

	xtsfs_guard_shared(&volume->names_lock);
	r = xtsfs_node_link(volume, node, &parent, &name);
	if (r < 0)
		return r;
	r = xtsfs_fd_get(volume, parent, XTSFS_ACCESS_PATH, &dir);
	if (r == 0) {
		handle = open_link(volume, node, dir->handle, name, access);
		xtsfs_fd_put(volume, dir);
		r = handle;
	}
	xtsfs_node_unref(volume, parent, 1);
	if (r < 0)
		return r == -ENOENT || r == -ELOOP || r == -ENOTDIR ? -ESTALE : r;
	r = store->ops->fstat(store, handle, &st);
	if (r == 0 && (st.st_ino != node->ino || st.st_dev != node->dev || (st.st_mode & S_IFMT) != node->type))
		r = -ESTALE;
	if (r < 0) {
		store->ops->close(store, handle);
		return r;
	}
	return handle;
}

int xtsfs_fd_get(struct xtsfs_volume *volume, struct xtsfs_node *node, enum xtsfs_access access,
		 struct xtsfs_fd **ret_fd)
{
	int handle;

	if (S_ISDIR(node->type))
		access = XTSFS_ACCESS_PATH;
	pthread_mutex_lock(&volume->fd_mutex);
	*ret_fd = lease_locked(volume, node, access);
	pthread_mutex_unlock(&volume->fd_mutex);
	if (*ret_fd)
		return 0;

	handle = open_node(volume, node, access);
	if (handle == -EMFILE || handle == -ENFILE) {
		/* Close what is unused and try once more. */
		struct xtsfs_fd *oldest;

		do {
			pthread_mutex_lock(&volume->fd_mutex);
			oldest = evict_locked(volume, 0);
			pthread_mutex_unlock(&volume->fd_mutex);
			close_fd(volume, oldest);
		} while (oldest);
		handle = open_node(volume, node, access);
	}
	if (handle < 0)
		return handle;
	return xtsfs_fd_adopt(volume, node, handle, access, ret_fd);
}

void xtsfs_fd_put(struct xtsfs_volume *volume, struct xtsfs_fd *fd)
{
	struct xtsfs_fd *closing = NULL;

	pthread_mutex_lock(&volume->fd_mutex);
	if (--fd->users == 0) {
		if (fd->orphan) {
			closing = fd;
		} else if (!fd->node->fd_keeps) {
			lru_add(volume, fd);
			closing = evict_locked(volume, volume->fd_max);
		}
	}
	pthread_mutex_unlock(&volume->fd_mutex);
	close_fd(volume, closing);
}

static bool is_want(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

int xtsfs_fd_keep(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_fd *fd;
	int r = -EINVAL;

	/* One that is good for whatever may come: there is no opening it again. */
	if (S_ISREG(node->type)) {
		r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_WRITE, &fd);
		if (r < 0 && !(is_want(r) && xtsfs_has_writers(volume, node)))
			r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_READ, &fd);
		/* A lesser one that happens to be open is no help to whoever has the file open. */
		if (is_want(r) && xtsfs_file_in_use(node))
			return r;
	}
	if (r < 0)
		r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	pthread_mutex_lock(&volume->fd_mutex);
	node->fd_keeps++;
	pthread_mutex_unlock(&volume->fd_mutex);
	xtsfs_fd_put(volume, fd);
	return 0;
}

void xtsfs_fd_hold(struct xtsfs_volume *volume, struct xtsfs_fd *fd)
{
	xtsfs_guard_mutex(&volume->fd_mutex);
	struct xtsfs_fd *other = fd->node->fd; /* @fd, or a better one */

	if (fd->node->fd_keeps++ == 0 && other && other->users == 0)
		lru_remove(volume, other);
}

void xtsfs_fd_unkeep(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_fd *evicted = NULL;

	pthread_mutex_lock(&volume->fd_mutex);
	if (node->fd_keeps && --node->fd_keeps == 0 && node->fd && node->fd->users == 0) {
		lru_add(volume, node->fd);
		evicted = evict_locked(volume, volume->fd_max);
	}
	pthread_mutex_unlock(&volume->fd_mutex);
	close_fd(volume, evicted);
}

void xtsfs_fd_forget(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_fd *fd;

	pthread_mutex_lock(&volume->fd_mutex);
	fd = node->fd;
	node->fd = NULL;
	if (fd) {
		if (!node->fd_keeps && !fd->users)
			lru_remove(volume, fd);
		volume->fd_count--;
	}
	pthread_mutex_unlock(&volume->fd_mutex);
	close_fd(volume, fd);
}

void xtsfs_fd_drop(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_fd *fd;

	pthread_mutex_lock(&volume->fd_mutex);
	fd = node->fd_keeps ? NULL : node->fd;
	if (fd) {
		node->fd = NULL;
		volume->fd_count--;
		if (fd->users) {
			fd->orphan = true;
			fd = NULL;
		} else {
			lru_remove(volume, fd);
		}
	}
	pthread_mutex_unlock(&volume->fd_mutex);
	close_fd(volume, fd);
}

/*
 * Somebody else may have renamed what is open here, or where we are: a descriptor knows better than a name.
 */
int xtsfs_at_get(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *ret_at)
{
	struct xtsfs_at at = {0};

	if (volume->shared && !node->is_root && (S_ISDIR(node->type) || xtsfs_file_in_use(node)) &&
	    xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &at.fd) == 0) {
		at.handle = at.fd->handle;
		*ret_at = at;
		return 0;
	}
	return xtsfs_at_get_name(volume, node, ret_at);
}

int xtsfs_at_get_name(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *ret_at)
{
	struct xtsfs_at at = {.handle = volume->store->root};
	int r;

	if (node->is_root) {
		*ret_at = at;
		return 0;
	}
	pthread_rwlock_rdlock(&volume->names_lock);
	r = xtsfs_node_link(volume, node, &at.parent, &at.name);
	at.nameless = r == -ESTALE;
	if (at.nameless)
		r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &at.fd);
	else if (r == 0)
		r = xtsfs_fd_get(volume, at.parent, XTSFS_ACCESS_PATH, &at.fd);
	if (r < 0) {
		if (at.parent)
			xtsfs_node_unref(volume, at.parent, 1);
		free(at.name);
		pthread_rwlock_unlock(&volume->names_lock);
		return r;
	}
	at.locked = true;
	at.handle = at.fd->handle;
	*ret_at = at;
	return 0;
}

void xtsfs_at_put(struct xtsfs_volume *volume, struct xtsfs_at *at)
{
	if (at->fd)
		xtsfs_fd_put(volume, at->fd);
	if (at->parent)
		xtsfs_node_unref(volume, at->parent, 1);
	free(at->name);
	if (at->locked)
		pthread_rwlock_unlock(&volume->names_lock);
	*at = (struct xtsfs_at){0};
}
