/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker as a library: damage of each kind by hand, in each integrity mode; what cannot be read; and repairs that
 * are cut off after every change they make.
 */
#include "unit.h"

#include "base/cleanup.h"
#include "core/conf.h"
#include "core/fs.h"
#include "core/fsck.h"
#include "core/volume.h"
#include "format/ondisk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a store that fails ---- */

static struct {
	const struct xtsfs_store_ops *real;
	struct xtsfs_store_ops ops;
	long changes_left;   /* before all changes fail; -1: never */
	uint64_t bad_offset; /* reads of it fail with EIO; 0: none */
} faulty;

static pthread_mutex_t faulty_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards changes_left while workers run */

static bool may_change(void)
{
	xtsfs_guard_mutex(&faulty_mutex);
	if (faulty.changes_left == 0)
		return false;
	if (faulty.changes_left > 0)
		faulty.changes_left--;
	return true;
}

static int faulty_open(struct xtsfs_store *s, int dir, const char *name, int flags, mode_t mode,
		       const struct xtsfs_cred *cred)
{
	if ((flags & O_CREAT) && !may_change())
		return -EIO;
	return faulty.real->open(s, dir, name, flags, mode, cred);
}

static ssize_t faulty_preadv(struct xtsfs_store *s, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	if (faulty.bad_offset && offset <= faulty.bad_offset && faulty.bad_offset < offset + iov->iov_len)
		return -EIO;
	return faulty.real->preadv(s, handle, iov, count, offset);
}

static ssize_t faulty_pwritev(struct xtsfs_store *s, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	return may_change() ? faulty.real->pwritev(s, handle, iov, count, offset) : -EIO;
}

static int faulty_truncate(struct xtsfs_store *s, int handle, uint64_t bytes)
{
	return may_change() ? faulty.real->truncate(s, handle, bytes) : -EIO;
}

static int faulty_mkdir(struct xtsfs_store *s, int dir, const char *name, mode_t mode, const struct xtsfs_cred *cred)
{
	return may_change() ? faulty.real->mkdir(s, dir, name, mode, cred) : -EIO;
}

static int faulty_rename(struct xtsfs_store *s, int old_dir, const char *old_name, int new_dir, const char *new_name,
			 unsigned flags)
{
	return may_change() ? faulty.real->rename(s, old_dir, old_name, new_dir, new_name, flags) : -EIO;
}

static int faulty_unlink(struct xtsfs_store *s, int dir, const char *name, int flags)
{
	return may_change() ? faulty.real->unlink(s, dir, name, flags) : -EIO;
}

static int faulty_removexattr(struct xtsfs_store *s, int dir, const char *name, const char *attr)
{
	return may_change() ? faulty.real->removexattr(s, dir, name, attr) : -EIO;
}

static struct xtsfs_store *open_store(const char *path)
{
	struct xtsfs_store *store;

	assert_int_equal(xtsfs_store_posix_new(path, &store), 0);
	faulty.real = store->ops;
	faulty.ops = *store->ops;
	faulty.ops.open = faulty_open;
	faulty.ops.preadv = faulty_preadv;
	faulty.ops.pwritev = faulty_pwritev;
	faulty.ops.truncate = faulty_truncate;
	faulty.ops.mkdir = faulty_mkdir;
	faulty.ops.rename = faulty_rename;
	faulty.ops.unlink = faulty_unlink;
	faulty.ops.removexattr = faulty_removexattr;
	store->ops = &faulty.ops;
	return store;
}

/* ---- a volume ---- */

static char top[PATH_MAX / 4], base[PATH_MAX / 2];
static struct xtsfs_conf *conf;
static struct xtsfs_secret *key;

static struct xtsfs_volume *open_volume(struct xtsfs_store *store, bool read_only, bool repair)
{
	struct xtsfs_volume_params params = {
		.read_only = read_only, .repair = repair, .threads = 2, .engine = &xtsfs_engine_user, .fds = 64};
	struct xtsfs_volume *volume;
	char problem[512];
	int r = xtsfs_volume_open(store, conf->config, key, &params, &volume, problem, sizeof(problem));

	if (r < 0)
		print_message("%s\n", problem);
	return r < 0 ? NULL : volume;
}

static void make_volume(enum xtsfs_integrity integrity)
{
	char command[PATH_MAX * 2];
	struct xtsfs_store *store;

	snprintf(command, sizeof(command), "rm -rf '%s' && mkdir '%s'", base, base);
	assert_int_equal(system(command), 0);
	assert_int_equal(xtsfs_conf_new(integrity, 1, &conf), 0);
	assert_int_equal(xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &key), 0);
	memset(key->data, 7, key->bytes);
	faulty.changes_left = -1;
	faulty.bad_offset = 0;
	store = open_store(base);
	assert_int_equal(xtsfs_volume_format(store, conf->config, key), 0);
	xtsfs_store_free(store);
}

