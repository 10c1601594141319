/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/flusher.h"

#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define TICK_S	  1
#define OLD_AGE_S 2

struct xtsfs_flusher {
	struct xtsfs_volume *volume;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool stop;
};

/* Returns whether to go on. */
static bool wait_tick(struct xtsfs_flusher *flusher)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TICK_S;
	pthread_mutex_lock(&flusher->mutex);
	while (!flusher->stop && pthread_cond_timedwait(&flusher->cond, &flusher->mutex, &until) == 0)
		;
	go_on = !flusher->stop;
	pthread_mutex_unlock(&flusher->mutex);
	return go_on;
}

static void *run(void *data)
{
	struct xtsfs_flusher *flusher = data;
	int last = 0;

	while (wait_tick(flusher)) {
		int r = xtsfs_commit_old(flusher->volume, OLD_AGE_S);

		if (r < 0 && r != last)
			xtsfs_error("cannot write what was changed: %s; trying again", xtsfs_strerror(r));
		last = r;
	}
	return NULL;
}

int xtsfs_flusher_start(struct xtsfs_volume *volume, struct xtsfs_flusher **ret_flusher)
{
	struct xtsfs_flusher *flusher = calloc(1, sizeof(*flusher));
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	if (!flusher)
		return -ENOMEM;
	flusher->volume = volume;
	pthread_mutex_init(&flusher->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&flusher->cond, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are for the main thread, which waits for them */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&flusher->thread, NULL, run, flusher);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		pthread_cond_destroy(&flusher->cond);
		pthread_mutex_destroy(&flusher->mutex);
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
	pthread_mutex_lock(&flusher->mutex);
	flusher->stop = true;
	pthread_cond_signal(&flusher->cond);
	pthread_mutex_unlock(&flusher->mutex);
	pthread_join(flusher->thread, NULL);
	pthread_cond_destroy(&flusher->cond);
	pthread_mutex_destroy(&flusher->mutex);
	free(flusher);
}
