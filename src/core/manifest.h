/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests: what a volume was at one time, sealed (docs/manifest-format.md).
 *
 * Layer:   core.
 * Threads: one at a time for each writer and reader.
 */
#ifndef XTSFS_CORE_MANIFEST_H
#define XTSFS_CORE_MANIFEST_H

#include "core/fs.h"
#include "format/manifest.h"

/** Fill @ret_entry but for depth and name. An error of reading: -EIO or -EUCLEAN if the object is damaged. */
xtsfs_must_check int xtsfs_manifest_describe(struct xtsfs_volume *volume, struct xtsfs_node *node,
					     const struct stat *st, struct xtsfs_manifest_entry *ret_entry);

struct xtsfs_manifest_writer;
/** @write: 0 or -errno. */
xtsfs_must_check int xtsfs_manifest_writer_new(struct xtsfs_volume *volume,
					       int (*write)(void *data, const void *bytes, size_t count), void *data,
					       struct xtsfs_manifest_writer **ret_writer);
xtsfs_must_check int xtsfs_manifest_add(struct xtsfs_manifest_writer *writer, const struct xtsfs_manifest_entry *entry);
/** The last frame. Releases the writer in any case; @good false: it only does that. */
int xtsfs_manifest_writer_end(struct xtsfs_manifest_writer *writer, bool good);

struct xtsfs_manifest_reader;
/** @read: how many bytes, fewer only at the end, or -errno. -EPROTO: not a manifest, or of another version; -EXDEV: of
 * another volume; -EUCLEAN: cut off. */
xtsfs_must_check int xtsfs_manifest_reader_new(struct xtsfs_volume *volume,
					       ssize_t (*read)(void *data, void *ret_bytes, size_t count), void *data,
					       struct xtsfs_manifest_reader **ret_reader, int64_t *ret_created_s);
/** 1 and an entry, 0 behind the last one of a whole manifest; -EBADMSG: not authentic or cut off; -EUCLEAN. */
xtsfs_must_check int xtsfs_manifest_next(struct xtsfs_manifest_reader *reader, struct xtsfs_manifest_entry *ret_entry);
struct xtsfs_manifest_reader *xtsfs_manifest_reader_free(struct xtsfs_manifest_reader *reader);

#endif
