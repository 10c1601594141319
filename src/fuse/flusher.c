/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/flusher.h"

#include "base/log.h"
#include "fuse/ticker.h"

#include <stdlib.h>

#define TICK_S	  1
#define OLD_AGE_S 2

struct xtsfs_flusher {
	struct xtsfs_volume *volume;
	struct xtsfs_ticker *ticker;
	int last; /* what the last round gave */
};

static void flush(void *data)
{
	struct xtsfs_flusher *flusher = data;
	int r = xtsfs_commit_old(flusher->volume, OLD_AGE_S);

	if (r < 0 && r != flusher->last)
		xtsfs_error("cannot write what was changed: %s; trying again", xtsfs_strerror(r));
	flusher->last = r;
}

int xtsfs_flusher_start(struct xtsfs_volume *volume, struct xtsfs_flusher **ret_flusher)
{
	struct xtsfs_flusher *flusher = calloc(1, sizeof(*flusher));
	int r;

	if (!flusher)
		return -ENOMEM;
	flusher->volume = volume;
	r = xtsfs_ticker_start(TICK_S, flush, flusher, &flusher->ticker);
	if (r < 0) {
		free(flusher);
		return r;
	}
	*ret_flusher = flusher;
	return 0;
}

void xtsfs_flusher_stop(struct xtsfs_flusher *flusher)
{
	if (!flusher)
		return;
	xtsfs_ticker_stop(flusher->ticker);
	free(flusher);
}
