/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl ls: entries of a volume, without a mount.
 */
#include "cli-fs.h"
#include "commands.h"

#include "format/ondisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct listing {
	struct xtsfs_volume *fs;
	bool details, recursive, zero;
};

static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	default:
		return '-';
	}
}

/* The name as the user asked for it: escaped on lines, as it is between NULs. */
static void print_entry(struct listing *listing, const char *path, struct xtsfs_node *node, const struct stat *st)
{
	char target[XTSFS_SYMLINK_MAX + 1] = "", when[32] = "?";
	struct tm tm;

	if (listing->zero) {
		printf("%s%c", path, '\0');
		return;
	}
	if (!listing->details) {
		cli_say("%s", path);
		return;
	}
	if (S_ISLNK(st->st_mode) && xtsfs_readlink(listing->fs, node, target) < 0)
		strcpy(target, "?");
	if (gmtime_r(&st->st_mtime, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	cli_say("%c%04o %3lu %6lu %6lu %12llu %s %s%s%s", type_letter(st->st_mode), (unsigned)(st->st_mode & 07777),
		(unsigned long)st->st_nlink, (unsigned long)st->st_uid, (unsigned long)st->st_gid,
		(unsigned long long)st->st_size, when, path, target[0] ? " -> " : "", target);
}

/* A directory that is asked for is listed, and not told itself. */
static enum cli_tree_step list(void *data, const struct cli_tree_entry *entry)
{
	struct listing *listing = data;

	if (entry->depth == 0 && S_ISDIR(entry->st->st_mode))
		return CLI_TREE_GO_ON;
	print_entry(listing, entry->path, entry->node, entry->st);
	return listing->recursive ? CLI_TREE_GO_ON : CLI_TREE_NOT_BELOW;
}

int cmd_ls(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct listing listing = {0};
	const struct cli_option options[] = {
		{.name = "long",
		 .letter = 'l',
		 .type = CLI_FLAG,
		 .value = &listing.details,
		 .help = "type and mode, links, owner, group, bytes, time (UTC)"},
		{.name = "recursive",
		 .letter = 'R',
		 .type = CLI_FLAG,
		 .value = &listing.recursive,
		 .help = "and what is below"},
		{.name = "null",
		 .letter = '0',
		 .type = CLI_FLAG,
		 .value = &listing.zero,
		 .help = "paths end with a NUL byte"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	struct cli_fs fs;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 4096, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code)
		return exit_code;
	exit_code = cli_fs_open(arguments[0], &unlock, false, false, &fs);
	if (exit_code == 0) {
		struct cli_tree tree = {.fs = fs.fs, .visit = list, .data = &listing};

		listing.fs = fs.fs;
		if (!arguments[1])
			cli_tree_walk(&tree, "");
		for (char **path = arguments + 1; *path; path++)
			cli_tree_walk(&tree, *path);
		exit_code = tree.exit_code;
	}
	cli_fs_done(&fs);
	return exit_code;
}
