/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading manifests from files.
 */
#include "manifest-diff.h"

#include <stdio.h>

static ssize_t read_some(void *data, void *ret_bytes, size_t count)
{
	FILE *stream = data;
	size_t n = fread(ret_bytes, 1, count, stream);

	return n < count && ferror(stream) ? -EIO : (ssize_t)n;
}

static int fail(const struct manifest_file *file, int error)
{
	switch (error) {
	case -EPROTO:
		return cli_fail_exit(XTSFS_EXIT_CONFIG, "'%s' is not a manifest, or one of a newer program",
				     file->path);
	case -EXDEV:
		return cli_fail_exit(XTSFS_EXIT_OTHER_VOLUME, "'%s' is the manifest of another volume", file->path);
	case -XTSFS_EAUTH:
	case -XTSFS_EDAMAGED:
		return cli_fail_exit(XTSFS_EXIT_CONFIG, "refusing '%s': it was changed, cut off or damaged",
				     file->path);
	default:
		return cli_fail_exit(XTSFS_EXIT_IO, "cannot read '%s': %s", file->path, xtsfs_strerror(error));
	}
}

int manifest_file_open(const char *path, struct xtsfs_volume *fs, struct manifest_file *ret_file)
{
	int r;

	*ret_file = (struct manifest_file){.path = path, .stream = fopen(path, "re")};
	if (!ret_file->stream)
		return cli_fail_exit(XTSFS_EXIT_IO, "cannot open '%s': %s", path, xtsfs_strerror(errno));
	r = xtsfs_manifest_reader_new(fs, read_some, ret_file->stream, &ret_file->reader, &ret_file->created_s);
	return r < 0 ? fail(ret_file, r) : 0;
}

int manifest_file_next(struct manifest_file *file, struct xtsfs_manifest_entry *ret_entry, int *ret_exit)
{
	int r = xtsfs_manifest_next(file->reader, ret_entry);

	if (r < 0)
		*ret_exit = fail(file, r);
	return r;
}

void manifest_file_done(struct manifest_file *file)
{
	file->reader = xtsfs_manifest_reader_free(file->reader);
	if (file->stream)
		(void)fclose(file->stream);
	file->stream = NULL;
}
