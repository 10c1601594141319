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

struct piece {
	uint64_t offset, bytes;
};

/* *@ret_stop: nobody takes any more of it. */
static int cat(struct xtsfs_volume *fs, const char *path, const struct piece *piece, char *chunk, bool *ret_stop)
{
	uint64_t offset = piece->offset, left = piece->bytes;
	struct xtsfs_node *node;
	struct stat st;
	ssize_t n = 0;
	int r = xtsfs_path_lookup(fs, path, &node, &st);

	if (r < 0)
		return cli_fail_inside(r, "cannot read '%s'", path);
	while (r == 0 && left > 0) {
		n = xtsfs_read(fs, node, chunk, left < CHUNK_BYTES ? left : CHUNK_BYTES, offset);
		if (n <= 0)
			break;
		r = put(chunk, (size_t)n);
		offset += (uint64_t)n;
		left -= (uint64_t)n;
	}
	xtsfs_forget(fs, node, 1);
	*ret_stop = r < 0;
	if (r < 0)
		return cli_fail(r, "cannot write to standard output");
	return n < 0 ? cli_fail_inside((int)n, "cannot read '%s' from byte %llu", path, (unsigned long long)offset) : 0;
}

int cmd_cat(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct piece piece = {.bytes = UINT64_MAX};
	bool salvage = false, stop = false;
	const struct cli_option options[] = {
		{.name = "offset",
		 .argument = "BYTES",
		 .type = CLI_SIZE,
		 .value = &piece.offset,
		 .max = INT64_MAX,
		 .help = "begin at this byte of each file"},
		{.name = "bytes",
		 .argument = "BYTES",
		 .type = CLI_SIZE,
		 .value = &piece.bytes,
		 .max = INT64_MAX,
		 .help = "no more than so many of each file"},
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
	for (char **path = arguments + 1; fs.fs && !stop && *path; path++) {
		int one = cat(fs.fs, *path, &piece, chunk, &stop);

		exit_code = exit_code ? exit_code : one;
	}
	cli_fs_done(&fs);
	explicit_bzero(chunk, CHUNK_BYTES);
	free(chunk);
	return exit_code;
}
