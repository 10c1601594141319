/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of names: classification, padding and its strict inverse, the border between short and long. */
#undef NDEBUG
#include "unit.h"

#include "format/name.h"

#define HASH "0123456789012345678901234567890123456789ABw" /* 43 characters, no trailing bits */

static void test_classify(void **state)
{
	static const struct {
		const char *name;
		enum xtsfs_name_kind below, root;
	} cases[] = {
		{"eZlf8rpvezpa8xVEJLBXPOuBqsmVhtDaKW5vljg_g4U", XTSFS_NAME_KIND_SHORT, XTSFS_NAME_KIND_SHORT},
		{"eZlf8rpvezpa8xVEJLBXPOuBqsmVhtDaKW5vljg_g4V", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"eZlf8rpvezpa8xVEJLBXPOuBqsmVhtDaKW5vljg_g4", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"eZlf8rpvezpa8xVEJLBXPOuBqsmVhtDaKW5vljg+g4U", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"AAAAAAAAAAAAAAAAAAAAAA", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN}, /* 16 bytes */
		{"a", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.long." HASH, XTSFS_NAME_KIND_LONG, XTSFS_NAME_KIND_LONG},
		{"xtsfs.long." HASH ".name", XTSFS_NAME_KIND_LONG_NAME, XTSFS_NAME_KIND_LONG_NAME},
		{"xtsfs.long." HASH ".nam", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.long." HASH ".name.name", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.long." HASH "A", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.long.", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.long.short", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.tmp.AAAAAAAAAAAAAAAAAAAAAA", XTSFS_NAME_KIND_TMP, XTSFS_NAME_KIND_TMP},
		{"xtsfs.tmp.AAAAAAAAAAAAAAAAAAAAA", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.tmp.", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"xtsfs.dirid", XTSFS_NAME_KIND_OWN, XTSFS_NAME_KIND_OWN},
		{"xtsfs.conf", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_OWN},
		{"xtsfs.lock", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_OWN},
		{"xtsfs.unclean", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_OWN},
		{"xtsfs.lost+found", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_OWN},
		{"xtsfs.conf2", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{".", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
		{"lost+found", XTSFS_NAME_KIND_FOREIGN, XTSFS_NAME_KIND_FOREIGN},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(xtsfs_name_classify(cases[i].name, false), cases[i].below);
		assert_int_equal(xtsfs_name_classify(cases[i].name, true), cases[i].root);
	}
}

static void test_check(void **state)
{
	char long_name[257];

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	assert_int_equal(xtsfs_name_check("a", 1), 0);
	assert_int_equal(xtsfs_name_check("...", 3), 0);
	assert_int_equal(xtsfs_name_check(".a", 2), 0);
	assert_int_equal(xtsfs_name_check("xtsfs.conf", 10), 0);
	assert_int_equal(xtsfs_name_check("", 0), -EINVAL);
	assert_int_equal(xtsfs_name_check(".", 1), -EINVAL);
	assert_int_equal(xtsfs_name_check("..", 2), -EINVAL);
	assert_int_equal(xtsfs_name_check("a/b", 3), -EINVAL);
	assert_int_equal(xtsfs_name_check("a\0b", 3), -EINVAL);
	assert_int_equal(xtsfs_name_check(long_name, 255), 0);
	assert_int_equal(xtsfs_name_check(long_name, 256), -ENAMETOOLONG);
}

static void test_pad_every_length(void **state)
{
	char name[256], back[XTSFS_NAME_MAX + 1];
	uint8_t padded[XTSFS_NAME_PADDED_MAX];

	(void)state;
	for (size_t n = 1; n <= 255; n++) {
		size_t bytes;

		memset(name, 'a' + (int)(n % 26), n);
		name[n] = '\0';
		bytes = xtsfs_name_pad(name, n, padded);
		assert_int_equal(bytes, (n + 15) / 16 * 16);
		assert_int_equal(xtsfs_name_unpad(padded, bytes, back), 0);
		assert_string_equal(back, name);
		/* Names of at most 160 bytes are short. */
		assert_int_equal(xtsfs_name_is_long(bytes + 16), n > 160);
		if (bytes > n) { /* padding that is not zeros */
			padded[bytes - 1] = 1;
			assert_int_equal(xtsfs_name_unpad(padded, bytes, back),
					 bytes - 1 == n && n < 255 ? 0 : -EUCLEAN);
			padded[bytes - 1] = 0;
		}
		if (bytes + 16 <= sizeof(padded)) { /* a block too many */
			memset(padded + bytes, 0, 16);
			assert_int_equal(xtsfs_name_unpad(padded, bytes + 16, back), -EUCLEAN);
		}
	}
}

static void test_unpad_refuses(void **state)
{
	static const struct {
		const char *padded;
		size_t bytes;
	} bad[] = {
		{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
		{".\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
		{"..\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
		{"a/b\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
		{"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
		{"\0abcdefghijklmno", 16},
		{"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
		 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
		 32},
	};
	char back[XTSFS_NAME_MAX + 1];
	uint8_t full[256];

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(xtsfs_name_unpad((const uint8_t *)bad[i].padded, bad[i].bytes, back), -EUCLEAN);
	memset(full, 'x', sizeof(full)); /* 256 bytes without a zero */
	assert_int_equal(xtsfs_name_unpad(full, sizeof(full), back), -EUCLEAN);
	assert_int_equal(xtsfs_name_unpad(full, 16, back), 0); /* no padding at all is fine */
	assert_int_equal(strlen(back), 16);
}

static void test_long_name(void **state)
{
	char name[XTSFS_NAME_LONG_CHARS + 1];
	uint8_t hash[32];

	(void)state;
	memset(hash, 0xff, sizeof(hash));
	xtsfs_name_long_from_hash(hash, name);
	assert_string_equal(name, "xtsfs.long.__________________________________________8");
	assert_int_equal(xtsfs_name_classify(name, false), XTSFS_NAME_KIND_LONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classify),	 cmocka_unit_test(test_check),
		cmocka_unit_test(test_pad_every_length), cmocka_unit_test(test_unpad_refuses),
		cmocka_unit_test(test_long_name),
	};

	return cmocka_run_group_tests_name("format-name", tests, NULL, NULL);
}
