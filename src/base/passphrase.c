/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading passphrases and keyfiles.
 *
 * Every source ends in read_all(): read() from a descriptor into locked memory. A passphrase is all of it less one line
 * feed at its end, so `echo word >file`, `printf word >file` and a word typed at the prompt are the same passphrase,
 * and a passphrase may have line feeds inside. A keyfile is taken byte for byte.
 *
 * The size is not asked beforehand for more than a first guess: pipes have none and files change. When the memory is
 * full the bytes move to twice as much, and what they leave is wiped.
 *
 * The command is run by posix_spawn(), so this process is not copied. It has our standard input, terminal and standard
 * error, for it may want to ask the user something; only its standard output is ours.
 *
 * A key of the kernel's is taken byte for byte, too: who put it there has already decided what belongs to it. A
 * credential of systemd's is a file, which may be a passfile or a keyfile; whoever tries it as a passphrase takes the
 * line feed away. That others can read it is not told: its directory is the unit's alone.
 *
 * An empty passphrase is refused wherever it comes from. It is the mark of an accident: an unset variable, a file that
 * was not written, a command that failed behind a pipe.
 *
 * A file that others can read is warned of and used: whether they matter is not for us to say.
 */
#include "base/passphrase.h"

#include "base/ask-systemd.h"
#include "base/cleanup.h"
#include "base/keyring.h"
#include "base/log.h"
#include "base/terminal.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FIRST_GUESS 4096U

struct reader {
	char *problem;
	size_t problem_bytes;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct reader *reader, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reader->problem, reader->problem_bytes, format, args);
	va_end(args);
	return error;
}

int xtsfs_ask_parse(const char *text, enum xtsfs_ask *ret_ask)
{
	static const char *const names[] = {[XTSFS_ASK_TTY] = "tty",
					    [XTSFS_ASK_AUTO] = "auto",
					    [XTSFS_ASK_SYSTEMD] = "systemd",
					    [XTSFS_ASK_NEVER] = "never"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_ask = (enum xtsfs_ask)i;
			return 0;
		}
	return -EINVAL;
}

bool xtsfs_credential_is_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

unsigned xtsfs_source_passphrases(const struct xtsfs_source *source)
{
	return xtsfs_source_count(source) - (source->keyfile != NULL);
}

unsigned xtsfs_source_count(const struct xtsfs_source *source)
{
	return 0U + (source->passfile != NULL) + (source->passfd >= 0) + (source->passcmd != NULL) +
	       (source->keyring != NULL) + (source->credential != NULL) + (source->keyfile != NULL);
}

/* Room for a byte more than what is allowed, so that too much shows. */
static size_t first_capacity(int fd, size_t max_bytes)
{
	struct stat status;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < (off_t)FIRST_GUESS)
		return FIRST_GUESS;
	return (uintmax_t)status.st_size > max_bytes ? max_bytes + 1 : (size_t)status.st_size + 1;
}

static int grow(struct xtsfs_secret **secret, size_t max_bytes)
{
	struct xtsfs_secret *more;
	size_t have = (*secret)->capacity;
	int r = xtsfs_secret_new(have * 2 < max_bytes + 1 ? have * 2 : max_bytes + 1, &more);

	if (r < 0)
		return r;
	memcpy(more->data, (*secret)->data, have);
	xtsfs_secret_free(*secret);
	*secret = more;
	return 0;
}

/* To the end of the file. -EFBIG: more than @max_bytes. */
static int read_all(int fd, size_t max_bytes, struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_secret *secret = NULL;
	size_t have = 0;
	ssize_t n;
	int r = xtsfs_secret_new(first_capacity(fd, max_bytes), &secret);

	if (r < 0)
		return r;
	for (;;) {
		if (have == secret->capacity) {
			r = grow(&secret, max_bytes);
			if (r < 0)
				return r;
		}
		n = read(fd, secret->data + have, secret->capacity - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) { /* somebody made it not wait; ours to do then */
			(void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
			continue;
		}
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
		if (have > max_bytes)
			return -EFBIG;
	}
	secret->bytes = have;
	*ret_secret = secret;
	secret = NULL;
	return 0;
}

static void warn_if_readable(int fd, const char *what, const char *path)
{
	struct stat status;

	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & (S_IRGRP | S_IROTH)))
		xtsfs_warning("%s '%s' can be read by others, using it", what, path);
}

