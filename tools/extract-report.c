/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What extract tells: messages as things go wrong, the list of them for programs, progress, and the summary.
 */
#include "extract.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <unistd.h>

static const char *const kinds[EXTRACT_KINDS] = {
	[EXTRACT_OWNER] = "owner",	    [EXTRACT_MODE] = "mode", [EXTRACT_TIMES] = "times",
	[EXTRACT_XATTR] = "attribute",	    [EXTRACT_ACL] = "acl",   [EXTRACT_LINK] = "hard link",
	[EXTRACT_SPECIAL] = "special file",
};

/* One line, one object. Under x->say. */
static void report(struct extraction *x, const char *what, const char *kind, const char *path, int error,
		   const uint64_t *offset, const uint64_t *bytes)
{
	xtsfs_auto_free char *quoted = x->report ? xtsfs_quote(path) : NULL;
	json_object *object = quoted ? json_object_new_object() : NULL;

	if (!object)
		return;
	cli_json_add(object, "what", json_object_new_string(what));
	if (kind)
		cli_json_add(object, "kind", json_object_new_string(kind));
	cli_json_add(object, "path", json_object_new_string(quoted));
	if (offset) {
		cli_json_add(object, "offset", json_object_new_int64((int64_t)*offset));
		cli_json_add(object, "bytes", json_object_new_int64((int64_t)*bytes));
	}
	cli_json_add(object, "reason", json_object_new_string(xtsfs_strerror(error)));
	fprintf(x->report, "%s\n",
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

void extract_clear_progress(struct extraction *x)
{
	if (x->options->progress)
		dprintf(STDERR_FILENO, "\r\033[K");
}

void extract_failed(struct extraction *x, int error, const char *what, const char *path)
{
	xtsfs_guard_mutex(&x->say);

	x->failures++;
	extract_clear_progress(x);
	(void)cli_fail(error, "cannot %s '%s'", what, path);
	report(x, "not had", NULL, path, error, NULL, NULL);
}

void extract_bad_range(struct extraction *x, const char *path, uint64_t offset, uint64_t bytes, int error)
{
	xtsfs_guard_mutex(&x->say);

	extract_clear_progress(x);
	(void)cli_fail(error, "cannot read %llu bytes of '%s' from byte %llu", (unsigned long long)bytes, path,
		       (unsigned long long)offset);
	report(x, "not had", "range", path, error, &offset, &bytes);
}

void extract_not_kept(struct extraction *x, enum extract_kind kind, int error, bool silent, const char *path)
{
	xtsfs_guard_mutex(&x->say);

	if (silent) {
		x->silent_not[kind]++;
	} else {
		x->kept_not[kind]++;
		extract_clear_progress(x);
		(void)cli_fail(error, "cannot keep the %s of '%s'", kinds[kind], path);
	}
	report(x, "not kept", kinds[kind], path, error, NULL, NULL);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void extract_progress(struct extraction *x)
{
	bool known = __atomic_load_n(&x->total_known, __ATOMIC_ACQUIRE);
	uint64_t bytes = get(&x->plain_bytes), total = get(&x->total_bytes), files = get(&x->files) + get(&x->same);
	char done[16], all[16], rate[16], left[32] = "";
	struct timespec now;
	double seconds, per_s;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - x->start.tv_sec) + (double)(now.tv_nsec - x->start.tv_nsec) / 1e9;
	per_s = seconds > 0.01 ? (double)bytes / seconds : 0;
	bytes += get(&x->same_bytes);
	if (known && per_s >= 1 && total >= bytes) {
		unsigned long s = (unsigned long)((double)(total - bytes) / per_s);

		snprintf(left, sizeof(left), ", %lu:%02lu:%02lu left", s / 3600, s / 60 % 60, s % 60);
	}
	xtsfs_guard_mutex(&x->say);
	dprintf(STDERR_FILENO, "\r%s of %s%s, %llu of %s%llu files, %s/s%s\033[K", xtsfs_format_size(bytes, done),
		known ? "" : "at least ", xtsfs_format_size(total > bytes ? total : bytes, all),
		(unsigned long long)files, known ? "" : "at least ",
		(unsigned long long)(get(&x->total_files) > files ? get(&x->total_files) : files),
		xtsfs_format_size((uint64_t)per_s, rate), left);
}

void extract_summary(struct extraction *x, const char *target)
{
	cli_say("Extracted %llu files of %llu bytes to '%s'; %llu things could not be had.",
		(unsigned long long)x->files, (unsigned long long)x->plain_bytes, target,
		(unsigned long long)(x->failures + x->damaged));
	if (x->same)
		cli_say("%llu were there already.", (unsigned long long)x->same);
	if (x->damaged)
		cli_say("%llu files are damaged; what could be read of them has '.xtsfs-damaged' behind its name.",
			(unsigned long long)x->damaged);
	for (unsigned i = 0; i < EXTRACT_KINDS; i++)
		if (x->kept_not[i] + x->silent_not[i])
			cli_say("Not kept: %s, of %llu.", kinds[i],
				(unsigned long long)(x->kept_not[i] + x->silent_not[i]));
}
