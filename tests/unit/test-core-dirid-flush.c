/* SPDX-License-Identifier: Apache-2.0 */
/* A sync that comes while another makes the ids of new directories durable is not answered before that has ended; and
 * the page of an id is handed to the disk before its directory has a name. */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A store whose first sync, once armed, lets a second thread sync and goes on when that one waits or has ended. */
static struct xtsfs_store_ops ops;
static int (*real_sync)(struct xtsfs_store *store, int handle, bool data_only);
static struct core core;
static pthread_t second;
static bool armed, second_answered, answered_early;
static pid_t second_tid;
static int first_error; /* what the first sync gives */

static void *sync_second(void *data)
{
	(void)data;
	__atomic_store_n(&second_tid, gettid(), __ATOMIC_RELEASE);
	*(int *)data = core_try_fsync(&core, "other");
	__atomic_store_n(&second_answered, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Is the thread blocked? Nothing but a lock can be what it waits for. */
static bool is_asleep(pid_t tid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	file = fopen(path, "re");
	if (!file)
		return true; /* ended */
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state == 'S';
}

static int sync_and_look(struct xtsfs_store *store, int handle, bool data_only)
{
	static int result;

	if (__atomic_exchange_n(&armed, false, __ATOMIC_ACQ_REL)) {
		pid_t tid;

		assert_int_equal(pthread_create(&second, NULL, sync_second, &result), 0);
		do {
			sched_yield();
			tid = __atomic_load_n(&second_tid, __ATOMIC_ACQUIRE);
		} while (!__atomic_load_n(&second_answered, __ATOMIC_ACQUIRE) && (!tid || !is_asleep(tid)));
		answered_early = __atomic_load_n(&second_answered, __ATOMIC_ACQUIRE);
		if (first_error)
			return first_error;
	}
	return real_sync(store, handle, data_only);
}

static void run(unsigned directories)
{
	struct xtsfs_store *store;
	char name[32];

	core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
	assert_int_equal(xtsfs_store_memory_new(&store), 0);
	ops = *store->ops;
	real_sync = ops.sync;
	ops.sync = sync_and_look;
	store->ops = &ops;
	core_format(&core, store);
	core_open(&core);
	assert_int_equal(core_try_create(&core, "first"), 0);
	assert_int_equal(core_try_create(&core, "other"), 0);
	for (unsigned i = 0; i < directories; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(core_try_mkdir(&core, name), 0);
	}
	second_answered = answered_early = false;
	second_tid = 0;
	armed = true;
	assert_int_equal(core_try_fsync(&core, "first"), first_error);
	assert_int_equal(pthread_join(second, NULL), 0);
	assert_false(answered_early);
	assert_int_equal(core.volume->pending_count, 0);
	core_close(&core);
	core_fini(&core);
	xtsfs_store_free(store);
}

static void test_waits(void **state)
{
	(void)state;
	first_error = 0;
	run(1);
	run(3);
}

/* The first one fails: what it could not make durable is left for the second, which does. */
static void test_failure(void **state)
{
	(void)state;
	first_error = -EIO;
	run(1);
}

static unsigned writeouts, writeouts_at_rename;

static int count_writeout(struct xtsfs_store *store, int handle)
{
	struct stat st;

	assert_int_equal(store->ops->fstat(store, handle, &st), 0);
	assert_int_equal(st.st_size, sizeof(struct xtsfs_disk_dirid));
	writeouts++;
	return 0;
}

static int (*real_rename)(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			  const char *new_name, unsigned flags);

static int look_at_rename(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			  const char *new_name, unsigned flags)
{
	writeouts_at_rename = writeouts;
	return real_rename(store, old_dir, old_name, new_dir, new_name, flags);
}

static void test_page_before_name(void **state)
{
	struct xtsfs_store *store;

	(void)state;
	core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
	assert_int_equal(xtsfs_store_memory_new(&store), 0);
	core_format(&core, store);
	core_open(&core);
	ops = *store->ops;
	real_rename = ops.rename;
	ops.rename = look_at_rename;
	ops.writeout = count_writeout;
	store->ops = &ops;
	writeouts = writeouts_at_rename = 0;
	assert_int_equal(core_try_mkdir(&core, "d"), 0);
	assert_int_equal(writeouts_at_rename, 1);
	core_close(&core);
	core_fini(&core);
	xtsfs_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_waits), cmocka_unit_test(test_failure),
					   cmocka_unit_test(test_page_before_name)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
