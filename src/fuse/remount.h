/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount -o remount.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_REMOUNT_H
#define XTSFS_FUSE_REMOUNT_H

#include "fuse/options.h"

/** Change the mount at @options->mountpoint as its options say. An exit code; the reason is logged. */
int xtsfs_remount(const struct xtsfs_options *options);

#endif
