/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume against a manifest: both in one order, a directory before what is in it and names by their bytes, so one
 * pass over both compares them, and only the differences are kept.
 *
 * Of those it is then told what they are: two entries that have each other's files were swapped, one that has another's
 * was moved; other content with an earlier time was probably put back to an older state; and what an earlier manifest
 * has exactly like that certainly was. Times are the backing filesystem's and prove nothing, tags and ids do.
 */
#include "manifest-diff.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

const char *manifest_kind_name(enum manifest_kind kind)
{
	static const char *const names[MANIFEST_KINDS] = {
		[MANIFEST_MISSING] = "missing",	  [MANIFEST_ADDED] = "added", [MANIFEST_CHANGED] = "changed",
		[MANIFEST_REPLACED] = "replaced", [MANIFEST_OLDER] = "older", [MANIFEST_BACK] = "rolled back",
		[MANIFEST_SWAPPED] = "swapped",	  [MANIFEST_MOVED] = "moved", [MANIFEST_ATTRIBUTES] = "attributes",
		[MANIFEST_UNREAD] = "not read"};

	return names[kind];
}

/* ---- paths of a manifest's entries, and their order ---- */

struct stream {
	struct manifest_file file;
	struct xtsfs_manifest_entry entry;
	bool has_entry;
	char *path;   /* of it */
	size_t *ends; /* how much of the path is the entry at that depth */
	size_t depth_room, path_room;
};

static int grow(struct stream *stream, size_t depth, size_t bytes)
{
	if (depth >= stream->depth_room) {
		size_t room = depth * 2 + 16;
		size_t *ends = realloc(stream->ends, room * sizeof(*ends));

		if (!ends)
			return -ENOMEM;
		stream->ends = ends;
		stream->depth_room = room;
	}
	if (bytes >= stream->path_room) {
		size_t room = bytes * 2 + 512;
		char *path = realloc(stream->path, room);

		if (!path)
			return -ENOMEM;
		stream->path = path;
		stream->path_room = room;
	}
	return 0;
}

static int stream_next(struct stream *stream, int *ret_exit)
{
	int r = manifest_file_next(&stream->file, &stream->entry, ret_exit);
	size_t depth = stream->entry.depth, at;

	stream->has_entry = r == 1;
	if (r <= 0)
		return r;
	at = depth > 0 && stream->ends ? stream->ends[depth - 1] : 0;
	r = grow(stream, depth, at + strlen(stream->entry.name) + 2);
	if (r < 0) {
		*ret_exit = cli_fail(r, "cannot compare");
		return r;
	}
	if (at > 0)
		stream->path[at++] = '/';
	strcpy(stream->path + at, stream->entry.name);
	stream->ends[depth] = at + strlen(stream->entry.name);
	return 1;
}

static void stream_done(struct stream *stream)
{
	manifest_file_done(&stream->file);
	free(stream->path);
	free(stream->ends);
}

/* In the order of the walk: a slash comes before every other byte. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	if (*a == *b)
		return 0;
	if (!*a || !*b)
		return *a ? 1 : -1;
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

/* ---- collecting ---- */

struct comparison {
	struct xtsfs_volume *fs;
	struct stream stream;
	struct manifest_diff *diff;
	int exit_code;
};

static void add(struct comparison *c, enum manifest_kind kind, const char *path,
		const struct xtsfs_manifest_entry *then, const struct xtsfs_manifest_entry *now)
{
	struct manifest_diff *diff = c->diff;
	struct manifest_difference difference = {.kind = kind, .path = strdup(path)};

	if (difference.path && diff->count == diff->room) {
		size_t room = diff->room ? diff->room * 2 : 64;
		struct manifest_difference *more = realloc(diff->differences, room * sizeof(*more));

		if (more) {
			diff->differences = more;
			diff->room = room;
		}
	}
	if (!difference.path || diff->count == diff->room) {
		free(difference.path);
		c->exit_code = cli_fail(-ENOMEM, "cannot compare");
		return;
	}
	if (then)
		difference.then = *then;
	if (now)
		difference.now = *now;
	diff->differences[diff->count++] = difference;
}

static bool is_earlier(const struct xtsfs_manifest_entry *a, const struct xtsfs_manifest_entry *b)
{
	return a->mtime_s < b->mtime_s || (a->mtime_s == b->mtime_s && a->mtime_ns < b->mtime_ns);
}

static bool is_same_content(const struct xtsfs_manifest_entry *a, const struct xtsfs_manifest_entry *b)
{
	return a->size == b->size && memcmp(a->tag, b->tag, sizeof(a->tag)) == 0;
}

static void compare(struct comparison *c, const char *path, const struct xtsfs_manifest_entry *then,
		    const struct xtsfs_manifest_entry *now)
{
	bool same_type = ((then->mode ^ now->mode) & S_IFMT) == 0;
	bool same_id = memcmp(then->id, now->id, sizeof(then->id)) == 0;

	if (!same_type || !same_id || !is_same_content(then, now))
		add(c,
		    same_type && is_earlier(now, then) ? MANIFEST_OLDER
		    : same_type && same_id	       ? MANIFEST_CHANGED
						       : MANIFEST_REPLACED,
		    path, then, now);
	else if (then->mode != now->mode || then->uid != now->uid || then->gid != now->gid ||
		 memcmp(then->attr, now->attr, sizeof(then->attr)) != 0)
		add(c, MANIFEST_ATTRIBUTES, path, then, now);
}

