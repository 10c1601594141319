/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about open files.
 */
#include "fuse/ops.h"
#include "fuse/places.h"
#include "fuse/wire.h"

#include <fcntl.h>
#include <string.h>

static bool for_write(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/* The kernel's cached pages stay true, unless others write the volume: then it is to ask each time. */
static void fill(const struct xtsfs_volume *volume, struct fuse_file_info *fi)
{
	fi->direct_io = xtsfs_volume_is_shared(volume);
	fi->keep_cache = !fi->direct_io;
}

/* A file was made (@r 0) or not: open it and answer. */
static void reply_made(fuse_req_t req, int r, struct xtsfs_node *node, const struct stat *st, struct fuse_file_info *fi)
{
	struct xtsfs_volume *volume = xtsfs_req_volume(req);
	struct fuse_entry_param entry;

	if (r == 0) {
		r = xtsfs_open(volume, node, for_write(fi));
		if (r < 0)
			xtsfs_forget(volume, node, 1);
	}
	if (r < 0) {
		xtsfs_reply_status(req, r);
		return;
	}
	fill(volume, fi);
	entry = xtsfs_entry(volume, node, st);
	if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
		xtsfs_release(volume, node, for_write(fi));
		xtsfs_forget(volume, node, 1);
	}
}

void xtsfs_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct xtsfs_cred cred = xtsfs_req_cred(req);
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_create(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name, mode, fi->flags & O_EXCL, &cred,
			     &node, &st);

	reply_made(req, r, node, &st, fi);
}

#if XTSFS_HAVE_FUSE_TMPFILE
void xtsfs_op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct xtsfs_cred cred = xtsfs_req_cred(req);
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_tmpfile(xtsfs_req_volume(req), xtsfs_req_node(req, parent), mode, !(fi->flags & O_EXCL), &cred,
			      &node, &st);

	reply_made(req, r, node, &st, fi);
}
#endif

void xtsfs_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct xtsfs_volume *volume = xtsfs_req_volume(req);
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	int r = xtsfs_open(volume, node, for_write(fi));

	if (r < 0) {
		xtsfs_reply_status(req, r);
		return;
	}
	fill(volume, fi);
	if (fuse_reply_open(req, fi) == -ENOENT)
		xtsfs_release(volume, node, for_write(fi));
}

void xtsfs_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct xtsfs_node *node = xtsfs_req_node(req, ino);

	if (for_write(fi))
		xtsfs_node_told(node, 0); /* the kernel does not know the blocks */
	xtsfs_release(xtsfs_req_volume(req), node, for_write(fi));
	fuse_reply_err(req, 0);
}

void xtsfs_op_read(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi)
{
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	char *data = xtsfs_reply_buffer();
	ssize_t n;

	(void)fi;
	xtsfs_node_told(node, 0); /* the kernel does not know the time of access */
	if (bytes > XTSFS_REPLY_BYTES)
		bytes = XTSFS_REPLY_BYTES;
	n = data ? xtsfs_read(xtsfs_req_volume(req), node, data, bytes, (uint64_t)offset) : -ENOMEM;
	if (n < 0) {
		xtsfs_reply_status(req, (int)n);
		return;
	}
	xtsfs_count_bytes((size_t)n, 0);
	fuse_reply_buf(req, data, (size_t)n);
}

void xtsfs_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t offset,
		    struct fuse_file_info *fi)
{
	struct xtsfs_volume *volume = xtsfs_req_volume(req);
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	ssize_t n = xtsfs_suid_changed(req, node, xtsfs_wire_kills_suid() ? XTSFS_UNPRIVILEGED : XTSFS_PRIVILEGED);
	/* Where the file ends the kernel cannot know if others write it. */
	bool at_end = xtsfs_volume_is_shared(volume) && (fi->flags & O_APPEND) && !fi->writepage;

	xtsfs_node_told(node, 0);
	if (n == 0)
		n = (fi->writepage ? xtsfs_write_cached : xtsfs_write)(volume, node, data, bytes,
								       at_end ? XTSFS_AT_END : (uint64_t)offset);
	/* The kernel does not look at a short count when it writes its cache back: the error must come out. */
	if (n > 0 && (size_t)n < bytes && fi->writepage) {
		ssize_t rest = xtsfs_write_cached(volume, node, data + n, bytes - (size_t)n,
						  (uint64_t)offset + (size_t)n);

		n = rest < 0 ? rest : rest + n < (ssize_t)bytes ? -ENOSPC : rest + n;
	}
	if (n < 0) {
		xtsfs_reply_status(req, (int)n);
		return;
	}
	xtsfs_count_bytes(0, (size_t)n);
	fuse_reply_write(req, (size_t)n);
}

void xtsfs_op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)fi;
	xtsfs_reply_status(req, xtsfs_fsync(xtsfs_req_volume(req), xtsfs_req_node(req, ino), data_only));
}

void xtsfs_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t bytes, struct fuse_file_info *fi)
{
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	int r = xtsfs_suid_changed(req, node, XTSFS_PRIVILEGE_UNKNOWN);

	(void)fi;
	xtsfs_node_told(node, 0);
	if (r == 0)
		r = xtsfs_fallocate(xtsfs_req_volume(req), node, mode, (uint64_t)offset, (uint64_t)bytes);
	xtsfs_reply_status(req, r);
}
