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
typedef int (*xtsfs_path_each)(void *data, const char *backing_path);
/**
 * Everything in the backing directory that a plain path needs to be read when nothing else is there: xtsfs.conf, ids of
 * directories, the entries on the way and their .name files, a directory before what is in it. Of a directory itself
 * and its id, and not what is in it. @each returns 0, or an error that ends the walk.
 */
xtsfs_must_check int xtsfs_path_belongings(struct xtsfs_volume *volume, const char *plain_path, xtsfs_path_each each,
					   void *data);
/** The backing path of a node, by one of its names; "." for the root. -ENODATA without a name. Caller frees. */
xtsfs_must_check int xtsfs_path_of_node(struct xtsfs_volume *volume, struct xtsfs_node *node, char **ret_path);
/**
 * The plain path of a backing path of an entry. -EINVAL for xtsfs' own and foreign files; -EBADMSG, -EUCLEAN for what
 * does not decrypt. @belonging: of xtsfs' own files (a directory's id, a .name file) that of the entry they belong to.
 */
xtsfs_must_check int xtsfs_path_to_plain(struct xtsfs_volume *volume, const char *backing_path, bool belonging,
					 char **ret_path);

#endif
