/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up and listing.
 *
 * A lookup encrypts the name and asks the backing directory: one stat. A listing reads the backing directory's records
 * and decrypts their names; positions are the backing directory's own, so that they stay valid while it changes, and
 * memory does not grow with its size.
 */
#include "core/internal.h"

#include "core/fs.h"
#include "core/reverse-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#define DIR_BUFFER_BYTES 32768U

struct xtsfs_node *xtsfs_root(struct xtsfs_volume *volume)
{
	return volume->root;
}

void xtsfs_forget(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t count)
{
	xtsfs_node_unref(volume, node, count);
}

/* The stripes of @dirs, each once, in ascending order. Returns how many. */
static unsigned stripes_of(const struct xtsfs_dirs *dirs, unsigned ret_stripes[3])
{
	unsigned count = 0;

	for (unsigned i = 0; i < 3; i++) {
		unsigned at = 0, stripe;

		if (!dirs->dir[i])
			continue;
		stripe = xtsfs_dir_stripe(dirs->dir[i]);
		while (at < count && ret_stripes[at] < stripe)
			at++;
		if (at < count && ret_stripes[at] == stripe)
			continue;
		memmove(ret_stripes + at + 1, ret_stripes + at, (count - at) * sizeof(*ret_stripes));
		ret_stripes[at] = stripe;
		count++;
	}
	return count;
}

static void unlock_stripes(struct xtsfs_volume *volume, const unsigned *stripes, unsigned count)
{
	while (count-- > 0) {
		if (volume->shared)
			xtsfs_share_unlock(volume, volume->lock_handle, XTSFS_SHARE_AT + stripes[count]);
		pthread_mutex_unlock(&volume->dir_mutex[stripes[count]]);
	}
}

int xtsfs_dirs_lock(struct xtsfs_volume *volume, const struct xtsfs_dirs *dirs)
{
	unsigned stripes[3], count = stripes_of(dirs, stripes);

	for (unsigned i = 0; i < count; i++) {
		int r = 0;

		pthread_mutex_lock(&volume->dir_mutex[stripes[i]]);
		if (volume->shared)
			r = xtsfs_share_lock(volume, volume->lock_handle, F_WRLCK, XTSFS_SHARE_AT + stripes[i]);
		if (r < 0) {
			pthread_mutex_unlock(&volume->dir_mutex[stripes[i]]);
			unlock_stripes(volume, stripes, i);
			return r;
		}
	}
	return 0;
}

void xtsfs_dirs_unlock(struct xtsfs_volume *volume, const struct xtsfs_dirs *dirs)
{
	unsigned stripes[3], count = stripes_of(dirs, stripes);

	unlock_stripes(volume, stripes, count);
}

/* A node for what was found at (dir, entry), with attributes as the mount shows them. */
static int found(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *entry, const struct stat *st,
		 struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_node *node;
	int r = xtsfs_node_get(volume, st, dir, entry, &node);

	if (r < 0)
		return r;
	r = xtsfs_node_stat(volume, node, st, ret_stat);
	if (r < 0) {
		xtsfs_node_unref(volume, node, 1);
		return r;
	}
	*ret_node = node;
	return 0;
}

int xtsfs_lookup(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, struct xtsfs_node **ret_node,
		 struct stat *ret_stat)
{
	struct xtsfs_backing_name backing;
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_fd *fd;
	struct stat st;
	int r;

	if (volume->reverse)
		return xtsfs_reverse_lookup(volume, dir, name, ret_node, ret_stat);
	r = xtsfs_dirid_get(volume, dir, dirid);
	if (r == 0)
		r = xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	r = xtsfs_names_find(volume, dirid, fd->handle, name, &backing, &st);
	if (r == 0)
		r = found(volume, dir, backing.entry, &st, ret_node, ret_stat);
	xtsfs_fd_put(volume, fd);
	return r;
}

struct xtsfs_dir {
	struct xtsfs_volume *volume;
	struct xtsfs_node *node;	    /* referenced */
	struct xtsfs_dir *next, **at_list;  /* file_mutex: volume.open_dirs, and what points to this one */
	struct xtsfs_reverse_list *reverse; /* does it all in a reverse view; else NULL */
	uint8_t dirid[XTSFS_ID_BYTES];
	int handle;
	size_t at, filled; /* in the buffer */
	size_t last;	   /* where the entry read last begins */
	int64_t position;  /* of the next record */
	int64_t last_position;
	const struct dirent64 *record;
	uint64_t lost;
	char name[XTSFS_NAME_MAX + 1];
	_Alignas(struct dirent64) char buffer[DIR_BUFFER_BYTES];
};

int xtsfs_opendir(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_dir **ret_dir)
{
	struct xtsfs_dir *dir = calloc(1, sizeof(*dir));
	struct xtsfs_fd *fd;
	int r;

	if (!dir)
		return -ENOMEM;
	dir->volume = volume;
	dir->node = node;
	dir->handle = -1;
	r = volume->reverse ? xtsfs_reverse_list_new(volume, node, &dir->reverse)
			    : xtsfs_dirid_get(volume, node, dir->dirid);
	if (r == 0 && !dir->reverse)
		r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd);
	if (r == 0 && !dir->reverse) {
		r = xtsfs_open_existing(volume, fd->handle, ".", O_RDONLY | O_DIRECTORY);
		xtsfs_fd_put(volume, fd);
	}
	if (r >= 0 && volume->store->fresh) {
		struct stat st;
		int handle = r, told = volume->store->ops->fstat(volume->store, handle, &st);

		if (told < 0) {
			volume->store->ops->close(volume->store, handle);
			r = told;
		}
	}
	if (r < 0) {
		free(dir);
		return r;
	}
	dir->handle = dir->reverse ? -1 : r;
	xtsfs_node_ref(volume, node);
	{
		xtsfs_guard_mutex(&volume->file_mutex);
		dir->next = volume->open_dirs;
		dir->at_list = &volume->open_dirs;
		if (dir->next)
			dir->next->at_list = &dir->next;
		volume->open_dirs = dir;
	}
	*ret_dir = dir;
	return 0;
}

