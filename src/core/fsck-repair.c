/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What repairs do to directories: moving entries out of the way, new names, ids, removing half-made directories.
 *
 * Nothing with content is deleted: what cannot be explained is renamed into xtsfs.lost+found. Each change is one rename
 * or unlink, or is prepared under a temporary name and then renamed, so a run that is killed leaves the old state, the
 * new one, or the old one and debris that the next run knows.
 *
 * A repair may be done by root on somebody's volume. What it makes gets the owner of the directory it is made in, or
 * the owner's daemon could not read it.
 */
#include "core/fsck-internal.h"

#include "format/header.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int give_to_owner_of(struct xtsfs_fsck *fsck, int dir, const char *name)
{
	struct xtsfs_store *store = fsck->store;
	struct stat st;
	int r;

	if (geteuid() != 0)
		return 0;
	r = store->ops->fstat(store, dir, &st);
	return r < 0 || st.st_uid == 0 ? r : store->ops->chown(store, dir, name, st.st_uid, st.st_gid);
}

/* ---- xtsfs.lost+found ---- */

static int open_lost(struct xtsfs_fsck *fsck)
{
	struct xtsfs_store *store = fsck->store;
	int r;

	if (fsck->lost_handle >= 0)
		return 0;
	r = store->ops->mkdir(store, store->root, XTSFS_NAME_LOST, 0700, NULL);
	if (r == 0)
		r = give_to_owner_of(fsck, store->root, XTSFS_NAME_LOST);
	if (r < 0 && r != -EEXIST)
		return r;
	r = store->ops->open(store, store->root, XTSFS_NAME_LOST, O_PATH | O_DIRECTORY, 0, NULL);
	if (r < 0)
		return r;
	fsck->lost_handle = r;
	return 0;
}

static int rename_new_between(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			      const char *new_name)
{
	struct stat st;
	int r = store->ops->rename(store, old_dir, old_name, new_dir, new_name, RENAME_NOREPLACE);

	if (r != -EINVAL && r != -ENOSYS)
		return r;
	/* A backing filesystem without the flag. Nobody else has the volume. */
	r = store->ops->stat(store, new_dir, new_name, &st);
	if (r != -ENOENT)
		return r == 0 ? -EEXIST : r;
	return store->ops->rename(store, old_dir, old_name, new_dir, new_name, 0);
}

int xtsfs_fsck_quarantine(struct xtsfs_fsck *fsck, int dir, const char *backing_name, char ret_name[XTSFS_NAME_MAX + 1])
{
	int r;

	xtsfs_guard_mutex(&fsck->lost_mutex);
	r = open_lost(fsck);
	while (r == 0) {
		/* A very long name loses its end; the finding has all of it. */
		snprintf(ret_name, XTSFS_NAME_MAX + 1, "%llu-%s", (unsigned long long)++fsck->lost_next, backing_name);
		r = rename_new_between(fsck->store, dir, backing_name, fsck->lost_handle, ret_name);
		if (r != -EEXIST)
			break;
		r = 0;
	}
	return r;
}

/* ---- names ---- */

int xtsfs_fsck_rename(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name,
		      const char *name, char ret_backing[XTSFS_NAME_MAX + 1])
{
	struct xtsfs_store *store = fsck->store;
	char file[XTSFS_NAME_MAX + sizeof(XTSFS_NAME_LONG_SUFFIX)];
	struct xtsfs_backing_name backing;
	struct stat st;
	int r = xtsfs_names_seal(fsck->volume, dir->dirid, name, &backing);

	if (r < 0)
		return r;
	if (store->ops->stat(store, handle, backing.entry, &st) == 0)
		return -EEXIST;
	r = xtsfs_names_place(fsck->volume, handle, &backing);
	if (r == 0 && backing.long_text[0]) {
		snprintf(file, sizeof(file), "%s" XTSFS_NAME_LONG_SUFFIX, backing.entry);
		r = give_to_owner_of(fsck, handle, file);
	}
	if (r == 0)
		r = xtsfs_store_rename_new(store, handle, backing_name, backing.entry);
	if (r < 0) {
		if (r != -EEXIST)
			xtsfs_names_remove(fsck->volume, handle, backing.entry);
		return r;
	}
	xtsfs_names_remove(fsck->volume, handle, backing_name);
	strcpy(ret_backing, backing.entry);
	return 0;
}

