/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run of a check: workers, their queue, findings.
 *
 * A volume is a tree of directories; work is "scan this directory", "check this file", "help to verify this file". It
 * lies on one stack: the last thing found is done first, so what waits is never more than the siblings along one path,
 * and a directory with very many subdirectories puts itself back between two parts of its list (fsck-dir.c). Files are
 * queued only while few things wait, and else done by the thread that found them. So memory is bounded by depth and
 * not by the size of the volume, but for the sets of ids (fsck-idset.c).
 *
 * Nothing that is wrong with one object keeps the others from being looked at: functions report and return. In a run
 * with repair everything that is already written is made durable before the first look, because a sector may be
 * finalised (spec 10 rule 4) only when its data is; and the marker goes only after everything is durable again.
 * Whatever happens in between, the marker is there, and the next run goes on.
 */
#include "core/fsck-internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FULL_QUEUE     256U
#define POLL_NS	       100000000L
#define ADVISED_BLOCKS (1ULL << 36) /* of 16 bytes under one XTS key (IEEE 1619-2025) */

const char *xtsfs_fsck_severity_name(enum xtsfs_fsck_severity severity)
{
	static const char *const names[] = {
		[XTSFS_FSCK_INFO] = "info", [XTSFS_FSCK_DEBRIS] = "debris", [XTSFS_FSCK_ERROR] = "error"};

	return names[severity];
}

const char *xtsfs_fsck_outcome_name(enum xtsfs_fsck_outcome outcome)
{
	static const char *const names[] = {[XTSFS_FSCK_NOTED] = "noted",
					    [XTSFS_FSCK_REPAIRABLE] = "repairable",
					    [XTSFS_FSCK_REPAIRED] = "repaired",
					    [XTSFS_FSCK_LEFT] = "left",
					    [XTSFS_FSCK_FAILED] = "failed"};

	return names[outcome];
}

/* ---- findings ---- */

/* Prepends "/name" (or "name" at the front of a backing path). Takes @path. */
static char *prepend(const char *name, char *path, const char *slash)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", slash, name, path ? path : "") < 0)
		longer = NULL;
	free(path);
	return longer;
}

char *xtsfs_fsck_path(const struct xtsfs_fsck_place *place, bool backing)
{
	const char *name = backing ? place->backing_name : place->name;
	char *path = name ? prepend(name, NULL, "/") : NULL;

	for (const struct xtsfs_fsck_dir *dir = place->dir; dir && dir->parent; dir = dir->parent)
		path = prepend(backing ? dir->backing_name : dir->name, path, "/");
	if (!path)
		return strdup(backing ? "." : "/");
	if (backing)
		memmove(path, path + 1, strlen(path));
	return path;
}

static void count_finding(struct xtsfs_fsck *fsck, enum xtsfs_fsck_severity severity, enum xtsfs_fsck_outcome outcome)
{
	if (severity == XTSFS_FSCK_INFO) {
		xtsfs_fsck_count(&fsck->totals.infos, 1);
		return;
	}
	xtsfs_fsck_count(&fsck->totals.problems, 1);
	xtsfs_fsck_count(outcome == XTSFS_FSCK_REPAIRED ? &fsck->totals.repaired : &fsck->totals.left, 1);
}

void xtsfs_fsck_report(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, enum xtsfs_fsck_severity severity,
		       const char *code, enum xtsfs_fsck_outcome outcome, int error, const char *action,
		       const char *format, ...)
{
	xtsfs_auto_free char *path = xtsfs_fsck_path(place, false), *backing_path = xtsfs_fsck_path(place, true);
	xtsfs_auto_free char *detail = NULL, *failure = NULL;
	struct xtsfs_fsck_finding finding = {.severity = severity, .code = code, .outcome = outcome};
	va_list args;

	va_start(args, format);
	if (vasprintf(&detail, format, args) < 0)
		detail = NULL;
	va_end(args);
	if (outcome == XTSFS_FSCK_FAILED &&
	    asprintf(&failure, "%s: %s", action ? action : "repair", xtsfs_strerror(error)) < 0)
		failure = NULL;
	finding.path = path ? path : "?";
	finding.backing_path = backing_path ? backing_path : "?";
	finding.detail = detail ? detail : "";
	finding.action = failure ? failure : action ? action : "";
	finding.stat = place->stat;
	finding.first_part = place->first_part;
	finding.last_part = place->last_part;
	if (place->found && severity != XTSFS_FSCK_INFO)
		__atomic_store_n(place->found, true, __ATOMIC_RELAXED);
	count_finding(fsck, severity, outcome);
	xtsfs_guard_mutex(&fsck->report_mutex);
	fsck->options.finding(fsck->options.data, &finding);
}

