/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-encryption, killed at every step, losing power, and with calls that fail: after each prefix of the store's calls,
 * and each page of a write, the volume opens with the same secret and shows the same tree; it can be used, changed and
 * checked; and being begun again, it comes to its end, with the same tree or the changed one, all under the new key.
 */
#undef NDEBUG
#include "recover.h"
#include "reencrypt-fixture.h"

#include "base/log.h"
#include "core/file.h"
#include "core/fsck.h"

static unsigned long points, ends;

/* The same on a volume that is mounted: files are open, one of them without a name. */
static int complete_mounted(struct core *core)
{
	static const char *const names[] = {"big", "tail", "inline", "nameless"};
	struct xtsfs_node *nodes[ARRAY_COUNT(names)];
	struct xtsfs_reencrypt_totals totals;
	uint8_t pattern[9000], data[9000];
	struct xtsfs_conf *conf;
	char problem[200];
	int r;

	core_open(core);
	core->volume->renew_groups = 1;
	core_pattern(77, 0, pattern, sizeof(pattern));
	make(core, "nameless", 77, sizeof(pattern));
	for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
		nodes[i] = core_node(core, names[i], NULL, &r);
		assert_true(r == 0 && xtsfs_open(core->volume, nodes[i], true) == 0);
	}
	assert_int_equal(core_try_unlink(core, "nameless"), 0);
	prepared = xtsfs_memory_calls(core->store);

	assert_int_equal(xtsfs_volume_lock(core->volume), 0);
	r = begin(core);
	if (r == 0)
		r = xtsfs_volume_unlock(core->volume, core->conf->config, core->key);
	if (r == 0)
		r = xtsfs_reencrypt_run(core->volume, &(struct xtsfs_reencrypt_options){.problem = say_problem},
					&totals);
	if (r == 0) {
		assert_int_equal(xtsfs_conf_load(core->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), 0);
		r = xtsfs_reencrypt_end(core->store, conf, core->key);
		xtsfs_conf_free(core->conf);
		core->conf = conf;
	}
	assert_int_equal(xtsfs_read(core->volume, nodes[3], data, sizeof(data), 0), sizeof(data));
	assert_memory_equal(data, pattern, sizeof(data));
	assert_false(nodes[3]->file->under_old);
	for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
		xtsfs_release(core->volume, nodes[i], true);
		core_forget(core, nodes[i]);
	}
	core_close(core);
	return r;
}

/* ---- states ---- */

static void note_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	if (finding->severity == XTSFS_FSCK_ERROR) {
		print_error("%s: %s: %s\n", finding->code, finding->path, finding->detail);
		++*(unsigned *)data;
	}
}

static void check_only(struct core *core)
{
	unsigned errors = 0;
	const struct xtsfs_fsck_options options = {
		.threads = 1, .content_keys = 1, .finding = note_finding, .data = &errors};
	struct xtsfs_fsck_totals totals;

	assert_int_equal(xtsfs_fsck_run(core->volume, &options, &totals), 0);
	assert_int_equal(errors, 0);
}

/* Nothing is written; one file at most waits for a writer. */
static void look_read_only(const struct expected *expected, const struct xtsfs_store *state)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 64, .read_only = true};
	struct xtsfs_store *store = clone_of(state);
	struct core core = core_in(expected->like, store);
	unsigned torn = 0;
	struct tree tree;

	assert_int_equal(core_try_open(&core, &params), 0);
	tree = tree_of(&core, false, &torn);
	assert_true(torn <= 3); /* names of one file */
	assert_true(torn > 0 || strcmp(tree.text, expected->before.text) == 0);
	check_only(&core);
	core_close(&core);
	core_out(&core);
	xtsfs_store_free(store);
}

static void look_settled(const struct expected *expected, const struct xtsfs_store *state)
{
	struct xtsfs_store *store = clone_of(state);
	struct core core = core_in(expected->like, store);
	char why[256];

	if (settle(&core, store, why, sizeof(why)) < 0)
		fail_msg("killed after %s: %s", expected->call, why);
	core_open(&core);
	expect_tree(&core, &expected->before, expected->call);
	core_close(&core);
	core_out(&core);
	xtsfs_store_free(store);
}

/* Used, changed if it is to be, and completed; then nothing is known by the old key. */
static void look_completed(const struct expected *expected, const struct xtsfs_store *state, bool changes)
{
	struct xtsfs_store *store = clone_of(state);
	struct core core = core_in(expected->like, store);
	char why[256];
	int r;

	core_open(&core);
	expect_tree(&core, &expected->before, expected->call);
	if (changes)
		change(&core);
	core_close(&core);
	if (core.conf->config->reencrypting) {
		r = complete(&core);
		if (r != 0)
			fail_msg("killed after %s: completing it gives %d", expected->call, r);
		ends++;
	}
	assert_false(core.conf->config->reencrypting);
	core_out(&core);

	core = core_in(expected->like, store);
	if (settle(&core, store, why, sizeof(why)) < 0)
		fail_msg("completed after being killed after %s: %s", expected->call, why);
	core_open(&core);
	expect_tree(&core, changes ? &expected->after : &expected->before, expected->call);
	core_close(&core);
	core_out(&core);
	xtsfs_store_free(store);
}

