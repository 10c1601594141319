/* SPDX-License-Identifier: Apache-2.0 */
/*
 * umount.xtsfs, which umount(8) calls for a mount of ours.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_UMOUNT_H
#define XTSFS_FUSE_UMOUNT_H

#include <stdbool.h>

/** Has the program been called by that name? */
bool xtsfs_is_umount(int argc, char **argv);
/** Unmount, and wait for the end of the daemon. An exit code of umount(8). */
int xtsfs_umount(int argc, char **argv);

#endif
