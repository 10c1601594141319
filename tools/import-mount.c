/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An import's target: a running mount, through ordinary system calls.
 *
 * Everything is reached by descriptors that were opened without following a symlink, and stays below the mount point.
 * syncfs(2) on a FUSE mount does not reach the daemon, so each file is synced before it gets its name, and each
 * directory at its end.
 */
#include "import.h"
#include "mount-client.h"

#include "base/cleanup.h"
#include "format/ondisk.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>

struct import_node {
	int fd; /* O_PATH */
	int io; /* open for reading or writing, or -1 */
	char proc[40];
};

static int new_node(int dir_fd, const char *name, struct import_node **ret_node)
{
	struct import_node *node = malloc(sizeof(*node));
	int r;

	if (!node)
		return -ENOMEM;
	node->io = -1;
	node->fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (node->fd < 0) {
		r = -errno;
		free(node);
		return r;
	}
	snprintf(node->proc, sizeof(node->proc), "/proc/self/fd/%d", node->fd);
	*ret_node = node;
	return 0;
}

static struct import_node *mount_root(struct import_target *target)
{
	struct import_node *node;

	return new_node(target->root_fd, ".", &node) == 0 ? node : NULL;
}

static void mount_forget(struct import_target *target, struct import_node *node)
{
	(void)target;
	if (node->io >= 0)
		close(node->io);
	close(node->fd);
	free(node);
}

static int mount_getattr(struct import_target *target, struct import_node *node, struct stat *ret_stat)
{
	(void)target;
	return fstat(node->fd, ret_stat) < 0 ? -errno : 0;
}

static int mount_lookup(struct import_target *target, struct import_node *dir, const char *name,
			struct import_node **ret_node, struct stat *ret_stat)
{
	struct import_node *node;
	int r = new_node(dir->fd, name, &node);

	if (r < 0)
		return r;
	r = mount_getattr(target, node, ret_stat);
	if (r < 0)
		mount_forget(target, node);
	else
		*ret_node = node;
	return r;
}

static int mount_list(struct import_target *target, struct import_node *node, int (*each)(void *data, const char *name),
		      void *data)
{
	int fd = openat(node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	(void)target;
	if (!stream) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0) {
		errno = 0;
		entry = readdir(stream); /* NOLINT(concurrency-mt-unsafe): a stream of our own */
		if (!entry) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = each(data, entry->d_name);
	}
	closedir(stream);
	return r < 0 ? r : 0;
}

/* What was just made. */
static int made(int result, struct import_node *dir, const char *name, struct import_node **ret_node)
{
	return result < 0 ? -errno : new_node(dir->fd, name, ret_node);
}

static int mount_mkdir(struct import_target *target, struct import_node *dir, const char *name,
		       struct import_node **ret_node)
{
	(void)target;
	return made(mkdirat(dir->fd, name, 0700), dir, name, ret_node);
}

static int mount_create(struct import_target *target, struct import_node *dir, const char *name,
			struct import_node **ret_node)
{
	int io = openat(dir->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), r;

	(void)target;
	if (io < 0)
		return -errno;
	r = new_node(dir->fd, name, ret_node);
	if (r < 0)
		close(io);
	else
		(*ret_node)->io = io;
	return r;
}

static int mount_mknod(struct import_target *target, struct import_node *dir, const char *name, mode_t mode, dev_t rdev,
		       struct import_node **ret_node)
{
	(void)target;
	return made(mknodat(dir->fd, name, mode, rdev), dir, name, ret_node);
}

static int mount_symlink(struct import_target *target, struct import_node *dir, const char *name, const char *text,
			 struct import_node **ret_node)
{
	(void)target;
	return made(symlinkat(text, dir->fd, name), dir, name, ret_node);
}