/* ---- directory ids ---- */

static int sync_directory(struct xtsfs_store *store, int dir)
{
	int handle = store->ops->open(store, dir, ".", O_RDONLY | O_DIRECTORY, 0, NULL), r;

	if (handle < 0)
		return handle;
	r = store->ops->sync(store, handle, false);
	store->ops->close(store, handle);
	return r;
}

static int write_small(struct xtsfs_fsck *fsck, int dir, const char *name, const void *data, size_t bytes)
{
	struct xtsfs_store *store = fsck->store;
	int handle = store->ops->open(store, dir, name, O_CREAT | O_EXCL | O_WRONLY, 0400, NULL), r;

	if (handle < 0)
		return handle;
	r = xtsfs_store_pwrite(store, handle, data, bytes, 0);
	if (r == 0)
		r = give_to_owner_of(fsck, dir, name);
	if (r == 0)
		r = store->ops->sync(store, handle, false);
	store->ops->close(store, handle);
	if (r < 0)
		(void)store->ops->unlink(store, dir, name, 0);
	return r;
}

int xtsfs_fsck_write_dirid(struct xtsfs_fsck *fsck, int dir, const uint8_t id[XTSFS_ID_BYTES],
			   const uint8_t parent_id[XTSFS_ID_BYTES])
{
	struct xtsfs_store *store = fsck->store;
	char tmp[XTSFS_NAME_MAX + 1], moved[XTSFS_NAME_MAX + 1];
	struct xtsfs_disk_dirid disk;
	struct iovec parts[2];
	int r;

	memcpy(disk.id, id, sizeof(disk.id));
	memcpy(disk.parent_id, parent_id, sizeof(disk.parent_id));
	r = xtsfs_mac_tag(fsck->volume->keys->meta, parts, xtsfs_dirid_tag_parts(&disk, parts), disk.tag);
	if (r == 0)
		r = xtsfs_names_tmp(tmp);
	if (r == 0)
		r = write_small(fsck, dir, tmp, &disk, sizeof(disk));
	if (r < 0)
		return r;
	r = store->ops->rename(store, dir, tmp, dir, XTSFS_NAME_DIRID, 0);
	if (r == -EISDIR) { /* somebody put a directory in its place */
		r = xtsfs_fsck_quarantine(fsck, dir, XTSFS_NAME_DIRID, moved);
		if (r == 0)
			r = store->ops->rename(store, dir, tmp, dir, XTSFS_NAME_DIRID, 0);
	}
	if (r < 0) {
		(void)store->ops->unlink(store, dir, tmp, 0);
		return r;
	}
	return sync_directory(store, dir);
}

/* ---- temporary directories ---- */

struct removing {
	struct xtsfs_fsck *fsck;
	bool only_look;
};

static int remove_one(void *data, int handle, const char *backing_name)
{
	struct removing *removing = data;
	struct xtsfs_store *store = removing->fsck->store;
	enum xtsfs_name_kind kind = xtsfs_name_classify(backing_name, false);
	struct stat st;
	int r;

	if (kind == XTSFS_NAME_KIND_SHORT || kind == XTSFS_NAME_KIND_LONG || kind == XTSFS_NAME_KIND_FOREIGN)
		return -ENOTEMPTY;
	r = store->ops->stat(store, handle, backing_name, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (S_ISDIR(st.st_mode))
		return -ENOTEMPTY;
	return removing->only_look ? 0 : store->ops->unlink(store, handle, backing_name, 0);
}

int xtsfs_fsck_remove_tmp(struct xtsfs_fsck *fsck, int dir, const char *backing_name, bool only_look)
{
	struct removing removing = {.fsck = fsck, .only_look = true};
	int r = xtsfs_fsck_list(fsck, dir, backing_name, remove_one, &removing);

	if (r < 0 || only_look)
		return r;
	removing.only_look = false;
	r = xtsfs_fsck_list(fsck, dir, backing_name, remove_one, &removing);
	return r < 0 ? r : fsck->store->ops->unlink(fsck->store, dir, backing_name, AT_REMOVEDIR);
}
