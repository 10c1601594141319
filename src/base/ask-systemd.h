/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ask for a secret through systemd's password agents: on the console, in plymouth, or wherever somebody watches.
 *
 * Layer:   base.
 * Threads: before other threads run: a child is started.
 * Secrets: the answer comes by a pipe; the question has none.
 */
#ifndef XTSFS_BASE_ASK_SYSTEMD_H
#define XTSFS_BASE_ASK_SYSTEMD_H

#include "base/errors.h"

#include <sys/types.h>

#define XTSFS_ASK_PROGRAM "systemd-ask-password"

/** NULL if agents can be asked, else why not: systemd does not run, or there is no program for it. */
const char *xtsfs_ask_systemd_missing(void);
/**
 * Start the program that asks @prompt (without a colon). @id: what for, for agents to know it again; may be NULL.
 * 0 or -errno. *@ret_output: what it writes there is the answer and a line feed; then it is to be waited for.
 */
xtsfs_must_check int xtsfs_ask_systemd_start(const char *prompt, const char *id, int *ret_output, pid_t *ret_pid);

#endif
