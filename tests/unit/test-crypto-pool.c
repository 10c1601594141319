/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of OP handles on an engine that fails when told to: growth, waiting, replacement, retry in place, errors
 * that surface, wiping, and threads.
 *
 * The test engine computes what the user engine computes. A failing operation first fills its output with rubbish, as a
 * real one may have done with a part of it.
 */
#undef NDEBUG
#include "unit.h"

#include "base/secret.h"
#include "crypto/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define SECTORS	   12
#define SECTOR	   4096
#define DATA_BYTES (SECTORS * SECTOR)

struct xtsfs_tfm {
	struct xtsfs_tfm *inner;
};

struct xtsfs_op {
	struct xtsfs_op *inner;
	atomic_int users;
	bool failed;
};

static struct {
	atomic_int tfms, ops;	  /* that exist */
	atomic_int max_ops;	  /* that existed at once */
	atomic_int made;	  /* ever */
	atomic_int allowed_ops;	  /* op_new() gives EMFILE from here on */
	atomic_int fail_from;	  /* the n-th operation from now fails … */
	atomic_int fail_count;	  /* … and this many in all */
	atomic_int fail_permille; /* by chance */
	atomic_int delay_us;
	atomic_bool gate; /* hold operations of the thread that set gated */
	atomic_int waiting_at_gate;
} fake;

static _Thread_local bool gated;

static void reset(void)
{
	assert_int_equal(atomic_load(&fake.tfms), 0);
	assert_int_equal(atomic_load(&fake.ops), 0);
	fake.max_ops = fake.made = 0;
	fake.allowed_ops = 1000000;
	fake.fail_from = fake.fail_count = fake.fail_permille = fake.delay_us = 0;
	fake.gate = false;
	fake.waiting_at_gate = 0;
}

static int fake_tfm_new(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm)
{
	struct xtsfs_tfm *tfm = malloc(sizeof(*tfm));
	int r = xtsfs_engine_user.tfm_new(key, &tfm->inner);

	if (r < 0) {
		free(tfm);
		return r;
	}
	atomic_fetch_add(&fake.tfms, 1);
	*ret_tfm = tfm;
	return 0;
}

static void fake_tfm_free(struct xtsfs_tfm *tfm)
{
	if (!tfm)
		return;
	assert(atomic_load(&fake.ops) == 0); /* destroyed at last */
	xtsfs_engine_user.tfm_free(tfm->inner);
	free(tfm);
	atomic_fetch_sub(&fake.tfms, 1);
}

static int fake_op_new(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	int now = atomic_fetch_add(&fake.ops, 1) + 1, max = atomic_load(&fake.max_ops);
	struct xtsfs_op *op;

	if (now > atomic_load(&fake.allowed_ops)) {
		atomic_fetch_sub(&fake.ops, 1);
		return -EMFILE;
	}
	while (now > max && !atomic_compare_exchange_weak(&fake.max_ops, &max, now))
		;
	atomic_fetch_add(&fake.made, 1);
	op = calloc(1, sizeof(*op));
	assert(op && xtsfs_engine_user.op_new(tfm->inner, &op->inner) == 0);
	*ret_op = op;
	return 0;
}

static void fake_op_free(struct xtsfs_op *op)
{
	assert(atomic_load(&op->users) == 0);
	xtsfs_engine_user.op_free(op->inner);
	free(op);
	atomic_fetch_sub(&fake.ops, 1);
}

static bool is_to_fail(void)
{
	static _Thread_local uint64_t random = 99;

	if (atomic_load(&fake.fail_count) > 0 && atomic_fetch_sub(&fake.fail_from, 1) <= 0)
		return atomic_fetch_sub(&fake.fail_count, 1) > 0;
	return (int)(unit_random(&random) % 1000) < atomic_load(&fake.fail_permille);
}

static int fake_crypt(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	int r;

	assert(atomic_fetch_add(&op->users, 1) == 0); /* one thread at a time */
	assert(!op->failed);			      /* never used again after an error */
	if (gated && atomic_load(&fake.gate)) {
		atomic_fetch_add(&fake.waiting_at_gate, 1);
		while (atomic_load(&fake.gate))
			usleep(100);
	}
	if (atomic_load(&fake.delay_us))
		usleep((useconds_t)atomic_load(&fake.delay_us));
	if (is_to_fail()) {
		op->failed = true;
		memset(run->out, 0xee, run->bytes);
		r = -ENOMEM;
	} else {
		r = xtsfs_engine_user.crypt(op->inner, direction, run);
	}
	atomic_fetch_sub(&op->users, 1);
	return r;
}

