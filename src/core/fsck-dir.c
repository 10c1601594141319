/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scanning one directory: its id, its attributes, then entry by entry.
 *
 * The list is read as the backing directory gives it, in one pass. Entries that a repair renames may come again under
 * their new name; then they are looked at once more, which does no harm. A directory with very many subdirectories
 * stops after some of them, puts itself back on the stack below them, and goes on when they are done: its descriptor
 * stays open and its position is kept in it.
 *
 * The directory's name, if it is not known, is "?"; what is in it is checked all the same.
 */
#include "core/fsck-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES	    32768U
#define SUBDIRECTORIES_MOST 512U /* queued before those that wait are done */

void xtsfs_fsck_dir_ref(struct xtsfs_fsck_dir *dir)
{
	__atomic_fetch_add(&dir->refs, 1, __ATOMIC_RELAXED);
}

void xtsfs_fsck_dir_unref(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir)
{
	while (dir && __atomic_sub_fetch(&dir->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		struct xtsfs_fsck_dir *parent = dir->parent;

		if (dir->scan >= 0)
			fsck->store->ops->close(fsck->store, dir->scan);
		if (dir->node)
			xtsfs_node_unref(fsck->volume, dir->node, 1);
		xtsfs_fsck_candidates_clear(&dir->candidates);
		free(dir->name);
		free(dir->backing_name);
		free(dir);
		dir = parent;
	}
}

int xtsfs_fsck_open(struct xtsfs_fsck *fsck, int dir, const char *name, int flags)
{
	struct xtsfs_store *store = fsck->store;
	int handle = store->ops->open(store, dir, name, flags | O_NONBLOCK | O_NOATIME, 0, NULL);

	if (handle == -EPERM) /* not the owner */
		handle = store->ops->open(store, dir, name, flags | O_NONBLOCK, 0, NULL);
	return handle;
}

/* The entries of an open directory, up to its end or a value of @each. */
static int list_open(struct xtsfs_fsck *fsck, int handle, int (*each)(void *data, int handle, const char *backing_name),
		     void *data)
{
	_Alignas(struct dirent64) char buffer[BUFFER_BYTES];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = fsck->store->ops->getdents(fsck->store, handle, buffer, sizeof(buffer))) != 0) {
		if (n < 0)
			return (int)n;
		for (ssize_t at = 0; r == 0 && at < n;) {
			const struct dirent64 *record = (const struct dirent64 *)(const void *)(buffer + at);

			at += record->d_reclen;
			if (strcmp(record->d_name, ".") != 0 && strcmp(record->d_name, "..") != 0)
				r = each(data, handle, record->d_name);
		}
	}
	return r;
}

int xtsfs_fsck_list(struct xtsfs_fsck *fsck, int dir, const char *name,
		    int (*each)(void *data, int handle, const char *backing_name), void *data)
{
	int handle = xtsfs_fsck_open(fsck, dir, name, O_RDONLY | O_DIRECTORY), r;

	if (handle < 0)
		return handle;
	r = list_open(fsck, handle, each, data);
	fsck->store->ops->close(fsck->store, handle);
	return r;
}

static void run(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work);

static struct xtsfs_fsck_dir *dir_new(struct xtsfs_fsck_dir *parent, const struct xtsfs_fsck_entry *entry)
{
	struct xtsfs_fsck_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	dir->work.run = run;
	dir->refs = 1;
	dir->scan = -1;
	if (entry) {
		dir->name = strdup(entry->name);
		dir->backing_name = strdup(entry->backing);
	}
	if (entry && (!dir->name || !dir->backing_name)) {
		free(dir->name);
		free(dir->backing_name);
		free(dir);
		return NULL;
	}
	if (parent)
		xtsfs_fsck_dir_ref(parent);
	dir->parent = parent;
	return dir;
}

int xtsfs_fsck_dir_start(struct xtsfs_fsck *fsck)
{
	struct xtsfs_fsck_dir *root = dir_new(NULL, NULL);

	if (!root)
		return -ENOMEM;
	xtsfs_node_ref(fsck->volume, fsck->volume->root);
	root->node = fsck->volume->root;
	xtsfs_fsck_push(fsck, &root->work);
	return 0;
}

