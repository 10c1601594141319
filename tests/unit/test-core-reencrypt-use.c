/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume that is used while it is re-encrypted: whatever is done at whatever point shows at the end, what was synced
 * stays when power is lost, what is damaged keeps the old key there, and at the end that opens nothing.
 */
#undef NDEBUG
#include "recover.h"
#include "reencrypt-fixture.h"

#include "base/log.h"
#include "core/internal.h"

#include <fcntl.h>
#include <linux/falloc.h>

/* ---- used while it works ---- */

static void shrink_to_inline(struct core *core)
{
	assert_int_equal(core_try_truncate(core, "big", 3000), 0);
	write_pattern(core, "big", 30, 10, 2995);
}

static void shrink_and_grow(struct core *core)
{
	assert_int_equal(core_try_truncate(core, "big", GROUP + 100), 0);
	write_pattern(core, "big", 31, 3 * GROUP, GROUP + 50);
	assert_int_equal(core_try_truncate(core, "big", 2 * GROUP + 4090), 0);
	assert_int_equal(core_try_truncate(core, "big", 3 * GROUP + 4095), 0);
}

static void empty_and_fill(struct core *core)
{
	assert_int_equal(core_try_truncate(core, "big", 0), 0);
	write_pattern(core, "big", 32, 2 * GROUP, 0);
	assert_int_equal(core_try_fallocate(core, "big", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, GROUP), 0);
}

static void punch(struct core *core)
{
	assert_int_equal(core_try_fallocate(core, "big", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * GROUP), 0);
}

static void (*const doings[])(struct core *core) = {change, shrink_to_inline, shrink_and_grow, empty_and_fill, punch};

struct meanwhile {
	struct core *core;
	unsigned doing, at, calls;
};

static void do_meanwhile(void *data, const struct xtsfs_reencrypt_totals *totals)
{
	struct meanwhile *meanwhile = data;

	(void)totals;
	if (meanwhile->calls++ == meanwhile->at)
		doings[meanwhile->doing](meanwhile->core);
}

/* At the n-th chance the volume is changed. false: there were not so many. */
static bool play_meanwhile(struct rig *rig, unsigned doing, unsigned at)
{
	struct xtsfs_store *store = clone_of(rig->base), *plain = clone_of(rig->base);
	struct core core = core_in(&rig->core, store), like = core_in(&rig->core, plain);
	struct meanwhile meanwhile = {.core = &core, .doing = doing, .at = at};
	const struct xtsfs_reencrypt_options options = {
		.progress = do_meanwhile, .problem = say_problem, .data = &meanwhile};
	struct xtsfs_reencrypt_totals totals;
	struct tree expected, now;
	char why[256];

	core_open(&like);
	doings[doing](&like);
	expected = tree_of(&like, false, NULL);
	core_close(&like);
	core_out(&like);

	assert_int_equal(begin(&core), 0);
	core_open(&core);
	core.volume->renew_groups = 1;
	assert_int_equal(xtsfs_reencrypt_run(core.volume, &options, &totals), 0);
	core_close(&core);
	assert_int_equal(complete(&core), 0); /* which finds nothing, and ends it */
	core_out(&core);
	core = core_in(&rig->core, store);
	assert_int_equal(settle(&core, store, why, sizeof(why)), 0);
	core_open(&core);
	now = tree_of(&core, false, NULL);
	if (meanwhile.calls > at && strcmp(now.text, expected.text) != 0)
		fail_msg("change %u at %u:\n%s\nto be:\n%s", doing, at, now.text, expected.text);
	core_close(&core);
	core_out(&core);
	xtsfs_store_free(store);
	xtsfs_store_free(plain);
	return meanwhile.calls > at;
}

static void test_meanwhile(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, XTSFS_INTEGRITY_AES_GMAC);
	for (unsigned doing = 0; doing < ARRAY_COUNT(doings); doing++)
		for (unsigned at = 0; play_meanwhile(&rig, doing, at); at++)
			;
	rig_end(&rig);
}

/* ---- what was synced meanwhile stays, whatever of the walk becomes durable ---- */

#define VERSIONS 64U
#define AT	 10U
#define SOME	 100U

struct synced {
	struct core *core;
	unsigned count;
	size_t calls[VERSIONS]; /* version n was durable behind so many */
};

static void sync_one_more(void *data, const struct xtsfs_reencrypt_totals *totals)
{
	struct synced *synced = data;

	(void)totals;
	if (synced->count == VERSIONS)
		return;
	write_pattern(synced->core, "big", 100 + synced->count, SOME, AT);
	assert_int_equal(core_try_fsync(synced->core, "big"), 0);
	synced->calls[synced->count++] = xtsfs_memory_calls(synced->core->store);
}

static void expect_version(struct core *core, const struct synced *synced, size_t until)
{
	uint8_t *data = NULL, pattern[SOME];
	unsigned least = 0;
	bool found = false;

	while (least + 1 < synced->count && synced->calls[least + 1] <= until)
		least++;
	assert_true(core_try_read(core, "big", &data) > (ssize_t)(AT + SOME));
	for (unsigned n = least; n <= least + 1 && !found; n++) {
		core_pattern(100 + n, AT, pattern, SOME);
		found = memcmp(data + AT, pattern, SOME) == 0;
	}
	if (!found && until >= synced->calls[0])
		fail_msg("power was lost at call %zu: version %u is not there", until, least);
	free(data);
}

