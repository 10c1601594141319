/* SPDX-License-Identifier: Apache-2.0 */
/*
 * umount.xtsfs MOUNTPOINT [-flnrv] [-N NAMESPACE] [-t TYPE]
 *
 * The kernel does not wait for the daemon of a FUSE mount when it unmounts it. Whoever goes on and unmounts what the
 * volume lies on then finds it busy. So this program, which umount(8) starts as whoever has called it, has umount(8) do
 * the work, who knows who may (options user and users), and waits for the daemon. It is known by what stands in
 * xtsfs.lock; readers are not there, and have nothing to write out.
 *
 * Bounded, for a daemon stays as long as its mount is in the namespace of some other process, too.
 */
#include "fuse/umount.h"

#include "base/cleanup.h"
#include "base/exit-codes.h"
#include "base/log.h"
#include "fuse/mounts.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 30000

/* A descriptor of the process that serves the mount, or less than 0. */
static int daemon_of(const char *mountpoint, pid_t *ret_pid)
{
	struct xtsfs_mounted mounted;
	struct xtsfs_holder holder = {0};
	int r = xtsfs_mounts_at(mountpoint, &mounted);

	if (r < 0)
		return r;
	r = mounted.is_ours && mounted.source[0] == '/' ? xtsfs_mounts_holder(mounted.source, &holder) : -ENOENT;
	xtsfs_mounts_done(&mounted);
	if (r < 0 || !holder.pid || strncmp(holder.mountpoint, mountpoint, XTSFS_HOLDER_PATH_BYTES) != 0)
		return -ENOENT;
	*ret_pid = holder.pid;
	return (int)syscall(SYS_pidfd_open, holder.pid, 0);
}

/* umount(8) without helpers. Its exit status. */
static int run_umount(const char *flags, const char *directory)
{
	const char *first = flags ? flags : directory, *second = flags ? directory : NULL;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/umount", "umount", "-i", first, second, (char *)NULL);
		execl("/usr/bin/umount", "umount", "-i", first, second, (char *)NULL);
		xtsfs_error("cannot run umount: %s", xtsfs_strerror(-errno));
		_exit(XTSFS_MOUNT_SYSTEM);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return XTSFS_MOUNT_SYSTEM;
	return WIFEXITED(status) ? WEXITSTATUS(status) : XTSFS_MOUNT_INTERRUPTED;
}

static void print_help(void)
{
	printf("Usage: umount.xtsfs [OPTION...] MOUNTPOINT\n"
	       "Unmount the encrypted directory that is mounted at MOUNTPOINT, and wait until its daemon has ended.\n"
	       "umount(8) calls this program, and the options are umount(8)'s: -f, -l, -n, -r, -v, -N, -t.\n\n"
	       "  -h, --help     this text\n"
	       "  -V, --version  the version\n");
}

bool xtsfs_is_umount(int argc, char **argv)
{
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;

	name = name ? name + 1 : argc > 0 ? argv[0] : "";
	return strncmp(name, "umount.", strlen("umount.")) == 0;
}

int xtsfs_umount(int argc, char **argv)
{
	char *directory = NULL, *namespace = NULL, flags[8] = "-";
	bool lazy = false;
	pid_t pid = 0;
	int status;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		bool has_value = strcmp(arg, "-N") == 0 || strcmp(arg, "-t") == 0;

		if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
			print_help();
			return 0;
		}
		if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
			printf("umount.xtsfs %s\n", XTSFS_VERSION);
			return 0;
		}
		if (has_value && i + 1 < argc) {
			i++;
			namespace = arg[1] == 'N' ? argv[i] : namespace;
		} else if (!has_value && arg[0] == '-' && arg[1] && strspn(arg + 1, "flnrv") == strlen(arg + 1)) {
			for (const char *flag = arg + 1; *flag; flag++)
				if (strlen(flags) < sizeof(flags) - 1 && !strchr(flags, *flag))
					flags[strlen(flags)] = *flag;
			lazy |= strchr(arg, 'l') != NULL;
		} else if (arg[0] != '-' && !directory) {
			directory = argv[i];
		} else {
			xtsfs_error("unknown argument '%s'; umount(8) calls this program", arg);
			return XTSFS_MOUNT_USAGE;
		}
	}
	if (!directory) {
		xtsfs_error("what is to be unmounted? umount(8) calls this program");
		return XTSFS_MOUNT_USAGE;
	}
	if (namespace) {
		int r = xtsfs_mounts_enter(namespace);

		if (r < 0) {
			xtsfs_error("cannot enter the mount namespace '%s': %s", namespace, xtsfs_strerror(r));
			return XTSFS_MOUNT_FAILED;
		}
	}

	xtsfs_auto_fd daemon = lazy ? -1 : daemon_of(directory, &pid);

	status = run_umount(flags[1] ? flags : NULL, directory);
	if (status == 0 && daemon >= 0) {
		struct pollfd end = {.fd = daemon, .events = POLLIN};

		if (poll(&end, 1, WAIT_MS) == 0)
			xtsfs_warning("'%s' is unmounted, but its daemon, process %ld, has not ended: it is writing, "
				      "or the mount is "
				      "in another namespace, too",
				      directory, (long)pid);
	}
	return status;
}
