/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write-temp, fsync, rename, fsync of the directory.
 *
 * A reader, and a power loss, meet the old file or the new one, never a part. The temporary name has a dot, so it can
 * not be an encrypted name, and is random, so two writers do not meet; O_EXCL makes sure of it. What a killed writer
 * leaves is debris that fsck knows by its name (spec 2).
 *
 * The new file starts with mode 0600. One that replaces another takes over its owner and mode before it appears: a
 * volume whose owner let root change a slot must still be his. Where the owner cannot be kept the replacement fails,
 * for the alternative is a file that its owner can no longer read.
 *
 * Exclusive: rename with RENAME_NOREPLACE; filesystems that do not have it have link(), which never replaces.
 */
#include "core/replace.h"

#include "core/internal.h"

#include <fcntl.h>
#include <stdio.h>

#define MODE_BITS 07777U

static int keep_owner_and_mode(struct xtsfs_store *store, int handle, const struct stat *old)
{
	struct stat new;
	int r = store->ops->fstat(store, handle, &new);

	if (r == 0 && (new.st_uid != old->st_uid || new.st_gid != old->st_gid))
		r = store->ops->chown(store, handle, NULL, old->st_uid, old->st_gid);
	if (r == 0 && (new.st_mode &MODE_BITS) != (old->st_mode & MODE_BITS))
		r = store->ops->chmod(store, handle, NULL, old->st_mode & MODE_BITS);
	return r;
}

/* @old: what it is going to replace, or NULL. On an error the file may be there. */
static int write_tmp(struct xtsfs_store *store, const char *tmp, const void *data, size_t bytes, const struct stat *old)
{
	int handle = store->ops->open(store, store->root, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600, /* cred= */ NULL);
	int r;

	if (handle < 0)
		return handle;
	r = xtsfs_store_pwrite(store, handle, data, bytes, 0);
	if (r == 0 && old)
		r = keep_owner_and_mode(store, handle, old);
	if (r == 0)
		r = store->ops->sync(store, handle, /* data_only= */ false);
	store->ops->close(store, handle);
	return r;
}

/* @tmp is gone on success only. */
static int rename_exclusive(struct xtsfs_store *store, const char *tmp, const char *name)
{
	int r = store->ops->rename(store, store->root, tmp, store->root, name, RENAME_NOREPLACE);

	if (r != -EINVAL && r != -ENOSYS && r != -EOPNOTSUPP)
		return r;
	r = store->ops->link(store, store->root, tmp, store->root, name);
	return r < 0 ? r : store->ops->unlink(store, store->root, tmp, 0);
}

static int replace(struct xtsfs_store *store, const char *name, const struct stat *like, const void *data, size_t bytes,
		   bool exclusive, int (*before)(struct xtsfs_store *store))
{
	char tmp[XTSFS_NAME_MAX + 1];
	int r;

	r = xtsfs_names_tmp(tmp);
	if (r < 0)
		return r;
	r = write_tmp(store, tmp, data, bytes, like);
	if (r == -EEXIST) /* somebody else's, not to be unlinked */
		return r;
	if (r == 0 && before)
		r = before(store);
	if (r == 0)
		r = exclusive ? rename_exclusive(store, tmp, name)
			      : store->ops->rename(store, store->root, tmp, store->root, name, 0);
	if (r < 0) {
		(void)store->ops->unlink(store, store->root, tmp, 0); /* the first error is the one to tell */
		return r;
	}
	return store->ops->sync(store, store->root, /* data_only= */ false);
}

static int replace_named(struct xtsfs_store *store, const char *name, const void *data, size_t bytes, bool exclusive,
			 int (*before)(struct xtsfs_store *store))
{
	struct stat old;
	int r = store->ops->stat(store, store->root, name, &old);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && exclusive)
		return -EEXIST;
	return replace(store, name, r == 0 && S_ISREG(old.st_mode) ? &old : NULL, data, bytes, exclusive, before);
}

int xtsfs_file_replace(struct xtsfs_store *store, const char *name, const void *data, size_t bytes, bool exclusive)
{
	return replace_named(store, name, data, bytes, exclusive, NULL);
}

int xtsfs_file_replace_after(struct xtsfs_store *store, const char *name, const void *data, size_t bytes,
			     int (*before)(struct xtsfs_store *store))
{
	return replace_named(store, name, data, bytes, /* exclusive= */ false, before);
}

int xtsfs_file_replace_like(struct xtsfs_store *store, const char *name, const char *like, const void *data,
			    size_t bytes)
{
	struct stat status;
	int r = store->ops->stat(store, store->root, like, &status);

	if (r < 0 && r != -ENOENT)
		return r;
	return replace(store, name, r == 0 && S_ISREG(status.st_mode) ? &status : NULL, data, bytes, false, NULL);
}
