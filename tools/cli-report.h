/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What verbs that copy trees tell: progress on a terminal, and the list of what went wrong, for programs.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_CLI_REPORT_H
#define XTSFS_TOOLS_CLI_REPORT_H

#include "cli.h"

#include <stdio.h>
#include <time.h>

struct cli_progress {
	struct timespec start;	     /* CLOCK_MONOTONIC */
	uint64_t bytes, known_bytes; /* read; passed over, since they are there */
	uint64_t files;		     /* of both sorts */
	uint64_t total_bytes, total_files;
	bool total_known;
};
/** One line on standard error, over the last one. */
void cli_progress_show(const struct cli_progress *progress);
void cli_progress_clear(void);

/** One JSON object on a line of @file (NULL: none). @kind, @reason, @offset and @bytes may be NULL. */
void cli_report_line(FILE *file, const char *what, const char *kind, const char *path, const char *reason,
		     const uint64_t *offset, const uint64_t *bytes);

#endif
