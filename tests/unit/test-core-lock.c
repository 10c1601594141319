/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume whose keys are taken away and given back: what waited is stored before, with a file open; a wrong key, or
 * one of another volume, is not taken; not while a file is being closed; what cannot be stored keeps its keys; a locked
 * volume can be closed.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/file.h"

#include <stdlib.h>

#define BYTES 20000U

struct pair {
	struct core core;
	struct xtsfs_store *memory;
	struct xtsfs_node *open; /* "file", overwritten with stream 2 */
};

static int set_up(void **state)
{
	static struct pair pair;
	struct xtsfs_store *faulty;
	uint8_t data[BYTES];
	int r;

	assert_int_equal(xtsfs_store_memory_new(&pair.memory), 0);
	assert_int_equal(xtsfs_store_faulty_new(pair.memory, &faulty), 0);
	core_init(&pair.core, XTSFS_INTEGRITY_AES_GMAC, 2);
	core_format(&pair.core, faulty);
	pair.core.waiting_bytes = 1 << 20;
	core_open(&pair.core);
	core_pattern(1, 0, data, BYTES);
	assert_int_equal(core_try_create(&pair.core, "file"), 0);
	assert_int_equal(core_try_write(&pair.core, "file", data, BYTES, 0), BYTES);
	assert_int_equal(core_try_fsync(&pair.core, "file"), 0);
	assert_int_equal(core_try_mkdir(&pair.core, "dir"), 0);
	pair.open = core_node(&pair.core, "file", NULL, &r);
	assert_non_null(pair.open);
	assert_int_equal(xtsfs_open(pair.core.volume, pair.open, true), 0);
	core_pattern(2, 0, data, BYTES);
	assert_int_equal(xtsfs_write(pair.core.volume, pair.open, data, BYTES, 0), BYTES);
	assert_true(xtsfs_waiting_has(pair.open->file));
	*state = &pair;
	return 0;
}

static void close_file(struct pair *pair)
{
	xtsfs_release(pair->core.volume, pair->open, true);
	core_forget(&pair->core, pair->open);
	pair->open = NULL;
}

static int tear_down(void **state)
{
	struct pair *pair = *state;
	struct xtsfs_store *faulty = pair->core.store;

	if (pair->core.volume) /* the test has failed */
		(void)core_try_close(&pair->core);
	core_fini(&pair->core);
	xtsfs_store_free(faulty);
	xtsfs_store_free(pair->memory);
	return 0;
}

static void has_stream(struct core *core, uint64_t seed)
{
	uint8_t want[BYTES], *data;

	core_pattern(seed, 0, want, BYTES);
	assert_int_equal(core_try_read(core, "file", &data), BYTES);
	assert_memory_equal(data, want, BYTES);
	free(data);
}

static void test_lock(void **state)
{
	struct pair *pair = *state;
	struct core *core = &pair->core;
	struct xtsfs_volume_stats stats;
	struct stat st;

	assert_false(xtsfs_volume_is_locked(core->volume));
	assert_int_equal(xtsfs_volume_lock(core->volume), 0);
	assert_int_equal(xtsfs_volume_lock(core->volume), 0);
	assert_true(xtsfs_volume_is_locked(core->volume));
	assert_null(core->volume->keys);
	assert_false(xtsfs_waiting_has(pair->open->file));
	/* What may be asked of a locked one. */
	assert_int_equal(xtsfs_getattr(core->volume, xtsfs_root(core->volume), &st), 0);
	assert_int_equal(xtsfs_commit_old(core->volume, 0), 0);
	xtsfs_volume_stats(core->volume, &stats);
	assert_int_equal(stats.ops, 0);
	assert_int_equal(stats.content_keys, 2);
	assert_int_equal(stats.waiting_bytes, 0);

	assert_int_equal(xtsfs_volume_unlock(core->volume, core->conf->config, core->key), 0);
	assert_false(xtsfs_volume_is_locked(core->volume));
	has_stream(core, 2);
	close_file(pair);
	core_close(core);
	core_open(core);
	has_stream(core, 2);
	core_close(core);
}

static void test_closed_while_locked(void **state)
{
	struct pair *pair = *state;
	struct core *core = &pair->core;
	struct xtsfs_volume_state now;

	assert_int_equal(xtsfs_volume_lock(core->volume), 0);
	close_file(pair);
	core_close(core);
	core_open(core);
	xtsfs_volume_state(core->volume, &now);
	assert_false(now.marker); /* shut down cleanly */
	has_stream(core, 2);
	core_close(core);
}

static const struct xtsfs_store_ops *real_ops;
static struct xtsfs_volume *closing;
static int may_lock; /* as the settling saw it */

static int utimens_looks(struct xtsfs_store *store, int handle, const char *name, const struct timespec times[2])
{
	may_lock = pthread_rwlock_trywrlock(&closing->key_lock);
	if (may_lock == 0)
		pthread_rwlock_unlock(&closing->key_lock);
	return real_ops->utimens(store, handle, name, times);
}

/* The last close settles the file with keys, and the gate lets it pass. */
static void test_no_lock_while_closed(void **state)
{
	struct pair *pair = *state;
	struct xtsfs_store_ops looking = *pair->core.store->ops;

	real_ops = pair->core.store->ops;
	looking.utimens = utimens_looks;
	closing = pair->core.volume;
	may_lock = -1;
	pair->core.store->ops = &looking;
	close_file(pair);
	pair->core.store->ops = real_ops;
	assert_int_equal(may_lock, EBUSY);
	core_close(&pair->core);
}

static void test_wrong(void **state)
{
	struct pair *pair = *state;
	struct core *core = &pair->core;
	struct xtsfs_config other = *core->conf->config;

	assert_int_equal(xtsfs_volume_lock(core->volume), 0);
	core->key->data[3] ^= 1;
	assert_int_equal(xtsfs_volume_unlock(core->volume, core->conf->config, core->key), -XTSFS_EAUTH);
	core->key->data[3] ^= 1;
	other.uuid[0] ^= 1;
	assert_int_equal(xtsfs_volume_unlock(core->volume, &other, core->key), -XTSFS_EAUTH);
	other = *core->conf->config;
	other.content_keys = 1;
	assert_int_equal(xtsfs_volume_unlock(core->volume, &other, core->key), -XTSFS_EAUTH);
	assert_true(xtsfs_volume_is_locked(core->volume));
	assert_int_equal(xtsfs_volume_unlock(core->volume, core->conf->config, core->key), 0);
	has_stream(core, 2);
	close_file(pair);
	core_close(core);
}

static void test_cannot_be_stored(void **state)
{
	struct pair *pair = *state;
	struct core *core = &pair->core;
	struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_WRITE, .nth = 1, .error = ENOSPC, .forever = true};

	xtsfs_faulty_arm(core->store, &fault);
	assert_int_equal(xtsfs_volume_lock(core->volume), -ENOSPC);
	assert_false(xtsfs_volume_is_locked(core->volume));
	has_stream(core, 2);
	fault = (struct xtsfs_fault){0};
	xtsfs_faulty_arm(core->store, &fault);
	assert_int_equal(xtsfs_volume_lock(core->volume), 0);
	assert_int_equal(xtsfs_volume_unlock(core->volume, core->conf->config, core->key), 0);
	has_stream(core, 2);
	close_file(pair);
	core_close(core);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(test_lock), TEST(test_closed_while_locked),
					   TEST(test_no_lock_while_closed), TEST(test_wrong),
					   TEST(test_cannot_be_stored)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
