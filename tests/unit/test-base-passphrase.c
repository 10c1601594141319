/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of passphrases and keyfiles: what is taken, what is refused, and the terminal afterwards. */
#undef NDEBUG
#include "unit.h"

#include "base/exit-codes.h"
#include "base/passphrase.h"
#include "base/terminal.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PROBLEM_BYTES 256

static char problem[PROBLEM_BYTES];

static int set_up(void **state)
{
	char *dir = strdup("/tmp/xtsfs-test-pass-XXXXXX");

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	xtsfs_secret_allow_swap(true); /* what is tested is not the limit on locked memory */
	*state = dir;
	return 0;
}

static int tear_down(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/file", (char *)*state);
	unlink(path);
	assert_int_equal(rmdir(*state), 0);
	free(*state);
	return 0;
}

static const char *make_file(const char *dir, const void *data, size_t bytes)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, bytes), bytes);
	close(fd);
	return path;
}

/* 0 and the secret's bytes are @want, or the error. */
static int take(const struct xtsfs_source *source, const void *want, size_t bytes)
{
	struct xtsfs_secret *secret = NULL;
	bool is_keyfile = false;
	int r;

	problem[0] = '\0';
	r = xtsfs_source_read(source, "Passphrase", false, &secret, &is_keyfile, problem, sizeof(problem));
	assert_true((r < 0) == (problem[0] != '\0'));
	if (r < 0) {
		assert_null(secret);
		return r;
	}
	assert_int_equal(is_keyfile, source->keyfile != NULL);
	assert_int_equal(secret->bytes, bytes);
	assert_memory_equal(secret->data, want, bytes);
	xtsfs_secret_free(secret);
	return 0;
}

static const struct {
	const char *data;
	size_t bytes;
	const char *want; /* NULL: refused as empty */
	size_t want_bytes;
} passphrases[] = {
	{"word\n", 5, "word", 4},   {"word", 4, "word", 4},   {"word\n\n", 6, "word\n", 5},
	{"\nword", 5, "\nword", 5}, {"a\0b\n", 4, "a\0b", 3}, {"word\r\n", 6, "word\r", 5},
	{" ", 1, " ", 1},	    {"", 0, NULL, 0},	      {"\n", 1, NULL, 0},
};

static void test_passfile(void **state)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;

	for (size_t i = 0; i < ARRAY_COUNT(passphrases); i++) {
		source.passfile = make_file(*state, passphrases[i].data, passphrases[i].bytes);
		assert_int_equal(take(&source, passphrases[i].want, passphrases[i].want_bytes),
				 passphrases[i].want ? 0 : -EINVAL);
	}
	source.passfile = "/nonexistent/file";
	assert_int_equal(take(&source, NULL, 0), -ENOENT);
	source.passfile = *state;
	assert_int_equal(take(&source, NULL, 0), -EISDIR);
	source.keyfile = source.passfile;
	assert_int_equal(xtsfs_source_count(&source), 2);
	assert_int_equal(take(&source, NULL, 0), -EINVAL);
}

static void test_sizes(void **state)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;
	const size_t limit = XTSFS_SOURCE_PASSPHRASE_MAX_BYTES;
	uint8_t *data = malloc(XTSFS_SOURCE_KEYFILE_MAX_BYTES + 1);
	static const size_t sizes[] = {31, 32, 4095, 4096, 4097, 8191, 8192, 100000};
	uint64_t seed = 1;

	assert_non_null(data);
	unit_random_fill(&seed, data, XTSFS_SOURCE_KEYFILE_MAX_BYTES + 1);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		data[sizes[i] - 1] = 'x';
		source.passfile = make_file(*state, data, sizes[i]);
		source.keyfile = NULL;
		assert_int_equal(take(&source, data, sizes[i]), 0);
		source.keyfile = source.passfile;
		source.passfile = NULL;
		assert_int_equal(take(&source, data, sizes[i]), sizes[i] < 32 ? -EINVAL : 0);
	}
	data[limit - 1] = data[limit] = 'x';
	source.keyfile = NULL;
	source.passfile = make_file(*state, data, limit);
	assert_int_equal(take(&source, data, limit), 0);
	source.passfile = make_file(*state, data, limit + 1);
	assert_int_equal(take(&source, NULL, 0), -EFBIG);
	source.passfile = "/dev/zero";
	assert_int_equal(take(&source, NULL, 0), -EFBIG);
	source.passfile = NULL;
	/* A line feed at the end of a keyfile is a byte like any other. */
	data[63] = '\n';
	source.keyfile = make_file(*state, data, 64);
	assert_int_equal(take(&source, data, 64), 0);
	source.keyfile = make_file(*state, data, XTSFS_SOURCE_KEYFILE_MAX_BYTES);
	assert_int_equal(take(&source, data, XTSFS_SOURCE_KEYFILE_MAX_BYTES), 0);
	source.keyfile = make_file(*state, data, XTSFS_SOURCE_KEYFILE_MAX_BYTES + 1);
	assert_int_equal(take(&source, NULL, 0), -EFBIG);
	free(data);
}

