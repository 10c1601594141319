/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an import tells: messages as things go wrong, the list of them for programs, and the summary.
 *
 * Of what was not kept the first few of each kind are said, and all are in the report: a user who imports somebody
 * else's files would else read a line for each of them. Copying and verifying find the same things; a path and kind is
 * told and counted once.
 */
#include "cli-run.h"
#include "import.h"

#include "base/cleanup.h"

#include <stdarg.h>

#define SAID_MOST    10
#define WAS_TOLD     1U
#define WAS_NOT_KEPT 2U

static const char *const kinds[IMPORT_KINDS] = {
	[IMPORT_OWNER] = "owner",	   [IMPORT_MODE] = "mode",   [IMPORT_TIMES] = "times",
	[IMPORT_XATTR] = "attribute",	   [IMPORT_ACL] = "acl",     [IMPORT_LINK] = "hard link",
	[IMPORT_SPECIAL] = "special file", [IMPORT_FLAGS] = "flags", [IMPORT_PROJECT] = "project",
};
static const char *const results[IMPORT_RESULTS] = {
	[IMPORT_FAILED] = "not had",	  [IMPORT_CONFLICT] = "conflict", [IMPORT_CHANGING] = "changing",
	[IMPORT_DIFFERENT] = "different", [IMPORT_STAYS] = "stays",	  [IMPORT_BORDER] = "other filesystem",
};

/* Under x->say. Is it new? */
static bool note(struct import *x, const char *path, const char *kind, const char *detail, uint64_t flag)
{
	struct import_key whole = import_key_of(path, NULL, 0);
	xtsfs_auto_free char *text = NULL;
	uint64_t flags = 0;
	int n = asprintf(&text, "%s %s", kind, detail);

	if (n < 0) {
		text = NULL;
		return true;
	}
	if (import_set_has(x->not_equal, whole, &flags))
		import_set_change(x->not_equal, whole, flags | flag);
	else if (import_set_add(x->not_equal, whole, flag) < 0)
		__atomic_store_n(&x->fatal, -ENOMEM, __ATOMIC_RELAXED); /* else it might be removed */
	return import_set_add(x->said, import_key_of(path, text, (size_t)n), 0) != 0;
}

static const char *shown(const struct import *x, const char *path)
{
	return path[0] ? path : x->options->source;
}

static void clear(struct import *x)
{
	if (x->options->progress)
		cli_progress_clear();
}

void import_not_kept(struct import *x, enum import_kind kind, const char *reason, const char *path)
{
	/* Of the flags of a file each is told, of all else the first. */
	const char *detail = kind == IMPORT_FLAGS ? reason : "";

	xtsfs_guard_mutex(&x->say);
	if (!note(x, path, kinds[kind], detail, WAS_NOT_KEPT))
		return;
	cli_report_line(x->report, "not kept", kinds[kind], shown(x, path), reason, NULL, NULL);
	if (x->kept_not[kind]++ >= SAID_MOST)
		return;
	clear(x);
	cli_fail_exit(0, "cannot keep the %s of '%s': %s%s", kinds[kind], shown(x, path), reason,
		      x->kept_not[kind] == SAID_MOST ? "; more of these are in the report only" : "");
}

static void tell(struct import *x, enum import_result result, const char *path, const char *what, const char *reason)
{
	const char *more = "; more of these are in the report only";
	bool last;

	xtsfs_guard_mutex(&x->say);
	if (!note(x, path, results[result], "", WAS_TOLD))
		return;
	last = ++x->results[result] == SAID_MOST && result != IMPORT_FAILED;
	cli_report_line(x->report, results[result], NULL, shown(x, path), reason, NULL, NULL);
	if (x->options->quiet &&
	    (result == IMPORT_BORDER || (result == IMPORT_CONFLICT && x->options->conflict == IMPORT_CONFLICT_SKIP)))
		return;
	if (x->results[result] > SAID_MOST && result != IMPORT_FAILED)
		return;
	clear(x);
	if (what)
		cli_fail_exit(0, "cannot %s '%s': %s", what, shown(x, path), reason);
	else
		cli_fail_exit(0, "%s: '%s': %s%s", results[result], shown(x, path), reason, last ? more : "");
}

void import_tell(struct import *x, enum import_result result, const char *path, const char *reason, ...)
{
	char text[256];
	va_list args;

	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	tell(x, result, path, NULL, text);
}

void import_failed(struct import *x, int error, const char *what, const char *path)
{
	tell(x, IMPORT_FAILED, path, what, xtsfs_strerror(error));
}

