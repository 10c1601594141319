/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that answers at the control socket (docs/control.md).
 *
 * Layer:   fuse, internal.
 * Threads: started and stopped by the main thread.
 */
#ifndef XTSFS_FUSE_SERVER_H
#define XTSFS_FUSE_SERVER_H

#include "fuse/lock.h"
#include "fuse/status.h"

struct xtsfs_server;

struct xtsfs_server_params {
	int listening; /* stays the caller's */
	struct xtsfs_mount_facts facts;
	struct xtsfs_locker locker;
};

xtsfs_must_check int xtsfs_server_start(const struct xtsfs_server_params *params, struct xtsfs_server **ret_server);
/** Waits for a request that is being answered; then nobody is heard any more. @ret_locker: as it was left, or NULL. */
void xtsfs_server_end(struct xtsfs_server *server, struct xtsfs_locker *ret_locker);
/** Ends it, if that has not been done, and frees it. NULL is fine. */
void xtsfs_server_stop(struct xtsfs_server *server);

#endif