static int pipe_with(const char *text)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	close(ends[1]);
	return ends[0];
}

static void test_passfd(void **state)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;

	(void)state;
	source.passfd = pipe_with("from a pipe\n");
	assert_int_equal(take(&source, "from a pipe", 11), 0);
	/* It was closed. */
	assert_int_equal(take(&source, NULL, 0), -EBADF);
}

static void test_passcmd(void **state)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;

	(void)state;
	source.passcmd = "printf 'a b\\n'";
	assert_int_equal(take(&source, "a b", 3), 0);
	source.passcmd = "printf 'part'; sleep 0.1; printf ' two'";
	assert_int_equal(take(&source, "part two", 8), 0);
	source.passcmd = "echo good; exit 3";
	assert_int_equal(take(&source, NULL, 0), -ENOKEY);
	assert_non_null(strstr(problem, "exit status 3"));
	source.passcmd = "kill -TERM $$";
	assert_int_equal(take(&source, NULL, 0), -ENOKEY);
	assert_non_null(strstr(problem, "signal 15"));
	source.passcmd = "yes not-to-be-shown";
	assert_int_equal(take(&source, NULL, 0), -EFBIG);
	assert_null(strstr(problem, "not-to-be-shown"));
	source.passcmd = "true";
	assert_int_equal(take(&source, NULL, 0), -EINVAL);
}

/* ---- the terminal: a child with a terminal of its own asks, we are the user ---- */

struct asking {
	pid_t pid;
	int user;   /* our side of the terminal */
	int result; /* where the child writes what it got */
};

static void ask_in_child(int result, bool confirm)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;
	struct xtsfs_secret *secret = NULL;
	bool is_keyfile;
	int r = xtsfs_source_read(&source, "Word", confirm, &secret, &is_keyfile, problem, sizeof(problem));

	dprintf(result, "%d:%.*s", r, secret ? (int)secret->bytes : 0, secret ? (char *)secret->data : "");
	_exit(0);
}

/* That end the program while it asks. */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static struct asking begin_asking(bool confirm)
{
	struct asking asking;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	asking.pid = forkpty(&asking.user, NULL, NULL, NULL);
	assert_true(asking.pid >= 0);
	if (asking.pid == 0) {
		/* A shell starts what it puts into the background with some ignored. */
		for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
			signal(signals[i], SIG_DFL);
		ask_in_child(ends[1], confirm);
	}
	close(ends[1]);
	asking.result = ends[0];
	return asking;
}

/* Read what is shown until @text was; what came before it is in the result. */
static void expect(const struct asking *asking, const char *text, char *ret_shown, size_t room)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = read(asking->user, ret_shown + have, room - 1 - have);

		if (n <= 0)
			fail_msg("the terminal ended before '%s'", text);
		have += (size_t)n;
		ret_shown[have] = '\0';
		if (strstr(ret_shown, text))
			return;
	}
}

static void type(const struct asking *asking, const char *text)
{
	assert_int_equal(write(asking->user, text, strlen(text)), strlen(text));
}

static bool echoes(const struct asking *asking)
{
	struct termios termios;

	assert_int_equal(tcgetattr(asking->user, &termios), 0);
	return (termios.c_lflag & ECHO) != 0;
}

/* The child's words, and its end. */
static int end_asking(struct asking *asking, const char *want)
{
	char got[512];
	ssize_t n = read(asking->result, got, sizeof(got) - 1);
	int status;

	assert_true(n >= 0);
	got[n] = '\0';
	assert_int_equal(waitpid(asking->pid, &status, 0), asking->pid);
	assert_string_equal(got, want);
	close(asking->user);
	close(asking->result);
	return status;
}

static void test_terminal(void **state)
{
	struct asking asking = begin_asking(false);
	char shown[512];

	(void)state;
	expect(&asking, "Word: ", shown, sizeof(shown));
	assert_false(echoes(&asking));
	type(&asking, "hunter2\n");
	expect(&asking, "\n", shown, sizeof(shown));
	assert_null(strstr(shown, "hunter2"));
	assert_int_equal(end_asking(&asking, "0:hunter2"), 0);
}