static void queue_directory(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *parent,
			    const struct xtsfs_fsck_entry *entry, const struct stat *st)
{
	struct xtsfs_fsck_place place = {.dir = parent, .name = entry->name, .backing_name = entry->backing};
	struct xtsfs_fsck_dir *dir = dir_new(parent, entry);
	int r = dir ? xtsfs_node_get(fsck->volume, st, parent->node, entry->backing, &dir->node) : -ENOMEM;

	if (r == 0) {
		xtsfs_fsck_push(fsck, &dir->work);
		return;
	}
	xtsfs_fsck_report_io(fsck, &place, r, "remember the directory");
	xtsfs_fsck_dir_unref(fsck, dir);
}

/* Looks at the object of an entry whose name has been settled. 1 if it is a directory, which was queued. */
static int look_into(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
		     const struct xtsfs_fsck_entry *entry)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = entry->name, .backing_name = entry->backing};
	struct stat st;
	int r = fsck->store->ops->stat(fsck->store, handle, entry->backing, &st);

	if (r < 0) {
		xtsfs_fsck_report_io(fsck, &place, r, "look at it");
		return 0;
	}
	if (S_ISDIR(st.st_mode)) {
		queue_directory(fsck, dir, entry, &st);
		return 1;
	}
	if (st.st_nlink > 1) {
		uint64_t dev;

		if (xtsfs_idset_seen(&fsck->inodes, st.st_ino, st.st_dev, &dev) && dev == st.st_dev) {
			xtsfs_fsck_count(&fsck->totals.hard_links, 1);
			return 0;
		}
	}
	xtsfs_fsck_xattrs(fsck, &place, handle, entry->backing, st.st_mode);
	if (S_ISREG(st.st_mode)) {
		xtsfs_fsck_file(fsck, dir, entry, &st);
	} else if (S_ISLNK(st.st_mode)) {
		xtsfs_fsck_count(&fsck->totals.symlinks, 1);
		xtsfs_fsck_symlink(fsck, &place, handle);
	} else {
		xtsfs_fsck_count(&fsck->totals.specials, 1);
	}
	return 0;
}

struct scan {
	struct xtsfs_fsck *fsck;
	struct xtsfs_fsck_dir *dir;
	int handle; /* O_PATH */
	unsigned subdirectories;
};

static bool is_wanted(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_dir *dir, const char *backing_name)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = backing_name};
	xtsfs_auto_free char *path = fsck->options.wanted ? xtsfs_fsck_path(&place, true) : NULL;

	return !path || fsck->options.wanted(fsck->options.data, path);
}

static void handle_entry(struct scan *scan, const char *backing_name)
{
	struct xtsfs_fsck *fsck = scan->fsck;
	struct xtsfs_fsck_dir *dir = scan->dir;
	struct xtsfs_fsck_entry entry;

	if (!is_wanted(fsck, dir, backing_name))
		return;
	switch (xtsfs_name_classify(backing_name, dir->node->is_root)) {
	case XTSFS_NAME_KIND_SHORT:
	case XTSFS_NAME_KIND_LONG:
		strcpy(entry.backing, backing_name);
		if (xtsfs_fsck_name(fsck, dir, scan->handle, &entry))
			scan->subdirectories += (unsigned)look_into(fsck, dir, scan->handle, &entry);
		return;
	case XTSFS_NAME_KIND_LONG_NAME:
		xtsfs_fsck_long_name(fsck, dir, scan->handle, backing_name);
		return;
	case XTSFS_NAME_KIND_TMP:
		xtsfs_fsck_tmp(fsck, dir, scan->handle, backing_name);
		return;
	case XTSFS_NAME_KIND_OWN:
		xtsfs_fsck_own(fsck, dir, scan->handle, backing_name);
		return;
	case XTSFS_NAME_KIND_FOREIGN:
		xtsfs_fsck_foreign(fsck, dir, scan->handle, backing_name);
		return;
	}
}

