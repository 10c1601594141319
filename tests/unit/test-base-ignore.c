/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of what is left out: a table, whose answers are git's. With a file of patterns as argument the program
 * prints those of the paths on standard input (directories with a slash at the end) that are left out, which
 * tests/cases/477-reverse-exclude compares with git itself.
 */
#undef NDEBUG
#include "unit.h"

#include "base/ignore.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool is_left_out(const char *patterns, const char *path, bool is_dir)
{
	struct xtsfs_ignore *ignore;
	bool result;

	assert_int_equal(xtsfs_ignore_new(&ignore), 0);
	assert_int_equal(xtsfs_ignore_add_text(ignore, patterns, strlen(patterns)), 0);
	result = xtsfs_ignore_matches(ignore, path, is_dir);
	xtsfs_ignore_free(ignore);
	return result;
}

static void test_table(void **state)
{
	static const struct {
		const char *patterns, *path;
		bool is_dir, want;
	} cases[] = {
		{"a", "a", false, true},
		{"a", "x/a", false, true},
		{"a", "ab", false, false},
		{"/a", "a", false, true},
		{"/a", "x/a", false, false},
		{"a/", "a", false, false},
		{"a/", "a", true, true},
		{"a/", "x/a", true, true},
		{"a/b", "a/b", false, true},
		{"a/b", "x/a/b", false, false},
		{"*.o", "x/y.o", false, true},
		{"*.o", ".o", false, true},
		{"x/*.o", "x/y.o", false, true},
		{"x/*.o", "x/z/y.o", false, false},
		{"x/*", "x/y", true, true},
		{"x/*", "x/y/z", false, false},
		{"**/y", "y", false, true},
		{"**/y", "a/b/y", false, true},
		{"x/**", "x", true, false},
		{"x/**", "x/y/z", false, true},
		{"x/**/z", "x/z", false, true},
		{"x/**/z", "x/a/b/z", false, true},
		{"x/**/z", "x/a/bz", false, false},
		{"**", "a/b", false, true},
		{"a**b", "axxb", false, true},
		{"x/a**b", "x/ay/zb", false, false},
		{"x/a**/b", "x/ac/db", false, false},
		{"x/a**/b", "x/ac/d/b", false, true},
		{"x/a**/b", "x/ab", false, true},
		{"x/?a**/b", "x/cac/d/b", false, false},
		{"?", "a", false, true},
		{"?", "ab", false, false},
		{"x?y", "x/y", false, false},
		{"[a-c]", "b", false, true},
		{"[!a-c]", "b", false, false},
		{"[^a-c]", "d", false, true},
		{"[]]", "]", false, true},
		{"[a-]", "-", false, true},
		{"[\\]]", "]", false, true},
		{"[[:digit:]]x", "7x", false, true},
		{"[[:nothing:]]x", "7x", false, false},
		{"[[:digit:", "d", false, false},
		{"[a", "a", false, false},
		{"[a", "[a", false, false},
		{"x[!y]z", "x/z", false, false},
		{"a\\", "a", false, false},
		{"a\\", "a\\", false, false},
		{"\\#a", "#a", false, true},
		{"#a", "#a", false, false},
		{"\\!a", "!a", false, true},
		{"a  ", "a", false, true},
		{"a\\ ", "a ", false, true},
		{"a\\  ", "a ", false, true},
		{"a\t", "a", false, false},
		{"a\r\n", "a", false, true},
		{"a\r", "a\r", false, true},
		{"\xef\xbb\xbf"
		 "a",
		 "a", false, true},
		{"\n\na\n", "a", false, true},
		{"*\n!a", "a", false, false},
		{"*\n!a", "b", false, true},
		{"!a\na", "a", false, true},
		{"a\n!a\na", "a", false, true},
		{"\\*", "*", false, true},
		{"\\*", "a", false, false},
		{"\xc3\xa4", "\xc3\xa4", false, true},
		{"/", "a", true, false},
		{"!", "a", true, false},
		{"", "a", true, false},
		{" ", " ", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		if (is_left_out(cases[i].patterns, cases[i].path, cases[i].is_dir) != cases[i].want)
			fail_msg("case %zu: '%s' and '%s'", i, cases[i].patterns, cases[i].path);
}

/* Stars upon stars take no more time than their product with the path. */
static void test_many_stars(void **state)
{
	char pattern[257], path[4001];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (size_t i = 0; i < sizeof(pattern) - 1; i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[sizeof(pattern) - 1] = '\0';
	assert_true(is_left_out(pattern, path, false));
	pattern[sizeof(pattern) - 2] = 'b';
	assert_false(is_left_out(pattern, path, false));
}

/* Those of the source first, so that what was given at the mount can take them back. */
static void test_order(void **state)
{
	struct xtsfs_ignore *later, *first;

	(void)state;
	assert_int_equal(xtsfs_ignore_new(&later), 0);
	assert_int_equal(xtsfs_ignore_new(&first), 0);
	assert_int_equal(xtsfs_ignore_add_text(first, "a\nb", 3), 0);
	assert_int_equal(xtsfs_ignore_add(later, "!a", 2), 0);
	assert_int_equal(xtsfs_ignore_prepend(later, first), 0);
	assert_false(xtsfs_ignore_matches(later, "a", false));
	assert_true(xtsfs_ignore_matches(later, "b", false));
	assert_true(xtsfs_ignore_is_empty(first));
	assert_false(xtsfs_ignore_is_empty(later));
	xtsfs_ignore_free(first);
	xtsfs_ignore_free(later);
}

static void test_files(void **state)
{
	struct xtsfs_ignore *ignore;

	(void)state;
	assert_int_equal(xtsfs_ignore_new(&ignore), 0);
	assert_int_equal(xtsfs_ignore_add_file(ignore, AT_FDCWD, "/nothing/here"), -ENOENT);
	assert_int_equal(xtsfs_ignore_add_file(ignore, AT_FDCWD, "/"), -EISDIR);
	assert_int_equal(xtsfs_ignore_add_file(ignore, AT_FDCWD, "/dev/null"), -EINVAL);
	assert_true(xtsfs_ignore_is_empty(ignore));
	xtsfs_ignore_free(ignore);
}

/* A path is left out with any directory above it. */
static bool with_parents(const struct xtsfs_ignore *ignore, char *path, bool is_dir)
{
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		bool left_out = xtsfs_ignore_matches(ignore, path, true);
		*slash = '/';
		if (left_out)
			return true;
	}
	return xtsfs_ignore_matches(ignore, path, is_dir);
}

static int filter(const char *patterns)
{
	struct xtsfs_ignore *ignore;
	char line[4200];

	if (xtsfs_ignore_new(&ignore) < 0 || xtsfs_ignore_add_file(ignore, AT_FDCWD, patterns) < 0)
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		size_t bytes = strcspn(line, "\n");
		bool is_dir = bytes > 0 && line[bytes - 1] == '/';

		line[bytes - is_dir] = '\0';
		if (with_parents(ignore, line, is_dir))
			printf("%s%s\n", line, is_dir ? "/" : "");
	}
	xtsfs_ignore_free(ignore);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_many_stars),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_files),
	};

	if (argc == 2)
		return filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
