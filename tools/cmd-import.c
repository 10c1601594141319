/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl import: a tree of this machine into a volume, verified, and then, if that is wanted, removed.
 *
 * Everything is copied with all that a volume can keep; what it cannot is told. A run that was ended is made again and
 * goes on: what has its own name in the volume is whole. The work is done in import-*.c.
 */
#include "cli-run.h"
#include "commands.h"
#include "import.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

static int result_code(const struct import *x)
{
	bool not_kept = false;

	for (unsigned i = 0; i < IMPORT_KINDS; i++)
		not_kept |= x->kept_not[i] > 0;
	if (x->results[IMPORT_DIFFERENT])
		return XTSFS_EXIT_DAMAGED;
	if (x->results[IMPORT_FAILED])
		return XTSFS_EXIT_IO;
	if (x->results[IMPORT_CONFLICT] && x->options->conflict != IMPORT_CONFLICT_SKIP)
		return XTSFS_EXIT_EXISTS;
	if (x->results[IMPORT_CHANGING])
		return XTSFS_EXIT_BUSY;
	if (x->results[IMPORT_STAYS])
		return XTSFS_EXIT_NOT_KEPT;
	return not_kept ? XTSFS_EXIT_NOT_KEPT : XTSFS_EXIT_OK;
}

/* An exit code. */
static int walk(struct import *x, enum import_phase phase)
{
	int r;

	if (phase == IMPORT_VERIFY) {
		x->progress.total_bytes = x->copied.bytes + x->same.bytes;
		x->progress.total_files = x->copied.files + x->same.files;
		x->progress.total_known = !x->options->verify_only;
		x->progress.bytes = x->progress.known_bytes = x->progress.files = 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &x->progress.start);
	r = import_walk(x, phase, x->options->destination);
	if (cli_interrupted)
		return cli_fail_exit(128 + (int)cli_interrupted, "interrupted; the same command goes on from here");
	if (r == -ENOENT || r == -ENOTDIR || r == -EINVAL)
		return cli_fail(r, "cannot import '%s' to '%s'", x->options->source, x->options->destination);
	if (r < 0)
		return cli_fail_exit(r == -ENOMEM ? XTSFS_EXIT_MEMORY : XTSFS_EXIT_IO,
				     "cannot go on with '%s': %s; the same command goes on from here",
				     x->options->source, xtsfs_strerror(r));
	return 0;
}

/* By now everything is durable: who is tired of the question may end the program. */
static bool is_removal_wanted(struct import *x)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	char answer[CLI_ANSWER_BYTES], bytes[16];

	if (x->options->yes)
		return true;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL);
	cli_say("%llu files with %s were compared, and are equal.", (unsigned long long)x->checked.files,
		xtsfs_format_size(x->checked.bytes, bytes));
	cli_ask("Remove them from the source now? [y/N] ", answer);
	cli_catch_signals();
	return cli_is_yes(answer);
}

static int remove_source(struct import *x)
{
	int code = result_code(x);

	if (code && code != XTSFS_EXIT_NOT_KEPT)
		return cli_fail_exit(0,
				     "nothing is removed from '%s', since not everything was imported and found equal",
				     x->options->source);
	return is_removal_wanted(x) ? walk(x, IMPORT_REMOVE) : 0;
}

static int run(struct import *x)
{
	int exit_code;

	if (x->options->dry_run)
		return walk(x, IMPORT_LOOK);
	if (x->options->verify_only)
		return walk(x, IMPORT_VERIFY);
	exit_code = walk(x, IMPORT_COPY);
	if (exit_code == 0)
		exit_code = x->target->ops->settle(x->target);
	if (exit_code == 0 && x->options->verify)
		exit_code = walk(x, IMPORT_VERIFY);
	if (exit_code == 0 && x->options->delete_source)
		exit_code = remove_source(x);
	return exit_code;
}

static int prepare(struct import *x)
{
	int r = xtsfs_random(&x->run_id, sizeof(x->run_id));

	x->said = import_set_new();
	x->not_equal = import_set_new();
	x->verified = import_set_new();
	x->inodes = import_set_new();
	if (r == 0 && (!x->said || !x->not_equal || !x->verified || !x->inodes))
		r = -ENOMEM;
	if (r < 0)
		return cli_fail(r, "cannot start");
	if (x->options->report) {
		x->report = fopen(x->options->report, "we");
		if (!x->report)
			return cli_fail(-errno, "cannot write '%s'", x->options->report);
	}
	return 0;
}

/* In the volume's directory there is ciphertext, of which more comes while it is copied. */
static bool is_in_target(const struct import_target *target, const char *source)
{
	xtsfs_auto_fd fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st, upper;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	for (;;) {
		int next;

		if (st.st_dev == target->dev && (target->ino == 0 || st.st_ino == target->ino))
			return true;
		next = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return false;
		close(fd);
		fd = next;
		if (fstat(fd, &upper) < 0 || (upper.st_dev == st.st_dev && upper.st_ino == st.st_ino))
			return false;
		st = upper;
	}
}

