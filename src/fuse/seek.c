/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEEK_DATA and SEEK_HOLE.
 *
 * The kernel asks about holes without writing its dirty pages back first. So while a file is open for writing the
 * volume does not know where its data is, nor its length; an answer from it makes cp write zeros. An invalidation makes
 * the kernel write the pages out, but waits until that is answered: a thread of the loop must not ask for it, all of
 * them could wait for each other. One thread of its own does; it takes such a request over, asks, looks, and replies.
 *
 * Kernels before protocol 7.44 copy a page away to write it back and call it clean at once: no invalidation waits for a
 * write that was under way before. There, and where there is no thread, the answer is that it cannot be told, EINVAL:
 * who looks for holes then takes everything for data.
 *
 * Once libfuse's loop is told to end it throws away requests that it has read, and a write that is never answered would
 * keep this thread, and with it the process, in the kernel for good. So after SIGTERM (stop.c) the loop is told by this
 * thread, when it has nothing under way.
 *
 * While a request is here its caller has the file open, so neither the node nor its state goes away. The last close
 * writes back before it gives the file up: without a writer nothing is left in the cache.
 */
#include "fuse/seek.h"

#include "base/cleanup.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct seek {
	struct seek *next;
	fuse_req_t req;
	fuse_ino_t ino;
	off_t offset;
	int whence;
};

struct xtsfs_seeker {
	struct fuse_session *se;
	pthread_t thread, main;
	sem_t wake;	/* posted for each request, and for the end */
	bool stop;	/* atomic: end the loop, then the thread */
	bool loop_over; /* atomic */

	pthread_mutex_t mutex; /* the queue; held over nothing */
	struct seek *first, **last;
	bool closed;

	pthread_mutex_t
		notify; /* held while the kernel is notified, by this thread or who has it held; over everything */
};

static void answer(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence)
{
	int64_t at = xtsfs_seek(xtsfs_req_volume(req), xtsfs_req_node(req, ino), (uint64_t)offset, whence);

	if (at < 0)
		xtsfs_reply_status(req, (int)at);
	else
		fuse_reply_lseek(req, at);
}

/* The first request, or NULL. */
static struct seek *take(struct xtsfs_seeker *seeker)
{
	xtsfs_guard_mutex(&seeker->mutex);
	struct seek *seek = seeker->first;

	if (seek) {
		seeker->first = seek->next;
		if (!seeker->first)
			seeker->last = &seeker->first;
	}
	return seek;
}

static bool hand_over(struct xtsfs_seeker *seeker, fuse_req_t req, fuse_ino_t ino, off_t offset, int whence)
{
	struct seek *seek = malloc(sizeof(*seek));

	if (!seek)
		return false;
	*seek = (struct seek){.req = req, .ino = ino, .offset = offset, .whence = whence};
	xtsfs_guard_mutex(&seeker->mutex);
	if (seeker->closed) {
		free(seek);
		return false;
	}
	*seeker->last = seek;
	seeker->last = &seek->next;
	sem_post(&seeker->wake);
	return true;
}

/* Nothing more comes in; what waits is answered. */
static void close_queue(struct xtsfs_seeker *seeker)
{
	struct seek *seek;

	pthread_mutex_lock(&seeker->mutex);
	seeker->closed = true;
	pthread_mutex_unlock(&seeker->mutex);
	while ((seek = take(seeker))) {
		xtsfs_reply_status(seek->req, -EINVAL);
		free(seek);
	}
}

/* The main thread waits in a semaphore of libfuse's, which only a signal interrupts; one that comes too early is
 * lost. */
static void end_loop(struct xtsfs_seeker *seeker)
{
	fuse_session_exit(seeker->se);
	while (!__atomic_load_n(&seeker->loop_over, __ATOMIC_ACQUIRE)) {
		struct timespec until;

		pthread_kill(seeker->main, SIGURG);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		while (sem_timedwait(&seeker->wake, &until) == 0 &&
		       !__atomic_load_n(&seeker->loop_over, __ATOMIC_ACQUIRE))
			;
	}
}

