/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads on the same files and on files of their own, for the thread sanitizer and for torn sectors.
 *
 *   core-threads [--threads N] [--rounds N] [--integrity NAME] [--seed N]
 *
 * Writes are whole sectors and each sector is full of one stamp (writer, round, sector), so a sector that is read must
 * hold one stamp that somebody wrote there, or zeros, or the one and then zeros where a truncation cut it: anything
 * else is a torn write. On a directory, since a store in memory has a mutex around everything and would hide races.
 * Meanwhile others append, truncate, punch, sync, look up, list, rename, make and remove.
 */
#undef NDEBUG
#include "core-fixture.h"

#include "base/log.h"

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

struct stamp {
	uint32_t magic, writer, round, sector;
};
#define STAMP_MAGIC 0x70617473U

static struct core core;
static struct xtsfs_node *shared[SHARED];
static unsigned thread_count = 4, rounds = 150;
static uint64_t seed = 1;

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

static void *work(void *argument)
{
	unsigned writer = (unsigned)(uintptr_t)argument;
	uint64_t rng = (seed * 100 + writer + 1) * 0x9e3779b97f4a7c15ULL;
	uint8_t *buffer = malloc(RUN_MOST * CORE_B);

	assert(buffer);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned what = (unsigned)(next(&rng) % 16);

		if (what < 6)
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
	pthread_t threads[MOST];
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
	for (unsigned i = 0; i < thread_count; i++)
		assert(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
	for (unsigned i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SHARED; i++)
		core_forget(&core, shared[i]);
	check_shared();
	core_close(&core);
	core_open(&core);
	check_shared();
	core_close(&core);
	core_fini(&core);
	xtsfs_store_free(store);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	assert(system(command) == 0);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {{"threads", 1, NULL, 't'},
						     {"rounds", 1, NULL, 'r'},
						     {"integrity", 1, NULL, 'i'},
						     {"seed", 1, NULL, 's'},
						     {0}};
	enum xtsfs_integrity integrity = XTSFS_INTEGRITY__COUNT;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 't')
			thread_count = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'r')
			rounds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
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