static int explain_read(const struct reader *reader, int error, const char *what, size_t max_bytes)
{
	if (error == -EFBIG)
		return fail(reader, error, "%s has more than %zu bytes", what, max_bytes);
	if (error == -ENOMEM || error == -EPERM || error == -EAGAIN)
		return fail(reader, error, "cannot lock memory for %s: %s", what, xtsfs_strerror(error));
	return fail(reader, error, "cannot read %s: %s", what, xtsfs_strerror(error));
}

/* @kind: "passfile" or "keyfile" */
static int read_file(const struct reader *reader, const char *kind, const char *path, size_t max_bytes,
		     struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char what[PATH_MAX + 16];
	int r;

	snprintf(what, sizeof(what), "%s '%s'", kind, path);
	if (fd < 0) {
		r = -errno;
		return fail(reader, r, "cannot open %s: %s", what, xtsfs_strerror(r));
	}
	warn_if_readable(fd, kind, path);
	r = read_all(fd, max_bytes, ret_secret);
	return r < 0 ? explain_read(reader, r, what, max_bytes) : 0;
}

static int read_credential(const struct reader *reader, const char *name, struct xtsfs_secret **ret_secret)
{
	const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
	char what[NAME_MAX + 16];
	xtsfs_auto_fd at = -1, fd = -1;
	int r;

	if (!xtsfs_credential_is_name(name))
		return fail(reader, -EINVAL,
			    "'%s' cannot be the name of a credential: that is a file's, without a slash", name);
	if (!directory)
		return fail(reader, -ENOKEY,
			    "there is no credential '%s': CREDENTIALS_DIRECTORY is not set; systemd sets it for units "
			    "that have credentials (LoadCredential= and the like)",
			    name);
	at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0) {
		r = -errno;
		return fail(reader, r, "cannot open the directory of credentials '%s': %s%s", directory,
			    xtsfs_strerror(r),
			    r == -ENOENT ? "; older systemd makes none for mounts (systemd.md)" : "");
	}
	fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return fail(reader, -ENOENT,
			    "there is no credential '%s' in '%s'; name it in the unit (LoadCredential= and the like)",
			    name, directory);
	if (fd < 0) {
		r = -errno;
		return fail(reader, r, "cannot open credential '%s': %s", name, xtsfs_strerror(r));
	}
	snprintf(what, sizeof(what), "credential '%s'", name);
	r = read_all(fd, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES, ret_secret);
	return r < 0 ? explain_read(reader, r, what, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES) : 0;
}

static int read_standard_input(const struct reader *reader, struct xtsfs_secret **ret_secret)
{
	int r;

	if (isatty(STDIN_FILENO))
		return fail(reader, -ENOKEY,
			    "standard input is a terminal; leave the passfile out to be asked for the passphrase");
	r = read_all(STDIN_FILENO, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES, ret_secret);
	return r < 0 ? explain_read(reader, r, "standard input", XTSFS_SOURCE_PASSPHRASE_MAX_BYTES) : 0;
}

static int read_descriptor(const struct reader *reader, int fd, struct xtsfs_secret **ret_secret)
{
	char what[40];
	int r;

	snprintf(what, sizeof(what), "descriptor %d", fd);
	if (fcntl(fd, F_GETFD) < 0)
		return fail(reader, -EBADF, "%s is not open", what);
	r = read_all(fd, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES, ret_secret);
	close(fd); /* no child needs it, and who names it twice should hear of it */
	return r < 0 ? explain_read(reader, r, what, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES) : 0;
}

