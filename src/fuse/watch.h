/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog: a request that is not answered for long is told in the log.
 *
 * Layer:   fuse, internal.
 * Threads: the main thread.
 */
#ifndef XTSFS_FUSE_WATCH_H
#define XTSFS_FUSE_WATCH_H

#include "base/errors.h"

struct xtsfs_watchdog;

/** Look at all threads' requests, and warn of those that take longer than this; 0: none, @ret_watchdog is NULL. */
xtsfs_must_check int xtsfs_watchdog_start(unsigned limit_s, struct xtsfs_watchdog **ret_watchdog);
/** NULL is fine. */
void xtsfs_watchdog_stop(struct xtsfs_watchdog *watchdog);

#endif
