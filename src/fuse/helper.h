/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that does for a daemon in its sandbox what the sandbox forbids: unmount, remove the pidfile and the control
 * socket, look up who a caller is.
 *
 * Layer:   fuse.
 * Threads: started and ended by the main thread; questions from any.
 */
#ifndef XTSFS_FUSE_HELPER_H
#define XTSFS_FUSE_HELPER_H

#include "base/control.h"
#include "base/errors.h"

#include <stdbool.h>
#include <sys/types.h>

struct xtsfs_caller_question;
struct xtsfs_helper;

struct xtsfs_helper_params {
	const char *mountpoint, *pidfile; /* absolute; the pidfile may be NULL */
	bool background;		  /* as the daemon: its standard descriptors become /dev/null */
	int argc;			  /* the program's arguments, which the helper's no longer are */
	char **argv;
};

/** Fork it: before anything secret is in memory, a thread is made or a descriptor of the mount is open. 0 or -errno. */
xtsfs_must_check int xtsfs_helper_start(const struct xtsfs_helper_params *params, struct xtsfs_helper **ret_helper);
/** Detach the mount from its mount point. 0 or -errno. */
int xtsfs_helper_unmount(struct xtsfs_helper *helper);
/** Begin to unmount if nobody uses the mount, as xtsfs_unmount_unused(), with the result, if it is wanted, to
 * xtsfs_helper_result(). */
xtsfs_must_check int xtsfs_helper_unmount_unused(struct xtsfs_helper *helper, bool want_result);
int xtsfs_helper_result(const struct xtsfs_helper *helper);
/** Tell it of the mount and its control socket: once, before anything is served. 0 or -errno. */
xtsfs_must_check int xtsfs_helper_introduce(struct xtsfs_helper *helper, const struct xtsfs_control_name *control);
void xtsfs_helper_remove_socket(struct xtsfs_helper *helper);
void xtsfs_helper_remove_pidfile(struct xtsfs_helper *helper);
/** As xtsfs_process_may() (ops.h); -errno also if the helper has gone. */
int xtsfs_helper_may(struct xtsfs_helper *helper, const struct xtsfs_caller_question *question);
/**
 * Begin to unmount what is at @mountpoint if it is the mount with that device and nobody uses it: a process of its own
 * does it, since unmounting may have to wait for answers of the daemon, and writes an int, 0 or -errno, to @result if
 * that is not -1. 0 or -errno: it was not begun; -EBUSY: something is mounted in front of it; -ENOENT: nothing is
 * there.
 */
xtsfs_must_check int xtsfs_unmount_unused(const char *mountpoint, dev_t device, int result);
/** Waits for its end. NULL is fine. */
void xtsfs_helper_end(struct xtsfs_helper *helper);

#endif
