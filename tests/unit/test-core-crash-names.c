/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killed at every step of a change of names: after each prefix of the store's calls the volume shows the tree as it was
 * or as it was to be, every name in it decrypts, nothing that was there is lost, and new things can be made.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "base/log.h"
#include "format/ondisk.h"

#include <dirent.h>

#define LONG_A                                                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_B "b" LONG_A

static unsigned points;

struct tree {
	char text[8192]; /* one line for each object, sorted by the walk of names */
};

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe(struct core *core, const char *path, const struct stat *st, char *ret_line, size_t room)
{
	char target[XTSFS_SYMLINK_MAX + 1] = "", list[256] = "";
	uint8_t *data = NULL;
	ssize_t n = 0, x;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	if (S_ISLNK(st->st_mode))
		assert_int_equal(xtsfs_readlink(core->volume, node, target), 0);
	x = xtsfs_listxattr(core->volume, node, list, sizeof(list));
	assert_true(x >= 0);
	core_forget(core, node);
	if (S_ISREG(st->st_mode))
		n = core_try_read(core, path, &data);
	assert_true(n >= 0);
	snprintf(ret_line, room, "%s %o %.*s%s%s", path, st->st_mode & S_IFMT, (int)n, data ? (char *)data : "", target,
		 list);
	free(data);
}

/* Everything below @path, one line each. */
static size_t walk(struct core *core, const char *path, char **lines, size_t count)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	assert_int_equal(xtsfs_opendir(core->volume, node, &dir), 0);
	core_forget(core, node);
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		char child[1024], line[2048];
		struct stat st;

		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", entry.name);
		core_forget(core, core_node(core, child, &st, &r));
		assert_int_equal(r, 0);
		describe(core, child, &st, line, sizeof(line));
		lines[count] = strdup(line);
		assert_true(++count < 60);
		if (S_ISDIR(st.st_mode))
			count = walk(core, child, lines, count);
	}
	assert_int_equal(r, 0);
	xtsfs_closedir(dir);
	return count;
}

static struct tree tree_of(struct core *core)
{
	char *lines[64];
	size_t count = walk(core, "", lines, 0);
	struct tree tree = {""};

	qsort(lines, count, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < count; i++) {
		assert_true(strlen(tree.text) + strlen(lines[i]) + 2 < sizeof(tree.text));
		strcat(tree.text, lines[i]);
		strcat(tree.text, "\n");
		free(lines[i]);
	}
	return tree;
}

static void prepare(struct core *core)
{
	assert_int_equal(core_try_mkdir(core, "d"), 0);
	assert_int_equal(core_try_mkdir(core, "d/sub"), 0);
	assert_int_equal(core_try_mkdir(core, "empty"), 0);
	assert_int_equal(core_try_create(core, "d/f"), 0);
	assert_int_equal(core_try_write(core, "d/f", "one", 3, 0), 3);
	assert_int_equal(core_try_create(core, "g"), 0);
	assert_int_equal(core_try_write(core, "g", "two", 3, 0), 3);
	assert_int_equal(core_try_create(core, LONG_A), 0);
	assert_int_equal(core_try_write(core, LONG_A, "long", 4, 0), 4);
	assert_int_equal(core_try_mkdir(core, "d/" LONG_B), 0);
}

static int op_mkdir(struct core *core)
{
	return core_try_mkdir(core, "d/new");
}
static int op_mkdir_long(struct core *core)
{
	return core_try_mkdir(core, LONG_B);
}
static int op_rmdir(struct core *core)
{
	return core_try_rmdir(core, "empty");
}
static int op_rmdir_long(struct core *core)
{
	return core_try_rmdir(core, "d/" LONG_B);
}
static int op_create_long(struct core *core)
{
	return core_try_create(core, LONG_B);
}
static int op_unlink(struct core *core)
{
	return core_try_unlink(core, "g");
}
static int op_unlink_long(struct core *core)
{
	return core_try_unlink(core, LONG_A);
}
static int op_rename(struct core *core)
{
	return core_try_rename(core, "g", "d/g", 0);
}
static int op_rename_over(struct core *core)
{
	return core_try_rename(core, "g", "d/f", 0);
}
static int op_rename_long(struct core *core)
{
	return core_try_rename(core, LONG_A, "d/" LONG_A, 0);
}
static int op_rename_to_long(struct core *core)
{
	return core_try_rename(core, "g", LONG_B, 0);
}
static int op_rename_over_long(struct core *core)
{
	return core_try_rename(core, "g", LONG_A, 0);
}
static int op_exchange(struct core *core)
{
	return core_try_rename(core, "g", "d", RENAME_EXCHANGE);
}
static int op_exchange_long(struct core *core)
{
	return core_try_rename(core, LONG_A, "d/f", RENAME_EXCHANGE);
}
static int op_rename_directory(struct core *core)
{
	return core_try_rename(core, "d", "empty/d", 0);
}
static int op_link(struct core *core)
{
	return core_try_link(core, "g", LONG_B);
}
static int op_symlink(struct core *core)
{
	return core_try_symlink(core, "../target", LONG_B);
}
static int op_xattr(struct core *core)
{
	return core_try_setxattr(core, "g", "user.comment", "text");
}
/* A directory over an empty one: for an instant both have each other's name. */
static int op_rename_over_directory(struct core *core)
{
	return core_try_rename(core, "d", "empty", 0);
}