static int import(struct import_options *options, struct import_target *target)
{
	struct import x = {.options = options, .target = target, .is_root = geteuid() == 0};
	int exit_code, printed;

	if (is_in_target(target, options->source))
		return cli_fail_exit(XTSFS_EXIT_OTHER, "'%s' is in '%s' itself", options->source, options->volume);
	pthread_mutex_init(&x.say, NULL);
	pthread_mutex_init(&x.batch_mutex, NULL);
	verify_pace_init(&x.pace, options->rate);
	exit_code = prepare(&x);
	if (exit_code == 0) {
		cli_catch_signals();
		umask(0);
		exit_code = run(&x);
		exit_code = exit_code ? exit_code : result_code(&x);
		printed = import_summary(&x, options->volume, exit_code);
		exit_code = exit_code ? exit_code : printed;
	}
	if (x.report && (ferror(x.report) | fclose(x.report)))
		exit_code = cli_fail_exit(exit_code ? exit_code : XTSFS_EXIT_IO, "cannot write '%s'", options->report);
	import_set_free(x.said);
	import_set_free(x.not_equal);
	import_set_free(x.verified);
	import_set_free(x.inodes);
	free(x.batch);
	return exit_code;
}

struct words {
	const char *verify, *conflict;
};

static int check(const struct cli_verb *verb, const struct words *words, struct import_options *options)
{
	static const char *const conflicts[] = {"fail", "skip", "overwrite"};
	struct statvfs vfs;
	struct stat st;
	unsigned i = 0;

	while (i < 3 && strcmp(words->conflict, conflicts[i]) != 0)
		i++;
	if (i == 3)
		return cli_fail_usage(verb, "--conflict is fail, skip or overwrite, not '%s'", words->conflict);
	options->conflict = (enum import_conflict)i;
	if (strcmp(words->verify, "yes") != 0 && strcmp(words->verify, "no") != 0)
		return cli_fail_usage(verb, "--verify is yes or no, not '%s'", words->verify);
	options->verify = strcmp(words->verify, "yes") == 0;
	if (options->dry_run + options->verify_only + options->delete_source > 1)
		return cli_fail_usage(verb, "--dry-run, --verify-only and --delete-source exclude each other");
	if (options->delete_source && !options->verify)
		return cli_fail_usage(verb, "--delete-source needs --verify=yes");
	if (options->delete_source && !options->yes && (options->json || !isatty(STDIN_FILENO)))
		return cli_fail_usage(verb, "--delete-source without a terminal needs --yes");
	if (stat(options->source, &st) < 0)
		return cli_fail(-errno, "cannot read '%s'", options->source);
	if (!S_ISDIR(st.st_mode))
		return cli_fail(-ENOTDIR, "cannot read '%s'", options->source);
	if (options->delete_source && statvfs(options->source, &vfs) == 0 && (vfs.f_flag & ST_RDONLY))
		return cli_fail(-EROFS, "cannot remove anything from '%s'", options->source);
	return 0;
}

int cmd_import(const struct cli_verb *verb, int argc, char **argv)
{
	struct words words = {.verify = "yes", .conflict = "fail"};
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct import_options x = {0};
	bool no_progress = false;
	uint64_t threads = 0;
	const struct cli_option options[] = {
		{.name = "verify",
		 .argument = "yes|no",
		 .type = CLI_TEXT,
		 .value = &words.verify,
		 .help = "compare everything with the source afterwards,\nread from the disk (yes)"},
		{.name = "verify-only",
		 .type = CLI_FLAG,
		 .value = &x.verify_only,
		 .help = "import nothing, but compare"},
		{.name = "dry-run",
		 .letter = 'n',
		 .type = CLI_FLAG,
		 .value = &x.dry_run,
		 .help = "import nothing, but tell what would be, and what\ncannot be kept"},
		{.name = "conflict",
		 .argument = "fail|skip|overwrite",
		 .type = CLI_TEXT,
		 .value = &words.conflict,
		 .help = "where something else is in PATH: leave it and fail\nat the end (fail), or leave it, or "
			 "replace it"},
		{.name = "delete-source",
		 .type = CLI_FLAG,
		 .value = &x.delete_source,
		 .help = "at the end, when everything was found equal and is\ndurable: remove it from SOURCE"},
		{.name = "yes", .letter = 'y', .type = CLI_FLAG, .value = &x.yes, .help = "do not ask before that"},
		{.name = "one-file-system",
		 .letter = 'x',
		 .type = CLI_FLAG,
		 .value = &x.one_file_system,
		 .help = "leave out what is mounted below SOURCE"},
		{.name = "rate",
		 .argument = "SIZE",
		 .type = CLI_SIZE,
		 .value = &x.rate,
		 .min = 4096,
		 .max = UINT64_MAX,
		 .help = "read so many bytes in a second at most"},
		{.name = "report",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &x.report,
		 .help = "write what was not imported, not kept or differs to\nFILE, a JSON object on each line"},
		{.name = "threads",
		 .argument = "N",
		 .type = CLI_NUMBER,
		 .value = &threads,
		 .min = 1,
		 .max = 256,
		 .help = "work with N threads (one for each processor)"},
		{.name = "json", .type = CLI_FLAG, .value = &x.json, .help = "print JSON"},
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
	struct import_target target;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 2, 3, &arguments, &exit_code))
		return exit_code;
	x.volume = arguments[0];
	x.source = arguments[1];
	x.destination = arguments[2] ? arguments[2] : "/";
	x.threads = threads ? (unsigned)threads : processors > 256 ? 256 : processors > 0 ? (unsigned)processors : 1;
	x.progress = !no_progress && (x.progress || (!x.quiet && isatty(STDERR_FILENO)));
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0)
		exit_code = check(verb, &words, &x);
	if (exit_code)
		return exit_code;
	if (import_is_mount(x.volume))
		exit_code = import_mount_open(x.volume, x.dry_run || x.verify_only, &target);
	else
		exit_code = import_volume_open(x.volume, &unlock, x.dry_run || x.verify_only, &target);
	if (exit_code == 0)
		exit_code = import(&x, &target);
	target.ops->done(&target);
	return cli_end_by_signal(exit_code);
}
