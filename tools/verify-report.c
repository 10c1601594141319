/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What verify tells: messages, the list of paths, the report for programs, progress.
 *
 * Standard output has the paths of what is damaged, each once and sorted, and nothing else (or the report): it can be
 * given to what fetches these files from a backup.
 */
#include "cli-run.h"
#include "verify.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "core/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void verify_clear_progress(const struct verify_run *run)
{
	if (run->progress)
		dprintf(STDERR_FILENO, "\r\033[K");
}

void verify_progress(struct verify_run *run, const struct xtsfs_fsck_totals *totals)
{
	double seconds = cli_seconds_since(&run->start);
	char checked[16], rate[16], known[16];

	if (!run->progress)
		return;
	if (run->again) {
		dprintf(STDERR_FILENO, "\rlooking again at %zu findings\033[K", run->count);
		return;
	}
	dprintf(STDERR_FILENO, "\r%llu directories, %llu files, %s at %s/s%s%s%s, %llu findings\033[K",
		(unsigned long long)totals->directories, (unsigned long long)totals->files,
		xtsfs_format_size(totals->checked_bytes, checked),
		xtsfs_format_size(seconds > 0.01 ? (uint64_t)((double)totals->checked_bytes / seconds) : 0, rate),
		totals->known_bytes ? ", " : "",
		totals->known_bytes ? xtsfs_format_size(totals->known_bytes, known) : "",
		totals->known_bytes ? " known" : "", (unsigned long long)totals->problems);
}

size_t verify_count(const struct verify_run *run, enum verify_verdict verdict)
{
	size_t count = 0;

	for (size_t i = 0; i < run->count; i++)
		count += run->findings[i].verdict == verdict;
	return count;
}

static const char *word_of(enum verify_verdict verdict)
{
	switch (verdict) {
	case VERIFY_DAMAGED:
		return "damaged";
	case VERIFY_UNREAD:
		return "not read";
	case VERIFY_UNSETTLED:
		return "not settled, it is being written";
	default:
		return NULL;
	}
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Copies, since those of findings and of differences are made in different ways. NULL: nowhere to be found. */
static char *path_of_difference(struct verify_run *run, const struct manifest_difference *difference, bool cipher)
{
	char *path = NULL;

	if (!cipher)
		return asprintf(&path, "/%s", difference->path) < 0 ? NULL : path;
	return xtsfs_path_to_backing(run->fs, difference->path, &path) < 0 ? NULL : path;
}

static int print_paths(struct verify_run *run, const struct verify_listing *listing)
{
	xtsfs_auto_free char **paths = calloc(run->count + run->diff.count + 1, sizeof(*paths));
	size_t count = 0;

	if (!paths)
		return cli_fail(-ENOMEM, "cannot list");
	for (size_t i = 0; i < run->count; i++) {
		if (run->findings[i].verdict != VERIFY_DAMAGED)
			continue;
		paths[count] = strdup(listing->cipher ? run->findings[i].backing_path : run->findings[i].path);
		count += paths[count] != NULL;
	}
	for (size_t i = 0; i < run->diff.count; i++) {
		paths[count] = path_of_difference(run, &run->diff.differences[i], listing->cipher);
		count += paths[count] != NULL;
	}
	qsort(paths, count, sizeof(*paths), compare_paths);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && strcmp(paths[i], paths[i - 1]) == 0)
			continue;
		if (listing->zero)
			(void)fwrite(paths[i], strlen(paths[i]) + 1, 1, stdout); /* cli_finish() says if not */
		else
			cli_say("%s", paths[i]);
	}
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
	return 0;
}

static json_object *json_manifest(const struct verify_run *run)
{
	json_object *object = json_object_new_object(), *array = json_object_new_array();
	bool good = array != NULL;

	for (size_t i = 0; good && i < run->diff.count; i++) {
		const struct manifest_difference *difference = &run->diff.differences[i];
		json_object *one = json_object_new_object();

		good = cli_json_add_text(one, "what", manifest_kind_name(difference->kind)) &&
		       cli_json_add_text(one, "path", difference->path) &&
		       (!difference->from || cli_json_add_text(one, "from", difference->from)) &&
		       json_object_array_add(array, one) == 0;
		if (!good)
			json_object_put(one);
	}
	good = cli_json_add(object, "differences", array) && good;
	if (good && cli_json_add_count(object, "created_unix_s", (uint64_t)run->diff.created_s) &&
	    cli_json_add_count(object, "entries", run->diff.entries))
		return object;
	json_object_put(object);
	return NULL;
}

static void say_differences(const struct verify_run *run)
{
	for (size_t i = 0; i < run->diff.count; i++) {
		const struct manifest_difference *difference = &run->diff.differences[i];

		cli_fail_exit(0, "not as in the manifest: '/%s': %s%s%s%s", difference->path,
			      manifest_kind_name(difference->kind), difference->from ? ", it has the file of '/" : "",
			      difference->from ? difference->from : "", difference->from ? "'" : "");
	}
}

