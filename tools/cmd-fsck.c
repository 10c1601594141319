/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl fsck, fsck.xtsfs: check a volume and repair it.
 *
 * Without --repair nothing is written, not even an access time. Findings are one line each on standard output as they
 * come, in no particular order, since several threads look; --json gives one document at the end. The progress line
 * goes to standard error, where that is a terminal.
 *
 * Exit codes are those of fsck(8), a sum: 1 something was repaired, 4 something is left (or would have been repaired),
 * 8 something could not be looked at, or the volume not opened, 16 wrong usage, 32 cancelled. Infos change nothing.
 */
#include "cli-run.h"
#include "cli-volume.h"
#include "commands.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "core/fsck.h"
#include "core/replace.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fsck_request {
	bool repair, yes, preen, automatic; /* all of them: repair */
	bool dry_run, no_changes;	    /* both: do not */
	bool salvage, zero, json, quiet, verbose, progress, no_progress, version, force;
	uint64_t threads, completion_fd;
	struct cli_unlock unlock;
};

/* What the callbacks need. */
struct fsck_output {
	const struct fsck_request *request;
	json_object *findings; /* with --json */
	bool progress, no_memory;
	struct timespec start;
};

static bool add_finding(json_object *findings, const struct xtsfs_fsck_finding *finding)
{
	json_object *object = json_object_new_object();
	bool good = object && cli_json_add_text(object, "severity", xtsfs_fsck_severity_name(finding->severity)) &&
		    cli_json_add_text(object, "code", finding->code) &&
		    cli_json_add_text(object, "path", finding->path) &&
		    cli_json_add_text(object, "backing_path", finding->backing_path) &&
		    cli_json_add_text(object, "detail", finding->detail) &&
		    cli_json_add_text(object, "outcome", xtsfs_fsck_outcome_name(finding->outcome)) &&
		    cli_json_add_text(object, "action", finding->action);

	if (good && json_object_array_add(findings, object) == 0)
		return true;
	json_object_put(object);
	return false;
}

static void clear_progress(const struct fsck_output *output)
{
	if (output->progress)
		dprintf(STDERR_FILENO, "\r\033[K");
}

static void on_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	static const char *const words[] = {[XTSFS_FSCK_NOTED] = "; ",
					    [XTSFS_FSCK_REPAIRABLE] = "; --repair: ",
					    [XTSFS_FSCK_REPAIRED] = "; repaired: ",
					    [XTSFS_FSCK_LEFT] = "; left: ",
					    [XTSFS_FSCK_FAILED] = "; repair failed: "};
	struct fsck_output *output = data;
	bool has_action = finding->action[0];

	if (output->findings) {
		if (!add_finding(output->findings, finding))
			output->no_memory = true;
		return;
	}
	if (finding->severity == XTSFS_FSCK_INFO && output->request->quiet)
		return;
	clear_progress(output);
	cli_say("%s: %s: %s%s%s [%s, %s]", xtsfs_fsck_severity_name(finding->severity), finding->path, finding->detail,
		has_action ? words[finding->outcome] : "", has_action ? finding->action : "", finding->code,
		finding->backing_path);
	if (output->progress)
		fflush(stdout);
}

static void on_progress(void *data, const struct xtsfs_fsck_totals *totals)
{
	struct fsck_output *output = data;
	double seconds = cli_seconds_since(&output->start);
	char checked[16], rate[16];

	if (!output->progress)
		return;
	dprintf(STDERR_FILENO, "\r%llu directories, %llu files, %s at %s/s, %llu problems\033[K",
		(unsigned long long)totals->directories, (unsigned long long)totals->files,
		xtsfs_format_size(totals->checked_bytes, checked),
		xtsfs_format_size(seconds > 0.01 ? (uint64_t)((double)totals->checked_bytes / seconds) : 0, rate),
		(unsigned long long)totals->problems);
}

static json_object *json_totals(const struct xtsfs_fsck_totals *totals, double seconds)
{
	json_object *object = json_object_new_object();
	bool good = object && cli_json_add_count(object, "directories", totals->directories) &&
		    cli_json_add_count(object, "files", totals->files) &&
		    cli_json_add_count(object, "symlinks", totals->symlinks) &&
		    cli_json_add_count(object, "special_files", totals->specials) &&
		    cli_json_add_count(object, "hard_links", totals->hard_links) &&
		    cli_json_add_count(object, "bytes", totals->plain_bytes) &&
		    cli_json_add_count(object, "sectors", totals->sectors) &&
		    cli_json_add_count(object, "problems", totals->problems) &&
		    cli_json_add_count(object, "repaired", totals->repaired) &&
		    cli_json_add_count(object, "left", totals->left) &&
		    cli_json_add_count(object, "infos", totals->infos) &&
		    cli_json_add_count(object, "io_errors", totals->io_errors) &&
		    cli_json_add(object, "seconds", json_object_new_double(seconds));

	if (good)
		return object;
	json_object_put(object);
	return NULL;
}

