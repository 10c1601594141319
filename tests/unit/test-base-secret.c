/* SPDX-License-Identifier: Apache-2.0 */
/* Secret memory: really locked and left out of dumps, wiped, the limit, fork; comparison; hardening. */
#undef NDEBUG
#include "unit.h"

#include "base/log.h"
#include "base/secret.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The locked KiB and the flags of the mapping at @address, from /proc/self/smaps. */
static void mapping_of(const void *address, unsigned long *ret_locked_kib, char *ret_flags, size_t flags_bytes)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512];
	int inside = 0;

	assert_non_null(file);
	*ret_locked_kib = 0;
	ret_flags[0] = 0;
	while (fgets(line, sizeof(line), file)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (inside && strncmp(line, "Locked:", 7) == 0)
			*ret_locked_kib = strtoul(line + 7, NULL, 10);
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(ret_flags, flags_bytes, "%s", line + 8);
	}
	fclose(file);
}

/* Whether madvise(MADV_DONTDUMP) shows in smaps here: emulators of another processor ignore it. */
static bool dump_flag_shows(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *plain = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long locked_kib;
	char flags[512];

	assert_true(plain != MAP_FAILED);
	assert_int_equal(madvise(plain, page, MADV_DONTDUMP), 0);
	mapping_of(plain, &locked_kib, flags, sizeof(flags));
	assert_int_equal(munmap(plain, page), 0);
	return strstr(flags, " dd") != NULL;
}

static void test_locked(void **state)
{
	struct xtsfs_secret *secret;
	unsigned long locked_kib;
	char flags[512];

	(void)state;
	if (UNIT_SANITIZED)
		skip();
	assert_int_equal(xtsfs_secret_new(64, &secret), 0);
	assert_int_equal(secret->bytes, 64);
	assert_int_equal(secret->capacity, (size_t)sysconf(_SC_PAGESIZE));
	assert_true(xtsfs_is_zero(secret->data, secret->capacity));
	mapping_of(secret->data, &locked_kib, flags, sizeof(flags));
	if (flags[0]) { /* some sandboxes have no smaps */
		assert_non_null(strstr(flags, " lo"));
		if (dump_flag_shows())
			assert_non_null(strstr(flags, " dd"));
	}
	secret = xtsfs_secret_free(secret);
	assert_null(secret);
	assert_null(xtsfs_secret_free(NULL));
}

static void test_sizes(void **state)
{
	struct xtsfs_secret *secret = NULL;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	assert_int_equal(xtsfs_secret_new(0, &secret), -EINVAL);
	assert_int_equal(xtsfs_secret_new(((size_t)64 << 20) + 1, &secret), -EINVAL);
	assert_int_equal(xtsfs_secret_new(SIZE_MAX, &secret), -EINVAL);
	assert_null(secret);
	assert_int_equal(xtsfs_secret_new(page + 1, &secret), 0);
	assert_int_equal(secret->capacity, 2 * page);
	memset(secret->data, 1, secret->capacity);
	xtsfs_secret_free(secret);
}

static void test_guard(void **state)
{
	unsigned char resident;
	const uint8_t *gone;

	(void)state;
	{
		xtsfs_auto_secret *secret = NULL;

		assert_int_equal(xtsfs_secret_new(16, &secret), 0);
		gone = secret->data;
	}
	assert_int_equal(mincore((void *)(uintptr_t)gone, 1, &resident), -1); /* unmapped */
	assert_int_equal(errno, ENOMEM);
}

/* In a child that may lock nothing. Exit codes say which step went wrong. */
static int child_without_limit(void)
{
	static const struct rlimit none = {0, 0};
	struct xtsfs_secret *secret = NULL, *second = NULL;

	if (setrlimit(RLIMIT_MEMLOCK, &none) < 0)
		return 1;
	if (geteuid() == 0 && seteuid(65534) < 0) /* root may lock past the limit */
		return 2;
	if (xtsfs_secret_new(32, &secret) == 0)
		return 3;
	if (secret)
		return 4;
	xtsfs_secret_allow_swap(true);
	if (xtsfs_secret_new(32, &secret) < 0 || xtsfs_secret_new(32, &second) < 0)
		return 5;
	if (xtsfs_secret_lock_again() < 0)
		return 6;
	xtsfs_secret_allow_swap(false);
	if (xtsfs_secret_lock_again() == 0)
		return 7;
	xtsfs_secret_free(secret);
	xtsfs_secret_free(second);
	return 0;
}