static void test_synced_meanwhile(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i += 2) {
		struct synced synced = {0};
		const struct xtsfs_reencrypt_options options = {
			.progress = sync_one_more, .problem = say_problem, .data = &synced};
		struct xtsfs_reencrypt_totals totals;
		struct xtsfs_store *store, *base;
		uint64_t rng = 99 + i;
		struct core core;
		struct rig rig;

		rig_begin(&rig, core_integrities[i]);
		store = clone_of(rig.base);
		core = core_in(&rig.core, store);
		assert_int_equal(begin(&core), 0);
		base = clone_of(store);
		xtsfs_memory_record(store);
		core_open(&core);
		core.volume->renew_groups = 1;
		synced.core = &core;
		assert_int_equal(xtsfs_reencrypt_run(core.volume, &options, &totals), 0);
		assert_true(synced.count > 20);
		for (unsigned n = 0; n < 300; n++) {
			size_t until = 1 + (size_t)(unit_random(&rng) >> 33) % xtsfs_memory_calls(store);
			struct xtsfs_store *left = clone_of(base);
			struct core found;

			assert_int_equal(xtsfs_memory_power_cut(left, store, until, &rng), 0);
			found = core_in(&rig.core, left);
			core_open(&found);
			expect_version(&found, &synced, until);
			core_close(&found);
			core_out(&found);
			xtsfs_store_free(left);
		}
		core_close(&core);
		core_out(&core);
		xtsfs_store_free(base);
		xtsfs_store_free(store);
		rig_end(&rig);
	}
}

static void ignore_problem(void *data, const char *path, const char *what, int error)
{
	(void)path;
	(void)what;
	(void)error;
	++*(unsigned *)data;
}

/* A damaged file: told, everything else is done, and both keys stay until it is removed. */
static void test_damage(void **state)
{
	unsigned told = 0;
	const struct xtsfs_reencrypt_options options = {.problem = ignore_problem, .data = &told};
	struct xtsfs_reencrypt_totals totals;
	struct core core;
	struct rig rig;
	struct xtsfs_at at;
	struct xtsfs_node *node;
	int r, handle;

	(void)state;
	rig_begin(&rig, XTSFS_INTEGRITY_AES_GMAC);
	core = core_in(&rig.core, rig.base);
	core_open(&core);
	node = core_node(&core, "tail", NULL, &r);
	assert_true(r == 0 && xtsfs_at_get(core.volume, node, &at) == 0);
	handle = rig.base->ops->open(rig.base, at.handle, at.name, O_RDWR, 0, NULL);
	assert_true(handle >= 0 && xtsfs_store_pwrite(rig.base, handle, "x", 1, 5000) == 0);
	rig.base->ops->close(rig.base, handle);
	xtsfs_at_put(core.volume, &at);
	core_forget(&core, node);
	core_close(&core);

	assert_int_equal(begin(&core), 0);
	core_open(&core);
	assert_int_equal(xtsfs_reencrypt_run(core.volume, &options, &totals), 1);
	assert_int_equal(totals.problems, 1);
	assert_true(told >= 1);
	assert_int_equal(core_try_unlink(&core, "tail"), 0);
	core_close(&core);
	assert_int_equal(complete(&core), 0);
	core_out(&core);
	rig_end(&rig);
}

/* What repairs moved away would be lost with the old key: there is no end as long as it is there. */
static void test_lost(void **state)
{
	unsigned told = 0;
	const struct xtsfs_reencrypt_options options = {.problem = ignore_problem, .data = &told};
	struct xtsfs_reencrypt_totals totals;
	struct core core;
	struct rig rig;
	int dir;

	(void)state;
	rig_begin(&rig, XTSFS_INTEGRITY_AES_GMAC);
	core = core_in(&rig.core, rig.base);
	assert_int_equal(xtsfs_reencrypt_lost(rig.base), 0);
	assert_int_equal(rig.base->ops->mkdir(rig.base, rig.base->root, XTSFS_NAME_LOST, 0700, NULL), 0);
	assert_int_equal(xtsfs_reencrypt_lost(rig.base), 0);
	dir = rig.base->ops->open(rig.base, rig.base->root, XTSFS_NAME_LOST, O_PATH | O_DIRECTORY, 0, NULL);
	assert_true(dir >= 0);
	assert_int_equal(rig.base->ops->mkdir(rig.base, dir, "x", 0700, NULL), 0);
	assert_int_equal(begin(&core), 0);
	core_open(&core);
	assert_int_equal(xtsfs_reencrypt_run(core.volume, &options, &totals), 1);
	assert_int_equal(totals.problems, 1);
	assert_int_equal(rig.base->ops->unlink(rig.base, dir, "x", AT_REMOVEDIR), 0);
	assert_int_equal(xtsfs_reencrypt_run(core.volume, &options, &totals), 0);
	core_close(&core);
	core_out(&core);
	rig.base->ops->close(rig.base, dir);
	rig_end(&rig);
}

/* The old key, and a configuration from before, open nothing any more. */
static void test_old_key(void **state)
{
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 2, .fds = 64};
	struct core core;
	struct rig rig;

	(void)state;
	rig_begin(&rig, XTSFS_INTEGRITY_AES_GMAC);
	core = rig.core;
	core.store = rig.recorded;
	assert_int_equal(core_try_open(&core, &params), -EUCLEAN);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meanwhile), cmocka_unit_test(test_synced_meanwhile),
		cmocka_unit_test(test_damage),	  cmocka_unit_test(test_lost),
		cmocka_unit_test(test_old_key),
	};

	xtsfs_log_init("test-core-reencrypt-use");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-reencrypt-use", tests, NULL, NULL);
}
