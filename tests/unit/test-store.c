/* SPDX-License-Identifier: Apache-2.0 */
/* The stores do the same: a directory, the one in memory, and the faulty one over it; and each call can be made to
 * fail. */
#undef NDEBUG
#include "unit.h"

#include "store/faulty.h"
#include "store/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CALL(operation, ...) store->ops->operation(store, __VA_ARGS__)

static int file, directory; /* handles; -1 */
static char record_buffer[4096];

static long step_mkdir(struct xtsfs_store *store)
{
	return CALL(mkdir, store->root, "d", 0750, NULL);
}

static long step_mknod(struct xtsfs_store *store)
{
	return CALL(mknod, store->root, "fifo", S_IFIFO | 0600, 0, NULL);
}

static long step_mknod_again(struct xtsfs_store *store)
{
	return CALL(mknod, store->root, "fifo", S_IFIFO | 0600, 0, NULL);
}

static long step_symlink(struct xtsfs_store *store)
{
	return CALL(symlink, "target", store->root, "l", NULL);
}

static long step_readlink(struct xtsfs_store *store)
{
	char target[32];
	ssize_t n = CALL(readlink, store->root, "l", target, sizeof(target));

	assert_true(n < 0 || memcmp(target, "target", (size_t)n) == 0);
	return n;
}

static long step_open(struct xtsfs_store *store)
{
	file = CALL(open, store->root, "f", O_RDWR | O_CREAT | O_EXCL, 0640, NULL);
	return file < 0 ? file : 0;
}

static long step_open_again(struct xtsfs_store *store)
{
	return CALL(open, store->root, "f", O_RDWR | O_CREAT | O_EXCL, 0640, NULL);
}

static long step_open_symlink(struct xtsfs_store *store)
{
	return CALL(open, store->root, "l", O_RDONLY, 0, NULL);
}

static long step_write(struct xtsfs_store *store)
{
	struct iovec parts[2] = {{.iov_base = (char[]){"some "}, .iov_len = 5},
				 {.iov_base = (char[]){"text"}, .iov_len = 4}};

	return CALL(pwritev, file, parts, 2, 100);
}

static long step_read(struct xtsfs_store *store)
{
	char text[16] = "";
	struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
	long n = CALL(preadv, file, &part, 1, 105);

	assert_true(n < 0 || memcmp(text, "text", 5) == 0);
	return n;
}

static long step_truncate(struct xtsfs_store *store)
{
	return CALL(truncate, file, 50000);
}

static long step_punch(struct xtsfs_store *store)
{
	return CALL(fallocate, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 8192);
}

static long step_seek(struct xtsfs_store *store)
{
	return CALL(seek, file, 0, SEEK_DATA);
}

static long step_seek_beyond(struct xtsfs_store *store)
{
	return CALL(seek, file, 60000, SEEK_DATA);
}

static long step_sync(struct xtsfs_store *store)
{
	return CALL(sync, file, true);
}

static long step_syncfs(struct xtsfs_store *store)
{
	return store->ops->syncfs(store);
}

static long step_fstat(struct xtsfs_store *store)
{
	struct stat st;
	int r = CALL(fstat, file, &st);

	return r < 0 ? r : (long)st.st_size;
}

static long step_statfs(struct xtsfs_store *store)
{
	struct statvfs st;

	return CALL(statfs, &st);
}

static long step_link(struct xtsfs_store *store)
{
	return CALL(link, store->root, "f", store->root, "g");
}

static long step_rename_over(struct xtsfs_store *store)
{
	return CALL(rename, store->root, "g", store->root, "l", RENAME_NOREPLACE);
}

static long step_rename(struct xtsfs_store *store)
{
	return CALL(rename, store->root, "g", store->root, "h", 0);
}

static long step_unlink(struct xtsfs_store *store)
{
	return CALL(unlink, store->root, "h", 0);
}

static long step_unlink_again(struct xtsfs_store *store)
{
	return CALL(unlink, store->root, "h", 0);
}

static long step_unlink_directory(struct xtsfs_store *store)
{
	return CALL(unlink, store->root, "d", 0) < 0 ? -1 : 0; /* EISDIR or EPERM */
}

static long step_chmod(struct xtsfs_store *store)
{
	return CALL(chmod, store->root, "f", 0604);
}

static long step_chmod_handle(struct xtsfs_store *store)
{
	return CALL(chmod, file, NULL, 0604);
}

static long step_chown(struct xtsfs_store *store)
{
	return CALL(chown, store->root, "f", getuid(), getgid());
}

