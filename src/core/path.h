/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole paths: to a node, and between plain and backing.
 *
 * Layer:   core.
 * Threads: any. Paths are relative to the root of the mount or of the backing directory; leading and doubled slashes do
 * not matter, "." and ".." are refused with -EINVAL. Symlinks are not followed.
 */
#ifndef XTSFS_CORE_PATH_H
#define XTSFS_CORE_PATH_H

#include "core/fs.h"

/** The node at a plain path, referenced, or -ENOENT, -ENOTDIR, … */
xtsfs_must_check int xtsfs_path_lookup(struct xtsfs_volume *volume, const char *plain_path,
				       struct xtsfs_node **ret_node, struct stat *ret_stat);
/** Where a plain path is, or would be, in the backing directory. The parents must exist. Caller frees. */
xtsfs_must_check int xtsfs_path_to_backing(struct xtsfs_volume *volume, const char *plain_path, char **ret_path);
/** The plain path of a backing path of an entry. -EINVAL for xtsfs' own and foreign files; -EBADMSG, -EUCLEAN for what
 * does not decrypt. */
xtsfs_must_check int xtsfs_path_to_plain(struct xtsfs_volume *volume, const char *backing_path, char **ret_path);

#endif
