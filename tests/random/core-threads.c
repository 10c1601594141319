/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads on the same files and on files of their own, for the thread sanitizer and for torn sectors.
 *
 *   core-threads [--threads N] [--rounds N] [--integrity NAME] [--seed N] [--reencrypt]
 *
 * Writes are whole sectors and each sector is full of one stamp (writer, round, sector), so a sector that is read must
 * hold one stamp that somebody wrote there, or zeros, or the one and then zeros where a truncation cut it: anything
 * else is a torn write. On a directory, since a store in memory has a mutex around everything and would hide races.
 * Meanwhile others append, truncate, punch, sync, look up, list, rename, make and remove; with --reencrypt, the volume
 * is re-encrypted, and files and links that were there before are moved to and fro.
 */
#undef NDEBUG
#include "core-fixture.h"

#include "base/log.h"
#include "core/internal.h"
#include "core/reencrypt.h"

#include <assert.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTORS	 300U /* of a shared file: three groups */
#define SHARED	 2U
#define MOST	 16U
#define RUN_MOST 20U
#define OLD	 40U /* files and links from before a re-encryption */

struct stamp {
	uint32_t magic, writer, round, sector;
};
#define STAMP_MAGIC 0x70617473U

static struct core core;
static struct xtsfs_node *shared[SHARED];
static unsigned thread_count = 4, rounds = 150;
static uint64_t seed = 1;
static bool reencrypts;

static uint64_t next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 2685821657736338717ULL >> 11;
}

static void fill(uint8_t *sector, uint32_t writer, uint32_t round, uint32_t sector_no)
{
	const struct stamp stamp = {STAMP_MAGIC, writer, round, sector_no};

	for (size_t at = 0; at < CORE_B; at += sizeof(stamp))
		memcpy(sector + at, &stamp, sizeof(stamp));
}

static void check_sector(const uint8_t *sector, size_t bytes, uint32_t sector_no)
{
	static const struct stamp zeros;
	struct stamp first, stamp;
	bool cut = false; /* a truncation, and the file was made longer again */

	memcpy(&first, sector, sizeof(first));
	for (size_t at = 0; at + sizeof(stamp) <= bytes; at += sizeof(stamp)) {
		memcpy(&stamp, sector + at, sizeof(stamp));
		cut |= memcmp(&stamp, &zeros, sizeof(stamp)) == 0;
		if (memcmp(&stamp, cut ? &zeros : &first, sizeof(stamp)) != 0) {
			fprintf(stderr, "sector %u is torn at byte %zu: writer %u round %u, then writer %u round %u\n",
				sector_no, at, first.writer, first.round, stamp.writer, stamp.round);
			abort();
		}
	}
	assert(first.magic == 0 || (first.magic == STAMP_MAGIC && first.sector == sector_no && first.round < rounds));
}

static void write_shared(uint64_t *rng, uint8_t *buffer, uint32_t writer, uint32_t round)
{
	unsigned first = (unsigned)(next(rng) % SECTORS), count = 1 + (unsigned)(next(rng) % RUN_MOST);
	ssize_t n;

	if (next(rng) % 4 == 0) /* where groups meet */
		first = 124 * (unsigned)(1 + next(rng) % 2) - 2;
	if (first + count > SECTORS)
		count = SECTORS - first;
	for (unsigned i = 0; i < count; i++)
		fill(buffer + i * CORE_B, writer, round, first + i);
	n = xtsfs_write(core.volume, shared[next(rng) % SHARED], buffer, count * CORE_B, (uint64_t)first * CORE_B);
	assert(n == (ssize_t)(count * CORE_B));
}

static void read_shared(uint64_t *rng, uint8_t *buffer)
{
	unsigned first = (unsigned)(next(rng) % SECTORS), count = 1 + (unsigned)(next(rng) % RUN_MOST);
	ssize_t n = xtsfs_read(core.volume, shared[next(rng) % SHARED], buffer, count * CORE_B,
			       (uint64_t)first * CORE_B);

	assert(n >= 0);
	for (size_t i = 0; i * CORE_B < (size_t)n; i++)
		check_sector(buffer + i * CORE_B, (size_t)n - i * CORE_B < CORE_B ? (size_t)n - i * CORE_B : CORE_B,
			     first + (unsigned)i);
}

