/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are in use after their name is gone, with hardly any descriptors to keep. */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "base/log.h"

static void begin(struct core *core, struct xtsfs_store **ret_store)
{
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 2, .fds = 1};

	core_init(core, XTSFS_INTEGRITY_AES_GMAC, 1);
	assert_int_equal(xtsfs_store_memory_new(ret_store), 0);
	core_format(core, *ret_store);
	assert_int_equal(core_try_open(core, &params), 0);
	assert_int_equal(core_try_create(core, "a"), 0);
	assert_int_equal(core_try_write(core, "a", "before", 6, 0), 6);
}

static void end(struct core *core, struct xtsfs_store *store)
{
	core_close(core);
	core_fini(core);
	xtsfs_store_free(store);
}

/* Makes the cache let go of what it may. */
static void use_others(struct core *core)
{
	char name[16];

	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "other%u", i);
		(void)core_try_create(core, name);
		assert_int_equal(core_try_write(core, name, name, 6, 0), 6);
	}
}

static void check_in_use(struct core *core, struct xtsfs_node *node)
{
	uint8_t data[9000], back[9000];
	struct stat st;

	assert_int_equal(xtsfs_getattr(core->volume, node, &st), 0);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(xtsfs_read(core->volume, node, back, sizeof(back), 0), 6);
	assert_memory_equal(back, "before", 6);
	core_pattern(1, 0, data, sizeof(data));
	assert_int_equal(xtsfs_write(core->volume, node, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(xtsfs_read(core->volume, node, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	assert_int_equal(xtsfs_fsync(core->volume, node, false), 0);
}

/* How the last known name goes. */
enum way { UNLINK, RENAME_OVER, OTHER_NAME_UNKNOWN };

static void one(enum way way)
{
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 2, .fds = 1};
	struct xtsfs_store *store;
	struct core core;
	struct xtsfs_node *node;
	int r;

	begin(&core, &store);
	if (way == OTHER_NAME_UNKNOWN) {
		assert_int_equal(core_try_link(&core, "a", "b"), 0);
		core_close(&core);
		assert_int_equal(core_try_open(&core, &params), 0);
	}
	node = core_node(&core, "a", NULL, &r);
	assert_int_equal(xtsfs_open(core.volume, node, true), 0);
	use_others(&core);
	if (way == RENAME_OVER)
		assert_int_equal(core_try_rename(&core, "other1", "a", 0), 0);
	else
		assert_int_equal(core_try_unlink(&core, "a"), 0);
	use_others(&core);
	check_in_use(&core, node);
	assert_true(xtsfs_has_writers(core.volume, node));
	assert_int_equal(xtsfs_open(core.volume, node, false), 0);
	xtsfs_release(core.volume, node, true);
	assert_false(xtsfs_has_writers(core.volume, node));
	xtsfs_release(core.volume, node, false);
	assert_false(xtsfs_has_writers(core.volume, node));
	core_forget(&core, node);
	if (way == OTHER_NAME_UNKNOWN)
		assert_int_equal(core_size(&core, "b"), 9000);
	end(&core, store);
}

static void test_unlinked(void **state)
{
	(void)state;
	one(UNLINK);
}

static void test_renamed_over(void **state)
{
	(void)state;
	one(RENAME_OVER);
}

static void test_other_name_unknown(void **state)
{
	(void)state;
	one(OTHER_NAME_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_renamed_over),
		cmocka_unit_test(test_other_name_unknown),
	};

	xtsfs_log_init("test-core-unlinked");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-unlinked", tests, NULL, NULL);
}