static const struct xtsfs_engine fake_engine = {
	.name = "fake",
	.tfm_new = fake_tfm_new,
	.tfm_free = fake_tfm_free,
	.op_new = fake_op_new,
	.op_free = fake_op_free,
	.crypt = fake_crypt,
};

static uint8_t key[XTSFS_XTS_KEY_BYTES], plain[DATA_BYTES], cipher[DATA_BYTES];
static struct xtsfs_run whole; /* plain to cipher */

static int set_up(void **state)
{
	struct xtsfs_tfm *tfm;
	struct xtsfs_op *op;
	uint64_t random = 6;

	(void)state;
	unit_random_fill(&random, key, sizeof(key));
	unit_random_fill(&random, plain, sizeof(plain));
	whole = (struct xtsfs_run){.in = plain, .out = cipher, .bytes = DATA_BYTES, .sector_bytes = SECTOR};
	memset(whole.first_tweak, 0xff, 8);
	assert(xtsfs_engine_user.tfm_new(key, &tfm) == 0 && xtsfs_engine_user.op_new(tfm, &op) == 0);
	assert(xtsfs_engine_user.crypt(op, XTSFS_ENCRYPT, &whole) == 0);
	xtsfs_engine_user.op_free(op);
	xtsfs_engine_user.tfm_free(tfm);
	return 0;
}

static struct xtsfs_pool *new_pool(unsigned max_ops)
{
	struct xtsfs_pool *pool;

	reset();
	assert_int_equal(xtsfs_pool_new(&fake_engine, key, max_ops, &pool), 0);
	return pool;
}

static void free_pool(struct xtsfs_pool *pool)
{
	assert_null(xtsfs_pool_free(pool));
	assert_int_equal(atomic_load(&fake.tfms), 0);
	assert_int_equal(atomic_load(&fake.ops), 0);
}

static struct xtsfs_pool_stats stats_of(struct xtsfs_pool *pool)
{
	struct xtsfs_pool_stats stats;

	xtsfs_pool_stats(pool, &stats);
	return stats;
}

/* Encrypt everything to @out, from itself if @in_place. */
static int encrypt(struct xtsfs_pool *pool, uint8_t *out, bool in_place)
{
	struct xtsfs_run run = whole;

	run.out = out;
	if (in_place) {
		memcpy(out, plain, DATA_BYTES);
		run.in = out;
	}
	return xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run);
}

static void test_new_and_warm(void **state)
{
	uint8_t weak[XTSFS_XTS_KEY_BYTES] = {0};
	struct xtsfs_pool *pool = NULL;

	(void)state;
	reset();
	assert_int_equal(xtsfs_pool_new(&fake_engine, key, 0, &pool), -EINVAL);
	assert_int_equal(xtsfs_pool_new(&fake_engine, weak, 1, &pool), -EINVAL);
	assert_null(pool);
	assert_null(xtsfs_pool_free(NULL));

	pool = new_pool(8);
	assert_int_equal(stats_of(pool).ops, 0);
	assert_int_equal(stats_of(pool).max_ops, 8);
	assert_int_equal(xtsfs_pool_warm(pool, 3), 0);
	assert_int_equal(stats_of(pool).ops, 3);
	assert_int_equal(xtsfs_pool_warm(pool, 2), 0);
	assert_int_equal(stats_of(pool).ops, 3);
	assert_int_equal(xtsfs_pool_warm(pool, 100), 0);
	assert_int_equal(stats_of(pool).ops, 8);
	assert_int_equal(atomic_load(&fake.ops), 8);
	free_pool(pool);
}

static void test_warm_fails(void **state)
{
	struct xtsfs_pool *pool = new_pool(8);
	uint8_t out[DATA_BYTES];

	(void)state;
	fake.allowed_ops = 5;
	assert_int_equal(xtsfs_pool_warm(pool, 8), -EMFILE);
	assert_int_equal(stats_of(pool).ops, 5);
	assert_int_equal(encrypt(pool, out, false), 0);
	assert_memory_equal(out, cipher, DATA_BYTES);
	fake.allowed_ops = 8;
	assert_int_equal(xtsfs_pool_warm(pool, 8), 0);
	assert_int_equal(stats_of(pool).ops, 8);
	free_pool(pool);
}

