/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question at the terminal, without echo.
 *
 * It is /dev/tty that is asked: standard input may be data, standard output a pipe. No stdio: its buffers would keep a
 * copy of the passphrase.
 *
 * Signals: a program that dies at the prompt must not leave a terminal that shows nothing. The signals that end or
 * stop a program are blocked for as long as the echo is off, and let in only inside ppoll(), which waits for the line;
 * so they interrupt that one call and nothing else, and there is no moment in which one is missed. Their handler only
 * notes them. Then the terminal is restored, the old dispositions and the mask come back, and the signal is sent again:
 * it does what it would have done. After a stop and a continuation the question is asked again, as what was typed
 * before is gone; a program that survives one of the others by a handler of its own gets -EINTR. Signals that were
 * ignored stay ignored (nohup).
 *
 * SIGTTIN and SIGTTOU are left alone: a program in the background stops at the first change of the terminal, with
 * nothing changed yet.
 *
 * What was typed ahead is thrown away: it was typed while the echo was on.
 */
#include "base/terminal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#define PROMPT_BYTES 256

static const int caught[] = {SIGINT, SIGHUP, SIGQUIT, SIGTERM, SIGTSTP};
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

/* The last of the caught signals that came; 0 for none. Signal handlers have no context. */
static volatile sig_atomic_t arrived;

static void note_signal(int number)
{
	arrived = number;
}

struct takeover {
	struct sigaction old_actions[CAUGHT];
	sigset_t old_mask;
};

static void take_signals(struct takeover *takeover)
{
	struct sigaction action = {.sa_handler = note_signal};
	sigset_t mask;

	arrived = 0;
	sigemptyset(&mask);
	for (size_t i = 0; i < CAUGHT; i++)
		sigaddset(&mask, caught[i]);
	pthread_sigmask(SIG_BLOCK, &mask, &takeover->old_mask);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < CAUGHT; i++) {
		sigaction(caught[i], NULL, &takeover->old_actions[i]);
		if (takeover->old_actions[i].sa_handler != SIG_IGN)
			sigaction(caught[i], &action, NULL);
	}
}

static void give_signals_back(const struct takeover *takeover)
{
	for (size_t i = 0; i < CAUGHT; i++)
		sigaction(caught[i], &takeover->old_actions[i], NULL);
	pthread_sigmask(SIG_SETMASK, &takeover->old_mask, NULL);
}

static int write_text(int tty, const char *text)
{
	size_t done = 0, bytes = strlen(text);

	while (done < bytes) {
		ssize_t n = write(tty, text + done, bytes - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* With the caught signals let in while it waits. -EINTR: one of them came. */
static int read_line(int tty, const sigset_t *mask, struct xtsfs_secret *line)
{
	struct pollfd poll_tty = {.fd = tty, .events = POLLIN};
	size_t have = 0;
	ssize_t n;

	for (;;) {
		if (ppoll(&poll_tty, 1, NULL, mask) < 0) {
			if (errno == EINTR && !arrived)
				continue;
			return -errno;
		}
		/* The terminal gives whole lines, so this does not wait. */
		n = read(tty, line->data + have, line->capacity - have);
		if (n < 0)
			return -errno;
		have += (size_t)n;
		if (n == 0 || line->data[have - 1] == '\n')
			break;
		if (have == line->capacity)
			return -EFBIG;
	}
	if (have && line->data[have - 1] == '\n')
		line->data[--have] = '\0';
	line->bytes = have;
	return have > XTSFS_TERMINAL_LINE_MAX ? -EFBIG : 0;
}

/* -EINTR as read_line(), and then @ret_signal has been sent again. */
static int ask_once(int tty, const char *question, struct xtsfs_secret *line, int *ret_signal)
{
	struct takeover takeover;
	struct termios before, silent;
	int r = 0;

	if (tcgetattr(tty, &before) < 0)
		return -errno;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	silent.c_lflag |= ICANON | ISIG;
	silent.c_iflag |= ICRNL;
	/* In the background this stops the program, while the signals are still its own and nothing is changed. */
	if (tcsetattr(tty, TCSAFLUSH, &before) < 0)
		return -errno;

	take_signals(&takeover);
	if (tcsetattr(tty, TCSAFLUSH, &silent) < 0)
		r = -errno;
	if (r == 0)
		r = write_text(tty, question);
	if (r == 0)
		r = read_line(tty, &takeover.old_mask, line);
	(void)write_text(tty, "\n");
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	*ret_signal = arrived;
	give_signals_back(&takeover);
	if (*ret_signal)
		raise(*ret_signal);
	return r;
}

int xtsfs_terminal_ask(const char *prompt, struct xtsfs_secret **ret_secret)
{
	char question[PROMPT_BYTES * XTSFS_ESCAPE_FACTOR + 3];
	xtsfs_auto_secret *line = NULL;
	size_t shown = strnlen(prompt, PROMPT_BYTES);
	xtsfs_auto_fd tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int r, signal_no = 0;

	if (tty < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -ENOKEY;
	strcpy(question + xtsfs_text_escape(prompt, shown, /* backslash= */ false, question), ": ");
	r = xtsfs_secret_new(XTSFS_TERMINAL_LINE_MAX + 2, &line);
	if (r < 0)
		return r;
	do {
		xtsfs_wipe(line->data, line->capacity);
		r = ask_once(tty, question, line, &signal_no);
	} while (r == -EINTR && signal_no == SIGTSTP);
	if (r < 0)
		return r;
	*ret_secret = line;
	line = NULL;
	return 0;
}
