/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What verbs share that run for long: an end by a signal, time, the members of a report.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_CLI_RUN_H
#define XTSFS_TOOLS_CLI_RUN_H

#include "cli.h"

#include <signal.h>
#include <time.h>

/* The signal that asked for the end, or 0. */
extern volatile sig_atomic_t cli_interrupted;
/** From now on SIGINT, SIGTERM and SIGHUP are noted, and end nothing by themselves. */
void cli_catch_signals(void);
/** End by the signal that was caught, if one was; else @exit_code. */
int cli_end_by_signal(int exit_code);

/* Questions at a terminal whose answers are no secrets. */
#define CLI_ANSWER_BYTES 4096
/** The answer, without its line feed; "" at the end of the input. */
const char *cli_ask(const char *question, char ret_answer[static CLI_ANSWER_BYTES]);
bool cli_is_yes(const char *answer);

/** Since @start of CLOCK_MONOTONIC. */
double cli_seconds_since(const struct timespec *start);
/** Now, RFC 3339 in UTC; "" if there is no clock. */
char *cli_format_now(char ret_text[static 32]);

/** Add members; false for want of memory. Text is escaped: JSON is UTF-8, and names need not be. */
bool cli_json_add_text(json_object *object, const char *name, const char *text);
bool cli_json_add_count(json_object *object, const char *name, uint64_t count);

#endif
