/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's keyrings: what is put there is read again, by whom it is for, and is wiped in time. Each test runs in a
 * session keyring of its own. */
#undef NDEBUG
#include "unit.h"

#include "base/keyring.h"
#include "base/passphrase.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static char user_name[64]; /* the user's keyring is shared with others */

static int join_session(void)
{
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ? -errno : 0;
}

static int set_up(void **state)
{
	(void)state;
	xtsfs_secret_allow_swap(true);
	snprintf(user_name, sizeof(user_name), "xtsfs-unit-%ld", (long)getpid());
	return join_session();
}

static int tear_down(void **state)
{
	int r = xtsfs_keyring_drop(XTSFS_KEYRING_USER, user_name); /* mostly gone already */

	(void)state;
	return r == 0 || r == -ENOKEY ? 0 : r;
}

static struct xtsfs_secret *secret_of(size_t bytes, uint64_t seed)
{
	struct xtsfs_secret *secret;

	assert_int_equal(xtsfs_secret_new(bytes, &secret), 0);
	unit_random_fill(&seed, secret->data, bytes);
	return secret;
}

static void add(enum xtsfs_keyring keyring, const char *name, size_t bytes, uint64_t seed, unsigned timeout_s)
{
	struct xtsfs_secret *secret = secret_of(bytes, seed);

	assert_int_equal(xtsfs_keyring_add(keyring, name, secret, timeout_s, NULL), 0);
	xtsfs_secret_free(secret);
}

/* 0 if it is what add() put there, or the error. */
static int check(const char *name, size_t bytes, uint64_t seed)
{
	struct xtsfs_secret *want = secret_of(bytes, seed), *got = NULL;
	int r = xtsfs_keyring_read(name, &got);

	if (r == 0) {
		assert_int_equal(got->bytes, bytes);
		assert_memory_equal(got->data, want->data, bytes);
	} else {
		assert_null(got);
	}
	xtsfs_secret_free(got);
	xtsfs_secret_free(want);
	return r;
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {1, 32, 4096, 4097, XTSFS_KEYRING_KEY_MAX_BYTES};
	struct xtsfs_secret *long_one = secret_of(XTSFS_KEYRING_KEY_MAX_BYTES + 1, 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		/* Users other than root have 20000 bytes in all. */
		if (geteuid() != 0 && sizes[i] > 10000)
			continue;
		add(XTSFS_KEYRING_SESSION, "sizes", sizes[i], i, 0);
		assert_int_equal(check("sizes", sizes[i], i), 0);
	}
	assert_int_equal(xtsfs_keyring_add(XTSFS_KEYRING_SESSION, "sizes", long_one, 0, NULL), -EFBIG);
	assert_int_equal(xtsfs_keyring_add(XTSFS_KEYRING_SESSION, "", long_one, 0, NULL), -EINVAL);
	xtsfs_secret_free(long_one);
}

static void test_drop(void **state)
{
	(void)state;
	assert_int_equal(check("one", 1, 1), -ENOKEY);
	assert_int_equal(xtsfs_keyring_drop(XTSFS_KEYRING_SESSION, "one"), -ENOKEY);
	add(XTSFS_KEYRING_SESSION, "one", 40, 1, 0);
	add(XTSFS_KEYRING_SESSION, "other", 41, 2, 0);
	assert_int_equal(xtsfs_keyring_drop(XTSFS_KEYRING_SESSION, "one"), 0);
	assert_int_equal(check("one", 40, 1), -ENOKEY);
	assert_int_equal(check("other", 41, 2), 0);
	assert_int_equal(xtsfs_keyring_drop(XTSFS_KEYRING_SESSION, "one"), -ENOKEY);
	assert_int_equal(check("", 1, 1), -EINVAL);
}

/* The session's comes before the user's; another session sees the user's only. */
static void test_sessions(void **state)
{
	(void)state;
	add(XTSFS_KEYRING_USER, user_name, 50, 3, 0);
	assert_int_equal(check(user_name, 50, 3), 0);
	add(XTSFS_KEYRING_SESSION, user_name, 50, 4, 0);
	add(XTSFS_KEYRING_SESSION, "mine", 50, 5, 0);
	assert_int_equal(check(user_name, 50, 4), 0);
	assert_int_equal(join_session(), 0);
	assert_int_equal(check(user_name, 50, 3), 0);
	assert_int_equal(check("mine", 50, 5), -ENOKEY);
	assert_int_equal(xtsfs_keyring_drop(XTSFS_KEYRING_USER, user_name), 0);
	assert_true(check(user_name, 50, 3) < 0);
}

static void test_timeout(void **state)
{
	int r;

	(void)state;
	add(XTSFS_KEYRING_SESSION, "short", 32, 6, 1);
	do
		r = check("short", 32, 6);
	while (r == 0);
	assert_true(r == -EKEYEXPIRED || r == -ENOKEY);
	/* Put there anew it has the new limit, or none. */
	add(XTSFS_KEYRING_SESSION, "short", 32, 7, 0);
	assert_int_equal(check("short", 32, 7), 0);
}

/* By the sources' reader: byte for byte, with the sentence for what is missing. */
static void test_source(void **state)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;
	struct xtsfs_secret *word, *got = NULL;
	char problem[256];
	bool is_keyfile;

	(void)state;
	assert_int_equal(xtsfs_secret_new(5, &word), 0);
	memcpy(word->data, "word\n", 5);
	assert_int_equal(xtsfs_keyring_add(XTSFS_KEYRING_SESSION, "source", word, 0, NULL), 0);
	source.keyring = "source";
	assert_int_equal(xtsfs_source_count(&source), 1);
	assert_int_equal(xtsfs_source_read(&source, "", false, &got, &is_keyfile, problem, sizeof(problem)), 0);
	assert_int_equal(got->bytes, 5);
	assert_memory_equal(got->data, "word\n", 5);
	assert_false(is_keyfile);
	xtsfs_secret_free(got);
	xtsfs_secret_free(word);
	source.keyring = "none";
	assert_int_equal(xtsfs_source_read(&source, "", false, &got, &is_keyfile, problem, sizeof(problem)), -ENOKEY);
	assert_string_equal(problem, "there is no key 'none' in the keyrings of this session and user");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_drop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_timeout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_source, set_up, tear_down),
	};

	if (join_session() < 0) {
		fprintf(stderr, "no keyrings in this kernel or container\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
