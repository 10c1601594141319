/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What extract tells: messages as things go wrong, the list of them for programs, progress, and the summary.
 */
#include "cli-report.h"
#include "extract.h"

#include "base/cleanup.h"

static const char *const kinds[EXTRACT_KINDS] = {
	[EXTRACT_OWNER] = "owner",	    [EXTRACT_MODE] = "mode", [EXTRACT_TIMES] = "times",
	[EXTRACT_XATTR] = "attribute",	    [EXTRACT_ACL] = "acl",   [EXTRACT_LINK] = "hard link",
	[EXTRACT_SPECIAL] = "special file",
};

/* Under x->say. */
static void report(struct extraction *x, const char *what, const char *kind, const char *path, int error,
		   const uint64_t *offset, const uint64_t *bytes)
{
	cli_report_line(x->report, what, kind, path, xtsfs_strerror(error), offset, bytes);
}

void extract_clear_progress(struct extraction *x)
{
	if (x->options->progress)
		cli_progress_clear();
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
	struct cli_progress progress = {.start = x->start,
					.total_known = __atomic_load_n(&x->total_known, __ATOMIC_ACQUIRE)};

	progress.bytes = get(&x->plain_bytes);
	progress.known_bytes = get(&x->same_bytes);
	progress.files = get(&x->files) + get(&x->same);
	progress.total_bytes = get(&x->total_bytes);
	progress.total_files = get(&x->total_files);
	xtsfs_guard_mutex(&x->say);
	cli_progress_show(&progress);
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
