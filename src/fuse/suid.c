/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setuid and setgid bits: the kernel leaves it to us to take them away when content changes (FUSE_HANDLE_KILLPRIV_V2,
 * wire.c). What goes is what Linux takes on a local filesystem (setattr_should_drop_suidgid()): setuid, setgid of what
 * the group may execute, and of other files from those who are not in the group; not for callers with CAP_FSETID. A
 * chown reaches the backing filesystem, which does it itself; but it sees the daemon, which may be in every group.
 */
#include "fuse/ops.h"

#include <errno.h>

static int drop(fuse_req_t req, struct xtsfs_node *node, const struct stat *st, mode_t bits)
{
	struct xtsfs_setattr set = {.mode_set = true,
				    .mode = st->st_mode & 07777 & ~bits,
				    .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};

	return bits ? xtsfs_setattr(xtsfs_req_volume(req), node, &set, NULL) : 0;
}

static mode_t setgid_to_drop(fuse_req_t req, const struct stat *st)
{
	return (st->st_mode & S_ISGID) && !xtsfs_req_may_setgid(req, st) ? S_ISGID : 0;
}

static mode_t bits_to_drop(fuse_req_t req, const struct stat *st)
{
	return (st->st_mode & S_ISUID) | (st->st_mode & S_IXGRP ? st->st_mode & S_ISGID : setgid_to_drop(req, st));
}

int xtsfs_suid_changed(fuse_req_t req, struct xtsfs_node *node, enum xtsfs_privilege privilege)
{
	struct stat st;
	mode_t bits;
	int r;

	if (privilege == XTSFS_PRIVILEGED)
		return 0;
	r = xtsfs_getattr(xtsfs_req_volume(req), node, &st);
	if (r < 0 || !S_ISREG(st.st_mode))
		return r;
	bits = bits_to_drop(req, &st);
	if (bits && privilege == XTSFS_PRIVILEGE_UNKNOWN && xtsfs_req_has_fsetid(req, &st))
		return 0;
	return drop(req, node, &st, bits);
}

int xtsfs_suid_chown(fuse_req_t req, struct xtsfs_node *node, bool to_nobody)
{
	struct stat st;
	int r = xtsfs_getattr(xtsfs_req_volume(req), node, &st);
	mode_t bits;

	if (r < 0 || S_ISDIR(st.st_mode))
		return r;
	bits = bits_to_drop(req, &st);
	if (bits && !xtsfs_req_owns(req, &st))
		return -EPERM;
	if (!to_nobody)
		bits &= st.st_mode & S_IXGRP ? 0 : S_ISGID;
	return drop(req, node, &st, bits);
}

int xtsfs_suid_acl(fuse_req_t req, struct xtsfs_node *node)
{
	struct stat st;
	int r = xtsfs_getattr(xtsfs_req_volume(req), node, &st);

	return r < 0 ? r : drop(req, node, &st, setgid_to_drop(req, &st));
}
