/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes, and quoting: tables of input and what is wanted. */
#undef NDEBUG
#include "unit.h"

#include "base/parse.h"
#include "base/text.h"

static void test_u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int want;
		uint64_t value;
	} cases[] = {
		{"0", 0, 10, 0, 0},
		{"10", 0, 10, 0, 10},
		{"11", 0, 10, -ERANGE, 0},
		{"0", 1, 10, -ERANGE, 0},
		{"007", 0, 10, 0, 7},
		{"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0},
		{"", 0, 10, -EINVAL, 0},
		{" 1", 0, 10, -EINVAL, 0},
		{"1 ", 0, 10, -EINVAL, 0},
		{"1\n", 0, 10, -EINVAL, 0},
		{"+1", 0, 10, -EINVAL, 0},
		{"-1", 0, UINT64_MAX, -EINVAL, 0},
		{"1k", 0, UINT64_MAX, -EINVAL, 0},
		{"0x10", 0, UINT64_MAX, -EINVAL, 0},
		{"1.0", 0, UINT64_MAX, -EINVAL, 0},
		{"one", 0, UINT64_MAX, -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t value = 12345;

		assert_int_equal(xtsfs_parse_u64(cases[i].text, cases[i].min, cases[i].max, &value), cases[i].want);
		assert_true(value == (cases[i].want ? 12345 : cases[i].value));
	}
}

static void test_seconds(void **state)
{
	static const struct {
		const char *text;
		int want;
		uint64_t seconds;
	} cases[] = {
		{"0", 0, 0},
		{"90", 0, 90},
		{"90s", 0, 90},
		{"30m", 0, 1800},
		{"30min", 0, 1800},
		{"8h", 0, 28800},
		{"2d", 0, 172800},
		{"1h30m", 0, 5400},
		{"1d1h1m1s", 0, 90061},
		{"", -EINVAL, 0},
		{"m", -EINVAL, 0},
		{"30x", -EINVAL, 0},
		{"30 m", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"1m1", -EINVAL, 0},
		{"1m1h", -EINVAL, 0},
		{"1m1m", -EINVAL, 0},
		{"1mi", -EINVAL, 0},
		{"1.5h", -EINVAL, 0},
		{"1h ", -EINVAL, 0},
		{"1000001", -ERANGE, 0},
		{"12d", -ERANGE, 0},
		{"99999999999999999999", -ERANGE, 0},
		{"18446744073709551615d", -ERANGE, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t seconds = 12345;

		assert_int_equal(xtsfs_parse_seconds(cases[i].text, 0, 1000000, &seconds), cases[i].want);
		assert_true(seconds == (cases[i].want ? 12345 : cases[i].seconds));
	}
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		int want;
		uint64_t bytes;
	} cases[] = {
		{"0", 0, 0},
		{"4096", 0, 4096},
		{"4k", 0, 4096},
		{"4K", 0, 4096},
		{"4KiB", 0, 4096},
		{"4kB", 0, 4096},
		{"3m", 0, 3U << 20},
		{"3M", 0, 3U << 20},
		{"3MiB", 0, 3U << 20},
		{"5G", 0, 5ULL << 30},
		{"5gB", 0, 5ULL << 30},
		{"6T", 0, 6ULL << 40},
		{"6tiB", 0, 6ULL << 40},
		{"16777215T", 0, 16777215ULL << 40},
		{"16777216T", -ERANGE, 0},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"18446744073709551616k", -ERANGE, 0},
		{"18446744073709551616x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"k", -EINVAL, 0},
		{"4 k", -EINVAL, 0},
		{"4kk", -EINVAL, 0},
		{"4kib", -EINVAL, 0},
		{"4Ki", -EINVAL, 0},
		{"4iB", -EINVAL, 0},
		{"4B", -EINVAL, 0},
		{"4P", -EINVAL, 0},
		{"-4k", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
	};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		bytes = 12345;
		assert_int_equal(xtsfs_parse_size(cases[i].text, 0, UINT64_MAX, &bytes), cases[i].want);
		assert_true(bytes == (cases[i].want ? 12345 : cases[i].bytes));
	}
	assert_int_equal(xtsfs_parse_size("4k", 4097, 9999, &bytes), -ERANGE);
	assert_int_equal(xtsfs_parse_size("4k", 0, 4095, &bytes), -ERANGE);
	assert_int_equal(xtsfs_parse_size("4k", 4096, 4096, &bytes), 0);
}

static void test_format(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{1023, "1023 B"},
		{1024, "1 KiB"},
		{1025, "1 KiB"},
		{1126, "1.1 KiB"},
		{1536, "1.5 KiB"},
		{4096, "4 KiB"},
		{1024 * 1024 - 1, "1 MiB"},
		{1024 * 1023 + 1000, "1 MiB"},
		{1024 * 1023, "1023 KiB"},
		{1024 * 1023 + 512, "1023.5 KiB"},
		{3ULL << 29, "1.5 GiB"},
		{1ULL << 40, "1 TiB"},
		{1ULL << 50, "1 PiB"},
		{1ULL << 60, "1 EiB"},
		{UINT64_MAX, "16 EiB"},
		{UINT64_MAX / 2, "8 EiB"},
	};
	uint64_t random = 3;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char text[16];

		assert_ptr_equal(xtsfs_format_size(cases[i].bytes, text), text);
		assert_string_equal(text, cases[i].text);
	}
	for (int i = 0; i < 100000; i++) {
		char text[16];

		xtsfs_format_size(unit_random(&random) >> (unit_random(&random) % 64), text);
		assert_true(strlen(text) <= 10);
	}
}

