/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar streams out of and into a volume: what the files tar-*.c share.
 *
 * Layer:   tools.
 * Threads: the main thread.
 */
#ifndef XTSFS_TOOLS_TAR_H
#define XTSFS_TOOLS_TAR_H

#include "cli-fs.h"

#include <archive_entry.h>

#define TAR_CHUNK     (1U << 20)
#define TAR_XATTR_MAX 65536U

struct tar {
	struct xtsfs_volume *fs;
	char *chunk; /* TAR_CHUNK */
	uint64_t things, plain_bytes, failures, not_kept;
};

/** Say that something could not be had or written. */
void tar_failed(struct tar *tar, int error, const char *what, const char *path);
void tar_not_kept(struct tar *tar, int error, const char *what, const char *path);

/* tar-out.c */
/** The tree at each of @paths (ends with NULL; none: everything) to standard output. An exit code. */
xtsfs_must_check int tar_out(struct tar *tar, char **paths);

/* tar-in.c */
struct tar_in_options {
	bool overwrite;
};
/** Everything on standard input to below the directory @path. An exit code. */
xtsfs_must_check int tar_in(struct tar *tar, const char *path, const struct tar_in_options *options);

/* tar-acl.c */
/** Add the ACL of an attribute system.posix_acl_* to @entry. 0 or -EINVAL. */
xtsfs_must_check int tar_acl_to_entry(struct archive_entry *entry, bool is_default, const uint8_t *value, size_t bytes);
/** The attribute's value of @entry's ACL. Its bytes, 0 if there is none, or -errno. */
xtsfs_must_check ssize_t tar_acl_from_entry(struct archive_entry *entry, bool is_default, uint8_t *ret_value,
					    size_t room);

#endif
