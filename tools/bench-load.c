/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that do one thing over and over until the time is up.
 *
 * A load is a function for one step and what all threads share. The threads are started, wait at a gate until all are
 * there, and work until a flag is set; each counts its steps in memory of its own. The time is taken from the opening
 * of the gate to the last thread's end, so a step that was under way when the flag was set counts with the time it
 * took.
 */
#include "bench-load.h"

#include "base/cleanup.h"
#include "crypto/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECTORS_MAX   256U
#define BUFFER_BYTES  (SECTORS_MAX * BENCH_SECTOR_BYTES)
#define STEPS_A_CHECK 8U

struct load {
	int (*step)(const struct load *load, uint8_t *buffer, uint64_t step_no);
	struct xtsfs_pool *pool;
	enum xtsfs_direction direction;
	size_t sectors;
	struct xtsfs_mac *mac;

	pthread_mutex_t mutex; /* guards open */
	pthread_cond_t changed;
	bool open;
	atomic_bool stop;
};

struct worker {
	struct load *load;
	pthread_t thread;
	uint64_t steps;
	int result;
};

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int crypt_step(const struct load *load, uint8_t *buffer, uint64_t step_no)
{
	struct xtsfs_run run = {
		.in = buffer,
		.out = buffer,
		.bytes = load->sectors * BENCH_SECTOR_BYTES,
		.sector_bytes = BENCH_SECTOR_BYTES,
	};

	memcpy(run.first_tweak, &step_no, sizeof(step_no)); /* any will do */
	return xtsfs_pool_crypt(load->pool, load->direction, &run);
}

/* As spec 9.6 has it: file id, sector, length, ciphertext. */
static int tag_step(const struct load *load, uint8_t *buffer, uint64_t step_no)
{
	uint8_t head[32] = {0}, tag[XTSFS_TAG_BYTES];
	const struct iovec parts[] = {{head, sizeof(head)}, {buffer, BENCH_SECTOR_BYTES}};
	int r;

	memcpy(head + 16, &step_no, sizeof(step_no));
	r = xtsfs_mac_tag(load->mac, parts, 2, tag);
	if (r == 0)
		buffer[0] = tag[0]; /* so that no compiler finds the tag to be of no use */
	return r;
}

static void wait_at_gate(struct load *load)
{
	xtsfs_guard_mutex(&load->mutex);

	while (!load->open)
		pthread_cond_wait(&load->changed, &load->mutex);
}

static void open_gate(struct load *load)
{
	xtsfs_guard_mutex(&load->mutex);

	load->open = true;
	pthread_cond_broadcast(&load->changed);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct load *load = worker->load;
	void *buffer = NULL;

	if (posix_memalign(&buffer, BENCH_SECTOR_BYTES, BUFFER_BYTES) != 0)
		worker->result = -ENOMEM;
	else
		memset(buffer, 0x5a, BUFFER_BYTES);
	wait_at_gate(load);
	while (worker->result == 0 && !atomic_load_explicit(&load->stop, memory_order_relaxed))
		for (unsigned i = 0; worker->result == 0 && i < STEPS_A_CHECK; i++)
			worker->result = load->step(load, buffer, worker->steps++);
	free(buffer);
	return NULL;
}

static int run_workers(struct load *load, struct worker *workers, unsigned threads, unsigned duration_ms,
		       double *ret_per_s)
{
	struct timespec left = {.tv_sec = duration_ms / 1000, .tv_nsec = (long)(duration_ms % 1000) * 1000000};
	unsigned started = 0;
	uint64_t steps = 0;
	double begin;
	int r = 0;

	while (started < threads && r == 0) {
		workers[started].load = load;
		r = -pthread_create(&workers[started].thread, NULL, work, &workers[started]);
		started += r == 0;
	}
	atomic_store(&load->stop, r < 0);
	begin = seconds_now();
	open_gate(load);
	while (r == 0 && nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	atomic_store(&load->stop, true);
	for (unsigned i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		steps += workers[i].steps;
		if (r == 0)
			r = workers[i].result;
	}
	if (r == 0)
		*ret_per_s = (double)steps / (seconds_now() - begin);
	return r;
}

static int run_load(struct load *load, unsigned threads, unsigned duration_ms, double *ret_per_s)
{
	struct worker *workers = calloc(threads, sizeof(*workers));
	int r;

	if (!workers)
		return -ENOMEM;
	pthread_mutex_init(&load->mutex, NULL);
	pthread_cond_init(&load->changed, NULL);
	r = run_workers(load, workers, threads, duration_ms, ret_per_s);
	pthread_cond_destroy(&load->changed);
	pthread_mutex_destroy(&load->mutex);
	free(workers);
	return r;
}

int bench_sectors(const struct xtsfs_engine *engine, enum xtsfs_direction direction, unsigned threads, size_t sectors,
		  unsigned duration_ms, double *ret_per_s)
{
	struct load load = {.step = crypt_step, .direction = direction, .sectors = sectors};
	uint8_t key[XTSFS_XTS_KEY_BYTES];
	double calls_per_s;
	int r;

	if (sectors < 1 || sectors > SECTORS_MAX || threads < 1)
		return -EINVAL;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	r = xtsfs_pool_new(engine, key, threads, &load.pool);
	if (r == 0)
		r = xtsfs_pool_warm(load.pool, threads);
	if (r == 0)
		r = run_load(&load, threads, duration_ms, &calls_per_s);
	xtsfs_pool_free(load.pool);
	if (r == 0)
		*ret_per_s = calls_per_s * (double)sectors;
	return r;
}

int bench_tags(enum xtsfs_mac_kind kind, unsigned threads, unsigned duration_ms, double *ret_per_s)
{
	struct load load = {.step = tag_step};
	uint8_t key[XTSFS_MAC_KEY_BYTES];
	int r;

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	r = xtsfs_mac_new(kind, key, &load.mac);
	if (r == 0)
		r = run_load(&load, threads, duration_ms, ret_per_s);
	xtsfs_mac_free(load.mac);
	return r;
}

int bench_derivation(const struct xtsfs_argon2 *params, double *ret_ms)
{
	static const uint8_t passphrase[] = "a passphrase", salt[32];
	uint8_t out[XTSFS_SLOT_KEY_BYTES];
	double begin = seconds_now();
	int r = xtsfs_argon2id(params, passphrase, sizeof(passphrase) - 1, salt, sizeof(salt), out, sizeof(out));

	if (r == 0)
		*ret_ms = (seconds_now() - begin) * 1000;
	return r;
}
