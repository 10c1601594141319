/* SPDX-License-Identifier: Apache-2.0 */
/* base64url: the vectors of RFC 4648 without padding, round trips, and what a decoder must refuse. */
#undef NDEBUG
#include "unit.h"

#include "base/base64.h"

static void test_vectors(void **state)
{
	/* RFC 4648 section 10, padding removed; the last two use the characters of the URL alphabet. */
	static const struct {
		const char *plain, *text;
	} cases[] = {
		{"", ""},
		{"f", "Zg"},
		{"fo", "Zm8"},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg"},
		{"fooba", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy"},
		{"\xfb\xff", "-_8"},
		{"\xff\xef\xbe", "_---"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		size_t bytes = strlen(cases[i].plain), chars = strlen(cases[i].text);
		uint8_t data[16];
		char text[16];

		assert_int_equal(xtsfs_base64_chars(bytes), chars);
		assert_int_equal(xtsfs_base64_bytes(chars), bytes);
		xtsfs_base64_encode((const uint8_t *)cases[i].plain, bytes, text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(xtsfs_base64_decode(text, chars, data), 0);
		assert_memory_equal(data, cases[i].plain, bytes);
	}
}

static void test_round_trips(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (size_t bytes = 0; bytes <= 300; bytes++) {
		uint8_t data[300], again[300];
		char text[401];

		unit_random_fill(&random, data, bytes);
		xtsfs_base64_encode(data, bytes, text);
		assert_int_equal(strlen(text), xtsfs_base64_chars(bytes));
		assert_int_equal(xtsfs_base64_bytes(strlen(text)), bytes);
		assert_int_equal(xtsfs_base64_decode(text, strlen(text), again), 0);
		assert_memory_equal(again, data, bytes);
	}
}

static void test_refused(void **state)
{
	static const char *const cases[] = {
		"A",	"AAAAA",						 /* 1 mod 4 */
		"AA==", "AAA=",	 "AA=",						 /* padding */
		"AA+A", "AA/A",							 /* the other alphabet */
		"AA A", " AAA",	 "AAA\n", "AA\nA",				 /* white space */
		"AA.A", "AA~A",	 "AA@A",  "AA[A",  "AA`A", "AA{A", "AA\xc3\xa4", /* neighbours of the ranges, UTF-8 */
		"AB",	"AP",	 "A_",	  "Zh",					 /* 4 trailing bits */
		"AAB",	"AAD",	 "Zm9",						 /* 2 trailing bits */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

		assert_int_equal(xtsfs_base64_decode(cases[i], strlen(cases[i]), data), -EINVAL);
		assert_memory_equal(data, ((uint8_t[8]){1, 2, 3, 4, 5, 6, 7, 8}), 8); /* untouched */
	}
	/* A NUL inside the length is a foreign character too. */
	assert_int_equal(xtsfs_base64_decode("AA\0A", 4, (uint8_t[3]){0}), -EINVAL);
}

/* Every text of two characters either is the one spelling of a byte or is refused. */
static void test_one_spelling(void **state)
{
	unsigned accepted = 0;

	(void)state;
	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			char text[3] = {(char)a, (char)b, 0}, again[3];
			uint8_t byte;

			if (xtsfs_base64_decode(text, 2, &byte) < 0)
				continue;
			accepted++;
			xtsfs_base64_encode(&byte, 1, again);
			assert_string_equal(again, text);
		}
	assert_int_equal(accepted, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_one_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
