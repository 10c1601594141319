/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ask for a secret at the terminal.
 *
 * Layer:   base.
 * Threads: one at a time; other threads should not run yet, signals are taken over while the question stands.
 * Secrets: what is typed goes from the kernel into the secret and nowhere else.
 */
#ifndef XTSFS_BASE_TERMINAL_H
#define XTSFS_BASE_TERMINAL_H

#include "base/secret.h"

/* Bytes. The terminal driver keeps 4095 of a line and drops the rest without a word, so one of 4095 may have been
 * longer.
 */
#define XTSFS_TERMINAL_LINE_MAX 4094U

/**
 * Write "@prompt: " to the controlling terminal and read a line without echo. @ret_secret: the line without its line
 * feed, bytes may be 0. A signal that ends or stops the program does so after the terminal is as it was; continued, the
 * question is asked again.
 *
 * Returns 0, -ENOKEY (no terminal), -EFBIG (longer than a line can be), -EINTR (a signal that the program handles
 * came), -EIO, or what xtsfs_secret_new() gives.
 */
xtsfs_must_check int xtsfs_terminal_ask(const char *prompt, struct xtsfs_secret **ret_secret);

#endif
