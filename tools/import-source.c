/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that is imported, as somebody else may change it meanwhile, with what intent ever.
 *
 * A thing is first held by a descriptor that opens nothing (O_PATH), relative to that of its directory and without
 * following a symlink. What it is is asked of that descriptor, and it is opened through it: so what was looked at is
 * what is read, no symlink that is put in the way leads anywhere, and no device or fifo is ever opened.
 */
#include "import.h"

#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

static void ask_mount(struct import_source *source)
{
	struct statx stx;

	source->mount_id = 0;
	if (statx(source->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) == 0 &&
	    (stx.stx_mask & STATX_MNT_ID))
		source->mount_id = stx.stx_mnt_id;
}

int import_source_open(int dir_fd, const char *name, struct import_source *ret_source)
{
	struct import_source source = {.fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)};
	int r;

	if (source.fd < 0)
		return -errno;
	if (fstat(source.fd, &source.st) < 0) {
		r = -errno;
		close(source.fd);
		return r;
	}
	if (S_ISDIR(source.st.st_mode))
		ask_mount(&source);
	snprintf(source.proc, sizeof(source.proc), "/proc/self/fd/%d", source.fd);
	*ret_source = source;
	return 0;
}

void import_source_close(struct import_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}

int import_source_read(const struct import_source *source, int flags)
{
	/* Who does not own the file may not ask for its time of access to stay. */
	int fd = open(source->proc, O_RDONLY | O_CLOEXEC | O_NOATIME | flags);

	if (fd < 0 && errno == EPERM)
		fd = open(source->proc, O_RDONLY | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

/* The way by /proc ends at the thing itself, also if that is a symlink. */
ssize_t import_source_list(const struct import_source *source, char *ret_names, size_t room)
{
	ssize_t n = listxattr(source->proc, ret_names, room);

	return n < 0 ? -errno : n;
}

ssize_t import_source_get(const struct import_source *source, const char *name, void *ret_value, size_t room)
{
	ssize_t n = getxattr(source->proc, name, ret_value, room);

	return n < 0 ? -errno : n;
}
