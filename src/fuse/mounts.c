/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mounts.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mountinfo.h"
#include "format/ondisk.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define WAIT_STEP_MS 50

static unsigned long flags_of(const char *options, bool *ret_allow_other)
{
	struct xtsfs_flags flags = {0};
	xtsfs_auto_free char *copy = strdup(options);
	char *rest = copy, *word;

	while (rest && (word = strsep(&rest, ","))) {
		(void)xtsfs_flags_option(&flags, word);
		if (strcmp(word, "ro") == 0)
			flags.set |= MS_RDONLY;
		if (ret_allow_other && strcmp(word, "allow_other") == 0)
			*ret_allow_other = true;
	}
	return flags.set;
}

int xtsfs_mounts_at(const char *mountpoint, struct xtsfs_mounted *ret_mounted)
{
	struct xtsfs_mountinfo_reader reader;
	struct xtsfs_mounted found = {0};
	struct xtsfs_mountinfo line;
	int r = xtsfs_mountinfo_open(&reader);

	while (xtsfs_mountinfo_next(&reader, &line)) {
		if (strcmp(line.mountpoint, mountpoint) != 0)
			continue;
		free(found.source);
		found = (struct xtsfs_mounted){.source = strdup(line.source),
					       .device = makedev(line.device_major, line.device_minor),
					       .is_ours = strcmp(line.type, XTSFS_MOUNT_TYPE) == 0};
		found.flags = flags_of(line.options, NULL);
		found.super_flags = flags_of(line.super_options, &found.allow_other);
	}
	xtsfs_mountinfo_close(&reader);
	if (r < 0)
		return r;
	if (!found.source)
		return -ENOENT;
	*ret_mounted = found;
	return 0;
}

void xtsfs_mounts_done(struct xtsfs_mounted *mounted)
{
	free(mounted->source);
	mounted->source = NULL;
}

bool xtsfs_mounts_has(const char *source, const char *mountpoint)
{
	struct xtsfs_mountinfo_reader reader;
	struct xtsfs_mountinfo line;
	bool found = false;

	if (xtsfs_mountinfo_open(&reader) == 0)
		while (!found && xtsfs_mountinfo_next(&reader, &line))
			found = strcmp(line.type, XTSFS_MOUNT_TYPE) == 0 &&
				((source && strcmp(line.source, source) == 0) ||
				 (mountpoint && strncmp(line.mountpoint, mountpoint, XTSFS_HOLDER_PATH_BYTES) == 0));
	xtsfs_mountinfo_close(&reader);
	return found;
}

int xtsfs_mounts_holder(const char *source, struct xtsfs_holder *ret_holder)
{
	xtsfs_auto_free char *path = NULL;
	char text[256];
	const char *at;
	long pid = 0;
	ssize_t n;

	*ret_holder = (struct xtsfs_holder){0};
	if (asprintf(&path, "%s/" XTSFS_NAME_LOCK, source) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	at = strstr(text, "xtsfs, process "); /* behind how many share it, if they do: the last that came */
	/* NOLINTNEXTLINE(cert-err34-c): so few digits fit, into a pid_t as well; more of them are nobody's */
	if (at && sscanf(at, "xtsfs, process %9ld, mounted at %180[^\n]", &pid, ret_holder->mountpoint) == 2 && pid > 0)
		ret_holder->pid = (pid_t)pid;
	ret_holder->is_named = text[0];
	return 0;
}

bool xtsfs_mounts_is_ending(const char *source, unsigned *tries)
{
	static const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};
	struct xtsfs_holder holder;
	unsigned enough = 30 * 1000 / WAIT_STEP_MS;

	if (xtsfs_mounts_holder(source, &holder) < 0)
		return false;
	if (!holder.is_named)
		enough = 5 * 1000 / WAIT_STEP_MS; /* a reader, or a writer that has written everything */
	else if (!holder.pid || (kill(holder.pid, 0) < 0 && errno == ESRCH))
		return false; /* no mount, or on another machine */
	if (*tries >= enough || xtsfs_mounts_has(source, holder.pid ? holder.mountpoint : NULL))
		return false;
	if ((*tries)++ == 1000 / WAIT_STEP_MS)
		xtsfs_notice("waiting for who had '%s' mounted to write everything out", source);
	nanosleep(&step, NULL);
	return true;
}

int xtsfs_mounts_enter(const char *path)
{
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return setns(fd, CLONE_NEWNS) < 0 ? -errno : 0;
}
