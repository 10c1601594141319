/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on names: making, removing, renaming and linking, listing.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_DEPTH 8U

/* Neither an own top nor the common directory itself: they stay. */
static bool is_fixed(const struct place *place)
{
	return !place->dir && !place->error;
}

static bool is_done(struct world *w, const char *what, long got, long want, int *ret)
{
	*ret = expect(w, what, got, want);
	return *ret == 0 && got == 0;
}

static int do_make(struct world *w, const struct op *op)
{
	mode_t mode = op->seed % 2 ? 0755 : (mode_t)(op->seed / 2 % 0100) | 0700;
	char target[MOST_TARGET + 1] = "nowhere/at/all";
	struct place place;
	struct node *node;
	long want, got;
	int r;

	find(w, op->a, &place);
	if (is_fixed(&place))
		return 0;
	want = place.error ? place.error : place.node ? -EEXIST : 0;
	if (op->kind == K_MKDIR) {
		got = result(mkdir(place.path, mode));
	} else if (op->kind == K_MKFIFO) {
		got = result(mkfifo(place.path, mode));
	} else {
		uint64_t bytes = op->bytes % 5 ? op->bytes % 60 : op->bytes % w->most_target + 1;

		for (uint64_t i = 14; i < bytes; i++)
			target[i] = (char)('a' + (op->seed + i * i) % 26);
		got = result(symlink(target, place.path));
	}
	if (!is_done(w, kind_names[op->kind], got, want, &r))
		return r;
	node = node_new(w,
			op->kind == K_MKDIR    ? T_DIR
			: op->kind == K_MKFIFO ? T_FIFO
					       : T_LINK,
			op->kind == K_SYMLINK ? 0777 : mode, place.dir);
	if (op->kind == K_SYMLINK) {
		node->target = strdup(target);
		assert(node->target);
	}
	node_link(place.dir, place.name, node);
	return 0;
}

static int do_remove(struct world *w, const struct op *op)
{
	struct place place;
	long want, got;
	int r;

	find(w, op->a, &place);
	if (is_fixed(&place))
		return 0;
	want = place.error ? place.error : !place.node ? -ENOENT : 0;
	if (op->kind == K_RMDIR) {
		got = result(rmdir(place.path));
		if (!want)
			want = place.node->type != T_DIR ? -ENOTDIR : node_is_empty(place.node) ? 0 : -ENOTEMPTY;
	} else {
		got = result(unlink(place.path));
		if (!want && place.node->type == T_DIR)
			want = -EISDIR;
	}
	if (is_done(w, kind_names[op->kind], got, want, &r))
		node_unlink(place.dir, place.name);
	return r;
}

/* The order of the checks is that of the kernel. */
static long rename_result(const struct place *a, const struct place *b, unsigned flags)
{
	if (a->error || b->error)
		return a->error ? a->error : b->error;
	if (!a->node)
		return -ENOENT;
	if (flags & RENAME_NOREPLACE && b->node)
		return -EEXIST;
	if (flags & RENAME_EXCHANGE && !b->node)
		return -ENOENT;
	if (a->dir != b->dir && a->node->type == T_DIR && node_is_below(b->dir, a->node))
		return -EINVAL;
	if (a->dir != b->dir && b->node && b->node->type == T_DIR && node_is_below(a->dir, b->node))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (a->node == b->node || !b->node || flags & RENAME_EXCHANGE)
		return 0;
	if (a->node->type == T_DIR)
		return b->node->type != T_DIR ? -ENOTDIR : node_is_empty(b->node) ? 0 : -ENOTEMPTY;
	return b->node->type == T_DIR ? -EISDIR : 0;
}

static unsigned depth(const struct node *dir)
{
	unsigned n = 0;

	for (; dir; dir = dir->parent)
		n++;
	return n;
}

static void model_rename(const struct place *a, const struct place *b, unsigned flags)
{
	struct node *moved = a->node, *other = b->node;

	if (moved == other)
		return; /* names of one file: both stay */
	if (flags & RENAME_EXCHANGE) {
		b->dir->child[b->name] = moved;
		a->dir->child[a->name] = other;
		if (a->dir != b->dir) /* xfs takes the new ".." for a change */
			moved->mtime_known = other->mtime_known = TIME_ANY;
		if (moved->type == T_DIR)
			moved->parent = b->dir;
		if (other->type == T_DIR)
			other->parent = a->dir;
	} else {
		if (other)
			node_unlink(b->dir, b->name);
		a->dir->child[a->name] = NULL;
		b->dir->child[b->name] = moved;
		if (moved->type == T_DIR)
			moved->parent = b->dir;
	}
	node_touch(a->dir);
	node_touch(b->dir);
}

