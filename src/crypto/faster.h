/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two does the same work faster?
 *
 * Layer:   crypto.
 * Threads: any.
 */
#ifndef XTSFS_CRYPTO_FASTER_H
#define XTSFS_CRYPTO_FASTER_H

#include "base/errors.h"

#include <stdint.h>

/**
 * The shortest of several runs of @work, in ns, at least 1; or @work's error, negative. For work of some microseconds:
 * the shortest is one during which nothing else had the processor.
 */
xtsfs_must_check int64_t xtsfs_shortest_ns(int (*work)(void *data), void *data);
/** Is it worth taking something that needs @ns where something else needs @than_ns? Not for what measuring gets wrong.
 */
static inline int xtsfs_is_faster(int64_t ns, int64_t than_ns)
{
	return ns < than_ns - than_ns / 8;
}

#endif
