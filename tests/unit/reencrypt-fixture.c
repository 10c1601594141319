/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "reencrypt-fixture.h"

#include "core/internal.h"
#include "crypto/kdf.h"

#include <fcntl.h>

size_t prepared;

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All attributes, sorted by the way they add up. */
static unsigned long attributes(struct core *core, struct xtsfs_node *node)
{
	static char list[4096], value[4096];
	unsigned long sum = 0;
	ssize_t n = xtsfs_listxattr(core->volume, node, list, sizeof(list));

	assert_true(n >= 0);
	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		ssize_t bytes = xtsfs_getxattr(core->volume, node, name, value, sizeof(value));
		uint8_t hash[32];

		assert_true(bytes >= 0);
		memmove(value + strlen(name) + 1, value, (size_t)bytes);
		strcpy(value, name);
		assert_int_equal(xtsfs_sha256(value, strlen(name) + 1 + (size_t)bytes, hash), 0);
		sum += (unsigned long)hash[0] << 16 | (unsigned long)hash[1] << 8 | hash[2];
	}
	return sum;
}

/* @torn: a file may be refused with EIO; counted. */
static void describe(struct core *core, const char *path, const struct stat *st, bool times, unsigned *torn,
		     char *ret_line, size_t room)
{
	char target[XTSFS_SYMLINK_MAX + 1] = "";
	uint8_t *data = NULL, hash[32] = {0};
	unsigned long sum;
	ssize_t n = 0;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	if (S_ISLNK(st->st_mode))
		assert_int_equal(xtsfs_readlink(core->volume, node, target), 0);
	sum = attributes(core, node);
	core_forget(core, node);
	if (S_ISREG(st->st_mode))
		n = core_try_read(core, path, &data);
	if (n == -EIO && torn) {
		++*torn;
		snprintf(ret_line, room, "torn");
		return;
	}
	if (n < 0)
		fail_msg("%.40s: %zd", path, n);
	assert_int_equal(xtsfs_sha256(data ? data : (const uint8_t *)"", (size_t)n, hash), 0);
	free(data);
	snprintf(ret_line, room, "%.180s %o %lu %u/%u %s %zd %02x%02x%02x%02x %lx %lld", path, st->st_mode,
		 S_ISREG(st->st_mode) ? (unsigned long)st->st_nlink : 0, st->st_uid, st->st_gid, target, n, hash[0],
		 hash[1], hash[2], hash[3], sum, times ? (long long)st->st_mtim.tv_sec : 0);
}

static size_t walk(struct core *core, const char *path, bool times, unsigned *torn, char **lines, size_t count)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	assert_int_equal(xtsfs_opendir(core->volume, node, &dir), 0);
	core_forget(core, node);
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		char child[1024], line[ROOM / 8];
		struct stat st;

		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", entry.name);
		core_forget(core, core_node(core, child, &st, &r));
		assert_int_equal(r, 0);
		describe(core, child, &st, times, torn, line, sizeof(line));
		lines[count] = strdup(line);
		assert_true(++count < 60);
		if (S_ISDIR(st.st_mode))
			count = walk(core, child, times, torn, lines, count);
	}
	assert_int_equal(r, 0);
	assert_int_equal(xtsfs_dir_lost(dir), 0);
	xtsfs_closedir(dir);
	return count;
}

struct tree tree_of(struct core *core, bool times, unsigned *torn)
{
	char *lines[64];
	size_t count = walk(core, "", times, torn, lines, 0);
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

void expect_tree(struct core *core, const struct tree *expected, const char *when)
{
	struct tree now = tree_of(core, false, NULL);

	if (strcmp(now.text, expected->text) != 0) {
		print_error("%s:\n%s\nto be:\n%s\n", when, now.text, expected->text);
		fail();
	}
}

/* ---- a volume, and changes of it ---- */

static int set_attr(struct core *core, const char *path, const char *name, const char *value)
{
	return core_try_setxattr(core, path, name, value);
}

void write_pattern(struct core *core, const char *path, unsigned seed, size_t bytes, uint64_t offset)
{
	uint8_t *data = malloc(bytes);

	assert_non_null(data);
	core_pattern(seed, offset, data, bytes);
	assert_int_equal(core_try_write(core, path, data, bytes, offset), bytes);
	free(data);
}

void make(struct core *core, const char *path, unsigned seed, size_t bytes)
{
	assert_int_equal(core_try_create(core, path), 0);
	if (bytes)
		write_pattern(core, path, seed, bytes, 0);
}

static void set_times(struct core *core, const char *path, time_t s)
{
	const struct xtsfs_setattr set = {.times = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = s}}};
	struct stat st;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	assert_int_equal(xtsfs_setattr(core->volume, node, &set, &st), 0);
	core_forget(core, node);
}

