/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel engine on a real kernel: the same bytes as the user engine, alone and with 16 threads; descriptors running
 * out; broken sockets; nothing inherited by other programs; the key gone from this process.
 *
 * Where there is no AF_ALG this prints why and exits with 77 (skipped), or with 1 if the environment says
 * XTSFS_REQUIRE_KERNEL_ENGINE=1. tests/guest/run gives a kernel that has it:
 *
 *	tests/guest/run --env XTSFS_REQUIRE_KERNEL_ENGINE=1 -- BUILD/tests/unit/test-engine-kernel
 */
#undef NDEBUG
#include "unit.h"

#include "base/secret.h"
#include "crypto/pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

#if XTSFS_HAVE_KCAPI

#define DATA_BYTES (128 * 1024)

static uint8_t key[XTSFS_XTS_KEY_BYTES], plain[DATA_BYTES];

static int set_up(void **state)
{
	uint64_t random = 20;

	(void)state;
	unit_random_fill(&random, key, sizeof(key));
	unit_random_fill(&random, plain, sizeof(plain));
	return 0;
}

static struct xtsfs_pool *new_pool(const struct xtsfs_engine *engine, unsigned max_ops)
{
	struct xtsfs_pool *pool;

	assert_int_equal(xtsfs_pool_new(engine, key, max_ops, &pool), 0);
	return pool;
}

static struct xtsfs_pool_stats stats_of(struct xtsfs_pool *pool)
{
	struct xtsfs_pool_stats stats;

	xtsfs_pool_stats(pool, &stats);
	return stats;
}

/* A random run over some of the data. */
static struct xtsfs_run random_run(uint64_t *random, size_t max_bytes)
{
	struct xtsfs_run run = {.in = plain};

	run.sector_bytes = unit_random(random) % 2 ? 4096 : 16 * (1 + unit_random(random) % 256);
	run.bytes = 16 * (1 + unit_random(random) % (max_bytes / 16));
	if (unit_random(random) % 2)
		memset(run.first_tweak, 0xff, unit_random(random) % 17);
	else
		unit_random_fill(random, run.first_tweak, 16);
	return run;
}

/* Both engines, both directions, in place and not. Returns false instead of failing, for threads. */
static bool same_bytes(struct xtsfs_pool *kernel, struct xtsfs_pool *user, uint64_t *random, size_t max_bytes)
{
	struct xtsfs_run run = random_run(random, max_bytes);
	uint8_t *from_kernel = malloc(run.bytes), *from_user = malloc(run.bytes);
	bool same;

	assert(from_kernel && from_user);
	run.out = from_user;
	same = xtsfs_pool_crypt(user, XTSFS_ENCRYPT, &run) == 0;
	run.out = from_kernel;
	if (unit_random(random) % 2) {
		memcpy(from_kernel, plain, run.bytes);
		run.in = from_kernel;
	}
	same = same && xtsfs_pool_crypt(kernel, XTSFS_ENCRYPT, &run) == 0 &&
	       memcmp(from_kernel, from_user, run.bytes) == 0;
	run.in = from_user;
	run.out = unit_random(random) % 2 ? from_user : from_kernel;
	same = same && xtsfs_pool_crypt(kernel, XTSFS_DECRYPT, &run) == 0 && memcmp(run.out, plain, run.bytes) == 0;
	free(from_kernel);
	free(from_user);
	return same;
}

static void test_known_answers(void **state)
{
	const struct xtsfs_engine *engine;
	char why[200];

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(xtsfs_engine_selftest(&xtsfs_engine_kernel), 0);
	assert_int_equal(xtsfs_engine_choose(XTSFS_ENGINE_AUTO, &engine, why, sizeof(why)), 0);
	assert_ptr_equal(engine, &xtsfs_engine_kernel);
	assert_int_equal(xtsfs_engine_choose(XTSFS_ENGINE_KERNEL, &engine, why, sizeof(why)), 0);
	assert_ptr_equal(engine, &xtsfs_engine_kernel);
}

static void test_weak_key(void **state)
{
	uint8_t weak[XTSFS_XTS_KEY_BYTES] = {0};
	struct xtsfs_pool *pool = NULL;

	(void)state;
	assert_int_equal(xtsfs_pool_new(&xtsfs_engine_kernel, weak, 1, &pool), -EINVAL);
	assert_null(pool);
}

static void test_same_bytes(void **state)
{
	struct xtsfs_pool *kernel = new_pool(&xtsfs_engine_kernel, 1), *user = new_pool(&xtsfs_engine_user, 1);
	uint64_t random = 21;

	(void)state;
	for (int i = 0; i < 150; i++)
		assert_true(same_bytes(kernel, user, &random, DATA_BYTES));
	assert_int_equal(stats_of(kernel).ops, 1);
	assert_int_equal(stats_of(kernel).replaced, 0);
	xtsfs_pool_free(kernel);
	xtsfs_pool_free(user);
}

struct worker {
	pthread_t thread;
	struct xtsfs_pool *kernel, *user;
	uint64_t seed;
	unsigned wrong;
};

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (int i = 0; i < 40; i++)
		worker->wrong += !same_bytes(worker->kernel, worker->user, &worker->seed, 32 * 1024);
	return NULL;
}

