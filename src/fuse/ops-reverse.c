/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about open files of a reverse view; everything else is asked of the core as of any volume (reverse.h).
 *
 * The kernel keeps no pages: what a file is belongs to one opening of it, and pages belong to the inode, so those of an
 * earlier version could be given to a later reader. A program that copies reads everything once in any case.
 */
#include "fuse/ops.h"
#include "fuse/places.h"

#include "core/reverse.h"

static struct xtsfs_reverse_file *file_of(const struct fuse_file_info *fi)
{
	return (struct xtsfs_reverse_file *)(uintptr_t)fi->fh;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct xtsfs_reverse_file *file;
	int r = (fi->flags & O_ACCMODE) == O_RDONLY
			? xtsfs_reverse_open(xtsfs_req_volume(req), xtsfs_req_node(req, ino), &file)
			: -EROFS;

	if (r < 0) {
		xtsfs_reply_status(req, r);
		return;
	}
	fi->fh = (uintptr_t)file;
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) == -ENOENT)
		xtsfs_reverse_close(file);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	xtsfs_reverse_close(file_of(fi));
	fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi)
{
	char *data = xtsfs_reply_buffer();
	ssize_t n;

	(void)ino;
	if (bytes > XTSFS_REPLY_BYTES)
		bytes = XTSFS_REPLY_BYTES;
	n = data ? xtsfs_reverse_read(file_of(fi), data, bytes, (uint64_t)offset) : -ENOMEM;
	if (n < 0) {
		xtsfs_reply_status(req, (int)n);
		return;
	}
	xtsfs_count_bytes((size_t)n, 0);
	fuse_reply_buf(req, data, (size_t)n);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	int64_t at = xtsfs_reverse_seek(file_of(fi), (uint64_t)offset, whence);

	(void)ino;
	if (at < 0)
		xtsfs_reply_status(req, (int)at);
	else
		fuse_reply_lseek(req, at);
}

WATCHED(op, open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(op, release, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
WATCHED(op, read, (fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi),
	(req, ino, bytes, offset, fi))
WATCHED(op, lseek, (fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi),
	(req, ino, offset, whence, fi))

void xtsfs_reverse_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = watched_open;
	ops->release = watched_release;
	ops->read = watched_read;
	ops->lseek = watched_lseek;
}
