/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper: a child from before the keys were read, at the other end of a socket. It knows the mount point and the
 * pidfile, and is told of the control socket once, before anything is served; whoever has got hold of the daemon can
 * ask it for no more than the few things it does.
 *
 * It ends when the daemon does, however that comes, and leaves the mount alone unless it was asked. Signals it does not
 * hear: they are sent to groups of processes, and the daemon that hears them needs it at its end.
 */
#include "fuse/helper.h"

#include "base/cleanup.h"
#include "fuse/mounts.h"
#include "fuse/ops.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum request_kind { INTRODUCE, UNMOUNT, UNMOUNT_UNUSED, REMOVE_SOCKET, REMOVE_PIDFILE, MAY };

/* Descriptors of the helper. */
#define REQUESTS (STDERR_FILENO + 1)
#define RESULTS	 (STDERR_FILENO + 2)

struct request {
	enum request_kind kind;
	union {
		struct xtsfs_caller_question question; /* MAY */
		struct xtsfs_control_name control;     /* INTRODUCE */
		bool want_result;		       /* UNMOUNT_UNUSED */
	};
};

struct xtsfs_helper {
	pthread_mutex_t mutex; /* a request and its answer; a leaf, held over both */
	int fd, result;
	pid_t pid;
};

/* In a child: does not return. */
_Noreturn static void run_fusermount(const char *flags, const char *mountpoint)
{
	sigset_t none;

	sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	execlp("fusermount3", "fusermount3", "-u", flags, "--", mountpoint, (char *)NULL);
	_exit(127);
}

static int fusermount(const char *flags, const char *mountpoint)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		run_fusermount(flags, mountpoint);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

/* As libfuse does: root by the system call, others by the program that may. */
static int unmount(const char *mountpoint, bool detach)
{
	int r = umount2(mountpoint, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) < 0 ? -errno : 0;

	if (r == 0 || (r == -EBUSY && !detach))
		return r;
	return fusermount(detach ? "-qz" : "-q", mountpoint) == 0 ? 0 : r == -EPERM ? -EBUSY : r;
}

int xtsfs_unmount_unused(const char *mountpoint, dev_t device, int result)
{
	struct xtsfs_mounted mounted;
	int r = xtsfs_mounts_at(mountpoint, &mounted);
	pid_t pid;

	if (r < 0)
		return r;
	xtsfs_mounts_done(&mounted);
	if (mounted.device != device)
		return -EBUSY;
	pid = fork();
	if (pid == 0) {
		pid = fork(); /* nobody waits for this one */
		if (pid != 0)
			_exit(pid < 0);
		r = unmount(mountpoint, false);
		if (result >= 0 && write(result, &r, sizeof(r)) < 0)
			_exit(1);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &(int){0}, 0) < 0 && errno == EINTR)
		continue;
	return 0;
}

static int introduce(const struct xtsfs_control_name *name, struct xtsfs_control_name *control)
{
	if (control->device || memchr(name->directory, '\0', sizeof(name->directory)) == NULL)
		return -EPERM;
	*control = *name;
	return 0;
}

/* @control: what has been told. */
static int answer(const struct xtsfs_helper_params *params, const struct request *request,
		  struct xtsfs_control_name *control)
{
	switch (request->kind) {
	case INTRODUCE:
		return introduce(&request->control, control);
	case UNMOUNT_UNUSED:
		return xtsfs_unmount_unused(params->mountpoint, control->device, request->want_result ? RESULTS : -1);
	case REMOVE_SOCKET:
		if (control->directory[0])
			xtsfs_control_remove(control);
		return 0;
	case UNMOUNT:
		return unmount(params->mountpoint, true);
	case REMOVE_PIDFILE:
		return params->pidfile && unlink(params->pidfile) < 0 ? -errno : 0;
	case MAY:
		return xtsfs_process_may(&request->question);
	}
	return -EINVAL;
}