bool import_was_told(struct import *x, const char *path, bool and_not_kept)
{
	uint64_t flags = 0;

	xtsfs_guard_mutex(&x->say);
	return import_set_has(x->not_equal, import_key_of(path, NULL, 0), &flags) &&
	       (flags & (and_not_kept ? WAS_TOLD | WAS_NOT_KEPT : WAS_TOLD));
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void import_show_progress(struct import *x)
{
	struct cli_progress now = {.start = x->progress.start,
				   .bytes = get(&x->progress.bytes),
				   .known_bytes = get(&x->progress.known_bytes),
				   .files = get(&x->progress.files),
				   .total_bytes = x->progress.total_bytes,
				   .total_files = x->progress.total_files,
				   .total_known = x->progress.total_known};

	xtsfs_guard_mutex(&x->say);
	cli_progress_show(&now);
}

static bool add_counts(json_object *object, const char *name, const struct import_counts *counts)
{
	json_object *inner = json_object_new_object();

	return cli_json_add_count(inner, "directories", counts->directories) &&
	       cli_json_add_count(inner, "files", counts->files) && cli_json_add_count(inner, "bytes", counts->bytes) &&
	       cli_json_add_count(inner, "hard_links", counts->links) &&
	       cli_json_add_count(inner, "symlinks", counts->symlinks) &&
	       cli_json_add_count(inner, "special_files", counts->special) && cli_json_add(object, name, inner);
}

static int print_json(struct import *x, const char *volume, int exit_code)
{
	json_object *object = json_object_new_object(), *kept_not = json_object_new_object();
	bool ok = cli_json_add_text(object, "dir", volume) && cli_json_add_text(object, "source", x->options->source) &&
		  cli_json_add_text(object, "destination", x->options->destination) &&
		  cli_json_add(object, "seconds", json_object_new_double(cli_seconds_since(&x->progress.start))) &&
		  cli_json_add(object, "complete", json_object_new_boolean(!import_stopped(x))) &&
		  cli_json_add(object, "dry_run", json_object_new_boolean(x->options->dry_run)) &&
		  add_counts(object, "copied", &x->copied) && add_counts(object, "already_there", &x->same) &&
		  add_counts(object, "verified", &x->checked) && add_counts(object, "removed", &x->removed);
	static const char *const names[IMPORT_RESULTS] = {"not_had",   "conflicts", "changing",
							  "different", "stays",	    "other_filesystems"};

	for (unsigned i = 0; ok && i < IMPORT_RESULTS; i++)
		ok = cli_json_add_count(object, names[i], x->results[i]);
	for (unsigned i = 0; ok && i < IMPORT_KINDS; i++)
		ok = cli_json_add_count(kept_not, kinds[i], x->kept_not[i]);
	ok = ok && cli_json_add(object, "not_kept", kept_not) &&
	     cli_json_add_count(object, "files_sharing_blocks", get(&x->shared_files)) &&
	     cli_json_add(object, "exit_code", json_object_new_int(exit_code));
	if (ok)
		return cli_print_json(object);
	json_object_put(object);
	return cli_fail(-ENOMEM, "cannot print");
}

static void say_counts(const char *what, const struct import_counts *counts)
{
	cli_say("%s %llu files of %llu bytes, %llu directories, %llu symlinks, %llu special files.", what,
		(unsigned long long)counts->files, (unsigned long long)counts->bytes,
		(unsigned long long)counts->directories, (unsigned long long)counts->symlinks,
		(unsigned long long)counts->special);
}

int import_summary(struct import *x, const char *volume, int exit_code)
{
	const struct import_options *options = x->options;

	if (options->json)
		return print_json(x, volume, exit_code);
	if (options->quiet)
		return 0;
	if (!options->verify_only)
		say_counts(options->dry_run ? "To be imported:" : "Imported", &x->copied);
	if (x->same.files + x->same.links)
		cli_say("%llu were there already.", (unsigned long long)(x->same.files + x->same.links));
	if (x->checked.files + x->checked.directories)
		say_counts("Compared with the source:", &x->checked);
	if (x->results[IMPORT_DIFFERENT])
		cli_say("%llu differ.", (unsigned long long)x->results[IMPORT_DIFFERENT]);
	if (x->results[IMPORT_FAILED] + x->results[IMPORT_CHANGING])
		cli_say("%llu could not be imported.",
			(unsigned long long)(x->results[IMPORT_FAILED] + x->results[IMPORT_CHANGING]));
	if (x->results[IMPORT_CONFLICT])
		cli_say("%llu are not imported, since something else is there.",
			(unsigned long long)x->results[IMPORT_CONFLICT]);
	if (x->results[IMPORT_BORDER])
		cli_say("%llu other filesystems were left out.", (unsigned long long)x->results[IMPORT_BORDER]);
	for (unsigned i = 0; i < IMPORT_KINDS; i++)
		if (x->kept_not[i])
			cli_say("Not kept: %s, of %llu.", kinds[i], (unsigned long long)x->kept_not[i]);
	if (x->shared_files)
		cli_say("%llu files shared blocks with others, and have their own by now.",
			(unsigned long long)x->shared_files);
	if (x->removed.files + x->removed.directories + x->removed.symlinks + x->removed.special)
		say_counts("Removed from the source:", &x->removed);
	if (x->results[IMPORT_STAYS])
		cli_say("%llu stay in the source.", (unsigned long long)x->results[IMPORT_STAYS]);
	return 0;
}
