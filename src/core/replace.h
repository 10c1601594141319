/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put a small file in the root of a volume, whole or not at all.
 *
 * Layer:   core.
 * Threads: any; two that replace one file each leave a whole one.
 */
#ifndef XTSFS_CORE_REPLACE_H
#define XTSFS_CORE_REPLACE_H

#include "base/errors.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * Write @data to a temporary file (mode 0600, then owner and mode of the file it replaces), fsync, rename to @name in
 * the root, fsync of the root. With @exclusive: -EEXIST if there is a @name.
 *
 * On an error before the rename nothing is changed and the temporary file is gone. An error of the last fsync is
 * returned although the file is replaced: a power loss may still bring the old one back.
 */
xtsfs_must_check int xtsfs_file_replace(struct xtsfs_store *store, const char *name, const void *data, size_t bytes,
					bool exclusive);
/** The same, not exclusive; @before is called once the new content is durable, and keeps it from its place if it fails.
 */
xtsfs_must_check int xtsfs_file_replace_after(struct xtsfs_store *store, const char *name, const void *data,
					      size_t bytes, int (*before)(struct xtsfs_store *store));
/** The same, not exclusive, with owner and mode of the regular file @like, whatever is replaced. */
xtsfs_must_check int xtsfs_file_replace_like(struct xtsfs_store *store, const char *name, const char *like,
					     const void *data, size_t bytes);

#endif
