/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overwritten sectors that wait in memory (core/waiting.h), where their commit fails: for want of a descriptor that can
 * write, or half-way and then again. A sync that could not commit says so; readers see what was written; and whenever
 * power is lost, each sector is one of those written, the newest after a sync that said it was made. And the mtime that
 * the backing file has meanwhile. And the memory that they wait in.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/internal.h"

#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define BYTES  (125U * CORE_B + 900U) /* two groups */
#define OTHERS 6U

static struct core core;
static struct xtsfs_store *inner, *base;
static struct xtsfs_node *node, *others[OTHERS]; /* referenced, so that descriptors of theirs stay */
static uint8_t version[4][BYTES + 3000];	 /* the oldest first */
static size_t size[4];
static unsigned versions;

/* What the file holds from now on, for whoever asks the volume. */
static uint8_t *next_version(void)
{
	assert_true(versions < ARRAY_COUNT(version));
	if (versions) {
		memcpy(version[versions], version[versions - 1], sizeof(version[0]));
		size[versions] = size[versions - 1];
	}
	return version[versions++];
}

static void begin(enum xtsfs_integrity integrity, size_t waiting_bytes)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 3, .waiting_bytes = waiting_bytes};
	struct xtsfs_store *faulty;
	char name[2] = "0";
	int error;

	core_init(&core, integrity, 1);
	assert_int_equal(xtsfs_store_memory_new(&inner), 0);
	assert_int_equal(xtsfs_store_faulty_new(inner, &faulty), 0);
	core_format(&core, faulty);
	assert_int_equal(core_try_open(&core, &params), 0);
	for (; name[0] < (char)('0' + OTHERS); name[0]++) {
		assert_int_equal(core_try_create(&core, name), 0);
		assert_int_equal(core_try_write(&core, name, name, 1, 0), 1);
	}
	versions = 0;
	size[0] = BYTES;
	core_pattern(1, 0, next_version(), BYTES);
	assert_int_equal(core_try_create(&core, "f"), 0);
	assert_int_equal(core_try_write(&core, "f", version[0], BYTES, 0), BYTES);
	assert_int_equal(core_try_fsync(&core, "f"), 0);
	assert_int_equal(xtsfs_memory_clone(inner, &base), 0);
	xtsfs_memory_record(inner);
	for (unsigned i = 0; i < OTHERS; i++) {
		others[i] = core_node(&core, (const char[2]){(char)('0' + i)}, NULL, &error);
		assert_non_null(others[i]);
	}
	node = core_node(&core, "f", NULL, &error);
	assert_non_null(node);
	assert_int_equal(xtsfs_open(core.volume, node, true), 0);
}

static void end(void)
{
	struct xtsfs_store *faulty = core.store;

	xtsfs_release(core.volume, node, true);
	core_forget(&core, node);
	for (unsigned i = 0; i < OTHERS; i++)
		core_forget(&core, others[i]);
	core_close(&core);
	core_fini(&core);
	xtsfs_store_free(faulty);
	xtsfs_store_free(inner);
	xtsfs_store_free(base);
}

static void write_part(uint64_t seed, size_t bytes, size_t offset)
{
	uint8_t *data = version[versions - 1];

	core_pattern(seed, offset, data + offset, bytes);
	assert_int_equal(xtsfs_write(core.volume, node, data + offset, bytes, offset), bytes);
	if (offset + bytes > size[versions - 1])
		size[versions - 1] = offset + bytes;
}

static void assert_reads_newest(struct core *any)
{
	uint8_t *data = NULL;
	size_t bytes = size[versions - 1];

	assert_int_equal(core_try_read(any, "f", &data), bytes);
	assert_memory_equal(data, version[versions - 1], bytes);
	free(data);
}

static bool is_of_one(const uint8_t *data, size_t at, size_t bytes, unsigned from)
{
	for (unsigned v = from; v < versions; v++)
		if (memcmp(data + at, version[v] + at, bytes) == 0)
			return true;
	return false;
}

/* Power is lost after @until calls: each sector is as in one of the versions from @from on. */
static void lose_power(size_t until, unsigned from, uint64_t *rng)
{
	struct core any = core;
	uint8_t *data = NULL;
	ssize_t n;

	any.volume = NULL;
	assert_int_equal(xtsfs_memory_clone(base, &any.store), 0);
	assert_int_equal(xtsfs_memory_power_cut(any.store, inner, until, rng), 0);
	core_open(&any);
	n = core_try_read(&any, "f", &data);
	if (n < (ssize_t)size[from])
		fail_msg("power lost after call %zu: reading gives %zd", until, n);
	for (size_t at = 0; at < BYTES; at += CORE_B)
		if (!is_of_one(data, at, BYTES - at < CORE_B ? BYTES - at : CORE_B, from))
			fail_msg("power lost after call %zu: byte %zu and behind is of no version", until, at);
	free(data);
	core_close(&any);
	xtsfs_store_free(any.store);
}

