/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl reencrypt: another volume key, and everything encrypted anew (docs/reencrypt.md).
 *
 * It begins by one replacement of xtsfs.conf, for which it wants a volume that nobody has, that was shut down cleanly
 * and that opens, and the word of the user where keyslots are lost by it. Then it walks over the volume, as its writer.
 * It can be stopped at any instant, and the volume used; called again it goes on. The lock on xtsfs.conf is held at
 * the beginning and at the end only, so that keyslots can be added meanwhile. A volume that is mounted is left to its
 * daemon (reencrypt-mount.c).
 */
#include "cli-volume.h"
#include "commands.h"
#include "describe.h"
#include "reencrypt-mount.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "core/reencrypt.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROBLEM_BYTES 512
#define TOLD_MOST     1000U
#define SLICE_NS      100000000L

struct output {
	const struct reencrypt_request *request;
	bool progress;
	struct timespec start, shown;
	char *told[TOLD_MOST]; /* a problem comes again with each walk */
	unsigned told_count;
};

volatile sig_atomic_t reencrypt_cancelled;

static void cancel(int signal)
{
	reencrypt_cancelled = signal;
}

bool reencrypt_shows_progress(const struct reencrypt_request *request)
{
	return request->progress || (!request->no_progress && !request->quiet && isatty(STDERR_FILENO));
}

void reencrypt_catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = cancel};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void clear_progress(const struct output *output)
{
	if (output->progress)
		dprintf(STDERR_FILENO, "\r\033[K");
}

/* So many bytes should have taken so long. */
static void keep_rate(const struct output *output, uint64_t bytes)
{
	const struct timespec slice = {.tv_nsec = SLICE_NS};

	while (output->request->rate && !reencrypt_cancelled &&
	       seconds_since(&output->start) < (double)bytes / (double)output->request->rate)
		(void)nanosleep(&slice, NULL);
}

static void on_progress(void *data, const struct xtsfs_reencrypt_totals *totals)
{
	struct output *output = data;
	char bytes[16], rate[16];
	double seconds;

	keep_rate(output, totals->bytes);
	if (!output->progress || seconds_since(&output->shown) < 0.2)
		return;
	seconds = seconds_since(&output->start);
	clock_gettime(CLOCK_MONOTONIC, &output->shown);
	dprintf(STDERR_FILENO, "\rwalk %llu: %llu directories, %llu files, %s rewritten at %s/s, %llu problems\033[K",
		(unsigned long long)totals->walks, (unsigned long long)totals->directories,
		(unsigned long long)totals->files, xtsfs_format_size(totals->bytes, bytes),
		xtsfs_format_size(seconds > 0.01 ? (uint64_t)((double)totals->bytes / seconds) : 0, rate),
		(unsigned long long)totals->problems);
}

/* Has it been told before? */
static bool is_told(struct output *output, const char *text)
{
	for (unsigned i = 0; i < output->told_count; i++)
		if (strcmp(output->told[i], text) == 0)
			return true;
	if (output->told_count < TOLD_MOST)
		output->told[output->told_count] = strdup(text);
	if (output->told_count < TOLD_MOST && output->told[output->told_count])
		output->told_count++;
	return false;
}

static void on_problem(void *data, const char *path, const char *what, int error)
{
	struct output *output = data;
	xtsfs_auto_free char *text = NULL;

	if (asprintf(&text, "'%s': cannot re-encrypt %s: %s", path, what, xtsfs_strerror(error)) < 0)
		text = NULL;
	if (!text || is_told(output, text))
		return;
	clear_progress(output);
	cli_fail_exit(0, "%s", text);
}

static int fail_busy(const struct cli_volume *volume, const struct cli_holder *holder)
{
	return cli_fail_exit(XTSFS_EXIT_BUSY, "'%s' is in use%s%s; unmount it first, or give its mount point",
			     volume->dir, holder->text[0] ? " by " : "", holder->text);
}

/* An exit code. */
static int check_lost_and_found(const struct cli_volume *volume)
{
	int r = xtsfs_reencrypt_lost(volume->store);

	if (r < 0)
		return cli_fail(r, "cannot read '%s/%s'", volume->dir, XTSFS_NAME_LOST);
	return r > 0 ? cli_fail_exit(XTSFS_EXIT_EXISTS,
				     "refusing: '%s/%s' holds what repairs moved there, and would be lost with the "
				     "old key; move or remove it first",
				     volume->dir, XTSFS_NAME_LOST)
		     : 0;
}