/* Lengths and holes of shared file 1; file 0 keeps its length, so that its writes run side by side. */
static void reshape(uint64_t *rng)
{
	static const struct timespec omit = {.tv_nsec = UTIME_OMIT};
	struct xtsfs_setattr set = {.size_set = true, .times = {omit, omit}};
	uint64_t sector = next(rng) % SECTORS;
	struct stat st;
	int r;

	if (next(rng) % 2) {
		set.plain_bytes = sector * CORE_B + (next(rng) % 3 ? 0 : next(rng) % 256 * 16);
		r = xtsfs_setattr(core.volume, shared[1], &set, &st);
	} else {
		r = xtsfs_fallocate(core.volume, shared[next(rng) % SHARED], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    sector * CORE_B, (1 + next(rng) % 5) * CORE_B);
	}
	assert(r == 0);
}

static void own_file(uint64_t *rng, unsigned writer, unsigned round)
{
	char path[32], other[32];
	uint8_t data[6000], *back;
	size_t bytes = 1 + next(rng) % sizeof(data);
	ssize_t n;

	snprintf(path, sizeof(path), "dir/own%u", writer);
	snprintf(other, sizeof(other), "moved%u", writer);
	core_pattern(writer * 1000 + round, 0, data, bytes);
	assert(core_try_create(&core, path) == 0);
	assert(core_try_write(&core, path, data, bytes, 0) == (ssize_t)bytes);
	assert(core_try_rename(&core, path, other, 0) == 0);
	n = core_try_read(&core, other, &back);
	assert(n == (ssize_t)bytes && memcmp(back, data, bytes) == 0);
	free(back);
	assert(core_try_unlink(&core, other) == 0);
}

static void list(void)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	int r;

	assert(xtsfs_opendir(core.volume, xtsfs_root(core.volume), &dir) == 0);
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		struct xtsfs_node *node;
		struct stat st;

		if (entry.name[0] == '.')
			continue;
		r = xtsfs_dir_lookup(dir, &node, &st);
		assert(r == 0 || r == -ENOENT || r == -ESTALE);
		if (r == 0)
			core_forget(&core, node);
	}
	assert(r == 0);
	xtsfs_closedir(dir);
}

/* Opened and closed, so that state comes and goes under the others. */
static void reopen(uint64_t *rng)
{
	struct xtsfs_node *node;
	struct stat st;
	bool for_write = next(rng) % 2;
	int r;

	node = core_node(&core, next(rng) % 2 ? "shared0" : "shared1", &st, &r);
	assert(r == 0 && xtsfs_open(core.volume, node, for_write) == 0);
	assert(xtsfs_getattr(core.volume, node, &st) == 0);
	assert(!for_write || xtsfs_has_writers(core.volume, node));
	xtsfs_release(core.volume, node, for_write);
	core_forget(&core, node);
}

static void old_path(unsigned number, bool moved, char ret_path[40])
{
	snprintf(ret_path, 40, "%s%s%u", moved ? "dir/" : "", number % 4 == 3 ? "link" : "old", number);
}

static void make_old(void)
{
	for (unsigned i = 0; i < OLD; i++) {
		size_t bytes = i % 3 ? 50 + i : 5000 + i * 1000;
		uint8_t *data = malloc(bytes);
		char path[40];

		assert(data);
		old_path(i, i % 2, path);
		core_pattern(i, 0, data, bytes);
		if (i % 4 == 3) {
			assert(core_try_symlink(&core, "target", path) == 0);
		} else {
			assert(core_try_create(&core, path) == 0);
			assert(core_try_write(&core, path, data, bytes, 0) == (ssize_t)bytes);
			assert(core_try_setxattr(&core, path, "user.number", path + strlen(path) - 1) == 0);
		}
		free(data);
	}
}

