/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An import's target: a volume that nobody has mounted, through the core.
 *
 * What is to be compared is read by another opening of the volume than the one that wrote it, and the pages of its
 * backing files are given up first. So it comes from the disk, as far as the kernel heeds that, and nothing that this
 * program remembers can stand in for it.
 */
#include "import.h"

#include "base/cleanup.h"
#include "core/path.h"

#include <fcntl.h>
#include <string.h>

static struct xtsfs_node *core(struct import_node *node)
{
	return (struct xtsfs_node *)node;
}

static struct import_node *of_core(struct xtsfs_node *node)
{
	return (struct import_node *)node;
}

static struct import_node *volume_root(struct import_target *target)
{
	return of_core(xtsfs_root(target->fs.fs));
}

static void volume_forget(struct import_target *target, struct import_node *node)
{
	if (core(node) != xtsfs_root(target->fs.fs))
		xtsfs_forget(target->fs.fs, core(node), 1);
}

static int volume_lookup(struct import_target *target, struct import_node *dir, const char *name,
			 struct import_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_node *node;
	int r = xtsfs_lookup(target->fs.fs, core(dir), name, &node, ret_stat);

	if (r == 0)
		*ret_node = of_core(node);
	return r;
}

static int volume_getattr(struct import_target *target, struct import_node *node, struct stat *ret_stat)
{
	return xtsfs_getattr(target->fs.fs, core(node), ret_stat);
}

static int volume_list(struct import_target *target, struct import_node *node,
		       int (*each)(void *data, const char *name), void *data)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	int r = xtsfs_opendir(target->fs.fs, core(node), &dir);

	if (r < 0)
		return r;
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		r = each(data, entry.name);
		if (r)
			break;
	}
	xtsfs_closedir(dir);
	return r < 0 ? r : 0;
}

static int volume_mkdir(struct import_target *target, struct import_node *dir, const char *name,
			struct import_node **ret_node)
{
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_mkdir(target->fs.fs, core(dir), name, 0700, NULL, &node, &st);

	*ret_node = of_core(node);
	return r;
}

static int volume_create(struct import_target *target, struct import_node *dir, const char *name,
			 struct import_node **ret_node)
{
	struct xtsfs_volume *fs = target->fs.fs;
	struct xtsfs_node *node;
	struct stat st;
	int r = xtsfs_create(fs, core(dir), name, 0600, /* exclusive= */ true, NULL, &node, &st);

	if (r < 0)
		return r;
	r = xtsfs_open(fs, node, /* for_write= */ true);
	if (r < 0) {
		(void)!xtsfs_unlink(fs, core(dir), name);
		xtsfs_forget(fs, node, 1);
		return r;
	}
	*ret_node = of_core(node);
	return 0;
}

static int volume_mknod(struct import_target *target, struct import_node *dir, const char *name, mode_t mode,
			dev_t rdev, struct import_node **ret_node)
{
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_mknod(target->fs.fs, core(dir), name, mode, rdev, NULL, &node, &st);

	*ret_node = of_core(node);
	return r;
}

static int volume_symlink(struct import_target *target, struct import_node *dir, const char *name, const char *text,
			  struct import_node **ret_node)
{
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_symlink(target->fs.fs, text, core(dir), name, NULL, &node, &st);

	*ret_node = of_core(node);
	return r;
}

static int volume_link(struct import_target *target, struct import_node *node, struct import_node *dir,
		       const char *name)
{
	struct stat st;

	return xtsfs_link(target->fs.fs, core(node), core(dir), name, &st);
}

static int volume_rename(struct import_target *target, struct import_node *dir, const char *old_name,
			 const char *new_name, bool replace)
{
	return xtsfs_rename(target->fs.fs, core(dir), old_name, core(dir), new_name, replace ? 0 : RENAME_NOREPLACE);
}

static int volume_unlink(struct import_target *target, struct import_node *dir, const char *name)
{
	return xtsfs_unlink(target->fs.fs, core(dir), name);
}

static int volume_readlink(struct import_target *target, struct import_node *node, char *ret_text)
{
	return xtsfs_readlink(target->fs.fs, core(node), ret_text);
}

static int volume_setattr(struct import_target *target, struct import_node *node, const struct xtsfs_setattr *set)
{
	return xtsfs_setattr(target->fs.fs, core(node), set, NULL);
}

static ssize_t volume_listxattr(struct import_target *target, struct import_node *node, char *ret_list, size_t room)
{
	return xtsfs_listxattr(target->fs.fs, core(node), ret_list, room);
}

static ssize_t volume_getxattr(struct import_target *target, struct import_node *node, const char *name,
			       void *ret_value, size_t room)
{
	return xtsfs_getxattr(target->fs.fs, core(node), name, ret_value, room);
}

