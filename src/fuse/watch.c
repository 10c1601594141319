/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that hangs hangs its caller, who cannot be killed, and nobody is told: a disk or a server below the backing
 * directory does not answer, or this program is at fault. Every thread that serves notes in a place of its own what it
 * is at and since when; a thread that does nothing else looks. It ends nothing: what a system call waits for cannot be
 * given up. It says that a request takes long, again whenever the time has doubled, and when it is over.
 */
#include "fuse/watch.h"

#include "base/log.h"
#include "fuse/places.h"
#include "fuse/ticker.h"

#include <stdlib.h>
#include <time.h>

#define NS_PER_S 1000000000LL

struct xtsfs_watchdog {
	unsigned limit_s;
	struct xtsfs_ticker *ticker;
};

static void look_at(struct xtsfs_place *place, long long now, unsigned limit_s)
{
	const char *kind = atomic_load_explicit(&place->kind, memory_order_acquire);
	long long since_ns = atomic_load_explicit(&place->since_ns, memory_order_relaxed);

	if (place->next_ns && (!kind || since_ns != place->told_since_ns)) {
		xtsfs_notice("the %s that took long is over, after less than %lld s", place->told_kind,
			     (now - place->told_since_ns) / NS_PER_S + 1);
		place->next_ns = 0;
	}
	if (!kind || now < (place->next_ns ? place->next_ns : since_ns + NS_PER_S * limit_s))
		return;
	xtsfs_warning("a %s has not been answered for %lld s: the backing directory may not answer, waiting", kind,
		      (now - since_ns) / NS_PER_S);
	place->told_kind = kind;
	place->told_since_ns = since_ns;
	place->next_ns = now + (now - since_ns);
}

static void look(void *data)
{
	struct xtsfs_watchdog *watchdog = data;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (unsigned i = 0; i < XTSFS_PLACES; i++)
		look_at(xtsfs_place_at(i), (long long)now.tv_sec * NS_PER_S + now.tv_nsec, watchdog->limit_s);
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
