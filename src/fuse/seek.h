/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that answers SEEK_DATA and SEEK_HOLE of files that are being written.
 *
 * Layer:   fuse, internal.
 * Threads: the main thread starts and ends it. It takes no lock of the core while it waits for the kernel.
 */
#ifndef XTSFS_FUSE_SEEK_H
#define XTSFS_FUSE_SEEK_H

#include "fuse/ops.h"

/** After going into the background, before the loop, in its thread, which is woken by SIGURG. The session is borrowed.
 * -errno. */
xtsfs_must_check int xtsfs_seeker_start(struct fuse_session *se, struct xtsfs_seeker **ret_seeker);
/** End the loop when nothing is under way. */
void xtsfs_seeker_end_loop(struct xtsfs_seeker *seeker);
/** After the loop: joins the thread. NULL is fine. */
void xtsfs_seeker_end(struct xtsfs_seeker *seeker);

/** Wait until nothing is queued or under way, and keep it so: the caller notifies the kernel meanwhile, and the loop
 * does not end. Nothing may come in that would be queued. false: it is ending, and is not held. */
xtsfs_must_check bool xtsfs_seeker_hold(struct xtsfs_seeker *seeker);
/** NULL is fine. */
void xtsfs_seeker_let_go(struct xtsfs_seeker *seeker);

#endif
