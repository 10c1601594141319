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

struct request {
	enum request_kind kind;
	union {
		struct xtsfs_caller_question question; /* MAY */
		struct xtsfs_control_name control;     /* INTRODUCE */
	};
};

struct xtsfs_helper {
	pthread_mutex_t mutex; /* a request and its answer; a leaf, held over both */
	int fd;
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

/* As libfuse does: root by the system call, others by the program that may. */
static int unmount(const char *mountpoint)
{
	int status = 0, r = umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	pid_t pid;

	if (r == 0)
		return 0;
	pid = fork();
	if (pid == 0)
		run_fusermount("-qz", mountpoint);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return r;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : r;
}

int xtsfs_unmount_unused(const char *mountpoint, dev_t device)
{
	struct xtsfs_mounted mounted;
	int r = xtsfs_mounts_at(mountpoint, &mounted);
	pid_t pid;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	xtsfs_mounts_done(&mounted);
	if (mounted.device != device) /* another one is in front of it: it is in use */
		return 0;
	pid = fork();
	if (pid == 0) {
		pid = fork(); /* nobody waits for this one */
		if (pid != 0)
			_exit(pid < 0);
		if (umount2(mountpoint, UMOUNT_NOFOLLOW) == 0 || errno == EBUSY)
			_exit(0);
		run_fusermount("-q", mountpoint);
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
		return xtsfs_unmount_unused(params->mountpoint, control->device);
	case REMOVE_SOCKET:
		if (control->directory[0])
			xtsfs_control_remove(control);
		return 0;
	case UNMOUNT:
		return unmount(params->mountpoint);
	case REMOVE_PIDFILE:
		return params->pidfile && unlink(params->pidfile) < 0 ? -errno : 0;
	case MAY:
		return xtsfs_process_may(&request->question);
	}
	return -EINVAL;
}

/* Others that were inherited must not be kept open: the daemon's end of the socket, the pipe at which its parent waits.
 */
static void keep_only(int fd, bool background)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; null >= 0 && i <= (background ? STDERR_FILENO : STDOUT_FILENO); i++)
		(void)dup2(null, i);
	if (fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0U, 0);
}

/* "ps" and "pgrep -f MOUNTPOINT" are to find the daemon. */
static void rename_process(int argc, char **argv)
{
	(void)prctl(PR_SET_NAME, "xtsfs-helper", 0, 0, 0);
	for (int i = 1; i < argc; i++)
		memset(argv[i], 0, strlen(argv[i]));
}

_Noreturn static void serve(const struct xtsfs_helper_params *params, int fd)
{
	struct xtsfs_control_name control = {0};
	struct request request;
	sigset_t all;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL);
	keep_only(fd, params->background);
	rename_process(params->argc, params->argv);
	if (params->background)
		(void)setsid();
	if (chdir("/") < 0)
		_exit(1);
	while (recv(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		int r = answer(params, &request, &control);

		if (send(fd, &r, sizeof(r), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

int xtsfs_helper_start(const struct xtsfs_helper_params *params, struct xtsfs_helper **ret_helper)
{
	struct xtsfs_helper *helper = malloc(sizeof(*helper));
	int ends[2], r;

	if (!helper)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		r = -errno;
		free(helper);
		return r;
	}
	*helper = (struct xtsfs_helper){.fd = ends[0], .pid = fork()};
	if (helper->pid == 0)
		serve(params, ends[1]);
	r = helper->pid < 0 ? -errno : 0;
	close(ends[1]);
	if (r < 0) {
		close(ends[0]);
		free(helper);
		return r;
	}
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

int xtsfs_helper_unmount_unused(struct xtsfs_helper *helper)
{
	return ask(helper, (struct request){.kind = UNMOUNT_UNUSED});
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
	while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	pthread_mutex_destroy(&helper->mutex);
	free(helper);
}
