/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losing power, states that are rare at random: the length of a file that grew is durable, and its old last sector is
 * still the old one, good only by its group's growing record (spec 9.8). Whatever is done to the file then, the sector
 * reads as it did.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "base/log.h"
#include "core/fsck.h"
#include "format/ondisk.h"

#define OLD	5000U  /* bytes that are durable: sector 1 is the last, of 904 */
#define NEW	12000U /* three sectors */
#define TRIES	2000U
#define CONTENT (OLD - CORE_B)
/* In the sector, by a change that overwrites. */
#define CHANGED_FROM 10
#define CHANGED_TO   60

static struct xtsfs_store *base, *recorded;
static struct core core;
static uint8_t content[NEW + 9000]; /* what the file should hold: 0 to OLD old, zeros or new behind */

static void ignore_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	(void)data;
	(void)finding;
}

/* A file that is synced with OLD bytes and then written to NEW. */
static void record(enum xtsfs_integrity integrity)
{
	static uint8_t data[NEW];

	core_pattern(1, 0, data, NEW);
	core_init(&core, integrity, 1);
	assert_int_equal(xtsfs_store_memory_new(&recorded), 0);
	core_format(&core, recorded);
	core_open(&core);
	assert_int_equal(core_try_create(&core, "f"), 0);
	assert_int_equal(core_try_write(&core, "f", data, OLD, 0), OLD);
	assert_int_equal(core_try_fsync(&core, "f"), 0);
	assert_int_equal(xtsfs_memory_clone(recorded, &base), 0);
	xtsfs_memory_record(recorded);
	assert_int_equal(core_try_write(&core, "f", data + OLD, NEW - OLD, OLD), NEW - OLD);
}

static void forget(void)
{
	core.store = recorded;
	(void)core_try_close(&core);
	core_fini(&core);
	xtsfs_store_free(recorded);
	xtsfs_store_free(base);
}

/* Does the file read as content[]? */
static bool is_right(struct core *any, size_t bytes)
{
	uint8_t *data = NULL;
	ssize_t n = core_try_read(any, "f", &data);
	bool same = n == (ssize_t)bytes && memcmp(data, content, bytes) == 0;

	free(data);
	return same;
}

/* One that power may leave. true if its length is the new one, sector 1 the old one, and all else can be read. */
static bool find(struct core *any, uint64_t *rng)
{
	size_t until = 1 + (size_t)(unit_random(rng) >> 33) % xtsfs_memory_calls(recorded);
	uint8_t *data = NULL;
	bool found = false;
	ssize_t n;

	*any = core;
	any->volume = NULL;
	assert_int_equal(xtsfs_memory_clone(base, &any->store), 0);
	assert_int_equal(xtsfs_memory_power_cut(any->store, recorded, until, rng), 0);
	core_open(any);
	n = core_try_read(any, "f", &data);
	if (n == NEW) {
		memcpy(content, data, NEW);
		found = data[OLD - 1] && xtsfs_is_zero(data + OLD, 2 * CORE_B - OLD) && data[NEW - 1];
	}
	free(data);
	return found;
}

static void close_one(struct core *any)
{
	core_close(any);
	any->store = xtsfs_store_free(any->store);
}

static bool append(struct core *any)
{
	core_pattern(2, NEW, content + NEW, 100);
	return core_try_write(any, "f", content + NEW, 100, NEW) == 100 && is_right(any, NEW + 100);
}

/* While it is open, so that the first still waits where that is allowed. */
static bool overwrite_twice(struct core *any)
{
	const size_t bytes = CHANGED_TO - CHANGED_FROM, at = CORE_B + CHANGED_FROM;
	int error;
	struct xtsfs_node *node = core_node(any, "f", NULL, &error);
	bool good = node && xtsfs_open(any->volume, node, true) == 0;

	assert_true(good);
	for (unsigned i = 3; good && i < 5; i++) {
		core_pattern(i, at, content + at, bytes);
		good = xtsfs_write(any->volume, node, content + at, bytes, at) == (ssize_t)bytes;
	}
	good = good && is_right(any, NEW);
	xtsfs_release(any->volume, node, true);
	core_forget(any, node);
	return good;
}

