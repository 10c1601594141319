/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of the process are no answer to a call of the store: it is made again.
 */
#include "unit.h"

#include "base/cleanup.h"
#include "store/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define FALLOCATED (32U << 20)

struct call {
	struct xtsfs_store *store;
	int handle;
	int begun, ended; /* atomic */
	pid_t thread;
	int result;
};

static void ignore(int number)
{
	(void)number;
}

static int set_up(void **state)
{
	const struct sigaction action = {.sa_handler = ignore}; /* and no SA_RESTART */

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	return xtsfs_store_posix_new("/", (struct xtsfs_store **)state);
}

static int tear_down(void **state)
{
	xtsfs_store_free(*state);
	return 0;
}

static void begin(struct call *call)
{
	__atomic_store_n(&call->thread, gettid(), __ATOMIC_SEQ_CST);
	__atomic_store_n(&call->begun, 1, __ATOMIC_SEQ_CST);
}

static void *lock(void *data)
{
	struct call *call = data;

	begin(call);
	call->result = call->store->ops->flock(call->store, call->handle, LOCK_EX);
	__atomic_store_n(&call->ended, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *allocate(void *data)
{
	struct call *call = data;

	begin(call);
	call->result = call->store->ops->fallocate(call->store, call->handle, 0, 0, FALLOCATED);
	__atomic_store_n(&call->ended, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* With no signal that is still to come to it. */
static bool is_sleeping(pid_t thread)
{
	char path[64], status[4096] = {0};

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)thread);
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, status, sizeof(status) - 1) <= 0)
		return false; /* it has ended */
	return strstr(status, "\nState:\tS") && strstr(status, "\nSigPnd:\t0000000000000000\n");
}

static void test_a_wait_goes_on(void **state)
{
	xtsfs_auto_fd file = memfd_create("a lock", MFD_CLOEXEC);
	struct call call = {.store = *state, .result = -EDOM};
	char path[40];
	pthread_t thread;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	xtsfs_auto_fd other = open(path, O_RDWR | O_CLOEXEC);
	assert_true(other >= 0);
	call.handle = other;
	assert_int_equal(flock(file, LOCK_EX), 0);
	assert_int_equal(pthread_create(&thread, NULL, lock, &call), 0);
	while (!__atomic_load_n(&call.begun, __ATOMIC_SEQ_CST) || !is_sleeping(call.thread))
		sched_yield();
	assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
	while (!__atomic_load_n(&call.ended, __ATOMIC_SEQ_CST) && !is_sleeping(call.thread))
		sched_yield();
	assert_int_equal(flock(file, LOCK_UN), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(call.result, 0);
}

/* tmpfs of Linux before 6.10 gives back what it has allocated so far when a signal comes, whatever it is. */
static void test_an_allocation_is_made_again(void **state)
{
	for (unsigned rounds = 10; rounds; rounds--) {
		xtsfs_auto_fd file = memfd_create("a file", MFD_CLOEXEC);
		struct call call = {.store = *state, .handle = file, .result = -EDOM};
		pthread_t thread;
		struct stat st = {0};

		assert_int_equal(pthread_create(&thread, NULL, allocate, &call), 0);
		while (!__atomic_load_n(&call.ended, __ATOMIC_SEQ_CST) && st.st_blocks == 0) /* it is at it */
			assert_int_equal(fstat(file, &st), 0);
		assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(call.result, 0);
		assert_int_equal(fstat(file, &st), 0);
		assert_true(st.st_size == FALLOCATED && st.st_blocks >= FALLOCATED / 512);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_wait_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_allocation_is_made_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