static int do_rename(struct world *w, const struct op *op)
{
	static const unsigned all_flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	unsigned flags = all_flags[op->how % 5];
	struct place a, b;
	long got;
	int r;

	find(w, op->a, &a);
	find(w, op->b, &b);
	if (is_fixed(&a) || is_fixed(&b))
		return 0;
	if (!a.error && !b.error && a.node && depth(b.dir) + 1 + node_height(a.node) > MOST_DEPTH)
		return 0;
	if (!a.error && !b.error && b.node && depth(a.dir) + 1 + node_height(b.node) > MOST_DEPTH)
		return 0;
	got = result(renameat2(AT_FDCWD, a.path, AT_FDCWD, b.path, flags));
	if (got == -EEXIST && rename_result(&a, &b, flags) == -ENOTEMPTY)
		got = -ENOTEMPTY; /* POSIX leaves the choice, and xfs has made the other one */
	if (is_done(w, flags ? flags == RENAME_EXCHANGE ? "exchange" : "rename without replacing" : "rename", got,
		    rename_result(&a, &b, flags), &r))
		model_rename(&a, &b, flags);
	return r;
}

static int do_link(struct world *w, const struct op *op)
{
	struct place a, b;
	long want, got;
	int r;

	find(w, op->a, &a);
	find(w, op->b, &b);
	if (is_fixed(&a) || is_fixed(&b))
		return 0;
	want = a.error		       ? a.error
	       : !a.node	       ? -ENOENT
	       : b.error	       ? b.error
	       : b.node		       ? -EEXIST
	       : a.node->type == T_DIR ? -EPERM
				       : 0;
	got = result(link(a.path, b.path));
	if (is_done(w, "link", got, want, &r))
		node_link(b.dir, b.name, a.node);
	return r;
}

/* A row of names in one directory, empty files all of them. */
static int do_many(struct world *w, const struct op *op)
{
	unsigned first = 16 + (unsigned)(op->seed % 60), count = 1 + (unsigned)(op->bytes % 50);
	char text[256], path[PATH_ROOM + 300];
	struct place place;

	find(w, op->a, &place);
	if (place.error || !place.node || place.node->type != T_DIR)
		return 0;
	for (unsigned name = first; name < first + count && name < COMMON_NAME; name++) {
		struct node *have = place.node->child[name];
		int fd;

		name_text(w, place.node, name, text);
		snprintf(path, sizeof(path), "%s/%s", place.path, text);
		if (op->kind == K_FEWER) {
			long want = !have ? -ENOENT : have->type == T_DIR ? -EISDIR : 0;

			if (expect(w, "one of many unlinks", result(unlink(path)), want) < 0)
				return -1;
			if (want == 0)
				node_unlink(place.node, name);
			continue;
		}
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
		if (expect(w, "one of many creates", fd < 0 ? result(fd) : 0, have ? -EEXIST : 0) < 0)
			return -1;
		if (fd >= 0) {
			close(fd);
			node_link(place.node, name, node_new(w, T_FILE, 0600, place.node));
		}
	}
	return 0;
}

static int do_list(struct world *w, const struct op *op)
{
	struct place place;
	long want;

	find(w, op->a, &place);
	want = place.error		    ? place.error
	       : !place.node		    ? -ENOENT
	       : place.node->type == T_LINK ? -ENOENT
	       : place.node->type != T_DIR  ? -ENOTDIR
					    : 0;
	if (want < 0) {
		int fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		return expect(w, "open of a directory", fd < 0 ? result(fd) : 0, want);
	}
	return check_list(w, place.node, place.path);
}

static int do_stat(struct world *w, const struct op *op)
{
	char target[4096];
	struct place place;
	struct stat st;
	long got;
	int r;

	find(w, op->a, &place);
	got = result(lstat(place.path, &st));
	r = expect(w, "stat", got, place.error ? place.error : place.node ? 0 : -ENOENT);
	if (r < 0 || got < 0)
		return r;
	r = check_stat(w, &st, place.node, place.path);
	if (r == 0 && place.node->type == T_LINK) {
		r = expect(w, "readlink", result(readlink(place.path, target, sizeof(target))),
			   (long)strlen(place.node->target));
		if (r == 0 && memcmp(target, place.node->target, strlen(place.node->target)) != 0)
			r = fail(w, "readlink gave another target");
	}
	return r;
}

int op_names(struct world *w, const struct op *op)
{
	switch (op->kind) {
	case K_MKDIR:
	case K_SYMLINK:
	case K_MKFIFO:
		return do_make(w, op);
	case K_RMDIR:
	case K_UNLINK:
		return do_remove(w, op);
	case K_RENAME:
		return do_rename(w, op);
	case K_LINK:
		return do_link(w, op);
	case K_MANY:
	case K_FEWER:
		return do_many(w, op);
	case K_LIST:
		return do_list(w, op);
	default:
		return do_stat(w, op);
	}
}
