/* SPDX-License-Identifier: Apache-2.0 */
/* Headers and meta blocks: what is packed parses, and each field that is wrong is refused. */
#undef NDEBUG
#include "unit.h"

#include "format/header.h"
#include "format/span.h"

static struct xtsfs_header sample(uint32_t flags, uint64_t plain_bytes)
{
	struct xtsfs_header header = {.flags = flags, .plain_bytes = plain_bytes};

	memset(header.file_id, 0x5a, sizeof(header.file_id));
	memset(header.dirid_hint, 0xa5, sizeof(header.dirid_hint));
	return header;
}

static void test_round_trip(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t plain_bytes;
		size_t cipher_bytes;
	} good[] = {
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 1, 144},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, XTSFS_INLINE_MAX, 4096},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 16, 128 + 16}, /* cut to its last cipher block: still whole */
		{0, 0, 4096},
		{XTSFS_FILE_SPARSE, 0, 4096},
		{XTSFS_FILE_CLEAN, 12345678, 4096},
		{XTSFS_FILE_CLEAN | XTSFS_FILE_SPARSE, XTSFS_PLAIN_MAX, 4096},
		{XTSFS_FILE_CLEAN, 0, 4096},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(good); i++) {
		struct xtsfs_header header = sample(good[i].flags, good[i].plain_bytes), parsed;
		struct xtsfs_disk_block block;

		memset(&block, 0xcc, sizeof(block));
		xtsfs_growing_set(&block, NULL);
		xtsfs_header_pack(&header, &block);
		assert_memory_equal(&block, "xtsfs.f1\1\0\0\0", 12);
		assert_int_equal(block.inline_cipher[0], 0xcc);
		assert_int_equal(xtsfs_header_parse(&block, good[i].cipher_bytes, &parsed), 0);
		assert_int_equal(parsed.flags, header.flags);
		assert_int_equal(parsed.plain_bytes, header.plain_bytes);
		assert_memory_equal(parsed.file_id, header.file_id, sizeof(header.file_id));
		assert_memory_equal(parsed.dirid_hint, header.dirid_hint, sizeof(header.dirid_hint));
	}
}

static void test_refusals(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t plain_bytes;
		size_t cipher_bytes;
		int at, want; /* byte changed by one, or -1 */
	} bad[] = {
		{XTSFS_FILE_CLEAN, 5, 4096, 0, -EUCLEAN}, /* magic */
		{XTSFS_FILE_CLEAN, 5, 4096, 7, -EUCLEAN},
		{XTSFS_FILE_CLEAN, 5, 4096, 8, -EPROTO}, /* version */
		{XTSFS_FILE_CLEAN, 5, 4096, 11, -EPROTO},
		{XTSFS_FILE_CLEAN | 8, 5, 4096, -1, -EPROTO}, /* flags */
		{XTSFS_FILE_CLEAN | 0x80000000U, 5, 4096, -1, -EPROTO},
		{XTSFS_FILE_CLEAN, 5, 4096, 88, -EUCLEAN}, /* reserved */
		{XTSFS_FILE_CLEAN, 5, 4096, 80, 0},	   /* renewed groups: whether there may be is for others */
		{XTSFS_FILE_CLEAN, 5, 4096, 87, 0},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 5, 148, 80, -EUCLEAN},
		{XTSFS_FILE_CLEAN, 5, 4096, 64, -EUCLEAN}, /* a growing tag without a size */
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 5, 148, 56, -EUCLEAN},
		{XTSFS_FILE_CLEAN, 5, 4096, 111, -EUCLEAN},
		{XTSFS_FILE_CLEAN, 5, 4095, -1, -EUCLEAN}, /* too short */
		{XTSFS_FILE_CLEAN, 5, 127, -1, -EUCLEAN},
		{XTSFS_FILE_CLEAN, 5, 0, -1, -EUCLEAN},
		{XTSFS_FILE_CLEAN, XTSFS_PLAIN_MAX + 1, 4096, -1, -EUCLEAN},
		{XTSFS_FILE_CLEAN, UINT64_MAX, 4096, -1, -EUCLEAN},
		{0, 1, 4096, -1, -EUCLEAN}, /* a size that nobody vouches for */
		{XTSFS_FILE_INLINE, 5, 148, -1, -EUCLEAN},
		{XTSFS_FILE_INLINE | XTSFS_FILE_SPARSE | XTSFS_FILE_CLEAN, 5, 148, -1, -EUCLEAN},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 0, 4096, -1, -EUCLEAN},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, XTSFS_INLINE_MAX + 1, 4096, -1, -EUCLEAN},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 17, 128 + 31, -1, -EUCLEAN},
		{XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 1ULL << 32, 4096, -1, -EUCLEAN},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		struct xtsfs_header header = sample(bad[i].flags, bad[i].plain_bytes), parsed;
		struct xtsfs_disk_block block = {0};

		xtsfs_header_pack(&header, &block);
		if (bad[i].at >= 0)
			block.header_bytes[bad[i].at]++;
		assert_int_equal(xtsfs_header_parse(&block, bad[i].cipher_bytes, &parsed), bad[i].want);
	}
}

