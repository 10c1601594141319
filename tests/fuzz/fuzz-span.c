/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes and places: plain to cipher and back (spec 9.3 to 9.5), each claim of the page checked for the numbers of an
 * input.
 *
 * Input: numbers of 8 bytes, alternately a plain size, a stored length and a sector; the first byte is the layout.
 */
#include "fuzz.h"

#include "format/span.h"

/* What the page says, computed anew. */
static uint64_t tail_of(uint64_t plain_bytes)
{
	uint64_t t = plain_bytes % XTSFS_BLOCK_BYTES;

	return t == 0 ? 0 : t <= 4080 ? t + 15 : t + 16;
}

static uint64_t block_of(enum xtsfs_layout layout, uint64_t sector_no)
{
	return layout == XTSFS_LAYOUT_PLAIN ? 1 + sector_no : 1 + sector_no + sector_no / 124;
}

static void check_plain(enum xtsfs_layout layout, uint64_t plain_bytes)
{
	uint64_t cipher_bytes = xtsfs_plain_to_cipher_bytes(layout, plain_bytes), full = plain_bytes / 4096, want;

	want = plain_bytes % 4096 ? block_of(layout, full) * 4096 + tail_of(plain_bytes)
				  : (full ? (block_of(layout, full - 1) + 1) * 4096 : 0);
	FUZZ_CHECK(cipher_bytes == want, "%llu plain bytes take %llu", (unsigned long long)plain_bytes,
		   (unsigned long long)cipher_bytes);
	FUZZ_CHECK(cipher_bytes <= INT64_MAX, "%llu is no off_t", (unsigned long long)cipher_bytes);
	FUZZ_CHECK(xtsfs_cipher_to_plain_bytes(layout, cipher_bytes) == plain_bytes, "%llu comes back as %llu",
		   (unsigned long long)plain_bytes,
		   (unsigned long long)xtsfs_cipher_to_plain_bytes(layout, cipher_bytes));
	FUZZ_CHECK(plain_bytes == 0 || cipher_bytes >= xtsfs_plain_to_cipher_bytes(layout, plain_bytes - 1) ||
			   plain_bytes % 4096 == 0,
		   "the stored length of %llu shrinks", (unsigned long long)plain_bytes);
	FUZZ_CHECK(xtsfs_sector_count(plain_bytes) == (plain_bytes + 4095) / 4096, "sectors of %llu",
		   (unsigned long long)plain_bytes);
	if (plain_bytes >= 1 && plain_bytes <= XTSFS_INLINE_MAX) {
		uint64_t stored = xtsfs_inline_cipher_bytes(plain_bytes);

		FUZZ_CHECK(stored <= 4096 && xtsfs_cipher_to_plain_bytes(layout, stored) == plain_bytes, "inline %llu",
			   (unsigned long long)plain_bytes);
	}
	if (plain_bytes % 4096)
		FUZZ_CHECK(xtsfs_tail_cipher_bytes((uint32_t)(plain_bytes % 4096)) == tail_of(plain_bytes),
			   "tail of %llu", (unsigned long long)plain_bytes);
	FUZZ_CHECK(xtsfs_tail_cipher_bytes(4096) == 4096, "a whole sector");
}

/* Any stored length denotes a plain size that takes no more than that. */
static void check_cipher(enum xtsfs_layout layout, uint64_t cipher_bytes)
{
	uint64_t plain_bytes = xtsfs_cipher_to_plain_bytes(layout, cipher_bytes), back;

	FUZZ_CHECK(plain_bytes <= cipher_bytes, "%llu of %llu", (unsigned long long)plain_bytes,
		   (unsigned long long)cipher_bytes);
	back = cipher_bytes <= 4096 && plain_bytes ? xtsfs_inline_cipher_bytes(plain_bytes)
						   : xtsfs_plain_to_cipher_bytes(layout, plain_bytes);
	FUZZ_CHECK(back <= cipher_bytes && cipher_bytes - back < (cipher_bytes <= 4096 ? 144U : 2U * 4096U),
		   "%llu denotes %llu, which takes %llu", (unsigned long long)cipher_bytes,
		   (unsigned long long)plain_bytes, (unsigned long long)back);
}

static void check_sector(enum xtsfs_layout layout, uint64_t sector_no, uint64_t plain_bytes)
{
	uint64_t block = xtsfs_sector_block(layout, sector_no), group_no = xtsfs_sector_group(sector_no);
	uint64_t in = xtsfs_sector_plain_bytes(plain_bytes, sector_no), start = sector_no * 4096;

	FUZZ_CHECK(block == block_of(layout, sector_no) && xtsfs_sector_cipher_off(layout, sector_no) == block * 4096,
		   "block %llu of sector %llu", (unsigned long long)block, (unsigned long long)sector_no);
	FUZZ_CHECK(xtsfs_sector_block(layout, sector_no + 1) > block, "sectors lie on each other");
	if (layout == XTSFS_LAYOUT_GROUPS) {
		FUZZ_CHECK(block % XTSFS_GROUP_BLOCKS != 0, "sector %llu in a meta block",
			   (unsigned long long)sector_no);
		FUZZ_CHECK(xtsfs_sector_cipher_off(layout, sector_no) ==
				   xtsfs_group_cipher_off(group_no) + (1 + sector_no % 124) * 4096,
			   "sector %llu is not in its group", (unsigned long long)sector_no);
	}
	FUZZ_CHECK(in == (start >= plain_bytes	       ? 0
			  : plain_bytes - start > 4096 ? 4096
						       : plain_bytes - start),
		   "%llu bytes of sector %llu of %llu", (unsigned long long)in, (unsigned long long)sector_no,
		   (unsigned long long)plain_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input input = fuzz_begin(data, bytes);
	enum xtsfs_layout layout = fuzz_byte(&input) & 1 ? XTSFS_LAYOUT_GROUPS : XTSFS_LAYOUT_PLAIN;

	do {
		uint64_t plain_bytes = fuzz_number(&input, 8) % (XTSFS_PLAIN_MAX + 1);
		uint64_t cipher_bytes = fuzz_number(&input, 8) & INT64_MAX;
		uint64_t sector_no = fuzz_number(&input, 8) % (XTSFS_PLAIN_MAX / 4096);

		check_plain(layout, plain_bytes);
		check_cipher(layout, cipher_bytes);
		check_sector(layout, sector_no, plain_bytes);
		check_sector(layout, plain_bytes / 4096, plain_bytes);
		/* what lies near a length that the page gives */
		check_cipher(layout, xtsfs_plain_to_cipher_bytes(layout, plain_bytes) + cipher_bytes % 64);
		check_plain(layout, plain_bytes % 20000);
		check_cipher(layout, cipher_bytes % 1100000);
	} while (input.left >= 8);
	return 0;
}
