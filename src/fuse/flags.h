/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of mount(8) that are a flag of the kernel for any filesystem: nosuid, noexec, relatime, …
 *
 * Layer:   fuse. Pure, but for xtsfs_flags_apply().
 */
#ifndef XTSFS_FUSE_FLAGS_H
#define XTSFS_FUSE_FLAGS_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* older headers have it not */
#endif

struct xtsfs_flags {
	unsigned long given; /* MS_… that an option has named */
	unsigned long set;   /* of these: those that are to be on; the last option counts */
};

/** Note the option @word. False if it is none of these. */
bool xtsfs_flags_option(struct xtsfs_flags *flags, const char *word);
/** Those that libfuse and fusermount3 know, as a list for "-o"; NULL if there are none. The caller frees. 0 or -ENOMEM.
 */
xtsfs_must_check int xtsfs_flags_for_libfuse(const struct xtsfs_flags *flags, char **ret_options);
/**
 * Set those that libfuse does not know, on the mount that was just made at @mountpoint and that nobody has answered
 * for yet. Who is not root goes without, where that changes nothing; nosymfollow is -EPERM then.
 */
xtsfs_must_check int xtsfs_flags_apply(const struct xtsfs_flags *flags, const char *mountpoint);

#endif
