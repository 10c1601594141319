/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finalising (spec 10 rule 4) and fsync.
 *
 * After a write an entry accepts two versions of its sector. Once the newer one is durable, or nobody uses the file any
 * more, the older is struck out. fsync takes the set of groups that were written before it, makes the data durable, and
 * strikes out only in those that have not been written again meanwhile.
 *
 * These writes are ours and not the user's, so the file's mtime is put back.
 */
#include "core/file.h"

#include "core/fs.h"

#include <fcntl.h>
#include <string.h>

/*
 * Which of its two versions a sector has is known, unless an earlier writer died or a write failed: then it is read.
 * One that is neither, or is good only by the rules after a crash, is left as it is: 1.
 */
static int settle_entry(struct xtsfs_io *io, uint64_t sector_no, struct xtsfs_disk_block *meta)
{
	struct xtsfs_disk_entry *entry = &meta->entry[sector_no % XTSFS_GROUP_SECTORS];
	uint32_t plain_bytes = xtsfs_sector_plain_bytes(io->file->plain_bytes, sector_no);
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	ssize_t n;
	int r = XTSFS_IS_NOW;

	if (plain_bytes && xtsfs_must_look(io)) {
		n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, xtsfs_pad16(plain_bytes),
				      xtsfs_sector_cipher_off(io->volume->layout, sector_no));
		if (n < 0)
			return (int)n;
		memset(scratch->sectors + n, 0, XTSFS_BLOCK_BYTES - (size_t)n);
		r = xtsfs_sector_verify(io, sector_no, plain_bytes, scratch->sectors, meta);
	}
	if (r < 0)
		return r;
	if (r == XTSFS_IS_BAD || r == XTSFS_IS_SHORT || r == XTSFS_IS_CUT || r == XTSFS_IS_ABSENT) {
		/* Other than a bad one it is good as long as there is a marker. */
		if (r != XTSFS_IS_BAD && !io->volume->unclean)
			__atomic_store_n(&io->volume->unsettled, -EIO, __ATOMIC_RELAXED);
		return 1;
	}
	xtsfs_sector_settle(meta, sector_no, r);
	memcpy(entry->before, entry->now, sizeof(entry->before));
	return 0;
}

/* 1 if an entry of the meta block was changed, 0 if none. */
static int settle_group(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *meta)
{
	uint64_t grown = xtsfs_growing_get(meta).from, first = group_no * XTSFS_GROUP_SECTORS;
	int differs = 0;

	for (unsigned i = 0; i < XTSFS_GROUP_SECTORS; i++) {
		int r;

		if (memcmp(meta->entry[i].before, meta->entry[i].now, XTSFS_TAG_BYTES) == 0)
			continue;
		r = settle_entry(io, first + i, meta);
		if (r < 0)
			return r;
		if (r > 0 && grown / XTSFS_BLOCK_BYTES == first + i)
			grown = 0;
		differs = 1;
	}
	if (grown) {
		xtsfs_growing_set(meta, NULL);
		differs = 1;
	}
	return differs;
}

static int finalise_group(struct xtsfs_io *io, uint64_t group_no)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	int r;

	if (group_no * XTSFS_GROUP_SECTORS >= xtsfs_sector_count(io->file->plain_bytes))
		return 0; /* cut off since */
	if (xtsfs_waiting_find(io->file, group_no))
		return 0; /* its meta block is ahead of what is on disk */
	r = xtsfs_meta_load(io, group_no, &scratch->meta);
	if (r == 0)
		r = settle_group(io, group_no, &scratch->meta);
	return r > 0 ? xtsfs_meta_store(io, group_no, &scratch->meta) : r;
}

/* Block 0 with CLEAN, and its entries settled at the same time if they are among @groups. */
static int finalise_block0(struct xtsfs_io *io, const struct xtsfs_groupset *groups)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_header old_header = file->header;
	struct xtsfs_disk_block block = file->block0;
	int r = 0;

	if (xtsfs_has_tags(io) && xtsfs_groupset_has(groups, 0))
		r = settle_group(io, 0, &block);
	if (r < 0)
		return r;
	file->header.flags |= XTSFS_FILE_CLEAN;
	file->header.plain_bytes = file->plain_bytes;
	r = xtsfs_meta_store(io, 0, &block);
	if (r < 0)
		file->header = old_header;
	return r;
}