static int volume_setxattr(struct import_target *target, struct import_node *node, const char *name, const void *value,
			   size_t bytes)
{
	return xtsfs_setxattr(target->fs.fs, core(node), name, value, bytes, 0);
}

static int volume_removexattr(struct import_target *target, struct import_node *node, const char *name)
{
	return xtsfs_removexattr(target->fs.fs, core(node), name);
}

/* Best effort: where it does not work the pages are at least those of another opening. */
static void give_up_pages(struct import_target *target, struct xtsfs_node *node)
{
	xtsfs_auto_free char *path = NULL;
	xtsfs_auto_fd dir = -1, fd = -1;
	char *slash;

	if (xtsfs_path_of_node(target->fs.fs, node, &path) < 0) {
		path = NULL;
		return;
	}
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	dir = cli_open_beneath(target->dir_fd, slash ? path : "");
	fd = dir < 0 ? -1 : openat(dir, slash ? slash + 1 : path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int volume_open(struct import_target *target, struct import_node *node)
{
	give_up_pages(target, core(node));
	return xtsfs_open(target->fs.fs, core(node), /* for_write= */ false);
}

static void volume_close(struct import_target *target, struct import_node *node)
{
	xtsfs_release(target->fs.fs, core(node), /* for_write= */ false);
}

static void volume_close_written(struct import_target *target, struct import_node *node)
{
	xtsfs_release(target->fs.fs, core(node), /* for_write= */ true);
}

static ssize_t volume_read(struct import_target *target, struct import_node *node, void *ret_data, size_t bytes,
			   uint64_t offset)
{
	return xtsfs_read(target->fs.fs, core(node), ret_data, bytes, offset);
}

static int64_t volume_seek(struct import_target *target, struct import_node *node, uint64_t offset, int whence)
{
	return xtsfs_seek(target->fs.fs, core(node), offset, whence);
}

static int volume_write(struct import_target *target, struct import_node *node, const void *data, size_t bytes,
			uint64_t offset)
{
	for (const char *at = data; bytes > 0;) {
		ssize_t n = xtsfs_write(target->fs.fs, core(node), at, bytes, offset);

		if (n < 0)
			return (int)n;
		at += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int volume_truncate(struct import_target *target, struct import_node *node, uint64_t bytes)
{
	struct xtsfs_setattr set = {
		.size_set = true, .plain_bytes = bytes, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};

	return xtsfs_setattr(target->fs.fs, core(node), &set, NULL);
}

static int volume_sync(struct import_target *target)
{
	struct xtsfs_store *store = target->fs.volume.store;

	return store->ops->syncfs(store);
}

static int volume_settle(struct import_target *target)
{
	return cli_fs_reopen(&target->fs);
}

static void volume_done(struct import_target *target)
{
	cli_fs_done(&target->fs);
	if (target->dir_fd >= 0)
		close(target->dir_fd);
}

static const struct import_target_ops volume_ops = {
	.root = volume_root,
	.forget = volume_forget,
	.lookup = volume_lookup,
	.getattr = volume_getattr,
	.list = volume_list,
	.mkdir = volume_mkdir,
	.create = volume_create,
	.mknod = volume_mknod,
	.symlink = volume_symlink,
	.link = volume_link,
	.rename = volume_rename,
	.unlink = volume_unlink,
	.readlink = volume_readlink,
	.setattr = volume_setattr,
	.listxattr = volume_listxattr,
	.getxattr = volume_getxattr,
	.setxattr = volume_setxattr,
	.removexattr = volume_removexattr,
	.open = volume_open,
	.close = volume_close,
	.close_written = volume_close_written,
	.read = volume_read,
	.seek = volume_seek,
	.write = volume_write,
	.truncate = volume_truncate,
	.sync = volume_sync,
	.settle = volume_settle,
	.done = volume_done,
};

int import_volume_open(const char *dir, const struct cli_unlock *unlock, bool read_only, struct import_target *target)
{
	int exit_code = read_only ? cli_fs_open(dir, unlock, /* peek= */ false, /* salvage= */ false, &target->fs)
				  : cli_fs_open_writable(dir, unlock, &target->fs);
	struct stat st;

	target->ops = &volume_ops;
	target->dir_fd = target->root_fd = -1;
	if (exit_code)
		return exit_code;
	target->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->dir_fd < 0 || fstat(target->dir_fd, &st) < 0)
		return cli_fail(-errno, "cannot open '%s'", dir);
	target->dev = target->store_dev = st.st_dev;
	target->ino = target->store_ino = st.st_ino;
	return 0;
}