static int print_json(struct fsck_output *output, const struct cli_volume *volume,
		      const struct xtsfs_fsck_totals *totals, int exit_code)
{
	json_object *object = json_object_new_object();
	bool good = object && !output->no_memory && cli_json_add_text(object, "dir", volume->dir) &&
		    cli_json_add_text(object, "integrity", xtsfs_integrity_name(volume->conf->config->integrity)) &&
		    cli_json_add(object, "repair", json_object_new_boolean(output->request->repair)) &&
		    cli_json_add(object, "cancelled", json_object_new_boolean(totals->cancelled)) &&
		    cli_json_add_count(object, "exit_code", (uint64_t)exit_code) &&
		    cli_json_add(object, "findings", json_object_get(output->findings)) &&
		    cli_json_add(object, "totals", json_totals(totals, cli_seconds_since(&output->start)));

	if (!good) {
		json_object_put(object);
		object = NULL;
	}
	return cli_print_json(object) ? exit_code | XTSFS_FSCK_OPERATIONAL : exit_code;
}

static void print_summary(const struct cli_volume *volume, const struct xtsfs_fsck_totals *totals)
{
	char size[16];

	cli_say("%llu directories, %llu files (%s, %llu sectors), %llu symbolic links, %llu special files checked",
		(unsigned long long)totals->directories, (unsigned long long)totals->files,
		xtsfs_format_size(totals->plain_bytes, size), (unsigned long long)totals->sectors,
		(unsigned long long)totals->symlinks, (unsigned long long)totals->specials);
	if (volume->conf->config->integrity == XTSFS_INTEGRITY_NONE)
		cli_say("the volume has integrity none: names, headers and lengths were checked, content cannot be");
	if (totals->problems)
		cli_say("%llu problems, %llu repaired, %llu left%s", (unsigned long long)totals->problems,
			(unsigned long long)totals->repaired, (unsigned long long)totals->left,
			totals->cancelled ? "; cancelled" : "");
	else
		cli_say("%s", totals->cancelled ? "cancelled" : "no problems");
}

static int exit_code_of(const struct xtsfs_fsck_totals *totals)
{
	return (totals->repaired ? XTSFS_FSCK_CORRECTED : 0) | (totals->left ? XTSFS_FSCK_UNCORRECTED : 0) |
	       (totals->io_errors ? XTSFS_FSCK_OPERATIONAL : 0) | (totals->cancelled ? XTSFS_FSCK_CANCELLED : 0);
}

static int open_volume(const struct fsck_request *request, struct cli_volume *volume, struct xtsfs_volume **ret_fs)
{
	struct xtsfs_volume_params params = {
		.read_only = !request->repair, .repair = true, .threads = (unsigned)request->threads};
	char problem[512], why[256], holder[160], host[65] = "";
	int r;

	/* To write anew what a crash left of a sector, and to put zeros into one. */
	if (request->repair) {
		r = xtsfs_engine_choose(XTSFS_ENGINE_AUTO, &params.engine, why, sizeof(why));
		if (r < 0)
			return cli_fail_exit(XTSFS_FSCK_OPERATIONAL, "no engine: %s", why);
	}
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(holder, sizeof(holder), "%s (repair), process %d on %s", cli_program(), (int)getpid(), host);
	params.holder = holder;
	r = xtsfs_volume_open(volume->store, volume->conf->config, volume->volume_key, &params, ret_fs, problem,
			      sizeof(problem));
	return r < 0 ? cli_fail_exit(XTSFS_FSCK_OPERATIONAL, "cannot check '%s': %s", volume->dir,
				     problem[0] ? problem : xtsfs_strerror(r))
		     : 0;
}