static json_object *json_findings(const struct verify_run *run, enum verify_verdict verdict)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < run->count; i++) {
		const struct verify_finding *finding = &run->findings[i];
		json_object *object;

		if (finding->verdict != verdict)
			continue;
		object = json_object_new_object();
		if (!cli_json_add_text(object, "path", finding->path) ||
		    !cli_json_add_text(object, "backing_path", finding->backing_path) ||
		    !cli_json_add_text(object, "code", finding->code) ||
		    !cli_json_add_text(object, "detail", finding->detail) || json_object_array_add(array, object) < 0) {
			json_object_put(object);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static json_object *json_totals(const struct xtsfs_fsck_totals *totals)
{
	json_object *object = json_object_new_object();

	if (cli_json_add_count(object, "directories", totals->directories) &&
	    cli_json_add_count(object, "files", totals->files) &&
	    cli_json_add_count(object, "symlinks", totals->symlinks) &&
	    cli_json_add_count(object, "special_files", totals->specials) &&
	    cli_json_add_count(object, "hard_links", totals->hard_links) &&
	    cli_json_add_count(object, "bytes", totals->plain_bytes) &&
	    cli_json_add_count(object, "sectors", totals->sectors) &&
	    cli_json_add_count(object, "checked_bytes", totals->checked_bytes) &&
	    cli_json_add_count(object, "known_bytes", totals->known_bytes))
		return object;
	json_object_put(object);
	return NULL;
}

static int print_json(const struct verify_run *run, int exit_code)
{
	const struct xtsfs_config *config = run->volume->conf->config;
	json_object *object = json_object_new_object();
	char uuid[XTSFS_UUID_CHARS + 1], now[32];

	xtsfs_uuid_format(config->uuid, uuid);
	if (!cli_json_add_text(object, "dir", run->volume->dir) || !cli_json_add_text(object, "uuid", uuid) ||
	    !cli_json_add_text(object, "integrity", xtsfs_integrity_name(config->integrity)) ||
	    !cli_json_add_text(object, "finished", cli_format_now(now)) ||
	    !cli_json_add(object, "seconds", json_object_new_double(cli_seconds_since(&run->start))) ||
	    !cli_json_add(object, "complete", json_object_new_boolean(!run->totals.cancelled)) ||
	    !cli_json_add(object, "resumed", json_object_new_boolean(run->resumed)) ||
	    !cli_json_add_count(object, "exit_code", (uint64_t)exit_code) ||
	    !cli_json_add(object, "damaged", json_findings(run, VERIFY_DAMAGED)) ||
	    !cli_json_add(object, "not_read", json_findings(run, VERIFY_UNREAD)) ||
	    !cli_json_add(object, "not_settled", json_findings(run, VERIFY_UNSETTLED)) ||
	    !cli_json_add_count(object, "not_found_again", verify_count(run, VERIFY_GONE)) ||
	    !cli_json_add_count(object, "traces", run->traces) ||
	    (run->has_manifest && !cli_json_add(object, "manifest", json_manifest(run))) ||
	    !cli_json_add(object, "totals", json_totals(&run->totals))) {
		json_object_put(object);
		object = NULL;
	}
	return cli_print_json(object);
}

static void say_summary(const struct verify_run *run)
{
	const struct xtsfs_fsck_totals *totals = &run->totals;
	size_t damaged = verify_count(run, VERIFY_DAMAGED), other = verify_count(run, VERIFY_UNREAD);
	char read[16], known[16];

	cli_fail_exit(0, "%s%llu directories, %llu files, %llu symbolic links; %s read%s%s%s",
		      totals->cancelled ? "interrupted after " : "", (unsigned long long)totals->directories,
		      (unsigned long long)totals->files, (unsigned long long)totals->symlinks,
		      xtsfs_format_size(totals->checked_bytes, read), totals->known_bytes ? ", " : "",
		      totals->known_bytes ? xtsfs_format_size(totals->known_bytes, known) : "",
		      totals->known_bytes ? " known to be good from an earlier run" : "");
	if (run->volume->conf->config->integrity == XTSFS_INTEGRITY_NONE)
		cli_fail_exit(0, "the volume has integrity none: of content there is nothing to verify");
	if (run->traces)
		cli_fail_exit(0, "%llu traces of a crash, which are no damage; xtsfsctl fsck --repair settles them",
			      (unsigned long long)run->traces);
	if (damaged + other)
		cli_fail_exit(0, "%zu findings of damage, %zu things that could not be read", damaged, other);
	else
		cli_fail_exit(0, "%s", totals->cancelled ? "no damage so far" : "no damage");
}

/* By path: in the order in which people look for things, and the same at each run. */
static int compare_told(const void *a, const void *b)
{
	const struct verify_finding *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	if (order == 0)
		order = strcmp(x->code, y->code);
	if (order == 0 && x->first_part != y->first_part)
		order = x->first_part < y->first_part ? -1 : 1;
	return order ? order : strcmp(x->detail, y->detail);
}

int verify_tell(struct verify_run *run, const struct verify_listing *listing, int exit_code)
{
	int r;

	verify_clear_progress(run);
	if (run->count)
		qsort(run->findings, run->count, sizeof(*run->findings), compare_told);
	for (size_t i = 0; i < run->count && !run->quiet; i++) {
		const struct verify_finding *finding = &run->findings[i];
		const char *word = word_of(finding->verdict);

		if (word)
			cli_fail_exit(0, "%s: '%s': %s [%s, %s]", word, finding->path, finding->detail, finding->code,
				      finding->backing_path);
	}
	if (!run->quiet)
		say_differences(run);
	r = listing->json ? print_json(run, exit_code) : print_paths(run, listing);
	if (run->progress)
		say_summary(run);
	return r ? r : exit_code;
}
