/* SPDX-License-Identifier: Apache-2.0 */
/* Paths between plain and backing, and what belongs to a file. */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/path.h"

#include <stdlib.h>
#include <sys/xattr.h>

#define LONG_NAME                                                                                                      \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static int set_up(void **state)
{
	static struct core core;
	struct xtsfs_store *store;

	core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
	assert_int_equal(xtsfs_store_memory_new(&store), 0);
	core_format(&core, store);
	core_open(&core);
	assert_int_equal(core_try_mkdir(&core, "dir"), 0);
	assert_int_equal(core_try_mkdir(&core, "dir/" LONG_NAME), 0);
	assert_int_equal(core_try_create(&core, "dir/" LONG_NAME "/file"), 0);
	assert_int_equal(core_try_symlink(&core, "target", "dir/link"), 0);
	*state = &core;
	return 0;
}

static int tear_down(void **state)
{
	struct core *core = *state;
	struct xtsfs_store *store = core->store;

	core_close(core);
	core_fini(core);
	xtsfs_store_free(store);
	return 0;
}

static char *to_backing(struct core *core, const char *path)
{
	char *backing = NULL;

	assert_int_equal(xtsfs_path_to_backing(core->volume, path, &backing), 0);
	return backing;
}

struct told {
	char *paths[32];
	unsigned count;
	int answer;
};

static int tell(void *data, const char *path)
{
	struct told *told = data;

	assert_true(told->count < 32);
	told->paths[told->count++] = strdup(path);
	return told->answer;
}

static void forget(struct told *told)
{
	while (told->count > 0)
		free(told->paths[--told->count]);
}

/* Every path stands behind the directory it is in, and each belongs to something on the way. */
static void test_belongings(void **state)
{
	struct core *core = *state;
	char *dir = to_backing(core, "dir"), *deep = to_backing(core, "dir/" LONG_NAME),
	     *file = to_backing(core, "dir/" LONG_NAME "/file");
	const char *wanted[8] = {"xtsfs.conf", "xtsfs.dirid", "xtsfs.unclean", dir, NULL, NULL, deep};
	struct told told = {0};
	char dir_id[512], name[512], deep_id[512], *plain;

	snprintf(dir_id, sizeof(dir_id), "%s/xtsfs.dirid", dir);
	snprintf(name, sizeof(name), "%s.name", deep);
	snprintf(deep_id, sizeof(deep_id), "%s/xtsfs.dirid", deep);
	wanted[4] = dir_id;
	wanted[5] = name;
	wanted[7] = deep_id;
	assert_int_equal(xtsfs_path_belongings(core->volume, "/dir//" LONG_NAME "/file", tell, &told), 0);
	assert_int_equal(told.count, 9);
	for (unsigned i = 0; i < 8; i++)
		assert_string_equal(told.paths[i], wanted[i]);
	assert_string_equal(told.paths[8], file);

	/* And back: what is xtsfs' own belongs to the directory it is in, or to the entry it names. */
	for (unsigned i = 0; i < told.count; i++) {
		static const char *const owners[] = {
			".", ".", ".", "dir", "dir", "dir/" LONG_NAME, "dir/" LONG_NAME, "dir/" LONG_NAME};

		assert_int_equal(xtsfs_path_to_plain(core->volume, told.paths[i], true, &plain), 0);
		assert_string_equal(plain, i < 8 ? owners[i] : "dir/" LONG_NAME "/file");
		free(plain);
	}
	assert_int_equal(xtsfs_path_to_plain(core->volume, dir_id, false, &plain), -EINVAL);
	assert_int_equal(xtsfs_path_to_plain(core->volume, name, false, &plain), -EINVAL);
	assert_int_equal(xtsfs_path_to_plain(core->volume, "xtsfs.lost+found", true, &plain), -EINVAL);
	assert_int_equal(xtsfs_path_to_plain(core->volume, "xtsfs.conf/x", true, &plain), -EINVAL);
	forget(&told);

	/* A directory comes with its id; what is not there yet without. */
	assert_int_equal(xtsfs_path_belongings(core->volume, "dir", tell, &told), 0);
	assert_int_equal(told.count, 5);
	assert_string_equal(told.paths[4], dir_id);
	forget(&told);
	assert_int_equal(xtsfs_path_belongings(core->volume, "dir/none", tell, &told), 0);
	assert_int_equal(told.count, 6);
	forget(&told);
	assert_int_equal(xtsfs_path_belongings(core->volume, "none/none", tell, &told), -ENOENT);
	forget(&told);
	told.answer = -EPIPE;
	assert_int_equal(xtsfs_path_belongings(core->volume, "dir", tell, &told), -EPIPE);
	assert_int_equal(told.count, 1);
	forget(&told);
	free(dir);
	free(deep);
	free(file);
}

static void assert_attribute(struct core *core, const char *path, const char *wanted)
{
	char value[1024];
	struct stat st;
	int error;
	struct xtsfs_node *node = core_node(core, path, &st, &error);
	ssize_t n;

	assert_non_null(node);
	n = xtsfs_getxattr(core->volume, node, XTSFS_XATTR_PATH, value, sizeof(value));
	assert_int_equal(n, strlen(wanted));
	assert_memory_equal(value, wanted, (size_t)n);
	assert_int_equal(xtsfs_getxattr(core->volume, node, XTSFS_XATTR_PATH, NULL, 0), n);
	if (n > 1)
		assert_int_equal(xtsfs_getxattr(core->volume, node, XTSFS_XATTR_PATH, value, (size_t)n - 1), -ERANGE);
	assert_int_equal(xtsfs_listxattr(core->volume, node, value, sizeof(value)), 0);
	assert_int_equal(xtsfs_setxattr(core->volume, node, XTSFS_XATTR_PATH, "x", 1, 0), -EOPNOTSUPP);
	assert_int_equal(xtsfs_setxattr(core->volume, node, XTSFS_XATTR_PATH, "x", 1, XATTR_REPLACE), -EOPNOTSUPP);
	assert_int_equal(xtsfs_removexattr(core->volume, node, XTSFS_XATTR_PATH), -EOPNOTSUPP);
	core_forget(core, node);
}

static void test_attribute(void **state)
{
	static const char *const paths[] = {"", "dir", "dir/link", "dir/" LONG_NAME "/file"};
	struct core *core = *state;
	struct xtsfs_node *node;
	struct stat st;
	char value[64];
	int error;

	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *backing = to_backing(core, paths[i]);

		assert_attribute(core, paths[i], backing);
		free(backing);
	}
	/* It follows the name, to another one of the same file, and goes with the last. */
	assert_int_equal(core_try_link(core, "dir/" LONG_NAME "/file", "second"), 0);
	node = core_node(core, "second", &st, &error);
	assert_non_null(node);
	assert_int_equal(core_try_unlink(core, "dir/" LONG_NAME "/file"), 0);
	for (unsigned i = 0; i < 2; i++) {
		char *backing = to_backing(core, i ? "third" : "second");

		if (i)
			assert_int_equal(core_try_rename(core, "second", "third", 0), 0);
		assert_attribute(core, i ? "third" : "second", backing);
		free(backing);
	}
	assert_int_equal(core_try_unlink(core, "third"), 0);
	assert_int_equal(xtsfs_getxattr(core->volume, node, XTSFS_XATTR_PATH, value, sizeof(value)), -ENODATA);
	core_forget(core, node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_belongings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attribute, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
