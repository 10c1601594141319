/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OP handles of one TFM, leased to I/O threads.
 *
 * Layer:   crypto.
 * Threads: all functions from any thread.
 * The pool makes the TFM, grows to at most max_ops OP handles (one for each I/O thread) and is warmed with all of them
 * by xtsfs_pool_warm() after daemonising. A thread that finds all leased makes another up to the limit, else waits. An
 * operation that fails kills its op: destroyed, a new one made, tried once more, then -EIO; output of a failed run is
 * wiped, never exposed. A run in place (in == out) is processed from a copy in pieces of 16 KiB, since a retry needs
 * the input; from buffer to buffer is about a tenth faster. If a new op cannot be made (descriptors run out) the run
 * waits for one in use by others; if there is none at all, the error is returned.
 */
#ifndef XTSFS_CRYPTO_POOL_H
#define XTSFS_CRYPTO_POOL_H

#include "crypto/engine.h"

struct xtsfs_pool;

struct xtsfs_pool_stats {
	unsigned ops; /* OP handles that exist */
	unsigned max_ops;
	uint64_t sectors;  /* processed */
	uint64_t replaced; /* OP handles destroyed after an error */
	uint64_t waits;	   /* leases that had to wait */
};

/** @max_ops: 1 to 4096. 0, -EINVAL (@max_ops, key1 == key2), or an error of the engine's tfm_new. The caller wipes
 * @key. */
xtsfs_must_check int xtsfs_pool_new(const struct xtsfs_engine *engine, const uint8_t key[static XTSFS_XTS_KEY_BYTES],
				    unsigned max_ops, struct xtsfs_pool **ret_pool);
/** Nobody may be inside. NULL is fine; returns NULL. */
struct xtsfs_pool *xtsfs_pool_free(struct xtsfs_pool *pool);
/** Make OP handles until there are @ops (at most max_ops). 0 or the error of the first that failed (those made stay).
 */
xtsfs_must_check int xtsfs_pool_warm(struct xtsfs_pool *pool, unsigned ops);
/** 0, -EINVAL (sizes outside the contract of struct xtsfs_run), -EIO, or an error of op_new when no op exists. */
xtsfs_must_check int xtsfs_pool_crypt(struct xtsfs_pool *pool, enum xtsfs_direction direction,
				      const struct xtsfs_run *run);
void xtsfs_pool_stats(struct xtsfs_pool *pool, struct xtsfs_pool_stats *ret_stats);

#endif
