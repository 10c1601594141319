/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel gives a request to the thread that has waited for longest. Of many that wait that is the one whose stack
 * and buffers have left the caches, and which a processor that sleeps ran last: waking that one takes longer than most
 * requests. So while requests come one by one a few threads wait for them, in turn, and the others for a turn. One that
 * has read a request lets another in if nobody is left who waits: whatever a thread is held up by, the next request is
 * read.
 *
 * When callers are several all may wait: then the few would be handed around between the processors of their callers.
 * That others were being served as a request was read is the sign, and as some requests are made that nobody waits for
 * (RELEASE, FORGET, WRITE of the cache), it has to come often: a score.
 */
#include "fuse/readers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#define FEW	      3U
#define SCORE_STEP    4U /* for a request that met others; one that did not takes 1 */
#define SCORE_MOST    64U
#define SCORE_SEVERAL 48U /* from here on callers are several */
#define SCORE_ONE     8U  /* from here down it is one */

static struct {
	pthread_mutex_t mutex; /* a leaf, held for a few instructions */
	unsigned waiting;      /* in read(), or with a turn on their way there */
	unsigned parked;       /* of those without a turn */
	unsigned serving;
	unsigned score;
	bool several;
	sem_t turns; /* given to parked ones; posted with the mutex held */
} readers = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool serves;

int xtsfs_readers_init(void)
{
	return sem_init(&readers.turns, 0, 0) < 0 ? -errno : 0;
}

bool xtsfs_readers_enter(void)
{
	bool may;

	pthread_mutex_lock(&readers.mutex);
	if (serves)
		readers.serving--;
	serves = false;
	may = readers.several || readers.waiting < FEW;
	if (may)
		readers.waiting++;
	else
		readers.parked++;
	pthread_mutex_unlock(&readers.mutex);
	if (may || sem_wait(&readers.turns) == 0)
		return true;
	pthread_mutex_lock(&readers.mutex);
	may = sem_trywait(&readers.turns) == 0; /* it was given one at the same time */
	if (!may)
		readers.parked--;
	pthread_mutex_unlock(&readers.mutex);
	return may;
}

static void keep_score(void)
{
	if (readers.serving > 0)
		readers.score = readers.score + SCORE_STEP < SCORE_MOST ? readers.score + SCORE_STEP : SCORE_MOST;
	else if (readers.score > 0)
		readers.score--;
	if (readers.score >= SCORE_SEVERAL)
		readers.several = true;
	else if (readers.score <= SCORE_ONE)
		readers.several = false;
}

void xtsfs_readers_leave(bool has_request)
{
	pthread_mutex_lock(&readers.mutex);
	readers.waiting--;
	if (has_request) {
		keep_score();
		readers.serving++;
		serves = true;
	}
	if (readers.parked > 0 && (readers.waiting == 0 || readers.several)) {
		readers.parked--;
		readers.waiting++;
		(void)sem_post(&readers.turns); /* fails at INT_MAX turns */
	}
	pthread_mutex_unlock(&readers.mutex);
}