/* At either name, or on its way. */
static bool check_old(unsigned number, bool moved)
{
	uint8_t pattern[100], *data;
	char path[40], target[XTSFS_SYMLINK_MAX + 1];
	ssize_t n;

	old_path(number, moved, path);
	if (number % 4 == 3) {
		int r;
		struct xtsfs_node *node = core_node(&core, path, NULL, &r);

		if (r == 0)
			r = xtsfs_readlink(core.volume, node, target);
		core_forget(&core, node);
		assert(r == 0 || r == -ENOENT || r == -ESTALE);
		assert(r < 0 || strcmp(target, "target") == 0);
		return r == 0;
	}
	n = core_try_read(&core, path, &data);
	assert(n > 50 || n == -ENOENT || n == -ESTALE);
	if (n < 0)
		return false;
	core_pattern(number, 0, pattern, 50);
	assert(memcmp(data, pattern, 50) == 0);
	free(data);
	return true;
}

static void move_old(uint64_t *rng)
{
	unsigned number = (unsigned)(next(rng) % OLD);
	bool moved = next(rng) % 2;
	char from[40], to[40];
	int r;

	old_path(number, moved, from);
	old_path(number, !moved, to);
	switch (next(rng) % 4) {
	case 0:
		(void)check_old(number, moved);
		break;
	case 1:
		r = number % 4 == 3 ? 0 : core_try_setxattr(&core, from, "user.number", "changed");
		assert(r == 0 || r == -ENOENT || r == -ESTALE);
		break;
	default:
		r = core_try_rename(&core, from, to, 0);
		assert(r == 0 || r == -ENOENT);
	}
}

/* The key is changed while nobody is at work. */
static void begin_reencryption(void)
{
	const struct xtsfs_unlock unlock = {.keyfile = core.keyfile, .slot = -1};
	struct xtsfs_secret *key, *slot_key = NULL;
	struct xtsfs_unlock with = unlock;
	struct xtsfs_conf *conf;
	char problem[200];
	int slot;

	with.ret_slot_key = &slot_key;
	assert(xtsfs_conf_load(core.store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)) == 0);
	assert(xtsfs_conf_unlock(conf, &with, &key, &slot) == 0);
	xtsfs_secret_free(core.key);
	assert(xtsfs_volume_lock(core.volume) == 0);
	assert(xtsfs_reencrypt_begin(core.store, conf, key, slot, slot_key, &core.key) == 0);
	assert(xtsfs_volume_unlock(core.volume, conf->config, core.key) == 0);
	xtsfs_secret_free(key);
	xtsfs_secret_free(slot_key);
	xtsfs_conf_free(core.conf);
	core.conf = conf;
	core.volume->renew_groups = 1;
}

static void tell_problem(void *data, const char *path, const char *what, int error)
{
	(void)data;
	fprintf(stderr, "%s, %s: %d\n", path, what, error);
	abort();
}

static void *reencrypt(void *argument)
{
	const struct xtsfs_reencrypt_options options = {.problem = tell_problem};
	struct xtsfs_reencrypt_totals totals;

	(void)argument;
	assert(xtsfs_reencrypt_run(core.volume, &options, &totals) == 0);
	return NULL;
}

static void end_reencryption(void)
{
	struct xtsfs_conf *conf;
	char problem[200];

	assert(xtsfs_conf_load(core.store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)) == 0);
	assert(xtsfs_reencrypt_end(core.store, conf, core.key) == 0);
	xtsfs_conf_free(core.conf);
	core.conf = conf;
}

static void check_all_old(void)
{
	for (unsigned i = 0; i < OLD; i++)
		assert(check_old(i, false) != check_old(i, true));
}

