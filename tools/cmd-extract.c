/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl extract: a tree of a volume to a directory of this machine, without a mount.
 *
 * What cannot be read is named and left out, everything else is copied: content with its holes, symlinks, special files
 * (as root), modes, times, extended attributes and ACLs, and as root owners. A file with several names becomes several
 * files.
 */
#include "cli-fs.h"
#include "commands.h"

#include "base/cleanup.h"
#include "core/path.h"
#include "format/ondisk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#define CHUNK_BYTES (1U << 20)

struct extraction {
	struct xtsfs_volume *fs;
	char *chunk;
	uint64_t files, plain_bytes, failures;
};

static void failed(struct extraction *x, int error, const char *what, const char *path)
{
	x->failures++;
	(void)cli_fail(error, "cannot %s '%s'", what, path);
}

static int write_all(int fd, const char *data, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		ssize_t n = pwrite(fd, data, bytes, (off_t)offset);

		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int copy_content(struct extraction *x, struct xtsfs_node *node, int fd, uint64_t plain_bytes)
{
	uint64_t offset = 0;
	int r = ftruncate(fd, (off_t)plain_bytes) < 0 ? -errno : 0;

	/* A file whose header is refused is shown with a length that may be 0: it is not an empty one. */
	if (r == 0 && plain_bytes == 0)
		r = (int)xtsfs_read(x->fs, node, x->chunk, 1, 0);
	while (r == 0 && offset < plain_bytes) {
		int64_t data = xtsfs_seek(x->fs, node, offset, SEEK_DATA);
		ssize_t n;

		if (data == -ENXIO)
			break;
		if (data < 0)
			return (int)data;
		offset = (uint64_t)data;
		n = xtsfs_read(x->fs, node, x->chunk, CHUNK_BYTES, offset);
		if (n <= 0)
			return (int)n;
		r = write_all(fd, x->chunk, (size_t)n, offset);
		offset += (uint64_t)n;
		x->plain_bytes += (uint64_t)n;
	}
	return r;
}

static void copy_xattrs(struct extraction *x, struct xtsfs_node *node, const char *target)
{
	char names[65536];
	ssize_t n = xtsfs_listxattr(x->fs, node, names, sizeof(names));

	for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t bytes = xtsfs_getxattr(x->fs, node, name, x->chunk, CHUNK_BYTES);

		if (bytes < 0)
			failed(x, (int)bytes, "read an extended attribute of", target);
		else if (lsetxattr(target, name, x->chunk, (size_t)bytes, 0) < 0 && geteuid() == 0)
			failed(x, -errno, "set an extended attribute of", target);
	}
}

/* Owner before mode: chown takes setuid bits away. */
static void copy_attributes(struct extraction *x, struct xtsfs_node *node, const struct stat *st, const char *target)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (geteuid() == 0 && lchown(target, st->st_uid, st->st_gid) < 0)
		failed(x, -errno, "set the owner of", target);
	copy_xattrs(x, node, target);
	if (!S_ISLNK(st->st_mode) && chmod(target, st->st_mode & 07777) < 0)
		failed(x, -errno, "set the mode of", target);
	if (utimensat(AT_FDCWD, target, times, AT_SYMLINK_NOFOLLOW) < 0)
		failed(x, -errno, "set the times of", target);
}

static int extract_file(struct extraction *x, struct xtsfs_node *node, const struct stat *st, const char *target)
{
	xtsfs_auto_fd fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = copy_content(x, node, fd, (uint64_t)st->st_size);
	if (r < 0)
		unlink(target); /* half a file would be taken for the whole */
	else
		x->files++;
	return r;
}

static void extract(struct extraction *x, const char *path, struct xtsfs_node *node, const struct stat *st,
		    const char *target);

static int extract_directory(struct extraction *x, const char *path, struct xtsfs_node *node, const char *target)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	int r = mkdir(target, 0700) < 0 ? -errno : xtsfs_opendir(x->fs, node, &dir);

	if (r < 0)
		return r;
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		xtsfs_auto_free char *child_path = NULL, *child_target = NULL;
		struct xtsfs_node *child;
		struct stat st;

		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		if (asprintf(&child_path, "%s/%s", path, entry.name) < 0 ||
		    asprintf(&child_target, "%s/%s", target, entry.name) < 0) {
			r = -ENOMEM;
			break;
		}
		r = xtsfs_dir_lookup(dir, &child, &st);
		if (r < 0) {
			failed(x, r, "read", child_path);
			continue;
		}
		extract(x, child_path, child, &st, child_target);
		xtsfs_forget(x->fs, child, 1);
	}
	xtsfs_closedir(dir);
	return r;
}

static void extract(struct extraction *x, const char *path, struct xtsfs_node *node, const struct stat *st,
		    const char *target)
{
	char link[XTSFS_SYMLINK_MAX + 1];
	int r;

	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		r = extract_file(x, node, st, target);
		break;
	case S_IFDIR:
		r = extract_directory(x, path, node, target);
		break;
	case S_IFLNK:
		r = xtsfs_readlink(x->fs, node, link);
		if (r == 0 && symlink(link, target) < 0)
			r = -errno;
		break;
	default:
		r = mknod(target, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0 ? -errno : 0;
	}
	if (r < 0)
		failed(x, r, "extract", path);
	else
		copy_attributes(x, node, st, target);
}

int cmd_extract(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct extraction x = {0};
	bool salvage = false, quiet = false;
	const struct cli_option options[] = {
		{.name = "salvage",
		 .type = CLI_FLAG,
		 .value = &salvage,
		 .help = "give out what decrypts, authentic or not"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "no summary"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	struct xtsfs_node *node;
	struct cli_fs fs;
	struct stat st;
	char **arguments;
	int exit_code, r;

	if (!cli_parse(verb, argc, argv, options, 3, 3, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code)
		return exit_code;
	if (lstat(arguments[2], &st) == 0)
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' exists already", arguments[2]);
	x.chunk = malloc(CHUNK_BYTES);
	if (!x.chunk)
		return cli_fail(-ENOMEM, "cannot start");
	exit_code = cli_fs_open(arguments[0], &unlock, false, salvage, &fs);
	if (exit_code == 0) {
		x.fs = fs.fs;
		r = xtsfs_path_lookup(fs.fs, arguments[1], &node, &st);
		if (r < 0) {
			exit_code = cli_fail(r, "cannot extract '%s'", arguments[1]);
		} else {
			extract(&x, arguments[1], node, &st, arguments[2]);
			xtsfs_forget(fs.fs, node, 1);
			if (!quiet)
				cli_say("Extracted %llu files of %llu bytes to '%s'; %llu things could not be had.",
					(unsigned long long)x.files, (unsigned long long)x.plain_bytes, arguments[2],
					(unsigned long long)x.failures);
			exit_code = x.failures ? XTSFS_EXIT_IO : 0;
		}
	}
	cli_fs_done(&fs);
	explicit_bzero(x.chunk, CHUNK_BYTES);
	free(x.chunk);
	return exit_code;
}
