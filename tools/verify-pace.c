/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a volume is verified.
 *
 * A rate is kept by putting off each read until the time at which all before it would have been read at that rate.
 * Time that was not used is not saved up for later, so a disk that was slow for a while is not made up for by a burst.
 * Waiting is done in short pieces, so that a signal is heeded.
 */
#include "cli-run.h"
#include "verify.h"

#include "base/cleanup.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S	  1000000000L
#define PIECE_NS	  100000000L
#define IOPRIO_WHO_THREAD 1	    /* IOPRIO_WHO_PROCESS, which is one thread */
#define IOPRIO_IDLE	  (3 << 13) /* class idle; there is no header of libc for it */

void verify_pace_init(struct verify_pace *pace, uint64_t bytes_per_s)
{
	pthread_mutex_init(&pace->mutex, NULL);
	pace->bytes_per_s = bytes_per_s;
	clock_gettime(CLOCK_MONOTONIC, &pace->next);
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static struct timespec later(struct timespec time, uint64_t ns)
{
	time.tv_sec += (time_t)(ns / NS_PER_S);
	time.tv_nsec += (long)(ns % NS_PER_S);
	time.tv_sec += time.tv_nsec / NS_PER_S;
	time.tv_nsec %= NS_PER_S;
	return time;
}

void verify_pace_wait(struct verify_pace *pace, uint64_t bytes)
{
	struct timespec now, turn;

	if (!pace->bytes_per_s)
		return;
	pthread_mutex_lock(&pace->mutex);
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (is_before(&pace->next, &now))
		pace->next = now;
	turn = pace->next;
	pace->next = later(turn, (uint64_t)((double)bytes / (double)pace->bytes_per_s * 1e9));
	pthread_mutex_unlock(&pace->mutex);
	while (!cli_interrupted && is_before(&now, &turn)) {
		struct timespec piece = later(now, PIECE_NS);

		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, is_before(&piece, &turn) ? &piece : &turn, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
}

void verify_pace_yield(void)
{
	/* Best effort: a kernel or a filesystem without I/O classes is no reason not to verify. */
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, IOPRIO_IDLE);
	(void)setpriority(PRIO_PROCESS, 0, 19);
}
