/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox: each thing that must fail is tried in a child inside and, to see that the sandbox is what stops it,
 * in one outside; then what serving needs, which must work.
 */
#undef NDEBUG
#include "unit.h"

#include "base/log.h"
#include "fuse/daemon.h"
#include "fuse/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANY  (-1) /* outside it depends on the machine, and who asks */
#define DIED 250  /* by a signal */

static char top[64];
static int inside, outside, opened; /* directories; a file outside, open before */
static int inet = -1;
static unsigned available;

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int result_fd(int fd)
{
	int r = result(fd);

	if (fd >= 0)
		close(fd);
	return r;
}

/* Files. */
static int read_passwd(void)
{
	return result_fd(open("/etc/passwd", O_RDONLY));
}
static int read_root(void)
{
	return result_fd(open("/", O_RDONLY | O_DIRECTORY));
}
static int read_own_memory(void)
{
	return result_fd(open("/proc/self/mem", O_RDONLY));
}
static int open_device(void)
{
	return result_fd(open("/dev/null", O_RDWR));
}
static int read_outside(void)
{
	return result_fd(openat(outside, "file", O_RDONLY));
}
static int write_outside(void)
{
	return result_fd(openat(outside, "file", O_WRONLY));
}
static int by_parent(void)
{
	return result_fd(openat(inside, "../outside/file", O_RDONLY));
}
static int by_symlink(void)
{
	return result_fd(openat(inside, "link", O_RDONLY));
}
static int create_outside(void)
{
	return result_fd(openat(outside, "new", O_WRONLY | O_CREAT, 0600));
}
static int mkdir_outside(void)
{
	return result(mkdirat(outside, "new-dir", 0700));
}
static int symlink_outside(void)
{
	return result(symlinkat("x", outside, "new-link"));
}
static int mkfifo_outside(void)
{
	return result(mknodat(outside, "new-fifo", S_IFIFO | 0600, 0));
}
static int unlink_outside(void)
{
	return result(unlinkat(outside, "spare", 0));
}
static int rename_outside(void)
{
	return result(renameat2(outside, "file", outside, "file3", 0));
}
static int link_to_outside(void)
{
	return result(linkat(inside, "file", outside, "linked", 0));
}
static int rename_into(void)
{
	return result(renameat2(outside, "file2", inside, "stolen", 0));
}
static int read_what_was_open(void)
{
	char byte;

	return result(pread(opened, &byte, 1, 0));
}
static int read_inside(void)
{
	return result_fd(openat(inside, "file", O_RDONLY | O_NOFOLLOW));
}
static int write_inside(void)
{
	return result_fd(openat(inside, "file", O_RDWR));
}
static int create_inside(void)
{
	return result_fd(openat(inside, "sub/new", O_RDWR | O_CREAT, 0600));
}
static int unlink_inside(void)
{
	return result(unlinkat(inside, "sub/spare", 0));
}
static int again_by_proc(void)
{
	int fd = openat(inside, "file", O_RDONLY);
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return result_fd(open(path, O_RDONLY)) ?: result(chmod(path, 0640));
}