static void run_threads(struct xtsfs_pool *kernel, struct xtsfs_pool *user, unsigned count)
{
	struct worker workers[16];

	for (unsigned i = 0; i < count; i++) {
		workers[i] = (struct worker){.kernel = kernel, .user = user, .seed = 100 + i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].wrong, 0);
	}
}

static void test_threads(void **state)
{
	static const unsigned counts[] = {1, 2, 4, 16};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
		struct xtsfs_pool *kernel = new_pool(&xtsfs_engine_kernel, counts[i]);
		struct xtsfs_pool *user = new_pool(&xtsfs_engine_user, counts[i]);

		assert_int_equal(xtsfs_pool_warm(kernel, counts[i]), 0);
		assert_int_equal(stats_of(kernel).ops, counts[i]);
		run_threads(kernel, user, counts[i]);
		assert_int_equal(stats_of(kernel).replaced, 0);
		xtsfs_pool_free(kernel);
		xtsfs_pool_free(user);
	}
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 3; /* ".", "..", and the directory itself */
}

static void test_nothing_leaks(void **state)
{
	unsigned before = descriptors();

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct xtsfs_pool *pool = new_pool(&xtsfs_engine_kernel, 20);

		assert_int_equal(xtsfs_pool_warm(pool, 20), 0);
		assert_true(descriptors() >= before + 20);
		xtsfs_pool_free(pool);
		assert_int_equal(descriptors(), before);
	}
}

/* EMFILE comes from making handles, not from using them, and it is no reason to take the other engine. */
static void test_no_descriptors(void **state)
{
	struct xtsfs_pool *user = new_pool(&xtsfs_engine_user, 8), *kernel = new_pool(&xtsfs_engine_kernel, 64),
			  *none = NULL;
	const struct xtsfs_engine *engine = NULL;
	unsigned before = descriptors(), made, taken = 0;
	struct rlimit old, low;
	int copies[64];
	char why[200];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (unsigned spare = 3; spare < 20; spare++) {
		low = old;
		low.rlim_cur = before + spare + 1;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		assert_int_equal(xtsfs_pool_warm(kernel, 64), -EMFILE);
		made = stats_of(kernel).ops;
		assert_in_range(made, 1, 16);
		run_threads(kernel, user, 8);
		assert_int_equal(stats_of(kernel).ops, made);
		assert_int_equal(stats_of(kernel).replaced, 0);

		/* All spare ones taken: nothing can be probed, and that is said. */
		while (taken < ARRAY_COUNT(copies) && (copies[taken] = dup(STDERR_FILENO)) >= 0)
			taken++;
		assert_int_equal(xtsfs_pool_new(&xtsfs_engine_kernel, key, 1, &none), -EMFILE);
		assert_int_equal(xtsfs_engine_choose(XTSFS_ENGINE_AUTO, &engine, why, sizeof(why)), -EMFILE);
		assert_null(engine);
		run_threads(kernel, user, 2);
		while (taken)
			close(copies[--taken]);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		xtsfs_pool_free(kernel);
		kernel = new_pool(&xtsfs_engine_kernel, 64);
	}
	assert_int_equal(xtsfs_pool_warm(kernel, 64), 0);
	assert_int_equal(stats_of(kernel).ops, 64);
	xtsfs_pool_free(kernel);
	xtsfs_pool_free(user);
}

/* The socket under an op stops being one: the op is replaced and the run is right. */
static void test_broken_socket(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(null >= 0);
	for (int in_place = 0; in_place < 2; in_place++) {
		struct xtsfs_pool *user = new_pool(&xtsfs_engine_user, 1), *kernel = new_pool(&xtsfs_engine_kernel, 1);
		static uint8_t want[DATA_BYTES], out[DATA_BYTES];
		struct xtsfs_run run = {.in = plain, .out = want, .bytes = DATA_BYTES, .sector_bytes = 4096};
		unsigned broken = 0;
		int last = dup(null); /* the number after which the op's descriptors come */

		close(last);
		assert_int_equal(xtsfs_pool_warm(kernel, 1), 0);
		for (int fd = last; fd < last + 8; fd++) {
			char path[64], target[64] = "";

			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			if (readlink(path, target, sizeof(target) - 1) > 0 && strncmp(target, "socket:", 7) == 0) {
				assert_int_equal(dup3(null, fd, O_CLOEXEC), fd);
				broken++;
			}
		}
		assert_int_equal(broken, 1);

		assert_int_equal(xtsfs_pool_crypt(user, XTSFS_ENCRYPT, &run), 0);
		if (in_place)
			memcpy(out, plain, DATA_BYTES);
		run.in = in_place ? out : plain;
		run.out = out;
		assert_int_equal(xtsfs_pool_crypt(kernel, XTSFS_ENCRYPT, &run), 0);
		assert_memory_equal(out, want, DATA_BYTES);
		assert_int_equal(stats_of(kernel).replaced, 1);
		assert_int_equal(stats_of(kernel).ops, 1);
		xtsfs_pool_free(kernel);
		xtsfs_pool_free(user);
	}
	close(null);
}

