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
 * While a request is here its caller has the file open, so neither the node nor its state goes away. The last close
 * writes back before it gives the file up: without a writer nothing is left in the cache.
 */
#include "fuse/seek.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct seek {
	struct seek *next;
	fuse_req_t req;
	fuse_ino_t ino;
	off_t offset;
	int whence;
};

struct xtsfs_seeker {
	struct fuse_session *se;
	pthread_t thread;
	int done_fd; /* readable when the thread has nothing more to ask the kernel */

	pthread_mutex_t mutex; /* what follows; held over nothing */
	pthread_cond_t work;
	struct seek *first, **last;
	bool ending;
};

static void answer(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence)
{
	int64_t at = xtsfs_seek(xtsfs_req_volume(req), xtsfs_req_node(req, ino), (uint64_t)offset, whence);

	if (at < 0)
		xtsfs_reply_status(req, (int)at);
	else
		fuse_reply_lseek(req, at);
}

/* The next request, or NULL at the end. */
static struct seek *take(struct xtsfs_seeker *seeker)
{
	xtsfs_guard_mutex(&seeker->mutex);
	struct seek *seek;

	while (!seeker->first && !seeker->ending)
		pthread_cond_wait(&seeker->work, &seeker->mutex);
	seek = seeker->first;
	if (seek) {
		seeker->first = seek->next;
		if (!seeker->first)
			seeker->last = &seeker->first;
	}
	return seek;
}

static void *run(void *data)
{
	struct xtsfs_seeker *seeker = data;
	struct seek *seek;
	uint64_t one = 1;
	ssize_t n;

	while ((seek = take(seeker))) {
		/* Only what lies behind can change the answer. An error means that the kernel has nothing of the file,
		 * or that the connection is gone. */
		(void)fuse_lowlevel_notify_inval_inode(seeker->se, seek->ino, seek->offset, 0);
		answer(seek->req, seek->ino, seek->offset, seek->whence);
		free(seek);
	}
	n = write(seeker->done_fd, &one, sizeof(one));
	(void)n; /* the counter cannot be full */
	return NULL;
}

static bool hand_over(struct xtsfs_seeker *seeker, fuse_req_t req, fuse_ino_t ino, off_t offset, int whence)
{
	struct seek *seek = malloc(sizeof(*seek));

	if (!seek)
		return false;
	*seek = (struct seek){.req = req, .ino = ino, .offset = offset, .whence = whence};
	xtsfs_guard_mutex(&seeker->mutex);
	if (seeker->ending) {
		free(seek);
		return false;
	}
	*seeker->last = seek;
	seeker->last = &seek->next;
	pthread_cond_signal(&seeker->work);
	return true;
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

int xtsfs_seeker_start(struct fuse_session *se, struct xtsfs_seeker **ret_seeker)
{
	struct xtsfs_seeker *seeker = calloc(1, sizeof(*seeker));
	sigset_t all, before;
	int r;

	if (!seeker)
		return -ENOMEM;
	seeker->se = se;
	seeker->last = &seeker->first;
	pthread_mutex_init(&seeker->mutex, NULL);
	pthread_cond_init(&seeker->work, NULL);
	seeker->done_fd = eventfd(0, EFD_CLOEXEC);
	r = seeker->done_fd < 0 ? -errno : 0;
	if (r == 0) {
		sigfillset(&all); /* signals are for the main thread, which waits for them */
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&seeker->thread, NULL, run, seeker);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r < 0)
			close(seeker->done_fd);
	}
	if (r < 0) {
		pthread_cond_destroy(&seeker->work);
		pthread_mutex_destroy(&seeker->mutex);
		free(seeker);
		return r;
	}
	*ret_seeker = seeker;
	return 0;
}

/* Nothing more comes in; what waits is answered. */
static void close_queue(struct xtsfs_seeker *seeker)
{
	struct seek *seek, *next;

	pthread_mutex_lock(&seeker->mutex);
	seeker->ending = true;
	seek = seeker->first;
	seeker->first = NULL;
	seeker->last = &seeker->first;
	pthread_cond_signal(&seeker->work);
	pthread_mutex_unlock(&seeker->mutex);
	for (; seek; seek = next) {
		next = seek->next;
		xtsfs_reply_status(seek->req, -EINVAL);
		free(seek);
	}
}

/*
 * The thread may be in the kernel, which waits for writes to be answered: as long as it is, closing the descriptor ends
 * nothing, and joining would never return. So requests are served to the end of that.
 */
static void serve_until_done(struct xtsfs_seeker *seeker)
{
	struct pollfd fds[2] = {{.fd = seeker->done_fd, .events = POLLIN},
				{.fd = fuse_session_fd(seeker->se), .events = POLLIN}};
	int flags = fcntl(fds[1].fd, F_GETFL);
	struct fuse_buf buf = {0};
	sigset_t all, before;

	/* A signal has been heard already; a request that others saw may be taken back before it is read. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (flags >= 0)
		(void)fcntl(fds[1].fd, F_SETFL, flags | O_NONBLOCK);
	fuse_session_reset(seeker->se);
	while (poll(fds, 2, -1) > 0 && !fds[0].revents) {
		int r = fuse_session_receive_buf(seeker->se, &buf);

		if (r > 0)
			fuse_session_process_buf(seeker->se, &buf);
		else if (r != -EAGAIN && r != -EINTR)
			break; /* the connection has ended, and with it every wait */
	}
	fuse_session_exit(seeker->se);
	if (flags >= 0)
		(void)fcntl(fds[1].fd, F_SETFL, flags);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(buf.mem);
}

void xtsfs_seeker_end(struct xtsfs_seeker *seeker)
{
	if (!seeker)
		return;
	close_queue(seeker);
	serve_until_done(seeker);
	pthread_join(seeker->thread, NULL);
	close(seeker->done_fd);
	pthread_cond_destroy(&seeker->work);
	pthread_mutex_destroy(&seeker->mutex);
	free(seeker);
}
