/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By the program systemd-ask-password: how it tells agents of the question, and knows who may answer, has changed and
 * will again, which its command line has not.
 *
 * A unit has a time limit of its own, TimeoutStartSec= or x-systemd.mount-timeout=, and administrators set it there.
 * Who has none, a job of cron say, should not wait for an answer for ever.
 *
 * fork() and not posix_spawn(): a child can be told to end with its parent only between fork() and exec(). A question
 * that nobody waits for would stay on the screen.
 */
#include "base/ask-systemd.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define IS_RUNNING   "/run/systemd/system" /* as sd_booted(3) has it */
#define PROMPT_BYTES 256

/* mount(8) may give its helpers no PATH. */
static const char *const programs[] = {"/usr/bin/" XTSFS_ASK_PROGRAM, "/bin/" XTSFS_ASK_PROGRAM};

static const char *find_program(void)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (access(programs[i], X_OK) == 0)
			return programs[i];
	return NULL;
}

const char *xtsfs_ask_systemd_missing(void)
{
	if (access(IS_RUNNING, F_OK) < 0)
		return "systemd does not run here (there is no " IS_RUNNING ")";
	return find_program() ? NULL : "there is no program " XTSFS_ASK_PROGRAM;
}

_Noreturn static void run(const char *const *arguments, int output, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	sigemptyset(&none);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)unsetenv("CREDENTIALS_DIRECTORY"); /* or it takes one called "password" for the answer */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != parent || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		_exit(1);
	/* execv() does not write to its arguments; its type is older than const */
	execv(arguments[0], (char *const *)(uintptr_t)arguments);
	_exit(127);
}

int xtsfs_ask_systemd_start(const char *prompt, const char *id, int *ret_output, pid_t *ret_pid)
{
	char question[PROMPT_BYTES * XTSFS_ESCAPE_FACTOR + 2], id_argument[16 + PROMPT_BYTES * XTSFS_ESCAPE_FACTOR];
	size_t shown = strnlen(prompt, PROMPT_BYTES), id_bytes = id ? strnlen(id, PROMPT_BYTES) : 0;
	bool has_limit = getenv("INVOCATION_ID") != NULL; /* systemd sets it for what its units run */
	const char *const arguments[] = {find_program(),
					 "--no-tty",
					 "--icon=drive-harddisk",
					 has_limit ? "--timeout=0" : "--timeout=90",
					 id_argument,
					 "--",
					 question,
					 NULL};
	pid_t parent = getpid(), pid;
	int ends[2];

	if (!arguments[0])
		return -ENOENT;
	strcpy(question + xtsfs_text_escape(prompt, shown, /* backslash= */ false, question), ":");
	(void)xtsfs_text_escape(id ? id : "", id_bytes, /* backslash= */ false, stpcpy(id_argument, "--id=xtsfs:"));
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run(arguments, ends[1], parent);
	if (pid < 0) {
		int r = -errno;

		close(ends[0]);
		close(ends[1]);
		return r;
	}
	close(ends[1]);
	*ret_output = ends[0];
	*ret_pid = pid;
	return 0;
}
