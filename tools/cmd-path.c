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

static int map(struct cli_fs *fs, const char *path, bool to_plain, bool zero)
{
	char *mapped;
	int r = to_plain ? xtsfs_path_to_plain(fs->fs, path, &mapped) : xtsfs_path_to_backing(fs->fs, path, &mapped);

	if (r < 0)
		return cli_fail(r, "cannot map '%s'", path);
	/* As it is: other programs read it. */
	printf("%s%c", mapped, zero ? '\0' : '\n');
	free(mapped);
	return 0;
}

/* Paths on stdin, one a line, or ended by NUL. */
static int map_input(struct cli_fs *fs, bool to_plain, bool zero)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int exit_code = 0;

	while ((n = getdelim(&line, &room, zero ? '\0' : '\n', stdin)) > 0) {
		int one;

		if (line[n - 1] == (zero ? '\0' : '\n'))
			line[n - 1] = '\0';
		one = map(fs, line, to_plain, zero);
		if (one)
			exit_code = one;
	}
	free(line);
	return exit_code;
}

int cmd_path(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	bool to_plain = false, zero = false, input = false;
	const struct cli_option options[] = {
		{.name = "plain",
		 .letter = 'p',
		 .type = CLI_FLAG,
		 .value = &to_plain,
		 .help = "the other way: PATHs are of the backing directory"},
		{.name = "stdin",
		 .type = CLI_FLAG,
		 .value = &input,
		 .help = "read PATHs from standard input, one a line"},
		{.name = "null",
		 .letter = '0',
		 .type = CLI_FLAG,
		 .value = &zero,
		 .help = "paths end with a NUL byte, in and out"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	struct cli_fs fs;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 4096, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && !arguments[1] && !input)
		exit_code = cli_fail_usage(verb, "no PATH is given");
	if (exit_code)
		return exit_code;
	exit_code = cli_fs_open(arguments[0], &unlock, true, false, &fs);
	if (exit_code == 0) {
		for (char **path = arguments + 1; *path; path++) {
			int one = map(&fs, *path, to_plain, zero);

			if (one)
				exit_code = one;
		}
		if (input) {
			int one = map_input(&fs, to_plain, zero);

			exit_code = exit_code ? exit_code : one;
		}
	}
	cli_fs_done(&fs);
	return exit_code;
}
