/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed cipher contexts, kept for the next call.
 *
 * Layer:   crypto; used by mac.c and siv.c.
 * Threads: xtsfs_ctx_pool_take() and _put() from any thread; a context belongs to whoever took it.
 * Secrets: contexts hold key schedules; @destroy must cleanse them.
 */
#ifndef XTSFS_CRYPTO_CTX_POOL_H
#define XTSFS_CRYPTO_CTX_POOL_H

#include "base/errors.h"

#include <stdatomic.h>

#define XTSFS_CTX_SLOTS 64 /* a power of two */

struct xtsfs_ctx_slot {
	_Alignas(64) _Atomic(void *) ctx; /* a cache line each: neighbours are used by other threads */
};

struct xtsfs_ctx_pool {
	struct xtsfs_ctx_slot slots[XTSFS_CTX_SLOTS];
	int (*make)(const void *owner, void **ret_ctx);
	void (*destroy)(void *ctx);
	const void *owner;
};

/** @make gets @owner, returns 0 or -errno. */
void xtsfs_ctx_pool_init(struct xtsfs_ctx_pool *pool, int (*make)(const void *owner, void **ret_ctx),
			 void (*destroy)(void *ctx), const void *owner);
/** Destroys all; nobody may hold one. Fine on a pool of zero bytes. */
void xtsfs_ctx_pool_done(struct xtsfs_ctx_pool *pool);
/** A kept context or a new one. 0 or @make's error. */
xtsfs_must_check int xtsfs_ctx_pool_take(struct xtsfs_ctx_pool *pool, void **ret_ctx);
/** Keep @ctx for the next. After an error in it do not put it back: destroy it. */
void xtsfs_ctx_pool_put(struct xtsfs_ctx_pool *pool, void *ctx);

#endif