static void lose_power_anywhere(void)
{
	uint64_t rng = 99;

	for (size_t until = 1; until <= xtsfs_memory_calls(inner); until++)
		for (unsigned i = 0; i < 4; i++)
			lose_power(until, 0, &rng);
}

static void assert_durable(void)
{
	uint64_t rng = 4711;

	for (unsigned i = 0; i < 12; i++)
		lose_power(xtsfs_memory_calls(inner), versions - 1, &rng);
}

static int sync_with_fault(const struct xtsfs_fault *fault, bool *ret_fired)
{
	int r;

	xtsfs_faulty_arm(core.store, fault);
	r = xtsfs_fsync(core.volume, node, false);
	*ret_fired = xtsfs_faulty_fired(core.store) > 0;
	xtsfs_faulty_arm(core.store, &(struct xtsfs_fault){0});
	return r;
}

/* ---- no descriptor ---- */

/* Others are used, so that the file has none in the cache. */
static void use_others(void)
{
	for (unsigned i = 0; i < OTHERS; i++) {
		const char name[2] = {(char)('0' + i)};
		uint8_t *data = NULL;

		assert_int_equal(core_try_read(&core, name, &data), 1);
		free(data);
	}
}

/* Returns how many of the syncs with a failed open said that they were made. */
static unsigned sync_without_descriptors(void)
{
	struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_OPEN, .nth = 1, .error = ENFILE, .forever = true};
	unsigned made = 0, failed = 0;
	bool fired = true;

	for (; fired; fault.nth++) {
		int r;

		use_others();
		r = sync_with_fault(&fault, &fired);
		if (r == 0) {
			assert_durable();
			made += fired;
		} else {
			assert_int_equal(r, -ENFILE);
			assert_true(fired);
			failed++;
		}
		assert_reads_newest(&core);
	}
	assert_true(failed > 0);
	return made;
}

/* Buffers of sectors that were committed serve the next ones, and go when nobody has needed them for a while. */
static void test_buffers_are_used_again(void **state)
{
	const size_t sectors = BYTES / XTSFS_BLOCK_BYTES;
	const struct xtsfs_sector_pool *pool;

	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	pool = &core.volume->sector_pool;
	assert_int_equal(pool->count, 0);
	for (unsigned i = 0; i < 2; i++) {
		(void)next_version();
		write_part(2 + i, sectors * CORE_B, 0);
		assert_int_equal(pool->count, 0);
		assert_int_equal(xtsfs_fsync(core.volume, node, false), 0);
		assert_int_equal(pool->count, sectors);
	}
	(void)next_version();
	write_part(4, CORE_B, 0);
	assert_int_equal(pool->count, sectors - 1);
	assert_int_equal(xtsfs_commit_old(core.volume, 1000), 0); /* all were needed since the volume was opened */
	assert_int_equal(pool->count, sectors - 1);
	assert_int_equal(xtsfs_commit_old(core.volume, 1000), 0);
	assert_int_equal(pool->count, 0);
	assert_reads_newest(&core);
	end();
}

static void test_sync_of_what_waits(void **state)
{
	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	(void)next_version();
	write_part(2, 3000, 5000);
	assert_int_equal(sync_without_descriptors(), 0); /* or it would have lied */
	end();
}

static void test_sync_of_what_is_written(void **state)
{
	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	(void)next_version();
	write_part(2, 3000, BYTES);
	assert_true(sync_without_descriptors() > 0); /* only finalising needs one that writes */
	end();
}

/* ---- half-way ---- */

