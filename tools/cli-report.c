/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress with bytes, files, rate and time left; lines of a report.
 */
#include "cli-report.h"

#include "cli-run.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <unistd.h>

void cli_progress_clear(void)
{
	dprintf(STDERR_FILENO, "\r\033[K");
}

void cli_progress_show(const struct cli_progress *progress)
{
	uint64_t bytes = progress->bytes + progress->known_bytes, total = progress->total_bytes;
	uint64_t files = progress->files;
	double seconds = cli_seconds_since(&progress->start);
	double per_s = seconds > 0.01 ? (double)progress->bytes / seconds : 0;
	const char *least = progress->total_known ? "" : "at least ";
	char done[16], all[16], rate[16], left[32] = "";

	if (progress->total_known && per_s >= 1 && total >= bytes) {
		unsigned long s = (unsigned long)((double)(total - bytes) / per_s);

		snprintf(left, sizeof(left), ", %lu:%02lu:%02lu left", s / 3600, s / 60 % 60, s % 60);
	}
	dprintf(STDERR_FILENO, "\r%s of %s%s, %llu of %s%llu files, %s/s%s\033[K", xtsfs_format_size(bytes, done),
		least, xtsfs_format_size(total > bytes ? total : bytes, all), (unsigned long long)files, least,
		(unsigned long long)(progress->total_files > files ? progress->total_files : files),
		xtsfs_format_size((uint64_t)per_s, rate), left);
}

void cli_report_line(FILE *file, const char *what, const char *kind, const char *path, const char *reason,
		     const uint64_t *offset, const uint64_t *bytes)
{
	xtsfs_auto_free char *quoted = file ? xtsfs_quote(path) : NULL;
	json_object *object = quoted ? json_object_new_object() : NULL;

	if (!object)
		return;
	cli_json_add(object, "what", json_object_new_string(what));
	if (kind)
		cli_json_add(object, "kind", json_object_new_string(kind));
	cli_json_add(object, "path", json_object_new_string(quoted));
	if (offset && bytes) {
		cli_json_add(object, "offset", json_object_new_int64((int64_t)*offset));
		cli_json_add(object, "bytes", json_object_new_int64((int64_t)*bytes));
	}
	if (reason)
		cli_json_add(object, "reason", json_object_new_string(reason));
	fprintf(file, "%s\n",
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}
