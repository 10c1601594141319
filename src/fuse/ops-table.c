/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of operations, each under the eye of the watchdog, and counted. SEEK_DATA and SEEK_HOLE of a file that is
 * being written are handed to another thread and are not watched there.
 */
#include "fuse/ops.h"
#include "fuse/places.h"

_Thread_local struct fuse_req *xtsfs_serving;

bool xtsfs_place_is_given_up(void)
{
	return xtsfs_serving && fuse_req_interrupted(xtsfs_serving);
}

WATCHED(xtsfs_op, lookup, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))
WATCHED(xtsfs_op, forget, (fuse_req_t req, fuse_ino_t ino, uint64_t count), (req, ino, count))
WATCHED(xtsfs_op, forget_multi, (fuse_req_t req, size_t count, struct fuse_forget_data *list), (req, count, list))
WATCHED(xtsfs_op, getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(xtsfs_op, setattr, (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi),
	(req, ino, attr, to_set, fi))
WATCHED(xtsfs_op, readlink, (fuse_req_t req, fuse_ino_t ino), (req, ino))
WATCHED(xtsfs_op, mknod, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev),
	(req, parent, name, mode, rdev))
WATCHED(xtsfs_op, mkdir, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode), (req, parent, name, mode))
WATCHED(xtsfs_op, unlink, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))
WATCHED(xtsfs_op, rmdir, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))
WATCHED(xtsfs_op, symlink, (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name),
	(req, target, parent, name))
WATCHED(xtsfs_op, rename,
	(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
	 unsigned flags),
	(req, parent, name, new_parent, new_name, flags))
WATCHED(xtsfs_op, link, (fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name),
	(req, ino, new_parent, new_name))
WATCHED(xtsfs_op, create, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi),
	(req, parent, name, mode, fi))
WATCHED(xtsfs_op, open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(xtsfs_op, read, (fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi),
	(req, ino, bytes, offset, fi))
WATCHED(xtsfs_op, write,
	(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t offset, struct fuse_file_info *fi),
	(req, ino, data, bytes, offset, fi))
WATCHED(xtsfs_op, release, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(xtsfs_op, fsync, (fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi),
	(req, ino, data_only, fi))
WATCHED(xtsfs_op, opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(xtsfs_op, readdir, (fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t position, struct fuse_file_info *fi),
	(req, ino, bytes, position, fi))
WATCHED(xtsfs_op, readdirplus,
	(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t position, struct fuse_file_info *fi),
	(req, ino, bytes, position, fi))
WATCHED(xtsfs_op, releasedir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(xtsfs_op, fsyncdir, (fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi),
	(req, ino, data_only, fi))
WATCHED(xtsfs_op, statfs, (fuse_req_t req, fuse_ino_t ino), (req, ino))
WATCHED(xtsfs_op, setxattr,
	(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t bytes, int flags),
	(req, ino, name, value, bytes, flags))
WATCHED(xtsfs_op, getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t room), (req, ino, name, room))
WATCHED(xtsfs_op, listxattr, (fuse_req_t req, fuse_ino_t ino, size_t room), (req, ino, room))
WATCHED(xtsfs_op, removexattr, (fuse_req_t req, fuse_ino_t ino, const char *name), (req, ino, name))
WATCHED(xtsfs_op, fallocate,
	(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t bytes, struct fuse_file_info *fi),
	(req, ino, mode, offset, bytes, fi))
WATCHED(xtsfs_op, lseek, (fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi),
	(req, ino, offset, whence, fi))
#if XTSFS_HAVE_FUSE_TMPFILE
WATCHED(xtsfs_op, tmpfile, (fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi),
	(req, parent, mode, fi))
#endif

const struct fuse_lowlevel_ops xtsfs_fuse_ops = {
	.init = xtsfs_op_init,
	.lookup = watched_lookup,
	.forget = watched_forget,
	.forget_multi = watched_forget_multi,
	.getattr = watched_getattr,
	.setattr = watched_setattr,
	.readlink = watched_readlink,
	.mknod = watched_mknod,
	.mkdir = watched_mkdir,
	.unlink = watched_unlink,
	.rmdir = watched_rmdir,
	.symlink = watched_symlink,
	.rename = watched_rename,
	.link = watched_link,
	.create = watched_create,
	.open = watched_open,
	.read = watched_read,
	.write = watched_write,
	.release = watched_release,
	.fsync = watched_fsync,
	.opendir = watched_opendir,
	.readdir = watched_readdir,
	.readdirplus = watched_readdirplus,
	.releasedir = watched_releasedir,
	.fsyncdir = watched_fsyncdir,
	.statfs = watched_statfs,
	.setxattr = watched_setxattr,
	.getxattr = watched_getxattr,
	.listxattr = watched_listxattr,
	.removexattr = watched_removexattr,
	.fallocate = watched_fallocate,
	.lseek = watched_lseek,
#if XTSFS_HAVE_FUSE_TMPFILE
	.tmpfile = watched_tmpfile,
#endif
};