/* The n-th write or flush of a commit fails. false: it has fewer. */
static bool commit_twice(enum xtsfs_integrity integrity, unsigned nth, bool cut)
{
	const struct xtsfs_fault fault = {
		.kinds = XTSFS_FAULT_WRITE | XTSFS_FAULT_SYNC, .nth = nth, .error = EIO, .cut = cut};
	bool fired, again;

	begin(integrity, 1U << 20);
	(void)next_version();
	write_part(2, 2 * CORE_B, 0);
	write_part(3, 100, 7 * CORE_B + 10);
	write_part(4, CORE_B, 124 * CORE_B);
	if (sync_with_fault(&fault, &fired) == 0) {
		assert_false(fired);
		end();
		return false;
	}
	assert_reads_newest(&core);
	/* Over sectors of which it is not known what is on disk, and others. */
	(void)next_version();
	write_part(5, 200, CORE_B + 3);
	write_part(6, CORE_B, 124 * CORE_B);
	write_part(7, CORE_B, 3 * CORE_B);
	assert_reads_newest(&core);
	(void)sync_with_fault(&fault, &again);
	assert_reads_newest(&core);
	(void)next_version();
	write_part(8, 900, 125 * CORE_B);
	assert_reads_newest(&core);
	lose_power_anywhere();
	assert_int_equal(xtsfs_fsync(core.volume, node, false), 0);
	assert_durable();
	end();
	return true;
}

static void test_commit_half_way(void **state)
{
	(void)state;
	for (unsigned cut = 0; cut < 2; cut++) {
		unsigned nth = 1;

		while (commit_twice(core_integrities[cut], nth, cut))
			nth++;
		assert_true(nth > 6); /* two meta blocks, a flush, three sectors or runs of them */
	}
}

/* ---- mtime ---- */

static int64_t backing_mtime_s(void)
{
	struct xtsfs_at at;
	struct stat st;

	assert_int_equal(xtsfs_at_get(core.volume, node, &at), 0);
	assert_int_equal(at.name ? core.store->ops->stat(core.store, at.handle, at.name, &st)
				 : core.store->ops->fstat(core.store, at.handle, &st),
			 0);
	xtsfs_at_put(core.volume, &at);
	return st.st_mtim.tv_sec;
}

static int64_t plain_mtime_s(void)
{
	struct stat st;

	assert_int_equal(xtsfs_getattr(core.volume, node, &st), 0);
	return st.st_mtim.tv_sec;
}

static void set_mtime(time_t seconds)
{
	const struct xtsfs_setattr set = {.times = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}}};

	assert_int_equal(xtsfs_setattr(core.volume, node, &set, NULL), 0);
}

/* Who copies the backing file knows by its mtime that there is more to come. */
static void test_mtime_comes_with_the_content(void **state)
{
	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	set_mtime(1000);
	(void)next_version();
	write_part(2, 3000, 5000);
	assert_int_equal(backing_mtime_s(), 1000);
	assert_int_not_equal(plain_mtime_s(), 1000);
	assert_int_equal(xtsfs_fsync(core.volume, node, false), 0);
	assert_int_not_equal(backing_mtime_s(), 1000);
	assert_int_equal(backing_mtime_s(), plain_mtime_s());
	end();
}

/* The content is there before an mtime that somebody sets: the kernel, behind what it wrote, or utimensat(). */
static void test_content_comes_before_an_mtime(void **state)
{
	uint8_t *after_mtime = NULL, *after_sync = NULL;
	const size_t from = 2 * CORE_B, bytes = CORE_B; /* sector 1, behind block 0 */

	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	(void)next_version();
	write_part(2, 3000, 5000);
	set_mtime(2000);
	assert_true(core_backing(&core, "f", &after_mtime) > from + bytes);
	assert_int_equal(backing_mtime_s(), 2000);
	assert_int_equal(xtsfs_fsync(core.volume, node, false), 0);
	assert_true(core_backing(&core, "f", &after_sync) > from + bytes);
	assert_memory_equal(after_mtime + from, after_sync + from, bytes);
	assert_int_equal(backing_mtime_s(), 2000);
	free(after_mtime);
	free(after_sync);
	end();
}

/* The first read of a write, which holds the file's lock by then, has somebody else set an mtime. */
static struct {
	const struct xtsfs_store_ops *ops;
	atomic_bool begun;
	pthread_t thread;
} meeting;

static void *set_mtime_meanwhile(void *unused)
{
	set_mtime(7000);
	return unused;
}

static ssize_t preadv_that_meets(struct xtsfs_store *store, int handle, const struct iovec *iov, int count,
				 uint64_t offset)
{
	if (!atomic_exchange(&meeting.begun, true)) {
		assert_int_equal(pthread_create(&meeting.thread, NULL, set_mtime_meanwhile, NULL), 0);
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* it waits for the lock */
	}
	return meeting.ops->preadv(store, handle, iov, count, offset);
}