static long step_utimens(struct xtsfs_store *store)
{
	static const struct timespec times[2] = {{.tv_sec = 77, .tv_nsec = 5}, {.tv_sec = 78, .tv_nsec = 6}};

	return CALL(utimens, store->root, "f", times);
}

static long step_stat(struct xtsfs_store *store)
{
	struct stat st;
	int r = CALL(stat, store->root, "f", &st);

	if (r == 0) {
		assert_int_equal(st.st_mode, S_IFREG | 0604);
		assert_int_equal(st.st_mtim.tv_sec, 78);
		assert_int_equal(st.st_mtim.tv_nsec, 6);
	}
	return r;
}

static long step_setxattr(struct xtsfs_store *store)
{
	return CALL(setxattr, store->root, "f", "user.a", "value", 5, 0);
}

static long step_setxattr_again(struct xtsfs_store *store)
{
	return CALL(setxattr, store->root, "f", "user.a", "value", 5, XATTR_CREATE);
}

static long step_getxattr(struct xtsfs_store *store)
{
	char value[8] = "";
	long n = CALL(getxattr, store->root, "f", "user.a", value, sizeof(value));

	assert_true(n < 0 || strcmp(value, "value") == 0);
	return n;
}

static long step_getxattr_small(struct xtsfs_store *store)
{
	char value[2];

	return CALL(getxattr, store->root, "f", "user.a", value, sizeof(value));
}

static long step_listxattr(struct xtsfs_store *store)
{
	char list[32];

	return CALL(listxattr, store->root, "f", list, sizeof(list)) < 0 ? -1 : 0; /* a directory may add its own */
}

static long step_removexattr(struct xtsfs_store *store)
{
	return CALL(removexattr, store->root, "f", "user.a");
}

static long step_getxattr_gone(struct xtsfs_store *store)
{
	return CALL(getxattr, store->root, "f", "user.a", NULL, 0);
}

static long step_open_directory(struct xtsfs_store *store)
{
	directory = CALL(open, store->root, ".", O_RDONLY | O_DIRECTORY, 0, NULL);
	return directory < 0 ? directory : 0;
}

/* How many entries, "." and ".." among them. */
static long step_getdents(struct xtsfs_store *store)
{
	long entries = 0;
	ssize_t n;

	while ((n = CALL(getdents, directory, record_buffer, sizeof(record_buffer))) > 0)
		for (ssize_t at = 0; at < n; entries++)
			at += ((const struct dirent64 *)(const void *)(record_buffer + at))->d_reclen;
	return n < 0 ? n : entries;
}

static long step_seekdir(struct xtsfs_store *store)
{
	return CALL(seekdir, directory, 0);
}

static long step_rmdir(struct xtsfs_store *store)
{
	return CALL(unlink, store->root, "d", AT_REMOVEDIR);
}

#define STEP(name, want)                 \
	{                                \
#name, step_##name, want \
	}

static const struct {
	const char *name;
	long (*run)(struct xtsfs_store *store);
	long want;
} steps[] = {
	STEP(mkdir, 0),
	STEP(mknod, 0),
	STEP(mknod_again, -EEXIST),
	STEP(symlink, 0),
	STEP(readlink, 6),
	STEP(open, 0),
	STEP(open_again, -EEXIST),
	STEP(open_symlink, -ELOOP),
	STEP(write, 9),
	STEP(read, 4),
	STEP(truncate, 0),
	STEP(punch, 0),
	STEP(seek, 0),
	STEP(seek_beyond, -ENXIO),
	STEP(sync, 0),
	STEP(syncfs, 0),
	STEP(fstat, 50000),
	STEP(statfs, 0),
	STEP(link, 0),
	STEP(rename_over, -EEXIST),
	STEP(rename, 0),
	STEP(unlink, 0),
	STEP(unlink_again, -ENOENT),
	STEP(unlink_directory, -1),
	STEP(chmod, 0),
	STEP(chmod_handle, 0),
	STEP(chown, 0),
	STEP(utimens, 0),
	STEP(stat, 0),
	STEP(setxattr, 0),
	STEP(setxattr_again, -EEXIST),
	STEP(getxattr, 5),
	STEP(getxattr_small, -ERANGE),
	STEP(listxattr, 0),
	STEP(removexattr, 0),
	STEP(getxattr_gone, -ENODATA),
	STEP(open_directory, 0),
	STEP(getdents, 6),
	STEP(seekdir, 0),
	STEP(getdents, 6),
	STEP(rmdir, 0),
};

