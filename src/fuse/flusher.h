/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that commits overwritten sectors that have waited for long enough (core/waiting.h).
 *
 * Layer:   fuse.
 * Threads: started and stopped by the main thread, after daemonising.
 */
#ifndef XTSFS_FUSE_FLUSHER_H
#define XTSFS_FUSE_FLUSHER_H

#include "core/fs.h"

struct xtsfs_flusher;

xtsfs_must_check int xtsfs_flusher_start(struct xtsfs_volume *volume, struct xtsfs_flusher **ret_flusher);
/** Ends the thread; NULL is fine. */
void xtsfs_flusher_stop(struct xtsfs_flusher *flusher);

#endif