/* What begins to wait while an mtime waits for the file is there before that mtime, too. */
static void test_mtime_set_during_a_write(void **state)
{
	uint8_t *after_mtime = NULL, *after_sync = NULL;
	const size_t from = 2 * CORE_B, bytes = CORE_B;
	struct xtsfs_store_ops ops;

	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	ops = *core.store->ops;
	ops.preadv = preadv_that_meets;
	meeting.ops = core.store->ops;
	core.store->ops = &ops;
	(void)next_version();
	write_part(2, 3000, 5000);
	assert_true(meeting.begun);
	assert_int_equal(pthread_join(meeting.thread, NULL), 0);
	core.store->ops = meeting.ops;
	assert_int_equal(backing_mtime_s(), 7000);
	assert_true(core_backing(&core, "f", &after_mtime) > from + bytes);
	assert_int_equal(xtsfs_fsync(core.volume, node, false), 0);
	assert_true(core_backing(&core, "f", &after_sync) > from + bytes);
	assert_memory_equal(after_mtime + from, after_sync + from, bytes);
	free(after_mtime);
	free(after_sync);
	end();
}

/* Where it cannot be, the mtime that was set last is the one that stays. */
static void test_mtime_set_while_nothing_can_be_written(void **state)
{
	const struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_WRITE, .nth = 1, .error = ENOSPC, .forever = true};

	(void)state;
	begin(XTSFS_INTEGRITY_AES_GMAC, 1U << 20);
	(void)next_version();
	write_part(2, 3000, 5000);
	xtsfs_faulty_arm(core.store, &fault);
	set_mtime(3000);
	assert_true(xtsfs_faulty_fired(core.store) > 0);
	xtsfs_faulty_arm(core.store, &(struct xtsfs_fault){0});
	assert_int_equal(plain_mtime_s(), 3000);
	assert_int_equal(xtsfs_fsync(core.volume, node, false), 0);
	assert_int_equal(backing_mtime_s(), 3000);
	assert_reads_newest(&core);
	assert_durable();
	end();
}

/* Pages of one write(2) that come behind the mtime that the kernel sent for it. */
static void test_mtime_sent_before_the_last_pages(void **state)
{
	static const uint8_t data[2 * CORE_B] = {1};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(core_integrities); i++) {
		begin(core_integrities[i], 1U << 20);
		assert_int_equal(xtsfs_write_cached(core.volume, node, data, sizeof(data), 0), sizeof(data));
		set_mtime(4000);
		assert_int_equal(xtsfs_write_cached(core.volume, node, data, CORE_B, 2 * CORE_B), CORE_B);
		assert_int_equal(xtsfs_write_cached(core.volume, node, data, sizeof(data), BYTES), sizeof(data));
		xtsfs_release(core.volume, node, true);
		assert_int_equal(backing_mtime_s(), 4000);
		/* Written without the cache it has the time of that. */
		assert_int_equal(xtsfs_open(core.volume, node, true), 0);
		set_mtime(5000);
		assert_int_equal(xtsfs_write(core.volume, node, data, CORE_B, 2 * CORE_B), CORE_B);
		xtsfs_release(core.volume, node, true);
		assert_true(backing_mtime_s() > 5000);
		/* None is sent if it is the one that the kernel knew; and somebody else keeps the file in use
		 * meanwhile. */
		set_mtime(6000);
		assert_int_equal(xtsfs_open(core.volume, node, false), 0);
		for (unsigned times = 0; times < 2; times++) {
			assert_int_equal(xtsfs_open(core.volume, node, true), 0);
			assert_int_equal(xtsfs_write_cached(core.volume, node, data, CORE_B, BYTES + CORE_B), CORE_B);
			xtsfs_release(core.volume, node, true);
		}
		xtsfs_release(core.volume, node, false);
		assert_int_equal(backing_mtime_s(), 6000);
		assert_int_equal(xtsfs_open(core.volume, node, true), 0);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffers_are_used_again),
		cmocka_unit_test(test_sync_of_what_waits),
		cmocka_unit_test(test_sync_of_what_is_written),
		cmocka_unit_test(test_commit_half_way),
		cmocka_unit_test(test_mtime_comes_with_the_content),
		cmocka_unit_test(test_content_comes_before_an_mtime),
		cmocka_unit_test(test_mtime_set_during_a_write),
		cmocka_unit_test(test_mtime_sent_before_the_last_pages),
		cmocka_unit_test(test_mtime_set_while_nothing_can_be_written),
	};

	xtsfs_log_init("test-core-waiting");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-waiting", tests, NULL, NULL);
}
