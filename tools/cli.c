/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages and start of the administration program.
 *
 * Messages are one line of one write, as the log's are (base/log.c), but without a level: "xtsfsctl: cannot open 'x':
 * no such file or directory". The text is formatted as a whole and escaped as a whole, so a name with a line feed or an
 * escape sequence in it can neither forge a second line nor talk to the terminal. The same goes for lines of facts on
 * standard output, where text of xtsfs.conf is shown before anything vouches for it.
 *
 * A descriptor 0, 1 or 2 that is closed at the start gets /dev/null: otherwise the first file opened would get its
 * number, and a message would be written into it.
 *
 * State: the program's name, set once.
 */
#include "cli.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_BYTES 64

static const char *program = CLI_NAME;

const char *cli_program(void)
{
	return program;
}

const char *cli_command(const struct cli_verb *verb, char *ret_text, size_t room)
{
	bool own_name = strcmp(program, CLI_NAME) == 0;

	snprintf(ret_text, room, "%s%s%s", program, own_name && verb->name[0] ? " " : "", own_name ? verb->name : "");
	return ret_text;
}

static int ensure_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

int cli_init(const char *name)
{
	int r = xtsfs_process_harden();

	program = name;
	if (r == 0)
		r = ensure_standard_descriptors();
	xtsfs_log_init(name);
	return r < 0 ? cli_fail(r, "cannot start") : 0;
}

int cli_finish(int exit_code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	cli_fail_exit(XTSFS_EXIT_IO, "cannot write to standard output");
	return exit_code ? exit_code : XTSFS_EXIT_IO;
}

/* @format and @args escaped, in memory of its own; NULL for want of it. */
__attribute__((format(printf, 1, 0))) static char *format_escaped(const char *format, va_list args)
{
	xtsfs_auto_free char *text = NULL;
	char *escaped;
	int n = vasprintf(&text, format, args);

	if (n < 0) {
		text = NULL;
		return NULL;
	}
	escaped = malloc((size_t)n * XTSFS_ESCAPE_FACTOR + 1);
	if (escaped)
		xtsfs_text_escape(text, (size_t)n, /* backslash= */ false, escaped);
	return escaped;
}

__attribute__((format(printf, 2, 0))) static void write_message(const char *reason, const char *format, va_list args)
{
	xtsfs_auto_free char *escaped = format_escaped(format, args);

	fflush(stdout); /* so that facts and messages keep their order on a terminal */
	dprintf(STDERR_FILENO, "%s: %s%s%s\n", program, escaped ? escaped : xtsfs_strerror(ENOMEM), reason ? ": " : "",
		reason ? reason : "");
}

int cli_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_message(xtsfs_strerror(error), format, args);
	va_end(args);
	return (int)xtsfs_exit_code(error);
}

int cli_fail_exit(int exit_code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_message(NULL, format, args);
	va_end(args);
	return exit_code;
}

int cli_fail_usage(const struct cli_verb *verb, const char *format, ...)
{
	char command[COMMAND_BYTES];
	va_list args;

	va_start(args, format);
	write_message(NULL, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "Try '%s --help'.\n", cli_command(verb, command, sizeof(command)));
	return verb->usage_exit ? verb->usage_exit : XTSFS_EXIT_USAGE;
}

void cli_say(const char *format, ...)
{
	xtsfs_auto_free char *escaped = NULL;
	va_list args;

	va_start(args, format);
	escaped = format_escaped(format, args);
	va_end(args);
	puts(escaped ? escaped : xtsfs_strerror(ENOMEM));
}

int cli_print_json(json_object *object)
{
	const char *text = NULL;

	if (object)
		text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		puts(text);
	json_object_put(object);
	return text ? 0 : cli_fail(-ENOMEM, "cannot print");
}

bool cli_json_add(json_object *object, const char *name, json_object *value)
{
	if (object && value && json_object_object_add(object, name, value) == 0)
		return true;
	json_object_put(value);
	return false;
}
