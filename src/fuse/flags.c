/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse refuses every flag that it does not know, relatime among them, which mount(8) hands on from fstab and adds by
 * itself when it remounts. So only those that it knows go there; defaults of the kernel are passed over; the rest is
 * set by a remount, before anybody can have looked into the mount: it does not answer yet.
 *
 * The flags of access times say little: the kernel leaves these to us, that is to the backing filesystem. Not here:
 * mand and iversion, which FUSE does not have.
 */
#include "fuse/flags.h"

#include "base/cleanup.h"
#include "fuse/mounts.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define ATIMES (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

static const struct {
	const char *name;
	unsigned long given, set;
} words[] = {
	{"suid", MS_NOSUID, 0},
	{"nosuid", MS_NOSUID, MS_NOSUID},
	{"dev", MS_NODEV, 0},
	{"nodev", MS_NODEV, MS_NODEV},
	{"exec", MS_NOEXEC, 0},
	{"noexec", MS_NOEXEC, MS_NOEXEC},
	{"symfollow", MS_NOSYMFOLLOW, 0},
	{"nosymfollow", MS_NOSYMFOLLOW, MS_NOSYMFOLLOW},
	{"sync", MS_SYNCHRONOUS, MS_SYNCHRONOUS},
	{"async", MS_SYNCHRONOUS, 0},
	{"dirsync", MS_DIRSYNC, MS_DIRSYNC},
	{"atime", MS_NOATIME, 0},
	{"noatime", ATIMES, MS_NOATIME},
	{"relatime", ATIMES, MS_RELATIME},
	{"norelatime", MS_RELATIME, 0},
	{"strictatime", ATIMES, MS_STRICTATIME},
	{"nostrictatime", MS_STRICTATIME, 0},
	{"diratime", MS_NODIRATIME, 0},
	{"nodiratime", MS_NODIRATIME, MS_NODIRATIME},
	{"lazytime", MS_LAZYTIME, MS_LAZYTIME},
	{"nolazytime", MS_LAZYTIME, 0},
	{"nomand", 0, 0},
	{"noiversion", 0, 0},
	{"silent", 0, 0},
	{"loud", 0, 0},
};

bool xtsfs_flags_option(struct xtsfs_flags *flags, const char *word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].name) == 0) {
			flags->given |= words[i].given;
			flags->set = (flags->set & ~words[i].given) | words[i].set;
			return true;
		}
	}
	return false;
}

int xtsfs_flags_for_libfuse(const struct xtsfs_flags *flags, char **ret_options)
{
	static const struct {
		unsigned long flag;
		const char *on, *off;
	} known[] = {
		{MS_NOSUID, "nosuid", "suid"}, {MS_NODEV, "nodev", "dev"},	  {MS_NOEXEC, "noexec", "exec"},
		{MS_DIRSYNC, "dirsync", NULL}, {MS_SYNCHRONOUS, "sync", "async"}, {MS_NOATIME, "noatime", "atime"},
	};
	xtsfs_auto_free char *options = NULL;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char *word = flags->set & known[i].flag ? known[i].on : known[i].off;
		char *longer;

		if (!(flags->given & known[i].flag) || !word)
			continue;
		if (asprintf(&longer, "%s%s%s", options ? options : "", options ? "," : "", word) < 0)
			return -ENOMEM;
		free(options);
		options = longer;
	}
	*ret_options = options;
	options = NULL;
	return 0;
}

int xtsfs_flags_apply(const struct xtsfs_flags *flags, const char *mountpoint)
{
	unsigned long rest = flags->set & (MS_STRICTATIME | MS_NODIRATIME | MS_NOSYMFOLLOW);
	struct xtsfs_mounted mounted;
	int r = 0;

	if (!rest && !(flags->set & MS_LAZYTIME))
		return 0;
	r = xtsfs_mounts_at(mountpoint, &mounted);
	if (r < 0)
		return r;
	/* The first is the mount's, the other the filesystem's. */
	if (rest && mount(NULL, mountpoint, NULL, MS_REMOUNT | MS_BIND | mounted.flags | rest, NULL) < 0)
		r = -errno;
	if (r == 0 && flags->set & MS_LAZYTIME &&
	    mount(NULL, mountpoint, NULL, MS_REMOUNT | MS_LAZYTIME | mounted.flags | mounted.super_flags | rest, NULL) <
		    0)
		r = -errno;
	xtsfs_mounts_done(&mounted);
	return r == -EPERM && !(rest & MS_NOSYMFOLLOW) ? 0 : r;
}