static void *work(void *argument)
{
	unsigned writer = (unsigned)(uintptr_t)argument;
	uint64_t rng = (seed * 100 + writer + 1) * 0x9e3779b97f4a7c15ULL;
	uint8_t *buffer = malloc(RUN_MOST * CORE_B);

	assert(buffer);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned what = (unsigned)(next(&rng) % 16);

		if (reencrypts && next(&rng) % 3 == 0)
			move_old(&rng);
		else if (what < 6)
			write_shared(&rng, buffer, writer, round);
		else if (what < 10)
			read_shared(&rng, buffer);
		else if (what < 11)
			reshape(&rng);
		else if (what < 12)
			assert(xtsfs_fsync(core.volume, shared[next(&rng) % SHARED], next(&rng) % 2) == 0);
		else if (what < 14)
			own_file(&rng, writer, round);
		else if (what < 15)
			list();
		else
			reopen(&rng);
	}
	free(buffer);
	return NULL;
}

static void check_shared(void)
{
	static const char *const paths[SHARED] = {"shared0", "shared1"};

	for (unsigned i = 0; i < SHARED; i++) {
		uint8_t *data;
		ssize_t n = core_try_read(&core, paths[i], &data);

		assert(n >= 0);
		for (size_t s = 0; s * CORE_B < (size_t)n; s++)
			check_sector(data + s * CORE_B,
				     (size_t)n - s * CORE_B < CORE_B ? (size_t)n - s * CORE_B : CORE_B, (uint32_t)s);
		free(data);
	}
}

static void one_run(enum xtsfs_integrity integrity)
{
	char directory[] = "/tmp/xtsfs-threads-XXXXXX", command[64];
	pthread_t threads[MOST + 1];
	struct xtsfs_store *store;
	uint8_t zero = 0;
	int r;

	assert(mkdtemp(directory) && xtsfs_store_posix_new(directory, &store) == 0);
	core_init(&core, integrity, 1);
	core_format(&core, store);
	core_open(&core);
	assert(core_try_mkdir(&core, "dir") == 0);
	assert(core_try_create(&core, "shared0") == 0 && core_try_create(&core, "shared1") == 0);
	assert(core_try_write(&core, "shared0", &zero, 1, (uint64_t)SECTORS * CORE_B - 1) == 1);
	for (unsigned i = 0; i < SHARED; i++)
		shared[i] = core_node(&core, i ? "shared1" : "shared0", NULL, &r);
	if (reencrypts) {
		make_old();
		begin_reencryption();
	}
	for (unsigned i = 0; i < thread_count; i++)
		assert(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
	if (reencrypts)
		assert(pthread_create(&threads[thread_count], NULL, reencrypt, NULL) == 0);
	for (unsigned i = 0; i < thread_count + reencrypts; i++)
		pthread_join(threads[i], NULL);
	if (reencrypts) {
		end_reencryption();
		check_all_old();
	}
	for (unsigned i = 0; i < SHARED; i++)
		core_forget(&core, shared[i]);
	check_shared();
	core_close(&core);
	core_open(&core);
	check_shared();
	if (reencrypts)
		check_all_old();
	core_close(&core);
	core_fini(&core);
	xtsfs_store_free(store);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	assert(system(command) == 0);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {{"threads", 1, NULL, 't'},	  {"rounds", 1, NULL, 'r'},
						     {"integrity", 1, NULL, 'i'}, {"seed", 1, NULL, 's'},
						     {"reencrypt", 0, NULL, 'e'}, {0}};
	enum xtsfs_integrity integrity = XTSFS_INTEGRITY__COUNT;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 't')
			thread_count = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'r')
			rounds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'e')
			reencrypts = true;
		else if (c != 'i' || xtsfs_integrity_parse(optarg, &integrity) < 0)
			return 2;
	}
	if (thread_count > MOST)
		return 2;
	xtsfs_log_init("core-threads");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	for (unsigned i = 0; i < 3; i++)
		if (integrity == XTSFS_INTEGRITY__COUNT || integrity == core_integrities[i])
			one_run(core_integrities[i]);
	return 0;
}