static int mount_link(struct import_target *target, struct import_node *node, struct import_node *dir, const char *name)
{
	(void)target;
	return linkat(AT_FDCWD, node->proc, dir->fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int mount_rename(struct import_target *target, struct import_node *dir, const char *old_name,
			const char *new_name, bool replace)
{
	(void)target;
	return renameat2(dir->fd, old_name, dir->fd, new_name, replace ? 0 : RENAME_NOREPLACE) < 0 ? -errno : 0;
}

static int mount_unlink(struct import_target *target, struct import_node *dir, const char *name)
{
	(void)target;
	return unlinkat(dir->fd, name, 0) < 0 ? -errno : 0;
}

static int mount_readlink(struct import_target *target, struct import_node *node, char *ret_text)
{
	ssize_t n = readlinkat(node->fd, "", ret_text, XTSFS_SYMLINK_MAX);

	(void)target;
	if (n < 0)
		return -errno;
	ret_text[n] = '\0';
	return 0;
}

static int mount_setattr(struct import_target *target, struct import_node *node, const struct xtsfs_setattr *set)
{
	(void)target;
	if ((set->uid_set || set->gid_set) && fchownat(node->fd, "", set->uid_set ? set->uid : (uid_t)-1,
						       set->gid_set ? set->gid : (gid_t)-1, AT_EMPTY_PATH) < 0)
		return -errno;
	if (set->mode_set && chmod(node->proc, set->mode) < 0)
		return -errno;
	if (set->times[0].tv_nsec == UTIME_OMIT && set->times[1].tv_nsec == UTIME_OMIT)
		return 0;
	return utimensat(AT_FDCWD, node->proc, set->times, 0) < 0 ? -errno : 0;
}

static ssize_t mount_listxattr(struct import_target *target, struct import_node *node, char *ret_list, size_t room)
{
	ssize_t n = listxattr(node->proc, ret_list, room);

	(void)target;
	return n < 0 ? -errno : n;
}

static ssize_t mount_getxattr(struct import_target *target, struct import_node *node, const char *name, void *ret_value,
			      size_t room)
{
	ssize_t n = getxattr(node->proc, name, ret_value, room);

	(void)target;
	return n < 0 ? -errno : n;
}

static int mount_setxattr(struct import_target *target, struct import_node *node, const char *name, const void *value,
			  size_t bytes)
{
	(void)target;
	return setxattr(node->proc, name, value, bytes, 0) < 0 ? -errno : 0;
}

static int mount_removexattr(struct import_target *target, struct import_node *node, const char *name)
{
	(void)target;
	return removexattr(node->proc, name) < 0 ? -errno : 0;
}

/* The daemon's own pages of the ciphertext are given up by its path, where this user may open it. */
static void give_up_pages(struct import_target *target, struct import_node *node)
{
	char path[PATH_MAX];
	ssize_t n = getxattr(node->proc, XTSFS_XATTR_PATH, path, sizeof(path) - 1);
	xtsfs_auto_fd fd = -1;

	(void)posix_fadvise(node->io, 0, 0, POSIX_FADV_DONTNEED);
	if (n < 0 || target->dir_fd < 0)
		return;
	path[n] = '\0';
	fd = openat(target->dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int mount_open(struct import_target *target, struct import_node *node)
{
	node->io = open(node->proc, O_RDONLY | O_CLOEXEC);
	if (node->io < 0)
		return -errno;
	give_up_pages(target, node);
	return 0;
}

static void mount_close(struct import_target *target, struct import_node *node)
{
	(void)target;
	close(node->io);
	node->io = -1;
}

static ssize_t mount_read(struct import_target *target, struct import_node *node, void *ret_data, size_t bytes,
			  uint64_t offset)
{
	ssize_t n = pread(node->io, ret_data, bytes, (off_t)offset);

	(void)target;
	return n < 0 ? -errno : n;
}

static int64_t mount_seek(struct import_target *target, struct import_node *node, uint64_t offset, int whence)
{
	off_t at = lseek(node->io, (off_t)offset, whence);

	(void)target;
	return at < 0 ? -errno : at;
}

static int mount_write(struct import_target *target, struct import_node *node, const void *data, size_t bytes,
		       uint64_t offset)
{
	(void)target;
	for (const char *at = data; bytes > 0;) {
		ssize_t n = pwrite(node->io, at, bytes, (off_t)offset);

		if (n < 0)
			return -errno;
		at += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int mount_truncate(struct import_target *target, struct import_node *node, uint64_t bytes)
{
	(void)target;
	return ftruncate(node->io, (off_t)bytes) < 0 ? -errno : 0;
}

static int mount_fsync(struct import_target *target, struct import_node *node)
{
	xtsfs_auto_fd fd = open(node->proc, O_RDONLY | O_CLOEXEC);

	(void)target;
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Each file and directory was synced; where the ciphertext can be reached so is all of it. */
static int mount_settle(struct import_target *target)
{
	if (syncfs(target->root_fd) < 0 || fsync(target->root_fd) < 0 ||
	    (target->dir_fd >= 0 && syncfs(target->dir_fd) < 0))
		return cli_fail(-errno, "cannot make the mount durable");
	return 0;
}

static void mount_done(struct import_target *target)
{
	if (target->root_fd >= 0)
		close(target->root_fd); /* and the lock is free */
	if (target->dir_fd >= 0)
		close(target->dir_fd);
}

static const struct import_target_ops mount_ops = {
	.root = mount_root,
	.forget = mount_forget,
	.lookup = mount_lookup,
	.getattr = mount_getattr,
	.list = mount_list,
	.mkdir = mount_mkdir,
	.create = mount_create,
	.mknod = mount_mknod,
	.symlink = mount_symlink,
	.link = mount_link,
	.rename = mount_rename,
	.unlink = mount_unlink,
	.readlink = mount_readlink,
	.setattr = mount_setattr,
	.listxattr = mount_listxattr,
	.getxattr = mount_getxattr,
	.setxattr = mount_setxattr,
	.removexattr = mount_removexattr,
	.open = mount_open,
	.close = mount_close,
	.close_written = mount_close,
	.read = mount_read,
	.seek = mount_seek,
	.write = mount_write,
	.truncate = mount_truncate,
	.fsync = mount_fsync,
	.settle = mount_settle,
	.done = mount_done,
};

int import_mount_open(const char *path, bool read_only, struct import_target *target)
{
	struct cli_mounts mounts;
	struct stat st;
	int exit_code = cli_mounts_find(path, &mounts);

	*target = (struct import_target){.ops = &mount_ops, .root_fd = -1, .dir_fd = -1, .fs = CLI_FS_NONE};
	if (exit_code == 0)
		target->dir_fd = open(mounts.list[0].source, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* if we may */
	cli_mounts_done(&mounts);
	if (exit_code)
		return exit_code;
	if (target->dir_fd >= 0 && fstat(target->dir_fd, &st) == 0) {
		target->store_dev = st.st_dev;
		target->store_ino = st.st_ino;
	}
	target->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->root_fd < 0 || fstat(target->root_fd, &st) < 0)
		return cli_fail(-errno, "cannot open '%s'", path);
	target->dev = st.st_dev;
	/* Two imports would take each other's parts for those of a run that was ended. */
	if (!read_only && flock(target->root_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? cli_fail_exit(XTSFS_EXIT_BUSY, "another import into '%s' is at work", path)
			       : cli_fail(-errno, "cannot lock '%s'", path);
	return 0;
}

bool import_is_mount(const char *path)
{
	struct cli_mounts mounts;
	xtsfs_auto_free char *real = realpath(path, NULL);
	bool is = false;

	if (real && cli_mounts_find(NULL, &mounts) == 0) {
		for (size_t i = 0; i < mounts.count; i++)
			is |= strcmp(mounts.list[i].mountpoint, real) == 0;
		cli_mounts_done(&mounts);
	}
	return is;
}
