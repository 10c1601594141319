/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leasing OP handles to threads.
 *
 * One mutex guards a stack of idle ops and the counters; no engine call is made under it. An op is idle (on the stack),
 * leased, or being made; "existing" counts all three, so it bounds what threads make at the same time, and when it is 0
 * nobody can be waited for:
 *
 *	idle_count <= existing <= max_ops
 *	a thread waits only while existing > 0, and everything that lowers existing or grows the stack wakes one or all
 *
 * The stack gives the op used last, whose state is warm in the caches.
 *
 * Errors. An OP that failed may hold queued data in the kernel and would give it to the next user, so it is destroyed,
 * always. Its place is kept for the new one that the retry is made with. If that cannot be made (no descriptors), the
 * place is given up and the run waits for an op of another thread like any other. Two failed attempts are -EIO, and the
 * output is wiped: half of it may be the plaintext of one sector and the ciphertext of the next.
 *
 * A retry needs the input. From buffer to buffer it is still there. In place, a failed attempt has overwritten some of
 * it, nobody knows how much; so in-place runs are processed from a copy, in pieces of SCRATCH_BYTES that each leased op
 * has room for. A piece that is done stays done, and a retry begins with the piece that failed. The copy costs a tenth
 * of the user engine's time: from buffer to buffer is faster. The scratch memory holds what the caller's buffer held,
 * plaintext or ciphertext of files, never keys; it is wiped when it is freed.
 */
#include "crypto/pool.h"

#include "base/cleanup.h"
#include "base/secret.h"
#include "crypto/engine-common.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_BYTES ((size_t)4 * XTSFS_XTS_MAX_BYTES)
#define MAX_OPS	      4096U

struct slot {
	struct xtsfs_op *op;
	struct slot *next_idle;
	uint8_t scratch[SCRATCH_BYTES];
};

struct xtsfs_pool {
	const struct xtsfs_engine *engine;
	struct xtsfs_tfm *tfm;
	pthread_mutex_t mutex; /* a leaf: guards everything below; not held over engine calls */
	pthread_cond_t changed;
	struct slot *idle;
	unsigned idle_count;
	unsigned existing;
	unsigned max_ops;
	uint64_t sectors;
	uint64_t replaced;
	uint64_t waits;
};

static void slot_free(const struct xtsfs_engine *engine, struct slot *slot)
{
	if (slot->op)
		engine->op_free(slot->op);
	xtsfs_wipe(slot->scratch, sizeof(slot->scratch));
	free(slot);
}

static int slot_new(struct xtsfs_pool *pool, struct slot **ret_slot)
{
	struct slot *slot = malloc(sizeof(*slot));
	int r;

	if (!slot)
		return -ENOMEM;
	memset(slot, 0, sizeof(*slot));
	r = pool->engine->op_new(pool->tfm, &slot->op);
	if (r < 0) {
		free(slot);
		return r;
	}
	*ret_slot = slot;
	return 0;
}

int xtsfs_pool_new(const struct xtsfs_engine *engine, const uint8_t key[static XTSFS_XTS_KEY_BYTES], unsigned max_ops,
		   struct xtsfs_pool **ret_pool)
{
	struct xtsfs_pool *pool;
	int r;

	if (max_ops < 1 || max_ops > MAX_OPS)
		return -EINVAL;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->engine = engine;
	pool->max_ops = max_ops;
	r = engine->tfm_new(key, &pool->tfm);
	if (r < 0) {
		free(pool);
		return r;
	}
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->changed, NULL);
	*ret_pool = pool;
	return 0;
}

struct xtsfs_pool *xtsfs_pool_free(struct xtsfs_pool *pool)
{
	if (!pool)
		return NULL;
	while (pool->idle) {
		struct slot *slot = pool->idle;

		pool->idle = slot->next_idle;
		slot_free(pool->engine, slot);
	}
	pool->engine->tfm_free(pool->tfm);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
	return NULL;
}

static void push_idle(struct xtsfs_pool *pool, struct slot *slot)
{
	slot->next_idle = pool->idle;
	pool->idle = slot;
	pool->idle_count++;
	pthread_cond_signal(&pool->changed);
}

/* A place is given up: who waits for it may have to make an op, or to fail. */
static void drop_place(struct xtsfs_pool *pool)
{
	xtsfs_guard_mutex(&pool->mutex);

	pool->existing--;
	pthread_cond_broadcast(&pool->changed);
}

/* Take an idle op, or make one where the limit allows, or wait for one. */
static int lease(struct xtsfs_pool *pool, bool may_make, struct slot **ret_slot)
{
	bool waited = false;
	int r;

	pthread_mutex_lock(&pool->mutex);
	for (;;) {
		if (pool->idle) {
			*ret_slot = pool->idle;
			pool->idle = pool->idle->next_idle;
			pool->idle_count--;
			pthread_mutex_unlock(&pool->mutex);
			return 0;
		}
		if (pool->existing == 0 || (may_make && pool->existing < pool->max_ops)) {
			pool->existing++;
			pthread_mutex_unlock(&pool->mutex);
			r = slot_new(pool, ret_slot);
			if (r == 0)
				return 0;
			pthread_mutex_lock(&pool->mutex);
			pool->existing--;
			pthread_cond_broadcast(&pool->changed);
			if (pool->existing == 0) {
				pthread_mutex_unlock(&pool->mutex);
				return r;
			}
			may_make = false; /* others have some: wait for one of theirs */
			continue;
		}
		if (!waited)
			pool->waits++;
		waited = true;
		pthread_cond_wait(&pool->changed, &pool->mutex);
	}
}

