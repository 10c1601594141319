/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killed at every step: each prefix of the store's calls, and each page of a write, of every kind of change of content
 * and length, in each integrity mode. What is found must be old or new, and must go on working (crash-check.c).
 */
#undef NDEBUG
#include "unit.h"

#include "core-scripts.h"
#include "crash-check.h"

#include "base/log.h"

#include <stdlib.h>

static unsigned long points, repair_stops;
/* A repair is killed after each so many of its calls; XTSFS_TEST_EVERY=1 for all. */
static unsigned every = 11;

static int crash_step(void *data, struct run *run, size_t number, const struct op *op)
{
	struct crash *crash = data;

	(void)run;
	(void)number;
	return crash_op(crash, op);
}

static int plain_step(void *data, struct run *run, size_t number, const struct op *op)
{
	(void)data;
	(void)number;
	return run_op(run, op);
}

/* @second: kill repairs, too. @waiting: memory for overwritten sectors. */
static void play(const struct script *script, enum xtsfs_integrity integrity, bool second, size_t waiting)
{
	static const struct op remount = {.kind = OP_REMOUNT};
	struct script preparing = *script, rest = *script;
	struct crash crash;
	struct run run;

	run_begin(&run, integrity, 1, NULL);
	run.core.waiting_bytes = waiting;
	assert_int_equal(run_op(&run, &remount), 0);
	preparing.count = script->from;
	script_play(&preparing, &run, &(struct player){.op = plain_step});
	crash_begin(&crash, &run);
	crash.every = 31; /* of the pages in the middle of a long write */
	crash.repairs = second ? every : 0;
	rest.count -= script->from;
	memmove(rest.ops, rest.ops + script->from, rest.count * sizeof(rest.ops[0]));
	script_play(&rest, &run, &(struct player){.op = crash_step, .data = &crash});
	if (waiting) {
		rest.count = 1;
		rest.ops[0] = remount;
		script_play(&rest, &run, &(struct player){.op = crash_step, .data = &crash});
	}
	points += crash.points;
	repair_stops += crash.repair_stops;
	crash_end(&crash);
	run_free(&run);
}

/* The first two only prepare. */
static void play_ops(enum xtsfs_integrity integrity, const struct op *ops, size_t count, const char *what)
{
	struct script script = {.what = what, .from = 2, .count = count};

	memcpy(script.ops, ops, count * sizeof(*ops));
	play(&script, integrity, false, 0);
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
			play_ops(integrity, ops, ARRAY_COUNT(ops), "tail classes");
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

			play_ops(core_integrities[i], ops, ARRAY_COUNT(ops), "group border");
		}
	}
}

/* Without memory for overwritten sectors, with room for few, and for all. */
static const size_t waiting_sizes[] = {0, 40000, 1U << 20};

static void test_scripts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned w = 0; w < ARRAY_COUNT(waiting_sizes); w++)
			for (size_t j = 0; j < script_count; j++)
				play(&scripts[j], core_integrities[i], true, waiting_sizes[w]);
}

/* A second crash before anybody has settled the first: scripts on a volume that is unclean already. */
static void test_second_crash(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		for (size_t j = 0; j < script_count; j++) {
			struct script again = scripts[j];
			const struct op before[] = {{OP_WRITE, 1, 0, 10000, 9}, {OP_KILL, 0, 0, 0, 0}};

			memmove(again.ops + 2, again.ops, again.count * sizeof(again.ops[0]));
			memcpy(again.ops, before, sizeof(before));
			again.count += 2;
			again.from += 2;
			play(&again, core_integrities[i], false, j % 2 ? 1U << 20 : 0);
		}
	}
}

static int count_points(void **state)
{
	(void)state;
	print_message("%zu scripts, %lu states looked at, %lu of them after a killed repair\n", script_count, points,
		      repair_stops);
	return 0;
}

int main(void)
{
	const char *wanted = getenv("XTSFS_TEST_EVERY");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tail_classes),
		cmocka_unit_test(test_tail_at_group_border),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_second_crash),
	};

	if (wanted && strtoul(wanted, NULL, 10))
		every = (unsigned)strtoul(wanted, NULL, 10);
	xtsfs_log_init("test-core-crash");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-crash", tests, NULL, count_points);
}
