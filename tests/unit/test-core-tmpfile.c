/* SPDX-License-Identifier: Apache-2.0 */
/* Files made without a name (O_TMPFILE), on a directory, with hardly any descriptors to keep. */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "base/log.h"
#include "core/internal.h"

#include <stdlib.h>

static char directory[] = "/tmp/xtsfs-test-tmpfile-XXXXXX";

static const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 2, .fds = 1};

static int set_up(void **state)
{
	static struct core core;
	struct xtsfs_store *store;

	memcpy(strstr(directory, "tmpfile-") + 8, "XXXXXX", 6);
	assert_non_null(mkdtemp(directory));
	assert_int_equal(xtsfs_store_posix_new(directory, &store), 0);
	core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
	core_format(&core, store);
	assert_int_equal(core_try_open(&core, &params), 0);
	*state = &core;
	return 0;
}

static int tear_down(void **state)
{
	struct core *core = *state;
	struct xtsfs_store *store = core->store;
	char command[128];

	core_close(core);
	core_fini(core);
	xtsfs_store_free(store);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

/* Makes the cache of descriptors let go of what it may. */
static void use_others(struct core *core)
{
	char name[16];

	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "other%u", i);
		(void)core_try_create(core, name);
		assert_int_equal(core_try_write(core, name, name, 6, 0), 6);
	}
}

static struct xtsfs_node *make(struct core *core, bool linkable)
{
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_tmpfile(core->volume, xtsfs_root(core->volume), 0640, linkable, NULL, &node, &st);

	if (r == -EOPNOTSUPP) {
		print_message("no O_TMPFILE in /tmp\n");
		exit(77);
	}
	assert_int_equal(r, 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(xtsfs_open(core->volume, node, true), 0);
	return node;
}

static void done(struct core *core, struct xtsfs_node *node)
{
	xtsfs_release(core->volume, node, true);
	xtsfs_forget(core->volume, node, 1);
}

static void test_content(void **state)
{
	struct core *core = *state;
	struct xtsfs_node *node = make(core, true);
	uint8_t data[9000], back[9000];

	core_pattern(1, 0, data, sizeof(data));
	use_others(core);
	assert_int_equal(xtsfs_write(core->volume, node, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(xtsfs_fsync(core->volume, node, false), 0);
	use_others(core);
	assert_int_equal(xtsfs_read(core->volume, node, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	done(core, node);
}

/* A name afterwards: the content is there after the next opening of the volume too, the descriptor is one like others.
 */
static void test_linked(void **state)
{
	struct core *core = *state;
	struct xtsfs_node *node = make(core, true);
	uint8_t data[9000], *back;
	struct stat st;

	core_pattern(2, 0, data, sizeof(data));
	assert_int_equal(xtsfs_write(core->volume, node, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(xtsfs_link(core->volume, node, xtsfs_root(core->volume), "name", &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_size, sizeof(data));
	xtsfs_forget(core->volume, node, 1);
	assert_int_equal(node->fd_keeps, 0);
	use_others(core);
	assert_int_equal(xtsfs_write(core->volume, node, "x", 1, 9000), 1);
	done(core, node);
	core_close(core);
	assert_int_equal(core_try_open(core, &params), 0);
	assert_int_equal(core_try_read(core, "name", &back), 9001);
	assert_memory_equal(back, data, sizeof(data));
	assert_int_equal(back[9000], 'x');
	free(back);
}

/* Unlinked again it is kept once more, and then stays without a name. */
static void test_unlinked_again(void **state)
{
	struct core *core = *state;
	struct xtsfs_node *node = make(core, true);
	struct stat st;
	char back[8];

	assert_int_equal(xtsfs_link(core->volume, node, xtsfs_root(core->volume), "name", &st), 0);
	xtsfs_forget(core->volume, node, 1);
	assert_int_equal(core_try_unlink(core, "name"), 0);
	assert_int_equal(node->fd_keeps, 1);
	use_others(core);
	assert_int_equal(xtsfs_write(core->volume, node, "still", 5, 0), 5);
	assert_int_equal(xtsfs_read(core->volume, node, back, sizeof(back), 0), 5);
	assert_int_equal(xtsfs_link(core->volume, node, xtsfs_root(core->volume), "back", &st), -ENOENT);
	done(core, node);
}

static void test_refused(void **state)
{
	struct core *core = *state;
	struct xtsfs_node *node = make(core, false);
	struct stat st;

	assert_int_equal(xtsfs_link(core->volume, node, xtsfs_root(core->volume), "name", &st), -ENOENT);
	assert_int_equal(core_size(core, "name"), -ENOENT);
	done(core, node);
}

/* As when a mount is torn down while somebody lists: the sanitizers see whether it is given back. */
static void test_directory_left_open(void **state)
{
	struct core *core = *state;
	struct xtsfs_dirent dirent;
	struct xtsfs_dir *dirs[3];

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(xtsfs_opendir(core->volume, xtsfs_root(core->volume), &dirs[i]), 0);
		assert_int_equal(xtsfs_readdir(dirs[i], &dirent), 1);
	}
	xtsfs_closedir(dirs[1]);
	core_close(core);
	assert_int_equal(core_try_open(core, &params), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_linked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unlinked_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_left_open, set_up, tear_down),
	};

	xtsfs_log_init("test-core-tmpfile");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-tmpfile", tests, NULL, NULL);
}
