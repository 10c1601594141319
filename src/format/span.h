/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets and lengths: plain ↔ cipher (spec 9.3 to 9.5).
 *
 * Layer:   format. Pure: no I/O, no state.
 * @layout says whether meta blocks are interleaved. "Plain" is what the mount shows, "cipher" the backing file.
 */
#ifndef XTSFS_FORMAT_SPAN_H
#define XTSFS_FORMAT_SPAN_H

#include "base/errors.h"
#include "format/ondisk.h"

#include <stdbool.h>
#include <stdint.h>

enum xtsfs_layout { XTSFS_LAYOUT_PLAIN, XTSFS_LAYOUT_GROUPS }; /* integrity none; integrity on */

/* The largest plain size whose cipher size fits in an off_t, a little below it; larger is EFBIG. */
#define XTSFS_PLAIN_MAX (((1ULL << 63) - 1) / 4200 * 4096)

static inline uint32_t xtsfs_pad16(uint32_t bytes)
{
	return (bytes + 15U) & ~15U;
}

/** Stored bytes of a last sector of @plain_bytes in it, 1 to 4096. */
uint32_t xtsfs_tail_cipher_bytes(uint32_t plain_bytes);
/** Block number of sector @sector_no. */
uint64_t xtsfs_sector_block(enum xtsfs_layout layout, uint64_t sector_no);
/** Cipher offset in bytes of sector @sector_no. */
uint64_t xtsfs_sector_cipher_off(enum xtsfs_layout layout, uint64_t sector_no);
/** Group of a sector, its place there, and the cipher offset of the group's meta block (0 for group 0). With
 * XTSFS_LAYOUT_PLAIN groups are only a unit of work. */
static inline uint64_t xtsfs_sector_group(uint64_t sector_no)
{
	return sector_no / XTSFS_GROUP_SECTORS;
}
static inline uint64_t xtsfs_group_cipher_off(uint64_t group_no)
{
	return group_no * XTSFS_GROUP_BLOCKS * XTSFS_BLOCK_BYTES;
}
/** Number of sectors of a file of @plain_bytes, the last partial one counted. */
static inline uint64_t xtsfs_sector_count(uint64_t plain_bytes)
{
	return plain_bytes / XTSFS_BLOCK_BYTES + (plain_bytes % XTSFS_BLOCK_BYTES != 0);
}
/** Plain bytes in sector @sector_no of a file of @plain_bytes: 0 past the end, else 1 to 4096. */
uint32_t xtsfs_sector_plain_bytes(uint64_t plain_bytes, uint64_t sector_no);

/** Cipher length of a file in sectors; 0 for 0. */
uint64_t xtsfs_plain_to_cipher_bytes(enum xtsfs_layout layout, uint64_t plain_bytes);
/** Cipher length of an inline file, @plain_bytes 1 to XTSFS_INLINE_MAX. */
static inline uint64_t xtsfs_inline_cipher_bytes(uint64_t plain_bytes)
{
	return XTSFS_HEADER_BYTES + plain_bytes + 15;
}
/** Plain size from the stored length alone (spec 9.5): inline up to one block, sectors beyond. */
uint64_t xtsfs_cipher_to_plain_bytes(enum xtsfs_layout layout, uint64_t cipher_bytes);

#endif
