/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes. All but the size are the backing object's. The plain size follows from the stored length, and for a file
 * in use from its state, since a change of layout passes through lengths that mean something else. A crash may have
 * left a file in such a length, so in an unclean volume every file is asked.
 */
#include "core/file.h"

#include "core/fs.h"
#include "core/reverse-internal.h"

#include "base/base64.h"

#include <fcntl.h>
#include <string.h>

void xtsfs_stat_to_plain(const struct xtsfs_volume *volume, struct stat *st)
{
	if (S_ISREG(st->st_mode)) {
		st->st_size = (off_t)xtsfs_cipher_to_plain_bytes(volume->layout, (uint64_t)st->st_size);
		st->st_blksize = XTSFS_BLOCK_BYTES;
	} else if (S_ISLNK(st->st_mode)) {
		size_t bytes = xtsfs_base64_bytes((size_t)st->st_size);

		st->st_size = bytes > 32 ? (off_t)(bytes - 32) : 0;
	}
}

/* The node's state if it is in use, one user more. */
static struct xtsfs_file *file_in_use(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_file *file = NULL;

	if (S_ISREG(node->type)) {
		xtsfs_guard_mutex(&volume->file_mutex);
		file = node->file;
		if (file)
			file->users++;
	}
	return file;
}

/* May the stored length of a file mean something else? With salvage an inline file may be read whose length was
 * changed.
 * @file: its state, if it is in use. */
static bool is_suspect(struct xtsfs_volume *volume, const struct xtsfs_file *file)
{
	return volume->unclean || volume->salvage || xtsfs_is_unsettled(volume) ||
	       (file && __atomic_load_n(&file->unsure, __ATOMIC_RELAXED));
}

/* The node's state as above, and loaded, so that it knows better than the length. Where that fails the length has to
 * do. */
static struct xtsfs_file *file_loaded(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_file *file = file_in_use(volume, node);
	struct xtsfs_io io;

	if (!S_ISREG(node->type) || !is_suspect(volume, file) ||
	    xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io) < 0)
		return file;
	if (xtsfs_io_lock(&io, false) == 0)
		xtsfs_io_unlock(&io);
	if (!file)
		file = file_in_use(volume, node);
	xtsfs_io_end(&io);
	return file;
}

int xtsfs_node_stat(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct stat *st, struct stat *ret_stat)
{
	if (S_ISREG(node->type) && st->st_size > 0 &&
	    (is_suspect(volume, NULL) || __atomic_load_n(&node->file, __ATOMIC_RELAXED)))
		return xtsfs_getattr(volume, node, ret_stat);
	*ret_stat = *st;
	xtsfs_stat_to_plain(volume, ret_stat);
	return 0;
}

static int getattr_alone(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_file *file;
	struct xtsfs_at at;
	struct stat st;
	int r;

	if (volume->reverse)
		return xtsfs_reverse_getattr(volume, node, ret_stat);
	file = volume->shared ? NULL : file_loaded(volume, node);
	r = xtsfs_at_get(volume, node, &at);
	if (r == 0) {
		if (file)
			pthread_rwlock_rdlock(&file->lock);
		r = at.name ? store->ops->stat(store, at.handle, at.name, &st)
			    : store->ops->fstat(store, at.handle, &st);
		if (r == 0 && (st.st_ino != node->ino || st.st_dev != node->dev))
			r = -ESTALE;
		if (r == -ENOENT)
			r = -ESTALE;
		if (r == 0) {
			xtsfs_stat_to_plain(volume, &st);
			if (file && file->loaded)
				st.st_size = (off_t)file->plain_bytes;
			if (file)
				xtsfs_waiting_overlay_mtime(file, &st);
		}
		if (file)
			pthread_rwlock_unlock(&file->lock);
		xtsfs_at_put(volume, &at);
	}
	if (file)
		xtsfs_file_detach(volume, file);
	if (r == 0)
		*ret_stat = st;
	return r;
}

/* Others may be changing it: everything is asked for, under one lock. 1: it cannot be told so. */
static int getattr_shared(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat)
{
	struct xtsfs_io io;
	struct stat st;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);

	if (r < 0)
		return r == -ESTALE ? r : 1;
	r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		r = volume->store->ops->fstat(volume->store, io.handle, &st);
		if (r == 0) {
			xtsfs_stat_to_plain(volume, &st);
			st.st_size = (off_t)io.file->plain_bytes;
			*ret_stat = st;
		}
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r < 0 && r != -ESTALE && r != -EINTR ? 1 : r;
}

int xtsfs_getattr(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat)
{
	int shared = volume->shared && S_ISREG(node->type) ? getattr_shared(volume, node, ret_stat) : 1;

	return shared <= 0 ? shared : getattr_alone(volume, node, ret_stat);
}

static int set_size(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t plain_bytes)
{
	struct xtsfs_io io;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io);

	if (r < 0)
		return r;
	if (plain_bytes == 0) {
		/* Also for a file whose header is damaged: emptying it is a way out. */
		r = xtsfs_io_lock_unread(&io, true);
		if (r == 0)
			io.file->loaded = true;
	} else {
		r = xtsfs_io_lock(&io, true);
	}
	if (r == 0) {
		r = xtsfs_resize_locked(&io, plain_bytes);
		xtsfs_mtime_written(io.file, false);
		if (r < 0 && plain_bytes == 0)
			io.file->loaded = false;
		r = xtsfs_io_share(&io, r);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r;
}