static void test_cannot_lock(void **state)
{
	char text[500] = "";
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	if (UNIT_SANITIZED)
		skip();
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], STDERR_FILENO);
		_exit(child_without_limit());
	}
	close(pipes[1]);
	n = read(pipes[0], text, sizeof(text) - 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* Said once, although two were made. */
	assert_true(n > 0);
	assert_non_null(strstr(text, "cannot lock keys in memory"));
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);
	close(pipes[0]);
}

static void test_limit_is_an_error(void **state)
{
	struct xtsfs_secret *secrets[64];
	struct rlimit old, small;
	unsigned made = 0;
	int r = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &old), 0);
	small = old;
	small.rlim_cur = 16 * (rlim_t)sysconf(_SC_PAGESIZE);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &small), 0);
	while (made < ARRAY_COUNT(secrets) && (r = xtsfs_secret_new(64, &secrets[made])) == 0)
		made++;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &old), 0);
	if (made < ARRAY_COUNT(secrets)) /* with CAP_IPC_LOCK there is no limit */
		assert_true(r == -ENOMEM || r == -EAGAIN || r == -EPERM);
	while (made)
		xtsfs_secret_free(secrets[--made]);
}

static unsigned long locked_kib_of_process(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long kib = ULONG_MAX;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %lu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

/* A child of fork() has none of its pages locked, until it locks them again. */
static void test_fork(void **state)
{
	struct xtsfs_secret *first, *second, *third;
	unsigned long parent_kib;
	int status;
	pid_t pid;

	(void)state;
	if (UNIT_SANITIZED)
		skip();
	assert_int_equal(xtsfs_secret_new(64, &first), 0);
	assert_int_equal(xtsfs_secret_new(64, &second), 0);
	assert_int_equal(xtsfs_secret_new(64, &third), 0);
	xtsfs_secret_free(second); /* out of the middle of the list */
	memset(first->data, 0x5a, first->bytes);
	parent_kib = locked_kib_of_process();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (locked_kib_of_process() == parent_kib && parent_kib != ULONG_MAX)
			_exit(1);
		if (xtsfs_secret_lock_again() != 0)
			_exit(2);
		if (locked_kib_of_process() != parent_kib)
			_exit(3);
		_exit(first->data[63] == 0x5a ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	xtsfs_secret_free(third);
	xtsfs_secret_free(first);
}

static void test_comparing(void **state)
{
	uint8_t a[100], b[100];
	uint64_t random = 4;

	(void)state;
	unit_random_fill(&random, a, sizeof(a));
	memcpy(b, a, sizeof(a));
	assert_true(xtsfs_equal_secret(a, b, sizeof(a)));
	assert_true(xtsfs_equal_secret(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			b[i] = (uint8_t)(b[i] ^ 1U << bit);
			assert_false(xtsfs_equal_secret(a, b, sizeof(a)));
			assert_true(xtsfs_equal_secret(a, b, i));
			b[i] = a[i];
		}
}

static void test_zero_and_wipe(void **state)
{
	static uint8_t block[4096];

	(void)state;
	assert_true(xtsfs_is_zero(block, sizeof(block)));
	assert_true(xtsfs_is_zero(block, 0));
	for (size_t i = 0; i < sizeof(block); i += 1 + i / 16) {
		block[i] = 1;
		assert_false(xtsfs_is_zero(block, sizeof(block)));
		assert_true(xtsfs_is_zero(block, i));
		assert_true(xtsfs_is_zero(block + i + 1, sizeof(block) - i - 1));
		block[i] = 0;
	}
	memset(block, 0xff, sizeof(block));
	assert_false(xtsfs_is_zero(block, sizeof(block)));
	xtsfs_wipe(block, sizeof(block) - 1);
	assert_true(xtsfs_is_zero(block, sizeof(block) - 1));
	assert_int_equal(block[sizeof(block) - 1], 0xff);
	xtsfs_wipe(NULL, 0);
}

static void test_harden(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit core;

		if (xtsfs_process_harden() != 0)
			_exit(1);
		if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
			_exit(2);
		_exit(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_cannot_lock),
		cmocka_unit_test(test_limit_is_an_error),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_comparing),
		cmocka_unit_test(test_zero_and_wipe),
		cmocka_unit_test(test_harden),
	};

	xtsfs_log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
