/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pack and parse file headers, meta blocks and dirids (spec 5, 9.1, 9.6). Tags are made and checked by the core, which
 * has the keys; here is what they cover.
 *
 * Layer:   format. Pure.
 */
#ifndef XTSFS_FORMAT_HEADER_H
#define XTSFS_FORMAT_HEADER_H

#include "base/errors.h"
#include "format/ondisk.h"

#include <stdbool.h>
#include <sys/uio.h>

/* The last sector was made longer, and how it is known in between (spec 9.8). */
struct xtsfs_growing {
	uint64_t from; /* plain bytes of the file before; 0: none */
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};

struct xtsfs_header {
	uint32_t flags; /* enum xtsfs_file_flags */
	uint8_t file_id[XTSFS_ID_BYTES];
	uint64_t plain_bytes; /* with INLINE or CLEAN, else 0 */
	uint8_t dirid_hint[XTSFS_ID_BYTES];
	uint64_t renewed; /* so many groups are under the new key (spec 14.3); 0: all are under the header's */
};

/** The growing record of block 0 or of a meta block, which has been checked. */
struct xtsfs_growing xtsfs_growing_get(const struct xtsfs_disk_block *block);
/** @growing NULL: none. */
void xtsfs_growing_set(struct xtsfs_disk_block *block, const struct xtsfs_growing *growing);

/** Fills the header part of @ret_block except the tag and the growing record; the rest of the block is untouched. */
void xtsfs_header_pack(const struct xtsfs_header *header, struct xtsfs_disk_block *ret_block);
/**
 * Parse block 0 whose first @cipher_bytes (0 to 4096) are there. Checks everything but the tag.
 * Returns 0, -EUCLEAN (too short, wrong magic, reserved bytes, impossible size), -EPROTO (version or flags unknown:
 * only to be trusted after the tag). Whether the volume is one in which groups may be renewed is the caller's to know.
 */
xtsfs_must_check int xtsfs_header_parse(const struct xtsfs_disk_block *block, size_t cipher_bytes,
					struct xtsfs_header *ret_header);
/** The parts the tag of block 0 covers. Returns the number of parts. For a header that parse refused with -EPROTO too.
 */
unsigned xtsfs_header_tag_parts(const struct xtsfs_disk_block *block, struct iovec ret_parts[3]);

/** Meta block of group ≥ 1: header without tag; growing record and entries untouched. */
void xtsfs_meta_pack(uint64_t group_no, const uint8_t file_id[XTSFS_ID_BYTES], struct xtsfs_disk_block *ret_block);
/** 0 or -EUCLEAN. */
xtsfs_must_check int xtsfs_meta_check(const struct xtsfs_disk_block *block, uint64_t group_no,
				      const uint8_t file_id[XTSFS_ID_BYTES]);
unsigned xtsfs_meta_tag_parts(const struct xtsfs_disk_block *block, struct iovec ret_parts[3]);

unsigned xtsfs_dirid_tag_parts(const struct xtsfs_disk_dirid *dirid, struct iovec ret_parts[2]);
unsigned xtsfs_unclean_tag_parts(const struct xtsfs_disk_unclean *unclean, struct iovec ret_parts[2]);
/** @hash: SHA-256 of all that follows the record's first 128 bytes. */
unsigned xtsfs_redo_tag_parts(const struct xtsfs_disk_redo *redo, const uint8_t hash[static 32],
			      struct iovec ret_parts[3]);

#endif