static const struct {
	const char *what;
	int (*op)(struct core *core);
	const char *between; /* a line that may stay for a while, or NULL */
} ops[] = {
	{"mkdir", op_mkdir, NULL},
	{"mkdir, long name", op_mkdir_long, NULL},
	{"rmdir", op_rmdir, NULL},
	{"rmdir, long name", op_rmdir_long, NULL},
	{"create, long name", op_create_long, NULL},
	{"unlink", op_unlink, NULL},
	{"unlink, long name", op_unlink_long, NULL},
	{"rename", op_rename, NULL},
	{"rename over", op_rename_over, NULL},
	{"rename, long name", op_rename_long, NULL},
	{"rename to a long name", op_rename_to_long, NULL},
	{"rename over a long name", op_rename_over_long, NULL},
	{"exchange", op_exchange, NULL},
	{"exchange, long name", op_exchange_long, NULL},
	{"rename of a directory", op_rename_directory, NULL},
	{"link", op_link, NULL},
	{"symlink", op_symlink, NULL},
	{"xattr", op_xattr, NULL},
	{"rename over a directory", op_rename_over_directory, "d 40000 \n"},
};

/* Without the line, if it is there. */
static struct tree without(struct tree tree, const char *line)
{
	char *at = line ? strstr(tree.text, line) : NULL;

	if (at)
		memmove(at, at + strlen(line), strlen(at + strlen(line)) + 1);
	return tree;
}

static void look(const struct core *like, struct xtsfs_store *store, const struct tree *old, const struct tree *new,
		 unsigned op, const char *call)
{
	struct core core = *like;
	struct tree now;

	points++;
	core.store = store;
	core.volume = NULL;
	core_open(&core);
	now = tree_of(&core);
	if (strcmp(now.text, old->text) != 0 && strcmp(now.text, new->text) != 0 &&
	    (!ops[op].between || strcmp(without(now, ops[op].between).text, new->text) != 0)) {
		print_error("%s, killed after %s:\n%s\nbefore:\n%s\nto be:\n%s\n", ops[op].what, call, now.text,
			    old->text, new->text);
		fail();
	}
	assert_int_equal(core_try_mkdir(&core, "after"), 0);
	assert_int_equal(core_try_create(&core, "after/" LONG_B), 0);
	assert_int_equal(core_try_rename(&core, "after/" LONG_B, "after/x", 0), 0);
	assert_int_equal(core_try_unlink(&core, "after/x"), 0);
	assert_int_equal(core_try_rmdir(&core, "after"), 0);
	core_close(&core);
	xtsfs_store_free(store);
}

static void test_every_step(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(ops); i++) {
		struct xtsfs_store *store, *replayed, *clone;
		struct tree old, new;
		struct core core;

		core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
		assert_int_equal(xtsfs_store_memory_new(&store), 0);
		core_format(&core, store);
		core_open(&core);
		prepare(&core);
		old = tree_of(&core);
		assert_int_equal(xtsfs_memory_clone(store, &replayed), 0);
		xtsfs_memory_record(store);
		assert_int_equal(ops[i].op(&core), 0);
		new = tree_of(&core);
		assert_string_not_equal(old.text, new.text);
		for (size_t call = 0; call < xtsfs_memory_calls(store); call++) {
			char text[512];

			xtsfs_memory_describe(store, call, text, sizeof(text));
			assert_int_equal(xtsfs_memory_replay(replayed, store, call, 0), 0);
			assert_int_equal(xtsfs_memory_clone(replayed, &clone), 0);
			look(&core, clone, &old, &new, i, text);
		}
		core_close(&core);
		core_fini(&core);
		xtsfs_store_free(replayed);
		xtsfs_store_free(store);
	}
	print_message("%u points\n", points);
}

/* Each call fails in turn: the tree is as before or as it was to be, and what the caller is told agrees with it. */
static void test_every_fault(void **state)
{
	unsigned fired = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(ops); i++) {
		for (unsigned nth = 1;; nth++) {
			struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_ANY, .nth = nth, .error = EIO};
			struct xtsfs_store *store, *faulty;
			struct tree old, now;
			struct core core;
			bool came;
			int r;

			core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
			assert_int_equal(xtsfs_store_memory_new(&store), 0);
			assert_int_equal(xtsfs_store_faulty_new(store, &faulty), 0);
			core_format(&core, faulty);
			core_open(&core);
			prepare(&core);
			old = tree_of(&core);
			xtsfs_faulty_arm(faulty, &fault);
			r = ops[i].op(&core);
			came = xtsfs_faulty_fired(faulty) > 0;
			xtsfs_faulty_arm(faulty, &(struct xtsfs_fault){0});
			fired += came;
			now = tree_of(&core);
			if (r != 0 && r != -EIO)
				fail_msg("%s, call %u: gave %d", ops[i].what, nth, r);
			if (r < 0 && strcmp(now.text, old.text) != 0)
				fail_msg("%s, call %u: failed, and yet:\n%s", ops[i].what, nth, now.text);
			if (r == 0 && strcmp(now.text, old.text) == 0)
				fail_msg("%s, call %u: nothing has happened", ops[i].what, nth);
			core_close(&core);
			core_open(&core);
			old = tree_of(&core);
			if (strcmp(now.text, old.text) != 0)
				fail_msg("%s, call %u: after opening again:\n%s", ops[i].what, nth, old.text);
			core_close(&core);
			core_fini(&core);
			xtsfs_store_free(faulty);
			xtsfs_store_free(store);
			if (!came)
				break;
		}
	}
	print_message("%u faults\n", fired);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step),
		cmocka_unit_test(test_every_fault),
	};

	xtsfs_log_init("test-core-crash-names");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-crash-names", tests, NULL, NULL);
}
