/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent waits at a pipe. The child writes one byte when it is ready; if it ends without, the parent takes over its
 * exit code. Until then the child has the terminal, so passphrases can be asked for and messages seen.
 */
#include "fuse/daemon.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/notify.h"
#include "fuse/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static void *end_at_once(void *data)
{
	pthread_exit(data);
}

void xtsfs_daemon_load_all(void)
{
	pthread_t thread;

	tzset();
	if (pthread_create(&thread, NULL, end_at_once, NULL) == 0)
		(void)pthread_join(thread, NULL);
}

int xtsfs_daemon_descriptors(int keep)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR); /* without O_CLOEXEC: 0 to 2 are for children, too */
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	if (keep <= STDERR_FILENO)
		return close_range(STDERR_FILENO + 1, ~0U, 0) < 0 && errno != ENOSYS ? -errno : 0;
	if (keep > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0);
	(void)close_range((unsigned)keep + 1, ~0U, 0);
	return 0;
}

int xtsfs_daemon_begin(struct xtsfs_daemon *ret_daemon, bool foreground)
{
	int ends[2], status;
	char byte;
	ssize_t n;
	pid_t pid;

	if (foreground) { /* else the process that systemd knows is not the one that serves */
		xtsfs_notify_connect();
		return 0;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(ends[0]);
		close(ends[1]);
		return r;
	}
	if (pid == 0) {
		close(ends[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0,
			    0); /* who ends the one that waits does not want the other */
		ret_daemon->report_fd = ends[1];
		return 0;
	}
	close(ends[1]);
	do
		n = read(ends[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

int xtsfs_daemon_start_helper(struct xtsfs_daemon *daemon, const struct xtsfs_options *options)
{
	struct xtsfs_helper_params params = {
		.mountpoint = options->mountpoint,
		.pidfile = options->pidfile,
		.background = daemon->report_fd >= 0,
		.argc = daemon->argc,
		.argv = daemon->argv,
	};

	return options->no_sandbox ? 0 : xtsfs_helper_start(&params, &daemon->helper);
}

int xtsfs_daemon_ready(struct xtsfs_daemon *daemon, const struct xtsfs_options *options, int backing, int beside,
		       bool kernel_engine)
{
	bool background = daemon->report_fd >= 0;
	xtsfs_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	if (background && (null < 0 || setsid() < 0 || chdir("/") < 0))
		return -errno;
	if (daemon->helper) {
		if (background)
			xtsfs_log_connect_syslog();
		(void)xtsfs_sandbox_enter(backing, beside, options->read_only, kernel_engine);
	} else {
		xtsfs_notice("sandbox: none, as asked for by nosandbox");
	}
	if (!background) {
		xtsfs_notify("READY=1", "Serving '%s' at '%s'", options->source, options->mountpoint);
		return 0;
	}
	xtsfs_log_to_syslog();
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	if (write(daemon->report_fd, "", 1) != 1)
		xtsfs_notice("the program that started the mount has gone");
	close(daemon->report_fd);
	daemon->report_fd = -1;
	return 0;
}

int xtsfs_daemon_pidfile(const char *path)
{
	char text[24];
	int bytes = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	xtsfs_auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)bytes) == bytes ? 0 : -EIO;
}
