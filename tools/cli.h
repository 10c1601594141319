/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all verbs of xtsfsctl share: the table's row, options, error sentences, output.
 *
 * Layer:   tools (may include core/ and below, never fuse/).
 * Threads: the main thread.
 *
 * Conventions: a function that returns "an exit code" has already told the user why when it is not 0.
 */
#ifndef XTSFS_TOOLS_CLI_H
#define XTSFS_TOOLS_CLI_H

#include "base/errors.h"
#include "base/exit-codes.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A row of the table in xtsfsctl.c, or of the table of a verb that has verbs of its own. */
struct cli_verb {
	const char *name;						/* "init", "slot add" */
	int (*run)(const struct cli_verb *verb, int argc, char **argv); /* argv[0] is the verb; an exit code */
	const char *summary;						/* one line */
	const char *usage;						/* "[OPTION]... DIR" */
	int usage_exit;		      /* for a wrong command line; 0: XTSFS_EXIT_USAGE */
	const struct cli_verb *verbs; /* its own verbs, for cli_dispatch(), or NULL */
	const char *notes;	      /* for --help, behind the options, or NULL */
};

enum cli_type {
	CLI_FLAG,   /* bool: true when given */
	CLI_TEXT,   /* const char * */
	CLI_NUMBER, /* uint64_t, min to max */
	CLI_SIZE,   /* uint64_t of bytes, with the suffixes k, M, G, T */
	CLI_FD,	    /* int, 0 or more */
};

/* Ends with a row without a name. The value is untouched unless the option is given; the last one given counts. */
struct cli_option {
	const char *name;     /* "passfile" */
	char letter;	      /* 'h', or 0 */
	const char *argument; /* "FILE"; NULL for a flag */
	enum cli_type type;
	void *value;
	uint64_t min, max;
	const char *help; /* one line, or lines */
};
#define CLI_NAME "xtsfsctl"
#define CLI_END              \
	{                    \
		.name = NULL \
	}
#define CLI_UNSET UINT64_MAX /* to begin a CLI_NUMBER or CLI_SIZE with, where 0 means something */

/** Standard descriptors, hardening, the name that messages begin with. 0 or an exit code. */
xtsfs_must_check int cli_init(const char *program);
/** Write out what stdout holds. @exit_code, or that of the failure to write. */
int cli_finish(int exit_code);
const char *cli_program(void);
/** The words that lead to the verb: "xtsfsctl init", but "mkfs.xtsfs". @ret_text: any room. */
const char *cli_command(const struct cli_verb *verb, char *ret_text, size_t room);

/**
 * Parse the options; --help and -h are there for every verb. What is left must be @min to @max arguments.
 * Returns true to go on with *@ret_arguments (terminated by NULL; of @argv). Else *@ret_exit is the exit code.
 */
xtsfs_must_check bool cli_parse(const struct cli_verb *verb, int argc, char **argv, const struct cli_option *options,
				int min, int max, char ***ret_arguments, int *ret_exit);
/** Run the row of verb->verbs (ended by one without a name) whose last word argv[1] is. */
int cli_dispatch(const struct cli_verb *verb, int argc, char **argv);

/** "PROGRAM: text: reason of @error", one line, escaped. Returns the exit code of @error. */
__attribute__((format(printf, 2, 3))) int cli_fail(int error, const char *format, ...);
/** "PROGRAM: text". Returns @exit_code. */
__attribute__((format(printf, 2, 3))) int cli_fail_exit(int exit_code, const char *format, ...);
/** A wrong command line, with a hint at --help. Returns its exit code for this verb. */
__attribute__((format(printf, 2, 3))) int cli_fail_usage(const struct cli_verb *verb, const char *format, ...);

/** A line on stdout, escaped like the messages; no line feed needed. */
__attribute__((format(printf, 1, 2))) void cli_say(const char *format, ...);
/** Prints and releases @object; NULL is want of memory. An exit code. */
xtsfs_must_check int cli_print_json(json_object *object);
/** Adds @value (released on failure too). false for want of memory, or if @object or @value is NULL. */
bool cli_json_add(json_object *object, const char *name, json_object *value);

#endif
