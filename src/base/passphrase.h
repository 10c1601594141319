/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where passphrases and keyfiles come from, for all programs.
 *
 * Layer:   base.
 * Threads: one at a time, before other threads run (terminal.h, and a child may be started).
 * Secrets: bytes go by read() into xtsfs_secret memory and nowhere else. Nothing here is ever in a message: not the
 *          secret, and not the command, which may hold one.
 */
#ifndef XTSFS_BASE_PASSPHRASE_H
#define XTSFS_BASE_PASSPHRASE_H

#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

#define XTSFS_SOURCE_PASSPHRASE_MAX_BYTES (1U << 20)
#define XTSFS_SOURCE_KEYFILE_MIN_BYTES	  32U
#define XTSFS_SOURCE_KEYFILE_MAX_BYTES	  (8U << 20)

/* How somebody is asked where no source is given. */
enum xtsfs_ask {
	XTSFS_ASK_TTY,	   /* at the terminal */
	XTSFS_ASK_AUTO,	   /* there, or, without one, by systemd if it runs */
	XTSFS_ASK_SYSTEMD, /* by systemd's password agents */
	XTSFS_ASK_NEVER,
};

/* None of them means to ask. */
struct xtsfs_source {
	const char *passfile;	/* its bytes less one line feed at the end; "-" is standard input, not a terminal */
	int passfd;		/* an open descriptor, read to its end and closed; -1 if not set */
	const char *passcmd;	/* for /bin/sh -c: its standard output less one line feed at the end */
	const char *keyring;	/* the description of a key of the kernel's, its bytes */
	const char *credential; /* the name of a file in $CREDENTIALS_DIRECTORY: its bytes */
	const char *tpm;	/* not read here: from where core/unlock.h has a TPM give a key out */
	const char *fido2;	/* the same of an authenticator */
	const char *keyfile;	/* its bytes, 32 to 8 MiB */
	enum xtsfs_ask ask;
	const char *ask_id; /* what systemd's agents know the question by, or NULL */
};
#define XTSFS_SOURCE_NONE ((struct xtsfs_source){.passfd = -1})

/** "auto", "tty", "systemd" or "never"; 0 or -EINVAL. */
xtsfs_must_check int xtsfs_ask_parse(const char *text, enum xtsfs_ask *ret_ask);
/** Whether @name can be one of a credential: a file in its directory. */
bool xtsfs_credential_is_name(const char *name);
/** Take a line feed away from the end of @secret. Returns whether there was one. */
bool xtsfs_source_drop_line_feed(struct xtsfs_secret *secret);
/** How many are set. */
unsigned xtsfs_source_count(const struct xtsfs_source *source);
/** How many of those that give a passphrase: all but the keyfile. A keyfile may go together with one. */
unsigned xtsfs_source_passphrases(const struct xtsfs_source *source);

/**
 * Read the secret of a source of which at most one is set. A passphrase has 1 byte to 1 MiB. A credential comes with
 * all its bytes, for it may be a keyfile, too.
 * @prompt: what the terminal is asked with, without a colon; @confirm: there, ask again and compare.
 * @ret_is_keyfile: whether it is a keyfile's.
 * @ret_problem: on failure a sentence for people; names in it are not escaped (xtsfs_log() does that).
 * A file that others can read is warned of in the log.
 *
 * Returns 0, -EINVAL (empty, keyfile too short, two different passphrases typed, more than one source), -EFBIG, -ENOKEY
 * (no source and nobody can be asked, the command failed, or no such key), -ECANCELED (asked and not answered), -EINTR
 * (as xtsfs_terminal_ask()), -ENOMEM, -EPERM, -EAGAIN (locked memory), or an error of open or read.
 */
xtsfs_must_check int xtsfs_source_read(const struct xtsfs_source *source, const char *prompt, bool confirm,
				       struct xtsfs_secret **ret_secret, bool *ret_is_keyfile, char *ret_problem,
				       size_t problem_bytes);

#endif
