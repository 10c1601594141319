/* SPDX-License-Identifier: Apache-2.0 */
/* Plain ↔ cipher: the formulas of the format page, written down a second time here, for every size near every border.
 */
#undef NDEBUG
#include "unit.h"

#include "format/span.h"

#define B 4096ULL

static const enum xtsfs_layout layouts[] = {XTSFS_LAYOUT_PLAIN, XTSFS_LAYOUT_GROUPS};

/* Spec 9.5, first table, by counting blocks. */
static uint64_t want_block(enum xtsfs_layout layout, uint64_t sector_no)
{
	uint64_t block = 0;

	if (layout == XTSFS_LAYOUT_PLAIN)
		return 1 + sector_no;
	block = sector_no / 124 * 125; /* whole groups in front */
	return block + 1 + sector_no % 124;
}

/* Spec 9.3 and 9.5. */
static uint64_t want_cipher(enum xtsfs_layout layout, uint64_t p)
{
	uint64_t f = p / B, t = p % B;

	if (p == 0)
		return 0;
	if (t == 0)
		return (want_block(layout, f - 1) + 1) * B;
	return want_block(layout, f) * B + (t <= 4080 ? t + 15 : t + 16);
}

/* Spec 9.5, with before(b) counted as ⌈b/125⌉ meta blocks. */
static uint64_t want_plain(enum xtsfs_layout layout, uint64_t c)
{
	uint64_t n = c / B, r = c % B, metas, before;
	bool n_is_meta, last_is_meta;

	if (c <= 4096)
		return c >= 144 ? c - 143 : 0;
	metas = layout == XTSFS_LAYOUT_GROUPS ? n / 125 + (n % 125 != 0) : 1;
	before = n - metas;
	n_is_meta = layout == XTSFS_LAYOUT_GROUPS ? n % 125 == 0 : n == 0;
	last_is_meta = layout == XTSFS_LAYOUT_GROUPS ? (n - 1) % 125 == 0 : n - 1 == 0;
	if (r >= 16)
		return n_is_meta ? B * before : B * before + r - 15;
	if (r == 0 || last_is_meta)
		return B * before;
	return B * (before - 1) + 4080 + r;
}

static void check_plain(enum xtsfs_layout layout, uint64_t p)
{
	uint64_t c = xtsfs_plain_to_cipher_bytes(layout, p);

	assert_int_equal(c, want_cipher(layout, p));
	/* Sector files are at least 4112 bytes long, so nothing is mistaken for an inline file. */
	assert_true(p == 0 || c > 4096);
	assert_int_equal(xtsfs_cipher_to_plain_bytes(layout, c), p);
	/* The length grows with the content, but for the one step to a full sector. */
	if (p > 0 && p % B != 0)
		assert_true(xtsfs_plain_to_cipher_bytes(layout, p - 1) < c);
	if (p > 0 && p % B == 0)
		assert_int_equal(xtsfs_plain_to_cipher_bytes(layout, p - 1), c + 15);
	/* A following sector begins behind it. */
	assert_true(xtsfs_sector_cipher_off(layout, xtsfs_sector_count(p)) + 15 >= c);
}

static void check_cipher(enum xtsfs_layout layout, uint64_t c)
{
	uint64_t p = xtsfs_cipher_to_plain_bytes(layout, c), back;

	assert_int_equal(p, want_plain(layout, c));
	assert_true(p <= c);
	if (c <= 4096)
		return;
	/* Cutting to the canonical length never adds more than a sector's rest, and denotes the same size. */
	back = xtsfs_plain_to_cipher_bytes(layout, p);
	assert_int_equal(xtsfs_cipher_to_plain_bytes(layout, back), p);
	assert_true(back <= c);
}

static void test_tail(void **state)
{
	(void)state;
	for (uint32_t t = 1; t <= 4096; t++) {
		uint32_t tail = xtsfs_tail_cipher_bytes(t);

		assert_int_equal(tail, t == 4096 ? 4096 : t <= 4080 ? t + 15 : t + 16);
		assert_true(tail >= xtsfs_pad16(t)); /* whole cipher blocks fit */
		assert_int_equal(xtsfs_pad16(t) % 16, 0);
		assert_true(t == 4096 || tail % 4096 != 0);
	}
}

