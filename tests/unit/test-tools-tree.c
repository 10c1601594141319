/* SPDX-License-Identifier: Apache-2.0 */
/* What copies of trees are made of: tasks that make tasks, files with several names, sets of millions of things. */
#undef NDEBUG
#include "unit.h"

#include "import.h"

#define DEPTH 5
#define WIDTH 7

struct number {
	struct cli_task task;
	unsigned depth;
};

struct tally {
	struct cli_work work;
	unsigned ran, idles, chunks;
	bool waits; /* one more is held back until nothing else is left */
};

static struct cli_task *new_task(unsigned depth)
{
	struct number *number = calloc(1, sizeof(*number));

	assert_non_null(number);
	number->depth = depth;
	return &number->task;
}

static void run(void *data, struct cli_task *task, char *chunk)
{
	struct number *number = (struct number *)task;
	struct tally *tally = data;

	__atomic_add_fetch(&tally->ran, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&tally->chunks, chunk != NULL, __ATOMIC_RELAXED);
	for (unsigned i = 0; number->depth > 0 && i < WIDTH; i++)
		cli_work_add(&tally->work, new_task(number->depth - 1), /* now_if_many= */ true, chunk);
	free(number);
}

static bool idle(void *data, char *chunk)
{
	struct tally *tally = data;

	__atomic_add_fetch(&tally->idles, 1, __ATOMIC_RELAXED);
	if (!__atomic_exchange_n(&tally->waits, false, __ATOMIC_ACQ_REL))
		return false;
	cli_work_add(&tally->work, new_task(1), /* now_if_many= */ false, chunk);
	return true;
}

static void test_tasks_make_tasks(void **state)
{
	unsigned all = 0, level = 1;

	(void)state;
	for (unsigned depth = 0; depth <= DEPTH; depth++, level *= WIDTH)
		all += level;
	for (unsigned threads = 1; threads <= 4; threads++) {
		struct tally tally = {.waits = true};

		tally.work = (struct cli_work){
			.run = run, .idle = idle, .data = &tally, .threads = threads, .chunk_bytes = 10};
		cli_work_run(&tally.work, new_task(DEPTH));
		assert_int_equal(tally.ran, all + 1 + WIDTH);
		assert_int_equal(tally.chunks, tally.ran);
		assert_true(tally.idles >= 2);
		tally.ran = 0;
		cli_work_run(&tally.work, NULL); /* nothing, and again */
		assert_int_equal(tally.ran, 0);
	}
}

static void test_links(void **state)
{
	const struct stat st = {.st_dev = 7, .st_ino = 8};
	struct cli_link *link, *again;
	struct cli_links links;
	bool first;

	(void)state;
	cli_links_init(&links);
	link = cli_links_find(&links, 1, 2, &first);
	assert_non_null(link);
	assert_true(first);
	cli_links_done(&links, link, NULL, "", ""); /* it could not be made: the next one is the first */
	again = cli_links_find(&links, 1, 2, &first);
	assert_ptr_equal(again, link);
	assert_true(first);
	cli_links_done(&links, link, &st, "dir", "name");
	again = cli_links_find(&links, 1, 2, &first);
	assert_ptr_equal(again, link);
	assert_false(first);
	assert_string_equal(again->dir, "dir");
	assert_string_equal(again->name, "name");
	assert_int_equal(again->target_ino, 8);
	(void)cli_links_find(&links, 2, 2, &first); /* the same number on another device */
	assert_true(first);
	cli_links_free(&links);
}

static void test_sets(void **state)
{
	struct import_set *set = import_set_new();
	uint64_t value;

	(void)state;
	assert_non_null(set);
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(import_set_add(set, import_key_of("path", &i, sizeof(i)), i), 1);
	assert_int_equal(import_set_count(set), 5000);
	for (uint64_t i = 0; i < 5000; i++) {
		assert_int_equal(import_set_add(set, import_key_of("path", &i, sizeof(i)), 0), 0);
		assert_true(import_set_has(set, import_key_of("path", &i, sizeof(i)), &value));
		assert_int_equal(value, i);
		assert_false(import_set_has(set, import_key_of("path2", &i, sizeof(i)), NULL));
	}
	value = 17;
	import_set_change(set, import_key_of("path", &value, sizeof(value)), 99);
	import_set_change(set, import_key_of("none", &value, sizeof(value)), 99);
	assert_true(import_set_has(set, import_key_of("path", &value, sizeof(value)), &value));
	assert_int_equal(value, 99);
	/* The path ends where it ends: "ab" and "c" are not "a" and "bc". */
	assert_int_equal(import_set_add(set, import_key_of("ab", "c", 1), 0), 1);
	assert_int_equal(import_set_add(set, import_key_of("a", "bc", 2), 0), 1);
	/* What could not be hashed is never in it. */
	assert_int_equal(import_set_add(set, (struct import_key){{0, 0}}, 0), -ENOMEM);
	assert_false(import_set_has(set, (struct import_key){{0, 0}}, NULL));
	import_set_free(set);
	import_set_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tasks_make_tasks),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
