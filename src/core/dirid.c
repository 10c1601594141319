/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory ids (spec 5): reading them once for each directory node, writing them, and making them durable when a
 * caller syncs.
 *
 * A directory is useless without its dirid, and the dirid's data may still be only in memory when the directory itself
 * is already durable. Syncing each one at mkdir would make unpacking a tree wait for the disk thousands of times.
 * Instead new directories are listed as pending, and every fsync, of whatever file or directory, first makes the
 * pending dirids durable. A long list is answered by one syncfs.
 *
 * What nobody syncs may become durable all the same, by another program's fsync or in the course of time, and a journal
 * commits names before it waits for a file's data. So the dirid's page is handed to the disk, without waiting for the
 * disk's cache, before its directory gets its name: journals that order data before names then have both or neither.
 */
#include "core/internal.h"

#include "core/reverse-internal.h"
#include "crypto/kdf.h"
#include "format/header.h"

#include <fcntl.h>
#include <string.h>

#define PENDING_MAX 1024U

int xtsfs_dirid_read(struct xtsfs_store *store, const struct xtsfs_keys *keys, int dir,
		     struct xtsfs_disk_dirid *ret_dirid, bool *ret_old)
{
	struct xtsfs_disk_dirid dirid;
	uint8_t extra;
	struct iovec parts[2];
	struct stat st;
	ssize_t n;
	int r, handle;

	r = store->ops->stat(store, dir, XTSFS_NAME_DIRID, &st);
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size != sizeof(dirid)))
		return -XTSFS_EDAMAGED;
	handle = r < 0 ? r : store->ops->open(store, dir, XTSFS_NAME_DIRID, O_RDONLY | O_NONBLOCK, 0, NULL);
	if (handle < 0)
		return handle == -ENOENT || handle == -ELOOP ? -XTSFS_EDAMAGED : handle;
	n = xtsfs_store_pread(store, handle, &dirid, sizeof(dirid), 0);
	if (n == sizeof(dirid) && xtsfs_store_pread(store, handle, &extra, 1, sizeof(dirid)) != 0)
		n = 0;
	store->ops->close(store, handle);
	if (n < 0)
		return (int)n;
	if (n != sizeof(dirid))
		return -XTSFS_EDAMAGED;
	r = xtsfs_keys_meta_verify(keys, parts, xtsfs_dirid_tag_parts(&dirid, parts), dirid.tag, ret_old);
	if (r < 0)
		return r == -XTSFS_EAUTH ? -XTSFS_EDAMAGED : r;
	*ret_dirid = dirid;
	return 0;
}

int xtsfs_dirid_write(struct xtsfs_store *store, struct xtsfs_mac *meta_mac, int dir, const uint8_t *id,
		      const uint8_t parent_id[XTSFS_ID_BYTES], uint8_t ret_id[XTSFS_ID_BYTES])
{
	struct xtsfs_disk_dirid dirid;
	struct iovec parts[2];
	int r = 0, handle;

	if (id)
		memcpy(dirid.id, id, sizeof(dirid.id));
	else
		r = xtsfs_random(dirid.id, sizeof(dirid.id));
	memcpy(dirid.parent_id, parent_id, sizeof(dirid.parent_id));
	if (r == 0)
		r = xtsfs_mac_tag(meta_mac, parts, xtsfs_dirid_tag_parts(&dirid, parts), dirid.tag);
	if (r < 0)
		return r;
	handle = store->ops->open(store, dir, XTSFS_NAME_DIRID, O_CREAT | O_EXCL | O_WRONLY, 0400, NULL);
	if (handle < 0)
		return handle;
	r = xtsfs_store_pwrite(store, handle, &dirid, sizeof(dirid), 0);
	if (r == 0)
		r = store->fresh ? store->ops->sync(store, handle, false) : store->ops->writeout(store, handle);
	store->ops->close(store, handle);
	if (r < 0)
		(void)store->ops->unlink(store, dir, XTSFS_NAME_DIRID, 0);
	else
		memcpy(ret_id, dirid.id, sizeof(dirid.id));
	return r;
}

/* Is it on its way out, by rmdir or another directory renamed over it? Then its id may be gone already. */
static bool is_being_removed(struct xtsfs_volume *volume, struct xtsfs_node *dir)
{
	struct xtsfs_at at;
	struct stat st;
	int r;

	if (dir->is_root || xtsfs_at_get_name(volume, dir, &at) < 0)
		return false;
	r = at.name ? volume->store->ops->stat(volume->store, at.handle, at.name, &st) : -ENOENT;
	xtsfs_at_put(volume, &at);
	return r == -ENOENT || (r == 0 && (st.st_ino != dir->ino || st.st_dev != dir->dev));
}

/* In a reverse view. A node there is of one name for good, and its directory's id was known before it was found. */
static int derive(struct xtsfs_volume *volume, struct xtsfs_node *dir, uint8_t ret_id[XTSFS_ID_BYTES])
{
	const struct xtsfs_link *link = dir->links;
	uint8_t parent_id[XTSFS_ID_BYTES];
	int r = dir->is_root ? 0 : xtsfs_dirid_get(volume, link->parent, parent_id);

	if (r == 0)
		r = dir->is_root ? xtsfs_reverse_dirid(volume->keys, NULL, "", ret_id)
				 : xtsfs_reverse_dirid(volume->keys, parent_id, link->backing_name, ret_id);
	if (r < 0)
		return r;
	xtsfs_guard_mutex(&volume->table_mutex);
	if (!dir->has_dirid) {
		memcpy(dir->dirid, ret_id, XTSFS_ID_BYTES);
		__atomic_store_n(&dir->has_dirid, true, __ATOMIC_RELEASE);
	}
	return 0;
}

