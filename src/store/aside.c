/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are changed on the way to a posix store, and nothing else: a handle is one of that.
 */
#include "store/aside.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 256U

struct aside {
	struct xtsfs_store store;
	struct xtsfs_store *inner;
	char file[NAME_BYTES];
};

struct name {
	char text[2 * NAME_BYTES];
};

static struct aside *aside_of(const struct xtsfs_store *store)
{
	return (struct aside *)(uintptr_t)store;
}
#define INNER (aside_of(store)->inner)

/* "xtsfs.conf" is FILE, "xtsfs.conf.bak" FILE.bak, "xtsfs.tmp.…" FILE.tmp.… */
static struct name name_of(const struct xtsfs_store *store, const char *name)
{
	static const char own[] = "xtsfs", conf[] = "xtsfs.conf";
	struct name changed;
	size_t skip = strncmp(name, conf, sizeof(conf) - 1) == 0 ? sizeof(conf) - 1 : sizeof(own) - 1;

	if (strncmp(name, own, sizeof(own) - 1) == 0)
		snprintf(changed.text, sizeof(changed.text), "%s%s", aside_of(store)->file, name + skip);
	else
		snprintf(changed.text, sizeof(changed.text), "%s", name);
	return changed;
}

static void aside_free(struct xtsfs_store *store)
{
	xtsfs_store_free(INNER);
	free(aside_of(store));
}

static int aside_open(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		      const struct xtsfs_cred *cred)
{
	return INNER->ops->open(INNER, dir, name_of(store, name).text, flags, mode, cred);
}

static void aside_close(struct xtsfs_store *store, int handle)
{
	INNER->ops->close(INNER, handle);
}

static ssize_t aside_preadv(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	return INNER->ops->preadv(INNER, handle, iov, count, offset);
}

static ssize_t aside_pwritev(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	return INNER->ops->pwritev(INNER, handle, iov, count, offset);
}

static int aside_truncate(struct xtsfs_store *store, int handle, uint64_t bytes)
{
	return INNER->ops->truncate(INNER, handle, bytes);
}

static int aside_sync(struct xtsfs_store *store, int handle, bool data_only)
{
	return INNER->ops->sync(INNER, handle, data_only);
}

static int aside_syncfs(struct xtsfs_store *store)
{
	return INNER->ops->syncfs(INNER);
}

static int aside_flock(struct xtsfs_store *store, int handle, int operation)
{
	return INNER->ops->flock(INNER, handle, operation);
}

static int aside_stat(struct xtsfs_store *store, int dir, const char *name, struct stat *ret_stat)
{
	return INNER->ops->stat(INNER, dir, name_of(store, name).text, ret_stat);
}

static int aside_fstat(struct xtsfs_store *store, int handle, struct stat *ret_stat)
{
	return INNER->ops->fstat(INNER, handle, ret_stat);
}

static int aside_link(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	return INNER->ops->link(INNER, old_dir, name_of(store, old_name).text, new_dir, name_of(store, new_name).text);
}

static int aside_rename(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name,
			unsigned flags)
{
	return INNER->ops->rename(INNER, old_dir, name_of(store, old_name).text, new_dir, name_of(store, new_name).text,
				  flags);
}

static int aside_unlink(struct xtsfs_store *store, int dir, const char *name, int flags)
{
	return INNER->ops->unlink(INNER, dir, name_of(store, name).text, flags);
}

/* Of a handle, or of a file of the root. */
static int aside_chmod(struct xtsfs_store *store, int dir, const char *name, mode_t mode)
{
	return INNER->ops->chmod(INNER, dir, name ? name_of(store, name).text : NULL, mode);
}

static int aside_chown(struct xtsfs_store *store, int dir, const char *name, uid_t uid, gid_t gid)
{
	return INNER->ops->chown(INNER, dir, name ? name_of(store, name).text : NULL, uid, gid);
}

static const struct xtsfs_store_ops aside_ops = {
	.name = "aside",
	.free = aside_free,
	.open = aside_open,
	.close = aside_close,
	.preadv = aside_preadv,
	.pwritev = aside_pwritev,
	.truncate = aside_truncate,
	.sync = aside_sync,
	.syncfs = aside_syncfs,
	.flock = aside_flock,
	.stat = aside_stat,
	.fstat = aside_fstat,
	.link = aside_link,
	.rename = aside_rename,
	.unlink = aside_unlink,
	.chmod = aside_chmod,
	.chown = aside_chown,
};

bool xtsfs_store_is_aside(const struct xtsfs_store *store)
{
	return store->ops == &aside_ops;
}

/* Directory and file of @path, which is a file or a directory. */
static int split(const char *path, char **ret_dir, const char **ret_file)
{
	struct stat st;
	char *copy = strdup(path), *slash;

	if (!copy)
		return -ENOMEM;
	*ret_dir = copy;
	*ret_file = XTSFS_NAME_ASIDE;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	slash = strrchr(copy, '/');
	*ret_file = slash ? path + (slash - copy) + 1 : path;
	if (slash)
		slash[slash == copy] = '\0';
	else
		strcpy(copy, **ret_file ? "." : "");
	return **ret_file && strlen(*ret_file) + sizeof(".tmp.") + 22 < NAME_BYTES ? 0 : -ENAMETOOLONG;
}

int xtsfs_store_aside_new(const char *path, struct xtsfs_store **ret_store)
{
	struct aside *aside = calloc(1, sizeof(*aside));
	xtsfs_auto_free char *dir = NULL;
	const char *file;
	int r = aside ? split(path, &dir, &file) : -ENOMEM;

	if (r == 0)
		r = xtsfs_store_posix_new(dir, &aside->inner);
	if (r < 0) {
		free(aside);
		return r;
	}
	snprintf(aside->file, sizeof(aside->file), "%s", file);
	aside->store.ops = &aside_ops;
	aside->store.root = aside->inner->root;
	*ret_store = &aside->store;
	return 0;
}
