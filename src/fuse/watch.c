/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that hangs hangs its caller, who cannot be killed, and nobody is told: a disk or a server below the backing
 * directory does not answer, or this program is at fault. Every thread that serves notes in a place of its own what it
 * is at and since when; a thread that does nothing else looks. It ends nothing: what a system call waits for cannot be
 * given up. It says that a request takes long, again whenever the time has doubled, and when it is over.
 *
 * Places are taken by the first request of a thread and given back when it ends; there are more than threads= allows.
 * The writer of a place sets the time before the kind, so whoever sees the kind never sees an older time.
 */
#include "fuse/watch.h"

#include "base/log.h"
#include "fuse/ticker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define PLACES 512

struct place {
	_Atomic(const char *) kind; /* NULL: waiting for a request */
	atomic_llong since_ms;
	atomic_bool taken;
	/* the watchdog's own */
	const char *told_kind;
	long long told_since_ms, next_ms; /* 0: nothing was told */
};

static struct place places[PLACES];
static _Thread_local struct place *own;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct xtsfs_watchdog {
	unsigned limit_s;
	struct xtsfs_ticker *ticker;
};

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void give_back(void *place)
{
	atomic_store(&((struct place *)place)->taken, false);
}

static void make_key(void)
{
	(void)pthread_key_create(&key, give_back);
}

static struct place *take_place(void)
{
	pthread_once(&once, make_key);
	for (size_t i = 0; i < PLACES; i++)
		if (!atomic_exchange(&places[i].taken, true)) {
			if (pthread_setspecific(key, &places[i]) != 0)
				break;
			return &places[i];
		}
	return NULL;
}

void xtsfs_watch_begin(const char *kind)
{
	if (!own)
		own = take_place();
	if (!own)
		return;
	atomic_store_explicit(&own->since_ms, now_ms(), memory_order_relaxed);
	atomic_store_explicit(&own->kind, kind, memory_order_release);
}

void xtsfs_watch_end(void)
{
	if (own)
		atomic_store_explicit(&own->kind, NULL, memory_order_release);
}

static void look_at(struct place *place, long long now, unsigned limit_s)
{
	const char *kind = atomic_load_explicit(&place->kind, memory_order_acquire);
	long long since_ms = atomic_load_explicit(&place->since_ms, memory_order_relaxed);

	if (place->next_ms && (!kind || since_ms != place->told_since_ms)) {
		xtsfs_notice("the %s that took long is over, after less than %lld s", place->told_kind,
			     (now - place->told_since_ms) / 1000 + 1);
		place->next_ms = 0;
	}
	if (!kind || now < (place->next_ms ? place->next_ms : since_ms + 1000LL * limit_s))
		return;
	xtsfs_warning("a %s has not been answered for %lld s: the backing directory may not answer, waiting", kind,
		      (now - since_ms) / 1000);
	place->told_kind = kind;
	place->told_since_ms = since_ms;
	place->next_ms = now + (now - since_ms);
}

static void look(void *data)
{
	struct xtsfs_watchdog *watchdog = data;
	long long now = now_ms();

	for (size_t i = 0; i < PLACES; i++)
		look_at(&places[i], now, watchdog->limit_s);
}

int xtsfs_watchdog_start(unsigned limit_s, struct xtsfs_watchdog **ret_watchdog)
{
	struct xtsfs_watchdog *watchdog;
	int r;

	*ret_watchdog = NULL;
	if (limit_s == 0)
		return 0;
	watchdog = calloc(1, sizeof(*watchdog));
	if (!watchdog)
		return -ENOMEM;
	watchdog->limit_s = limit_s;
	r = xtsfs_ticker_start(limit_s > 4 ? limit_s / 4 : 1, look, watchdog, &watchdog->ticker);
	if (r < 0) {
		free(watchdog);
		return r;
	}
	*ret_watchdog = watchdog;
	return 0;
}

void xtsfs_watchdog_stop(struct xtsfs_watchdog *watchdog)
{
	if (!watchdog)
		return;
	xtsfs_ticker_stop(watchdog->ticker);
	free(watchdog);
}
