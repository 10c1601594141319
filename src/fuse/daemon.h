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

#include "fuse/helper.h"
#include "fuse/options.h"

struct xtsfs_daemon {
	int report_fd;		     /* the waiting parent's pipe; -1 in the foreground */
	struct xtsfs_helper *helper; /* NULL with nosandbox */
	int argc;		     /* main()'s */
	char **argv;
};

/**
 * First of all: what libraries read from files at first use is loaded now. It is the time zone, for the syslog, and the
 * library with which glibc ends threads: it aborts where it cannot have that, in the sandbox or with no descriptor
 * left. When a program begins there is one: its own libraries were loaded by it.
 */
void xtsfs_daemon_load_all(void);
/**
 * Then: standard descriptors that are closed become /dev/null, so that no file of ours gets their numbers, and
 * others that were inherited are closed, so that no lock or pipe of the caller is held; all but @keep (or -1).
 */
xtsfs_must_check int xtsfs_daemon_descriptors(int keep);
/**
 * Fork; the parent waits in here and exits with what the child reports. Returns in the child. -errno if there can be
 * none. In the foreground there is no fork, and systemd, if it has started us, will be told when we are ready.
 */
xtsfs_must_check int xtsfs_daemon_begin(struct xtsfs_daemon *ret_daemon, bool foreground);
/** Before keys are read: the helper, unless there is to be no sandbox. 0 or -errno. xtsfs_helper_end() ends it. */
xtsfs_must_check int xtsfs_daemon_start_helper(struct xtsfs_daemon *daemon, const struct xtsfs_options *options);
/**
 * Everything is there, in one thread: leave the terminal, enter the sandbox around @backing, the volume's directory,
 * and @beside, where its configuration is if not there (else -1), and only then, in the background, turn the standard
 * descriptors into /dev/null, log to syslog and let the parent exit with 0; in the foreground, tell systemd.
 */
xtsfs_must_check int xtsfs_daemon_ready(struct xtsfs_daemon *daemon, const struct xtsfs_options *options, int backing,
					int beside, bool kernel_engine);
/** Write the process id; @path absolute. */
xtsfs_must_check int xtsfs_daemon_pidfile(const char *path);

#endif
