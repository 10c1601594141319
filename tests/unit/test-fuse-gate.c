/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: who changes its state waits for requests that passed before; what is kept, taken, given up and refused;
 * which parts of a file are left out when its pages are dropped; threads that wait in read() wipe their buffers.
 */
#include "unit.h"

#include "fuse/gate.h"
#include "fuse/places.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#define ROOM 4096

struct message {
	struct fuse_in_header header;
	union {
		struct fuse_read_in read;
		struct fuse_interrupt_in interrupt;
		char text[64];
	};
};

static int answers[2]; /* what is written to the kernel */

static struct message make(uint32_t opcode, uint64_t unique, uint64_t ino)
{
	return (struct message){
		.header = {.len = sizeof(struct message), .opcode = opcode, .unique = unique, .nodeid = ino}};
}

/* As a thread of the loop would: read it, and say what became of it. */
static bool send_one(struct message message)
{
	static _Thread_local char buffer[ROOM];
	bool passed;

	xtsfs_gate_idle(buffer, sizeof(buffer));
	memcpy(buffer, &message, sizeof(message));
	passed = xtsfs_gate_pass(answers[1], buffer, sizeof(message));
	if (!passed)
		for (size_t i = 0; i < sizeof(message); i++)
			assert_int_equal(buffer[i], 0);
	xtsfs_gate_idle(buffer, sizeof(buffer));
	return passed;
}

static void assert_answer(uint64_t unique, int error)
{
	struct fuse_out_header out;

	assert_int_equal(read(answers[0], &out, sizeof(out)), sizeof(out));
	assert_int_equal(out.unique, unique);
	assert_int_equal(out.error, error);
}

static void test_states(void **state)
{
	struct message interrupt = make(FUSE_INTERRUPT, 99, 0);
	void *data;

	(void)state;
	assert_true(send_one(make(FUSE_LOOKUP, 1, 5)));
	xtsfs_gate_set(XTSFS_GATE_CLOSING, XTSFS_HELD_FAIL);
	assert_false(send_one(make(FUSE_LOOKUP, 2, 5)));
	assert_false(send_one(make(FUSE_READ, 3, 5)));
	assert_true(send_one(make(FUSE_WRITE, 4, 5)));
	assert_true(send_one(make(FUSE_SETATTR, 5, 5)));
	assert_true(send_one(make(FUSE_RELEASE, 6, 5)));
	assert_int_equal(xtsfs_gate_kept(), 2);
	xtsfs_gate_set(XTSFS_GATE_SHUT, XTSFS_HELD_WAIT);
	assert_false(send_one(make(FUSE_WRITE, 7, 5)));
	assert_true(send_one(make(FUSE_GETATTR, 8, FUSE_ROOT_ID)));
	assert_false(send_one(make(FUSE_GETATTR, 9, 5)));
	assert_true(send_one(make(FUSE_FORGET, 10, 5)));
	assert_true(send_one(make(FUSE_STATFS, 11, FUSE_ROOT_ID)));
	assert_int_equal(xtsfs_gate_kept(), 4);
	/* The caller of one was killed; of another it was not, or not of one that is here. */
	interrupt.interrupt.unique = 7;
	assert_false(send_one(interrupt));
	assert_answer(7, -EINTR);
	interrupt.interrupt.unique = 1000;
	assert_true(send_one(interrupt));
	assert_int_equal(xtsfs_gate_kept(), 3);

	/* In their order; the reads of one file before. */
	assert_int_equal(xtsfs_gate_take(6, &data), 0);
	assert_int_equal(xtsfs_gate_take(5, &data), sizeof(struct message));
	assert_int_equal(((struct message *)data)->header.unique, 3);
	free(data);
	assert_int_equal(xtsfs_gate_take(0, &data), sizeof(struct message));
	assert_int_equal(((struct message *)data)->header.unique, 2);
	free(data);
	assert_int_equal(xtsfs_gate_kept(), 1);
	xtsfs_gate_set(XTSFS_GATE_SHUT, XTSFS_HELD_FAIL);
	xtsfs_gate_fail_kept(answers[1], -ENOKEY);
	assert_answer(9, -ENOKEY);
	assert_false(send_one(make(FUSE_OPEN, 12, 5)));
	assert_answer(12, -ENOKEY);
	assert_int_equal(xtsfs_gate_kept(), 0);
	xtsfs_gate_set(XTSFS_GATE_SHUT, XTSFS_HELD_WAIT);
	assert_false(send_one(make(FUSE_WRITE, 13, 5)));
	assert_false(send_one(make(FUSE_READ, 14, 5)));
	assert_int_equal(xtsfs_gate_done(), 1);
	assert_int_equal(xtsfs_gate_kept(), 0);
	xtsfs_gate_set(XTSFS_GATE_OPEN, XTSFS_HELD_WAIT);
	assert_true(send_one(make(FUSE_READ, 15, 5)));
}

static void keep_read(uint64_t unique, uint64_t offset, uint32_t size)
{
	struct message message = make(FUSE_READ, unique, 7);

	message.read.offset = offset;
	message.read.size = size;
	assert_false(send_one(message));
}