static void test_quote(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"", ""},
		{"plain name.txt", "plain name.txt"},
		{"a\nb", "a\\x0ab"},
		{"\x01\x1f\x7f", "\\x01\\x1f\\x7f"},
		{"\\x0a", "\\x5cx0a"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc3", "\\xc3"}, /* cut short */
		{"\xe2\x82", "\\xe2\\x82"},
		{"\xe2\x82z", "\\xe2\\x82z"},
		{"\x80\xbf", "\\x80\\xbf"}, /* continuations alone */
		{"\xc0\xaf", "\\xc0\\xaf"}, /* overlong */
		{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
		{"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},	      /* a surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* past U+10FFFF */
		{"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc2\x9b", "\\xc2\\x9b"}, /* C1: the other escape character */
		{"\xc2\xa0", "\xc2\xa0"},
		{"a\xe2\x80\xae"
		 "b",
		 "a\\xe2\\x80\\xae"
		 "b"}, /* right-to-left override */
		{"\xe2\x81\xa6\xe2\x80\xa8", "\\xe2\\x81\\xa6\\xe2\\x80\\xa8"},
		{"\xe2\x80\xaf\xe2\x81\xa5", "\xe2\x80\xaf\xe2\x81\xa5"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char *quoted = xtsfs_quote(cases[i].text);

		assert_non_null(quoted);
		assert_string_equal(quoted, cases[i].want);
		free(quoted);
	}
}

/* Random bytes: never a raw control character, never longer than promised, and NUL is escaped like others. */
static void test_escape_random(void **state)
{
	uint64_t random = 2;
	char text[64], escaped[64 * XTSFS_ESCAPE_FACTOR + 1];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t bytes = unit_random(&random) % (sizeof(text) + 1), length;

		unit_random_fill(&random, text, bytes);
		length = xtsfs_text_escape(text, bytes, i & 1, escaped);
		assert_true(length <= bytes * XTSFS_ESCAPE_FACTOR);
		assert_int_equal(strlen(escaped), length);
		for (size_t j = 0; j < length; j++)
			assert_true((unsigned char)escaped[j] >= 0x20 && escaped[j] != 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),    cmocka_unit_test(test_seconds), cmocka_unit_test(test_size),
		cmocka_unit_test(test_format), cmocka_unit_test(test_quote),   cmocka_unit_test(test_escape_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