int xtsfs_dirid_get(struct xtsfs_volume *volume, struct xtsfs_node *dir, uint8_t ret_id[XTSFS_ID_BYTES])
{
	struct xtsfs_disk_dirid dirid;
	struct xtsfs_fd *fd;
	int r;

	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	/* Somebody else may have removed the directory, and another have its inode number. */
	if (!volume->shared && __atomic_load_n(&dir->has_dirid, __ATOMIC_ACQUIRE)) {
		memcpy(ret_id, dir->dirid, XTSFS_ID_BYTES);
		return 0;
	}
	if (volume->reverse)
		return derive(volume, dir, ret_id);
	r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	r = xtsfs_dirid_read(volume->store, volume->keys, fd->handle, &dirid, NULL);
	xtsfs_fd_put(volume, fd);
	if (r == -ESTALE)
		xtsfs_fd_drop(volume, dir);
	if (r == -XTSFS_EDAMAGED && is_being_removed(volume, dir))
		return -ENOENT;
	if (r == -XTSFS_EDAMAGED) {
		xtsfs_auto_free char *path = xtsfs_node_describe(volume, dir->is_root ? volume->root : dir);

		xtsfs_error("directory %s: its id (%s) is missing or damaged; run xtsfsctl fsck --repair",
			    path ? path : "?", XTSFS_NAME_DIRID);
	}
	if (r < 0)
		return r;

	pthread_mutex_lock(&volume->table_mutex);
	if (!dir->has_dirid) {
		memcpy(dir->dirid, dirid.id, XTSFS_ID_BYTES);
		__atomic_store_n(&dir->has_dirid, true, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&volume->table_mutex);
	memcpy(ret_id, dirid.id, XTSFS_ID_BYTES);
	return 0;
}

/* False if there is no room. The reference is the list's. */
static bool list_pending(struct xtsfs_volume *volume, struct xtsfs_node *dir)
{
	xtsfs_guard_mutex(&volume->pending_mutex);

	if (!volume->pending)
		volume->pending = calloc(PENDING_MAX, sizeof(*volume->pending));
	if (!volume->pending || volume->pending_count == PENDING_MAX)
		return false;
	volume->pending[volume->pending_count++] = dir;
	return true;
}

void xtsfs_dirid_pending(struct xtsfs_volume *volume, struct xtsfs_node *dir)
{
	xtsfs_node_ref(volume, dir);
	if (list_pending(volume, dir))
		return;
	/* Make everything durable now and start a new list; if that fails the next sync says so again. */
	if (xtsfs_dirid_flush(volume) == 0 && list_pending(volume, dir))
		return;
	(void)volume->store->ops->syncfs(volume->store);
	xtsfs_node_unref(volume, dir, 1);
}

static int flush_one(struct xtsfs_volume *volume, struct xtsfs_node *dir)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_fd *fd;
	int handle, r;

	r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r == -ESTALE)
		return 0; /* removed since */
	if (r == -EACCES) /* a mode keeps us out, though the directory is ours (we are not root) */
		return store->ops->syncfs(store);
	if (r < 0)
		return r;
	handle = store->ops->open(store, fd->handle, XTSFS_NAME_DIRID, O_RDONLY, 0, NULL);
	if (handle >= 0) {
		r = store->ops->sync(store, handle, false);
		store->ops->close(store, handle);
	}
	if (handle >= 0 && r == 0) {
		handle = store->ops->open(store, fd->handle, ".", O_RDONLY | O_DIRECTORY, 0, NULL);
		if (handle >= 0) {
			r = store->ops->sync(store, handle, false);
			store->ops->close(store, handle);
		} else {
			r = handle;
		}
	}
	xtsfs_fd_put(volume, fd);
	if (handle == -EACCES) /* as above */
		return store->ops->syncfs(store);
	return handle == -ENOENT ? 0 : handle < 0 ? handle : r;
}

void xtsfs_dirid_not_pending(struct xtsfs_volume *volume, struct xtsfs_node *dir)
{
	bool found = false;

	pthread_mutex_lock(&volume->pending_mutex);
	for (size_t i = volume->pending_count; i-- > 0 && !found;) {
		found = volume->pending[i] == dir;
		if (found)
			volume->pending[i] = volume->pending[--volume->pending_count];
	}
	pthread_mutex_unlock(&volume->pending_mutex);
	if (found)
		xtsfs_node_unref(volume, dir, 1);
}

/*
 * One at a time: a directory that another sync has taken off the list is durable only when that sync has ended, and
 * whoever comes meanwhile must not be answered before.
 */
int xtsfs_dirid_flush(struct xtsfs_volume *volume)
{
	struct xtsfs_node **list;
	size_t count;
	int r = 0;

	xtsfs_guard_mutex(&volume->flush_mutex);
	pthread_mutex_lock(&volume->pending_mutex);
	list = volume->pending;
	count = volume->pending_count;
	volume->pending = NULL;
	volume->pending_count = 0;
	pthread_mutex_unlock(&volume->pending_mutex);
	if (count > 32)
		r = volume->store->ops->syncfs(volume->store);
	for (size_t i = 0; i < count; i++) {
		int one = count > 32 ? r : flush_one(volume, list[i]);

		if (one < 0)
			r = one;
		/* Without room for it the error is all that can be told. */
		if (one == 0 || !list_pending(volume, list[i]))
			xtsfs_node_unref(volume, list[i], 1);
	}
	free(list);
	return r;
}
