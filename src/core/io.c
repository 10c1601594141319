/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation on one regular file: its state, a descriptor, the lock.
 *
 * In a volume that others share, what this process remembers of a file says nothing: each operation has the file alone
 * in this process, takes a lock on the backing file that holds for all who share the volume, and reads the state anew.
 */
#include "core/file.h"

#include <fcntl.h>

int xtsfs_io_begin(struct xtsfs_volume *volume, struct xtsfs_node *node, enum xtsfs_access access,
		   struct xtsfs_io *ret_io)
{
	struct xtsfs_io io = {.volume = volume};
	int r;

	if (access == XTSFS_ACCESS_WRITE && volume->read_only)
		return -EROFS;
	r = xtsfs_file_attach(volume, node, &io.file);
	if (r < 0)
		return r;
	r = xtsfs_fd_get(volume, node, access, &io.fd);
	if (r < 0) {
		xtsfs_file_detach(volume, io.file);
		return r;
	}
	io.handle = io.fd->handle;
	*ret_io = io;
	return 0;
}

void xtsfs_io_end(struct xtsfs_io *io)
{
	xtsfs_fd_put(io->volume, io->fd);
	xtsfs_file_detach(io->volume, io->file);
}

/* Others may have changed it since. @read: find out. */
static int lock_shared(struct xtsfs_io *io, bool exclusive, bool read)
{
	struct xtsfs_file *file = io->file;
	int r;

	io->exclusive = true;
	pthread_rwlock_wrlock(&file->lock);
	r = xtsfs_share_lock(io->volume, io->handle, exclusive ? F_WRLCK : F_RDLCK, XTSFS_SHARE_AT);
	if (r == 0 && read) {
		file->loaded = false;
		r = xtsfs_file_load(io);
		if (r < 0)
			xtsfs_share_unlock(io->volume, io->handle, XTSFS_SHARE_AT);
	}
	if (r < 0)
		pthread_rwlock_unlock(&file->lock);
	if (r == -ESTALE)
		xtsfs_fd_drop(io->volume, file->node);
	return r;
}

int xtsfs_io_lock(struct xtsfs_io *io, bool exclusive)
{
	struct xtsfs_file *file = io->file;
	int r;

	if (io->volume->shared)
		return lock_shared(io, exclusive, true);
	io->exclusive = exclusive;
	for (;;) {
		if (exclusive)
			pthread_rwlock_wrlock(&file->lock);
		else
			pthread_rwlock_rdlock(&file->lock);
		if (file->loaded)
			return 0;
		if (!exclusive) {
			pthread_rwlock_unlock(&file->lock);
			pthread_rwlock_wrlock(&file->lock);
		}
		r = file->loaded ? 0 : xtsfs_file_load(io);
		if (exclusive && r == 0)
			return 0;
		pthread_rwlock_unlock(&file->lock);
		if (r < 0)
			return r;
	}
}

int xtsfs_io_lock_unread(struct xtsfs_io *io, bool exclusive)
{
	if (io->volume->shared)
		return lock_shared(io, exclusive, false);
	io->exclusive = exclusive;
	if (exclusive)
		pthread_rwlock_wrlock(&io->file->lock);
	else
		pthread_rwlock_rdlock(&io->file->lock);
	return 0;
}

int xtsfs_io_share(struct xtsfs_io *io, int r)
{
	int settled = 0;

	if (!io->volume->shared)
		return r;
	settled = xtsfs_waiting_commit(io);
	/* The backing filesystem would write it out when the lock goes, and could not say that it failed. */
	if (settled == 0 && r == 0 && io->volume->store->flock_is_range)
		settled = xtsfs_file_flush(io);
	return r < 0 ? r : settled;
}

void xtsfs_io_unlock(struct xtsfs_io *io)
{
	if (io->volume->shared) {
		io->file->loaded = false;
		xtsfs_share_unlock(io->volume, io->handle, XTSFS_SHARE_AT);
	}
	pthread_rwlock_unlock(&io->file->lock);
}
