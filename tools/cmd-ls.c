/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl ls: entries of a volume, without a mount.
 */
#include "cli-fs.h"
#include "commands.h"

#include "core/path.h"
#include "format/ondisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct listing {
	struct xtsfs_volume *fs;
	bool details, recursive, zero;
	int exit_code; /* of the first thing that could not be listed */
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
static void print_entry(struct listing *list, const char *path, struct xtsfs_node *node, const struct stat *st)
{
	char target[XTSFS_SYMLINK_MAX + 1] = "", when[32] = "?";
	struct tm tm;

	if (list->zero) {
		printf("%s%c", path, '\0');
		return;
	}
	if (!list->details) {
		cli_say("%s", path);
		return;
	}
	if (S_ISLNK(st->st_mode) && xtsfs_readlink(list->fs, node, target) < 0)
		strcpy(target, "?");
	if (gmtime_r(&st->st_mtime, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	cli_say("%c%04o %3lu %6lu %6lu %12llu %s %s%s%s", type_letter(st->st_mode), (unsigned)(st->st_mode & 07777),
		(unsigned long)st->st_nlink, (unsigned long)st->st_uid, (unsigned long)st->st_gid,
		(unsigned long long)st->st_size, when, path, target[0] ? " -> " : "", target);
}

static void list_directory(struct listing *list, const char *path, struct xtsfs_node *node)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	int r = xtsfs_opendir(list->fs, node, &dir);

	if (r < 0) {
		list->exit_code = cli_fail(r, "cannot list '%s'", path[0] ? path : "/");
		return;
	}
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		struct xtsfs_node *child;
		struct stat st;
		char *full;

		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		if (asprintf(&full, "%s%s%s", path, path[0] ? "/" : "", entry.name) < 0) {
			r = -ENOMEM;
			break;
		}
		r = xtsfs_dir_lookup(dir, &child, &st);
		if (r < 0) {
			list->exit_code = cli_fail(r, "cannot look at '%s'", full);
		} else {
			print_entry(list, full, child, &st);
			if (list->recursive && S_ISDIR(st.st_mode))
				list_directory(list, full, child);
			xtsfs_forget(list->fs, child, 1);
		}
		free(full);
	}
	xtsfs_closedir(dir);
	if (r < 0)
		list->exit_code = cli_fail(r, "cannot list '%s'", path[0] ? path : "/");
}

static void list_path(struct listing *list, const char *path)
{
	struct xtsfs_node *node;
	struct stat st;
	int r = xtsfs_path_lookup(list->fs, path, &node, &st);

	if (r < 0) {
		list->exit_code = cli_fail(r, "cannot list '%s'", path);
		return;
	}
	path += strspn(path, "/");
	if (S_ISDIR(st.st_mode))
		list_directory(list, path, node);
	else
		print_entry(list, path, node, &st);
	xtsfs_forget(list->fs, node, 1);
}

int cmd_ls(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct listing list = {0};
	const struct cli_option options[] = {
		{.name = "long",
		 .letter = 'l',
		 .type = CLI_FLAG,
		 .value = &list.details,
		 .help = "type and mode, links, owner, group, bytes, time (UTC)"},
		{.name = "recursive",
		 .letter = 'R',
		 .type = CLI_FLAG,
		 .value = &list.recursive,
		 .help = "and what is below"},
		{.name = "null",
		 .letter = '0',
		 .type = CLI_FLAG,
		 .value = &list.zero,
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
		list.fs = fs.fs;
		if (!arguments[1])
			list_path(&list, "");
		for (char **path = arguments + 1; *path; path++)
			list_path(&list, *path);
		exit_code = list.exit_code;
	}
	cli_fs_done(&fs);
	return exit_code;
}
