/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-encryption, killed at every step, and losing power: after each prefix of the store's calls, and each page of a
 * write, the volume opens with the same secret and shows the same tree; it can be used, changed and checked; and being
 * begun again, it comes to its end, with the same tree or the changed one, all of it under the new key.
 */
#undef NDEBUG
#include "unit.h"

#include "recover.h"

#include "base/log.h"
#include "core/file.h"
#include "core/fsck.h"
#include "core/internal.h"
#include "core/reencrypt.h"
#include "crypto/kdf.h"

#include <fcntl.h>

#define LONG_A                                                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_B "b" LONG_A
#define GROUP  (124ULL * CORE_B)
#define BIG    (4 * GROUP + 5000)
#define ROOM   16384U

static unsigned long points, ends;
static size_t prepared; /* calls that only make what is looked at */

struct tree {
	char text[ROOM]; /* one line for each object, sorted */
};

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

static struct tree tree_of(struct core *core, bool times, unsigned *torn)
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

static void expect_tree(struct core *core, const struct tree *expected, const char *when)
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

static void write_pattern(struct core *core, const char *path, unsigned seed, size_t bytes, uint64_t offset)
{
	uint8_t *data = malloc(bytes);

	assert_non_null(data);
	core_pattern(seed, offset, data, bytes);
	assert_int_equal(core_try_write(core, path, data, bytes, offset), bytes);
	free(data);
}

static void make(struct core *core, const char *path, unsigned seed, size_t bytes)
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

/* As somebody on the mount might, meanwhile. */
static void change(struct core *core)
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

/* The same volume as it is in another store, opened by the same keyfile. */
static struct core core_in(const struct core *like, struct xtsfs_store *store)
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

static void core_out(struct core *core)
{
	assert_null(core->volume);
	xtsfs_conf_free(core->conf);
	xtsfs_secret_free(core->key);
}

static int begin(struct core *core)
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

static void say_problem(void *data, const char *path, const char *what, int error)
{
	(void)data;
	print_error("%.60s, %s: %d\n", path, what, error);
}

static const struct xtsfs_reencrypt_options plain_options = {.problem = say_problem};

/* From wherever it is to its end. The volume is closed before and afterwards. */
static int complete(struct core *core)
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
		r = xtsfs_reencrypt_run(core->volume, &plain_options, &totals);
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

struct expected {
	const struct core *like;
	struct tree before, after; /* the changes */
	const char *call;
	unsigned long number;
};

static struct xtsfs_store *clone_of(const struct xtsfs_store *store)
{
	struct xtsfs_store *clone;

	assert_int_equal(xtsfs_memory_clone(store, &clone), 0);
	return clone;
}

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

struct rig {
	struct core core; /* as it was made */
	struct xtsfs_store *base, *recorded;
	struct expected expected;
};

static void rig_begin_with(struct rig *rig, enum xtsfs_integrity integrity, int (*doing)(struct core *core))
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

static void rig_begin(struct rig *rig, enum xtsfs_integrity integrity)
{
	rig_begin_with(rig, integrity, complete);
}

static void rig_end(struct rig *rig)
{
	core_fini(&rig->core);
	xtsfs_store_free(rig->base);
	xtsfs_store_free(rig->recorded);
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

static int count_points(void **state)
{
	(void)state;
	print_message("%lu states looked at, %lu brought to their end\n", points, ends);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step),  cmocka_unit_test(test_power),   cmocka_unit_test(test_every_fault),
		cmocka_unit_test(test_damage),	    cmocka_unit_test(test_old_key), cmocka_unit_test(test_meanwhile),
		cmocka_unit_test(test_synced_meanwhile), cmocka_unit_test(test_every_step_mounted),
	};

	xtsfs_log_init("test-core-reencrypt");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-reencrypt", tests, NULL, count_points);
}
