/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killed at every step: each prefix of the store's calls, and each page of a write, of every kind of change of content
 * and length, in each integrity mode. What is found must be old or new, and must go on working (crash-check.c).
 */
#undef NDEBUG
#include "unit.h"

#include "crash-check.h"

#include "base/log.h"

#define GROUP (124ULL * CORE_B)

static unsigned long points;

/* The operations one after the other; those before @from only prepare. */
static void play(enum xtsfs_integrity integrity, const struct op *ops, size_t count, size_t from, const char *what)
{
	struct crash crash;
	struct run run;

	run_begin(&run, integrity, 1, NULL);
	for (size_t i = 0; i < from; i++)
		assert_int_equal(run_op(&run, &ops[i]), 0);
	crash_begin(&crash, &run);
	crash.every = 31; /* of the pages in the middle of a long write */
	for (size_t i = from; i < count; i++) {
		if (crash_op(&crash, &ops[i]) < 0) {
			print_error("%s, integrity %s, operation %zu: %s\n", what, xtsfs_integrity_name(integrity), i,
				    run.why);
			for (size_t j = 0; j <= i; j++)
				op_print(&ops[j]);
			fail();
		}
	}
	points += crash.points;
	crash_end(&crash);
	run_free(&run);
}

static const uint64_t tails[] = {1, 15, 16, 17, 4079, 4080, 4081, 4090, 4095, 4096};

/* Appending from each tail class to each, in a file in sectors, and cutting back. */
static void tail_classes(enum xtsfs_integrity integrity, uint64_t start)
{
	for (unsigned i = 0; i < ARRAY_COUNT(tails); i++) {
		for (unsigned j = 0; j < ARRAY_COUNT(tails); j++) {
			uint64_t t1 = start + tails[i], t2 = start + tails[j];
			struct op ops[] = {
				{OP_WRITE, 0, 0, start, 1},
				{OP_WRITE, 0, start, tails[i], 2},
				{OP_WRITE, 0, t1, t2 - t1, 3},
				{OP_TRUNCATE, 0, t1, 0, 0},
			};

			if (t2 <= t1) { /* shorter; then longer again with zeros */
				ops[2] = (struct op){OP_TRUNCATE, 0, t2, 0, 0};
				if (t1 == t2)
					ops[2] = (struct op){OP_WRITE, 0, t1 - 3, 2, 4};
			}
			play(integrity, ops, ARRAY_COUNT(ops), 2, "tail classes");
		}
	}
}

static void test_tail_classes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		tail_classes(core_integrities[i], 2 * CORE_B);
}

/* The same where the tail's filler lies in the next group's meta block. */
static void test_tail_at_group_border(void **state)
{
	static const uint64_t some[][2] = {{100, 4081}, {4090, 4095}, {4090, 4096}, {4080, 5000}, {4095, 9000}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < ARRAY_COUNT(some); j++) {
			uint64_t start = GROUP - CORE_B;
			const struct op ops[] = {
				{OP_TRUNCATE, 0, start, 0, 0},
				{OP_WRITE, 0, start, some[j][0], 2},
				{OP_WRITE, 0, start + some[j][0], some[j][1] - some[j][0], 3},
				{OP_TRUNCATE, 0, start + some[j][0], 0, 0},
				{OP_TRUNCATE, 0, start + some[j][1], 0, 0},
				{OP_TRUNCATE, 0, start, 0, 0},
			};

			play(core_integrities[i], ops, ARRAY_COUNT(ops), 2, "group border");
		}
	}
}

