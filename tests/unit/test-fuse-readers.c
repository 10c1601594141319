/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many threads wait for a request: few while requests come one by one, somebody whatever the others are held up by,
 * and all of them when requests meet. A signal gets a thread out that has no turn.
 */
#include "unit.h"

#include "fuse/readers.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define WORKERS	   6
#define FEW	   3
#define STEADY_US  20000
#define PATIENCE_S 20

enum doing { ENTERS, READS, SERVES, DOINGS };

static struct worker {
	pthread_t thread;
	sem_t next; /* from READS to SERVES, or from there to ENTERS */
	_Atomic(enum doing) doing;
} workers[WORKERS];
static atomic_int interrupted;
static atomic_bool stop;

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		;
}

static void *work(void *data)
{
	struct worker *worker = data;

	for (;;) {
		while (!xtsfs_readers_enter())
			interrupted++;
		worker->doing = READS;
		if (!stop)
			wait_for(&worker->next);
		if (stop)
			break;
		xtsfs_readers_leave(true);
		worker->doing = SERVES;
		wait_for(&worker->next);
		worker->doing = ENTERS;
	}
	xtsfs_readers_leave(false);
	return NULL;
}

static int count(enum doing doing)
{
	int n = 0;

	for (int i = 0; i < WORKERS; i++)
		n += workers[i].doing == doing;
	return n;
}

/* It becomes so and stays so. */
static void assert_counts(int enter, int read, int serve)
{
	int left = PATIENCE_S * 1000;

	while ((count(ENTERS) != enter || count(READS) != read || count(SERVES) != serve) && left-- > 0)
		usleep(1000);
	usleep(STEADY_US);
	assert_int_equal(count(ENTERS), enter);
	assert_int_equal(count(READS), read);
	assert_int_equal(count(SERVES), serve);
}

static struct worker *any(enum doing doing)
{
	for (int left = PATIENCE_S * 1000; left > 0; left--) {
		for (int i = 0; i < WORKERS; i++)
			if (workers[i].doing == doing)
				return &workers[i];
		usleep(1000);
	}
	fail_msg("no thread does %d", (int)doing);
	return NULL;
}

/* To the next thing that it does. */
static void push(struct worker *worker)
{
	enum doing was = worker->doing;
	int left = PATIENCE_S * 1000;

	sem_post(&worker->next);
	while (worker->doing == was && left-- > 0)
		usleep(100);
}

static void nothing(int signal)
{
	(void)signal;
}

static void test_readers(void **state)
{
	const struct sigaction action = {.sa_handler = nothing};
	struct worker *held, *one;

	(void)state;
	sigaction(SIGURG, &action, NULL);
	assert_int_equal(xtsfs_readers_init(), 0);
	for (int i = 0; i < WORKERS; i++) {
		sem_init(&workers[i].next, 0, 0);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	assert_counts(WORKERS - FEW, FEW, 0);

	/* A signal, and then there is no turn either. */
	one = any(ENTERS);
	for (int left = PATIENCE_S * 100; !interrupted && left > 0; left--) {
		pthread_kill(one->thread, SIGURG);
		usleep(10000);
	}
	assert_true(interrupted > 0);
	assert_counts(WORKERS - FEW, FEW, 0);

	/* Somebody always reads, however many are held up. */
	held = any(READS);
	push(held);
	assert_counts(3, 2, 1);
	push(any(READS));
	assert_counts(3, 1, 2);
	push(any(READS));
	assert_counts(2, 1, 3);
	push(any(READS));
	assert_counts(1, 1, 4);

	/* They come back: as many as are few read. */
	while (count(SERVES) > 0)
		push(any(SERVES));
	assert_counts(WORKERS - FEW, FEW, 0);

	/* Requests meet that of one who goes on serving: all may read. */
	held = any(READS);
	push(held);
	for (int i = 0; i < 20; i++) {
		one = any(READS);
		push(one);
		push(one);
	}
	assert_counts(0, WORKERS - 1, 1);

	/* They come one by one again. */
	push(held);
	for (int i = 0; i < 70; i++) {
		one = any(READS);
		push(one);
		push(one);
	}
	assert_counts(WORKERS - FEW, FEW, 0);

	stop = true;
	for (int i = 0; i < WORKERS; i++)
		sem_post(&workers[i].next);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
