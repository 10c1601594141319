/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl cat: files of a volume to standard output, without a mount.
 */
#include "cli-fs.h"
#include "commands.h"

#include "core/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES (1U << 20)

static int put(const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(STDOUT_FILENO, data, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			bytes -= (size_t)n;
		}
	}
	return 0;
}

static int cat(struct xtsfs_volume *fs, const char *path, char *chunk)
{
	struct xtsfs_node *node;
	uint64_t offset = 0;
	struct stat st;
	ssize_t n = 0;
	int r = xtsfs_path_lookup(fs, path, &node, &st);

	if (r < 0)
		return cli_fail(r, "cannot read '%s'", path);
	while (r == 0 && (n = xtsfs_read(fs, node, chunk, CHUNK_BYTES, offset)) > 0) {
		r = put(chunk, (size_t)n);
		offset += (uint64_t)n;
	}
	xtsfs_forget(fs, node, 1);
	if (r < 0)
		return cli_fail(r, "cannot write to standard output");
	return n < 0 ? cli_fail((int)n, "cannot read '%s' from byte %llu", path, (unsigned long long)offset) : 0;
}

int cmd_cat(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	bool salvage = false;
	const struct cli_option options[] = {
		{.name = "salvage",
		 .type = CLI_FLAG,
		 .value = &salvage,
		 .help = "give out what decrypts, authentic or not"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	struct cli_fs fs;
	char **arguments, *chunk;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 2, 4096, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code)
		return exit_code;
	chunk = malloc(CHUNK_BYTES);
	if (!chunk)
		return cli_fail(-ENOMEM, "cannot start");
	exit_code = cli_fs_open(arguments[0], &unlock, false, salvage, &fs);
	for (char **path = arguments + 1; exit_code == 0 && *path; path++)
		exit_code = cat(fs.fs, *path, chunk);
	cli_fs_done(&fs);
	explicit_bzero(chunk, CHUNK_BYTES);
	free(chunk);
	return exit_code;
}
