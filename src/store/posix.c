/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The posix store: a directory of this machine, through the *at() system calls.
 *
 * Attributes by name of objects that must not be opened (symlinks, devices, fifos) go through an O_PATH descriptor and
 * /proc/self/fd, or through the AT_SYMLINK_NOFOLLOW form where there is one, so that a symlink swapped in by somebody
 * else is never followed.
 */
#include "store/posix.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* "/proc/self/fd/N" */
struct proc_path {
	char text[40];
};

static struct proc_path proc_path(int fd)
{
	struct proc_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

static int path_fd(int dir, const char *name)
{
	return XTSFS_CALL(openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

static void posix_free(struct xtsfs_store *store)
{
	if (store->root >= 0)
		close(store->root);
	free(store);
}

static void posix_close(struct xtsfs_store *store, int handle)
{
	(void)store;
	close(handle);
}

static ssize_t posix_preadv(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	(void)store;
	return XTSFS_CALL(preadv(handle, iov, count, (off_t)offset));
}

static ssize_t posix_pwritev(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	ssize_t n;

	(void)store;
	xtsfs_posix_allocation_begin();
	n = XTSFS_CALL(pwritev(handle, iov, count, (off_t)offset));
	xtsfs_posix_allocation_end();
	return n;
}

static int posix_truncate(struct xtsfs_store *store, int handle, uint64_t bytes)
{
	int r;

	(void)store;
	xtsfs_posix_allocation_begin();
	r = XTSFS_CALL(ftruncate(handle, (off_t)bytes));
	xtsfs_posix_allocation_end();
	return r;
}

static int store_fallocate(struct xtsfs_store *store, int handle, int mode, uint64_t offset, uint64_t bytes)
{
	int r;

	(void)store;
	xtsfs_posix_allocation_begin();
	r = XTSFS_CALL(fallocate(handle, mode, (off_t)offset, (off_t)bytes));
	xtsfs_posix_allocation_end();
	return r;
}

static int64_t posix_seek(struct xtsfs_store *store, int handle, uint64_t offset, int whence)
{
	(void)store;
	return XTSFS_CALL(lseek(handle, (off_t)offset, whence));
}

static int posix_sync(struct xtsfs_store *store, int handle, bool data_only)
{
	(void)store;
	return XTSFS_CALL(data_only ? fdatasync(handle) : fsync(handle));
}

static int posix_syncfs(struct xtsfs_store *store)
{
	return XTSFS_CALL(syncfs(store->root));
}

/* Not every filesystem has it. */
static int posix_writeout(struct xtsfs_store *store, int handle)
{
	int r;

	(void)store;
	r = XTSFS_CALL(sync_file_range(handle, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	return r == -ENOSYS || r == -EINVAL || r == -ESPIPE ? 0 : r;
}

static int posix_flock(struct xtsfs_store *store, int handle, int operation)
{
	(void)store;
	return XTSFS_CALL(flock(handle, operation));
}

static int posix_lock_range(struct xtsfs_store *store, int handle, short type, uint64_t start, uint64_t bytes,
			    bool test)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)start, .l_len = (off_t)bytes};
	int r;

	(void)store;
	r = XTSFS_CALL(fcntl(handle, test ? F_OFD_GETLK : F_OFD_SETLK, &lock));
	if (r == -EACCES) /* the other errno that POSIX has for it */
		r = -EWOULDBLOCK;
	return r == 0 && test ? lock.l_type != F_UNLCK : r;
}

/*
 * A network filesystem answers from what it knows, for seconds. Asked so it asks its server. The directory first:
 * whether what is known of its names is still true hangs on that.
 */
static int fresh_stat(int dir, const char *name, struct stat *ret_stat)
{
	struct statx st;

	int r = XTSFS_CALL(
		statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st));

	if (r < 0)
		return r;
	*ret_stat = (struct stat){
		.st_dev = makedev(st.stx_dev_major, st.stx_dev_minor),
		.st_ino = st.stx_ino,
		.st_mode = st.stx_mode,
		.st_nlink = st.stx_nlink,
		.st_uid = st.stx_uid,
		.st_gid = st.stx_gid,
		.st_rdev = makedev(st.stx_rdev_major, st.stx_rdev_minor),
		.st_size = (off_t)st.stx_size,
		.st_blksize = (blksize_t)st.stx_blksize,
		.st_blocks = (blkcnt_t)st.stx_blocks,
		.st_atim = {.tv_sec = st.stx_atime.tv_sec, .tv_nsec = st.stx_atime.tv_nsec},
		.st_mtim = {.tv_sec = st.stx_mtime.tv_sec, .tv_nsec = st.stx_mtime.tv_nsec},
		.st_ctim = {.tv_sec = st.stx_ctime.tv_sec, .tv_nsec = st.stx_ctime.tv_nsec},
	};
	return 0;
}

static int posix_stat(struct xtsfs_store *store, int dir, const char *name, struct stat *ret_stat)
{
	struct stat st;

	if (!store->fresh)
		return XTSFS_CALL(fstatat(dir, name, ret_stat, AT_SYMLINK_NOFOLLOW));
	int r = fresh_stat(dir, "", &st);

	return r < 0 ? r : fresh_stat(dir, name, ret_stat);
}

static int posix_fstat(struct xtsfs_store *store, int handle, struct stat *ret_stat)
{
	return store->fresh ? fresh_stat(handle, "", ret_stat) : XTSFS_CALL(fstat(handle, ret_stat));
}

static int posix_statfs(struct xtsfs_store *store, struct statvfs *ret_statvfs)
{
	return XTSFS_CALL(fstatvfs(store->root, ret_statvfs));
}

static int posix_link(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	int r;

	(void)store;
	/* AT_EMPTY_PATH would do without /proc, but wants a capability. */
	if (!old_name)
		r = XTSFS_CALL(linkat(AT_FDCWD, proc_path(old_dir).text, new_dir, new_name, AT_SYMLINK_FOLLOW));
	else
		r = XTSFS_CALL(linkat(old_dir, old_name, new_dir, new_name, 0));
	return r;
}

static int posix_rename(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name,
			unsigned flags)
{
	(void)store;
	return XTSFS_CALL(renameat2(old_dir, old_name, new_dir, new_name, flags));
}

static int posix_unlink(struct xtsfs_store *store, int dir, const char *name, int flags)
{
	(void)store;
	return XTSFS_CALL(unlinkat(dir, name, flags));
}

static ssize_t posix_readlink(struct xtsfs_store *store, int dir, const char *name, char *ret_target, size_t room)
{
	(void)store;
	return XTSFS_CALL(readlinkat(dir, name, ret_target, room));
}

static ssize_t posix_getdents(struct xtsfs_store *store, int handle, void *ret_records, size_t room)
{
	(void)store;
	return XTSFS_CALL(syscall(SYS_getdents64, handle, ret_records, room));
}

static int posix_seekdir(struct xtsfs_store *store, int handle, int64_t position)
{
	off_t at = XTSFS_CALL(lseek(handle, position, SEEK_SET));

	(void)store;
	return at < 0 ? (int)at : 0;
}

static int posix_chmod(struct xtsfs_store *store, int dir, const char *name, mode_t mode)
{
	int r;

	(void)store;
	if (!name) {
		r = XTSFS_CALL(fchmod(dir, mode));
		return r == -EBADF ? XTSFS_CALL(chmod(proc_path(dir).text, mode)) : r; /* an O_PATH handle */
	}
	xtsfs_auto_fd fd = path_fd(dir, name);
	if (fd < 0)
		return fd;
	/* chmod of the /proc name of a symlink's O_PATH descriptor gives EOPNOTSUPP, which is what chmod of a symlink
	 * gives. */
	return XTSFS_CALL(chmod(proc_path(fd).text, mode));
}

static int posix_chown(struct xtsfs_store *store, int dir, const char *name, uid_t uid, gid_t gid)
{
	int flags = AT_SYMLINK_NOFOLLOW | (name ? 0 : AT_EMPTY_PATH);

	(void)store;
	return XTSFS_CALL(fchownat(dir, name ? name : "", uid, gid, flags));
}

static int posix_utimens(struct xtsfs_store *store, int dir, const char *name, const struct timespec times[2])
{
	int flags = AT_SYMLINK_NOFOLLOW | (name ? 0 : AT_EMPTY_PATH);

	(void)store;
	return XTSFS_CALL(utimensat(dir, name ? name : "", times, flags));
}

/*
 * Extended attributes: an O_PATH descriptor is good for the *xattr() calls only through /proc, and that follows its
 * magic link to the very object, a symlink included only by the l*xattr() form with "dirfd path"; so symlinks go
 * through /proc/self/fd/DIR/NAME with l*xattr().
 */
struct xattr_path {
	char text[40 + 256];
};

static struct xattr_path xattr_path(int dir, const char *name)
{
	struct xattr_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d/%s", dir, name);
	return path;
}

static ssize_t posix_getxattr(struct xtsfs_store *store, int dir, const char *name, const char *attr, void *ret_value,
			      size_t room)
{
	ssize_t n;

	(void)store;
	if (name)
		n = XTSFS_CALL(lgetxattr(xattr_path(dir, name).text, attr, ret_value, room));
	else if ((n = XTSFS_CALL(fgetxattr(dir, attr, ret_value, room))) == -EBADF) /* an O_PATH handle */
		n = XTSFS_CALL(getxattr(proc_path(dir).text, attr, ret_value, room));
	return n;
}

static int posix_setxattr(struct xtsfs_store *store, int dir, const char *name, const char *attr, const void *value,
			  size_t bytes, int flags)
{
	int r;

	(void)store;
	xtsfs_posix_allocation_begin();
	if (name)
		r = XTSFS_CALL(lsetxattr(xattr_path(dir, name).text, attr, value, bytes, flags));
	else if ((r = XTSFS_CALL(fsetxattr(dir, attr, value, bytes, flags))) == -EBADF) /* an O_PATH handle */
		r = XTSFS_CALL(setxattr(proc_path(dir).text, attr, value, bytes, flags));
	xtsfs_posix_allocation_end();
	return r;
}

static ssize_t posix_listxattr(struct xtsfs_store *store, int dir, const char *name, char *ret_list, size_t room)
{
	ssize_t n;

	(void)store;
	if (name)
		n = XTSFS_CALL(llistxattr(xattr_path(dir, name).text, ret_list, room));
	else if ((n = XTSFS_CALL(flistxattr(dir, ret_list, room))) == -EBADF) /* an O_PATH handle */
		n = XTSFS_CALL(listxattr(proc_path(dir).text, ret_list, room));
	return n;
}

static int posix_removexattr(struct xtsfs_store *store, int dir, const char *name, const char *attr)
{
	int r;

	(void)store;
	if (name)
		r = XTSFS_CALL(lremovexattr(xattr_path(dir, name).text, attr));
	else if ((r = XTSFS_CALL(fremovexattr(dir, attr))) == -EBADF) /* an O_PATH handle */
		r = XTSFS_CALL(removexattr(proc_path(dir).text, attr));
	return r;
}

static const struct xtsfs_store_ops posix_ops = {
	.name = "posix",
	.free = posix_free,
	.open = xtsfs_posix_open,
	.close = posix_close,
	.preadv = posix_preadv,
	.pwritev = posix_pwritev,
	.truncate = posix_truncate,
	.fallocate = store_fallocate,
	.seek = posix_seek,
	.sync = posix_sync,
	.syncfs = posix_syncfs,
	.writeout = posix_writeout,
	.flock = posix_flock,
	.lock_range = posix_lock_range,
	.stat = posix_stat,
	.fstat = posix_fstat,
	.statfs = posix_statfs,
	.mkdir = xtsfs_posix_mkdir,
	.mknod = xtsfs_posix_mknod,
	.symlink = xtsfs_posix_symlink,
	.link = posix_link,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.readlink = posix_readlink,
	.getdents = posix_getdents,
	.seekdir = posix_seekdir,
	.chmod = posix_chmod,
	.chown = posix_chown,
	.utimens = posix_utimens,
	.getxattr = posix_getxattr,
	.setxattr = posix_setxattr,
	.listxattr = posix_listxattr,
	.removexattr = posix_removexattr,
};

static void look_at_filesystem(struct xtsfs_store *store)
{
	struct statfs st;

	if (fstatfs(store->root, &st) < 0)
		return;
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC: /* ext2 and ext3 too */
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		store->in_place = true;
		break;
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
		store->flock_is_range = true;
		break;
	default:
		break;
	}
}

int xtsfs_store_posix_new(const char *path, struct xtsfs_store **ret_store)
{
	xtsfs_auto_fd root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct xtsfs_store *store;

	if (root < 0)
		return -errno;
	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	store->ops = &posix_ops;
	store->root = xtsfs_take_fd(&root);
	look_at_filesystem(store);
	*ret_store = store;
	return 0;
}
