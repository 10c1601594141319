/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl extract: a tree of a volume to a directory of this machine, without a mount.
 *
 * What cannot be read is named, and everything else is copied: content with its holes, symlinks, hard links, special
 * files, modes, times, extended attributes and ACLs, and as root owners. The work is done in extract-*.c.
 */
#include "cli-fs.h"
#include "commands.h"
#include "extract.h"

#include "base/cleanup.h"
#include "core/path.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void interrupt(int signal)
{
	extract_interrupted = signal;
}

static void catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
}

/* The directory that TARGET is in, open, and its last component. An exit code. */
static int open_target(const struct extract_options *options, const char *target, int *ret_fd, char ret_name[256])
{
	xtsfs_auto_free char *copy = strdup(target);
	size_t bytes = copy ? strlen(copy) : 0;
	struct stat st;
	char *slash, *name;

	if (!copy)
		return cli_fail(-ENOMEM, "cannot start");
	while (bytes > 1 && copy[bytes - 1] == '/')
		copy[--bytes] = '\0';
	slash = strrchr(copy, '/');
	name = slash ? slash + 1 : copy;
	if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' exists already; give a name that is to be made", target);
	if (strlen(name) > 255)
		return cli_fail(-ENAMETOOLONG, "cannot make '%s'", target);
	strcpy(ret_name, name);
	if (slash)
		slash[slash == copy] = '\0'; /* "/name" is in "/" */
	*ret_fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return cli_fail(-errno, "cannot make '%s'", target);
	if (!options->resume && fstatat(*ret_fd, ret_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		close(*ret_fd);
		return cli_fail_exit(XTSFS_EXIT_EXISTS,
				     "'%s' exists already; --resume goes on with what an earlier run has begun",
				     target);
	}
	return 0;
}

static int exit_code_of(struct extraction *x, const char *target, int fatal)
{
	bool not_kept = false;

	if (fatal < 0)
		return cli_fail_exit(fatal == -ENOMEM ? XTSFS_EXIT_MEMORY : XTSFS_EXIT_IO,
				     "cannot go on with '%s': %s; --resume goes on from here", target,
				     xtsfs_strerror(fatal));
	for (unsigned i = 0; i < EXTRACT_KINDS; i++)
		not_kept |= x->kept_not[i] > 0;
	return x->failures || x->damaged ? XTSFS_EXIT_IO : not_kept ? XTSFS_EXIT_NOT_KEPT : XTSFS_EXIT_OK;
}

static int extract(struct cli_fs *fs, const struct extract_options *options, const char *path, const char *target,
		   int fd, const char *name)
{
	struct extraction x = {.fs = fs->fs, .options = options, .is_root = geteuid() == 0};
	struct xtsfs_node *node;
	struct stat st;
	int exit_code, r = xtsfs_random(&x.run_id, sizeof(x.run_id));

	if (r == 0 && options->report) {
		x.report = fopen(options->report, "we");
		if (!x.report) {
			close(fd);
			return cli_fail(-errno, "cannot write '%s'", options->report);
		}
	}
	if (r == 0)
		r = xtsfs_path_lookup(fs->fs, path, &node, &st);
	if (r < 0) {
		close(fd);
		if (x.report)
			(void)fclose(x.report);
		return cli_fail_inside(r, "cannot extract '%s'", path);
	}
	catch_signals();
	umask(0);
	r = extract_run(&x, path, node, &st, fd, name);
	if (extract_interrupted) {
		cli_fail_exit(0, "interrupted; --resume goes on from here");
		exit_code = 128 + extract_interrupted;
	} else {
		exit_code = exit_code_of(&x, target, r);
	}
	if (!options->quiet)
		extract_summary(&x, target);
	if (x.report && (ferror(x.report) | fclose(x.report)))
		exit_code = cli_fail_exit(exit_code ? exit_code : XTSFS_EXIT_IO, "cannot write '%s'", options->report);
	return exit_code;
}

int cmd_extract(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct extract_options x = {0};
	bool salvage = false, no_progress = false;
	uint64_t threads = 0;
	const struct cli_option options[] = {
		{.name = "resume",
		 .type = CLI_FLAG,
		 .value = &x.resume,
		 .help = "TARGET exists: go on with what an earlier run has\nbegun; what differs is written anew"},
		{.name = "verify",
		 .type = CLI_FLAG,
		 .value = &x.verify,
		 .help = "with --resume: compare the content of what is\nthere, and not only size and time"},
		{.name = "salvage",
		 .type = CLI_FLAG,
		 .value = &salvage,
		 .help = "give out what decrypts, authentic or not"},
		{.name = "report",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &x.report,
		 .help = "write what could not be had or kept to FILE, a\nJSON object on each line"},
		{.name = "threads",
		 .argument = "N",
		 .type = CLI_NUMBER,
		 .value = &threads,
		 .min = 1,
		 .max = 256,
		 .help = "copy with N threads (one for each processor)"},
		{.name = "progress", .type = CLI_FLAG, .value = &x.progress, .help = "show progress on standard error"},
		{.name = "no-progress",
		 .type = CLI_FLAG,
		 .value = &no_progress,
		 .help = "not even where that is a terminal"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &x.quiet, .help = "no summary"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct cli_fs fs;
	char **arguments, name[256];
	int exit_code, fd = -1;

	if (!cli_parse(verb, argc, argv, options, 3, 3, &arguments, &exit_code))
		return exit_code;
	if (x.verify && !x.resume)
		return cli_fail_usage(verb, "--verify is of use with --resume only");
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0)
		exit_code = open_target(&x, arguments[2], &fd, name);
	if (exit_code)
		return exit_code;
	x.threads = threads ? (unsigned)threads : processors > 256 ? 256 : processors > 0 ? (unsigned)processors : 1;
	x.progress = !no_progress && (x.progress || (!x.quiet && isatty(STDERR_FILENO)));
	exit_code = cli_fs_open(arguments[0], &unlock, false, salvage, &fs);
	if (exit_code == 0)
		exit_code = extract(&fs, &x, arguments[1], arguments[2], fd, name);
	else
		close(fd);
	cli_fs_done(&fs);
	if (extract_interrupted) {
		fflush(stdout);
		(void)signal(extract_interrupted, SIG_DFL);
		(void)raise(extract_interrupted);
	}
	return exit_code;
}
