/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at a volume that may be written to at the same time.
 *
 * The checker is fsck's (core/fsck.h), without its lock: it would keep people from mounting for as long as a large
 * volume takes. So what it finds may be the moment between two writes of somebody else: a meta block read before, its
 * sector read after them. Nothing is told of before it was found again, by a checker that begins anew and looks at
 * these objects only:
 *
 * - nobody has the volume for writing: what is found twice is there;
 * - somebody has it: what is found twice in a file that was not changed in between is there. In one that was, and in
 *   names, links and attributes, it must be found the same at each of LOOKS looks, with growing pauses; a write that
 *   gets in between each time, at the same place, is not to be expected. A file that is bad at each look, but not the
 *   same way, is neither: it is told as unsettled.
 *
 * What is gone at a later look is nothing. A writer's own traces (files without CLEAN, sectors that accept two
 * versions, temporary names) are no damage, and with a writer there they are not even worth a word.
 */
#include "cli-run.h"
#include "verify.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define LOOKS	       8
#define SETTLED_MOST   4096U /* findings that are gone through for each part */
#define FIRST_PAUSE_MS 50U
#define PROBLEM_BYTES  512

static int compare_texts(const struct verify_finding *a, const struct verify_finding *b)
{
	int order = strcmp(a->backing_path, b->backing_path);

	if (order == 0)
		order = strcmp(a->code, b->code);
	return order ? order : strcmp(a->detail, b->detail);
}

static int compare(const void *a, const void *b)
{
	return compare_texts(a, b);
}

static void free_finding(struct verify_finding *finding)
{
	free(finding->path);
	free(finding->backing_path);
	free(finding->code);
	free(finding->detail);
}

void verify_free(struct verify_run *run)
{
	for (size_t i = 0; i < run->count; i++)
		free_finding(&run->findings[i]);
	free(run->findings);
	run->findings = NULL;
	run->count = run->room = 0;
}

/* ---- the first look ---- */

static void remember(struct verify_run *run, const struct xtsfs_fsck_finding *found)
{
	struct verify_finding finding = {.path = strdup(found->path),
					 .backing_path = strdup(found->backing_path),
					 .code = strdup(found->code),
					 .detail = strdup(found->detail)};
	bool good = finding.path && finding.backing_path && finding.code && finding.detail;

	if (good && run->count == run->room) {
		size_t room = run->room ? run->room * 2 : 64;
		struct verify_finding *more = realloc(run->findings, room * sizeof(*more));

		good = more != NULL;
		if (good) {
			run->findings = more;
			run->room = room;
		}
	}
	if (!good) {
		free_finding(&finding);
		run->no_memory = true;
		return;
	}
	if (found->stat) {
		finding.has_stat = true;
		finding.ctime = found->stat->st_ctim;
		finding.cipher_bytes = found->stat->st_size;
		finding.ino = found->stat->st_ino;
		finding.first_part = found->first_part;
		finding.last_part = found->last_part;
	}
	run->findings[run->count++] = finding;
}

/* ---- the others ---- */