static void test_terminal_confirm(void **state)
{
	struct asking asking = begin_asking(true);
	char shown[512], want[32];

	(void)state;
	expect(&asking, "Word: ", shown, sizeof(shown));
	type(&asking, "hunter2\n");
	expect(&asking, "again: ", shown, sizeof(shown));
	type(&asking, "hunter2\n");
	assert_int_equal(end_asking(&asking, "0:hunter2"), 0);

	snprintf(want, sizeof(want), "%d:", -EINVAL);
	asking = begin_asking(true);
	expect(&asking, "Word: ", shown, sizeof(shown));
	type(&asking, "hunter2\n");
	expect(&asking, "again: ", shown, sizeof(shown));
	type(&asking, "hunter3\n");
	assert_int_equal(end_asking(&asking, want), 0);
}

static void test_terminal_signals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
		struct asking asking = begin_asking(false);
		char shown[512];
		siginfo_t info;
		int status;

		expect(&asking, "Word: ", shown, sizeof(shown));
		assert_false(echoes(&asking));
		type(&asking, "half a wo");
		assert_int_equal(kill(asking.pid, signals[i]), 0);
		expect(&asking, "\n", shown, sizeof(shown));
		assert_int_equal(waitid(P_PID, (id_t)asking.pid, &info, WEXITED | WNOWAIT), 0);
		assert_true(echoes(&asking));
		status = end_asking(&asking, "");
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
	}
}

/* Nobody could continue a session leader without a parent in its session, so the kernel does not stop it; but the
 * question is given up and asked again, as after a continuation. */
static void test_terminal_stop(void **state)
{
	struct asking asking = begin_asking(false);
	char shown[512];

	(void)state;
	expect(&asking, "Word: ", shown, sizeof(shown));
	type(&asking, "half a wo");
	assert_int_equal(kill(asking.pid, SIGTSTP), 0);
	expect(&asking, "Word: ", shown, sizeof(shown));
	type(&asking, "whole\n");
	assert_int_equal(end_asking(&asking, "0:whole"), 0);
}

/* The terminal driver may have cut it. */
static void test_terminal_long_line(void **state)
{
	struct asking asking = begin_asking(false);
	char shown[512], line[XTSFS_TERMINAL_LINE_MAX + 1], want[32];

	(void)state;
	expect(&asking, "Word: ", shown, sizeof(shown));
	memset(line, 'l', sizeof(line));
	assert_int_equal(write(asking.user, line, sizeof(line)), sizeof(line));
	type(&asking, "\n");
	snprintf(want, sizeof(want), "%d:", -EFBIG);
	assert_int_equal(end_asking(&asking, want), 0);
}

static void test_no_terminal(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		struct xtsfs_source source = XTSFS_SOURCE_NONE;
		struct xtsfs_secret *secret;
		bool is_keyfile;

		setsid();
		_exit(xtsfs_source_read(&source, "x", false, &secret, &is_keyfile, problem, sizeof(problem)) !=
		      -ENOKEY);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_exit_codes(void **state)
{
	static const struct {
		int error;
		enum xtsfs_exit want;
	} cases[] = {
		{0, XTSFS_EXIT_OK},	      {EKEYREJECTED, XTSFS_EXIT_PASS}, {ENOENT, XTSFS_EXIT_NOT_VOLUME},
		{EBADMSG, XTSFS_EXIT_CONFIG}, {EUCLEAN, XTSFS_EXIT_CONFIG},    {EPROTO, XTSFS_EXIT_FEATURE},
		{EBUSY, XTSFS_EXIT_BUSY},     {ENOTEMPTY, XTSFS_EXIT_EXISTS},  {ELIBBAD, XTSFS_EXIT_ENGINE},
		{ENOMEM, XTSFS_EXIT_MEMORY},  {ERANGE, XTSFS_EXIT_MEMORY},     {ENOKEY, XTSFS_EXIT_SOURCE},
		{ENOSPC, XTSFS_EXIT_IO},      {EDOM, XTSFS_EXIT_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(xtsfs_exit_code(cases[i].error), cases[i].want);
		assert_int_equal(xtsfs_exit_code(-cases[i].error), cases[i].want);
	}
	assert_int_equal(xtsfs_exit_code_mount(XTSFS_EXIT_OK), 0);
	assert_int_equal(xtsfs_exit_code_mount(XTSFS_EXIT_USAGE), 1);
	assert_int_equal(xtsfs_exit_code_mount(XTSFS_EXIT_MEMORY), 2);
	assert_int_equal(xtsfs_exit_code_mount(XTSFS_EXIT_PASS), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_passfile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_passfd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_passcmd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal_confirm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal_signals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal_long_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_terminal, set_up, tear_down),
		cmocka_unit_test(test_exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
