/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl verify: is everything in a volume as it was written?
 *
 * What fsck would find, without what fsck may do about it: it takes no lock, so it works beside a mount, on read-only
 * media and on copies; it yields to everybody else; and it can be ended and gone on with. What is being written is
 * looked at again before it is told as damage (verify-look.c).
 */
#include "cli-run.h"
#include "commands.h"
#include "verify.h"

#include "base/log.h"

#include <string.h>
#include <unistd.h>

struct request {
	struct verify_listing listing;
	bool quiet, progress, no_progress;
	uint64_t rate, threads;
	const char *state, *priority, *manifest, *previous;
	struct cli_unlock unlock;
};

static int open_state(struct verify_run *run, const char *path)
{
	int r = verify_state_open(path, run->volume->conf->config->uuid, &run->state, &run->resumed);

	switch (r) {
	case 0:
		return 0;
	case -EPROTO:
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' is no state of verify, refusing to write to it", path);
	case -EXDEV:
		return cli_fail_exit(XTSFS_EXIT_OTHER_VOLUME, "'%s' is the state for another volume", path);
	case -EWOULDBLOCK:
		return cli_fail_exit(XTSFS_EXIT_BUSY, "'%s' is in use by another run", path);
	default:
		return cli_fail(r, "cannot use the state '%s'", path);
	}
}

static int exit_code_of(const struct verify_run *run)
{
	return run->diff.count || verify_count(run, VERIFY_DAMAGED) ? XTSFS_EXIT_DAMAGED
	       : verify_count(run, VERIFY_UNREAD)		    ? XTSFS_EXIT_IO
	       : verify_count(run, VERIFY_UNSETTLED)		    ? XTSFS_EXIT_BUSY
								    : XTSFS_EXIT_OK;
}

/* First, since a manifest that is no good is known at once, and all the rest takes long. */
static int compare(const struct request *request, struct verify_run *run)
{
	struct xtsfs_volume_params params = {.read_only = true, .peek = true};
	char problem[512];
	int exit_code, r = xtsfs_volume_open(run->volume->store, run->volume->conf->config, run->volume->volume_key,
					     &params, &run->fs, problem, sizeof(problem));

	if (r < 0)
		return cli_fail_exit(xtsfs_exit_code(r), "cannot open '%s': %s", run->volume->dir,
				     problem[0] ? problem : xtsfs_strerror(r));
	run->has_manifest = true;
	exit_code = manifest_compare(run->fs, request->manifest, &run->diff);
	if (exit_code == 0 && request->previous)
		exit_code = manifest_find_back(run->fs, request->previous, &run->diff);
	return exit_code;
}

static int verify(const struct request *request, struct cli_volume *volume)
{
	struct verify_run run = {.volume = volume, .threads = (unsigned)request->threads, .quiet = request->quiet};
	int r, exit_code = request->state ? open_state(&run, request->state) : 0;

	if (exit_code)
		return exit_code;
	if (strcmp(request->priority, "idle") == 0)
		verify_pace_yield();
	verify_pace_init(&run.pace, request->rate);
	run.progress = request->progress || (!request->no_progress && !request->quiet && isatty(STDERR_FILENO));
	exit_code = request->manifest ? compare(request, &run) : 0;
	cli_catch_signals();
	if (exit_code == 0)
		exit_code = verify_look(&run);
	if (exit_code == 0)
		exit_code = verify_tell(&run, &request->listing, exit_code_of(&run));
	else
		verify_clear_progress(&run);
	r = verify_state_close(run.state, (exit_code == 0 || exit_code == XTSFS_EXIT_DAMAGED) && !run.totals.cancelled);
	if (r < 0)
		cli_fail(r, "cannot write the state '%s'; the next run begins anew", request->state);
	if (run.totals.cancelled && request->state && r == 0)
		cli_fail_exit(0, "interrupted; the same command goes on from here");
	verify_free(&run);
	manifest_diff_done(&run.diff);
	(void)xtsfs_volume_close(run.fs); /* read-only: nothing to say */
	return exit_code;
}

int cmd_verify(const struct cli_verb *verb, int argc, char **argv)
{
	struct request q = {.priority = "idle", .unlock = CLI_UNLOCK_NONE};
	struct cli_volume volume = CLI_VOLUME_NONE;
	const struct cli_option options[] = {
		{.name = "state",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &q.state,
		 .help = "keep in FILE what was found good, and go on there\nif an earlier run was ended"},
		{.name = "manifest",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &q.manifest,
		 .help = "also compare with a manifest"},
		{.name = "previous",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &q.previous,
		 .help = "with --manifest: an earlier one, to tell what was\nput back"},
		{.name = "rate",
		 .argument = "SIZE",
		 .type = CLI_SIZE,
		 .value = &q.rate,
		 .min = 4096,
		 .max = UINT64_MAX,
		 .help = "read so many bytes in a second at most"},
		{.name = "priority",
		 .argument = "idle|normal",
		 .type = CLI_TEXT,
		 .value = &q.priority,
		 .help = "of I/O and processors (idle)"},
		{.name = "threads",
		 .argument = "N",
		 .type = CLI_NUMBER,
		 .value = &q.threads,
		 .min = 1,
		 .max = 256,
		 .help = "look with N threads (one for each processor)"},
		{.name = "cipher",
		 .type = CLI_FLAG,
		 .value = &q.listing.cipher,
		 .help = "list paths of the volume's directory"},
		{.name = "null",
		 .letter = '0',
		 .type = CLI_FLAG,
		 .value = &q.listing.zero,
		 .help = "paths end with a NUL byte"},
		{.name = "json", .type = CLI_FLAG, .value = &q.listing.json, .help = "print JSON"},
		{.name = "progress", .type = CLI_FLAG, .value = &q.progress, .help = "show progress on standard error"},
		{.name = "no-progress",
		 .type = CLI_FLAG,
		 .value = &q.no_progress,
		 .help = "not even where that is a terminal"},
		{.name = "quiet",
		 .letter = 'q',
		 .type = CLI_FLAG,
		 .value = &q.quiet,
		 .help = "no messages on findings"},
		CLI_SOURCE_OPTIONS(q.unlock),
		CLI_SLOT_OPTION(q.unlock),
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	if (strcmp(q.priority, "idle") != 0 && strcmp(q.priority, "normal") != 0)
		return cli_fail_usage(verb, "--priority is idle or normal, not '%s'", q.priority);
	if (q.previous && !q.manifest)
		return cli_fail_usage(verb, "--previous is of use with --manifest only");
	exit_code = cli_unlock_check(verb, &q.unlock);
	if (exit_code)
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_READ, &volume);
	xtsfs_log_set_level(XTSFS_LOG_ERROR); /* from here on the findings say it */
	if (exit_code == 0)
		exit_code = cli_volume_refuse_reverse(&volume);
	if (exit_code == 0)
		exit_code = cli_volume_unlock(&volume, &q.unlock);
	if (exit_code == 0)
		exit_code = verify(&q, &volume);
	cli_volume_done(&volume);
	return cli_end_by_signal(exit_code);
}