/* Whoever settles the file elsewhere saves and restores times under the lock of its content. */
static int set_times_shared(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct timespec times[2])
{
	struct xtsfs_io io;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);

	if (r < 0)
		return r;
	r = xtsfs_io_lock_unread(&io, false);
	if (r == 0) {
		r = volume->store->ops->utimens(volume->store, io.handle, NULL, times);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r;
}

/* An mtime is that of what was written before, so that has to be in the backing file first; where it cannot be (the
 * disk is full) it goes on waiting, and who syncs or closes the file is told. */
static int set_times(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_at *at,
		     const struct timespec times[2])
{
	struct xtsfs_file *file = file_in_use(volume, node);
	/* With writers something may begin to wait until the lock is held. */
	bool may_wait = file && times[1].tv_nsec != UTIME_OMIT &&
			(xtsfs_has_writers(volume, node) || xtsfs_waiting_has(file));
	struct xtsfs_io io;
	int r;

	may_wait = may_wait && xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io) == 0;
	/* Finalising saves and restores times under the lock. */
	if (file)
		pthread_rwlock_wrlock(&file->lock);
	if (may_wait && xtsfs_waiting_has(file))
		(void)xtsfs_waiting_commit(&io);
	r = volume->store->ops->utimens(volume->store, at->handle, at->name, times);
	if (file && r == 0 && times[1].tv_nsec != UTIME_OMIT) {
		xtsfs_waiting_untouch(file);
		xtsfs_mtime_sent(file, &times[1]);
	}
	if (file)
		pthread_rwlock_unlock(&file->lock);
	if (may_wait)
		xtsfs_io_end(&io);
	if (file)
		xtsfs_file_detach(volume, file);
	return r;
}

int xtsfs_setattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_setattr *set,
		  struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	bool times = set->times[0].tv_nsec != UTIME_OMIT || set->times[1].tv_nsec != UTIME_OMIT;
	struct xtsfs_at at;
	int r;

	if (volume->read_only)
		return -EROFS;
	r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	if (set->uid_set || set->gid_set)
		r = store->ops->chown(store, at.handle, at.name, set->uid_set ? set->uid : (uid_t)-1,
				      set->gid_set ? set->gid : (gid_t)-1);
	if (r == 0 && set->mode_set)
		r = store->ops->chmod(store, at.handle, at.name, set->mode & 07777);
	if (r == 0 && set->size_set)
		r = set_size(volume, node, set->plain_bytes);
	if (r == 0 && times && volume->shared && S_ISREG(node->type))
		r = set_times_shared(volume, node, set->times);
	else if (r == 0 && times)
		r = set_times(volume, node, &at, set->times);
	xtsfs_at_put(volume, &at);
	return r == 0 && ret_stat ? xtsfs_getattr(volume, node, ret_stat) : r;
}

int xtsfs_statfs(struct xtsfs_volume *volume, struct statvfs *ret_statvfs)
{
	int r = volume->store->ops->statfs(volume->store, ret_statvfs);

	if (r == 0)
		ret_statvfs->f_namemax = XTSFS_NAME_MAX;
	return r;
}

int xtsfs_open(struct xtsfs_volume *volume, struct xtsfs_node *node, bool for_write)
{
	struct xtsfs_file *file;
	struct xtsfs_io io;
	int r = xtsfs_io_begin(volume, node, for_write ? XTSFS_ACCESS_WRITE : XTSFS_ACCESS_READ, &io);

	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		xtsfs_io_unlock(&io);
		r = xtsfs_file_attach(volume, node, &file);
	}
	if (r == 0 && volume->shared)
		xtsfs_fd_hold(volume, io.fd); /* others may remove it */
	if (r == 0 && for_write) {
		struct stat st;

		if (!volume->shared && !xtsfs_has_writers(volume, node) && !xtsfs_waiting_has(file) &&
		    volume->store->ops->fstat(volume->store, io.handle, &st) == 0)
			xtsfs_mtime_opened(file, &st.st_mtim);
		xtsfs_guard_mutex(&volume->file_mutex);
		file->writers++;
	}
	xtsfs_io_end(&io);
	return r;
}

void xtsfs_release(struct xtsfs_volume *volume, struct xtsfs_node *node, bool for_write)
{
	/* Settling takes keys, and files may be closed at any time, a volume that is being locked or not. */
	xtsfs_guard_shared(&volume->key_lock);

	if (for_write) {
		xtsfs_guard_mutex(&volume->file_mutex);
		if (--node->file->writers == 0)
			xtsfs_mtime_closed(node->file);
	}
	if (!volume->shared) {
		xtsfs_file_detach(volume, node->file);
		return;
	}
	xtsfs_node_ref(volume, node);
	xtsfs_file_detach(volume, node->file);
	xtsfs_fd_unkeep(volume, node);
	xtsfs_node_unref(volume, node, 1);
}

bool xtsfs_has_writers(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	xtsfs_guard_mutex(&volume->file_mutex);

	return S_ISREG(node->type) && node->file && node->file->writers > 0;
}
