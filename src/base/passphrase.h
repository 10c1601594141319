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

/* None of them means the terminal. */
struct xtsfs_source {
	const char *passfile; /* its bytes less one line feed at the end; "-" is standard input, not a terminal */
	int passfd;	      /* an open descriptor, read to its end and closed; -1 if not set */
	const char *passcmd;  /* for /bin/sh -c: its standard output less one line feed at the end */
	const char *keyring;  /* the description of a key of the kernel's, its bytes */
	const char *tpm;      /* not read here: from where core/unlock.h has a TPM give a key out */
	const char *keyfile;  /* its bytes, 32 to 8 MiB */
};
#define XTSFS_SOURCE_NONE ((struct xtsfs_source){.passfd = -1})

/** How many are set. */
unsigned xtsfs_source_count(const struct xtsfs_source *source);
/** How many of those that give a passphrase: all but the keyfile. A keyfile may go together with one. */
unsigned xtsfs_source_passphrases(const struct xtsfs_source *source);

/**
 * Read the secret of a source of which at most one is set. A passphrase has 1 byte to 1 MiB.
 * @prompt: what the terminal is asked with, without a colon; @confirm: there, ask again and compare.
 * @ret_is_keyfile: whether it is a keyfile's.
 * @ret_problem: on failure a sentence for people; names in it are not escaped (xtsfs_log() does that).
 * A file that others can read is warned of in the log.
 *
 * Returns 0, -EINVAL (empty, keyfile too short, two different passphrases typed, more than one source), -EFBIG, -ENOKEY
 * (no source and no terminal, the command failed, or no such key), -EINTR (as xtsfs_terminal_ask()), -ENOMEM, -EPERM,
 * -EAGAIN (locked memory), or an error of open or read.
 */
xtsfs_must_check int xtsfs_source_read(const struct xtsfs_source *source, const char *prompt, bool confirm,
				       struct xtsfs_secret **ret_secret, bool *ret_is_keyfile, char *ret_problem,
				       size_t problem_bytes);

#endif