/* The first finding that does not come before these texts. */
static size_t lower_bound(const struct verify_run *run, const struct verify_finding *key)
{
	size_t low = 0, high = run->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_texts(&run->findings[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void see(struct verify_finding *finding, const struct xtsfs_fsck_finding *found)
{
	finding->seen = true;
	if (!found->stat || !finding->has_stat)
		return;
	finding->steady = found->stat->st_ctim.tv_sec == finding->ctime.tv_sec &&
			  found->stat->st_ctim.tv_nsec == finding->ctime.tv_nsec &&
			  found->stat->st_size == finding->cipher_bytes;
	finding->ctime = found->stat->st_ctim;
	finding->cipher_bytes = found->stat->st_size;
}

/* The same one; or, if that is a new one, others of its sort in a file that changes are not the same at each look. */
static void recognise(struct verify_run *run, const struct xtsfs_fsck_finding *found)
{
	char *backing_path = (char *)(uintptr_t)found->backing_path, *code = (char *)(uintptr_t)found->code;
	char none[1] = "";
	struct verify_finding key = {
		.backing_path = backing_path, .code = code, .detail = (char *)(uintptr_t)found->detail};
	size_t at = lower_bound(run, &key);

	if (at < run->count && compare_texts(&run->findings[at], &key) == 0) {
		see(&run->findings[at], found);
		return;
	}
	key.detail = none;
	for (at = lower_bound(run, &key); at < run->count; at++) {
		struct verify_finding *finding = &run->findings[at];

		if (strcmp(finding->backing_path, backing_path) != 0 || strcmp(finding->code, code) != 0)
			return;
		finding->varies = true;
	}
}

static void on_finding(void *data, const struct xtsfs_fsck_finding *found)
{
	struct verify_run *run = data;

	if (found->severity == XTSFS_FSCK_DEBRIS && !run->again)
		run->traces++;
	if (found->severity != XTSFS_FSCK_ERROR)
		return;
	if (run->again)
		recognise(run, found);
	else
		remember(run, found);
}

/* Is that, or something below it, to be looked at again? */
static bool wanted(void *data, const char *backing_path)
{
	struct verify_run *run = data;
	size_t bytes = strlen(backing_path);
	char none[1] = "";
	struct verify_finding key = {.backing_path = (char *)(uintptr_t)backing_path, .code = none, .detail = none};
	xtsfs_auto_free char *below = NULL;

	for (size_t i = lower_bound(run, &key);
	     i < run->count && strcmp(run->findings[i].backing_path, backing_path) == 0; i++)
		if (run->findings[i].verdict == VERIFY_OPEN)
			return true;
	below = malloc(bytes + 2);
	if (!below)
		return true;
	memcpy(below, backing_path, bytes);
	strcpy(below + bytes, "/");
	key.backing_path = below;
	for (size_t i = lower_bound(run, &key);
	     i < run->count && strncmp(run->findings[i].backing_path, below, bytes + 1) == 0; i++)
		if (run->findings[i].verdict == VERIFY_OPEN)
			return true;
	return false;
}

static bool is_io(const struct verify_finding *finding)
{
	return strcmp(finding->code, "io-error") == 0;
}

/* After look number @look of LOOKS. How many are open still. */
static size_t judge(struct verify_run *run, int look, bool has_writer)
{
	size_t open = 0;

	for (size_t i = 0; i < run->count; i++) {
		struct verify_finding *finding = &run->findings[i];

		if (finding->verdict != VERIFY_OPEN)
			continue;
		if (!finding->seen)
			finding->verdict = finding->varies && has_writer && look < LOOKS ? VERIFY_OPEN
					   : finding->varies && has_writer		 ? VERIFY_UNSETTLED
											 : VERIFY_GONE;
		else if (!has_writer || finding->steady || look == LOOKS)
			finding->verdict = is_io(finding) ? VERIFY_UNREAD : VERIFY_DAMAGED;
		open += finding->verdict == VERIFY_OPEN;
		finding->seen = finding->steady = finding->varies = false;
	}
	return open;
}

/* ---- a look ---- */

static void reading(void *data, uint64_t bytes)
{
	struct verify_run *run = data;

	verify_pace_wait(&run->pace, bytes);
}

/* Of a long file only those parts are read again in which something was found. */
static bool is_settled(const struct verify_run *run, const struct xtsfs_fsck_part *part)
{
	if (run->count > SETTLED_MOST)
		return false;
	for (size_t i = 0; i < run->count; i++) {
		const struct verify_finding *finding = &run->findings[i];

		if (finding->verdict == VERIFY_OPEN && finding->has_stat && finding->ino == part->stat->st_ino &&
		    part->number >= finding->first_part && part->number <= finding->last_part)
			return false;
	}
	return true;
}

static bool is_known(void *data, const struct xtsfs_fsck_part *part)
{
	struct verify_run *run = data;

	return run->again ? is_settled(run, part) : verify_state_knows(run->state, part);
}

static void found_good(void *data, const struct xtsfs_fsck_part *part)
{
	struct verify_run *run = data;

	verify_state_add(run->state, part);
}

static void on_progress(void *data, const struct xtsfs_fsck_totals *totals)
{
	struct verify_run *run = data;

	if (run->state)
		verify_state_flush(run->state);
	verify_progress(run, totals);
}

/*
 * Is the unclean marker that of the writer who is there? He wrote his name into xtsfs.lock, and then made it; one of an
 * earlier writer, who died, is older. What such a one excuses (files that were cut) is damage beside a writer at work.
 */
static bool is_writers_marker(const struct verify_run *run)
{
	struct xtsfs_store *store = run->volume->store;
	struct stat lock, marker;

	return run->has_writer && store->ops->stat(store, store->root, XTSFS_NAME_LOCK, &lock) == 0 &&
	       store->ops->stat(store, store->root, XTSFS_NAME_UNCLEAN, &marker) == 0 &&
	       (marker.st_mtim.tv_sec > lock.st_mtim.tv_sec ||
		(marker.st_mtim.tv_sec == lock.st_mtim.tv_sec && marker.st_mtim.tv_nsec >= lock.st_mtim.tv_nsec));
}

static int look(struct verify_run *run, struct xtsfs_fsck_totals *ret_totals)
{
	struct xtsfs_volume_params params = {.read_only = true,
					     .repair = true,
					     .peek = true,
					     .no_excuse = is_writers_marker(run),
					     .threads = run->threads};
	struct xtsfs_fsck_options options = {
		.threads = run->threads,
		.content_keys = run->volume->conf->config->content_keys,
		.cancel = &cli_interrupted,
		.finding = on_finding,
		.progress = on_progress,
		.wanted = run->again ? wanted : NULL,
		.reading = run->pace.bytes_per_s && !(run->again && run->totals.cancelled) ? reading : NULL,
		.is_known = run->state || run->again ? is_known : NULL,
		.found_good = run->state && !run->again ? found_good : NULL,
		.data = run,
	};
	char problem[PROBLEM_BYTES];
	struct xtsfs_volume *fs;
	int r = xtsfs_volume_open(run->volume->store, run->volume->conf->config, run->volume->volume_key, &params, &fs,
				  problem, sizeof(problem));

	if (r < 0)
		return cli_fail_exit(xtsfs_exit_code(r), "cannot verify '%s': %s", run->volume->dir,
				     problem[0] ? problem : xtsfs_strerror(r));
	r = xtsfs_fsck_run(fs, &options, ret_totals);
	(void)xtsfs_volume_close(fs); /* read-only: nothing to say */
	return r < 0 ? cli_fail(r, "cannot verify '%s'", run->volume->dir) : 0;
}

static bool has_writer(const struct verify_run *run)
{
	struct cli_holder holder;

	/* If it cannot be told, there may be one. */
	return cli_volume_holder(run->volume->store, &holder) < 0 || (holder.in_use && !holder.read_only);
}

static int look_again(struct verify_run *run, bool had_writer)
{
	struct timespec pause = {0};
	struct xtsfs_fsck_totals totals = {0};
	sig_atomic_t interrupted = cli_interrupted;
	size_t open = run->count;
	int exit_code = 0;

	cli_interrupted = 0; /* what was found before the signal is told; one more ends that, too */
	run->again = true;
	if (run->count)
		qsort(run->findings, run->count, sizeof(*run->findings), compare);
	for (int number = 2; exit_code == 0 && open && !totals.cancelled && number <= LOOKS; number++) {
		unsigned ms = FIRST_PAUSE_MS << (number - 2 < 5 ? number - 2 : 5);
		bool writer;

		pause.tv_sec = ms / 1000;
		pause.tv_nsec = (long)(ms % 1000) * 1000000L;
		if (had_writer)
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		run->has_writer = has_writer(run);
		had_writer |= run->has_writer;
		exit_code = look(run, &totals);
		if (exit_code || totals.cancelled)
			break;
		writer = has_writer(run);
		/* One who has just gone may have got in between. */
		open = judge(run, number, writer || had_writer);
		had_writer = writer;
	}
	if (!cli_interrupted)
		cli_interrupted = interrupted;
	return exit_code;
}

int verify_look(struct verify_run *run)
{
	bool writer = run->has_writer = has_writer(run);
	int exit_code;

	clock_gettime(CLOCK_MONOTONIC, &run->start);
	exit_code = look(run, &run->totals);
	writer |= has_writer(run);
	if (writer)
		run->traces = 0;
	if (exit_code == 0 && run->no_memory)
		exit_code = cli_fail(-ENOMEM, "cannot remember what was found in '%s'", run->volume->dir);
	return exit_code ? exit_code : look_again(run, writer);
}