int xtsfs_finalise(struct xtsfs_io *io, const struct xtsfs_groupset *groups, bool set_clean)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	uint64_t group_no;
	size_t position = 0;
	struct stat st;
	bool cleaned = false;
	int r = 0;

	if (!file->loaded || !file->has_block0)
		return 0;
	if (!xtsfs_scratch())
		return -ENOMEM;
	r = store->ops->fstat(store, io->handle, &st);
	if (r == 0 && file->trim)
		r = xtsfs_file_begin_change(io, false, 0); /* a cut that has failed before */
	if (r < 0)
		return r;
	if (file->has_block0 && !xtsfs_file_is_inline(file)) { /* the cut may have left nothing */
		if (set_clean && !(file->header.flags & XTSFS_FILE_CLEAN)) {
			r = finalise_block0(io, groups);
			cleaned = true;
		}
		while (r == 0 && xtsfs_has_tags(io) && xtsfs_groupset_next(groups, &position, &group_no))
			if (!(cleaned && group_no == 0))
				r = finalise_group(io, group_no);
	}
	times[1] = st.st_mtim;
	(void)store->ops->utimens(store, io->handle, NULL, times);
	return r;
}

/* Gives the groups of a set back to the file: they have not been finalised. */
static void put_back(struct xtsfs_file *file, struct xtsfs_groupset *groups)
{
	uint64_t group_no;
	size_t position = 0;

	while (xtsfs_groupset_next(groups, &position, &group_no))
		xtsfs_file_mark_dirty(file, group_no);
}

static int fsync_file(struct xtsfs_io *io, bool data_only)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	struct xtsfs_groupset before = {0}, settled = {0};
	uint64_t size, group_no, writes;
	size_t position = 0;
	bool changed;
	int r = xtsfs_io_lock(io, true), late;

	if (r < 0) /* a damaged file can be synced all the same, but not what still waits for it */
		return xtsfs_waiting_has(file) ? r : store->ops->sync(store, io->handle, data_only);
	r = xtsfs_waiting_commit(io);
	late = __atomic_exchange_n(&file->late_error, 0, __ATOMIC_RELAXED);
	if (r == 0)
		r = late;
	if (r < 0) {
		xtsfs_io_unlock(io);
		return r;
	}
	before = file->dirty;
	file->dirty = (struct xtsfs_groupset){0};
	changed = xtsfs_file_is_changed(file);
	xtsfs_file_set_changed(file, false);
	size = file->plain_bytes;
	writes = __atomic_load_n(&file->writes, __ATOMIC_ACQUIRE);
	xtsfs_io_unlock(io);

	r = store->ops->sync(store, io->handle, data_only);
	if (r == 0)
		xtsfs_file_set_flushed(file, writes);

	if (changed) {
		int again = io->volume->shared ? xtsfs_io_lock(io, true) : xtsfs_io_lock_unread(io, true);

		if (again < 0) { /* somebody else may have emptied or removed it; its last close settles what is left */
			put_back(file, &before);
			xtsfs_file_set_changed(file, true);
			goto out;
		}
		while (r == 0 && xtsfs_groupset_next(&before, &position, &group_no))
			if (!xtsfs_groupset_has(&file->dirty, group_no))
				r = xtsfs_groupset_add(&settled, group_no);
		if (r == 0)
			r = xtsfs_finalise(io, &settled, size == file->plain_bytes && !xtsfs_file_is_changed(file));
		if (r < 0 || !(file->header.flags & XTSFS_FILE_CLEAN))
			xtsfs_file_set_changed(file, true);
		if (r < 0)
			put_back(file, &before);
		xtsfs_io_unlock(io);
	}
out:
	xtsfs_groupset_clear(&before);
	xtsfs_groupset_clear(&settled);
	return r;
}

int xtsfs_fsync(struct xtsfs_volume *volume, struct xtsfs_node *node, bool data_only)
{
	struct xtsfs_io io;
	int r;

	if (volume->read_only)
		return 0;
	r = xtsfs_dirid_flush(volume);
	if (r < 0)
		return r;
	r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);
	if (r == 0) {
		/* Committing and finalising write. The latter can be done without. */
		bool changed = xtsfs_file_is_changed(io.file);
		struct xtsfs_io writer;

		if (changed)
			r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &writer);
		if (changed && r == 0) {
			r = fsync_file(&writer, data_only);
			xtsfs_io_end(&writer);
		} else if (r == 0 || !xtsfs_waiting_has(io.file)) {
			r = volume->store->ops->sync(volume->store, io.handle, data_only);
		}
		xtsfs_io_end(&io);
	}
	return r;
}

int xtsfs_fsyncdir(struct xtsfs_volume *volume, struct xtsfs_node *dir, bool data_only)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_fd *fd;
	int handle, r;

	if (volume->read_only)
		return 0;
	r = xtsfs_dirid_flush(volume);
	if (r == 0)
		r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	handle = store->ops->open(store, fd->handle, ".", O_RDONLY | O_DIRECTORY, 0, NULL);
	if (handle == -EACCES) /* its mode has changed since the caller opened it */
		r = store->ops->syncfs(store);
	else
		r = handle < 0 ? handle : store->ops->sync(store, handle, data_only);
	if (handle >= 0)
		store->ops->close(store, handle);
	xtsfs_fd_put(volume, fd);
	return r;
}
