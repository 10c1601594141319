/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl tar out, tar in: plaintext tar streams out of and into a volume, without a mount.
 */
#include "commands.h"
#include "tar.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tar_failed(struct tar *tar, int error, const char *what, const char *path)
{
	tar->failures++;
	(void)cli_fail(error, "cannot %s '%s'", what, path);
}

void tar_not_kept(struct tar *tar, int error, const char *what, const char *path)
{
	tar->not_kept++;
	(void)cli_fail(error, "cannot keep %s '%s'", what, path);
}

/* libarchive knows names by a character set; what is not UTF-8 it passes on as it is. */
static int begin(struct tar *tar)
{
	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* NOLINT(concurrency-mt-unsafe): before any thread */
	tar->chunk = malloc(TAR_CHUNK);
	return tar->chunk ? 0 : cli_fail(-ENOMEM, "cannot start");
}

static void end(struct tar *tar)
{
	if (tar->chunk)
		explicit_bzero(tar->chunk, TAR_CHUNK);
	free(tar->chunk);
}

static int exit_code_of(const struct tar *tar, int exit_code)
{
	if (exit_code)
		return exit_code;
	return tar->failures ? XTSFS_EXIT_IO : tar->not_kept ? XTSFS_EXIT_NOT_KEPT : 0;
}

static int cmd_tar_out(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct tar tar = {0};
	bool salvage = false;
	const struct cli_option options[] = {
		{.name = "salvage",
		 .type = CLI_FLAG,
		 .value = &salvage,
		 .help = "give out what decrypts, authentic or not"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	struct cli_fs fs = CLI_FS_NONE;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 4096, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && isatty(STDOUT_FILENO))
		exit_code = cli_fail_usage(verb, "standard output is a terminal");
	if (exit_code == 0)
		exit_code = begin(&tar);
	if (exit_code)
		return exit_code;
	exit_code = cli_fs_open(arguments[0], &unlock, false, salvage, &fs);
	if (exit_code == 0) {
		tar.fs = fs.fs;
		exit_code = exit_code_of(&tar, tar_out(&tar, arguments + 1));
	}
	cli_fs_done(&fs);
	end(&tar);
	return exit_code;
}

static int cmd_tar_in(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct tar_in_options how = {0};
	struct tar tar = {0};
	bool quiet = false;
	const struct cli_option options[] = {
		{.name = "overwrite",
		 .type = CLI_FLAG,
		 .value = &how.overwrite,
		 .help = "put what comes in the place of what exists"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "no summary"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	struct cli_fs fs = CLI_FS_NONE;
	char **arguments;
	int exit_code, closed;

	if (!cli_parse(verb, argc, argv, options, 1, 2, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && unlock.source.passfile && strcmp(unlock.source.passfile, "-") == 0)
		exit_code = cli_fail_usage(verb, "standard input is the stream, and cannot have the passphrase");
	if (exit_code == 0 && isatty(STDIN_FILENO))
		exit_code = cli_fail_usage(verb, "standard input is a terminal");
	if (exit_code == 0)
		exit_code = begin(&tar);
	if (exit_code)
		return exit_code;
	exit_code = cli_fs_open_writable(arguments[0], &unlock, &fs);
	if (exit_code == 0) {
		tar.fs = fs.fs;
		umask(0);
		exit_code = exit_code_of(&tar, tar_in(&tar, arguments[1] ? arguments[1] : "", &how));
		closed = cli_fs_close(&fs);
		exit_code = exit_code ? exit_code : closed;
		if (!quiet)
			cli_say("Took %llu things with %llu bytes; %llu could not be taken.",
				(unsigned long long)tar.things, (unsigned long long)tar.plain_bytes,
				(unsigned long long)tar.failures);
	}
	cli_fs_done(&fs);
	end(&tar);
	return exit_code;
}

const struct cli_verb cli_tar_verbs[] = {
	{"tar out", cmd_tar_out, "Write trees to standard output as a tar stream", "[OPTION]... DIR [PATH]..."},
	{"tar in", cmd_tar_in, "Put a tar stream from standard input below PATH", "[OPTION]... DIR [PATH]"},
	{.name = NULL},
};
