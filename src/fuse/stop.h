/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What SIGTERM and SIGINT do: the mount goes, and nothing that was written is lost for it.
 *
 * Layer:   fuse, internal.
 * Threads: the main thread, which serves until the loop ends.
 */
#ifndef XTSFS_FUSE_STOP_H
#define XTSFS_FUSE_STOP_H

#include "base/errors.h"
#include "fuse/helper.h"

struct fuse_session;
struct xtsfs_seeker;
struct xtsfs_stopper;

struct xtsfs_stop_params {
	const char *mountpoint;
	dev_t device;
	struct xtsfs_helper *helper; /* NULL where there is no sandbox */
	struct fuse_session *se;
	struct xtsfs_seeker *seeker; /* ends the loop, if there is one */
	int (*store)(
		void *data); /* what programs that go on using the mount have written; 0 or -errno. In our thread */
	void *data;
};

/** From now on the signals wait, for the thread or, without one, for ever; so before the mount is made. 0 or -errno. */
xtsfs_must_check int xtsfs_stopper_new(struct xtsfs_stopper **ret_stopper);
/** A thread that hears them. @params must stay. The calling thread is to serve, and is woken by SIGURG. 0 or -errno. */
xtsfs_must_check int xtsfs_stopper_start(struct xtsfs_stopper *stopper, const struct xtsfs_stop_params *params);
/** The loop has ended. */
void xtsfs_stopper_stop(struct xtsfs_stopper *stopper);
/** The signals go on waiting. NULL is fine. */
void xtsfs_stopper_free(struct xtsfs_stopper *stopper);

#endif
