/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain ↔ cipher arithmetic.
 *
 * A ciphertext file in groups is
 *
 *     block 0      1 … 124         125       126 … 249        250 …
 *     header+meta  sectors 0…123   meta 1    sectors 124…247  meta 2 …
 *
 * and without groups block 0 and then the sectors. Only the last sector may be short; how many bytes it has follows
 * from the remainder of the stored length (spec 9.3), so no function here needs anything but a number.
 */
#include "format/span.h"

uint32_t xtsfs_tail_cipher_bytes(uint32_t plain_bytes)
{
	if (plain_bytes >= XTSFS_BLOCK_BYTES)
		return XTSFS_BLOCK_BYTES;
	return plain_bytes + (plain_bytes <= XTSFS_SHORT_TAIL_MAX ? 15U : 16U);
}

uint64_t xtsfs_sector_block(enum xtsfs_layout layout, uint64_t sector_no)
{
	if (layout == XTSFS_LAYOUT_PLAIN)
		return 1 + sector_no;
	return 1 + sector_no + sector_no / XTSFS_GROUP_SECTORS;
}

uint64_t xtsfs_sector_cipher_off(enum xtsfs_layout layout, uint64_t sector_no)
{
	return xtsfs_sector_block(layout, sector_no) * XTSFS_BLOCK_BYTES;
}

uint32_t xtsfs_sector_plain_bytes(uint64_t plain_bytes, uint64_t sector_no)
{
	uint64_t full = plain_bytes / XTSFS_BLOCK_BYTES;

	if (sector_no < full)
		return XTSFS_BLOCK_BYTES;
	return sector_no == full ? (uint32_t)(plain_bytes % XTSFS_BLOCK_BYTES) : 0;
}

uint64_t xtsfs_plain_to_cipher_bytes(enum xtsfs_layout layout, uint64_t plain_bytes)
{
	uint64_t full = plain_bytes / XTSFS_BLOCK_BYTES;
	uint32_t tail = (uint32_t)(plain_bytes % XTSFS_BLOCK_BYTES);

	if (tail)
		return xtsfs_sector_cipher_off(layout, full) + xtsfs_tail_cipher_bytes(tail);
	return full ? (xtsfs_sector_block(layout, full - 1) + 1) * XTSFS_BLOCK_BYTES : 0;
}

static bool block_is_meta(enum xtsfs_layout layout, uint64_t block)
{
	return layout == XTSFS_LAYOUT_PLAIN ? block == 0 : block % XTSFS_GROUP_BLOCKS == 0;
}

/* Sector blocks before block @block ≥ 1. */
static uint64_t sectors_before(enum xtsfs_layout layout, uint64_t block)
{
	if (layout == XTSFS_LAYOUT_PLAIN)
		return block - 1;
	return block - (block + XTSFS_GROUP_BLOCKS - 1) / XTSFS_GROUP_BLOCKS;
}

uint64_t xtsfs_cipher_to_plain_bytes(enum xtsfs_layout layout, uint64_t cipher_bytes)
{
	uint64_t block = cipher_bytes / XTSFS_BLOCK_BYTES;
	uint32_t rest = (uint32_t)(cipher_bytes % XTSFS_BLOCK_BYTES);
	uint64_t whole;

	if (cipher_bytes <= XTSFS_BLOCK_BYTES)
		return cipher_bytes > XTSFS_HEADER_BYTES + 15 ? cipher_bytes - XTSFS_HEADER_BYTES - 15 : 0;

	whole = XTSFS_BLOCK_BYTES * sectors_before(layout, block);
	if (rest >= 16)
		return block_is_meta(layout, block) ? whole : whole + rest - 15;
	if (rest == 0 || block_is_meta(layout, block - 1))
		return whole;
	return whole - XTSFS_BLOCK_BYTES + XTSFS_SHORT_TAIL_MAX + rest; /* a tail whose filler is in the next block */
}
