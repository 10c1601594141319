/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signals are blocked in every thread and read from a descriptor. After the first:
 *
 * 1. A process of its own unmounts, as umount(8) would. The kernel writes out what it has, so requests are served
 *    meanwhile, and the loop ends because the mount has gone.
 * 2. Is it in use, everything that was written so far is stored (the caller's store()), and the loop is ended; the
 *    mount is then detached, and who has files open there gets errors. Somebody who is told to end and does not is
 *    killed, and that would cost what has been written.
 *
 * Later signals change nothing: at a shutdown everybody gets another one. They stay blocked until the process ends, so
 * that none cuts short what is written out after the unmounting.
 *
 * libfuse's own handlers end the loop at once, and with it the kernel's cache.
 */
#include "fuse/stop.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/notify.h"
#include "fuse/ops.h"
#include "fuse/seek.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WAKE_MS	    20
#define PATIENCE_MS 30000 /* with the unmounting, then what is written is stored in the other way */
#define GONE_MS	    10000 /* from the unmounting to the end of the loop, if no other namespace has the mount */

struct xtsfs_stopper {
	const struct xtsfs_stop_params *params;
	int signals;
	int stop[2];   /* closed at the one end when the loop has ended */
	int result[2]; /* what became of the unmounting */
	pthread_t thread, loop;
	bool is_running;
};

/* Whether the loop has ended before anything is to be read at @fd, or within @timeout_ms (-1: whatever that takes). */
static bool ends_before(const struct xtsfs_stopper *stopper, int fd, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = stopper->stop[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR)
		continue;
	return fds[0].revents;
}

/* 0: it is unmounted; -EBUSY: it is in use, or, with -errno, could not be tried. True: the loop has ended. */
static bool unmount(const struct xtsfs_stopper *stopper, int *ret_result)
{
	const struct xtsfs_stop_params *params = stopper->params;
	int result = params->helper ? xtsfs_helper_result(params->helper) : stopper->result[0];
	int r = params->helper ? xtsfs_helper_unmount_unused(params->helper, true)
			       : xtsfs_unmount_unused(params->mountpoint, params->device, stopper->result[1]);

	if (r == 0) {
		if (ends_before(stopper, result, PATIENCE_MS))
			return true;
		if (poll(&(struct pollfd){.fd = result, .events = POLLIN}, 1, 0) != 1)
			r = -EBUSY; /* writes that wait at the gate of a locked mount, say */
		else if (read(result, &r, sizeof(r)) != (ssize_t)sizeof(r))
			r = -EIO;
	}
	*ret_result = r;
	return (r == 0 || r == -ENOENT) && ends_before(stopper, -1, GONE_MS);
}

/* The loop may look whether it is to end just before the signal, and wait just after: hence again and again. */
static void end_loop(const struct xtsfs_stopper *stopper)
{
	const struct xtsfs_stop_params *params = stopper->params;

	if (params->seeker)
		xtsfs_seeker_end_loop(params->seeker);
	while (!ends_before(stopper, -1, params->seeker ? -1 : WAKE_MS)) {
		fuse_session_exit(params->se);
		(void)pthread_kill(stopper->loop, SIGURG);
	}
}

static void *run(void *data)
{
	struct xtsfs_stopper *stopper = data;
	const struct xtsfs_stop_params *params = stopper->params;
	struct signalfd_siginfo info;
	int r;

	if (ends_before(stopper, stopper->signals, -1))
		return NULL;
	if (read(stopper->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return NULL;
	xtsfs_notify("STOPPING=1", "Unmounting '%s'", params->mountpoint);
	if (unmount(stopper, &r))
		return NULL;
	if (r == -EBUSY)
		xtsfs_warning("'%s' is in use; storing what was written there and ending all the same: files that are "
			      "open there give errors from now on",
			      params->mountpoint);
	else if (r == 0 || r == -ENOENT)
		xtsfs_notice("'%s' is unmounted here, and not in another mount namespace; ending all the same",
			     params->mountpoint);
	else if (r != -EPIPE) /* without a helper: told when it is to detach */
		xtsfs_warning("cannot unmount '%s': %s, ending all the same", params->mountpoint, xtsfs_strerror(r));
	r = params->store(params->data);
	if (r < 0)
		xtsfs_error("cannot store what was written at '%s': %s", params->mountpoint, xtsfs_strerror(r));
	end_loop(stopper);
	return NULL;
}

int xtsfs_stopper_new(struct xtsfs_stopper **ret_stopper)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	struct xtsfs_stopper *stopper = calloc(1, sizeof(*stopper));
	struct sigaction before;
	sigset_t set;
	int r = 0;

	if (!stopper)
		return -ENOMEM;
	*stopper = (struct xtsfs_stopper){.signals = -1, .stop = {-1, -1}, .result = {-1, -1}};
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaddset(&set, numbers[i]); /* what the caller wanted ignored stays so */
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	stopper->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (stopper->signals < 0 || pipe2(stopper->stop, O_CLOEXEC) < 0 || pipe2(stopper->result, O_CLOEXEC) < 0)
		r = -errno;
	if (r < 0) {
		xtsfs_stopper_free(stopper);
		return r;
	}
	*ret_stopper = stopper;
	return 0;
}

int xtsfs_stopper_start(struct xtsfs_stopper *stopper, const struct xtsfs_stop_params *params)
{
	sigset_t all, before;
	int r;

	stopper->params = params;
	stopper->loop = pthread_self();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&stopper->thread, NULL, run, stopper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	stopper->is_running = r == 0;
	return r;
}

void xtsfs_stopper_stop(struct xtsfs_stopper *stopper)
{
	int end = stopper->stop[1];

	stopper->stop[1] = -1;
	xtsfs_cleanup_fd(&end);
	if (stopper->is_running)
		pthread_join(stopper->thread, NULL);
	stopper->is_running = false;
}

void xtsfs_stopper_free(struct xtsfs_stopper *stopper)
{
	if (!stopper)
		return;
	xtsfs_cleanup_fd(&stopper->signals);
	for (int i = 0; i < 2; i++) {
		xtsfs_cleanup_fd(&stopper->stop[i]);
		xtsfs_cleanup_fd(&stopper->result[i]);
	}
	free(stopper);
}
