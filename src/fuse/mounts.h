/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted, as /proc/self/mountinfo has it.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_MOUNTS_H
#define XTSFS_FUSE_MOUNTS_H

#include "base/errors.h"
#include "fuse/flags.h"

#include <stdbool.h>
#include <sys/types.h>

struct xtsfs_mounted {
	char *source;
	dev_t device;
	unsigned long flags, super_flags; /* MS_…: of the mount, and of its filesystem */
	bool is_ours, allow_other;
};

#define XTSFS_HOLDER_PATH_BYTES 180 /* of the mount point are in xtsfs.lock */

struct xtsfs_holder {
	bool is_named;
	pid_t pid; /* of a daemon, with its mount point; else 0 */
	char mountpoint[XTSFS_HOLDER_PATH_BYTES + 1];
};

/** What is mounted at @mountpoint, the last of several: 0, -ENOENT or -errno. End with xtsfs_mounts_done(). */
xtsfs_must_check int xtsfs_mounts_at(const char *mountpoint, struct xtsfs_mounted *ret_mounted);
void xtsfs_mounts_done(struct xtsfs_mounted *mounted);
/** Is a volume mounted at @mountpoint, or, by its default name, one of the directory @source? Either may be NULL. */
bool xtsfs_mounts_has(const char *source, const char *mountpoint);
/** Who says in xtsfs.lock of the directory @source that it writes the volume: 0 or -errno. */
xtsfs_must_check int xtsfs_mounts_holder(const char *source, struct xtsfs_holder *ret_holder);
/**
 * Asked when the volume in @source is in use: is that somebody who had it mounted, and is at its end? Waits a little
 * before it says yes, and says so for 30 seconds at most, which *@tries counts.
 */
bool xtsfs_mounts_is_ending(const char *source, unsigned *tries);
/** Go to the mount namespace that the file @path is of. 0 or -errno. */
xtsfs_must_check int xtsfs_mounts_enter(const char *path);

#endif