static void *run(void *data)
{
	struct xtsfs_seeker *seeker = data;

	while (!__atomic_load_n(&seeker->stop, __ATOMIC_ACQUIRE)) {
		struct seek *seek;

		pthread_mutex_lock(&seeker->notify);
		seek = take(seeker);
		if (!seek) {
			pthread_mutex_unlock(&seeker->notify);
			(void)sem_wait(&seeker->wake);
			continue;
		}
		/* Only what lies behind can change the answer. An error means that the kernel has nothing of the file,
		 * or that the connection is gone. */
		(void)fuse_lowlevel_notify_inval_inode(seeker->se, seek->ino, seek->offset, 0);
		answer(seek->req, seek->ino, seek->offset, seek->whence);
		free(seek);
		pthread_mutex_unlock(&seeker->notify);
	}
	/* Whoever has it held notifies, too. */
	pthread_mutex_lock(&seeker->notify);
	pthread_mutex_unlock(&seeker->notify);
	close_queue(seeker);
	end_loop(seeker);
	return NULL;
}

static bool is_queue_empty(struct xtsfs_seeker *seeker)
{
	xtsfs_guard_mutex(&seeker->mutex);

	return !seeker->first;
}

bool xtsfs_seeker_hold(struct xtsfs_seeker *seeker)
{
	for (;;) {
		pthread_mutex_lock(&seeker->notify);
		if (__atomic_load_n(&seeker->stop, __ATOMIC_ACQUIRE)) {
			pthread_mutex_unlock(&seeker->notify);
			return false;
		}
		if (is_queue_empty(seeker))
			return true;
		pthread_mutex_unlock(&seeker->notify);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

void xtsfs_seeker_let_go(struct xtsfs_seeker *seeker)
{
	if (seeker)
		pthread_mutex_unlock(&seeker->notify);
}

void xtsfs_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	struct xtsfs_mount *mount = xtsfs_req_mount(req);

	(void)fi;
	if (!mount->has_cache || !xtsfs_has_writers(mount->volume, xtsfs_req_node(req, ino)))
		answer(req, ino, offset, whence);
	else if (!mount->seeker || !mount->writes_once || !hand_over(mount->seeker, req, ino, offset, whence))
		xtsfs_reply_status(req, -EINVAL);
}

void xtsfs_seeker_end_loop(struct xtsfs_seeker *seeker)
{
	__atomic_store_n(&seeker->stop, true, __ATOMIC_RELEASE);
	sem_post(&seeker->wake);
}

int xtsfs_seeker_start(struct fuse_session *se, struct xtsfs_seeker **ret_seeker)
{
	struct xtsfs_seeker *seeker = calloc(1, sizeof(*seeker));
	sigset_t all, before;
	int r;

	if (!seeker)
		return -ENOMEM;
	seeker->se = se;
	seeker->main = pthread_self();
	seeker->last = &seeker->first;
	pthread_mutex_init(&seeker->mutex, NULL);
	pthread_mutex_init(&seeker->notify, NULL);
	sem_init(&seeker->wake, 0, 0);
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&seeker->thread, NULL, run, seeker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		sem_destroy(&seeker->wake);
		pthread_mutex_destroy(&seeker->mutex);
		pthread_mutex_destroy(&seeker->notify);
		free(seeker);
		return r;
	}
	*ret_seeker = seeker;
	return 0;
}

void xtsfs_seeker_end(struct xtsfs_seeker *seeker)
{
	if (!seeker)
		return;
	__atomic_store_n(&seeker->loop_over, true, __ATOMIC_RELEASE);
	xtsfs_seeker_end_loop(seeker);
	pthread_join(seeker->thread, NULL);
	sem_destroy(&seeker->wake);
	pthread_mutex_destroy(&seeker->mutex);
	pthread_mutex_destroy(&seeker->notify);
	free(seeker);
}