/* Others that were inherited must not be kept open: the daemon's ends, the pipe at which its parent waits. */
static void keep_only(const int ends[2], bool background)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high[2];

	for (int i = 0; null >= 0 && i <= (background ? STDERR_FILENO : STDOUT_FILENO); i++)
		(void)dup2(null, i);
	for (int i = 0; i < 2; i++)
		high[i] = fcntl(ends[i], F_DUPFD_CLOEXEC, RESULTS + 1);
	for (int i = 0; i < 2; i++)
		if (dup3(high[i], REQUESTS + i, O_CLOEXEC) < 0)
			_exit(1);
	(void)close_range(RESULTS + 1, ~0U, 0);
}

/* "ps" and "pgrep -f MOUNTPOINT" are to find the daemon. */
static void rename_process(int argc, char **argv)
{
	(void)prctl(PR_SET_NAME, "xtsfs-helper", 0, 0, 0);
	for (int i = 1; i < argc; i++)
		memset(argv[i], 0, strlen(argv[i]));
}

_Noreturn static void serve(const struct xtsfs_helper_params *params, const int ends[2])
{
	struct xtsfs_control_name control = {0};
	struct request request;
	sigset_t all;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL);
	keep_only(ends, params->background);
	rename_process(params->argc, params->argv);
	if (params->background)
		(void)setsid();
	if (chdir("/") < 0)
		_exit(1);
	while (recv(REQUESTS, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		int r = answer(params, &request, &control);

		if (send(REQUESTS, &r, sizeof(r), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

int xtsfs_helper_start(const struct xtsfs_helper_params *params, struct xtsfs_helper **ret_helper)
{
	struct xtsfs_helper *helper = malloc(sizeof(*helper));
	int sockets[2] = {-1, -1}, results[2] = {-1, -1}, r = 0;

	if (!helper)
		return -ENOMEM;
	*helper = (struct xtsfs_helper){.pid = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 || pipe2(results, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0) {
		helper->pid = fork();
		if (helper->pid == 0)
			serve(params, (const int[]){sockets[1], results[1]});
		r = helper->pid < 0 ? -errno : 0;
	}
	xtsfs_cleanup_fd(&sockets[1]);
	xtsfs_cleanup_fd(&results[1]);
	if (r < 0) {
		xtsfs_cleanup_fd(&sockets[0]);
		xtsfs_cleanup_fd(&results[0]);
		free(helper);
		return r;
	}
	helper->fd = sockets[0];
	helper->result = results[0];
	pthread_mutex_init(&helper->mutex, NULL);
	*ret_helper = helper;
	return 0;
}

static int ask(struct xtsfs_helper *helper, struct request request)
{
	xtsfs_guard_mutex(&helper->mutex);
	ssize_t n;
	int r;

	if (send(helper->fd, &request, sizeof(request), MSG_NOSIGNAL) != (ssize_t)sizeof(request))
		return -EPIPE;
	do
		n = recv(helper->fd, &r, sizeof(r), 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(r) ? r : -EPIPE;
}

int xtsfs_helper_unmount(struct xtsfs_helper *helper)
{
	return ask(helper, (struct request){.kind = UNMOUNT});
}

int xtsfs_helper_introduce(struct xtsfs_helper *helper, const struct xtsfs_control_name *control)
{
	return ask(helper, (struct request){.kind = INTRODUCE, .control = *control});
}

void xtsfs_helper_remove_socket(struct xtsfs_helper *helper)
{
	(void)ask(helper, (struct request){.kind = REMOVE_SOCKET});
}

int xtsfs_helper_unmount_unused(struct xtsfs_helper *helper, bool want_result)
{
	return ask(helper, (struct request){.kind = UNMOUNT_UNUSED, .want_result = want_result});
}

int xtsfs_helper_result(const struct xtsfs_helper *helper)
{
	return helper->result;
}

void xtsfs_helper_remove_pidfile(struct xtsfs_helper *helper)
{
	(void)ask(helper, (struct request){.kind = REMOVE_PIDFILE});
}

int xtsfs_helper_may(struct xtsfs_helper *helper, const struct xtsfs_caller_question *question)
{
	return ask(helper, (struct request){.kind = MAY, .question = *question});
}

void xtsfs_helper_end(struct xtsfs_helper *helper)
{
	int status;

	if (!helper)
		return;
	close(helper->fd);
	close(helper->result);
	while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	pthread_mutex_destroy(&helper->mutex);
	free(helper);
}