/* All sizes of sectors, in place and not, both directions; one thread needs one op. */
static void test_results(void **state)
{
	struct xtsfs_pool *pool = new_pool(4);
	static uint8_t out[DATA_BYTES], again[DATA_BYTES];
	uint64_t random = 7, sectors = 0;
	struct xtsfs_tfm *tfm;
	struct xtsfs_op *op;

	(void)state;
	assert_int_equal(xtsfs_engine_user.tfm_new(key, &tfm), 0);
	assert_int_equal(xtsfs_engine_user.op_new(tfm, &op), 0);
	for (int i = 0; i < 400; i++) {
		struct xtsfs_run run = {.in = plain, .out = out};
		struct xtsfs_run direct;

		run.sector_bytes = 16 * (1 + unit_random(&random) % 256);
		run.bytes = 16 * (unit_random(&random) % (DATA_BYTES / 16 + 1));
		memset(run.first_tweak, 0xff, unit_random(&random) % 17);
		direct = run;
		direct.out = again;
		assert_int_equal(xtsfs_engine_user.crypt(op, XTSFS_ENCRYPT, &direct), 0);
		if (i & 1) {
			memcpy(out, plain, run.bytes);
			run.in = out;
		}
		assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run), 0);
		assert_memory_equal(out, again, run.bytes);
		run.in = again;
		assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_DECRYPT, &run), 0);
		assert_memory_equal(out, plain, run.bytes);
		sectors += 2 * ((run.bytes + run.sector_bytes - 1) / run.sector_bytes);
	}
	assert_true(stats_of(pool).sectors == sectors);
	assert_int_equal(stats_of(pool).ops, 1);
	assert_int_equal(stats_of(pool).replaced, 0);
	assert_int_equal(stats_of(pool).waits, 0);
	xtsfs_engine_user.op_free(op);
	xtsfs_engine_user.tfm_free(tfm);
	free_pool(pool);
}

static void test_invalid(void **state)
{
	struct xtsfs_pool *pool = new_pool(1);
	uint8_t out[64] = {1};
	struct xtsfs_run run = {.in = plain, .out = out, .bytes = 17, .sector_bytes = 16};

	(void)state;
	assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run), -EINVAL);
	run.bytes = 32;
	run.sector_bytes = 8192;
	assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run), -EINVAL);
	run.sector_bytes = 16;
	run.in = out + 16;
	assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run), -EINVAL);
	run.in = plain;
	assert_int_equal(xtsfs_pool_crypt(pool, (enum xtsfs_direction)2, &run), -EINVAL);
	assert_int_equal(out[0], 1);
	run.bytes = 0;
	assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run), 0);
	assert_int_equal(stats_of(pool).ops, 0);
	free_pool(pool);
}

/* Whichever operation of the run fails first, the result is right and one op was replaced. */
static void test_retried(void **state)
{
	(void)state;
	for (int in_place = 0; in_place < 2; in_place++)
		for (int at = 0; at < (in_place ? 3 : 1); at++) { /* 12 sectors are 3 pieces in place */
			struct xtsfs_pool *pool = new_pool(2);
			uint8_t out[DATA_BYTES];

			fake.fail_from = at;
			fake.fail_count = 1;
			assert_int_equal(encrypt(pool, out, in_place), 0);
			assert_memory_equal(out, cipher, DATA_BYTES);
			assert_int_equal(stats_of(pool).replaced, 1);
			assert_int_equal(stats_of(pool).ops, 1);
			assert_int_equal(atomic_load(&fake.made), 2);
			assert_int_equal(atomic_load(&fake.max_ops), 1);
			assert_true(stats_of(pool).sectors == SECTORS);
			free_pool(pool);
		}
}

/* Two failures: EIO, nothing exposed, both ops gone; the next run is fine. */
static void test_fails_twice(void **state)
{
	(void)state;
	for (int in_place = 0; in_place < 2; in_place++)
		for (int at = 0; at < (in_place ? 3 : 1); at++) {
			struct xtsfs_pool *pool = new_pool(2);
			uint8_t out[DATA_BYTES];

			fake.fail_from = at;
			fake.fail_count = 2;
			memset(out, 0x77, sizeof(out));
			assert_int_equal(encrypt(pool, out, in_place), -EIO);
			assert_true(xtsfs_is_zero(out, DATA_BYTES));
			assert_int_equal(stats_of(pool).replaced, 2);
			assert_int_equal(stats_of(pool).ops, 0);
			assert_int_equal(atomic_load(&fake.ops), 0);
			assert_true(stats_of(pool).sectors == 0);
			assert_int_equal(encrypt(pool, out, in_place), 0);
			assert_memory_equal(out, cipher, DATA_BYTES);
			free_pool(pool);
		}
}