static bool cut(struct core *any)
{
	return core_try_truncate(any, "f", 9000) == 0 && is_right(any, 9000);
}

static bool cut_in_it(struct core *any)
{
	return core_try_truncate(any, "f", 7000) == 0 && is_right(any, 7000);
}

static const struct change {
	const char *what;
	bool (*do_it)(struct core *any);
	size_t bytes; /* after it */
} changes[] = {
	{"append", append, NEW + 100},
	{"overwrite twice", overwrite_twice, NEW},
	{"cut behind it", cut, 9000},
	{"cut in it", cut_in_it, 7000},
};

/* What is left by a kill after each call of the change: what no change touches of the sector reads as before. */
static void kill_at_each(const struct change *change, const struct xtsfs_store *before, const struct xtsfs_store *after)
{
	struct core any;

	for (size_t calls = 0; calls <= xtsfs_memory_calls(after); calls++) {
		uint8_t *data = NULL;
		ssize_t n;

		any = core;
		any.volume = NULL;
		assert_int_equal(xtsfs_memory_clone(before, &any.store), 0);
		for (size_t i = 0; i < calls; i++)
			assert_int_equal(xtsfs_memory_replay(any.store, after, i, 0), 0);
		core_open(&any);
		n = core_try_read(&any, "f", &data);
		if (n < (ssize_t)OLD || memcmp(data, content, CORE_B + CHANGED_FROM) != 0 ||
		    memcmp(data + CORE_B + CHANGED_TO, content + CORE_B + CHANGED_TO, CONTENT - CHANGED_TO) != 0)
			fail_msg("%s, killed after call %zu: %zd", change->what, calls, n);
		free(data);
		close_one(&any);
	}
}

static void change_and_check(struct core *any, const struct change *change)
{
	const struct xtsfs_fsck_options options = {.repair = true, .content_keys = 1, .finding = ignore_finding};
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .fds = 64, .repair = true};
	struct xtsfs_fsck_totals totals;
	struct xtsfs_store *before;

	assert_int_equal(xtsfs_memory_clone(any->store, &before), 0);
	xtsfs_memory_record(any->store);
	if (!change->do_it(any))
		fail_msg("%s: it does not read as it should", change->what);
	core_close(any);
	core_open(any);
	if (!is_right(any, change->bytes))
		fail_msg("%s: after another opening it does not read as it should", change->what);
	core_close(any);
	kill_at_each(change, before, any->store);
	xtsfs_store_free(before);
	assert_int_equal(core_try_open(any, &params), 0);
	assert_int_equal(xtsfs_fsck_run(any->volume, &options, &totals), 0);
	assert_int_equal(totals.left, 0);
	core_close(any);
	core_open(any);
	if (!is_right(any, change->bytes))
		fail_msg("%s: after a repair it does not read as it should", change->what);
}

static void go_on_with_all(enum xtsfs_integrity integrity, size_t waiting_bytes)
{
	unsigned found = 0;
	uint64_t rng = 12345;
	struct core any;

	record(integrity);
	core.waiting_bytes = waiting_bytes;
	for (unsigned i = 0; i < TRIES && found < ARRAY_COUNT(changes); i++) {
		if (find(&any, &rng))
			change_and_check(&any, &changes[found++]);
		close_one(&any);
	}
	assert_int_equal(found, ARRAY_COUNT(changes)); /* or nothing was tried */
	forget();
}

static void test_sector_behind_its_length(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		go_on_with_all(core_integrities[i], 0);
		go_on_with_all(core_integrities[i], 1U << 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sector_behind_its_length)};

	xtsfs_log_init("test-core-power");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests_name("core-power", tests, NULL, NULL);
}
