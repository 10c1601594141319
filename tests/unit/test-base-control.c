/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where control sockets are: found by owner and device, taken over from whoever had the name, cleaned up after those
 * who are no more, and not in a directory that is somebody else's.
 */
#include "unit.h"

#include "base/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEVICE makedev(4000, 70000)

static char top[] = "/tmp/test-control-XXXXXX";
static char path[512];

/* A user without rights, so that directories of root's are in its way as for anybody. */
#define SOMEBODY 65533

static const char *in(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(top));
	if (geteuid() == 0) {
		assert_int_equal(chown(top, SOMEBODY, SOMEBODY), 0);
		assert_int_equal(setresgid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
		assert_int_equal(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
	}
	setenv("XDG_RUNTIME_DIR", top, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)rmdir(in("xtsfs"));
	return rmdir(top);
}

static void test_found(void **state)
{
	struct xtsfs_control_name name, other;
	int listening, second, fd;
	uid_t uid;
	pid_t pid;

	(void)state;
	assert_int_equal(xtsfs_control_connect(geteuid(), DEVICE), -ENOENT);
	listening = xtsfs_control_listen(geteuid(), DEVICE, &name);
	assert_true(listening >= 0);
	assert_string_equal(name.directory, in("xtsfs"));
	second = xtsfs_control_listen(geteuid(), DEVICE + 1, &other);
	assert_true(second >= 0);
	fd = xtsfs_control_connect(geteuid(), DEVICE);
	assert_true(fd >= 0);
	assert_int_equal(xtsfs_control_peer(fd, &uid, &pid), 0);
	assert_int_equal(uid, geteuid());
	assert_int_equal(pid, getpid());
	close(fd);
	xtsfs_control_remove(&name);
	assert_int_equal(access(in("xtsfs/4000:70000"), F_OK), -1);
	assert_int_equal(access(in("xtsfs/4000:70001"), F_OK), 0);
	assert_int_equal(xtsfs_control_connect(geteuid(), DEVICE), -ENOENT);
	xtsfs_control_remove(&other);
	close(listening);
	close(second);
}

static void test_taken_over(void **state)
{
	struct xtsfs_control_name name, next;
	int listening = xtsfs_control_listen(geteuid(), DEVICE, &name), second, fd;

	(void)state;
	assert_true(listening >= 0);
	/* The same device: this one is at its end, whether it still listens or not. */
	second = xtsfs_control_listen(geteuid(), DEVICE, &next);
	assert_true(second >= 0);
	assert_true(name.ino != next.ino);
	xtsfs_control_remove(&name); /* not his any more */
	fd = xtsfs_control_connect(geteuid(), DEVICE);
	assert_true(fd >= 0);
	close(fd);
	close(listening);
	xtsfs_control_remove(&next);
	close(second);
}

static void test_cleaned(void **state)
{
	struct xtsfs_control_name dead, alive, fresh;
	int a = xtsfs_control_listen(geteuid(), DEVICE, &dead), b = xtsfs_control_listen(geteuid(), DEVICE + 1, &alive),
	    c;
	int file;

	(void)state;
	assert_true(a >= 0 && b >= 0);
	close(a);
	assert_int_equal(xtsfs_control_connect(geteuid(), DEVICE), -ENOENT);
	file = open(in("xtsfs/notes"), O_CREAT | O_WRONLY, 0600);
	assert_true(file >= 0);
	close(file);
	c = xtsfs_control_listen(geteuid(), DEVICE + 2, &fresh);
	assert_true(c >= 0);
	assert_int_equal(access(in("xtsfs/4000:70000"), F_OK), -1);
	assert_int_equal(access(in("xtsfs/4000:70001"), F_OK), 0);
	assert_int_equal(unlink(in("xtsfs/notes")), 0); /* what is not ours stays */
	xtsfs_control_remove(&alive);
	xtsfs_control_remove(&fresh);
	close(b);
	close(c);
}

static void test_directory(void **state)
{
	struct xtsfs_control_name name;
	int fd;

	(void)state;
	assert_int_equal(chmod(in("xtsfs"), 0750), 0);
	fd = xtsfs_control_listen(geteuid(), DEVICE, &name);
	assert_true(fd < 0 || strcmp(name.directory, in("xtsfs")) != 0);
	if (fd >= 0) {
		xtsfs_control_remove(&name);
		close(fd);
	}
	assert_int_equal(rmdir(in("xtsfs")), 0);
	assert_int_equal(mkdir(in("elsewhere"), 0700), 0);
	assert_int_equal(symlink("elsewhere", in("xtsfs")), 0);
	fd = xtsfs_control_listen(geteuid(), DEVICE, &name);
	assert_true(fd < 0 || strcmp(name.directory, in("xtsfs")) != 0);
	if (fd >= 0) {
		xtsfs_control_remove(&name);
		close(fd);
	}
	assert_int_equal(unlink(in("xtsfs")), 0);
	assert_int_equal(rmdir(in("elsewhere")), 0);
	/* Nothing in it is ever trusted because of its name: another user's directory is none. */
	assert_int_equal(xtsfs_control_connect(4000000000U, DEVICE), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_taken_over),
					   cmocka_unit_test(test_cleaned), cmocka_unit_test(test_directory)};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
