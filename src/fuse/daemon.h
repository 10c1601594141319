/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going into the background: the caller returns when the mount is usable, or with the code of the failure.
 *
 * Layer:   fuse.
 * Threads: call before any thread exists. Everything that must not be shared over a fork (AF_ALG handles, threads, the
 * FUSE descriptor) is made after xtsfs_daemon_begin().
 */
#ifndef XTSFS_FUSE_DAEMON_H
#define XTSFS_FUSE_DAEMON_H

#include "base/errors.h"

struct xtsfs_daemon {
	int report_fd; /* the waiting parent's pipe; -1 in the foreground */
	int null_fd;   /* from xtsfs_daemon_detach() to xtsfs_daemon_ready(), else -1 */
};

/**
 * First of all: standard descriptors that are closed become /dev/null, so that no file of ours gets their numbers, and
 * others that were inherited are closed, so that no lock or pipe of the caller is held; all but @keep (or -1).
 */
xtsfs_must_check int xtsfs_daemon_descriptors(int keep);
/** Fork; the parent waits in here and exits with what the child reports. Returns in the child. -errno if there can be
 * none. */
xtsfs_must_check int xtsfs_daemon_begin(struct xtsfs_daemon *ret_daemon);
/** The child leaves the terminal: a sandbox would forbid it. */
xtsfs_must_check int xtsfs_daemon_detach(struct xtsfs_daemon *daemon);
/** The child is ready: standard descriptors become /dev/null, the log goes to syslog, the parent exits with 0. */
xtsfs_must_check int xtsfs_daemon_ready(struct xtsfs_daemon *daemon);
/** Write the process id; @path absolute. */
xtsfs_must_check int xtsfs_daemon_pidfile(const char *path);

#endif