static int check_state(const struct cli_volume *volume)
{
	struct cli_holder holder;
	struct stat st;
	int r = cli_volume_holder(volume->store, &holder);

	if (r < 0)
		return cli_fail(r, "cannot try the lock '%s/%s'", volume->dir, XTSFS_NAME_LOCK);
	if (holder.in_use)
		return fail_busy(volume, &holder);
	r = volume->store->ops->stat(volume->store, volume->store->root, XTSFS_NAME_UNCLEAN, &st);
	if (r < 0 && r != -ENOENT)
		return cli_fail(r, "cannot look at '%s/%s'", volume->dir, XTSFS_NAME_UNCLEAN);
	if (r == 0)
		return cli_fail_exit(XTSFS_EXIT_OTHER,
				     "refusing: '%s' was not shut down cleanly; run 'xtsfsctl fsck --repair' first",
				     volume->dir);
	return check_lost_and_found(volume);
}

/* Nobody should learn afterwards that a keyslot is gone. */
static int check_slots(const struct reencrypt_request *request, const struct cli_volume *volume)
{
	const struct xtsfs_config *config = volume->conf->config;
	char text[CLI_DESCRIPTION_BYTES];

	if (config->slot_count == 1 || request->drop_slots)
		return 0;
	cli_fail_exit(0, "a new volume key can be put into the keyslot that opens the volume, and into no other:");
	for (unsigned i = 0; i < config->slot_count; i++)
		cli_fail_exit(0, "  keyslot %u (%s) would be %s", config->slots[i].id,
			      cli_describe_slot(&config->slots[i], text),
			      config->slots[i].id == (unsigned)volume->slot ? "kept" : "lost");
	return cli_fail_exit(XTSFS_EXIT_SLOT,
			     "refusing; --drop-slots accepts that, and 'xtsfsctl slot add' makes them again, also "
			     "while it works");
}

static int open_volume(struct cli_volume *volume, bool read_only, struct xtsfs_volume **ret_fs)
{
	struct xtsfs_volume_params params = {.read_only = read_only, .no_atime = true, .log_names = true};
	char problem[PROBLEM_BYTES], why[256], holder[160], host[65] = "";
	int r = xtsfs_engine_choose(XTSFS_ENGINE_AUTO, &params.engine, why, sizeof(why));

	if (r < 0)
		return cli_fail_exit(XTSFS_EXIT_ENGINE, "no engine: %s", why);
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(holder, sizeof(holder), "%s (reencrypt), process %d on %s", cli_program(), (int)getpid(), host);
	params.holder = holder;
	r = xtsfs_volume_open(volume->store, volume->conf->config, volume->volume_key, &params, ret_fs, problem,
			      sizeof(problem));
	return r < 0 ? cli_fail_exit((int)xtsfs_exit_code(r), "cannot open the volume '%s': %s", volume->dir,
				     problem[0] ? problem : xtsfs_strerror(r))
		     : 0;
}

static void unlock_conf(struct cli_volume *volume)
{
	if (volume->lock_handle >= 0)
		volume->store->ops->close(volume->store, volume->lock_handle);
	volume->lock_handle = -1;
}

/* The one instant: before it nothing has changed, after it the walk can go on at any time. */
static int begin(const struct reencrypt_request *request, struct cli_volume *volume,
		 const struct xtsfs_secret *slot_key)
{
	struct xtsfs_secret *key = NULL;
	struct xtsfs_volume *fs = NULL;
	int exit_code = check_state(volume), r;

	if (exit_code == 0)
		exit_code = check_slots(request, volume);
	if (exit_code == 0)
		exit_code = open_volume(volume, /* read_only= */ true, &fs);
	if (exit_code)
		return exit_code;
	(void)xtsfs_volume_close(fs);
	if (!slot_key)
		return cli_fail(-EINVAL, "cannot put a new key into the keyslot of '%s'", volume->dir);
	r = xtsfs_reencrypt_begin(volume->store, volume->conf, volume->volume_key, volume->slot, slot_key, &key);
	if (r < 0)
		return cli_fail(r, "cannot write '%s/%s'", volume->dir, XTSFS_NAME_CONF);
	xtsfs_secret_free(volume->volume_key);
	volume->volume_key = key;
	if (!request->quiet)
		cli_say("'%s' has a new volume key. Header backups that were made before are of no use any more; make "
			"a new one with 'xtsfsctl header backup'.",
			volume->dir);
	return 0;
}

/* Under the lock, and as it is by now. */
static int end(struct cli_volume *volume)
{
	char problem[PROBLEM_BYTES];
	struct xtsfs_conf *conf;
	int r = cli_conf_lock(volume->store, volume->dir, &volume->lock_handle);

	if (r == 0)
		r = xtsfs_conf_load(volume->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem));
	if (r < 0)
		return cli_fail(r, "cannot read '%s/%s'", volume->dir, XTSFS_NAME_CONF);
	r = xtsfs_reencrypt_end(volume->store, conf, volume->volume_key);
	xtsfs_conf_free(conf);
	unlock_conf(volume);
	return r < 0 ? cli_fail(r, "cannot write '%s/%s'", volume->dir, XTSFS_NAME_CONF) : 0;
}

