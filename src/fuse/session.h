/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE session: mounting, the loop over its threads, unmounting.
 *
 * Layer:   fuse.
 * Threads: the main thread.
 */
#ifndef XTSFS_FUSE_SESSION_H
#define XTSFS_FUSE_SESSION_H

#include "core/volume.h"
#include "fuse/helper.h"
#include "fuse/options.h"
#include "fuse/status.h"

struct xtsfs_session;

/** Mount. 0, or -EIO or -ENOMEM, and then the log says why. The volume, its store and the helper
 * (NULL: this process may do all by itself) are borrowed. */
xtsfs_must_check int xtsfs_session_new(const struct xtsfs_options *options, struct xtsfs_volume *volume,
				       struct xtsfs_helper *helper, struct xtsfs_session **ret_session);
/** Make the control socket, before the sandbox is entered. Without one the mount goes on; the log says why. */
void xtsfs_session_control(struct xtsfs_session *session, const struct xtsfs_options *options,
			   struct xtsfs_store *store, const struct xtsfs_mount_facts *facts);
/** Serve until unmounted or SIGINT or SIGTERM. 0 or -errno. */
xtsfs_must_check int xtsfs_session_loop(struct xtsfs_session *session, unsigned threads);
/** Unmounts if it is mounted. NULL is fine. */
void xtsfs_session_free(struct xtsfs_session *session);

#endif
