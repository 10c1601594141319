/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aside store: xtsfs.conf and what belongs to it under another name, in a directory that is not a volume
 * (docs/reverse.md).
 *
 * Layer:   store.
 * Threads: every operation from any thread.
 * For loading and replacing a configuration: it has the operations on files of its root that this takes, and no others.
 */
#ifndef XTSFS_STORE_ASIDE_H
#define XTSFS_STORE_ASIDE_H

#include "store/store.h"

/* In the directory itself, unless another file is named. Nothing that begins so is shown in the view. */
#define XTSFS_NAME_ASIDE ".xtsfs.reverse.conf"

/**
 * @path: a file, there or not, in a directory that is: "xtsfs.conf" is that one, "xtsfs.conf.bak" and others are beside
 * it, the part of their name behind "xtsfs.conf" or "xtsfs" put behind its own. Or a directory: its XTSFS_NAME_ASIDE.
 */
xtsfs_must_check int xtsfs_store_aside_new(const char *path, struct xtsfs_store **ret_store);
bool xtsfs_store_is_aside(const struct xtsfs_store *store);

#endif
