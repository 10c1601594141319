/* SPDX-License-Identifier: Apache-2.0 */
/* What threads count is added up, also of those that have ended, and the shares of the latencies are right. */
#include "unit.h"

#include "fuse/places.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define THREADS 40
#define EACH	1000

static void *count(void *data)
{
	(void)data;
	for (unsigned i = 0; i < EACH; i++) {
		xtsfs_place_begin(XTSFS_KIND_read);
		xtsfs_count_bytes(10, 0);
		xtsfs_place_end(XTSFS_KIND_read);
		xtsfs_place_begin(XTSFS_KIND_mkdir);
		xtsfs_count_error(i % 2 ? -EIO : -ENOENT);
		xtsfs_place_end(XTSFS_KIND_mkdir);
	}
	xtsfs_count_bytes(0, 7);
	return NULL;
}

static void test_sum(void **state)
{
	struct xtsfs_counts counts;
	pthread_t threads[THREADS];

	(void)state;
	for (unsigned turn = 1; turn <= 2; turn++) {
		for (unsigned i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		xtsfs_counts_sum(&counts);
		assert_int_equal(counts.requests[XTSFS_KIND_read], turn * THREADS * EACH);
		assert_int_equal(counts.requests[XTSFS_KIND_mkdir], turn * THREADS * EACH);
		assert_int_equal(counts.requests[XTSFS_KIND_write], 0);
		assert_int_equal(counts.read_bytes, turn * THREADS * EACH * 10);
		assert_int_equal(counts.written_bytes, turn * THREADS * 7);
		assert_int_equal(counts.io_errors, turn * THREADS * EACH / 2);
		assert_int_equal(counts.other_errors, turn * THREADS * EACH / 2);
		assert_true(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 500) > 0);
		assert_int_equal(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_WRITE, 999), 0);
	}
	/* Places of threads that have ended are taken again. */
	for (unsigned i = 2 * THREADS; i < XTSFS_PLACES; i++)
		assert_false(xtsfs_place_at(i)->taken);
}

/* A request that took a known time, as far as a sleep is known. */
static void test_latency(void **state)
{
	static const struct timespec wait = {.tv_nsec = 3000000};
	struct xtsfs_counts counts;

	(void)state;
	xtsfs_place_begin(XTSFS_KIND_write);
	nanosleep(&wait, NULL);
	xtsfs_place_end(XTSFS_KIND_write);
	xtsfs_counts_sum(&counts);
	assert_true(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_WRITE, 500) >= 3000);
	assert_string_equal(xtsfs_kind_name(XTSFS_KIND_write), "write");
}

static void test_shares(void **state)
{
	struct xtsfs_counts counts = {0};

	(void)state;
	/* Steps: below 1024 ns; 1024 to 1279; ... 4096 to 5119 is the ninth. */
	counts.latency[XTSFS_LATENCY_READ][0] = 500;
	counts.latency[XTSFS_LATENCY_READ][1] = 400;
	counts.latency[XTSFS_LATENCY_READ][9] = 99;
	counts.latency[XTSFS_LATENCY_READ][XTSFS_LATENCY_STEPS - 1] = 1;
	assert_int_equal(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 500), 2); /* 1.024 µs, rounded up */
	assert_int_equal(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 501), 2); /* 1.280 */
	assert_int_equal(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 900), 2);
	assert_int_equal(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 901), 6); /* 5.120 */
	assert_int_equal(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 999), 6);
	assert_true(xtsfs_counts_percentile(&counts, XTSFS_LATENCY_READ, 1000) > 10000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sum), cmocka_unit_test(test_latency),
					   cmocka_unit_test(test_shares)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