/* Starts the shell with @output as its standard output. */
static int spawn_shell(const char *command, int output, pid_t *ret_pid)
{
	const char *const arguments[] = {"sh", "-c", command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int error;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return -error;
	}
	error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (!error)
		error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	if (!error)
		error = posix_spawnattr_setsigdefault(&attributes, &defaults);
	if (!error)
		error = posix_spawnattr_setsigmask(&attributes, &none);
	if (!error) /* execve() does not write to its arguments; its type is older than const */
		error = posix_spawn(ret_pid, "/bin/sh", &actions, &attributes, (char *const *)(uintptr_t)arguments,
				    environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

/* What the child @pid writes to @output, which is closed, if it ends well. @program: for sentences. */
static int read_child(const struct reader *reader, int output, pid_t pid, const char *program,
		      struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_secret *secret = NULL;
	char what[64];
	int status, r = read_all(output, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES, &secret);

	close(output); /* a command that goes on writing ends by SIGPIPE */
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(reader, -errno, "cannot wait for %s: %s", program, xtsfs_strerror(errno));
	snprintf(what, sizeof(what), "what %s writes", program);
	if (r < 0)
		return explain_read(reader, r, what, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES);
	if (WIFSIGNALED(status))
		return fail(reader, -ENOKEY, "%s was ended by signal %d", program, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return fail(reader, -ENOKEY, "%s ended with exit status %d", program, WEXITSTATUS(status));
	*ret_secret = secret;
	secret = NULL;
	return 0;
}

static int read_command(const struct reader *reader, const char *command, struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_fd out = -1;
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail(reader, -errno, "cannot make a pipe: %s", xtsfs_strerror(errno));
	out = ends[0];
	r = spawn_shell(command, ends[1], &pid);
	close(ends[1]);
	if (r < 0)
		return fail(reader, r, "cannot start the passphrase command: %s", xtsfs_strerror(r));

	return read_child(reader, xtsfs_take_fd(&out), pid, "the passphrase command", ret_secret);
}

static int read_keyring(const struct reader *reader, const char *description, struct xtsfs_secret **ret_secret)
{
	int r = xtsfs_keyring_read(description, ret_secret);

	if (r == -ENOKEY)
		return fail(reader, r, "there is no key '%s' in the keyrings of this session and user", description);
	if (r == -EKEYEXPIRED || r == -EKEYREVOKED)
		return fail(reader, -ENOKEY, "key '%s' of the kernel's keyring %s", description,
			    r == -EKEYEXPIRED ? "has expired" : "was revoked");
	if (r == -EACCES)
		return fail(reader, r, "key '%s' of the kernel's keyring may not be read by this process", description);
	if (r == -ENOSYS)
		return fail(reader, -ENOKEY, XTSFS_KEYRING_MISSING);
	if (r == -EINVAL)
		return fail(reader, r, "a key cannot have the name '%s'", description);
	return r < 0 ? explain_read(reader, r, "the key of the kernel's keyring", XTSFS_KEYRING_KEY_MAX_BYTES) : 0;
}

#define GIVE_ONE "use a passfile, passfd, passcmd, keyring or keyfile"

static int ask_systemd(const struct reader *reader, const struct xtsfs_source *source, const char *prompt,
		       struct xtsfs_secret **ret_secret)
{
	const char *missing = xtsfs_ask_systemd_missing();
	int output, r;
	pid_t pid;

	if (missing)
		return fail(reader, -ENOKEY, "cannot have systemd ask for the passphrase: %s; " GIVE_ONE, missing);
	r = xtsfs_ask_systemd_start(prompt, source->ask_id, &output, &pid);
	if (r < 0)
		return fail(reader, r, "cannot run " XTSFS_ASK_PROGRAM ": %s", xtsfs_strerror(r));
	r = read_child(reader, output, pid, XTSFS_ASK_PROGRAM, ret_secret);
	if (r == 0)
		(void)xtsfs_source_drop_line_feed(*ret_secret); /* its own; what is typed has none */
	return r == -ENOKEY ? -ECANCELED : r;
}

static int ask(const struct reader *reader, const struct xtsfs_source *source, const char *prompt,
	       struct xtsfs_secret **ret_secret)
{
	const char *missing;
	int r;

	if (source->ask == XTSFS_ASK_NEVER)
		return fail(reader, -ENOKEY, "nobody may be asked for the passphrase (ask=never); " GIVE_ONE);
	if (source->ask == XTSFS_ASK_SYSTEMD)
		return ask_systemd(reader, source, prompt, ret_secret);
	r = xtsfs_terminal_ask(prompt, ret_secret);
	if (r != -ENOKEY)
		return r < 0 ? explain_read(reader, r, "the passphrase", XTSFS_TERMINAL_LINE_MAX) : 0;
	if (source->ask == XTSFS_ASK_TTY)
		return fail(reader, r, "there is no terminal to ask for the passphrase; " GIVE_ONE);
	missing = geteuid() != 0 ? "its agents answer root only" : xtsfs_ask_systemd_missing();
	if (missing)
		return fail(
			reader, r,
			"there is no terminal to ask for the passphrase, and systemd cannot ask for it: %s; " GIVE_ONE,
			missing);
	return ask_systemd(reader, source, prompt, ret_secret);
}

static int ask_twice(const struct reader *reader, const struct xtsfs_source *source, const char *prompt, bool confirm,
		     struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_secret *secret = NULL;
	xtsfs_auto_secret *again = NULL;
	int r = ask(reader, source, prompt, &secret);

	if (r < 0)
		return r;
	/* Nobody needs to type nothing twice. */
	if (confirm && secret->bytes > 0) {
		r = ask(reader, source, "The same again", &again);
		if (r < 0)
			return r;
		if (again->bytes != secret->bytes || !xtsfs_equal_secret(again->data, secret->data, secret->bytes))
			return fail(reader, -EINVAL, "passphrases do not match");
	}
	*ret_secret = secret;
	secret = NULL;
	return 0;
}

bool xtsfs_source_drop_line_feed(struct xtsfs_secret *secret)
{
	if (secret->bytes == 0 || secret->data[secret->bytes - 1] != '\n')
		return false;
	secret->data[--secret->bytes] = '\0';
	return true;
}

int xtsfs_source_read(const struct xtsfs_source *source, const char *prompt, bool confirm,
		      struct xtsfs_secret **ret_secret, bool *ret_is_keyfile, char *ret_problem, size_t problem_bytes)
{
	const struct reader reader = {.problem = ret_problem, .problem_bytes = problem_bytes};
	xtsfs_auto_secret *secret = NULL;
	bool is_asked = xtsfs_source_count(source) == 0;
	int r;

	if (xtsfs_source_count(source) > 1)
		return fail(&reader, -EINVAL,
			    "more than one of passfile, passfd, passcmd, keyring, credential and keyfile is given");
	if (source->keyfile)
		r = read_file(&reader, "keyfile", source->keyfile, XTSFS_SOURCE_KEYFILE_MAX_BYTES, &secret);
	else if (source->passfile && strcmp(source->passfile, "-") == 0)
		r = read_standard_input(&reader, &secret);
	else if (source->passfile)
		r = read_file(&reader, "passfile", source->passfile, XTSFS_SOURCE_PASSPHRASE_MAX_BYTES, &secret);
	else if (source->passfd >= 0)
		r = read_descriptor(&reader, source->passfd, &secret);
	else if (source->passcmd)
		r = read_command(&reader, source->passcmd, &secret);
	else if (source->keyring)
		r = read_keyring(&reader, source->keyring, &secret);
	else if (source->credential)
		r = read_credential(&reader, source->credential, &secret);
	else
		r = ask_twice(&reader, source, prompt, confirm, &secret);
	if (r < 0)
		return r;

	if (source->keyfile) {
		if (secret->bytes < XTSFS_SOURCE_KEYFILE_MIN_BYTES)
			return fail(&reader, -EINVAL, "keyfile '%s' has %zu bytes, fewer than %u", source->keyfile,
				    secret->bytes, XTSFS_SOURCE_KEYFILE_MIN_BYTES);
	} else {
		if (!is_asked && !source->keyring && !source->credential)
			(void)xtsfs_source_drop_line_feed(secret);
		if (secret->bytes == 0 || (source->credential && secret->bytes == 1 && secret->data[0] == '\n'))
			return fail(&reader, -EINVAL, "the passphrase is empty");
	}
	*ret_is_keyfile = source->keyfile != NULL;
	*ret_secret = secret;
	secret = NULL;
	return 0;
}
