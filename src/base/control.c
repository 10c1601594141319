/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of the user's own, and in it a socket whose name is the device number of the mount. The kernel gives a
 * device number to one superblock at a time, so a socket that has the name already belongs to a daemon that died, or to
 * one that is at its end, and so does every other that nobody listens at.
 *
 * The directory decides who may connect: it must be the user's, and nobody else's to enter. Below /tmp anybody can make
 * one first; then it is not the user's, and is not used. Everything goes through a descriptor of the directory that was
 * looked at, since paths of sockets are short and directories can be replaced.
 */
#include "base/control.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CANDIDATES 3
#define BACKLOG	   8

/* The directories where it may be, the best first; an empty text where there is none. */
static void candidate(uid_t uid, unsigned which, char ret_path[static XTSFS_CONTROL_PATH_BYTES])
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment */
	const char *runtime = uid == geteuid() ? getenv("XDG_RUNTIME_DIR") : NULL;

	ret_path[0] = '\0';
	if (uid == 0 && which == 0)
		snprintf(ret_path, XTSFS_CONTROL_PATH_BYTES, "/run/xtsfs");
	else if (uid != 0 && which == 0 && runtime && runtime[0] == '/' &&
		 strlen(runtime) < XTSFS_CONTROL_PATH_BYTES - sizeof("/xtsfs/4294967295:4294967295"))
		snprintf(ret_path, XTSFS_CONTROL_PATH_BYTES, "%s/xtsfs", runtime);
	else if (uid != 0 && which == 1)
		snprintf(ret_path, XTSFS_CONTROL_PATH_BYTES, "/run/user/%u/xtsfs", (unsigned)uid);
	else if (uid != 0 && which == 2)
		snprintf(ret_path, XTSFS_CONTROL_PATH_BYTES, "/tmp/xtsfs-%u", (unsigned)uid);
}

/* The directory, if it is the user's alone; a descriptor or -errno. */
static int open_directory(const char *path, uid_t uid, bool make)
{
	xtsfs_auto_fd fd = -1;
	struct stat st;

	if (!path[0])
		return -ENOENT;
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != uid || (st.st_mode & 077))
		return -EPERM;
	return xtsfs_take_fd(&fd);
}

static void socket_name(dev_t device, char ret_name[static 24])
{
	snprintf(ret_name, 24, "%u:%u", major(device), minor(device));
}

static int make_socket(int flags)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

static struct sockaddr_un address_of(int directory, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, name);
	return address;
}

/* A daemon that is stopped or stuck does not accept: once its backlog is full connect() would wait for ever. */
static int connect_in(int directory, const char *name, int flags)
{
	const struct timeval patience = {.tv_sec = XTSFS_CONTROL_PATIENCE_S};
	struct sockaddr_un address = address_of(directory, name);
	xtsfs_auto_fd fd = make_socket(flags);

	if (fd < 0)
		return fd;
	if (!(flags & SOCK_NONBLOCK) && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return xtsfs_take_fd(&fd);
}

/* Sockets at which nobody listens. The directory is locked: nobody is between making one and listening. */
static void clean(int directory)
{
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!dir) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): a stream of its own */
		int fd;

		if (entry->d_name[strspn(entry->d_name, "0123456789:")])
			continue;
		fd = connect_in(directory, entry->d_name, SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
		else if (fd == -ECONNREFUSED)
			(void)unlinkat(directory, entry->d_name, 0);
	}
	closedir(dir);
}

static int listen_in(int directory, const char *name, struct stat *ret_st)
{
	struct sockaddr_un address = address_of(directory, name);
	xtsfs_auto_fd fd = -1;

	if (flock(directory, LOCK_EX) < 0)
		return -errno;
	clean(directory);
	fd = make_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fchmodat(directory, name, 0600, 0) < 0 || listen(fd, BACKLOG) < 0 ||
	    fstatat(directory, name, ret_st, 0) < 0)
		return -errno;
	return xtsfs_take_fd(&fd);
}

int xtsfs_control_listen(uid_t uid, dev_t device, struct xtsfs_control_name *ret_name)
{
	struct xtsfs_control_name made = {.device = device};
	char name[24];
	int r = -ENOENT;

	socket_name(device, name);
	for (unsigned which = 0; which < CANDIDATES; which++) {
		xtsfs_auto_fd directory = -1;
		struct stat st;

		candidate(uid, which, made.directory);
		if (!made.directory[0])
			continue;
		directory = open_directory(made.directory, uid, true);
		r = directory < 0 ? directory : listen_in(directory, name, &st); /* closing it unlocks it */
		if (r >= 0) {
			made.ino = st.st_ino;
			*ret_name = made;
			return r;
		}
	}
	return r;
}

void xtsfs_control_remove(const struct xtsfs_control_name *name)
{
	xtsfs_auto_fd directory = open_directory(name->directory, geteuid(), false);
	char text[24];
	struct stat st;

	socket_name(name->device, text);
	if (directory >= 0 && flock(directory, LOCK_EX) == 0 &&
	    fstatat(directory, text, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == name->ino)
		(void)unlinkat(directory, text, 0);
}

int xtsfs_control_peer(int fd, uid_t *ret_uid, pid_t *ret_pid)
{
	struct ucred cred;
	socklen_t bytes = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0)
		return -errno;
	*ret_uid = cred.uid;
	*ret_pid = cred.pid;
	return 0;
}

int xtsfs_control_connect(uid_t uid, dev_t device)
{
	char path[XTSFS_CONTROL_PATH_BYTES], name[24];
	int first = -ENOENT;

	socket_name(device, name);
	for (unsigned which = 0; which < CANDIDATES; which++) {
		xtsfs_auto_fd directory = -1, fd = -1;
		uid_t peer;
		pid_t pid;
		int r;

		candidate(uid, which, path);
		directory = open_directory(path, uid, false);
		fd = directory < 0 ? directory : connect_in(directory, name, 0);
		if (fd >= 0) {
			r = xtsfs_control_peer(fd, &peer, &pid);
			if (r == 0 && peer == uid)
				return xtsfs_take_fd(&fd);
			return r < 0 ? r : -EPERM;
		}
		if (fd != -ENOENT && fd != -ECONNREFUSED && first == -ENOENT)
			first = fd;
	}
	return first;
}
