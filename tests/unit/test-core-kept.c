/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that cannot be settled at their last use, for want of space or of descriptors: they are kept, tried again, and
 * let go when they could be settled or are removed. And a writer is told at once where space may be short.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/file.h"

#include <stdlib.h>

#define BYTES 20000U

struct pair {
	struct core core;
	struct xtsfs_store *memory;
};

static int set_up(void **state)
{
	static struct pair pair;
	struct xtsfs_store *faulty;

	assert_int_equal(xtsfs_store_memory_new(&pair.memory), 0);
	assert_int_equal(xtsfs_store_faulty_new(pair.memory, &faulty), 0);
	core_init(&pair.core, XTSFS_INTEGRITY_AES_GMAC, 1);
	core_format(&pair.core, faulty);
	pair.core.waiting_bytes = 1 << 20;
	core_open(&pair.core);
	*state = &pair;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *pair = *state;
	struct xtsfs_store *faulty = pair->core.store;

	if (pair->core.volume) /* the test has failed */
		(void)core_try_close(&pair->core);
	core_fini(&pair->core);
	xtsfs_store_free(faulty);
	xtsfs_store_free(pair->memory);
	return 0;
}

static void let_fail(struct core *core, unsigned kinds, int error)
{
	const struct xtsfs_fault fault = {.kinds = kinds, .nth = kinds ? 1 : 0, .error = error, .forever = true};

	xtsfs_faulty_arm(core->store, &fault);
}

static void make_file(struct core *core, const char *path)
{
	uint8_t data[BYTES];

	core_pattern(1, 0, data, BYTES);
	assert_int_equal(core_try_create(core, path), 0);
	assert_int_equal(core_try_write(core, path, data, BYTES, 0), BYTES);
}

/* Opened, overwritten, and closed while calls of these kinds fail. */
static void overwrite(struct core *core, const char *path, unsigned kinds, int error)
{
	uint8_t data[BYTES];
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	core_pattern(2, 0, data, BYTES);
	assert_int_equal(xtsfs_open(core->volume, node, true), 0);
	assert_int_equal(xtsfs_write(core->volume, node, data, BYTES, 0), BYTES);
	let_fail(core, kinds, error);
	xtsfs_release(core->volume, node, true);
	core_forget(core, node);
}

static void assert_content(struct core *core, const char *path, uint64_t seed)
{
	uint8_t data[BYTES], *read;

	core_pattern(seed, 0, data, BYTES);
	assert_int_equal(core_try_read(core, path, &read), BYTES);
	assert_memory_equal(read, data, BYTES);
	free(read);
}

/* What was written stays readable and is on disk once there is space; nothing remains of the trouble. */
static void test_settled_later(void **state)
{
	struct core *core = &((struct pair *)*state)->core;
	static const int errors[] = {ENOSPC, EDQUOT, EIO};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		char name[16];

		snprintf(name, sizeof(name), "file%zu", i);
		core->volume->short_until_s = 0;
		make_file(core, name);
		overwrite(core, name, XTSFS_FAULT_WRITE, errors[i]);
		assert_int_equal(core->volume->kept_count, 1);
		assert_content(core, name, 2);
		assert_int_equal(xtsfs_commit_old(core->volume, 0), -errors[i]);
		assert_int_equal(core->volume->kept_count, 1);
		let_fail(core, 0, 0);
		assert_int_equal(xtsfs_commit_old(core->volume, 0), 0);
		assert_int_equal(core->volume->kept_count, 0);
		assert_null(core->volume->waiting_files);
		assert_int_equal(core->volume->waiting_bytes, 0);
		assert_int_equal(core->volume->unsettled, 0);
		assert_content(core, name, 2);
	}
	core_close(core);
	core_open(core);
	assert_false(core->volume->unclean);
	assert_content(core, "file0", 2);
	core_close(core);
}

/* Nobody tries again before the end; closing the volume does. */
static void test_settled_at_the_end(void **state)
{
	struct core *core = &((struct pair *)*state)->core;

	make_file(core, "file");
	overwrite(core, "file", XTSFS_FAULT_WRITE, ENOSPC);
	let_fail(core, 0, 0);
	core_close(core);
	core_open(core);
	assert_false(core->volume->unclean);
	assert_content(core, "file", 2);
	core_close(core);
}