/* Each step does what it should; with @faulty it fails first, and then has changed nothing. */
static void run_all(struct xtsfs_store *store, bool faulty)
{
	file = directory = -1;
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		long r;

		if (faulty) {
			const struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_ANY, .nth = 1, .error = EDQUOT};

			xtsfs_faulty_arm(store, &fault);
			r = steps[i].run(store);
			if (r != (steps[i].want == -1 ? -1 : -EDQUOT) && !(steps[i].run == step_listxattr && r == -1))
				fail_msg("%s with a fault: %ld", steps[i].name, r);
			assert_int_equal(xtsfs_faulty_fired(store), 1);
		}
		r = steps[i].run(store);
		if (r != steps[i].want)
			fail_msg("%s of %s: %ld, not %ld", steps[i].name, store->ops->name, r, steps[i].want);
	}
	assert_int_equal(CALL(flock, directory, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(CALL(flock, directory, LOCK_UN), 0);
	store->ops->close(store, directory);
	store->ops->close(store, file);
}

static void test_memory(void **state)
{
	struct xtsfs_store *memory;

	(void)state;
	assert_int_equal(xtsfs_store_memory_new(&memory), 0);
	run_all(memory, false);
	xtsfs_store_free(memory);
}

static void test_faulty(void **state)
{
	struct xtsfs_store *memory, *store;

	(void)state;
	assert_int_equal(xtsfs_store_memory_new(&memory), 0);
	assert_int_equal(xtsfs_store_faulty_new(memory, &store), 0);
	run_all(store, true);
	xtsfs_store_free(store);
	xtsfs_store_free(memory);
}

static void test_posix(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct xtsfs_store *store;
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/test-store-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	assert_non_null(mkdtemp(path));
	assert_int_equal(xtsfs_store_posix_new(path, &store), 0);
	run_all(store, false);
	for (const char *const *name = (const char *const[]){"f", "l", "fifo", NULL}; *name; name++)
		assert_int_equal(store->ops->unlink(store, store->root, *name, 0), 0);
	xtsfs_store_free(store);
	assert_int_equal(rmdir(path), 0);
}

static int lease_holder = -1;

static void give_lease_back(int number)
{
	(void)number;
	fcntl(lease_holder, F_SETLEASE, F_UNLCK);
}

/* Not before whoever asked for it has been refused, and waits. */
static void give_lease_back_later(int number)
{
	const struct itimerval later = {.it_value.tv_usec = 50000};

	(void)number;
	(void)setitimer(ITIMER_REAL, &later, NULL);
}

/* A fifo has no other end, and an open that waited for one would end in SIGALRM. A lease is given back. */
static void test_no_waiting(void **state)
{
	const struct sigaction on_lease = {.sa_handler = give_lease_back_later, .sa_flags = SA_RESTART};
	const struct sigaction on_alarm = {.sa_handler = give_lease_back, .sa_flags = SA_RESTART};
	const char *tmp = getenv("TMPDIR");
	struct xtsfs_store *store;
	struct stat st;
	char path[4096];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/test-store-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	assert_non_null(mkdtemp(path));
	assert_int_equal(xtsfs_store_posix_new(path, &store), 0);
	assert_int_equal(step_mknod(store), 0);
	assert_int_equal(step_open(store), 0);
	alarm(30);
	for (unsigned i = 0; i < 2; i++) {
		fd = CALL(open, store->root, "fifo", i ? O_RDWR : O_RDONLY, 0, NULL);
		assert_true(fd >= 0 && CALL(fstat, fd, &st) == 0 && S_ISFIFO(st.st_mode));
		close(fd);
	}
	alarm(0);
	assert_int_equal(sigaction(SIGIO, &on_lease, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &on_alarm, NULL), 0);
	store->ops->close(store, file);
	lease_holder = openat(store->root, "f", O_RDONLY);
	assert_true(lease_holder >= 0);
	for (int flag = 0; flag <= O_NONBLOCK; flag += O_NONBLOCK) {
		if (fcntl(lease_holder, F_SETLEASE, F_RDLCK) < 0) /* not every filesystem has leases */
			break;
		fd = CALL(open, store->root, "f", O_RDWR | flag, 0, NULL);
		assert_true(fd >= 0);
		close(fd);
	}
	close(lease_holder);
	assert_int_equal(CALL(unlink, store->root, "fifo", 0), 0);
	assert_int_equal(CALL(unlink, store->root, "f", 0), 0);
	xtsfs_store_free(store);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_faulty),
		cmocka_unit_test(test_posix),
		cmocka_unit_test(test_no_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
