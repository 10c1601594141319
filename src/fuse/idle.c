/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What counts is that requests come in: a thread looks every now and then whether the counters have moved. Not those of
 * statfs, which programs that watch disks send for ever, nor what the kernel gives back by itself. The clock goes on
 * while the machine sleeps: who wakes it after a night finds the volume unmounted.
 *
 * Whether a mount is in use the kernel decides: it refuses to unmount where a file is open or somebody's working
 * directory is. Then it is tried again. What the kernel answers out of its cache is no request; a program that does
 * only that has a file open.
 */
#include "fuse/idle.h"

#include "base/log.h"
#include "fuse/places.h"
#include "fuse/ticker.h"

#include <stdlib.h>
#include <time.h>

#define TICK_MOST_S 30

struct xtsfs_idle {
	struct xtsfs_idle_params params;
	struct xtsfs_ticker *ticker;
	uint64_t seen;
	time_t since_s;
};

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

static uint64_t requests(void)
{
	struct xtsfs_counts counts;
	uint64_t sum = 0;

	xtsfs_counts_sum(&counts);
	for (unsigned kind = 0; kind < XTSFS_KIND__COUNT; kind++)
		if (kind != XTSFS_KIND_statfs && kind != XTSFS_KIND_forget && kind != XTSFS_KIND_forget_multi)
			sum += counts.requests[kind];
	return sum;
}

static void look(void *data)
{
	struct xtsfs_idle *idle = data;
	uint64_t seen = requests();
	time_t now = now_s();
	int r;

	if (seen != idle->seen) {
		idle->seen = seen;
		idle->since_s = now;
	}
	if (now - idle->since_s < (time_t)idle->params.limit_s)
		return;
	xtsfs_info("nobody has asked for anything for %lld s; unmounting, if it is not in use",
		   (long long)(now - idle->since_s));
	r = idle->params.helper ? xtsfs_helper_unmount_unused(idle->params.helper, false)
				: xtsfs_unmount_unused(idle->params.mountpoint, idle->params.device, -1);
	if (r < 0 && r != -EBUSY && r != -ENOENT)
		xtsfs_warning("cannot try to unmount: %s, trying again", xtsfs_strerror(r));
}

int xtsfs_idle_start(const struct xtsfs_idle_params *params, struct xtsfs_idle **ret_idle)
{
	unsigned tick_s = params->limit_s / 4 > TICK_MOST_S ? TICK_MOST_S : params->limit_s / 4;
	struct xtsfs_idle *idle;
	int r;

	*ret_idle = NULL;
	if (params->limit_s == 0)
		return 0;
	idle = calloc(1, sizeof(*idle));
	if (!idle)
		return -ENOMEM;
	idle->params = *params;
	idle->since_s = now_s();
	r = xtsfs_ticker_start(tick_s ? tick_s : 1, look, idle, &idle->ticker);
	if (r < 0) {
		free(idle);
		return r;
	}
	*ret_idle = idle;
	return 0;
}

void xtsfs_idle_stop(struct xtsfs_idle *idle)
{
	if (!idle)
		return;
	xtsfs_ticker_stop(idle->ticker);
	free(idle);
}