static void test_ranges(void **state)
{
	struct xtsfs_gate_range ranges[XTSFS_GATE_RANGES];
	void *data;

	(void)state;
	xtsfs_gate_set(XTSFS_GATE_CLOSING, XTSFS_HELD_WAIT);
	assert_int_equal(xtsfs_gate_drop_begin(7, ranges), 1);
	assert_true(ranges[0].from == 0 && ranges[0].to == UINT64_MAX);
	assert_true(xtsfs_gate_drop_end());
	keep_read(1, 8192, 4096);
	keep_read(2, 4096, 8192);
	keep_read(3, 65536, 4096);
	assert_int_equal(xtsfs_gate_drop_begin(7, ranges), 3);
	assert_true(ranges[0].from == 0 && ranges[0].to == 4096);
	assert_true(ranges[1].from == 12288 && ranges[1].to == 65536);
	assert_true(ranges[2].from == 69632 && ranges[2].to == UINT64_MAX);
	assert_true(send_one(make(FUSE_READ, 4, 7)));  /* now they pass */
	assert_false(send_one(make(FUSE_READ, 5, 8))); /* another file's do not */
	assert_false(xtsfs_gate_drop_end());
	for (uint64_t i = 0; i < 2 * XTSFS_GATE_RANGES; i++)
		keep_read(100 + i, i * 10000, 4096);
	assert_int_equal(xtsfs_gate_drop_begin(7, ranges) <= XTSFS_GATE_RANGES, 1);
	assert_true(xtsfs_gate_take(7, &data) > 0);
	free(data);
	assert_false(xtsfs_gate_drop_end()); /* what is served brings pages */
	(void)xtsfs_gate_done();
	xtsfs_gate_set(XTSFS_GATE_OPEN, XTSFS_HELD_WAIT);
}

static sem_t passed, go_on;
static bool was_answered;

static void *serve_slowly(void *data)
{
	char buffer[ROOM];
	struct message message = make(FUSE_GETATTR, 1, 5);

	(void)data;
	xtsfs_gate_idle(buffer, sizeof(buffer));
	memcpy(buffer, &message, sizeof(message));
	assert_true(xtsfs_gate_pass(answers[1], buffer, sizeof(message)));
	sem_post(&passed);
	sem_wait(&go_on);
	__atomic_store_n(&was_answered, true, __ATOMIC_RELAXED);
	xtsfs_gate_idle(buffer, sizeof(buffer));
	sem_wait(&go_on); /* the thread goes on living */
	return NULL;
}

static void *shut(void *data)
{
	xtsfs_gate_set(XTSFS_GATE_SHUT, XTSFS_HELD_WAIT);
	/* Whatever was under way is over. */
	assert_true(__atomic_load_n(&was_answered, __ATOMIC_RELAXED));
	return data;
}

static void test_waits(void **state)
{
	static const struct timespec some = {.tv_nsec = 50000000};
	pthread_t server, shutter;

	(void)state;
	sem_init(&passed, 0, 0);
	sem_init(&go_on, 0, 0);
	assert_int_equal(pthread_create(&server, NULL, serve_slowly, NULL), 0);
	sem_wait(&passed);
	assert_int_equal(pthread_create(&shutter, NULL, shut, NULL), 0);
	/* The longer this is the surer a gate that does not wait is found; none that waits is hurt by it. */
	nanosleep(&some, NULL);
	sem_post(&go_on);
	pthread_join(shutter, NULL);
	sem_post(&go_on);
	pthread_join(server, NULL);
	xtsfs_gate_set(XTSFS_GATE_OPEN, XTSFS_HELD_WAIT);
}

static int from[2];
static char shared[ROOM];

/* As the loop does: a read that a signal interrupts is begun anew. */
static void *wait_in_read(void *data)
{
	ssize_t n;

	(void)data;
	do {
		xtsfs_gate_idle(shared, sizeof(shared));
		sem_post(&passed);
		n = read(from[0], shared, 1);
	} while (n < 0);
	return NULL;
}

static void wake_up(int number)
{
	(void)number;
}

static void test_wipe(void **state)
{
	pthread_t reader;

	(void)state;
	assert_int_equal(sigaction(SIGURG, &(struct sigaction){.sa_handler = wake_up}, NULL), 0);
	assert_int_equal(pipe(from), 0);
	memset(shared, 'x', sizeof(shared));
	assert_int_equal(pthread_create(&reader, NULL, wait_in_read, NULL), 0);
	sem_wait(&passed);
	xtsfs_gate_wipe_threads();
	for (size_t i = 0; i < sizeof(shared); i++)
		assert_int_equal(shared[i], 0);
	assert_int_equal(write(from[1], "y", 1), 1);
	pthread_join(reader, NULL);
}

static int set_up(void **state)
{
	(void)state;
	return pipe(answers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_states), cmocka_unit_test(test_ranges),
					   cmocka_unit_test(test_waits), cmocka_unit_test(test_wipe)};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