/* Given up at the end: the volume is not clean, and the file is as it was before. */
static void test_given_up(void **state)
{
	struct core *core = &((struct pair *)*state)->core;

	make_file(core, "file");
	overwrite(core, "file", XTSFS_FAULT_WRITE, ENOSPC);
	assert_int_equal(core_try_close(core), -ENOSPC);
	let_fail(core, 0, 0);
	core_open(core);
	assert_true(core->volume->unclean);
	assert_content(core, "file", 1);
	core_close(core);
}

static void test_removed(void **state)
{
	struct core *core = &((struct pair *)*state)->core;

	make_file(core, "file");
	overwrite(core, "file", XTSFS_FAULT_WRITE, ENOSPC);
	assert_int_equal(core->volume->kept_count, 1);
	assert_int_equal(core_try_unlink(core, "file"), 0);
	assert_int_equal(xtsfs_commit_old(core->volume, 0), 0);
	assert_int_equal(core->volume->kept_count, 0);
	assert_int_equal(core->volume->waiting_bytes, 0);
	let_fail(core, 0, 0);
	core_close(core);
	core_open(core);
	assert_false(core->volume->unclean);
	core_close(core);
}

/* Used again while it is kept: the next sync answers for what waits. */
static void test_used_again(void **state)
{
	struct core *core = &((struct pair *)*state)->core;

	make_file(core, "file");
	overwrite(core, "file", XTSFS_FAULT_WRITE, EDQUOT);
	assert_int_equal(core_try_fsync(core, "file"), -EDQUOT);
	let_fail(core, 0, 0);
	assert_int_equal(core_try_fsync(core, "file"), 0);
	assert_content(core, "file", 2);
	assert_int_equal(xtsfs_commit_old(core->volume, 0), 0);
	assert_int_equal(core->volume->kept_count, 0);
	core_close(core);
}

/* A file that cannot be committed does not hold up others. */
static void test_others_go_on(void **state)
{
	struct core *core = &((struct pair *)*state)->core;
	struct xtsfs_node *node[2];
	struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_WRITE, .nth = 1, .error = ENOSPC};

	for (unsigned i = 0; i < 2; i++) {
		const char *name = i ? "b" : "a";
		int r;

		make_file(core, name);
		node[i] = core_node(core, name, NULL, &r);
		assert_int_equal(r, 0);
		assert_int_equal(xtsfs_open(core->volume, node[i], true), 0);
		assert_int_equal(xtsfs_write(core->volume, node[i], "12345", 5, 0), 5);
	}
	xtsfs_faulty_arm(core->store, &fault);
	assert_int_equal(xtsfs_commit_old(core->volume, 0), -ENOSPC);
	assert_true(xtsfs_waiting_has(node[0]->file) != xtsfs_waiting_has(node[1]->file));
	for (unsigned i = 0; i < 2; i++) {
		xtsfs_release(core->volume, node[i], true);
		core_forget(core, node[i]);
	}
	core_close(core);
}

/* From the first error for want of space on, for a while, and where the store says that overwriting needs space and
 * little is left, write() itself says that there is none. */
static void test_told_at_once(void **state)
{
	struct core *core = &((struct pair *)*state)->core;
	struct xtsfs_node *node;
	int r;

	make_file(core, "file");
	make_file(core, "other");
	overwrite(core, "file", XTSFS_FAULT_WRITE, ENOSPC);
	node = core_node(core, "other", NULL, &r);
	assert_int_equal(r, 0);
	assert_int_equal(xtsfs_open(core->volume, node, true), 0);
	assert_int_equal(xtsfs_write(core->volume, node, "12345", 5, 0), -ENOSPC);
	let_fail(core, 0, 0);
	assert_int_equal(xtsfs_write(core->volume, node, "12345", 5, 0), 5);
	assert_false(xtsfs_waiting_has(node->file));

	core->volume->short_until_s = 0;
	assert_int_equal(xtsfs_write(core->volume, node, "54321", 5, 0), 5);
	assert_true(xtsfs_waiting_has(node->file));
	assert_int_equal(xtsfs_commit_old(core->volume, 0), 0);
	assert_int_equal(core->volume->short_until_s, 0);
	core->store->in_place = false;
	core->volume->waiting_most = SIZE_MAX / 4; /* more than any store has */
	assert_int_equal(xtsfs_commit_old(core->volume, 0), 0);
	assert_int_not_equal(core->volume->short_until_s, 0);
	xtsfs_release(core->volume, node, true);
	core_forget(core, node);
	core_close(core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settled_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_settled_at_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_used_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_told_at_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
