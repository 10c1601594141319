/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse and fusermount3 tell what call failed, on standard error, and give no reason to the program. So what they
 * need is looked at once more, in their order; the first thing that is missing is told.
 */
#include "fuse/explain.h"

#include "base/cleanup.h"
#include "base/errors.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEVICE	   "/dev/fuse"
#define FUSERMOUNT "fusermount3"
#define SETTINGS   "/etc/fuse.conf"

__attribute__((format(printf, 3, 4))) static bool say(char *ret_text, size_t bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_text, bytes, format, args);
	va_end(args);
	return true;
}

static bool explain_device(char *ret_text, size_t bytes)
{
	xtsfs_auto_fd fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_rdev != makedev(10, 229))
		return say(ret_text, bytes, DEVICE " is another device than FUSE's, 10:229");
	if (fd >= 0)
		return false;
	switch (errno) {
	case ENOENT:
		return say(ret_text, bytes,
			   "there is no " DEVICE "; load the kernel's module fuse (modprobe fuse), or, in a container, "
			   "have the device passed in");
	case ENODEV:
	case ENXIO:
		return say(ret_text, bytes, "the kernel has no FUSE; load its module fuse (modprobe fuse)");
	case EACCES:
	case EPERM:
		return say(ret_text, bytes,
			   DEVICE " may not be opened by this user; its mode should be 666, and a container or unit "
				  "must be allowed the device");
	default:
		return say(ret_text, bytes, DEVICE " cannot be opened: %s", xtsfs_strerror(errno));
	}
}

/* Where libfuse looks. NULL: nowhere. */
static const char *find_fusermount(char *room, size_t bytes)
{
	const char *path = getenv("PATH");

	if (access("/usr/bin/" FUSERMOUNT, X_OK) == 0)
		return "/usr/bin/" FUSERMOUNT;
	while (path && *path) {
		size_t length = strcspn(path, ":");

		snprintf(room, bytes, "%.*s/" FUSERMOUNT, (int)length, path);
		if (access(room, X_OK) == 0)
			return room;
		path += length + (path[length] == ':');
	}
	return NULL;
}

static bool others_are_allowed(void)
{
	FILE *file = fopen(SETTINGS, "re");
	char line[256], word[32];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%31s", word) == 1 && strcmp(word, "user_allow_other") == 0;
	if (file)
		(void)fclose(file);
	return found;
}

static bool explain_user(const struct xtsfs_options *options, char *ret_text, size_t bytes)
{
	char room[PATH_MAX];
	const char *program = find_fusermount(room, sizeof(room));
	struct statvfs fs;
	struct stat st;

	if (!program)
		return say(ret_text, bytes,
			   "there is no " FUSERMOUNT ", which mounts for users; install it (package fuse3)");
	if (stat(program, &st) == 0 && (st.st_uid != 0 || !(st.st_mode & S_ISUID)))
		return say(ret_text, bytes,
			   "'%s' is not setuid root, so that it cannot mount for users; install it anew (package "
			   "fuse3), or mount as root",
			   program);
	if (statvfs(program, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return say(ret_text, bytes, "'%s' lies on a filesystem that is mounted nosuid, so that it cannot mount",
			   program);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return say(ret_text, bytes,
			   "this process may get no privileges (no_new_privs), not even " FUSERMOUNT
			   "'s; a unit must not have NoNewPrivileges=, a container must allow it");
	if (options->allow_other && !others_are_allowed())
		return say(ret_text, bytes,
			   "users may give allow_other only if " SETTINGS " has the line user_allow_other; root can "
			   "add it");
	if (access(options->mountpoint, W_OK) < 0)
		return say(ret_text, bytes, "this user may not write there, which " FUSERMOUNT " asks for");
	return false;
}

static bool may_mount(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	return syscall(SYS_capget, &header, data) < 0 || (data[0].effective & 1U << CAP_SYS_ADMIN);
}

void xtsfs_explain_mount(const struct xtsfs_options *options, char *ret_text, size_t bytes)
{
	if (explain_device(ret_text, bytes))
		return;
	if (geteuid() == 0 && !may_mount())
		(void)say(ret_text, bytes,
			  "root has no CAP_SYS_ADMIN here, without which nothing can be mounted; a container or unit "
			  "must "
			  "be given it");
	else if (geteuid() == 0 || !explain_user(options, ret_text, bytes))
		(void)say(ret_text, bytes, "the reason is above");
}