static void free_volume(void)
{
	conf = xtsfs_conf_free(conf);
	key = xtsfs_secret_free(key);
}

static void content(const char *name, void *data, size_t bytes)
{
	uint64_t seed = 1;

	for (; *name; name++)
		seed = seed * 131 + (unsigned char)*name;
	unit_random_fill(&seed, data, bytes);
}

static void write_file(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, size_t bytes)
{
	uint8_t *data = malloc(bytes);
	struct xtsfs_node *node;
	struct stat st;

	content(name, data, bytes);
	assert_int_equal(xtsfs_create(volume, dir, name, 0600, true, NULL, &node, &st), 0);
	assert_int_equal(xtsfs_open(volume, node, true), 0);
	assert_int_equal(xtsfs_write(volume, node, data, bytes, 0), (ssize_t)bytes);
	xtsfs_release(volume, node, true);
	xtsfs_forget(volume, node, 1);
	free(data);
}

/* Does the file have its content, but in [bad, bad + bad_bytes)? */
static void verify_file(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, size_t bytes, size_t bad,
			size_t bad_bytes)
{
	uint8_t *data = malloc(bytes + 1), *want = malloc(bytes);
	struct xtsfs_node *node;
	struct stat st;

	content(name, want, bytes);
	assert_int_equal(xtsfs_lookup(volume, dir, name, &node, &st), 0);
	assert_int_equal(xtsfs_read(volume, node, data, bytes + 1, 0), (ssize_t)bytes);
	memcpy(want + bad, data + bad, bad_bytes);
	assert_memory_equal(data, want, bytes);
	xtsfs_forget(volume, node, 1);
	free(data);
	free(want);
}

/* ---- running ---- */

struct found {
	char codes[64][32];
	enum xtsfs_fsck_outcome outcomes[64];
	unsigned count;
};

static void on_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	struct found *found = data;

	assert_non_null(finding->path);
	assert_true(finding->path[0] == '/');
	assert_true(found->count < 64);
	if (finding->severity == XTSFS_FSCK_INFO)
		return;
	snprintf(found->codes[found->count], sizeof(found->codes[0]), "%s", finding->code);
	found->outcomes[found->count++] = finding->outcome;
}

static struct xtsfs_fsck_totals run(const char *path, bool repair, enum xtsfs_fsck_damage damage, struct found *found)
{
	struct xtsfs_fsck_options options = {
		.repair = repair, .damage = damage, .content_keys = 1, .finding = on_finding, .data = found};
	struct xtsfs_fsck_totals totals = {.left = 1};
	struct xtsfs_store *store = open_store(path);
	struct xtsfs_volume *volume = open_volume(store, !repair, true);

	memset(found, 0, sizeof(*found));
	if (volume) {
		int r = xtsfs_fsck_run(volume, &options, &totals);

		assert_true(r == 0 || faulty.changes_left == 0);
		(void)xtsfs_volume_close(volume);
	} else {
		assert_int_equal(faulty.changes_left, 0);
	}
	xtsfs_store_free(store);
	return totals;
}

static bool has(const struct found *found, const char *code, enum xtsfs_fsck_outcome outcome)
{
	for (unsigned i = 0; i < found->count; i++)
		if (strcmp(found->codes[i], code) == 0 && found->outcomes[i] == outcome)
			return true;
	return false;
}

static void assert_clean(const char *path)
{
	struct found found;
	struct xtsfs_fsck_totals totals = run(path, false, XTSFS_FSCK_DAMAGE_REPORT, &found);

	for (unsigned i = 0; i < found.count; i++)
		print_message("not clean: %s\n", found.codes[i]);
	assert_int_equal(totals.problems, 0);
	assert_int_equal(totals.cancelled, 0);
}

/* The backing file or directory of a path. */
static void backing_path(const char *dir_name, const char *name, char *ret_path, size_t room)
{
	struct xtsfs_store *store = open_store(base);
	struct xtsfs_volume *volume = open_volume(store, true, true);
	struct xtsfs_node *dir = xtsfs_root(volume), *sub = NULL;
	struct xtsfs_dirent entry;
	char path[PATH_MAX / 2];
	struct xtsfs_dir *d;
	struct stat st;

	snprintf(path, sizeof(path), "%s", base);
	for (int level = 0; level < 2; level++) {
		const char *wanted = level == 0 ? dir_name : name;
		size_t length = strlen(path);
		int r;

		if (!wanted)
			continue;
		assert_int_equal(xtsfs_opendir(volume, dir, &d), 0);
		while ((r = xtsfs_readdir(d, &entry)) == 1 && strcmp(entry.name, wanted) != 0)
			;
		assert_int_equal(r, 1);
		snprintf(path + length, sizeof(path) - length, "/%s", entry.backing_name);
		if (level == 0) {
			assert_int_equal(xtsfs_dir_lookup(d, &sub, &st), 0);
			dir = sub;
		}
		xtsfs_closedir(d);
	}
	if (sub)
		xtsfs_forget(volume, sub, 1);
	xtsfs_volume_close(volume);
	xtsfs_store_free(store);
	snprintf(ret_path, room, "%s", path);
}