static void give_back(struct xtsfs_pool *pool, struct slot *slot, uint64_t sectors)
{
	xtsfs_guard_mutex(&pool->mutex);

	pool->sectors += sectors;
	push_idle(pool, slot);
}

/*
 * The op of @slot failed: destroy it and put a new one, or one of another thread, in its place. The slot stays, for its
 * scratch memory has the input. On an error it is without an op, and its place is given up.
 */
static int replace(struct xtsfs_pool *pool, struct slot *slot)
{
	struct slot *other;
	int r;

	pool->engine->op_free(slot->op);
	slot->op = NULL;
	pthread_mutex_lock(&pool->mutex);
	pool->replaced++;
	pthread_mutex_unlock(&pool->mutex);

	if (pool->engine->op_new(pool->tfm, &slot->op) == 0)
		return 0;
	slot->op = NULL;
	drop_place(pool);
	r = lease(pool, /* may_make= */ false, &other);
	if (r < 0)
		return r;
	slot->op = other->op;
	other->op = NULL;
	slot_free(pool->engine, other);
	return 0;
}

/* What the engine is given at once: in and out do not overlap. One retry for each run. */
static int crypt_piece(struct xtsfs_pool *pool, struct slot *slot, enum xtsfs_direction direction,
		       const struct xtsfs_run *piece, bool *retried)
{
	while (pool->engine->crypt(slot->op, direction, piece) < 0) {
		int r;

		if (*retried)
			return -EIO;
		*retried = true;
		r = replace(pool, slot);
		if (r < 0)
			return r;
	}
	return 0;
}

static int crypt_in_place(struct xtsfs_pool *pool, struct slot *slot, enum xtsfs_direction direction,
			  const struct xtsfs_run *run, bool *retried)
{
	const size_t sectors = SCRATCH_BYTES / run->sector_bytes, piece_bytes = sectors * run->sector_bytes;
	struct xtsfs_run piece = *run;
	int r = 0;

	for (size_t done = 0; r == 0 && done < run->bytes; done += piece.bytes) {
		piece.bytes = run->bytes - done < piece_bytes ? run->bytes - done : piece_bytes;
		memcpy(slot->scratch, run->in + done, piece.bytes);
		piece.in = slot->scratch;
		piece.out = run->out + done;
		r = crypt_piece(pool, slot, direction, &piece, retried);
		xtsfs_tweak_add(piece.first_tweak, sectors, piece.first_tweak);
	}
	return r;
}

/* After a run that failed: its op is destroyed, if it still has one. */
static void retire(struct xtsfs_pool *pool, struct slot *slot)
{
	bool has_op = slot->op != NULL;

	slot_free(pool->engine, slot);
	if (!has_op)
		return;
	pthread_mutex_lock(&pool->mutex);
	pool->replaced++;
	pthread_mutex_unlock(&pool->mutex);
	drop_place(pool);
}

int xtsfs_pool_crypt(struct xtsfs_pool *pool, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	bool retried = false;
	struct slot *slot;
	int r;

	if (!xtsfs_run_is_valid(run) || (direction != XTSFS_ENCRYPT && direction != XTSFS_DECRYPT))
		return -EINVAL;
	if (run->bytes == 0)
		return 0;

	r = lease(pool, /* may_make= */ true, &slot);
	if (r == 0) {
		if (run->in == run->out)
			r = crypt_in_place(pool, slot, direction, run, &retried);
		else
			r = crypt_piece(pool, slot, direction, run, &retried);
		if (r == 0)
			give_back(pool, slot, (run->bytes + run->sector_bytes - 1) / run->sector_bytes);
		else
			retire(pool, slot);
	}
	if (r < 0)
		xtsfs_wipe(run->out, run->bytes);
	return r;
}

int xtsfs_pool_warm(struct xtsfs_pool *pool, unsigned ops)
{
	if (ops > pool->max_ops)
		ops = pool->max_ops;
	for (;;) {
		struct slot *slot;
		bool enough;
		int r;

		pthread_mutex_lock(&pool->mutex);
		enough = pool->existing >= ops;
		if (!enough)
			pool->existing++;
		pthread_mutex_unlock(&pool->mutex);
		if (enough)
			return 0;

		r = slot_new(pool, &slot);
		if (r < 0) {
			drop_place(pool);
			return r;
		}
		give_back(pool, slot, /* sectors= */ 0);
	}
}

void xtsfs_pool_stats(struct xtsfs_pool *pool, struct xtsfs_pool_stats *ret_stats)
{
	xtsfs_guard_mutex(&pool->mutex);

	*ret_stats = (struct xtsfs_pool_stats){
		.ops = pool->existing,
		.max_ops = pool->max_ops,
		.sectors = pool->sectors,
		.replaced = pool->replaced,
		.waits = pool->waits,
	};
}
