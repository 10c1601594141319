/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many threads wait for a request.
 *
 * Layer:   fuse.
 * Threads: those of libfuse's loop.
 */
#ifndef XTSFS_FUSE_READERS_H
#define XTSFS_FUSE_READERS_H

#include "base/errors.h"

#include <stdbool.h>

/** Before the loop. */
xtsfs_must_check int xtsfs_readers_init(void);
/**
 * Before each read. Returns when this thread may wait for a request: true, and xtsfs_readers_leave() is due after the
 * read. Or false: a signal came, and it may not yet. The thread may be cancelled in here.
 */
xtsfs_must_check bool xtsfs_readers_enter(void);
/** After each read, before the request is served, if there is one: if nobody is left who waits, another thread does. */
void xtsfs_readers_leave(bool has_request);

#endif