static void prepare(struct core *core)
{
	static const char *const all[] = {"d/sub/x", "d/sub", "d/f", "d/h", "inline", "tail", "big", "one"};
	char name[251];

	assert_int_equal(core_try_mkdir(core, "d"), 0);
	assert_int_equal(core_try_mkdir(core, "d/sub"), 0);
	assert_int_equal(core_try_mkdir(core, "d/" LONG_B), 0);
	make(core, "empty", 0, 0);
	make(core, "inline", 1, 100);
	make(core, "d/sub/x", 2, 3953);
	make(core, "d/f", 3, 5000);
	make(core, "tail", 4, 2 * CORE_B + 4090);
	make(core, "one", 5, GROUP);
	make(core, LONG_A, 6, 10);
	/* Sparse, with a hole of whole groups, in five chunks. */
	make(core, "big", 7, 5000);
	assert_int_equal(core_try_truncate(core, "big", BIG), 0);
	write_pattern(core, "big", 8, 3000, GROUP - 1000);
	write_pattern(core, "big", 9, 9000, 3 * GROUP - 5000);
	write_pattern(core, "big", 10, 4000, BIG - 4000);
	assert_int_equal(core_try_link(core, "d/f", "d/h"), 0);
	assert_int_equal(core_try_link(core, "d/f", "d/sub/" LONG_B), 0);
	assert_int_equal(core_try_symlink(core, "where", "s"), 0);
	assert_int_equal(core_try_symlink(core, "../" LONG_A, "d/" LONG_A), 0);
	assert_int_equal(set_attr(core, "d/f", "user.one", "text"), 0);
	assert_int_equal(set_attr(core, "d", "user.two", "text of a directory"), 0);
	assert_int_equal(set_attr(core, "empty", "user.three", ""), 0);
	assert_int_equal(set_attr(core, "", "user.root", "r"), 0);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(name, "user.", 5);
	assert_int_equal(set_attr(core, "inline", name, "of a long name"), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
		set_times(core, all[i], 1000000 + i);
	set_times(core, "d", 2000000);
}

void change(struct core *core)
{
	assert_int_equal(core_try_create(core, "inline"), -EEXIST);
	assert_int_equal(core_try_mkdir(core, "d/sub"), -EEXIST);
	assert_int_equal(core_try_rename(core, "tail", "d/sub", RENAME_NOREPLACE), -EEXIST);
	write_pattern(core, "inline", 20, 50, 90);
	write_pattern(core, "d/sub/x", 21, 500, 3900); /* now in sectors */
	write_pattern(core, "d/h", 22, 3000, 4000);    /* and longer */
	assert_int_equal(core_try_truncate(core, "tail", 2 * CORE_B + 5), 0);
	write_pattern(core, "tail", 23, 10, 2 * CORE_B + 20);
	write_pattern(core, "big", 24, 6000, 2000);
	write_pattern(core, "big", 25, 6000, 2 * GROUP - 3000);
	write_pattern(core, "big", 26, 9000, BIG - 10);
	assert_int_equal(core_try_truncate(core, "one", 3000), 0); /* now inline */
	assert_int_equal(core_try_rename(core, LONG_A, "d/short", 0), 0);
	assert_int_equal(core_try_rename(core, "s", "d/sub", RENAME_EXCHANGE), 0);
	assert_int_equal(core_try_unlink(core, "d/f"), 0);
	assert_int_equal(core_try_rmdir(core, "d/" LONG_B), 0);
	assert_int_equal(core_try_mkdir(core, LONG_B), 0);
	make(core, LONG_B "/new", 27, 20000);
	assert_int_equal(set_attr(core, "d", "user.two", "other text"), 0);
	assert_int_equal(core_try_link(core, "d/" LONG_A, LONG_B "/link"), 0);
	assert_int_equal(core_try_truncate(core, "empty", 0), 0);
	write_pattern(core, "empty", 28, 5000, 0);
}

/* ---- the command, in short ---- */

struct core core_in(const struct core *like, struct xtsfs_store *store)
{
	const struct xtsfs_unlock unlock = {.keyfile = like->keyfile, .slot = -1};
	struct core core = *like;
	char problem[200];

	core.store = store;
	core.volume = NULL;
	core.key = NULL;
	assert_int_equal(xtsfs_conf_load(store, XTSFS_NAME_CONF, &core.conf, problem, sizeof(problem)), 0);
	assert_int_equal(xtsfs_conf_unlock(core.conf, &unlock, &core.key, NULL), 0);
	return core;
}

void core_out(struct core *core)
{
	assert_null(core->volume);
	xtsfs_conf_free(core->conf);
	xtsfs_secret_free(core->key);
}

int begin(struct core *core)
{
	xtsfs_auto_secret *slot_key = NULL;
	struct xtsfs_secret *old_key = NULL, *new_key = NULL;
	const struct xtsfs_unlock unlock = {.keyfile = core->keyfile, .slot = -1, .ret_slot_key = &slot_key};
	int slot, r = xtsfs_conf_unlock(core->conf, &unlock, &old_key, &slot);

	assert_int_equal(r, 0);
	r = xtsfs_reencrypt_begin(core->store, core->conf, old_key, slot, slot_key, &new_key);
	xtsfs_secret_free(old_key);
	if (r == 0) {
		xtsfs_secret_free(core->key);
		core->key = new_key;
	}
	return r;
}

void say_problem(void *data, const char *path, const char *what, int error)
{
	(void)data;
	print_error("%.60s, %s: %d\n", path, what, error);
}

static const struct xtsfs_reencrypt_options plain_options = {.problem = say_problem};

int complete(struct core *core)
{
	struct xtsfs_reencrypt_totals totals;
	struct xtsfs_conf *conf;
	char problem[200];
	int r = core->conf->config->reencrypting ? 0 : begin(core);

	if (r < 0)
		return r;
	core_open(core);
	core->volume->renew_groups = 1;
	r = xtsfs_reencrypt_run(core->volume, &plain_options, &totals);
	if (r == 0) {
		assert_int_equal(xtsfs_conf_load(core->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), 0);
		r = xtsfs_reencrypt_end(core->store, conf, core->key);
		xtsfs_conf_free(core->conf);
		core->conf = conf;
	}
	if (core_try_close(core) < 0 && r == 0)
		r = -EIO;
	return r;
}

struct xtsfs_store *clone_of(const struct xtsfs_store *store)
{
	struct xtsfs_store *clone;

	assert_int_equal(xtsfs_memory_clone(store, &clone), 0);
	return clone;
}

static struct tree changed_tree(const struct core *like, const struct xtsfs_store *base)
{
	struct xtsfs_store *store = clone_of(base);
	struct core core = core_in(like, store);
	struct tree tree;

	core_open(&core);
	change(&core);
	tree = tree_of(&core, false, NULL);
	core_close(&core);
	core_out(&core);
	xtsfs_store_free(store);
	return tree;
}

void rig_begin_with(struct rig *rig, enum xtsfs_integrity integrity, int (*doing)(struct core *core))
{
	struct core core;
	struct tree with_times, afterwards;

	core_init(&rig->core, integrity, 2);
	assert_int_equal(xtsfs_store_memory_new(&rig->recorded), 0);
	core_format(&rig->core, rig->recorded);
	core_open(&rig->core);
	prepare(&rig->core);
	core_close(&rig->core);
	core_open(&rig->core);
	rig->expected = (struct expected){.like = &rig->core, .before = tree_of(&rig->core, false, NULL)};
	with_times = tree_of(&rig->core, true, NULL);
	core_close(&rig->core);
	rig->base = clone_of(rig->recorded);
	rig->expected.after = changed_tree(&rig->core, rig->base);

	core = core_in(&rig->core, rig->recorded);
	prepared = 0;
	xtsfs_memory_record(rig->recorded);
	assert_int_equal(doing(&core), 0);
	core_out(&core);

	core = core_in(&rig->core, rig->recorded);
	assert_int_equal(core.conf->config->key_generation, 1);
	assert_memory_not_equal(core.key->data, rig->core.key->data, core.key->bytes);
	core_open(&core);
	afterwards = tree_of(&core, true, NULL);
	core_close(&core);
	assert_string_equal(afterwards.text, with_times.text); /* links, owners, modes, times of files */
	core_out(&core);
}

void rig_begin(struct rig *rig, enum xtsfs_integrity integrity)
{
	rig_begin_with(rig, integrity, complete);
}

void rig_end(struct rig *rig)
{
	core_fini(&rig->core);
	xtsfs_store_free(rig->base);
	xtsfs_store_free(rig->recorded);
}
