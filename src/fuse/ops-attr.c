/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about attributes.
 */
#include "fuse/ops.h"

#include "core/fs.h"
#include "fuse/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void xtsfs_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	int r = xtsfs_getattr(xtsfs_req_volume(req), node, &st);

	(void)fi;
	if (r < 0)
		xtsfs_reply_status(req, r);
	else
		xtsfs_reply_attr(req, node, &st);
}

static struct timespec time_of(struct timespec given, int to_set, int now, int set)
{
	if (to_set & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return to_set & set ? given : (struct timespec){.tv_nsec = UTIME_OMIT};
}

void xtsfs_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct xtsfs_setattr set = {
		.mode_set = to_set & FUSE_SET_ATTR_MODE,
		.mode = attr->st_mode,
		.uid_set = to_set & FUSE_SET_ATTR_UID,
		.uid = attr->st_uid,
		.gid_set = to_set & FUSE_SET_ATTR_GID,
		.gid = attr->st_gid,
		.size_set = to_set & FUSE_SET_ATTR_SIZE,
		.plain_bytes = (uint64_t)attr->st_size,
		.times = {time_of(attr->st_atim, to_set, FUSE_SET_ATTR_ATIME_NOW, FUSE_SET_ATTR_ATIME),
			  time_of(attr->st_mtim, to_set, FUSE_SET_ATTR_MTIME_NOW, FUSE_SET_ATTR_MTIME)},
	};
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	struct stat st;
	int r = 0;

	(void)fi;
	/* The second: nothing else sends the ctime alone. */
	if (set.uid_set || set.gid_set || to_set == FUSE_SET_ATTR_CTIME)
		r = xtsfs_suid_chown(req, node, !set.uid_set && !set.gid_set);
	if (r == 0 && set.size_set && (to_set & FUSE_SET_ATTR_KILL_SUID))
		r = xtsfs_suid_changed(req, node, XTSFS_UNPRIVILEGED);
	/* The kernel sends the mtime behind the pages that it is about, and does not wait for their answers. */
	if (r == 0 && set.times[1].tv_nsec != UTIME_OMIT && xtsfs_has_writers(xtsfs_req_volume(req), node))
		xtsfs_gate_after_others();
	if (r == 0)
		r = xtsfs_setattr(xtsfs_req_volume(req), node, &set, &st);
	if (r < 0)
		xtsfs_reply_status(req, r);
	else
		xtsfs_reply_attr(req, node, &st);
}

void xtsfs_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int r = xtsfs_statfs(xtsfs_req_volume(req), &st);

	(void)ino;
	if (r < 0)
		xtsfs_reply_status(req, r);
	else
		fuse_reply_statfs(req, &st);
}

/* What getxattr and listxattr answer with: a size, or bytes. */
static void reply_xattr(fuse_req_t req, ssize_t n, const char *data, size_t room)
{
	if (n < 0)
		xtsfs_reply_status(req, (int)n);
	else if (room == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, data, (size_t)n);
}

void xtsfs_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t room)
{
	char *data = xtsfs_reply_buffer();
	size_t most = room < XTSFS_REPLY_BYTES ? room : XTSFS_REPLY_BYTES;
	ssize_t n = data ? xtsfs_getxattr(xtsfs_req_volume(req), xtsfs_req_node(req, ino), name, data, most) : -ENOMEM;

	/* ls(1) asks for this of each file, SELinux or not, until it hears that there are none. */
	if (n == -ENODATA && strcmp(name, "security.selinux") == 0)
		n = -EOPNOTSUPP;
	reply_xattr(req, n, data, room);
}

/* As local filesystems do: names in trusted are for the administrator. Returns what is left. */
static ssize_t drop_trusted(char *list, ssize_t bytes)
{
	ssize_t kept = 0;

	for (ssize_t at = 0, length; at < bytes; at += length) {
		length = (ssize_t)strlen(list + at) + 1;
		if (strncmp(list + at, "trusted.", 8) == 0)
			continue;
		memmove(list + kept, list + at, (size_t)length);
		kept += length;
	}
	return kept;
}

void xtsfs_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t room)
{
	char *data = xtsfs_reply_buffer();
	ssize_t n = -ENOMEM;

	if (data)
		n = xtsfs_listxattr(xtsfs_req_volume(req), xtsfs_req_node(req, ino), data, XTSFS_REPLY_BYTES);
	if (n > 0 && fuse_req_ctx(req)->uid != 0)
		n = drop_trusted(data, n);
	if (n > 0 && room > 0 && (size_t)n > room)
		n = -ERANGE;
	reply_xattr(req, n, data, room);
}

void xtsfs_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t bytes, int flags)
{
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	int r = xtsfs_setxattr(xtsfs_req_volume(req), node, name, value, bytes, flags);

	if (r == 0 && strcmp(name, "system.posix_acl_access") == 0)
		r = xtsfs_suid_acl(req, node);
	xtsfs_node_told(node, 0);
	xtsfs_reply_status(req, r);
}

void xtsfs_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	int r = xtsfs_removexattr(xtsfs_req_volume(req), node, name);

	xtsfs_node_told(node, 0);
	xtsfs_reply_status(req, r);
}