void xtsfs_fsck_report_io(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int error, const char *what)
{
	xtsfs_fsck_count(&fsck->totals.io_errors, 1);
	xtsfs_fsck_report(fsck, place, XTSFS_FSCK_ERROR, "io-error", XTSFS_FSCK_LEFT, 0, NULL, "cannot %s: %s", what,
			  xtsfs_strerror(error));
}

/* ---- queue ---- */

void xtsfs_fsck_push(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work)
{
	pthread_mutex_lock(&fsck->queue_mutex);
	work->next = fsck->stack;
	fsck->stack = work;
	fsck->queued++;
	pthread_cond_signal(&fsck->queue_cond);
	pthread_mutex_unlock(&fsck->queue_mutex);
}

bool xtsfs_fsck_is_full(struct xtsfs_fsck *fsck)
{
	xtsfs_guard_mutex(&fsck->queue_mutex);
	return fsck->queued >= FULL_QUEUE;
}

static void *worker(void *data)
{
	struct xtsfs_fsck *fsck = data;

	pthread_mutex_lock(&fsck->queue_mutex);
	for (;;) {
		struct xtsfs_fsck_work *work;

		while (!fsck->stack && fsck->busy)
			pthread_cond_wait(&fsck->queue_cond, &fsck->queue_mutex);
		work = fsck->stack;
		if (!work)
			break; /* nothing waits and nobody is at work who could find more */
		fsck->stack = work->next;
		fsck->queued--;
		fsck->busy++;
		pthread_mutex_unlock(&fsck->queue_mutex);
		work->run(fsck, work);
		pthread_mutex_lock(&fsck->queue_mutex);
		if (--fsck->busy == 0 && !fsck->stack)
			pthread_cond_broadcast(&fsck->queue_cond);
	}
	fsck->workers--;
	pthread_cond_signal(&fsck->done_cond);
	pthread_mutex_unlock(&fsck->queue_mutex);
	return NULL;
}

static struct xtsfs_fsck_totals snapshot(const struct xtsfs_fsck *fsck)
{
	const struct xtsfs_fsck_totals *t = &fsck->totals;

#define LOAD(member) .member = __atomic_load_n(&t->member, __ATOMIC_RELAXED)
	return (struct xtsfs_fsck_totals){
		LOAD(directories), LOAD(files),		LOAD(symlinks),
		LOAD(specials),	   LOAD(hard_links),	LOAD(plain_bytes),
		LOAD(sectors),	   LOAD(checked_bytes), LOAD(known_bytes),
		LOAD(problems),	   LOAD(repaired),	LOAD(left),
		LOAD(infos),	   LOAD(io_errors),	.cancelled = __atomic_load_n(&fsck->stop, __ATOMIC_RELAXED)};
#undef LOAD
}

/* Wait for the workers, tell of progress, and look whether somebody has had enough. */
static void wait_for_workers(struct xtsfs_fsck *fsck)
{
	pthread_mutex_lock(&fsck->queue_mutex);
	while (fsck->workers) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += POLL_NS;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&fsck->done_cond, &fsck->queue_mutex, &until);
		pthread_mutex_unlock(&fsck->queue_mutex);
		if (fsck->options.cancel && *fsck->options.cancel)
			__atomic_store_n(&fsck->stop, true, __ATOMIC_RELAXED);
		if (fsck->options.progress) {
			struct xtsfs_fsck_totals totals = snapshot(fsck);

			fsck->options.progress(fsck->options.data, &totals);
		}
		pthread_mutex_lock(&fsck->queue_mutex);
	}
	pthread_mutex_unlock(&fsck->queue_mutex);
}

