/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl path: where a file is in the backing directory, and back. Works beside a mount.
 */
#include "cli-fs.h"
#include "commands.h"

#include "core/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mapping {
	struct cli_fs fs;
	bool to_plain, belonging, zero;
	int exit_code; /* of the first path that could not be mapped */
};

/* As it is: other programs read it. */
static int print(void *data, const char *path)
{
	const struct mapping *mapping = data;

	return printf("%s%c", path, mapping->zero ? '\0' : '\n') < 0 ? -EIO : 0;
}

static void map(struct mapping *mapping, const char *path)
{
	struct xtsfs_volume *volume = mapping->fs.fs;
	char *mapped = NULL;
	int r, exit_code;

	if (mapping->to_plain)
		r = xtsfs_path_to_plain(volume, path, mapping->belonging, &mapped);
	else if (mapping->belonging)
		r = xtsfs_path_belongings(volume, path, print, mapping);
	else
		r = xtsfs_path_to_backing(volume, path, &mapped);
	if (r == 0 && mapped)
		r = print(mapping, mapped);
	free(mapped);
	exit_code = r < 0 ? cli_fail(r, "cannot map '%s'", path) : 0;
	if (mapping->exit_code == 0)
		mapping->exit_code = exit_code;
}

/* Paths on stdin, one a line, or ended by NUL. */
static void map_input(struct mapping *mapping)
{
	char *line = NULL, end = mapping->zero ? '\0' : '\n';
	size_t room = 0;
	ssize_t n;

	while ((n = getdelim(&line, &room, end, stdin)) > 0) {
		if (line[n - 1] == end)
			line[n - 1] = '\0';
		map(mapping, line);
	}
	free(line);
}

int cmd_path(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct mapping mapping = {0};
	bool input = false;
	const struct cli_option options[] = {
		{.name = "plain",
		 .letter = 'p',
		 .type = CLI_FLAG,
		 .value = &mapping.to_plain,
		 .help = "the other way: PATHs are of the backing directory"},
		{.name = "all",
		 .letter = 'a',
		 .type = CLI_FLAG,
		 .value = &mapping.belonging,
		 .help = "everything that is needed to read PATH, and with\n--plain what a PATH of xtsfs' own belongs "
			 "to"},
		{.name = "stdin",
		 .type = CLI_FLAG,
		 .value = &input,
		 .help = "read PATHs from standard input, one a line"},
		{.name = "null",
		 .letter = '0',
		 .type = CLI_FLAG,
		 .value = &mapping.zero,
		 .help = "paths end with a NUL byte, in and out"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 4096, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && !arguments[1] && !input)
		exit_code = cli_fail_usage(verb, "no PATH is given");
	if (exit_code)
		return exit_code;
	exit_code = cli_fs_open(arguments[0], &unlock, true, false, &mapping.fs);
	if (exit_code == 0) {
		for (char **path = arguments + 1; *path; path++)
			map(&mapping, *path);
		if (input)
			map_input(&mapping);
		exit_code = mapping.exit_code;
	}
	cli_fs_done(&mapping.fs);
	return exit_code;
}
