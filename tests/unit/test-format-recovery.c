/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery keys: what is printed is read again however it is typed, and what is mistyped is told by group. */
#undef NDEBUG
#include "unit.h"

#include "format/recovery.h"

#include <stdbool.h>

#define CHARS	 XTSFS_RECOVERY_GROUP_CHARS
#define STRIDE	 (CHARS + 1)
#define ALPHABET "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

static void make(uint64_t seed, uint8_t *ret_key, char *ret_text)
{
	unit_random_fill(&seed, ret_key, XTSFS_RECOVERY_BYTES);
	xtsfs_recovery_print(ret_key, ret_text);
	assert_int_equal(strlen(ret_text), XTSFS_RECOVERY_TEXT_CHARS);
}

static int parse(const char *text, uint8_t *ret_key, unsigned *ret_wrong)
{
	char *copy = strdup(text); /* exactly as long as it is said to be */
	int r;

	assert_non_null(copy);
	*ret_wrong = 0;
	r = xtsfs_recovery_parse(copy, strlen(text), ret_key, ret_wrong);
	free(copy);
	return r;
}

static void assert_reads(const char *text, const uint8_t *want)
{
	uint8_t key[XTSFS_RECOVERY_BYTES];
	unsigned wrong;

	assert_int_equal(parse(text, key, &wrong), 0);
	assert_memory_equal(key, want, sizeof(key));
}

/* Made by hand with the table of the spec. */
static void test_known(void **state)
{
	static const char zeros[] = "000001-000002-000003-000004-000005-000006-000007-000008";
	uint8_t key[XTSFS_RECOVERY_BYTES] = {0};
	char text[XTSFS_RECOVERY_TEXT_CHARS + 1];

	(void)state;
	xtsfs_recovery_print(key, text);
	assert_string_equal(text, zeros);
	assert_reads(zeros, key);
	/* First character 1: its weight is a, so the check is 2 and 1, 3. Last content character 1: a^5 = 5, and 8, D.
	 */
	key[0] = 0x08;
	key[24] = 0x01;
	xtsfs_recovery_print(key, text);
	assert_string_equal(text, "100003-000002-000003-000004-000005-000006-000007-00001D");
}

static void test_forms(void **state)
{
	char text[XTSFS_RECOVERY_TEXT_CHARS + 1], other[256];
	uint8_t key[XTSFS_RECOVERY_BYTES];

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		char *p = other;

		make(seed, key, text);
		assert_reads(text, key);
		for (size_t i = 0; text[i]; i++) {
			char c = text[i];
			bool second = (seed + i) % 2;

			if (c == '-')
				p = stpcpy(p, seed % 4 == 0   ? ""
					      : seed % 4 == 1 ? " "
					      : seed % 4 == 2 ? "\n\t"
							      : "\342\200\223");
			else if (c == '0')
				*p++ = second ? 'o' : 'O';
			else if (c == '1')
				*p++ = "iIlL"[(seed + i) % 4];
			else if (c == 'V')
				*p++ = second ? 'u' : 'U';
			else
				*p++ = (char)(c >= 'A' && second ? c + 'a' - 'A' : c);
		}
		*p = '\0';
		assert_reads(other, key);
	}
}

/* Each other character in each place, each two of a group exchanged, each two groups exchanged. */
static void test_mistakes(void **state)
{
	char text[XTSFS_RECOVERY_TEXT_CHARS + 1], bad[sizeof(text)];
	uint8_t key[XTSFS_RECOVERY_BYTES], got[XTSFS_RECOVERY_BYTES];
	unsigned wrong;

	(void)state;
	make(7, key, text);
	for (unsigned i = 0; text[i]; i++)
		for (const char *c = text[i] == '-' ? "" : ALPHABET "#"; *c; c++) {
			strcpy(bad, text);
			bad[i] = *c;
			if (*c == text[i])
				continue;
			assert_int_equal(parse(bad, got, &wrong), -EILSEQ);
			assert_int_equal(wrong & 1U << i / STRIDE, 1U << i / STRIDE);
		}
	for (unsigned group = 0; group < XTSFS_RECOVERY_GROUPS; group++)
		for (unsigned a = 0; a < CHARS; a++)
			for (unsigned b = a + 1; b < CHARS; b++) {
				char *at = bad + group * STRIDE;

				strcpy(bad, text);
				if (at[a] == at[b])
					continue;
				at[a] = text[group * STRIDE + b];
				at[b] = text[group * STRIDE + a];
				assert_int_equal(parse(bad, got, &wrong), -EILSEQ);
				assert_int_equal(wrong, 1U << group);
			}
	for (unsigned a = 0; a < XTSFS_RECOVERY_GROUPS; a++)
		for (unsigned b = a + 1; b < XTSFS_RECOVERY_GROUPS; b++) {
			strcpy(bad, text);
			memcpy(bad + a * STRIDE, text + b * STRIDE, CHARS);
			memcpy(bad + b * STRIDE, text + a * STRIDE, CHARS);
			assert_int_equal(parse(bad, got, &wrong), -EILSEQ);
			assert_int_equal(wrong, 1U << a | 1U << b);
		}
}

static void test_others(void **state)
{
	static const char *const texts[] = {"",
					    "-",
					    "correct horse battery staple",
					    "one two three four five six seven eight",
					    "000001-000002-000003-000004-000005-000006-000007",
					    "000001-000002-000003-000004-000005-000006-000007-00000",
					    "000001-000002-000003-000004-000005-000006-000007-000008-000009",
					    "0000010000020000030000040000050000060000070000080"};
	uint8_t got[XTSFS_RECOVERY_BYTES] = {9}, before[XTSFS_RECOVERY_BYTES] = {9};
	unsigned wrong;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_int_equal(parse(texts[i], got, &wrong), i == 5 ? -EILSEQ : -EINVAL);
	/* Four wrong groups are mistakes, five are another text. */
	assert_int_equal(parse("000000-000000-000000-000000-000005-000006-000007-000008", got, &wrong), -EILSEQ);
	assert_int_equal(wrong, 15);
	assert_int_equal(parse("000000-000000-000000-000000-000000-000006-000007-000008", got, &wrong), -EINVAL);
	assert_memory_equal(got, before, sizeof(got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