static void run_workers(struct xtsfs_fsck *fsck)
{
	pthread_t *threads = calloc(fsck->threads, sizeof(*threads));
	unsigned made = 0;

	/* Counted before the first runs, so that none is missed by wait_for_workers(). */
	fsck->workers = fsck->threads;
	while (threads && made < fsck->threads && pthread_create(&threads[made], NULL, worker, fsck) == 0)
		made++;
	pthread_mutex_lock(&fsck->queue_mutex);
	fsck->workers -= fsck->threads - made;
	pthread_mutex_unlock(&fsck->queue_mutex);
	if (made) {
		wait_for_workers(fsck); /* fewer will do */
	} else {
		fsck->workers = 1;
		worker(fsck);
	}
	for (unsigned i = 0; i < made; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

/* ---- the volume as a whole ---- */

static void check_key_sizes(struct xtsfs_fsck *fsck)
{
	static const struct xtsfs_fsck_place root = {0};
	unsigned over = 0;

	for (unsigned i = 0; i < 256; i++)
		over += fsck->key_sectors[i] * (XTSFS_BLOCK_BYTES / 16) > ADVISED_BLOCKS;
	if (over)
		xtsfs_fsck_report(
			fsck, &root, XTSFS_FSCK_INFO, "content-key-size", XTSFS_FSCK_NOTED, 0, NULL,
			"%u of %u content keys encrypt more than the 1 TiB that IEEE 1619-2025 advises; a new "
			"volume can have more keys",
			over, fsck->options.content_keys);
}

/* The unclean marker: last, since it may go only when all else is settled. */
static int settle_marker(struct xtsfs_fsck *fsck)
{
	struct xtsfs_fsck_place place = {.name = XTSFS_NAME_UNCLEAN, .backing_name = XTSFS_NAME_UNCLEAN};
	bool settled = !xtsfs_fsck_stopped(fsck) && fsck->totals.left == 0;
	struct xtsfs_volume_state state;
	enum xtsfs_fsck_outcome outcome;
	int r = 0;

	xtsfs_volume_state(fsck->volume, &state);
	if (fsck->options.repair && settled)
		r = xtsfs_volume_clear_marker(fsck->volume);
	if (!state.marker)
		return r;
	outcome = fsck->options.repair && !settled ? XTSFS_FSCK_LEFT : xtsfs_fsck_outcome_of(fsck, r);
	xtsfs_fsck_report(fsck, &place, state.unclean ? XTSFS_FSCK_DEBRIS : XTSFS_FSCK_ERROR,
			  state.unclean ? "unclean" : "marker-bad", outcome, r,
			  outcome == XTSFS_FSCK_LEFT ? "kept until everything else is settled"
						     : "removed once everything else is settled",
			  state.unclean ? "the volume was not shut down cleanly"
					: "the unclean marker is not authentic");
	return r;
}

static void init(struct xtsfs_fsck *fsck, struct xtsfs_volume *volume, const struct xtsfs_fsck_options *options)
{
	fsck->volume = volume;
	fsck->store = volume->store;
	fsck->options = *options;
	fsck->threads = options->threads ? options->threads : volume->threads;
	fsck->lost_handle = -1;
	pthread_mutex_init(&fsck->queue_mutex, NULL);
	pthread_cond_init(&fsck->queue_cond, NULL);
	pthread_cond_init(&fsck->done_cond, NULL);
	pthread_mutex_init(&fsck->report_mutex, NULL);
	pthread_mutex_init(&fsck->lost_mutex, NULL);
	xtsfs_idset_init(&fsck->inodes);
	xtsfs_idset_init(&fsck->file_ids);
	xtsfs_idset_init(&fsck->dirids);
}

static void done(struct xtsfs_fsck *fsck)
{
	if (fsck->lost_handle >= 0)
		fsck->store->ops->close(fsck->store, fsck->lost_handle);
	xtsfs_idset_done(&fsck->inodes);
	xtsfs_idset_done(&fsck->file_ids);
	xtsfs_idset_done(&fsck->dirids);
	pthread_mutex_destroy(&fsck->lost_mutex);
	pthread_mutex_destroy(&fsck->report_mutex);
	pthread_cond_destroy(&fsck->done_cond);
	pthread_cond_destroy(&fsck->queue_cond);
	pthread_mutex_destroy(&fsck->queue_mutex);
	free(fsck);
}

int xtsfs_fsck_run(struct xtsfs_volume *volume, const struct xtsfs_fsck_options *options,
		   struct xtsfs_fsck_totals *ret_totals)
{
	struct xtsfs_fsck *fsck;
	int r = 0;

	if (options->repair && volume->read_only)
		return -EROFS;
	if ((options->damage != XTSFS_FSCK_DAMAGE_REPORT && !options->repair) || options->content_keys < 1 ||
	    options->content_keys > 256 ||
	    (options->damage == XTSFS_FSCK_DAMAGE_ZERO && volume->keys->content_keys == 0))
		return -EINVAL;
	fsck = calloc(1, sizeof(*fsck));
	if (!fsck)
		return -ENOMEM;
	init(fsck, volume, options);
	if (options->repair)
		r = fsck->store->ops->syncfs(fsck->store);
	if (r == 0)
		r = xtsfs_fsck_dir_start(fsck);
	if (r == 0)
		run_workers(fsck);
	if (r == 0 && !xtsfs_fsck_stopped(fsck)) {
		check_key_sizes(fsck);
		r = settle_marker(fsck);
	}
	*ret_totals = snapshot(fsck);
	done(fsck);
	return r;
}