/* Not everything of every state: what is looked at takes turns. */
static void look(struct expected *expected, const struct xtsfs_store *state, bool all)
{
	unsigned long turn = expected->number++;

	points++;
	if (all || turn % 4 == 0)
		look_read_only(expected, state);
	if (all || turn % 4 == 1)
		look_settled(expected, state);
	if (all || turn % 4 == 2)
		look_completed(expected, state, false);
	if (all || turn % 4 == 3)
		look_completed(expected, state, true);
}

static void every_step(int (*doing)(struct core *core), unsigned every_other)
{
	for (unsigned i = 0; i < 3; i += every_other) {
		struct xtsfs_store *replayed;
		struct rig rig;

		rig_begin_with(&rig, core_integrities[i], doing);
		replayed = clone_of(rig.base);
		for (size_t call = 0; call < xtsfs_memory_calls(rig.recorded); call++) {
			unsigned cuts = xtsfs_memory_cuts(rig.recorded, call);
			char text[512];

			xtsfs_memory_describe(rig.recorded, call, text, sizeof(text));
			rig.expected.call = text;
			for (unsigned cut = 1; call >= prepared && cut <= cuts; cut += cuts / 3 + 1) {
				struct xtsfs_store *torn = clone_of(replayed);

				assert_int_equal(xtsfs_memory_replay(torn, rig.recorded, call, cut), 0);
				look(&rig.expected, torn, false);
				xtsfs_store_free(torn);
			}
			assert_int_equal(xtsfs_memory_replay(replayed, rig.recorded, call, 0), 0);
			if (call >= prepared && !xtsfs_memory_is_sync(rig.recorded, call))
				look(&rig.expected, replayed, false);
		}
		print_message("%zu calls\n", xtsfs_memory_calls(rig.recorded));
		xtsfs_store_free(replayed);
		rig_end(&rig);
	}
}

static void test_every_step(void **state)
{
	(void)state;
	every_step(complete, 1);
}

/* Also of what is open; behind the last step the volume has a marker that is authentic under the new key. */
static void test_every_step_mounted(void **state)
{
	(void)state;
	every_step(complete_mounted, 2);
}

static void test_power(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t rng = 0x1234567 + i;
		struct rig rig;

		rig_begin(&rig, core_integrities[i]);
		for (unsigned n = 0; n < 40; n++) {
			size_t until = 1 + (size_t)(unit_random(&rng) >> 33) % xtsfs_memory_calls(rig.recorded);
			struct xtsfs_store *left = clone_of(rig.base);
			char text[64];

			assert_int_equal(xtsfs_memory_power_cut(left, rig.recorded, until, &rng), 0);
			snprintf(text, sizeof(text), "power was lost at call %zu, try %u", until, n);
			rig.expected.call = text;
			look(&rig.expected, left, false);
			xtsfs_store_free(left);
		}
		rig_end(&rig);
	}
}

/* Every call fails in turn: what cannot be done is told, nothing is lost, and the next time it is done. */
static void ignore_problem(void *data, const char *path, const char *what, int error)
{
	(void)path;
	(void)what;
	(void)error;
	++*(unsigned *)data;
}

static void test_every_fault(void **state)
{
	unsigned fired = 0, told = 0;
	struct rig rig;

	(void)state;
	rig_begin(&rig, XTSFS_INTEGRITY_AES_GMAC);
	for (unsigned nth = 1;; nth += 1 + nth / 40) {
		struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_ANY, .nth = nth, .error = nth % 2 ? EIO : ENOSPC};
		const struct xtsfs_reencrypt_options options = {.problem = ignore_problem, .data = &told};
		struct xtsfs_reencrypt_totals totals;
		struct xtsfs_store *store = clone_of(rig.base), *faulty;
		struct core core;
		char text[64];
		bool came;

		snprintf(text, sizeof(text), "call %u failed", nth);
		rig.expected.call = text;
		assert_int_equal(xtsfs_store_faulty_new(store, &faulty), 0);
		core = core_in(&rig.core, faulty);
		assert_int_equal(begin(&core), 0);
		core_open(&core);
		core.volume->renew_groups = 1;
		xtsfs_faulty_arm(faulty, &fault);
		(void)!xtsfs_reencrypt_run(core.volume, &options, &totals);
		came = xtsfs_faulty_fired(faulty) > 0;
		xtsfs_faulty_arm(faulty, &(struct xtsfs_fault){0});
		(void)core_try_close(&core);
		core_out(&core);
		look(&rig.expected, store, false);
		xtsfs_store_free(faulty);
		xtsfs_store_free(store);
		fired += came;
		if (!came)
			break;
	}
	rig_end(&rig);
	print_message("%u faults, %u problems told\n", fired, told);
}

static int count_points(void **state)
{
	(void)state;
	print_message("%lu states looked at, %lu brought to their end\n", points, ends);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step),
		cmocka_unit_test(test_every_step_mounted),
		cmocka_unit_test(test_power),
		cmocka_unit_test(test_every_fault),
	};

	xtsfs_log_init("test-core-reencrypt");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-reencrypt", tests, NULL, count_points);
}
