/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that does something every so many seconds.
 *
 * Layer:   fuse, internal.
 * Threads: started and stopped by the main thread, after daemonising; the function is called by the ticker's own.
 */
#ifndef XTSFS_FUSE_TICKER_H
#define XTSFS_FUSE_TICKER_H

#include "base/errors.h"

struct xtsfs_ticker;

/** Call @tick with @data, for the first time after @seconds, and again @seconds after it has returned. */
xtsfs_must_check int xtsfs_ticker_start(unsigned seconds, void (*tick)(void *data), void *data,
					struct xtsfs_ticker **ret_ticker);
/** Waits for a call that is being made. NULL is fine. */
void xtsfs_ticker_stop(struct xtsfs_ticker *ticker);

#endif