void xtsfs_closedir(struct xtsfs_dir *dir)
{
	{
		xtsfs_guard_mutex(&dir->volume->file_mutex);
		*dir->at_list = dir->next;
		if (dir->next)
			dir->next->at_list = dir->at_list;
	}
	if (dir->reverse)
		xtsfs_reverse_list_free(dir->reverse);
	else
		dir->volume->store->ops->close(dir->volume->store, dir->handle);
	xtsfs_node_unref(dir->volume, dir->node, 1);
	explicit_bzero(dir, sizeof(*dir)); /* the name that was read last */
	free(dir);
}

void xtsfs_closedir_all(struct xtsfs_volume *volume)
{
	while (volume->open_dirs)
		xtsfs_closedir(volume->open_dirs);
}

int xtsfs_seekdir(struct xtsfs_dir *dir, int64_t position)
{
	int r;

	if (dir->reverse)
		return xtsfs_reverse_list_seek(dir->reverse, position);
	if (position == dir->position && position != 0)
		return 0;
	r = dir->volume->store->ops->seekdir(dir->volume->store, dir->handle, position);
	if (r == 0) {
		dir->at = dir->filled = 0;
		dir->position = position;
	}
	return r;
}

/* Shown on the mount? Puts the plain name into dir->name. */
static bool show(struct xtsfs_dir *dir, const struct dirent64 *record)
{
	struct xtsfs_volume *volume = dir->volume;
	enum xtsfs_name_kind kind;
	int r;

	if (strcmp(record->d_name, ".") == 0 || strcmp(record->d_name, "..") == 0) {
		strcpy(dir->name, record->d_name);
		return true;
	}
	kind = xtsfs_name_classify(record->d_name, dir->node->is_root);
	if (kind != XTSFS_NAME_KIND_SHORT && kind != XTSFS_NAME_KIND_LONG) {
		if (kind == XTSFS_NAME_KIND_FOREIGN)
			xtsfs_notice(
				"inode %llu: a foreign entry in the directory is not shown; xtsfsctl fsck names it",
				(unsigned long long)dir->node->ino);
		return false;
	}
	r = xtsfs_names_open(volume, dir->dirid, dir->handle, record->d_name, dir->name);
	if (r < 0) {
		struct stat st;

		/* It may just have been removed, and with it its .name file. */
		if (volume->store->ops->stat(volume->store, dir->handle, record->d_name, &st) == 0) {
			dir->lost++;
			xtsfs_warning("inode %llu: the name of the entry '%s' does not decrypt, not showing it; "
				      "xtsfsctl fsck shows what can be done",
				      (unsigned long long)dir->node->ino, record->d_name);
		}
		return false;
	}
	return true;
}

int xtsfs_readdir(struct xtsfs_dir *dir, struct xtsfs_dirent *ret_entry)
{
	if (dir->reverse)
		return xtsfs_reverse_list_next(dir->reverse, ret_entry);
	for (;;) {
		const struct dirent64 *record;

		if (dir->at == dir->filled) {
			ssize_t n = dir->volume->store->ops->getdents(dir->volume->store, dir->handle, dir->buffer,
								      sizeof(dir->buffer));

			if (n <= 0)
				return (int)n;
			dir->at = 0;
			dir->filled = (size_t)n;
		}
		record = (const struct dirent64 *)(const void *)(dir->buffer + dir->at);
		dir->last = dir->at;
		dir->last_position = dir->position;
		dir->at += record->d_reclen;
		if (!show(dir, record)) {
			dir->position = record->d_off;
			continue;
		}
		dir->record = record;
		*ret_entry = (struct xtsfs_dirent){
			.name = dir->name,
			.ino = record->d_ino,
			.type = record->d_type,
			.next = record->d_off,
			.backing_name = record->d_name,
		};
		if (dir->node->is_root && strcmp(dir->name, "..") == 0)
			ret_entry->ino = dir->node->ino;
		dir->position = record->d_off;
		return 1;
	}
}

uint64_t xtsfs_dir_lost(const struct xtsfs_dir *dir)
{
	return dir->lost;
}

void xtsfs_unreaddir(struct xtsfs_dir *dir)
{
	if (dir->reverse) {
		xtsfs_reverse_list_back(dir->reverse);
		return;
	}
	dir->at = dir->last;
	dir->position = dir->last_position;
}

bool xtsfs_dir_is_told(const struct xtsfs_dir *dir)
{
	struct stat st = {.st_dev = dir->node->dev, .st_mode = S_IFREG};

	if (dir->reverse) /* attributes do not stay true there */
		return false;
	st.st_ino = dir->record->d_ino;
	return dir->record->d_type == DT_REG && xtsfs_node_is_told(dir->volume, &st);
}

int xtsfs_dir_lookup(struct xtsfs_dir *dir, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_volume *volume = dir->volume;
	struct stat st;
	int r;

	if (dir->reverse)
		return xtsfs_reverse_list_lookup(dir->reverse, ret_node, ret_stat);
	r = volume->store->ops->stat(volume->store, dir->handle, dir->record->d_name, &st);
	return r < 0 ? r : found(volume, dir->node, dir->record->d_name, &st, ret_node, ret_stat);
}
