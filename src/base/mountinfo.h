/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted: lines of /proc/self/mountinfo.
 *
 * Layer:   base.
 */
#ifndef XTSFS_BASE_MOUNTINFO_H
#define XTSFS_BASE_MOUNTINFO_H

#include "base/errors.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define XTSFS_MOUNT_TYPE "fuse.xtsfs"

/* Names as they are, without the table's "\ooo". All point into the reader. */
struct xtsfs_mountinfo {
	unsigned device_major, device_minor;
	char *mountpoint, *options, *type, *source, *super_options;
};

struct xtsfs_mountinfo_reader {
	FILE *file;
	char *text;
	size_t room;
};

/** 0 or -errno; xtsfs_mountinfo_close() in both cases. */
xtsfs_must_check int xtsfs_mountinfo_open(struct xtsfs_mountinfo_reader *ret_reader);
/** The next line that is understood; false at the end. It is valid until the next call. */
bool xtsfs_mountinfo_next(struct xtsfs_mountinfo_reader *reader, struct xtsfs_mountinfo *ret_line);
void xtsfs_mountinfo_close(struct xtsfs_mountinfo_reader *reader);

#endif