/* A program started now has its three descriptors and no more. Its exit status is the number of others. */
static int run_other_program(void)
{
	int status;
	pid_t pid = fork();

	assert(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "test-engine-kernel", "--count-descriptors", (char *)NULL);
		_exit(126);
	}
	assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_nothing_inherited(void **state)
{
	struct xtsfs_pool *pool = new_pool(&xtsfs_engine_kernel, 8);

	(void)state;
	assert_int_equal(run_other_program(), 0);
	assert_int_equal(xtsfs_pool_warm(pool, 8), 0);
	assert_int_equal(run_other_program(), 0);
	xtsfs_pool_free(pool);
}

/* The same where close_range() is refused, as by an old kernel. */
static int child_without_close_range(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_COUNT(filter), filter};
	struct xtsfs_pool *pool;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return 120; /* no seccomp here */
	if (close_range(1000, 1000, 0) == 0)
		return 121;
	if (xtsfs_pool_new(&xtsfs_engine_kernel, key, 8, &pool) < 0 || xtsfs_pool_warm(pool, 8) < 0)
		return 122;
	return run_other_program();
}

static void test_nothing_inherited_old_kernel(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child_without_close_range());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 120)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/*
 * How often the 32 bytes whose complement is @inverted stand in this process's writable memory. The text of the search
 * is the complement so that the search does not find itself.
 */
static unsigned occurrences(const uint8_t *inverted)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned found = 0;
	char line[512];

	assert(maps && mem >= 0);
	while (fgets(line, sizeof(line), maps)) {
		static uint8_t window[65536 + 31];
		unsigned long from, to;
		char mode[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' || strstr(line, "[v"))
			continue;
		if ((uintptr_t)window >= from && (uintptr_t)window < to)
			xtsfs_wipe(window, sizeof(window));
		for (unsigned long at = from; at < to; at += 65536) {
			size_t want = to - at < sizeof(window) ? to - at : sizeof(window);
			ssize_t n = pread(mem, window, want, (off_t)at);

			for (ssize_t i = 0; i + 32 <= n; i++) {
				unsigned match = 0;

				if (at + (unsigned long)i >= (uintptr_t)window &&
				    at + (unsigned long)i < (uintptr_t)window + sizeof(window))
					continue;
				while (match < 32 && (window[i + match] ^ inverted[match]) == 0xff)
					match++;
				found += match == 32;
			}
		}
		xtsfs_wipe(window, sizeof(window));
	}
	fclose(maps);
	close(mem);
	return found;
}

static void test_key_is_gone(void **state)
{
	static uint8_t own[XTSFS_XTS_KEY_BYTES], inverted[XTSFS_XTS_KEY_BYTES], out[8192];
	struct xtsfs_run run = {.in = plain, .out = out, .bytes = 8192, .sector_bytes = 4096};
	struct xtsfs_pool *pool;
	uint64_t random = 22;

	(void)state;
	if (UNIT_SANITIZED)
		skip(); /* shadow memory is terabytes */
	unit_random_fill(&random, own, sizeof(own));
	for (size_t i = 0; i < sizeof(own); i++)
		inverted[i] = (uint8_t)~own[i];
	assert_true(occurrences(inverted) > 0); /* the search finds what is there */
	assert_true(occurrences(inverted + 32) > 0);
	assert_int_equal(xtsfs_pool_new(&xtsfs_engine_kernel, own, 4, &pool), 0);
	xtsfs_wipe(own, sizeof(own));
	assert_int_equal(xtsfs_pool_warm(pool, 4), 0);
	assert_int_equal(xtsfs_pool_crypt(pool, XTSFS_ENCRYPT, &run), 0);
	assert_int_equal(occurrences(inverted), 0);
	assert_int_equal(occurrences(inverted + 32), 0);
	xtsfs_pool_free(pool);
}

static int count_descriptors(void)
{
	unsigned others = descriptors() - 3;

	return others > 100 ? 100 : (int)others;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_weak_key),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_nothing_leaks),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_broken_socket),
		cmocka_unit_test(test_nothing_inherited),
		cmocka_unit_test(test_nothing_inherited_old_kernel),
		cmocka_unit_test(test_key_is_gone),
	};
	const char *required = getenv("XTSFS_REQUIRE_KERNEL_ENGINE");
	int r;

	if (argc > 1 && strcmp(argv[1], "--count-descriptors") == 0)
		return count_descriptors();

	r = xtsfs_engine_selftest(&xtsfs_engine_kernel);
	if (r < 0) {
		printf("no kernel engine here: %s\n", xtsfs_strerror(r));
		return xtsfs_engine_is_unavailable(r) && !(required && strcmp(required, "1") == 0) ? SKIPPED : 1;
	}
	return cmocka_run_group_tests(tests, set_up, NULL) ? 1 : 0;
}

#else

int main(void)
{
	const char *required = getenv("XTSFS_REQUIRE_KERNEL_ENGINE");

	printf("no kernel engine here: built without libkcapi\n");
	return required && strcmp(required, "1") == 0 ? 1 : SKIPPED;
}

#endif
