/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel does for a FUSE mount when it is remounted with mount(2): it sets the flags of the mount and of the
 * filesystem, read-only among them, and writes out what it has in its cache. The daemon is not told. So a mount can be
 * made read-only and be made writable again, as long as the daemon has the volume for writing; it goes on having it.
 * Whether it has cannot be seen from outside: it is asked to remove an attribute that nobody has.
 *
 * mount(8) hands on the flags that are to be on, of fstab or of mountinfo and of the command line together; those that
 * are to be off it does not name. Where no option says otherwise nosuid and nodev stay nevertheless: nobody had to ask
 * for them.
 *
 * mount(8) hands on everything that fstab says of the mount, so options of ours are not looked at, unless it can be
 * seen that something else is wanted than there is.
 */
#include "fuse/remount.h"

#include "base/exit-codes.h"
#include "base/log.h"
#include "fuse/mounts.h"

#include <sys/mount.h>
#include <sys/xattr.h>

#define NO_ATTRIBUTE "user.xtsfs.none"
#define KEPT	     (MS_NOSUID | MS_NODEV | MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

static int change(const char *mountpoint, unsigned long flags)
{
	return mount(NULL, mountpoint, NULL, MS_REMOUNT | flags, NULL) < 0 ? -errno : 0;
}

/* What can be seen and cannot be changed; NULL if there is nothing. */
static const char *unchangeable(const struct xtsfs_options *options, const struct xtsfs_mounted *mounted)
{
	if (options->allow_other && !mounted->allow_other)
		return "allow_other";
	if (options->flags.given & MS_NOATIME && (options->flags.set ^ mounted->flags) & MS_NOATIME)
		return options->flags.set & MS_NOATIME ? "noatime" : "atime";
	return NULL;
}

int xtsfs_remount(const struct xtsfs_options *options)
{
	const char *mountpoint = options->mountpoint, *what;
	struct xtsfs_mounted mounted;
	unsigned long old, new, keep;
	int r = xtsfs_mounts_at(mountpoint, &mounted);

	if (r < 0 || !mounted.is_ours) {
		xtsfs_error("cannot remount '%s': %s", mountpoint,
			    r == 0 || r == -ENOENT ? "no volume is mounted there" : xtsfs_strerror(r));
		if (r == 0)
			xtsfs_mounts_done(&mounted);
		return XTSFS_EXIT_MOUNT;
	}
	what = unchangeable(options, &mounted);
	old = mounted.flags | mounted.super_flags;
	xtsfs_mounts_done(&mounted);
	if (what) {
		xtsfs_error("option %s cannot be changed while '%s' is mounted; unmount it and mount it again", what,
			    mountpoint);
		return XTSFS_EXIT_MOUNT;
	}
	keep = ~options->flags.given & KEPT;
	new = (old & keep) | options->flags.set | (options->read_only ? MS_RDONLY : 0);
	r = options->fake ? 0 : change(mountpoint, new);
	if (r < 0) {
		xtsfs_error("cannot remount '%s': %s", mountpoint,
			    r == -EBUSY	  ? "files there are open for writing"
			    : r == -EPERM ? "only root can"
					  : xtsfs_strerror(r));
		return XTSFS_EXIT_MOUNT;
	}
	if (options->fake || options->read_only || !(old & MS_RDONLY))
		return XTSFS_EXIT_OK;
	if (removexattr(mountpoint, NO_ATTRIBUTE) < 0 && errno == EROFS) {
		(void)change(mountpoint, old);
		xtsfs_error("'%s' was mounted read-only from the beginning; unmount it and mount it again for writing",
			    mountpoint);
		return XTSFS_EXIT_MOUNT;
	}
	return XTSFS_EXIT_OK;
}
