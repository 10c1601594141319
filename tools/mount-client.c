/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount table knows the device of each mount, which is the name of its socket, and whose it is, which is the
 * directory. So nothing has to be asked of the mount itself, whose daemon may hang, and paths from other places are not
 * trusted.
 */
#include "mount-client.h"

#include "base/cleanup.h"
#include "base/control.h"
#include "base/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

static uid_t owner_of(const char *super_options)
{
	const char *word = strstr(super_options, "user_id=");

	return word ? (uid_t)strtoul(word + strlen("user_id="), NULL, 10) : 0;
}

static int add(struct cli_mounts *mounts, const struct xtsfs_mountinfo *line)
{
	struct cli_mount *list = reallocarray(mounts->list, mounts->count + 1, sizeof(*list)), *mount;

	if (!list)
		return -ENOMEM;
	mounts->list = list;
	mount = &list[mounts->count++];
	*mount = (struct cli_mount){.mountpoint = strdup(line->mountpoint),
				    .source = strdup(line->source),
				    .device = makedev(line->device_major, line->device_minor),
				    .owner = owner_of(line->super_options)};
	return mount->mountpoint && mount->source ? 0 : -ENOMEM;
}

int cli_mounts_find(const char *mountpoint, struct cli_mounts *ret_mounts)
{
	xtsfs_auto_free char *real = mountpoint ? realpath(mountpoint, NULL) : NULL;
	const char *path = real ? real : mountpoint;
	struct xtsfs_mountinfo_reader reader;
	struct xtsfs_mountinfo line;
	int r;

	*ret_mounts = (struct cli_mounts){0};
	r = xtsfs_mountinfo_open(&reader);
	while (r == 0 && xtsfs_mountinfo_next(&reader, &line)) {
		if (path && strcmp(line.mountpoint, path) != 0)
			continue;
		if (path) /* what is mounted last covers what was before */
			cli_mounts_done(ret_mounts);
		if (strcmp(line.type, XTSFS_MOUNT_TYPE) == 0)
			r = add(ret_mounts, &line);
	}
	xtsfs_mountinfo_close(&reader);
	if (r < 0)
		return cli_fail(r, "cannot read the mount table");
	if (mountpoint && ret_mounts->count == 0)
		return cli_fail_exit(XTSFS_EXIT_NOT_MOUNTED, "no xtsfs is mounted at '%s'", mountpoint);
	return 0;
}

void cli_mounts_done(struct cli_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->list[i].mountpoint);
		free(mounts->list[i].source);
	}
	free(mounts->list);
	*mounts = (struct cli_mounts){0};
}

static int send_message(int fd, const void *data, size_t bytes)
{
	return send(fd, data, bytes, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_secret(int fd, const struct xtsfs_secret *secret)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < secret->bytes; at += XTSFS_CONTROL_PIECE_BYTES) {
		size_t left = secret->bytes - at;

		r = send_message(fd, secret->data + at,
				 left < XTSFS_CONTROL_PIECE_BYTES ? left : XTSFS_CONTROL_PIECE_BYTES);
	}
	return r;
}

int cli_mount_ask(const struct cli_mount *mount, const char *request, const struct xtsfs_secret *secret,
		  struct cli_reply *ret_reply)
{
	xtsfs_auto_fd fd = xtsfs_control_connect(mount->owner, mount->device);
	xtsfs_auto_free char *text = malloc(XTSFS_CONTROL_REPLY_BYTES + 1);
	const struct timeval patience = {.tv_sec = XTSFS_CONTROL_PATIENCE_S};
	struct cli_reply reply = {0};
	ssize_t n;
	char *end;
	int r;

	if (fd < 0 || !text)
		return fd < 0 ? fd : -ENOMEM;
	/* Locking and unlocking take as long as they take. */
	if (strcmp(request, "status") == 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	r = send_message(fd, request, strlen(request));
	if (r == 0 && secret)
		r = send_secret(fd, secret);
	if (r < 0 && r != -EPIPE) /* a refusal may have come before the secret was sent */
		return r;
	n = recv(fd, text, XTSFS_CONTROL_REPLY_BYTES, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	text[n] = '\0';
	end = text + strcspn(text, "\n");
	reply.lines = *end ? end + 1 : end;
	*end = '\0';
	if (strcmp(text, "ok") != 0) {
		char *space = NULL;

		if (strncmp(text, "error ", strlen("error ")) != 0)
			return -EPROTO;
		reply.code = (int)strtol(text + strlen("error "), &space, 10);
		reply.error = *space ? space + 1 : space;
		if (reply.code <= 0 || reply.code > 125)
			reply.code = XTSFS_EXIT_OTHER;
	}
	reply.text = xtsfs_take(text);
	*ret_reply = reply;
	return 0;
}

int cli_mount_fail(const struct cli_mount *mount, int error)
{
	if (error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET)
		return cli_fail_exit(XTSFS_EXIT_NOT_MOUNTED,
				     "the daemon of '%s' does not answer: it has ended, is older than this program, or "
				     "had no place for its socket",
				     mount->mountpoint);
	if (error == -EAGAIN)
		return cli_fail_exit(
			XTSFS_EXIT_NOT_MOUNTED,
			"the daemon of '%s' does not answer within %d seconds: it is stopped, or hangs, or is "
			"locking or unlocking",
			mount->mountpoint, XTSFS_CONTROL_PATIENCE_S);
	if (error == -EACCES || error == -EPERM)
		return cli_fail_exit(XTSFS_EXIT_OTHER, "'%s' is a mount of user %u: only that user and root may ask",
				     mount->mountpoint, (unsigned)mount->owner);
	return cli_fail(error, "cannot ask the daemon of '%s'", mount->mountpoint);
}

bool cli_reply_next(char **position, char **ret_name, char **ret_value)
{
	char *line = strsep(position, "\n");

	if (!line || !*line)
		return false;
	*ret_name = strsep(&line, " ");
	*ret_value = line ? line : *ret_name + strlen(*ret_name);
	return true;
}