/* 0 at the end, 1 if the rest is for later, or an error. */
static int scan_entries(struct scan *scan)
{
	struct xtsfs_store *store = scan->fsck->store;
	_Alignas(struct dirent64) char buffer[BUFFER_BYTES];

	while (!xtsfs_fsck_stopped(scan->fsck)) {
		ssize_t n;

		if (scan->subdirectories > SUBDIRECTORIES_MOST)
			return 1;
		n = store->ops->getdents(store, scan->dir->scan, buffer, sizeof(buffer));
		if (n <= 0)
			return (int)n;
		for (ssize_t at = 0; at < n && !xtsfs_fsck_stopped(scan->fsck);) {
			const struct dirent64 *record = (const struct dirent64 *)(const void *)(buffer + at);

			at += record->d_reclen;
			if (strcmp(record->d_name, ".") != 0 && strcmp(record->d_name, "..") != 0)
				handle_entry(scan, record->d_name);
		}
	}
	return 0;
}

/* Before the first entry. */
static int begin(struct scan *scan)
{
	struct xtsfs_fsck *fsck = scan->fsck;
	struct xtsfs_fsck_place place = {.dir = scan->dir};

	struct stat st;
	int r;

	xtsfs_fsck_count(&fsck->totals.directories, 1);
	scan->dir->scan = xtsfs_fsck_open(fsck, scan->handle, ".", O_RDONLY | O_DIRECTORY);
	if (scan->dir->scan < 0)
		return scan->dir->scan;
	r = fsck->store->ops->fstat(fsck->store, scan->dir->scan, &st);
	if (r < 0)
		return r;
	scan->dir->mtime = st.st_mtim;
	xtsfs_fsck_xattrs(fsck, &place, scan->dir->scan, NULL, S_IFDIR);
	xtsfs_fsck_dirid(fsck, scan->dir, scan->handle);
	return 0;
}

/* Puts the directory back on the stack, under the subdirectories found so far: those were pushed before, so it takes
 * them off first. */
static void put_below(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work, unsigned above)
{
	struct xtsfs_fsck_work **at;

	pthread_mutex_lock(&fsck->queue_mutex);
	for (at = &fsck->stack; *at && above > 0; above--)
		at = &(*at)->next;
	work->next = *at;
	*at = work;
	fsck->queued++;
	pthread_cond_signal(&fsck->queue_cond);
	pthread_mutex_unlock(&fsck->queue_mutex);
}

/* What a repair changed in the directory is no change that its user made. */
static void restore_mtime(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_dir *dir)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, dir->mtime};
	struct stat st;

	if (fsck->options.repair && fsck->store->ops->fstat(fsck->store, dir->scan, &st) == 0 &&
	    (st.st_mtim.tv_sec != dir->mtime.tv_sec || st.st_mtim.tv_nsec != dir->mtime.tv_nsec))
		(void)fsck->store->ops->utimens(fsck->store, dir->scan, NULL, times);
}

static void run(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work)
{
	struct xtsfs_fsck_dir *dir = (struct xtsfs_fsck_dir *)(void *)work; /* its first member */
	struct xtsfs_fsck_place place = {.dir = dir};
	struct scan scan = {.fsck = fsck, .dir = dir};
	struct xtsfs_fd *fd;
	int r;

	if (xtsfs_fsck_stopped(fsck)) {
		xtsfs_fsck_dir_unref(fsck, dir);
		return;
	}
	r = xtsfs_fd_get(fsck->volume, dir->node, XTSFS_ACCESS_PATH, &fd);
	if (r == 0) {
		scan.handle = fd->handle;
		r = dir->scan < 0 ? begin(&scan) : 0;
		if (r == 0)
			r = scan_entries(&scan);
		xtsfs_fd_put(fsck->volume, fd);
	}
	if (r == 1) {
		put_below(fsck, work, scan.subdirectories);
		return;
	}
	if (r < 0)
		xtsfs_fsck_report_io(fsck, &place, r, "read the directory");
	if (dir->scan >= 0) {
		restore_mtime(fsck, dir);
		fsck->store->ops->close(fsck->store, dir->scan);
		dir->scan = -1;
	}
	xtsfs_fsck_candidates_clear(&dir->candidates);
	xtsfs_fsck_dir_unref(fsck, dir);
}