static int result_of(const struct cli_volume *volume, int r, const struct xtsfs_reencrypt_totals *totals)
{
	if (r == 0)
		return 0;
	if (r == -ECANCELED)
		return cli_fail_exit(128 + (int)reencrypt_cancelled,
				     "stopped; '%s' can be used, and the same command goes on with it", volume->dir);
	if (r > 0)
		return cli_fail_exit(XTSFS_EXIT_OTHER,
				     "%llu things are still under the old key of '%s', which so is not at its end; "
				     "repair or remove them, and repeat the command",
				     (unsigned long long)totals->problems, volume->dir);
	return cli_fail(r, "cannot go on with '%s' now; the same command will", volume->dir);
}

static int walk(const struct reencrypt_request *request, struct cli_volume *volume)
{
	struct output output = {.request = request};
	const struct xtsfs_reencrypt_options options = {
		.cancel = &reencrypt_cancelled, .progress = on_progress, .problem = on_problem, .data = &output};
	struct xtsfs_reencrypt_totals totals;
	struct xtsfs_volume *fs = NULL;
	char bytes[16];
	int exit_code, r;

	reencrypt_catch_signals();
	exit_code = open_volume(volume, /* read_only= */ false, &fs);
	if (exit_code)
		return exit_code;
	output.progress = reencrypt_shows_progress(request);
	clock_gettime(CLOCK_MONOTONIC, &output.start);
	r = xtsfs_reencrypt_run(fs, &options, &totals);
	clear_progress(&output);
	for (unsigned i = 0; i < output.told_count; i++)
		free(output.told[i]);
	exit_code = result_of(volume, r, &totals);
	/* As long as the volume is locked: nobody else may open it with both keys from here on. */
	if (exit_code == 0)
		exit_code = end(volume);
	r = xtsfs_volume_close(fs);
	if (r < 0 && exit_code == 0)
		exit_code = cli_fail(r, "cannot close '%s'", volume->dir);
	if (exit_code == 0 && !request->quiet)
		cli_say("Re-encrypted '%s': %llu directories, %llu files, %s rewritten. The old key opens nothing any "
			"more.",
			volume->dir, (unsigned long long)totals.directories, (unsigned long long)totals.files,
			xtsfs_format_size(totals.bytes, bytes));
	return exit_code;
}

int cmd_reencrypt(const struct cli_verb *verb, int argc, char **argv)
{
	struct reencrypt_request request = {.unlock = CLI_UNLOCK_NONE};
	struct cli_volume volume = CLI_VOLUME_NONE;
	struct xtsfs_secret *slot_key = NULL;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(request.unlock),
		CLI_SLOT_OPTION(request.unlock),
		{.name = "drop-slots",
		 .type = CLI_FLAG,
		 .value = &request.drop_slots,
		 .help = "give up all keyslots but the one that opens"},
		{.name = "rate",
		 .argument = "SIZE",
		 .type = CLI_SIZE,
		 .value = &request.rate,
		 .min = 1024,
		 .max = UINT64_MAX / 2,
		 .help = "rewrite at most SIZE a second"},
		{.name = "progress",
		 .type = CLI_FLAG,
		 .value = &request.progress,
		 .help = "show progress on standard error"},
		{.name = "no-progress",
		 .type = CLI_FLAG,
		 .value = &request.no_progress,
		 .help = "not even where that is a terminal"},
		{.name = "quiet",
		 .letter = 'q',
		 .type = CLI_FLAG,
		 .value = &request.quiet,
		 .help = "say nothing but problems"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &request.unlock);
	if (exit_code)
		return exit_code;
	if (reencrypt_mounted(arguments[0], &request, &exit_code))
		return exit_code;
	request.unlock.ret_slot_key = &slot_key;
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	exit_code = cli_volume_open(arguments[0], CLI_CHANGE, &volume);
	if (exit_code == 0)
		exit_code = cli_volume_refuse_reverse(&volume);
	if (exit_code == 0)
		exit_code = cli_volume_unlock(&volume, &request.unlock);
	if (exit_code == 0 && !volume.conf->config->reencrypting)
		exit_code = begin(&request, &volume, slot_key);
	unlock_conf(&volume);
	xtsfs_secret_free(slot_key);
	if (exit_code == 0)
		exit_code = walk(&request, &volume);
	cli_volume_done(&volume);
	return exit_code;
}