static void test_tag_parts(void **state)
{
	struct xtsfs_header header = sample(XTSFS_FILE_INLINE | XTSFS_FILE_CLEAN, 17);
	struct xtsfs_disk_block block = {0};
	struct iovec parts[3];

	(void)state;
	xtsfs_header_pack(&header, &block);
	assert_int_equal(xtsfs_header_tag_parts(&block, parts), 3);
	assert_int_equal(parts[0].iov_len, 16);
	assert_memory_equal(parts[0].iov_base, "xtsfs block0 v1\0", 16);
	assert_ptr_equal(parts[1].iov_base, &block);
	assert_int_equal(parts[1].iov_len, 112);
	assert_ptr_equal(parts[2].iov_base, block.inline_cipher);
	assert_int_equal(parts[2].iov_len, 32);
	/* An impossible inline size must not make the MAC read past the block. */
	block.file.plain_bytes = xtsfs_le64_of(UINT64_MAX);
	assert_int_equal(xtsfs_header_tag_parts(&block, parts), 3);
	assert_int_equal(parts[2].iov_len, 3968);
	header.flags = 0;
	xtsfs_header_pack(&header, &block);
	assert_int_equal(xtsfs_header_tag_parts(&block, parts), 3);
	assert_int_equal(parts[2].iov_len, 3968);
}

static void test_growing(void **state)
{
	static const struct {
		uint64_t group_no, from;
		int want;
	} cases[] = {
		{0, 1, 0},
		{0, 4095, 0},
		{0, 4096, -EUCLEAN}, /* not within a sector */
		{0, 124 * 4096 - 1, 0},
		{0, 124 * 4096 + 1, -EUCLEAN}, /* in another group */
		{1, 124 * 4096 + 1, 0},
		{1, 124 * 4096 - 1, -EUCLEAN},
		{0, UINT64_MAX, -EUCLEAN},
	};
	const struct xtsfs_header header = sample(0, 0);

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct xtsfs_growing growing = {.from = cases[i].from, .tag = {1, 2, 3}}, got;
		struct xtsfs_disk_block block = {0};
		struct xtsfs_header parsed;

		xtsfs_growing_set(&block, &growing);
		if (cases[i].group_no) {
			xtsfs_meta_pack(cases[i].group_no, header.file_id, &block);
			assert_int_equal(xtsfs_meta_check(&block, cases[i].group_no, header.file_id), cases[i].want);
		} else {
			xtsfs_header_pack(&header, &block);
			assert_int_equal(xtsfs_header_parse(&block, 4096, &parsed), cases[i].want);
		}
		got = xtsfs_growing_get(&block);
		assert_memory_equal(&got, &growing, sizeof(got));
	}
}

static void test_meta(void **state)
{
	static const unsigned checked[] = {0, 7, 8, 15, 16, 31, 32, 55, 56, 64, 79, 80, 111};
	const struct xtsfs_header header = sample(0, 0);
	struct xtsfs_disk_block block;
	struct iovec parts[3];

	(void)state;
	memset(&block, 0xcc, sizeof(block));
	xtsfs_growing_set(&block, NULL);
	xtsfs_meta_pack(0x0102030405060708ULL, header.file_id, &block);
	assert_memory_equal(&block, "xtsfs.m1\x08\x07\x06\x05\x04\x03\x02\x01", 16);
	assert_int_equal(xtsfs_meta_check(&block, 0x0102030405060708ULL, header.file_id), 0);
	assert_int_equal(xtsfs_meta_check(&block, 1, header.file_id), -EUCLEAN);
	assert_int_equal(xtsfs_meta_check(&block, 0x0102030405060708ULL, header.dirid_hint), -EUCLEAN);
	for (unsigned i = 0; i < ARRAY_COUNT(checked); i++) {
		block.header_bytes[checked[i]]++;
		assert_int_equal(xtsfs_meta_check(&block, 0x0102030405060708ULL, header.file_id), -EUCLEAN);
		block.header_bytes[checked[i]]--;
	}
	block.header_bytes[112]++; /* the tag is for others to check */
	assert_int_equal(xtsfs_meta_check(&block, 0x0102030405060708ULL, header.file_id), 0);
	assert_int_equal(xtsfs_meta_tag_parts(&block, parts), 3);
	assert_int_equal(parts[0].iov_len + parts[1].iov_len + parts[2].iov_len, 16 + 112 + 3968);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refusals), cmocka_unit_test(test_tag_parts),
		cmocka_unit_test(test_growing),	   cmocka_unit_test(test_meta),
	};

	return cmocka_run_group_tests_name("format-header", tests, NULL, NULL);
}
