/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache of cipher contexts without a lock.
 *
 * To make and key a context costs several microseconds, about what the MAC of a sector costs, and a context serves one
 * thread at a time. Contexts of the thread itself (pthread keys) would need one key for each MAC and SIV object, and
 * would live as long as the thread although the volume is gone. So each object has 64 slots of one pointer. A thread
 * begins to look at a slot of its own (threads are numbered in the order of their first call), takes a context by
 * exchanging the pointer with NULL, and puts it back by exchanging NULL with it: two atomic operations, mostly on a
 * cache line that no other thread touches. A slot is either empty or owns its context; no context is in two places,
 * and no pointer is compared that could have been freed and reused meanwhile.
 *
 * With more than 64 calls at the same time the excess makes a context and destroys it: slower, never wrong.
 */
#include "crypto/ctx-pool.h"

#include <stddef.h>

static unsigned first_slot(void)
{
	static atomic_uint threads_seen;
	static _Thread_local unsigned mine; /* 0: not numbered yet */

	if (mine == 0)
		mine = atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % XTSFS_CTX_SLOTS + 1;
	return mine - 1;
}

void xtsfs_ctx_pool_init(struct xtsfs_ctx_pool *pool, int (*make)(const void *owner, void **ret_ctx),
			 void (*destroy)(void *ctx), const void *owner)
{
	for (unsigned i = 0; i < XTSFS_CTX_SLOTS; i++)
		atomic_init(&pool->slots[i].ctx, NULL);
	pool->make = make;
	pool->destroy = destroy;
	pool->owner = owner;
}

void xtsfs_ctx_pool_done(struct xtsfs_ctx_pool *pool)
{
	for (unsigned i = 0; i < XTSFS_CTX_SLOTS; i++) {
		void *ctx = atomic_exchange(&pool->slots[i].ctx, NULL);

		if (ctx)
			pool->destroy(ctx);
	}
}

int xtsfs_ctx_pool_take(struct xtsfs_ctx_pool *pool, void **ret_ctx)
{
	unsigned first = first_slot();

	for (unsigned i = 0; i < XTSFS_CTX_SLOTS; i++) {
		struct xtsfs_ctx_slot *slot = &pool->slots[(first + i) % XTSFS_CTX_SLOTS];
		void *ctx;

		/* A look first: an exchange would take the cache line away from its owner. */
		if (!atomic_load_explicit(&slot->ctx, memory_order_relaxed))
			continue;
		ctx = atomic_exchange_explicit(&slot->ctx, NULL, memory_order_acquire);
		if (ctx) {
			*ret_ctx = ctx;
			return 0;
		}
	}
	return pool->make(pool->owner, ret_ctx);
}

void xtsfs_ctx_pool_put(struct xtsfs_ctx_pool *pool, void *ctx)
{
	unsigned first = first_slot();

	for (unsigned i = 0; i < XTSFS_CTX_SLOTS; i++) {
		struct xtsfs_ctx_slot *slot = &pool->slots[(first + i) % XTSFS_CTX_SLOTS];
		void *empty = NULL;

		if (atomic_compare_exchange_strong_explicit(&slot->ctx, &empty, ctx, memory_order_release,
							    memory_order_relaxed))
			return;
	}
	pool->destroy(ctx);
}
