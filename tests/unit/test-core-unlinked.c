/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are in use after their name is gone, with hardly any descriptors to keep. */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "base/log.h"
#include "core/internal.h"

#include <errno.h>

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

static void arm(struct xtsfs_store *faulty, unsigned kinds, int error)
{
	const struct xtsfs_fault fault = {.kinds = kinds, .nth = 1, .error = error, .forever = true};

	xtsfs_faulty_arm(faulty, kinds ? &fault : &(const struct xtsfs_fault){0});
}

/* A volume on the same store whose calls can be made to fail, and "a", which is known and maybe open. */
static struct xtsfs_node *begin_faulty(struct core *core, struct xtsfs_store **ret_store,
				       struct xtsfs_store **ret_faulty, bool opened)
{
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 2, .fds = 1};
	struct xtsfs_node *node;
	int r;

	begin(core, ret_store);
	core_close(core);
	assert_int_equal(xtsfs_store_faulty_new(*ret_store, ret_faulty), 0);
	core->store = *ret_faulty;
	assert_int_equal(core_try_open(core, &params), 0);
	node = core_node(core, "a", NULL, &r);
	assert_int_equal(r, 0);
	if (opened)
		assert_int_equal(xtsfs_open(core->volume, node, true), 0);
	use_others(core);
	return node;
}

static void end_faulty(struct core *core, struct xtsfs_store *store, struct xtsfs_store *faulty)
{
	core_close(core);
	xtsfs_store_free(faulty);
	core->store = store;
	core_fini(core);
	xtsfs_store_free(store);
}

/* An open file without a descriptor would be lost with its name: the name stays. */
static void test_no_descriptor(void **state)
{
	struct xtsfs_store *store, *faulty;
	struct core core;
	struct xtsfs_node *node;

	(void)state;
	node = begin_faulty(&core, &store, &faulty, true);
	arm(faulty, XTSFS_FAULT_OPEN, EMFILE);
	assert_int_equal(core_try_unlink(&core, "a"), -EMFILE);
	assert_int_equal(core_try_rename(&core, "other1", "a", 0), -EMFILE);
	arm(faulty, 0, 0);
	assert_int_equal(core_size(&core, "a"), 6);
	assert_int_equal(core_size(&core, "other1"), 6);
	assert_int_equal(node->fd_keeps, 0);
	assert_int_equal(core_try_unlink(&core, "a"), 0);
	assert_int_equal(node->fd_keeps, 1);
	use_others(&core);
	check_in_use(&core, node);
	xtsfs_release(core.volume, node, true);
	core_forget(&core, node);
	end_faulty(&core, store, faulty);
}

/* Somebody is reading, so there is a descriptor, and the file is open for writing. */
static void test_no_descriptor_to_write(void **state)
{
	struct xtsfs_store *store, *faulty;
	struct core core;
	struct xtsfs_node *node;
	struct xtsfs_fd *fd;

	(void)state;
	node = begin_faulty(&core, &store, &faulty, true);
	assert_int_equal(xtsfs_fd_get(core.volume, node, XTSFS_ACCESS_READ, &fd), 0);
	assert_int_equal(fd->access, XTSFS_ACCESS_READ);
	arm(faulty, XTSFS_FAULT_OPEN, EMFILE);
	assert_int_equal(core_try_unlink(&core, "a"), -EMFILE);
	arm(faulty, 0, 0);
	xtsfs_fd_put(core.volume, fd);
	assert_int_equal(core_try_unlink(&core, "a"), 0);
	use_others(&core);
	check_in_use(&core, node);
	xtsfs_release(core.volume, node, true);
	core_forget(&core, node);
	end_faulty(&core, store, faulty);
}

/* One that is not open goes, and a new file with its inode number has nothing to do with what is known of it. */
static void test_no_descriptor_not_open(void **state)
{
	struct xtsfs_store *store, *faulty;
	struct core core;
	struct xtsfs_node *node, *other;
	struct stat st;

	(void)state;
	node = begin_faulty(&core, &store, &faulty, false);
	assert_int_equal(xtsfs_getattr(core.volume, node, &st), 0);
	use_others(&core);
	other = xtsfs_node_find(core.volume, &st);
	assert_ptr_equal(other, node);
	xtsfs_node_unref(core.volume, other, 1);
	arm(faulty, XTSFS_FAULT_OPEN, EMFILE);
	assert_int_equal(core_try_unlink(&core, "a"), 0);
	arm(faulty, 0, 0);
	assert_int_equal(xtsfs_getattr(core.volume, node, &st), -ESTALE);
	st = (struct stat){.st_ino = node->ino, .st_dev = node->dev, .st_mode = S_IFREG};
	assert_null(xtsfs_node_find(core.volume, &st));
	assert_int_equal(xtsfs_node_get(core.volume, &st, NULL, NULL, &other), 0);
	assert_ptr_not_equal(other, node);
	xtsfs_node_unref(core.volume, node, 1);
	assert_ptr_equal(xtsfs_node_find(core.volume, &st), other);
	xtsfs_node_unref(core.volume, other, 2);
	end_faulty(&core, store, faulty);
}

/* A removal that fails keeps no descriptor. */
static void test_not_removed(void **state)
{
	struct xtsfs_store *store, *faulty;
	struct core core;
	struct xtsfs_node *node;

	(void)state;
	node = begin_faulty(&core, &store, &faulty, false);
	arm(faulty, XTSFS_FAULT_ENTRY, EPERM);
	assert_int_equal(core_try_unlink(&core, "a"), -EPERM);
	assert_int_equal(core_try_rename(&core, "other1", "a", 0), -EPERM);
	assert_int_equal(node->fd_keeps, 0);
	assert_true(core.volume->fd_count <= 2); /* the root's is the other */
	arm(faulty, 0, 0);
	core_forget(&core, node);
	end_faulty(&core, store, faulty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_renamed_over),
		cmocka_unit_test(test_other_name_unknown),
		cmocka_unit_test(test_no_descriptor),
		cmocka_unit_test(test_no_descriptor_to_write),
		cmocka_unit_test(test_no_descriptor_not_open),
		cmocka_unit_test(test_not_removed),
	};

	xtsfs_log_init("test-core-unlinked");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-unlinked", tests, NULL, NULL);
}
