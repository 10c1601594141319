/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killed at every step of a change of names, attributes or keys: after each prefix of the store's calls the volume
 * shows the tree as it was or as it was to be, every name in it decrypts, nothing that was there is lost, the same keys
 * open it or those that were to, and new things can be made. fsck finds debris at most, also after it was killed
 * itself.
 */
#undef NDEBUG
#include "unit.h"

#include "recover.h"

#include "base/log.h"
#include "format/ondisk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#define LONG_A                                                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_B "b" LONG_A

static unsigned points, repair_stops;
/* Further keyfiles than the one every volume has: the first opens it, too. */
static struct xtsfs_secret *others[2];

struct tree {
	char text[8192]; /* one line for each object, sorted by the walk of names */
};

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe(struct core *core, const char *path, const struct stat *st, char *ret_line, size_t room)
{
	char target[XTSFS_SYMLINK_MAX + 1] = "", list[256] = "", value[64];
	uint8_t *data = NULL;
	ssize_t n = 0, x, value_bytes = 0;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	if (S_ISLNK(st->st_mode))
		assert_int_equal(xtsfs_readlink(core->volume, node, target), 0);
	x = xtsfs_listxattr(core->volume, node, list, sizeof(list));
	assert_true(x >= 0);
	if (x > 0) { /* none has more than one */
		value_bytes = xtsfs_getxattr(core->volume, node, list, value, sizeof(value));
		assert_true(value_bytes >= 0);
	}
	core_forget(core, node);
	if (S_ISREG(st->st_mode))
		n = core_try_read(core, path, &data);
	assert_true(n >= 0);
	snprintf(ret_line, room, "%s %o %.*s%s%s%.*s", path, st->st_mode, (int)n, data ? (char *)data : "", target,
		 list, (int)value_bytes, value);
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

static struct xtsfs_conf *load_conf(struct core *core)
{
	struct xtsfs_conf *conf;
	char problem[200];

	assert_int_equal(xtsfs_conf_load(core->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), 0);
	return conf;
}

static bool opens(const struct xtsfs_conf *conf, const struct xtsfs_secret *keyfile)
{
	const struct xtsfs_unlock unlock = {.keyfile = keyfile, .slot = -1};
	struct xtsfs_secret *key = NULL;
	int slot, r = xtsfs_conf_unlock(conf, &unlock, &key, &slot);

	assert_true(r == 0 || r == -EKEYREJECTED);
	xtsfs_secret_free(key);
	return r == 0;
}

/* At any instant the second copy is missing or the same: what does not open the one does not open the other. */
static void check_copy(struct core *core, const struct xtsfs_conf *conf)
{
	struct xtsfs_conf *copy;
	char problem[200];
	int r = xtsfs_conf_load(core->store, XTSFS_NAME_CONF_COPY, &copy, problem, sizeof(problem));

	if (r == -ENOENT)
		return;
	assert_int_equal(r, 0);
	assert_int_equal(copy->text_bytes, conf->text_bytes);
	assert_memory_equal(copy->text, conf->text, conf->text_bytes);
	xtsfs_conf_free(copy);
}

static char *describe_keys(struct core *core)
{
	struct xtsfs_conf *conf = load_conf(core);
	char line[32];

	check_copy(core, conf);

	snprintf(line, sizeof(line), "opened by%s%s%s", opens(conf, core->keyfile) ? " 0" : "",
		 opens(conf, others[0]) ? " 1" : "", opens(conf, others[1]) ? " 2" : "");
	xtsfs_conf_free(conf);
	return strdup(line);
}

static struct tree tree_of(struct core *core)
{
	char *lines[64];
	size_t count = walk(core, "", lines, 0);
	struct tree tree = {""};

	lines[count++] = describe_keys(core);

	qsort(lines, count, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < count; i++) {
		assert_true(strlen(tree.text) + strlen(lines[i]) + 2 < sizeof(tree.text));
		strcat(tree.text, lines[i]);
		strcat(tree.text, "\n");
		free(lines[i]);
	}
	return tree;
}

static int add_slot(struct core *core, struct xtsfs_conf *conf, const struct xtsfs_secret *keyfile)
{
	return xtsfs_conf_add_slot(conf, core->key, &(struct xtsfs_unlock){.keyfile = keyfile, .slot = -1}, NULL, "",
				   NULL);
}

static void prepare(struct core *core)
{
	struct xtsfs_conf *conf = load_conf(core);

	assert_int_equal(add_slot(core, conf, others[0]), 0);
	assert_int_equal(xtsfs_conf_save(core->store, conf, core->key, false), 0);
	xtsfs_conf_free(conf);
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
	assert_int_equal(core_try_link(core, "g", "d/h"), 0);
	assert_int_equal(core_try_symlink(core, "where", "s"), 0);
	assert_int_equal(core_try_setxattr(core, "d/f", "user.old", "old text"), 0);
}

static int op_mkdir(struct core *core)
{
	return core_try_mkdir(core, "d/new");
}
static int op_mkdir_long(struct core *core)
{
	return core_try_mkdir(core, LONG_B);
}
static int op_create(struct core *core)
{
	return core_try_create(core, "new");
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
	return core_try_unlink(core, "d/f");
}
static int op_unlink_link(struct core *core)
{
	return core_try_unlink(core, "g");
}
static int op_unlink_symlink(struct core *core)
{
	return core_try_unlink(core, "s");
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
static int op_link_short(struct core *core)
{
	return core_try_link(core, LONG_A, "d/new");
}
static int op_symlink_short(struct core *core)
{
	return core_try_symlink(core, "../target", "d/new");
}
static int op_rename_symlink(struct core *core)
{
	return core_try_rename(core, "s", LONG_A, 0);
}
static int op_symlink(struct core *core)
{
	return core_try_symlink(core, "../target", LONG_B);
}
static int op_xattr(struct core *core)
{
	return core_try_setxattr(core, "g", "user.comment", "text");
}
static int op_xattr_again(struct core *core)
{
	return core_try_setxattr(core, "d/f", "user.old", "other text");
}
static int op_remove_xattr(struct core *core)
{
	int r;
	struct xtsfs_node *node = core_node(core, "d/f", NULL, &r);

	r = r < 0 ? r : xtsfs_removexattr(core->volume, node, "user.old");
	core_forget(core, node);
	return r;
}
static int op_chmod(struct core *core)
{
	const struct xtsfs_setattr set = {
		.mode_set = true, .mode = 0751, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	struct stat st;
	int r;
	struct xtsfs_node *node = core_node(core, "g", NULL, &r);

	r = r < 0 ? r : xtsfs_setattr(core->volume, node, &set, &st);
	core_forget(core, node);
	return r;
}

/* Of keys: as xtsfsctl does them, beside the mount. */
static int change_keys(struct core *core, int remove, const struct xtsfs_secret *add)
{
	struct xtsfs_conf *conf;
	char problem[200];
	int r = xtsfs_conf_load(core->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem));

	if (r < 0)
		return r;
	if (add)
		r = add_slot(core, conf, add);
	if (r == 0 && remove >= 0)
		r = xtsfs_conf_remove_slot(conf, (unsigned)remove);
	if (r == 0)
		r = xtsfs_conf_save(core->store, conf, core->key, false);
	xtsfs_conf_free(conf);
	return r;
}
static int op_slot_add(struct core *core)
{
	return change_keys(core, -1, others[1]);
}
static int op_slot_remove(struct core *core)
{
	return change_keys(core, 1, NULL);
}
static int op_passwd(struct core *core)
{
	return change_keys(core, 0, others[1]);
}
/* The header as it was made, put back. */
static int op_header_restore(struct core *core)
{
	return xtsfs_conf_save(core->store, core->conf, core->key, false);
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
	bool late;	     /* an error may also be of what comes after the change: a stat, making it durable */
} ops[] = {
	{"create", op_create, NULL, false},
	{"unlink of one name of two", op_unlink_link, NULL, false},
	{"unlink of a symbolic link", op_unlink_symlink, NULL, false},
	{"link, short name", op_link_short, NULL, false},
	{"symlink, short name", op_symlink_short, NULL, false},
	{"rename of a symbolic link over a file", op_rename_symlink, NULL, false},
	{"xattr, again", op_xattr_again, NULL, false},
	{"removing an xattr", op_remove_xattr, NULL, false},
	{"chmod", op_chmod, NULL, true},
	{"slot add", op_slot_add, NULL, true},
	{"slot remove", op_slot_remove, NULL, true},
	{"slot change", op_passwd, NULL, true},
	{"header restore", op_header_restore, NULL, true},
	{"mkdir", op_mkdir, NULL, false},
	{"mkdir, long name", op_mkdir_long, NULL, false},
	{"rmdir", op_rmdir, NULL, false},
	{"rmdir, long name", op_rmdir_long, NULL, false},
	{"create, long name", op_create_long, NULL, false},
	{"unlink", op_unlink, NULL, false},
	{"unlink, long name", op_unlink_long, NULL, false},
	{"rename", op_rename, NULL, false},
	{"rename over", op_rename_over, NULL, false},
	{"rename, long name", op_rename_long, NULL, false},
	{"rename to a long name", op_rename_to_long, NULL, false},
	{"rename over a long name", op_rename_over_long, NULL, false},
	{"exchange", op_exchange, NULL, false},
	{"exchange, long name", op_exchange_long, NULL, false},
	{"rename of a directory", op_rename_directory, NULL, false},
	{"link", op_link, NULL, false},
	{"symlink", op_symlink, NULL, false},
	{"xattr", op_xattr, NULL, false},
	{"rename over a directory", op_rename_over_directory, "d 40755 \n", false},
};

/* Without the line, if it is there. */
static struct tree without(struct tree tree, const char *line)
{
	char *at = line ? strstr(tree.text, line) : NULL;

	if (at)
		memmove(at, at + strlen(line), strlen(at + strlen(line)) + 1);
	return tree;
}

struct stop {
	const struct core *like;
	const struct tree *old, *new;
	unsigned op;
	const char *call;
};

static int look(void *data, struct xtsfs_store *store)
{
	const struct stop *stop = data;
	struct core core = *stop->like;
	const char *between = ops[stop->op].between;
	struct tree now;

	points++;
	core.store = store;
	core.volume = NULL;
	core_open(&core);
	now = tree_of(&core);
	if (strcmp(now.text, stop->old->text) != 0 && strcmp(now.text, stop->new->text) != 0 &&
	    (!between || strcmp(without(now, between).text, stop->new->text) != 0)) {
		print_error("%s, killed after %s:\n%s\nbefore:\n%s\nto be:\n%s\n", ops[stop->op].what, stop->call,
			    now.text, stop->old->text, stop->new->text);
		fail();
	}
	assert_int_equal(core_try_mkdir(&core, "after"), 0);
	assert_int_equal(core_try_create(&core, "after/" LONG_B), 0);
	assert_int_equal(core_try_rename(&core, "after/" LONG_B, "after/x", 0), 0);
	assert_int_equal(core_try_unlink(&core, "after/x"), 0);
	assert_int_equal(core_try_rmdir(&core, "after"), 0);
	core_close(&core);
	xtsfs_store_free(store);
	return 0;
}

static void play(unsigned op, enum xtsfs_integrity integrity)
{
	struct xtsfs_store *store, *replayed, *clone;
	struct tree old, new;
	struct core core;

	core_init(&core, integrity, 1);
	assert_int_equal(xtsfs_store_memory_new(&store), 0);
	core_format(&core, store);
	core_open(&core);
	prepare(&core);
	old = tree_of(&core);
	assert_int_equal(xtsfs_memory_clone(store, &replayed), 0);
	xtsfs_memory_record(store);
	assert_int_equal(ops[op].op(&core), 0);
	new = tree_of(&core);
	assert_string_not_equal(old.text, new.text);
	for (size_t call = 0; call < xtsfs_memory_calls(store); call++) {
		char text[512];
		struct stop stop = {.like = &core, .old = &old, .new = &new, .op = op, .call = text};
		struct recovery recovery = {.like = &core, .every = 1, .look = look, .data = &stop};

		xtsfs_memory_describe(store, call, text, sizeof(text));
		assert_int_equal(xtsfs_memory_replay(replayed, store, call, 0), 0);
		assert_int_equal(xtsfs_memory_clone(replayed, &clone), 0);
		(void)look(&stop, clone);
		if (recover(&recovery, replayed) < 0)
			fail_msg("%s, killed after %s: %s", ops[op].what, text, recovery.why);
		repair_stops += (unsigned)recovery.stops;
	}
	core_close(&core);
	core_fini(&core);
	xtsfs_store_free(replayed);
	xtsfs_store_free(store);
}

static void test_every_step(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned op = 0; op < ARRAY_COUNT(ops); op++)
			play(op, core_integrities[i]);
	print_message("%zu scripts, %u states looked at, %u of them after a killed repair\n", ARRAY_COUNT(ops), points,
		      repair_stops);
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
			char why[256];
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
			if (r < 0 && !ops[i].late && strcmp(now.text, old.text) != 0)
				fail_msg("%s, call %u: failed, and yet:\n%s", ops[i].what, nth, now.text);
			if (r == 0 && strcmp(now.text, old.text) == 0)
				fail_msg("%s, call %u: nothing has happened", ops[i].what, nth);
			core_close(&core);
			core_open(&core);
			old = tree_of(&core);
			if (strcmp(now.text, old.text) != 0)
				fail_msg("%s, call %u: after opening again:\n%s", ops[i].what, nth, old.text);
			core_close(&core);
			if (settle(&core, store, why, sizeof(why)) < 0)
				fail_msg("%s, call %u: %s", ops[i].what, nth, why);
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

	for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
		if (xtsfs_secret_new(XTSFS_KEYFILE_MIN_BYTES, &others[i]) < 0)
			return 1;
		memset(others[i]->data, 'l' + (int)i, others[i]->bytes);
	}
	xtsfs_log_init("test-core-crash-names");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-crash-names", tests, NULL, NULL);
}