static void flip(const char *path, uint64_t offset)
{
	uint8_t byte;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

#define BIG ((size_t)300 * 4096 + 100)

static void fill_volume(void)
{
	struct xtsfs_store *store = open_store(base);
	struct xtsfs_volume *volume = open_volume(store, false, false);
	struct xtsfs_node *root = xtsfs_root(volume), *dir, *node;
	char long_name[201];
	struct stat st;

	memset(long_name, 'n', 200);
	long_name[200] = '\0';
	write_file(volume, root, "big", BIG);
	write_file(volume, root, "tail", 9000);
	write_file(volume, root, "inline", 1000);
	assert_int_equal(xtsfs_mkdir(volume, root, "dir", 0700, NULL, &dir, &st), 0);
	write_file(volume, dir, "file", 5000);
	write_file(volume, dir, long_name, 100);
	assert_int_equal(xtsfs_lookup(volume, dir, "file", &node, &st), 0);
	assert_int_equal(xtsfs_setxattr(volume, node, "user.a", "value", 5, 0), 0);
	xtsfs_forget(volume, node, 1);
	xtsfs_forget(volume, dir, 1);
	assert_int_equal(xtsfs_volume_close(volume), 0);
	xtsfs_store_free(store);
}

static void verify_volume(size_t big_bad, size_t big_bad_bytes)
{
	struct xtsfs_store *store = open_store(base);
	struct xtsfs_volume *volume = open_volume(store, true, false);
	struct xtsfs_node *root, *dir;
	struct stat st;

	assert_non_null(volume);
	root = xtsfs_root(volume);
	verify_file(volume, root, "big", BIG, big_bad, big_bad_bytes);
	verify_file(volume, root, "tail", 9000, 0, 0);
	verify_file(volume, root, "inline", 1000, 0, 0);
	assert_int_equal(xtsfs_lookup(volume, root, "dir", &dir, &st), 0);
	verify_file(volume, dir, "file", 5000, 0, 0);
	xtsfs_forget(volume, dir, 1);
	xtsfs_volume_close(volume);
	xtsfs_store_free(store);
}

/* ---- tests ---- */

static void test_clean(void **state)
{
	(void)state;
	for (int integrity = 0; integrity < XTSFS_INTEGRITY__COUNT; integrity++) {
		make_volume((enum xtsfs_integrity)integrity);
		assert_clean(base);
		fill_volume();
		assert_clean(base);
		free_volume();
	}
}

static void test_sectors(void **state)
{
	struct xtsfs_fsck_totals totals;
	char path[PATH_MAX];
	struct found found;

	(void)state;
	for (int zero = 0; zero < 2; zero++) {
		make_volume(XTSFS_INTEGRITY_AES_GMAC);
		fill_volume();
		backing_path(NULL, "big", path, sizeof(path));
		flip(path, 3 * 4096);
		totals = run(base, true, XTSFS_FSCK_DAMAGE_REPORT, &found);
		assert_int_equal(totals.left, 1);
		assert_true(has(&found, "sector-bad-tag", XTSFS_FSCK_LEFT));
		totals = run(base, true, zero ? XTSFS_FSCK_DAMAGE_ZERO : XTSFS_FSCK_DAMAGE_SALVAGE, &found);
		assert_int_equal(totals.repaired, 1);
		assert_true(has(&found, "sector-bad-tag", XTSFS_FSCK_REPAIRED));
		assert_clean(base);
		verify_volume(2 * 4096, 4096);

		flip(path, 125 * 4096 + 300); /* a meta block */
		totals = run(base, true, zero ? XTSFS_FSCK_DAMAGE_ZERO : XTSFS_FSCK_DAMAGE_SALVAGE, &found);
		assert_true(has(&found, "meta-bad", XTSFS_FSCK_REPAIRED));
		assert_clean(base);
		verify_volume(2 * 4096, zero ? 246 * 4096 : 4096);
		free_volume();
	}
}

static void test_unreadable(void **state)
{
	struct xtsfs_fsck_totals totals;
	struct found found;

	(void)state;
	make_volume(XTSFS_INTEGRITY_HMAC_SHA256);
	fill_volume();
	faulty.bad_offset = 200 * 4096 + 10; /* only the big file has that */
	totals = run(base, false, XTSFS_FSCK_DAMAGE_REPORT, &found);
	assert_int_equal(totals.io_errors, 1);
	assert_int_equal(totals.problems, 1);
	assert_true(has(&found, "sector-unreadable", XTSFS_FSCK_LEFT));
	totals = run(base, true, XTSFS_FSCK_DAMAGE_ZERO, &found);
	assert_true(has(&found, "sector-unreadable", XTSFS_FSCK_REPAIRED));
	faulty.bad_offset = 0;
	assert_clean(base);
	verify_volume(198 * 4096, 4096);
	free_volume();
}

static const volatile sig_atomic_t always = 1;

static void test_cancel(void **state)
{
	struct found found = {0};
	struct xtsfs_fsck_options options = {
		.content_keys = 1, .cancel = &always, .finding = on_finding, .data = &found};
	struct xtsfs_fsck_totals totals;
	struct xtsfs_store *store;
	struct xtsfs_volume *volume;

	(void)state;
	make_volume(XTSFS_INTEGRITY_NONE);
	fill_volume();
	store = open_store(base);
	volume = open_volume(store, true, true);
	assert_int_equal(xtsfs_fsck_run(volume, &options, &totals), 0);
	options.repair = true;
	assert_int_equal(xtsfs_fsck_run(volume, &options, &totals), -EROFS);
	xtsfs_volume_close(volume);
	xtsfs_store_free(store);
	free_volume();
}

/* Everything at once that a repair can settle. */
static void damage_all(void)
{
	char path[PATH_MAX], other[PATH_MAX + 64];
	int fd;

	backing_path("dir", NULL, path, sizeof(path));
	snprintf(other, sizeof(other), "%s/xtsfs.tmp.AAAAAAAAAAAAAAAAAAAAAA", path);
	assert_int_equal(mkdir(other, 0700), 0);
	snprintf(other, sizeof(other), "%s/foreign.file", path);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	snprintf(other, sizeof(other), "for f in '%s'/*.name; do echo x >\"$f\"; done", path);
	assert_int_equal(system(other), 0);
	backing_path(NULL, "big", other, sizeof(other));
	flip(other, 3 * 4096);
	backing_path(NULL, "tail", other, sizeof(other));
	assert_int_equal(truncate(other, 16384), 0); /* longer from outside */
	backing_path(NULL, "inline", other, sizeof(other));
	assert_int_equal(truncate(other, 10000), 0);
	snprintf(other, sizeof(other), "%s/xtsfs.dirid", path);
	assert_int_equal(unlink(other), 0);
	snprintf(other, sizeof(other), "%s/xtsfs.dirid", base);
	assert_int_equal(chmod(other, 0600), 0);
	flip(other, 20); /* the root's: a parent */
}

/* A repair that stops after any change is completed by the next one. */
static void test_cut_off(void **state)
{
	char command[PATH_MAX * 2];
	struct xtsfs_fsck_totals totals;
	struct found found;
	long changes;

	(void)state;
	make_volume(XTSFS_INTEGRITY_AES_GMAC);
	fill_volume();
	damage_all();
	snprintf(command, sizeof(command), "rm -rf '%s.bad' && cp -a '%s' '%s.bad'", base, base, base);
	assert_int_equal(system(command), 0);
	for (changes = 0; changes < 500; changes++) {
		snprintf(command, sizeof(command), "rm -rf '%s' && cp -a '%s.bad' '%s'", base, base, base);
		assert_int_equal(system(command), 0);
		faulty.changes_left = changes;
		totals = run(base, true, XTSFS_FSCK_DAMAGE_SALVAGE, &found);
		if (faulty.changes_left > 0)
			break; /* it was not cut off */
		faulty.changes_left = -1;
		totals = run(base, true, XTSFS_FSCK_DAMAGE_SALVAGE, &found);
		if (totals.left)
			for (unsigned i = 0; i < found.count; i++)
				print_message("after %ld changes: %s %u\n", changes, found.codes[i], found.outcomes[i]);
		assert_int_equal(totals.left, 0);
		assert_clean(base);
		verify_volume(2 * 4096, 4096);
	}
	assert_true(changes > 12 && changes < 500);
	assert_int_equal(totals.left, 0);
	free_volume();
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(top, sizeof(top), "%.500s/xtsfs-fsck-XXXXXX", tmp ? tmp : "/var/tmp");
	if (!mkdtemp(top))
		return -1;
	snprintf(base, sizeof(base), "%s/volume", top);
	return 0;
}

static int teardown(void **state)
{
	char command[PATH_MAX * 2];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),  cmocka_unit_test(test_sectors), cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_cut_off),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