static void tell_conf(struct fsck_output *output, struct xtsfs_fsck_totals *totals,
		      const struct xtsfs_fsck_finding *finding)
{
	bool repaired = finding->outcome == XTSFS_FSCK_REPAIRED;

	if (finding->severity == XTSFS_FSCK_INFO) {
		totals->infos++;
	} else {
		totals->problems++;
		totals->repaired += repaired;
		totals->left += !repaired;
	}
	on_finding(output, finding);
}

/* xtsfs.conf and its copy. The volume was opened by one of them, which is authentic. */
static void check_conf(struct fsck_output *output, struct cli_volume *volume, struct xtsfs_fsck_totals *totals)
{
	struct xtsfs_fsck_finding finding = {.severity = XTSFS_FSCK_ERROR, .path = "/" XTSFS_NAME_CONF_COPY};
	int r = volume->why_copy ? 0 : xtsfs_conf_copy_is_same(volume->store, volume->conf);

	if (r == 1)
		return;
	if (volume->why_copy) {
		finding.path = "/" XTSFS_NAME_CONF;
		finding.code = "conf-lost";
		finding.detail = volume->why_copy == -ENOENT ? "it is missing, its copy is used"
							     : "it is damaged, its copy is used";
		finding.action = "put back from its copy";
	} else if (r == -ENOENT) {
		finding.severity = XTSFS_FSCK_INFO;
		finding.code = "conf-copy-missing";
		finding.detail = "there is no second copy of xtsfs.conf";
		finding.action = "made";
	} else {
		finding.code = "conf-copy-differs";
		finding.detail = "it is not the same as xtsfs.conf, and may open with removed passphrases";
		finding.action = "replaced by a copy of xtsfs.conf";
	}
	finding.backing_path = finding.path + 1;
	finding.outcome = XTSFS_FSCK_REPAIRABLE;
	if (output->request->repair) {
		r = volume->why_copy ? xtsfs_file_replace_like(volume->store, XTSFS_NAME_CONF, XTSFS_NAME_CONF_COPY,
							       volume->conf->text, volume->conf->text_bytes)
				     : xtsfs_conf_put_copy(volume->store, volume->conf);
		finding.outcome = r < 0 ? XTSFS_FSCK_FAILED : XTSFS_FSCK_REPAIRED;
		if (r < 0)
			finding.action = xtsfs_strerror(r);
	}
	tell_conf(output, totals, &finding);
}

static int check(const struct fsck_request *request, struct cli_volume *volume)
{
	struct fsck_output output = {.request = request};
	struct xtsfs_fsck_options options = {
		.repair = request->repair,
		.damage = request->salvage ? XTSFS_FSCK_DAMAGE_SALVAGE
			  : request->zero  ? XTSFS_FSCK_DAMAGE_ZERO
					   : XTSFS_FSCK_DAMAGE_REPORT,
		.verbose = request->verbose,
		.threads = (unsigned)request->threads,
		.content_keys = volume->conf->config->content_keys,
		.cancel = &cli_interrupted,
		.finding = on_finding,
		.progress = on_progress,
		.data = &output,
	};
	struct xtsfs_fsck_totals totals;
	struct xtsfs_volume *fs = NULL;
	int exit_code = open_volume(request, volume, &fs), r;

	if (exit_code)
		return exit_code;
	cli_catch_signals();
	output.progress = request->progress || (!request->no_progress && !request->quiet && isatty(STDERR_FILENO));
	output.findings = request->json ? json_object_new_array() : NULL;
	clock_gettime(CLOCK_MONOTONIC, &output.start);
	r = xtsfs_fsck_run(fs, &options, &totals);
	clear_progress(&output);
	if (r == 0 && !totals.cancelled)
		check_conf(&output, volume, &totals);
	if (r < 0) {
		exit_code = XTSFS_FSCK_OPERATIONAL;
		cli_fail(r, "cannot check '%s'", volume->dir);
	} else {
		exit_code = exit_code_of(&totals);
	}
	if (r == 0 && request->json)
		exit_code = print_json(&output, volume, &totals, exit_code);
	else if (r == 0 && !request->quiet)
		print_summary(volume, &totals);
	json_object_put(output.findings);
	r = xtsfs_volume_close(fs);
	if (r < 0) {
		cli_fail(r, "cannot make the repairs of '%s' durable", volume->dir);
		exit_code |= XTSFS_FSCK_OPERATIONAL;
	}
	return exit_code;
}

