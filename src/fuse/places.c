/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places are taken by the first request of a thread and given back when it ends; what was counted stays, and the next
 * owner goes on with it. The writer of a place sets the time before the kind, so whoever sees the kind never sees an
 * older time.
 *
 * Counters have one writer, so counting is a load and a store without any order: as cheap as a variable of the thread,
 * on cache lines of its own. Who reads them gets each as it was shortly before, and not all as of one moment.
 */
#include "fuse/places.h"

#include <errno.h>
#include <time.h>

#define FIRST_STEP_LOG2 10 /* 1024 ns */

static struct xtsfs_place places[XTSFS_PLACES] __attribute__((aligned(64)));
static _Thread_local struct xtsfs_place *own;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *const names[] = {
#define NAME(name) #name,
	XTSFS_KINDS(NAME)
#undef NAME
};

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void give_back(void *place)
{
	struct xtsfs_place *mine = place;

	atomic_store(&mine->reads, false);
	atomic_store(&mine->serving, false);
	atomic_store(&mine->taken, false);
}

static void make_key(void)
{
	(void)pthread_key_create(&key, give_back);
}

static struct xtsfs_place *take_place(void)
{
	pthread_once(&once, make_key);
	for (size_t i = 0; i < XTSFS_PLACES; i++)
		if (!atomic_exchange(&places[i].taken, true)) {
			if (pthread_setspecific(key, &places[i]) != 0)
				break;
			return &places[i];
		}
	return NULL;
}

struct xtsfs_place *xtsfs_place_own(void)
{
	if (!own)
		own = take_place();
	return own;
}

struct xtsfs_place *xtsfs_place_at(unsigned i)
{
	return &places[i];
}

const char *xtsfs_kind_name(enum xtsfs_kind kind)
{
	return names[kind];
}

static void add(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

static unsigned step_of(long long ns)
{
	unsigned log2, step;

	if (ns < 1 << FIRST_STEP_LOG2)
		return 0;
	log2 = 63 - (unsigned)__builtin_clzll((unsigned long long)ns);
	step = (log2 - FIRST_STEP_LOG2) * 4 + (unsigned)(ns >> (log2 - 2) & 3) + 1;
	return step < XTSFS_LATENCY_STEPS ? step : XTSFS_LATENCY_STEPS - 1;
}

/* The first time that is in no step up to this one, in ns. */
static uint64_t step_end(unsigned step)
{
	unsigned log2 = FIRST_STEP_LOG2 + (step ? step - 1 : 0) / 4;

	return step ? (uint64_t)(5 + (step - 1) % 4) << (log2 - 2) : 1U << FIRST_STEP_LOG2;
}

void xtsfs_place_begin(enum xtsfs_kind kind)
{
	struct xtsfs_place *place = xtsfs_place_own();

	if (!place)
		return;
	atomic_store_explicit(&place->since_ns, now_ns(), memory_order_relaxed);
	atomic_store_explicit(&place->kind, names[kind], memory_order_release);
}

void xtsfs_place_end(enum xtsfs_kind kind)
{
	struct xtsfs_place *place = own;
	enum xtsfs_latency class = kind == XTSFS_KIND_read    ? XTSFS_LATENCY_READ
				   : kind == XTSFS_KIND_write ? XTSFS_LATENCY_WRITE
							      : XTSFS_LATENCY_OTHER;

	if (!place)
		return;
	atomic_store_explicit(&place->kind, NULL, memory_order_release);
	add(&place->counts.requests[kind], 1);
	add(&place->counts
		     .latency[class][step_of(now_ns() - atomic_load_explicit(&place->since_ns, memory_order_relaxed))],
	    1);
}

void xtsfs_count_bytes(size_t read_bytes, size_t written_bytes)
{
	struct xtsfs_place *place = xtsfs_place_own();

	if (place && read_bytes)
		add(&place->counts.read_bytes, read_bytes);
	if (place && written_bytes)
		add(&place->counts.written_bytes, written_bytes);
}

void xtsfs_count_error(int error)
{
	struct xtsfs_place *place = xtsfs_place_own();

	if (place)
		add(error == -EIO || error == -EUCLEAN ? &place->counts.io_errors : &place->counts.other_errors, 1);
}

void xtsfs_counts_sum(struct xtsfs_counts *ret_counts)
{
	/* All members are counters. */
	uint64_t *sum = (uint64_t *)ret_counts;

	*ret_counts = (struct xtsfs_counts){0};
	for (unsigned i = 0; i < XTSFS_PLACES; i++) {
		const uint64_t *counter = (const uint64_t *)&places[i].counts;

		for (size_t c = 0; c < sizeof(*ret_counts) / sizeof(*sum); c++)
			sum[c] += __atomic_load_n(&counter[c], __ATOMIC_RELAXED);
	}
}

uint64_t xtsfs_counts_percentile(const struct xtsfs_counts *counts, enum xtsfs_latency class, unsigned permille)
{
	uint64_t total = 0, seen = 0;

	for (unsigned step = 0; step < XTSFS_LATENCY_STEPS; step++)
		total += counts->latency[class][step];
	for (unsigned step = 0; total && step < XTSFS_LATENCY_STEPS; step++) {
		seen += counts->latency[class][step];
		if (seen * 1000 >= total * permille)
			return (step_end(step) + 999) / 1000;
	}
	return 0;
}
