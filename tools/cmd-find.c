/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl find: what of a volume an expression holds for, without a mount.
 *
 * Options and paths come first, as for find(1); the first word of an expression ends them.
 */
#include "cli-fs.h"
#include "commands.h"
#include "find-expression.h"

#include "core/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct finding {
	struct xtsfs_volume *fs;
	struct find_expression *expression;
};

/* A damaged directory is not known to be empty. */
static bool is_empty(const struct finding *finding, const struct cli_tree_entry *entry)
{
	struct xtsfs_dirent record;
	struct xtsfs_dir *dir;
	bool empty = true;
	int r;

	if (S_ISREG(entry->st->st_mode))
		return entry->st->st_size == 0;
	if (!S_ISDIR(entry->st->st_mode) || xtsfs_opendir(finding->fs, entry->node, &dir) < 0)
		return false;
	while (empty && (r = xtsfs_readdir(dir, &record)) > 0)
		empty = strcmp(record.name, ".") == 0 || strcmp(record.name, "..") == 0;
	empty = empty && r == 0 && xtsfs_dir_lost(dir) == 0;
	xtsfs_closedir(dir);
	return empty;
}

static enum cli_tree_step visit(void *data, const struct cli_tree_entry *entry)
{
	const struct finding *finding = data;
	struct find_subject subject = {.path = entry->path, .name = entry->name, .st = entry->st};
	unsigned answers = 0;

	if (!entry->path[0])
		subject.path = subject.name = "/";
	if (find_depth_shown(finding->expression, entry->depth)) {
		if (find_wants_empty(finding->expression))
			subject.is_empty = is_empty(finding, entry);
		answers = find_evaluate(finding->expression, &subject);
	}
	if (answers & FIND_PRINT)
		cli_say("%s", subject.path);
	if (answers & FIND_PRINT0)
		printf("%s%c", subject.path, '\0');
	if ((answers & FIND_PRUNE) || !find_depth_entered(finding->expression, entry->depth))
		return CLI_TREE_NOT_BELOW;
	return CLI_TREE_GO_ON;
}

static int mtime_of(void *data, const char *path, struct timespec *ret_time)
{
	struct xtsfs_volume *fs = data;
	struct xtsfs_node *node;
	struct stat st;
	int r = xtsfs_path_lookup(fs, path, &node, &st);

	if (r < 0)
		return r;
	xtsfs_forget(fs, node, 1);
	*ret_time = st.st_mtim;
	return 0;
}

/* Before there is a volume: are the words an expression at all? */
static int no_mtime(void *data, const char *path, struct timespec *ret_time)
{
	(void)data;
	(void)path;
	*ret_time = (struct timespec){0};
	return 0;
}

/* NULL, and an exit code. */
static struct find_expression *parse(const struct cli_verb *verb, char **words, struct xtsfs_volume *fs, int *ret_exit)
{
	struct find_context context = {.mtime_of = fs ? mtime_of : no_mtime, .data = fs};
	struct find_expression *expression;
	const char *problem, *word;

	clock_gettime(CLOCK_REALTIME, &context.now);
	expression = find_parse(words, &context, &problem, &word);
	if (!expression && word[0])
		*ret_exit = cli_fail_usage(verb, "'%s' %s", word, problem);
	else if (!expression)
		*ret_exit = cli_fail_usage(verb, "%s", problem);
	return expression;
}

static int find(struct xtsfs_volume *fs, struct find_expression *expression, char **paths)
{
	struct finding finding = {.fs = fs, .expression = expression};
	struct cli_tree tree = {.fs = fs, .visit = visit, .data = &finding};

	if (!*paths)
		cli_tree_walk(&tree, "");
	for (; *paths; paths++)
		cli_tree_walk(&tree, *paths);
	return tree.exit_code;
}

static int run(const struct cli_verb *verb, const struct cli_unlock *unlock, char **arguments, char **words)
{
	struct find_expression *expression;
	int exit_code = cli_unlock_check(verb, unlock);
	struct cli_fs fs;

	if (exit_code)
		return exit_code;
	expression = parse(verb, words, NULL, &exit_code);
	find_free(expression);
	if (!expression)
		return exit_code;
	exit_code = cli_fs_open(arguments[0], unlock, false, false, &fs);
	if (exit_code == 0) {
		expression = parse(verb, words, fs.fs, &exit_code);
		if (expression)
			exit_code = find(fs.fs, expression, arguments + 1);
		find_free(expression);
	}
	cli_fs_done(&fs);
	return exit_code;
}

int cmd_find(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	char **arguments, **words;
	int exit_code, end = 1;

	while (end < argc && !find_is_word(argv[end]))
		end++;
	words = calloc((size_t)(argc - end) + 1, sizeof(*words));
	if (!words)
		return cli_fail(-ENOMEM, "cannot start");
	for (int i = end; i < argc; i++)
		words[i - end] = argv[i];
	argv[end] = NULL;
	if (cli_parse(verb, end, argv, options, 1, 4096, &arguments, &exit_code))
		exit_code = run(verb, &unlock, arguments, words);
	free(words);
	return exit_code;
}