static const struct script {
	const char *what;
	size_t from, count;
	struct op ops[8];
} scripts[] = {
	{"overwriting",
	 1,
	 6,
	 {{OP_WRITE, 0, 0, 20000, 1},
	  {OP_WRITE, 0, 4096, 8192, 2},
	  {OP_WRITE, 0, 5000, 10, 3},
	  {OP_WRITE, 0, 100, 19000, 4},
	  {OP_FSYNC, 0, 0, 0, 0},
	  {OP_WRITE, 0, 19990, 10, 5}}},
	{"overwriting while open",
	 2,
	 8,
	 {{OP_WRITE, 0, 0, 20000, 1},
	  {OP_OPEN, 0, 0, 0, 1},
	  {OP_WRITE, 0, 4096, 8192, 2},
	  {OP_WRITE, 0, 4096, 8192, 3},
	  {OP_FSYNC, 0, 0, 0, 0},
	  {OP_WRITE, 0, 0, 20000, 4},
	  {OP_APPEND, 0, 20000, 5000, 5},
	  {OP_OPEN, 0, 0, 0, 1}}},
	{"inline",
	 0,
	 7,
	 {{OP_WRITE, 0, 0, 1, 1},
	  {OP_WRITE, 0, 1, 99, 2},
	  {OP_TRUNCATE, 0, 3953, 0, 0},
	  {OP_WRITE, 0, 10, 30, 3},
	  {OP_TRUNCATE, 0, 17, 0, 0},
	  {OP_TRUNCATE, 0, 0, 0, 0},
	  {OP_WRITE, 0, 100, 3853, 4}}},
	{"inline to sectors and back",
	 1,
	 8,
	 {{OP_WRITE, 0, 0, 3000, 1},
	  {OP_WRITE, 0, 3000, 954, 2},
	  {OP_TRUNCATE, 0, 3953, 0, 0},
	  {OP_WRITE, 0, 3900, 9000, 3},
	  {OP_TRUNCATE, 0, 12, 0, 0},
	  {OP_TRUNCATE, 0, 600000, 0, 0},
	  {OP_TRUNCATE, 0, 100, 0, 0},
	  {OP_WRITE, 0, 4090, 4, 4}}},
	{"truncation over groups",
	 1,
	 7,
	 {{OP_WRITE, 0, 0, GROUP + 9000, 1},
	  {OP_TRUNCATE, 0, GROUP + 1, 0, 0},
	  {OP_TRUNCATE, 0, GROUP, 0, 0},
	  {OP_TRUNCATE, 0, GROUP - 10, 0, 0},
	  {OP_TRUNCATE, 0, 2 * GROUP + 10, 0, 0},
	  {OP_WRITE, 0, GROUP - 5, 20, 2},
	  {OP_TRUNCATE, 0, 5000, 0, 0}}},
	{"holes",
	 1,
	 8,
	 {{OP_WRITE, 0, 0, 40000, 1},
	  {OP_PUNCH, 0, 4000, 20000, 0},
	  {OP_WRITE, 0, 8000, 3000, 2},
	  {OP_ZERO, 0, 30000, 20000, 0},
	  {OP_PUNCH, 0, 0, 50000, 0},
	  {OP_WRITE, 0, 12288, 4096, 3},
	  {OP_ALLOCATE, 0, 50000, 9000, 0},
	  {OP_FSYNC, 0, 0, 0, 0}}},
	{"holes at the end",
	 0,
	 7,
	 {{OP_TRUNCATE, 0, 8192 + 4090, 0, 0},
	  {OP_TRUNCATE, 0, 8192 + 4095, 0, 0},
	  {OP_TRUNCATE, 0, 30000, 0, 0},
	  {OP_WRITE, 0, 30000, 100, 1},
	  {OP_TRUNCATE, 0, 20570, 0, 0},
	  {OP_WRITE, 0, 20570, 10, 2},
	  {OP_TRUNCATE, 0, GROUP + 4090, 0, 0}}},
	{"sparse",
	 0,
	 4,
	 {{OP_WRITE, 0, 2 * GROUP + 5000, 5000, 1},
	  {OP_WRITE, 0, GROUP - 100, 200, 2},
	  {OP_TRUNCATE, 0, 2 * GROUP + 4096, 0, 0},
	  {OP_PUNCH, 0, 0, 2 * GROUP, 0}}},
	{"closing",
	 0,
	 6,
	 {{OP_WRITE, 0, 0, 9000, 1},
	  {OP_REMOUNT, 0, 0, 0, 0},
	  {OP_WRITE, 1, 0, 100, 2},
	  {OP_WRITE, 0, 100, 5000, 3},
	  {OP_REMOUNT, 0, 0, 0, 0},
	  {OP_FSYNC, 0, 0, 0, 0}}},
	{"names",
	 2,
	 6,
	 {{OP_WRITE, 0, 0, 9000, 1},
	  {OP_WRITE, 2, 0, 5000, 2},
	  {OP_REMOVE, 2, 0, 0, 0},
	  {OP_REMOVE, 0, 0, 0, 0},
	  {OP_WRITE, 2, 0, 5000, 3},
	  {OP_REMOVE, 2, 0, 0, 0}}},
};

static void test_scripts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < ARRAY_COUNT(scripts); j++)
			play(core_integrities[i], scripts[j].ops, scripts[j].count, scripts[j].from, scripts[j].what);
}

/* A second crash before anybody has settled the first: scripts on a volume that is unclean already. */
static void test_second_crash(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < ARRAY_COUNT(scripts); j++) {
			struct op ops[ARRAY_COUNT(scripts[j].ops) + 2] = {{OP_WRITE, 1, 0, 10000, 9},
									  {OP_KILL, 0, 0, 0, 0}};

			memcpy(ops + 2, scripts[j].ops, sizeof(scripts[j].ops));
			play(core_integrities[i], ops, scripts[j].count + 2, scripts[j].from + 2, scripts[j].what);
		}
	}
}

static int count_points(void **state)
{
	(void)state;
	print_message("%lu points\n", points);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tail_classes),
		cmocka_unit_test(test_tail_at_group_border),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_second_crash),
	};

	xtsfs_log_init("test-core-crash");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-crash", tests, NULL, count_points);
}
