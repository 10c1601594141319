/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the sequences, each in a process of its own.
 *
 *   parity DIRECTORY|--list|--table [PATTERN...]
 *
 * Prints "SEQUENCE STEP = RESULT" for each step. Outputs on two filesystems are compared by tests/parity/run.
 * In a directory that has an entry "prepared" only the area readonly runs (seq-readonly.c), elsewhere all others.
 * --list prints the names, --table "OPERATION AREA COUNT". Patterns choose sequences by name (fnmatch).
 */
#include "parity.h"

#include <fnmatch.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern const struct sequence *const __start_sequences[], *const __stop_sequences[];

#define LIMIT_S 120U /* for one sequence, on a busy machine; PARITY_LIMIT_S changes it */

static char current[200];
static int step_no;
static const char *actor = "";

char big[1 << 20];
const char *const who_names[] = {"root", "owner", "member", "supplementary", "other", NULL};

void say(const char *what, const char *format, ...)
{
	char line[8192], text[4096];
	va_list args;
	int n;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	n = snprintf(line, sizeof(line), "%s %s%d %s = %s\n", current, actor, ++step_no, what, text);
	if (n > (int)sizeof(line) - 1)
		n = (int)sizeof(line) - 1;
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(3);
}

static const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? strcmp(name, "ENOTSUP") == 0 ? "EOPNOTSUPP" : name : "unknown error";
}

/* A step's text on one line. */
static const char *flat(const char *step)
{
	static char text[1000];
	size_t used = 0;

	for (; *step && used < sizeof(text) - 1; step++)
		if (!strchr("\n\t ", *step) || (used && text[used - 1] != ' '))
			text[used++] = strchr("\n\t", *step) ? ' ' : *step;
	text[used] = '\0';
	return text;
}

long report(const char *step, long result)
{
	int error = errno;

	if (result == -1 && error)
		say(flat(step), "%s", error_name(error));
	else
		say(flat(step), "%ld", result);
	errno = error;
	return result;
}

int report_fd(const char *step, int fd)
{
	say(flat(step), "%s", fd < 0 ? error_name(errno) : "ok");
	return fd;
}

void *report_pointer(const char *step, void *pointer)
{
	bool failed = pointer == (void *)-1 || !pointer;

	say(flat(step), "%s", failed ? error_name(errno) : "ok");
	return failed ? NULL : pointer;
}

void value(const char *what, long long number)
{
	say(flat(what), "%lld", number);
}

void need(bool is_true, const char *what)
{
	if (is_true)
		return;
	say("PREPARING", "%s: %s", flat(what), error_name(errno));
	_exit(0);
}

static int identity(enum who who)
{
	static const gid_t groups[] = {GID_GROUP};
	static const uid_t uids[] = {0, UID_OWNER, 10002, 10003, UID_OTHER};
	static const gid_t gids[] = {0, GID_GROUP, GID_GROUP, 20003, GID_OTHER};

	if (who == ROOT)
		return 0;
	if (setgroups(who == SUPP, groups) < 0 || setresgid(gids[who], gids[who], gids[who]) < 0)
		return -1;
	return setresuid(uids[who], uids[who], uids[who]);
}

bool as_begin(enum who who)
{
	static char prefix[40];
	pid_t pid = fork();
	int status;

	need(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(prefix, sizeof(prefix), "%s%d.%s.", actor, step_no, who_names[who]);
		actor = prefix;
		step_no = 0;
		need(identity(who) == 0, "set ids");
		return true;
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		say("CHILD", "signal %d", WTERMSIG(status));
	return false;
}

void as_end(void)
{
	_exit(0);
}

/* Those of the area readonly run where they are, in what was prepared; the others make a directory each. */
static bool read_only;

static void run_one(const struct sequence *s, int variant, const char *name)
{
	const char *limit = getenv("PARITY_LIMIT_S");
	char dir[220];
	pid_t pid;
	int status;

	snprintf(current, sizeof(current), "%s", name);
	snprintf(dir, sizeof(dir), "%s", read_only ? "." : name);
	for (char *at = dir; *at; at++)
		if (*at == '/')
			*at = '-';
	if (!read_only && (mkdir(dir, 0777) < 0 || chmod(dir, 0777) < 0)) {
		fprintf(stderr, "parity: cannot make %s: %s\n", dir, strerror(errno));
		exit(2);
	}
	step_no = 0;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(limit ? (unsigned)atoi(limit) : LIMIT_S);
		need(chdir(dir) == 0, "chdir");
		s->run(variant);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(2);
	if (WIFSIGNALED(status))
		say("SEQUENCE", "signal %d", WTERMSIG(status));
}

static void full_name(const struct sequence *s, int variant, char *ret, size_t room)
{
	int used = snprintf(ret, room, "%s/%s%s%s", s->area, s->name, s->variants ? "/" : "",
			    s->variants ? s->variants[variant] : "");

	if (used >= (int)room)
		exit(2);
	for (; *ret; ret++)
		if (*ret == '_')
			*ret = '-';
}

static bool chosen(const char *name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, name, 0) == 0)
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	const struct sequence *const *x = a, *const *y = b;
	int r = strcmp((*x)->area, (*y)->area);

	return r ? r : strcmp((*x)->name, (*y)->name);
}

static void print_operations(const struct sequence *s)
{
	char text[400], *save = NULL;
	int count = 1;

	if (s->variants)
		for (count = 0; s->variants[count]; count++)
			;
	snprintf(text, sizeof(text), "%s", s->operations);
	for (const char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		printf("%s %s %d\n", word, s->area, count);
}

int main(int argc, char **argv)
{
	size_t count = (size_t)(__stop_sequences - __start_sequences);
	const struct sequence **all = malloc(count * sizeof(struct sequence *));
	bool list = argc > 1 && strcmp(argv[1], "--list") == 0, table = argc > 1 && strcmp(argv[1], "--table") == 0;
	char **patterns = argv + 2;

	if (argc < 2 || !all) {
		fputs("usage: parity DIRECTORY|--list|--table [PATTERN...]\n", stderr);
		return 2;
	}
	if (!list && !table && chdir(argv[1]) < 0) {
		perror(argv[1]);
		return 2;
	}
	/* Symbols made by the linker: the compiler must not see through them. */
	for (size_t i = 0; i < count; i++)
		all[i] = __start_sequences[i];
	qsort(all, count, sizeof(*all), by_name);
	umask(022);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	read_only = !list && !table && access("prepared", F_OK) == 0;
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	for (size_t i = 0; i < count; i++) {
		if (table)
			print_operations(all[i]);
		for (int v = 0; !table && (v == 0 || (all[i]->variants && all[i]->variants[v])); v++) {
			char name[180];

			full_name(all[i], v, name, sizeof(name));
			if (!chosen(name, patterns))
				continue;
			if (!list && read_only != (strcmp(all[i]->area, "readonly") == 0))
				continue;
			if (list)
				puts(name);
			else
				run_one(all[i], v, name);
		}
	}
	free(all);
	return 0;
}
