/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other way round: what a directory of plain files would be as a volume (docs/reverse.md).
 *
 * Layer:   core.
 * Threads: any function from any thread.
 * A volume that was opened so answers xtsfs_lookup(), xtsfs_opendir() and what belongs to it, xtsfs_getattr(),
 * xtsfs_readlink(), xtsfs_getxattr() and xtsfs_listxattr() of fs.h with encrypted names, cipher sizes and sealed
 * values; here is what is different with content. The plain files are read as they are opened, by whoever opened the
 * volume, and never changed.
 */
#ifndef XTSFS_CORE_REVERSE_H
#define XTSFS_CORE_REVERSE_H

#include "core/fs.h"

struct xtsfs_reverse_file;

bool xtsfs_is_reverse(const struct xtsfs_volume *volume);
/** Open a regular file for reading: what it is at this moment is what is read from it, or -EIO. */
xtsfs_must_check int xtsfs_reverse_open(struct xtsfs_volume *volume, struct xtsfs_node *node,
					struct xtsfs_reverse_file **ret_file);
void xtsfs_reverse_close(struct xtsfs_reverse_file *file);
/** Stored bytes; fewer only at the end. -EIO: the plain file is not what it was when it was opened (logged once). */
xtsfs_must_check ssize_t xtsfs_reverse_read(struct xtsfs_reverse_file *file, void *ret_data, size_t bytes,
					    uint64_t offset);
/** SEEK_DATA, SEEK_HOLE in stored offsets. -ENXIO. */
xtsfs_must_check int64_t xtsfs_reverse_seek(struct xtsfs_reverse_file *file, uint64_t offset, int whence);

#endif