static int check_request(const struct cli_verb *verb, struct fsck_request *request)
{
	request->repair |= request->yes || request->preen || request->automatic;
	if (request->repair && (request->dry_run || request->no_changes))
		return cli_fail_usage(verb, "--repair and --no-changes contradict each other");
	if (request->salvage && request->zero)
		return cli_fail_usage(verb, "give one of --salvage and --zero");
	if ((request->salvage || request->zero) && !request->repair)
		return cli_fail_usage(verb, "--salvage and --zero are of use with --repair only");
	return cli_unlock_check(verb, &request->unlock);
}

int cmd_fsck(const struct cli_verb *verb, int argc, char **argv)
{
	struct fsck_request q = {.unlock = CLI_UNLOCK_NONE};
	struct cli_volume volume = CLI_VOLUME_NONE;
	const struct cli_option options[] = {
		{.name = "repair",
		 .type = CLI_FLAG,
		 .value = &q.repair,
		 .help = "settle what can be settled without loss"},
		{.name = "salvage",
		 .type = CLI_FLAG,
		 .value = &q.salvage,
		 .help = "with --repair: accept damaged sectors as they\nare"},
		{.name = "zero",
		 .type = CLI_FLAG,
		 .value = &q.zero,
		 .help = "with --repair: put zeros in the place of damaged\nsectors"},
		{.name = "threads",
		 .argument = "N",
		 .type = CLI_NUMBER,
		 .value = &q.threads,
		 .min = 1,
		 .max = 256,
		 .help = "look with N threads (one for each processor)"},
		{.name = "json", .type = CLI_FLAG, .value = &q.json, .help = "print JSON"},
		{.name = "progress", .type = CLI_FLAG, .value = &q.progress, .help = "show progress on standard error"},
		{.name = "no-progress",
		 .type = CLI_FLAG,
		 .value = &q.no_progress,
		 .help = "not even where that is a terminal"},
		{.name = "quiet",
		 .letter = 'q',
		 .type = CLI_FLAG,
		 .value = &q.quiet,
		 .help = "say nothing but problems"},
		{.name = "verbose",
		 .letter = 'v',
		 .type = CLI_FLAG,
		 .value = &q.verbose,
		 .help = "tell what is unusual but right, too"},
		CLI_SOURCE_OPTIONS(q.unlock),
		CLI_SLOT_OPTION(q.unlock),
		{.name = "no-changes",
		 .letter = 'n',
		 .type = CLI_FLAG,
		 .value = &q.no_changes,
		 .help = "change nothing, as without --repair"},
		{.name = "dry-run", .letter = 'N', .type = CLI_FLAG, .value = &q.dry_run, .help = "the same"},
		{.name = "yes", .letter = 'y', .type = CLI_FLAG, .value = &q.yes, .help = "the same as --repair"},
		{.name = "preen", .letter = 'p', .type = CLI_FLAG, .value = &q.preen, .help = "the same as --repair"},
		{.name = "auto",
		 .letter = 'a',
		 .type = CLI_FLAG,
		 .value = &q.automatic,
		 .help = "the same as --repair"},
		{.name = "force",
		 .letter = 'f',
		 .type = CLI_FLAG,
		 .value = &q.force,
		 .help = "nothing; everything is always checked"},
		{.name = "completion",
		 .letter = 'C',
		 .argument = "FD",
		 .type = CLI_NUMBER,
		 .value = &q.completion_fd,
		 .max = 1U << 20,
		 .help = "nothing; for fsck(8)"},
		{.name = "version", .letter = 'V', .type = CLI_FLAG, .value = &q.version, .help = "show the version"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)) {
		cli_say("%s %s", cli_program(), XTSFS_VERSION);
		return XTSFS_FSCK_OK;
	}
	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	if (q.version) {
		cli_say("%s %s", cli_program(), XTSFS_VERSION);
		return XTSFS_FSCK_OK;
	}
	exit_code = check_request(verb, &q);
	if (exit_code)
		return exit_code;
	xtsfs_log_set_level(XTSFS_LOG_ERROR); /* the findings say it */
	/* A repair removes temporary files, and must not remove that of another program which changes a keyslot. */
	exit_code = cli_volume_open(arguments[0], q.repair ? CLI_REPAIR : CLI_READ, &volume);
	if (exit_code == 0)
		exit_code = cli_volume_refuse_reverse(&volume);
	if (exit_code == 0)
		exit_code = cli_volume_unlock(&volume, &q.unlock);
	exit_code = exit_code ? XTSFS_FSCK_OPERATIONAL : check(&q, &volume);
	cli_volume_done(&volume);
	return exit_code;
}