/* What the manifest has before @path is not there. NULL: all that is left. */
static void pass_missing(struct comparison *c, const char *path)
{
	while (c->exit_code == 0 && c->stream.has_entry && (!path || compare_paths(c->stream.path, path) < 0)) {
		add(c, MANIFEST_MISSING, c->stream.path, &c->stream.entry, NULL);
		(void)stream_next(&c->stream, &c->exit_code);
	}
}

static enum cli_tree_step visit(void *data, const struct cli_tree_entry *entry)
{
	struct comparison *c = data;
	struct xtsfs_manifest_entry now = {0};
	int r = xtsfs_manifest_describe(c->fs, entry->node, entry->st, &now);

	pass_missing(c, entry->path);
	if (c->exit_code)
		return CLI_TREE_STOP;
	c->diff->entries++;
	if (c->stream.has_entry && compare_paths(c->stream.path, entry->path) == 0) {
		if (r < 0)
			add(c, MANIFEST_UNREAD, entry->path, &c->stream.entry, NULL);
		else
			compare(c, entry->path, &c->stream.entry, &now);
		(void)stream_next(&c->stream, &c->exit_code);
	} else {
		add(c, r < 0 ? MANIFEST_UNREAD : MANIFEST_ADDED, entry->path, NULL, &now);
	}
	return c->exit_code ? CLI_TREE_STOP : CLI_TREE_GO_ON;
}

/* ---- swapped, moved ---- */

static bool has_id(const uint8_t *id)
{
	return !xtsfs_is_zero(id, XTSFS_ID_BYTES);
}

static int compare_then(const void *a, const void *b)
{
	return memcmp((*(struct manifest_difference *const *)a)->then.id,
		      (*(struct manifest_difference *const *)b)->then.id, XTSFS_ID_BYTES);
}

static struct manifest_difference *owner_of(struct manifest_difference **by_id, size_t count, const uint8_t *id)
{
	struct manifest_difference key, *pointer = &key, **found;

	memcpy(key.then.id, id, XTSFS_ID_BYTES);
	found = bsearch(&pointer, by_id, count, sizeof(*by_id), compare_then);
	return found ? *found : NULL;
}

static int find_moves(struct manifest_diff *diff)
{
	struct manifest_difference **by_id = calloc(diff->count + 1, sizeof(struct manifest_difference *));
	size_t count = 0;

	if (!by_id)
		return cli_fail(-ENOMEM, "cannot compare");
	for (size_t i = 0; i < diff->count; i++)
		if (has_id(diff->differences[i].then.id))
			by_id[count++] = &diff->differences[i];
	qsort(by_id, count, sizeof(*by_id), compare_then);
	for (size_t i = 0; i < diff->count; i++) {
		struct manifest_difference *here = &diff->differences[i], *there;

		if ((here->kind != MANIFEST_ADDED && here->kind != MANIFEST_REPLACED && here->kind != MANIFEST_OLDER) ||
		    !has_id(here->now.id) || memcmp(here->now.id, here->then.id, sizeof(here->now.id)) == 0)
			continue;
		there = owner_of(by_id, count, here->now.id);
		if (!there || there == here)
			continue;
		here->from = strdup(there->path);
		here->kind = has_id(here->then.id) && memcmp(there->now.id, here->then.id, sizeof(here->then.id)) == 0
				     ? MANIFEST_SWAPPED
				     : MANIFEST_MOVED;
	}
	free(by_id);
	return 0;
}

int manifest_compare(struct xtsfs_volume *fs, const char *path, struct manifest_diff *ret_diff)
{
	struct comparison c = {.fs = fs, .diff = ret_diff};
	struct cli_tree tree = {.fs = fs, .visit = visit, .data = &c, .sorted = true};

	*ret_diff = (struct manifest_diff){0};
	c.exit_code = manifest_file_open(path, fs, &c.stream.file);
	ret_diff->created_s = c.stream.file.created_s;
	if (c.exit_code == 0 && stream_next(&c.stream, &c.exit_code) == 1) {
		cli_tree_walk(&tree, "");
		pass_missing(&c, NULL);
		ret_diff->exit_code = tree.exit_code;
	}
	stream_done(&c.stream);
	return c.exit_code ? c.exit_code : find_moves(ret_diff);
}

int manifest_find_back(struct xtsfs_volume *fs, const char *path, struct manifest_diff *diff)
{
	struct stream stream = {0};
	size_t at = 0;
	int exit_code = manifest_file_open(path, fs, &stream.file);

	while (exit_code == 0 && stream_next(&stream, &exit_code) == 1) {
		struct manifest_difference *difference;

		while (at < diff->count && compare_paths(diff->differences[at].path, stream.path) < 0)
			at++;
		difference = at < diff->count ? &diff->differences[at] : NULL;
		if (!difference || strcmp(difference->path, stream.path) != 0 || difference->kind == MANIFEST_MISSING ||
		    difference->kind == MANIFEST_UNREAD || !S_ISREG(difference->now.mode) ||
		    memcmp(difference->now.id, stream.entry.id, sizeof(stream.entry.id)) != 0 ||
		    !is_same_content(&difference->now, &stream.entry))
			continue;
		if (difference->kind != MANIFEST_ATTRIBUTES)
			difference->kind = MANIFEST_BACK;
	}
	stream_done(&stream);
	return exit_code;
}

void manifest_diff_done(struct manifest_diff *diff)
{
	for (size_t i = 0; i < diff->count; i++) {
		free(diff->differences[i].path);
		free(diff->differences[i].from);
	}
	free(diff->differences);
	*diff = (struct manifest_diff){0};
}
