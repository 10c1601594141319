/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of contexts: reuse, growth past its slots, errors, no context in two hands, none leaked. */
#undef NDEBUG
#include "unit.h"

#include "crypto/ctx-pool.h"

#include <pthread.h>

struct ctx {
	atomic_int users;
};

static atomic_int existing, made;
static int make_error;

static int make(const void *owner, void **ret_ctx)
{
	assert(owner == &made);
	if (make_error)
		return make_error;
	atomic_fetch_add(&existing, 1);
	atomic_fetch_add(&made, 1);
	*ret_ctx = calloc(1, sizeof(struct ctx));
	return 0;
}

static void destroy(void *ctx)
{
	assert(atomic_load(&((struct ctx *)ctx)->users) == 0);
	free(ctx);
	atomic_fetch_sub(&existing, 1);
}

static void begin(struct xtsfs_ctx_pool *pool)
{
	existing = made = 0;
	make_error = 0;
	xtsfs_ctx_pool_init(pool, make, destroy, &made);
}

/* The pools are static: on the stack gcc 12 aligns them wrongly under AddressSanitizer with stack-use-after-return. */
static void test_reuse(void **state)
{
	static struct xtsfs_ctx_pool pool;
	void *first, *again, *second;

	(void)state;
	begin(&pool);
	assert_int_equal(xtsfs_ctx_pool_take(&pool, &first), 0);
	xtsfs_ctx_pool_put(&pool, first);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(xtsfs_ctx_pool_take(&pool, &again), 0);
		assert_ptr_equal(again, first);
		assert_int_equal(xtsfs_ctx_pool_take(&pool, &second), 0);
		assert_ptr_not_equal(second, first);
		xtsfs_ctx_pool_put(&pool, second);
		xtsfs_ctx_pool_put(&pool, again);
		/* Both are kept; the one put first took the thread's own slot. */
		first = second;
	}
	assert_int_equal(atomic_load(&made), 2);
	xtsfs_ctx_pool_done(&pool);
	assert_int_equal(atomic_load(&existing), 0);
	xtsfs_ctx_pool_done(&pool);
}

static void test_more_than_slots(void **state)
{
	void *taken[XTSFS_CTX_SLOTS + 10];
	static struct xtsfs_ctx_pool pool;

	(void)state;
	begin(&pool);
	for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
		assert_int_equal(xtsfs_ctx_pool_take(&pool, &taken[i]), 0);
	for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
		xtsfs_ctx_pool_put(&pool, taken[i]);
	assert_int_equal(atomic_load(&existing), XTSFS_CTX_SLOTS);
	xtsfs_ctx_pool_done(&pool);
	assert_int_equal(atomic_load(&existing), 0);
}

static void test_error(void **state)
{
	static struct xtsfs_ctx_pool pool;
	void *ctx = NULL;

	(void)state;
	begin(&pool);
	make_error = -ENOMEM;
	assert_int_equal(xtsfs_ctx_pool_take(&pool, &ctx), -ENOMEM);
	assert_null(ctx);
	make_error = 0;
	assert_int_equal(xtsfs_ctx_pool_take(&pool, &ctx), 0);
	xtsfs_ctx_pool_put(&pool, ctx);
	xtsfs_ctx_pool_done(&pool);
}

static void *use(void *argument)
{
	struct xtsfs_ctx_pool *pool = argument;

	for (int i = 0; i < 20000; i++) {
		struct ctx *ctx;
		void *pointer;

		assert(xtsfs_ctx_pool_take(pool, &pointer) == 0);
		ctx = pointer;
		assert(atomic_fetch_add(&ctx->users, 1) == 0);
		atomic_fetch_sub(&ctx->users, 1);
		if (i % 1000 == 999)
			destroy(ctx); /* as after an error */
		else
			xtsfs_ctx_pool_put(pool, ctx);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static struct xtsfs_ctx_pool pool;
	pthread_t threads[16];

	(void)state;
	begin(&pool);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, &pool), 0);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_in_range(atomic_load(&existing), 0, 16);
	xtsfs_ctx_pool_done(&pool);
	assert_int_equal(atomic_load(&existing), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_more_than_slots),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
