/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over a tree of a volume, for the verbs that look at each thing in it.
 *
 * Part of a volume may be missing or damaged: a copy that was cut off, a bad disk. What cannot be had is said, with its
 * plain path as far as that is known, and everything else is visited.
 */
#include "cli-fs.h"

#include "base/cleanup.h"
#include "core/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void missed(struct cli_tree *tree, int error, const char *what, const char *path)
{
	int exit_code = XTSFS_EXIT_IO;

	if (!tree->silent)
		exit_code = cli_fail_inside(error, "cannot %s '%s'", what, path[0] ? path : "/");
	if (tree->exit_code == 0)
		tree->exit_code = exit_code;
}

static void walk(struct cli_tree *tree, const struct cli_tree_entry *entry);

/* @dir NULL: the name is looked up in the parent's node, and may be gone by now. */
static int walk_entry(struct cli_tree *tree, const struct cli_tree_entry *parent, struct xtsfs_dir *dir,
		      const char *name)
{
	struct cli_tree_entry entry = {.depth = parent->depth + 1};
	xtsfs_auto_free char *path = NULL;
	struct stat st;
	int r;

	if (asprintf(&path, "%s%s%s", parent->path, parent->path[0] ? "/" : "", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = dir ? xtsfs_dir_lookup(dir, &entry.node, &st)
		: xtsfs_lookup(tree->fs, parent->node, name, &entry.node, &st);
	if (r == -ENOENT && !dir)
		return 0;
	if (r < 0) {
		missed(tree, r, "look at", path);
		return 0;
	}
	entry.path = path;
	entry.name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	entry.st = &st;
	walk(tree, &entry);
	xtsfs_forget(tree->fs, entry.node, 1);
	return 0;
}

struct names {
	char **names;
	size_t count, room;
};

static int add_name(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 64;
		char **more = realloc(names->names, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		names->names = more;
		names->room = room;
	}
	names->names[names->count] = strdup(name);
	return names->names[names->count++] ? 0 : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names that were collected, in their order. */
static int walk_names(struct cli_tree *tree, const struct cli_tree_entry *entry, struct names *names, int r)
{
	if (r == 0 && names->count)
		qsort(names->names, names->count, sizeof(names->names[0]), compare_names);
	for (size_t i = 0; i < names->count; i++) {
		if (r == 0 && !tree->stopped)
			r = walk_entry(tree, entry, NULL, names->names[i]);
		free(names->names[i]);
	}
	free(names->names);
	return r;
}

static void walk_directory(struct cli_tree *tree, const struct cli_tree_entry *entry)
{
	struct names names = {0};
	struct xtsfs_dirent record;
	struct xtsfs_dir *dir;
	uint64_t lost;
	int r = xtsfs_opendir(tree->fs, entry->node, &dir);

	if (r < 0) {
		missed(tree, r, "list", entry->path);
		return;
	}
	while (!tree->stopped && (r = xtsfs_readdir(dir, &record)) > 0) {
		if (strcmp(record.name, ".") == 0 || strcmp(record.name, "..") == 0)
			continue;
		r = tree->sorted ? add_name(&names, record.name) : walk_entry(tree, entry, dir, record.name);
		if (r < 0)
			break;
	}
	lost = xtsfs_dir_lost(dir);
	xtsfs_closedir(dir);
	r = walk_names(tree, entry, &names, r);
	if (r < 0)
		missed(tree, r, "list", entry->path);
	if (lost && tree->exit_code == 0)
		tree->exit_code = XTSFS_EXIT_IO;
	if (lost && !tree->silent)
		cli_fail_exit(0, "cannot tell the names of %llu entries of '%s'", (unsigned long long)lost,
			      entry->path[0] ? entry->path : "/");
}

static void walk(struct cli_tree *tree, const struct cli_tree_entry *entry)
{
	enum cli_tree_step step = tree->visit(tree->data, entry);

	if (step == CLI_TREE_STOP)
		tree->stopped = true;
	else if (step == CLI_TREE_GO_ON && S_ISDIR(entry->st->st_mode))
		walk_directory(tree, entry);
}

void cli_tree_walk(struct cli_tree *tree, const char *path)
{
	struct cli_tree_entry entry = {0};
	xtsfs_auto_free char *trimmed = strdup(path + strspn(path, "/"));
	size_t bytes = trimmed ? strlen(trimmed) : 0;
	struct stat st;
	int r = trimmed ? xtsfs_path_lookup(tree->fs, path, &entry.node, &st) : -ENOMEM;

	if (r < 0) {
		missed(tree, r, "look at", path);
		return;
	}
	while (bytes > 0 && trimmed[bytes - 1] == '/')
		trimmed[--bytes] = '\0';
	entry.path = trimmed;
	entry.name = strrchr(trimmed, '/') ? strrchr(trimmed, '/') + 1 : trimmed;
	entry.st = &st;
	walk(tree, &entry);
	xtsfs_forget(tree->fs, entry.node, 1);
}
