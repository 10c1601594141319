/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of a manifest, as bytes and as a structure (docs/manifest-format.md).
 *
 * Layer:   format. Pure. What is parsed is authentic (core/manifest.h sees to that first), and checked all the same.
 */
#ifndef XTSFS_FORMAT_MANIFEST_H
#define XTSFS_FORMAT_MANIFEST_H

#include "base/errors.h"
#include "format/ondisk.h"

#include <stdbool.h>
#include <stdint.h>

#define XTSFS_MANIFEST_MAGIC	    "xtsfs.mf"
#define XTSFS_MANIFEST_VERSION	    1U
#define XTSFS_MANIFEST_HEADER_BYTES 64U
#define XTSFS_MANIFEST_FIXED_BYTES  88U
#define XTSFS_MANIFEST_ENTRY_MAX    (XTSFS_MANIFEST_FIXED_BYTES + XTSFS_NAME_MAX)
#define XTSFS_MANIFEST_FRAME_MAX    65536U /* plain bytes */

struct xtsfs_manifest_entry {
	uint16_t depth; /* 0: the root */
	uint16_t mode;	/* type too */
	uint32_t uid, gid;
	uint64_t size; /* plain; of a device its number */
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint8_t id[XTSFS_ID_BYTES];	    /* of a directory, or of a file that is not empty; else zeros */
	uint8_t tag[XTSFS_DISK_TAG_BYTES];  /* of the content, or of a link's target; else zeros */
	uint8_t attr[XTSFS_DISK_TAG_BYTES]; /* of the extended attributes; zeros: none */
	char name[XTSFS_NAME_MAX + 1];	    /* plain; "" for the root */
};

/** Bytes written. @ret_bytes: room XTSFS_MANIFEST_ENTRY_MAX. */
size_t xtsfs_manifest_pack(const struct xtsfs_manifest_entry *entry, uint8_t *ret_bytes);
/** Bytes read, or -EUCLEAN. */
xtsfs_must_check int xtsfs_manifest_parse(const uint8_t *bytes, size_t room, struct xtsfs_manifest_entry *ret_entry);

#endif