/* No op at all can be made: its error, and nothing exposed. */
static void test_no_op(void **state)
{
	struct xtsfs_pool *pool = new_pool(2);
	uint8_t out[DATA_BYTES];

	(void)state;
	fake.allowed_ops = 0;
	memset(out, 0x77, sizeof(out));
	assert_int_equal(encrypt(pool, out, false), -EMFILE);
	assert_true(xtsfs_is_zero(out, DATA_BYTES));
	assert_int_equal(stats_of(pool).ops, 0);

	/* The same when the only op fails and cannot be replaced. */
	fake.allowed_ops = 1;
	assert_int_equal(xtsfs_pool_warm(pool, 1), 0);
	fake.allowed_ops = 0;
	for (int in_place = 0; in_place < 2; in_place++) {
		fake.fail_from = 0;
		fake.fail_count = 1;
		memset(out, 0x77, sizeof(out));
		assert_int_equal(encrypt(pool, out, in_place), -EMFILE);
		assert_true(xtsfs_is_zero(out, DATA_BYTES));
		assert_int_equal(stats_of(pool).ops, 0);
		fake.fail_count = 0;
		fake.allowed_ops = 1;
		assert_int_equal(encrypt(pool, out, in_place), 0);
		assert_memory_equal(out, cipher, DATA_BYTES);
		fake.allowed_ops = 0;
	}
	free_pool(pool);
}

struct worker {
	pthread_t thread;
	struct xtsfs_pool *pool;
	unsigned seed;
	int rounds;
	bool at_gate;
	bool errors_allowed;
	int result; /* of the last run */
	unsigned failed;
};

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint8_t *out = malloc(DATA_BYTES);
	uint64_t random = worker->seed + 1;

	gated = worker->at_gate;
	for (int i = 0; i < worker->rounds; i++) {
		size_t first = unit_random(&random) % SECTORS, count = 1 + unit_random(&random) % (SECTORS - first);
		bool decrypt = unit_random(&random) & 1, in_place = unit_random(&random) & 1;
		const uint8_t *from = (decrypt ? cipher : plain) + first * SECTOR;
		const uint8_t *want = (decrypt ? plain : cipher) + first * SECTOR;
		struct xtsfs_run run = {.in = from, .out = out, .bytes = count * SECTOR, .sector_bytes = SECTOR};

		xtsfs_tweak_add(whole.first_tweak, first, run.first_tweak);
		if (in_place) {
			memcpy(out, from, run.bytes);
			run.in = out;
		}
		worker->result = xtsfs_pool_crypt(worker->pool, decrypt ? XTSFS_DECRYPT : XTSFS_ENCRYPT, &run);
		if (worker->result == 0) {
			assert(memcmp(out, want, run.bytes) == 0);
		} else {
			assert(worker->errors_allowed);
			assert(xtsfs_is_zero(out, run.bytes));
			worker->failed++;
		}
	}
	free(out);
	return NULL;
}

static void start(struct worker *worker)
{
	assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
}

/* The op of this thread fails and cannot be replaced, another thread has one: wait for that. */
static void test_waits_for_other(void **state)
{
	(void)state;
	for (int in_place = 0; in_place < 2; in_place++) {
		struct xtsfs_pool *pool = new_pool(2);
		struct worker holder = {.pool = pool, .rounds = 1, .at_gate = true};
		struct worker user = {.pool = pool, .rounds = 20, .seed = (unsigned)in_place};

		fake.gate = true;
		start(&holder);
		while (atomic_load(&fake.waiting_at_gate) == 0)
			usleep(100);
		assert_int_equal(xtsfs_pool_warm(pool, 2), 0);
		fake.allowed_ops = 1;
		fake.fail_from = 0;
		fake.fail_count = 1;
		start(&user);
		while (stats_of(pool).waits == 0)
			usleep(100);
		assert_int_equal(stats_of(pool).ops, 1);
		fake.gate = false;
		pthread_join(holder.thread, NULL);
		pthread_join(user.thread, NULL);
		assert_int_equal(holder.result, 0);
		assert_int_equal(user.result, 0);
		assert_int_equal(stats_of(pool).replaced, 1);
		assert_int_equal(stats_of(pool).ops, 1);
		free_pool(pool);
	}
}

