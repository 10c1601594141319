/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: form, levels, escaping, one write for each line, the file, errno untouched. */
#undef NDEBUG
#include "unit.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/xtsfs-test-log-XXXXXX";

static int set_up(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	assert(fd >= 0);
	close(fd);
	setenv("XTSFS_LOG_FILE", path, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

/* Start with an empty log file; stderr goes to /dev/null until end(). */
static int begin(void)
{
	int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_true(saved >= 0 && null >= 0);
	assert_int_equal(truncate(path, 0), 0);
	dup2(null, STDERR_FILENO);
	close(null);
	xtsfs_log_init("test");
	return saved;
}

/* The text of the log file; the caller frees. */
static char *end(int saved)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	close(fd);
	return text;
}

static void test_lines(void **state)
{
	int saved = begin();
	char *text;

	(void)state;
	xtsfs_error("one %d", 1);
	xtsfs_warning("two");
	xtsfs_notice("three\n"); /* a line feed at the end is not a second line */
	xtsfs_info("not at this level");
	xtsfs_debug("nor this");
	xtsfs_log_set_level(XTSFS_LOG_DEBUG);
	xtsfs_info("four");
	xtsfs_debug("five");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	xtsfs_warning("not any more");
	xtsfs_log(XTSFS_LOG__COUNT, "no such level");
	text = end(saved);
	assert_string_equal(text, "test: error: one 1\ntest: warning: two\ntest: notice: three\n"
				  "test: info: four\ntest: debug: five\n");
	free(text);
}

static void test_stderr_too(void **state)
{
	int saved = begin(), pipes[2];
	char text[100] = "";

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	xtsfs_warning("seen");
	free(end(saved));
	assert_int_equal(read(pipes[0], text, sizeof(text) - 1), strlen("test: warning: seen\n"));
	assert_string_equal(text, "test: warning: seen\n");
	close(pipes[0]);
	close(pipes[1]);
}

static void test_escaping(void **state)
{
	int saved = begin();
	char *text;

	(void)state;
	xtsfs_warning("name '%s'", "a\ntest: error: forged\r\x1b[31m\x7f\t\xff.\xc3\xa4\\x");
	text = end(saved);
	assert_string_equal(text, "test: warning: name 'a\\x0atest: error: forged\\x0d\\x1b[31m\\x7f\\x09\\xff."
				  "\xc3\xa4\\x'\n");
	free(text);
}

static void test_long(void **state)
{
	static const size_t lengths[] = {400, 511, 512, 513, 2000, 5000, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++)
		for (int control = 0; control < 2; control++) {
			size_t width = control ? 4 : 1;
			char *name = malloc(lengths[i] + 1), *text;
			int saved = begin();

			memset(name, control ? 1 : 'x', lengths[i]);
			name[lengths[i]] = 0;
			xtsfs_error("%s", name);
			text = end(saved);
			assert_int_equal(strlen(text), strlen("test: error: \n") + width * lengths[i]);
			assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
			free(text);
			free(name);
		}
}

static void test_errno_kept(void **state)
{
	int saved = begin();
	char *text;

	(void)state;
	errno = ENOSPC;
	xtsfs_error("%m");
	assert_int_equal(errno, ENOSPC);
	text = end(saved);
	assert_string_equal(text, "test: error: No space left on device\n");
	free(text);
}

static void test_levels(void **state)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
	enum xtsfs_log_level level = XTSFS_LOG_DEBUG;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
		assert_int_equal(xtsfs_log_parse_level(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(xtsfs_log_parse_level("Error", &level), -EINVAL);
	assert_int_equal(xtsfs_log_parse_level("", &level), -EINVAL);
	assert_int_equal(level, XTSFS_LOG_DEBUG);
}

static void test_no_file(void **state)
{
	int saved = begin(), pipes[2];
	char text[200] = "";

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	setenv("XTSFS_LOG_FILE", "/nonexistent/log", 1);
	xtsfs_log_init("test");
	setenv("XTSFS_LOG_FILE", path, 1);
	free(end(saved));
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "test: warning: cannot open log file '/nonexistent/log': no such file or directory, "
				  "ignoring\n");
	close(pipes[0]);
	close(pipes[1]);
}

static void test_close_on_exec(void **state)
{
	int saved = begin(), found = 0;

	(void)state;
	for (int fd = 3; fd < 100; fd++) {
		char link[64], target[256] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof(target) - 1) > 0 && strcmp(target, path) == 0) {
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			assert_true(fcntl(fd, F_GETFL) & O_APPEND);
			found++;
		}
	}
	free(end(saved));
	assert_int_equal(found, 1); /* xtsfs_log_init() again and again leaves one open */
}

static void *write_lines(void *argument)
{
	for (int i = 0; i < 200; i++)
		xtsfs_error("%s", (const char *)argument);
	return NULL;
}

static void test_threads(void **state)
{
	static char lines[4][300];
	pthread_t threads[4];
	int saved = begin();
	unsigned count = 0;
	char *text, *rest, *line;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		memset(lines[i], 'a' + (int)i, sizeof(lines[i]) - 1);
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, lines[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	text = end(saved);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), count++) {
		assert_int_equal(strncmp(line, "test: error: ", 13), 0);
		assert_int_equal(strlen(line + 13), 299);
		assert_int_equal(strspn(line + 13, (char[2]){line[13], 0}), 299);
	}
	assert_int_equal(count, 800);
	free(text);
}

static void test_syslog(void **state)
{
	int saved = begin(), pipes[2];
	char text[10], *file;

	(void)state;
	assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
	dup2(pipes[1], STDERR_FILENO);
	xtsfs_log_to_syslog(); /* whether or not somebody listens */
	xtsfs_warning("to syslog and the file");
	file = end(saved);
	assert_string_equal(file, "test: warning: to syslog and the file\n");
	free(file);
	assert_int_equal(read(pipes[0], text, sizeof(text)), -1); /* no longer to stderr */
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	cmocka_unit_test(test_stderr_too),    cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_long),	cmocka_unit_test(test_errno_kept),    cmocka_unit_test(test_levels),
		cmocka_unit_test(test_no_file), cmocka_unit_test(test_close_on_exec), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_syslog),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