static void test_sectors(void **state)
{
	(void)state;
	for (unsigned l = 0; l < 2; l++) {
		for (uint64_t s = 0; s < 2000; s++) {
			assert_int_equal(xtsfs_sector_block(layouts[l], s), want_block(layouts[l], s));
			assert_int_equal(xtsfs_sector_cipher_off(layouts[l], s), want_block(layouts[l], s) * B);
		}
	}
	for (uint64_t s = 0; s < 2000; s++) {
		uint64_t group_no = xtsfs_sector_group(s);

		assert_int_equal(group_no, s / 124);
		assert_int_equal(xtsfs_group_cipher_off(group_no), group_no * 125 * B);
		assert_true(xtsfs_group_cipher_off(group_no) < xtsfs_sector_cipher_off(XTSFS_LAYOUT_GROUPS, s));
	}
	for (uint64_t p = 0; p < 3 * B; p++) {
		uint64_t sum = 0;

		for (uint64_t s = 0; s < 5; s++)
			sum += xtsfs_sector_plain_bytes(p, s);
		assert_int_equal(sum, p);
		assert_int_equal(xtsfs_sector_count(p), (p + B - 1) / B);
	}
}

static void test_every_small_size(void **state)
{
	(void)state;
	for (unsigned l = 0; l < 2; l++)
		for (uint64_t p = 0; p <= 3 * B; p++)
			check_plain(layouts[l], p);
}

static void test_group_borders(void **state)
{
	static const uint64_t ks[] = {1, 2, 3, 7, 124, 125, 126, 1000, 1000000};

	(void)state;
	for (unsigned l = 0; l < 2; l++)
		for (unsigned i = 0; i < ARRAY_COUNT(ks); i++)
			for (uint64_t p = ks[i] * 124 * B - 5000; p <= ks[i] * 124 * B + 5000; p++)
				check_plain(layouts[l], p);
}

static void test_every_cipher_length(void **state)
{
	static const uint64_t ks[] = {1, 2, 3, 125, 100000};

	(void)state;
	for (unsigned l = 0; l < 2; l++) {
		for (uint64_t c = 0; c <= 3 * B + 100; c++)
			check_cipher(layouts[l], c);
		for (unsigned i = 0; i < ARRAY_COUNT(ks); i++)
			for (uint64_t c = ks[i] * 125 * B - 5000; c <= ks[i] * 125 * B + 9000; c++)
				check_cipher(layouts[l], c);
	}
}

static void test_random_and_large(void **state)
{
	uint64_t rng = 7;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t p = unit_random(&rng) % XTSFS_PLAIN_MAX >> unit_random(&rng) % 50;

		for (unsigned l = 0; l < 2; l++) {
			check_plain(layouts[l], p);
			check_cipher(layouts[l], p + 1);
		}
	}
	for (unsigned l = 0; l < 2; l++) {
		check_plain(layouts[l], XTSFS_PLAIN_MAX);
		assert_true(xtsfs_plain_to_cipher_bytes(layouts[l], XTSFS_PLAIN_MAX) <= INT64_MAX);
	}
}

static void test_inline(void **state)
{
	(void)state;
	for (uint64_t p = 1; p <= XTSFS_INLINE_MAX; p++) {
		assert_int_equal(xtsfs_inline_cipher_bytes(p), 128 + p + 15);
		for (unsigned l = 0; l < 2; l++)
			assert_int_equal(xtsfs_cipher_to_plain_bytes(layouts[l], xtsfs_inline_cipher_bytes(p)), p);
	}
	assert_int_equal(xtsfs_inline_cipher_bytes(XTSFS_INLINE_MAX), 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_sectors),
		cmocka_unit_test(test_every_small_size),
		cmocka_unit_test(test_group_borders),
		cmocka_unit_test(test_every_cipher_length),
		cmocka_unit_test(test_random_and_large),
		cmocka_unit_test(test_inline),
	};

	return cmocka_run_group_tests_name("format-span", tests, NULL, NULL);
}