/* The op waited for fails as well and none can be made: the waiting thread gets the error and does not hang. */
static void test_waits_in_vain(void **state)
{
	struct xtsfs_pool *pool = new_pool(1);
	struct worker holder = {.pool = pool, .rounds = 1, .at_gate = true, .errors_allowed = true};
	struct worker user = {.pool = pool, .rounds = 1, .errors_allowed = true};

	(void)state;
	fake.gate = true;
	start(&holder);
	while (atomic_load(&fake.waiting_at_gate) == 0)
		usleep(100);
	start(&user);
	while (stats_of(pool).waits == 0)
		usleep(100);
	fake.allowed_ops = 0;
	fake.fail_count = 1;
	fake.gate = false;
	pthread_join(holder.thread, NULL);
	pthread_join(user.thread, NULL);
	assert_int_equal(holder.result, -EMFILE);
	assert_int_equal(user.result, -EMFILE);
	assert_int_equal(stats_of(pool).ops, 0);
	free_pool(pool);
}

static void run_threads(struct xtsfs_pool *pool, unsigned count, int rounds, bool errors_allowed, unsigned *ret_failed)
{
	struct worker workers[16] = {0};

	*ret_failed = 0;
	for (unsigned i = 0; i < count; i++) {
		workers[i] = (struct worker){
			.pool = pool, .seed = i * 77, .rounds = rounds, .errors_allowed = errors_allowed};
		start(&workers[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		*ret_failed += workers[i].failed;
	}
}

static void test_threads(void **state)
{
	static const unsigned counts[] = {1, 2, 4, 16};
	unsigned failed;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
		struct xtsfs_pool *pool = new_pool(counts[i]);

		run_threads(pool, counts[i], 200, false, &failed);
		assert_in_range(stats_of(pool).ops, 1, counts[i]);
		assert_int_equal(stats_of(pool).replaced, 0);
		assert_int_equal(stats_of(pool).waits, 0); /* an op for each thread */
		free_pool(pool);
	}
}

static void test_fewer_ops_than_threads(void **state)
{
	unsigned failed;

	(void)state;
	for (unsigned max_ops = 1; max_ops <= 3; max_ops += 2) {
		struct xtsfs_pool *pool = new_pool(max_ops);

		fake.delay_us = 50;
		run_threads(pool, 8, 30, false, &failed);
		assert_in_range(atomic_load(&fake.max_ops), 1, max_ops);
		assert_true(stats_of(pool).waits > 0);
		free_pool(pool);
	}
}

/* Descriptors run out below the limit: the pool goes on with the ops it has. */
static void test_exhausted(void **state)
{
	struct xtsfs_pool *pool = new_pool(16);
	unsigned failed;

	(void)state;
	fake.allowed_ops = 2;
	fake.delay_us = 50;
	run_threads(pool, 8, 30, true, &failed);
	/* Only a thread that asked while the very first op was still being made could get the error; here op_new()
	 * succeeds for two, so nobody does. */
	assert_int_equal(failed, 0);
	assert_in_range(stats_of(pool).ops, 1, 2);
	assert_true(stats_of(pool).waits > 0);
	free_pool(pool);
}

/* Failures by chance, ops scarce: every result is right or an error with nothing exposed, and no op is lost or leaked.
 */
static void test_storm(void **state)
{
	static const int allowed[] = {1000, 3, 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(allowed); i++) {
		struct xtsfs_pool *pool = new_pool(4);
		unsigned failed;

		fake.allowed_ops = allowed[i];
		fake.fail_permille = 200;
		run_threads(pool, 8, 150, true, &failed);
		assert_true(failed > 0 && failed < 8 * 150);
		assert_true(stats_of(pool).replaced > 0);
		assert_int_equal(stats_of(pool).ops, atomic_load(&fake.ops));
		assert_in_range(atomic_load(&fake.max_ops), 1, 4);

		fake.fail_permille = 0;
		fake.allowed_ops = 1000;
		run_threads(pool, 4, 20, false, &failed);
		free_pool(pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_and_warm),
		cmocka_unit_test(test_warm_fails),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_retried),
		cmocka_unit_test(test_fails_twice),
		cmocka_unit_test(test_no_op),
		cmocka_unit_test(test_waits_for_other),
		cmocka_unit_test(test_waits_in_vain),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fewer_ops_than_threads),
		cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
