/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences of errors: ours, the C library's, unknown ones, from many threads at once. */
#undef NDEBUG
#include "unit.h"

#include "base/errors.h"

#include <limits.h>
#include <pthread.h>

static void test_sentences(void **state)
{
	static const struct {
		int error;
		const char *text;
	} cases[] = {
		{0, "success"},
		{ENOENT, "no such file or directory"},
		{EIO, "input/output error"},
		{EDOTDOT, "RFS specific error"},
		{XTSFS_EPASS, "no keyslot opens with this passphrase or keyfile"},
		{XTSFS_EFEATURE, "it uses a feature, version or flag that this program does not know"},
		{XTSFS_EDAMAGED, "its structure is damaged"},
		{XTSFS_ESELFTEST, "the encryption engine gave a wrong known answer"},
		{XTSFS_EAUTH, "authentication failed: the data was damaged or changed, or the key is another one"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_string_equal(xtsfs_strerror(cases[i].error), cases[i].text);
		assert_ptr_equal(xtsfs_strerror(-cases[i].error), xtsfs_strerror(cases[i].error));
	}
}

static void test_unknown(void **state)
{
	static const int cases[] = {200, 255, 256, 4095, INT_MAX, INT_MIN, -INT_MAX, -256, -200, 41};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_non_null(strstr(xtsfs_strerror(cases[i]), "unknown error"));
	for (int error = -300; error < 300; error++)
		assert_true(strlen(xtsfs_strerror(error)) > 3);
}

static void *read_all(void *unused)
{
	for (int error = 0; error < 200; error++)
		assert(strlen(xtsfs_strerror(error)) > 3);
	return unused;
}

static void test_threads(void **state)
{
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, NULL), 0);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads), /* first: the table is not filled yet */
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