/* Calls. Numbers that a machine does not have are no calls there either. */
static int execute(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	return result(execve("/bin/true", argv, argv + 1)); /* outside the child ends with true's 0 */
}
static int start_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid) ?: result(waitpid(pid, NULL, 0));
}
static int inet_socket(void)
{
	return result_fd(socket(AF_INET, SOCK_DGRAM, 0));
}
static int unix_socket(void)
{
	return result_fd(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int socket_pair(void)
{
	int ends[2];

	return result(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}
static int bind_socket(void)
{
	const struct sockaddr_in { /* 127.0.0.1 and a port of the kernel's choice */
		sa_family_t family;
		uint16_t port;
		uint8_t address[4], pad[8];
	} to = {.family = AF_INET, .address = {127, 0, 0, 1}};

	return result(bind(inet, (const struct sockaddr *)&to, sizeof(to)));
}
static int socket_type(void)
{
	return result(getsockopt(inet, SOL_SOCKET, SO_TYPE, &(int){0}, &(socklen_t){sizeof(int)}));
}
static int trace_me(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
static int read_parent(void)
{
	return result(syscall(SYS_process_vm_readv, getppid(), NULL, 0UL, NULL, 0UL, 0UL));
}
static int signal_parent(void)
{
	return result(kill(getppid(), 0));
}
static int signal_parent_thread(void)
{
	return result(syscall(SYS_tgkill, getppid(), getppid(), 0));
}
static int mount_tmpfs(void)
{
	return result(mount("none", top, "tmpfs", 0, NULL));
}
static int unmount(void)
{
	return result(umount2(top, MNT_DETACH));
}
static int change_root(void)
{
	return result(chroot(top));
}
static int new_user_namespace(void)
{
	return result(unshare(CLONE_NEWUSER));
}
static int other_uid(void)
{
	return result(syscall(SYS_setresuid, -1, -1, -1));
}
static int other_capabilities(void)
{
	return result(syscall(SYS_capset, NULL, NULL));
}
static int memory_file(void)
{
	return result_fd((int)syscall(SYS_memfd_create, "x", 0U));
}
static long raw_number; /* of the attempt that is made */
static int raw(void)
{
	return result(syscall(raw_number, -1L, -1L, -1L, -1L, -1L, -1L));
}
static int terminal_input(void)
{
	return result(syscall(SYS_ioctl, -1, 0x5412UL, "x")); /* TIOCSTI */
}
static int executable_memory(void)
{
	return result(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1
														: 0);
}
static int make_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return result(page == MAP_FAILED ? 0 : mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
static int be_dumpable(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}
static int change_limit(void)
{
	struct rlimit limit;

	return result(getrlimit(RLIMIT_CORE, &limit)) ?: result(setrlimit(RLIMIT_CORE, &limit));
}
static int limits_of_parent(void)
{
	struct rlimit limit;

	return result(prlimit(getppid(), RLIMIT_CORE, NULL, &limit));
}
static int signals_from_files(void)
{
	return result(fcntl(opened, F_SETOWN, getpid()));
}

static const struct attempt {
	const char *name;
	int (*attempt)(void);
	int want_inside, want_read_only, want_outside; /* errno */
	unsigned needs;
	long number;
} attempts[] = {
#define FILES(name, want_inside, want_read_only)                                 \
	{                                                                        \
#name, name, want_inside, want_read_only, 0, XTSFS_SANDBOX_FILES \
	}
#define CALLS(name, want_outside)                                              \
	{                                                                      \
#name, name, ENOSYS, ENOSYS, want_outside, XTSFS_SANDBOX_CALLS \
	}
#define RAW(call)                                                                \
	{                                                                        \
#call, raw, ENOSYS, ENOSYS, ANY, XTSFS_SANDBOX_CALLS, SYS_##call \
	}
	FILES(read_passwd, EACCES, EACCES),
	FILES(read_root, EACCES, EACCES),
	FILES(read_own_memory, EACCES, EACCES),
	FILES(open_device, EACCES, EACCES),
	FILES(read_outside, EACCES, EACCES),
	FILES(write_outside, EACCES, EACCES),
	FILES(by_parent, EACCES, EACCES),
	FILES(by_symlink, EACCES, EACCES),
	FILES(create_outside, EACCES, EACCES),
	FILES(mkdir_outside, EACCES, EACCES),
	FILES(symlink_outside, EACCES, EACCES),
	FILES(mkfifo_outside, EACCES, EACCES),
	FILES(unlink_outside, EACCES, EACCES),
	FILES(link_to_outside, EACCES, EACCES),
	FILES(read_inside, 0, 0),
	FILES(write_inside, 0, EACCES),
	FILES(create_inside, 0, EACCES),
	FILES(unlink_inside, 0, EACCES),
	FILES(again_by_proc, 0, 0),
	FILES(read_what_was_open, 0, 0), /* it is at the opening that Landlock asks */
	FILES(rename_outside, EACCES, EACCES),
	FILES(rename_into, EACCES, EACCES),
	CALLS(execute, 0),
	CALLS(start_process, 0),
	CALLS(inet_socket, 0),
	CALLS(unix_socket, 0),
	CALLS(socket_pair, 0),
	CALLS(bind_socket, 0),
	CALLS(socket_type, 0),
	CALLS(trace_me, ANY),
	CALLS(read_parent, ANY),
	CALLS(signal_parent, 0),
	CALLS(signal_parent_thread, 0),
	CALLS(mount_tmpfs, ANY),
	CALLS(unmount, ANY),
	CALLS(change_root, ANY),
	CALLS(new_user_namespace, ANY),
	CALLS(other_uid, 0),
	CALLS(other_capabilities, EFAULT),
	RAW(keyctl),
	RAW(bpf),
	RAW(perf_event_open),
	RAW(userfaultfd),
	RAW(io_uring_setup),
	CALLS(memory_file, 0),
	RAW(kexec_load),
	RAW(init_module),
	RAW(open_by_handle_at),
	CALLS(terminal_input, EBADF),
	CALLS(executable_memory, 0),
	CALLS(make_executable, 0),
	CALLS(be_dumpable, 0),
	CALLS(change_limit, 0),
	CALLS(limits_of_parent, 0),
	CALLS(signals_from_files, 0),
};

enum place { OUTSIDE, INSIDE, INSIDE_READ_ONLY, THREAD_INSIDE };

static void *attempt_thread(void *data)
{
	const struct attempt *attempt = data;

	return (void *)(intptr_t)attempt->attempt();
}

/* The errno with which the attempt ended. */
static int try_in(enum place place, const struct attempt *attempt)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	raw_number = attempt->number;
	if (pid == 0) {
		void *answer;
		pthread_t thread;
		int r;

		if (place != OUTSIDE &&
		    (xtsfs_sandbox_enter(inside, -1, place == INSIDE_READ_ONLY, false) & available) != available)
			_exit(251);
		if (place == THREAD_INSIDE) {
			r = pthread_create(&thread, NULL, attempt_thread, (void *)(uintptr_t)attempt);
			if (r == 0)
				r = pthread_join(thread, &answer);
			r = r == 0 ? (int)(intptr_t)answer : 252;
		} else {
			r = attempt->attempt();
		}
		_exit(r);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : DIED;
}

static void put_files(void)
{
	static const char *const spare[] = {"new", "new-link", "new-fifo", "linked", "file2", "file3"};

	for (size_t i = 0; i < ARRAY_COUNT(spare); i++)
		(void)unlinkat(outside, spare[i], 0);
	(void)unlinkat(outside, "new-dir", AT_REMOVEDIR);
	(void)unlinkat(inside, "stolen", 0);
	(void)unlinkat(inside, "sub/new", 0);
	close(openat(outside, "file", O_WRONLY | O_CREAT, 0600));
	close(openat(outside, "file2", O_WRONLY | O_CREAT, 0600));
	close(openat(outside, "spare", O_WRONLY | O_CREAT, 0600));
	close(openat(inside, "file", O_WRONLY | O_CREAT, 0600));
	close(openat(inside, "sub/spare", O_WRONLY | O_CREAT, 0600));
}

static bool fits(int want, int got, enum place place)
{
	/* "Any" inside is any refusal. */
	return want == ANY ? place == OUTSIDE || (got != 0 && got != DIED) : want == got;
}

static void check(enum place place)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < ARRAY_COUNT(attempts); i++) {
		const struct attempt *attempt = &attempts[i];
		int want = place == OUTSIDE	       ? attempt->want_outside
			   : place == INSIDE_READ_ONLY ? attempt->want_read_only
						       : attempt->want_inside;
		int got;

		if ((attempt->needs & available) != attempt->needs)
			continue;
		/* These would be undone in a namespace that we may not have. */
		if (place == OUTSIDE && (attempt->attempt == mount_tmpfs || attempt->attempt == unmount))
			continue;
		put_files();
		got = try_in(place, attempt);
		if (!fits(want, got, place)) {
			print_error("%s: %d and not %d\n", attempt->name, got, want);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void test_outside(void **state)
{
	(void)state;
	check(OUTSIDE);
}

static void test_inside(void **state)
{
	(void)state;
	check(INSIDE);
}

static void test_read_only(void **state)
{
	(void)state;
	check(INSIDE_READ_ONLY);
}

static void test_threads(void **state)
{
	(void)state;
	check(THREAD_INSIDE);
}

/* What serving needs, in one process: the number of what fails first. */
static void *wait_for_ever(void *data)
{
	while (data == NULL)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 1}, NULL);
	return data;
}

static int serve(void)
{
	pthread_t thread;
	void *answer, *memory;
	int fd;

	if (unshare(CLONE_FS) < 0 || umask(022) == (mode_t)-1)
		return 1;
	fd = openat(inside, "served", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0 || pwrite(fd, "data", 4, 5000) != 4 || ftruncate(fd, 4096) < 0 || fsync(fd) < 0 || fdatasync(fd) < 0)
		return 2;
	if (fchmod(fd, 0640) < 0 || fchownat(inside, "served", (uid_t)-1, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 ||
	    futimens(fd, NULL) < 0)
		return 3;
	if (linkat(inside, "served", inside, "sub/linked", 0) < 0 ||
	    renameat2(inside, "served", inside, "sub/moved", RENAME_NOREPLACE) < 0)
		return 4; /* Landlock's right of its own: between directories */
	if (mkdirat(inside, "made", 0700) < 0 || symlinkat("target", inside, "made/link") < 0 ||
	    mknodat(inside, "made/fifo", S_IFIFO | 0600, 0) < 0)
		return 5;
	if (unlinkat(inside, "made/link", 0) < 0 || unlinkat(inside, "made/fifo", 0) < 0 ||
	    unlinkat(inside, "made", AT_REMOVEDIR) < 0 || unlinkat(inside, "sub/linked", 0) < 0 ||
	    unlinkat(inside, "sub/moved", 0) < 0)
		return 6;
	/* A cancelled thread: glibc loads a library for that, and aborts without it. */
	if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0 || pthread_cancel(thread) != 0 ||
	    pthread_join(thread, &answer) != 0 || answer != PTHREAD_CANCELED)
		return 7;
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || (mlock(memory, 4096) < 0 && errno == ENOSYS) ||
	    madvise(memory, 1 << 20, MADV_DONTDUMP) < 0 || munmap(memory, 1 << 20) < 0)
		return 8;
	if (syscall(SYS_getrandom, &fd, sizeof(fd), 0) != (long)sizeof(fd))
		return 9;
	return 0;
}

static void test_serving(void **state)
{
	static const struct attempt all = {.name = "serve", .attempt = serve};

	(void)state;
	assert_int_equal(try_in(INSIDE, &all), 0);
}

#if defined(__x86_64__)
/* getpid() by the rules of 32-bit programs. */
static int other_architecture(void)
{
	long number = 20;

	__asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
	return number > 0 ? 0 : ENOSYS;
}

static void test_other_architecture(void **state)
{
	static const struct attempt attempt = {.name = "int 0x80", .attempt = other_architecture};

	(void)state;
	if (!(available & XTSFS_SANDBOX_CALLS) || try_in(OUTSIDE, &attempt) != 0)
		skip(); /* the kernel has no such calls */
	assert_int_equal(try_in(INSIDE, &attempt), DIED);
}
#endif

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char name[80];

	(void)state;
	snprintf(top, sizeof(top), "%s/test-sandbox-XXXXXX", tmp && strlen(tmp) < 30 ? tmp : "/var/tmp");
	assert_non_null(mkdtemp(top));
	snprintf(name, sizeof(name), "%s/inside", top);
	assert_return_code(mkdir(name, 0700), errno);
	inside = open(name, O_RDONLY | O_DIRECTORY);
	snprintf(name, sizeof(name), "%s/outside", top);
	assert_return_code(mkdir(name, 0700), errno);
	outside = open(name, O_RDONLY | O_DIRECTORY);
	assert_true(inside >= 0 && outside >= 0);
	assert_return_code(mkdirat(inside, "sub", 0700), errno);
	assert_return_code(symlinkat("../outside/file", inside, "link"), errno);
	put_files();
	assert_int_equal(write(openat(outside, "file", O_WRONLY), "x", 1), 1);
	opened = openat(outside, "file", O_RDONLY);
	inet = socket(AF_INET, SOCK_DGRAM, 0);
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command); /* NOLINT(cert-env33-c): a name of our own */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_serving),
#if defined(__x86_64__)
		cmocka_unit_test(test_other_architecture),
#endif
	};
	const unsigned action = SECCOMP_RET_ERRNO;
	long landlock = -1;
#if XTSFS_ENABLE_SANDBOX && defined(__NR_landlock_create_ruleset)
	landlock = syscall(__NR_landlock_create_ruleset, NULL, 0UL, 1U);
#endif
	if (landlock >= 2)
		available |= XTSFS_SANDBOX_FILES;
	if (XTSFS_ENABLE_SANDBOX && XTSFS_HAVE_SECCOMP &&
	    syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0U, &action) == 0)
		available |= XTSFS_SANDBOX_CALLS;
	if (!available)
		return print_message("neither Landlock nor seccomp here\n"), 77;
	xtsfs_daemon_load_all();
	xtsfs_log_init("test-fuse-sandbox");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
