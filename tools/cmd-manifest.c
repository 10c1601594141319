/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl manifest, changed-since: what a volume is, sealed for a place that is not trusted, and what became of it.
 *
 * A manifest is written to a new file, or to standard output if that is no terminal. One of a volume with something
 * damaged in it would call that right; so nothing is left of it then.
 */
#include "commands.h"
#include "manifest-diff.h"

#include "base/cleanup.h"
#include "core/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIES 10

struct making {
	struct xtsfs_volume *fs;
	struct xtsfs_manifest_writer *writer;
	uint64_t entries;
	int exit_code;
};

static int write_out(void *data, const void *bytes, size_t count)
{
	return fwrite(bytes, 1, count, data) == count ? 0 : -EIO;
}

static bool is_unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Beside a writer: until nothing was changed from before to after. */
static int describe(struct making *making, const struct cli_tree_entry *entry, struct xtsfs_manifest_entry *ret_entry)
{
	struct stat before = *entry->st, after;
	int r = -EBUSY;

	for (int i = 0; r != 0 && i < TRIES; i++) {
		r = xtsfs_manifest_describe(making->fs, entry->node, &before, ret_entry);
		if (xtsfs_getattr(making->fs, entry->node, &after) < 0)
			return r;
		if (!is_unchanged(&before, &after))
			r = -EBUSY;
		before = after;
	}
	return r;
}

static enum cli_tree_step visit(void *data, const struct cli_tree_entry *entry)
{
	struct making *making = data;
	struct xtsfs_manifest_entry record = {0};
	int r = describe(making, entry, &record);

	if (r < 0) {
		making->exit_code = cli_fail_inside(r, "cannot describe '%s'", entry->path[0] ? entry->path : "/");
		return CLI_TREE_GO_ON;
	}
	record.depth = (uint16_t)entry->depth;
	snprintf(record.name, sizeof(record.name), "%s", entry->name);
	making->entries++;
	r = entry->depth > UINT16_MAX ? -ENAMETOOLONG : xtsfs_manifest_add(making->writer, &record);
	if (r == 0)
		return CLI_TREE_GO_ON;
	making->exit_code = cli_fail(r, "cannot write the manifest");
	return CLI_TREE_STOP;
}

static int make(struct xtsfs_volume *fs, FILE *stream)
{
	struct making making = {.fs = fs};
	struct cli_tree tree = {.fs = fs, .visit = visit, .data = &making, .sorted = true};
	int exit_code, r = xtsfs_manifest_writer_new(fs, write_out, stream, &making.writer);

	if (r < 0)
		return cli_fail(r, "cannot write the manifest");
	cli_tree_walk(&tree, "");
	exit_code = making.exit_code ? making.exit_code : tree.exit_code;
	r = xtsfs_manifest_writer_end(making.writer, exit_code == 0);
	if (r == 0 && exit_code == 0 && (fflush(stream) != 0 || (fsync(fileno(stream)) < 0 && errno != EINVAL)))
		r = -errno;
	return exit_code ? exit_code : r < 0 ? cli_fail(r, "cannot write the manifest") : 0;
}

int cmd_manifest(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	const char *output = NULL;
	struct cli_fs fs = CLI_FS_NONE;
	const struct cli_option options[] = {
		{.name = "output",
		 .letter = 'o',
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &output,
		 .help = "write to the new FILE, and not to standard output"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	FILE *stream = stdout;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && !output && isatty(STDOUT_FILENO))
		exit_code = cli_fail_usage(verb, "standard output is a terminal; give --output FILE");
	if (exit_code == 0)
		exit_code = cli_fs_open(arguments[0], &unlock, /* peek= */ true, /* salvage= */ false, &fs);
	if (exit_code == 0 && fs.volume.conf->config->reencrypting)
		exit_code = cli_fail_exit(
			XTSFS_EXIT_BUSY,
			"'%s' is in re-encryption, and nothing will be as a manifest says now; finish it "
			"first with xtsfsctl reencrypt",
			arguments[0]);
	if (exit_code == 0 && output) {
		stream = fopen(output, "wxe");
		if (!stream)
			exit_code = errno == EEXIST ? cli_fail_exit(XTSFS_EXIT_EXISTS,
								    "'%s' exists, refusing to overwrite it", output)
						    : cli_fail(-errno, "cannot write '%s'", output);
	}
	if (exit_code == 0) {
		exit_code = make(fs.fs, stream);
		if (output && fclose(stream) != 0 && exit_code == 0)
			exit_code = cli_fail_exit(XTSFS_EXIT_IO, "cannot write '%s'", output);
		if (output && exit_code)
			(void)unlink(output);
	}
	cli_fs_done(&fs);
	return exit_code;
}

struct listing {
	bool removed, cipher, zero;
};

static int list(struct xtsfs_volume *fs, const struct manifest_diff *diff, const struct listing *listing)
{
	for (size_t i = 0; i < diff->count; i++) {
		const struct manifest_difference *difference = &diff->differences[i];
		xtsfs_auto_free char *backing = NULL;
		const char *path = difference->path;

		if ((difference->kind == MANIFEST_MISSING) != listing->removed)
			continue;
		/* Of what is in a directory that is gone nobody can tell where it was. */
		if (listing->cipher) {
			if (xtsfs_path_to_backing(fs, path, &backing) < 0)
				continue;
			path = backing;
		}
		(void)fwrite(path, strlen(path), 1, stdout); /* cli_finish() says if not */
		putchar(listing->zero ? '\0' : '\n');
	}
	return diff->exit_code;
}

int cmd_changed_since(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct listing listing = {0};
	struct manifest_diff diff = {0};
	struct cli_fs fs = CLI_FS_NONE;
	const struct cli_option options[] = {
		{.name = "removed",
		 .type = CLI_FLAG,
		 .value = &listing.removed,
		 .help = "list what is there no more, and not what is new or\nchanged"},
		{.name = "cipher",
		 .type = CLI_FLAG,
		 .value = &listing.cipher,
		 .help = "list paths of the volume's directory"},
		{.name = "null",
		 .letter = '0',
		 .type = CLI_FLAG,
		 .value = &listing.zero,
		 .help = "paths end with a NUL byte"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 2, 2, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0)
		exit_code = cli_fs_open(arguments[1], &unlock, /* peek= */ true, /* salvage= */ false, &fs);
	if (exit_code == 0)
		exit_code = manifest_compare(fs.fs, arguments[0], &diff);
	if (exit_code == 0)
		exit_code = list(fs.fs, &diff, &listing);
	manifest_diff_done(&diff);
	cli_fs_done(&fs);
	return exit_code;
}
