/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ticker.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct xtsfs_ticker {
	unsigned seconds;
	void (*tick)(void *data);
	void *data;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards stop; a leaf */
	pthread_cond_t cond;
	bool stop;
};

/* Returns whether to go on. */
static bool wait_tick(struct xtsfs_ticker *ticker)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ticker->seconds;
	pthread_mutex_lock(&ticker->mutex);
	while (!ticker->stop && pthread_cond_timedwait(&ticker->cond, &ticker->mutex, &until) == 0)
		;
	go_on = !ticker->stop;
	pthread_mutex_unlock(&ticker->mutex);
	return go_on;
}

static void *run(void *data)
{
	struct xtsfs_ticker *ticker = data;

	while (wait_tick(ticker))
		ticker->tick(ticker->data);
	return NULL;
}

static void ticker_free(struct xtsfs_ticker *ticker)
{
	pthread_cond_destroy(&ticker->cond);
	pthread_mutex_destroy(&ticker->mutex);
	free(ticker);
}

int xtsfs_ticker_start(unsigned seconds, void (*tick)(void *data), void *data, struct xtsfs_ticker **ret_ticker)
{
	struct xtsfs_ticker *ticker = calloc(1, sizeof(*ticker));
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	if (!ticker)
		return -ENOMEM;
	ticker->seconds = seconds;
	ticker->tick = tick;
	ticker->data = data;
	pthread_mutex_init(&ticker->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ticker->cond, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are for the main thread, which waits for them */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&ticker->thread, NULL, run, ticker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		ticker_free(ticker);
		return r;
	}
	*ret_ticker = ticker;
	return 0;
}

void xtsfs_ticker_stop(struct xtsfs_ticker *ticker)
{
	if (!ticker)
		return;
	pthread_mutex_lock(&ticker->mutex);
	ticker->stop = true;
	pthread_cond_signal(&ticker->cond);
	pthread_mutex_unlock(&ticker->mutex);
	pthread_join(ticker->thread, NULL);
	ticker_free(ticker);
}
