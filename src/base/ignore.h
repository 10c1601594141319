/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of what is left out, in the syntax of gitignore(5).
 *
 * Layer:   base.
 * Threads: adding by one thread, matching by any.
 * Source:  gitignore(5), "PATTERN FORMAT"; git itself is what the tests compare with.
 */
#ifndef XTSFS_BASE_IGNORE_H
#define XTSFS_BASE_IGNORE_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>

struct xtsfs_ignore;

xtsfs_must_check int xtsfs_ignore_new(struct xtsfs_ignore **ret_ignore);
/** NULL is fine; returns NULL. */
struct xtsfs_ignore *xtsfs_ignore_free(struct xtsfs_ignore *ignore);
/** One pattern, or a line of a file of them: empty lines and comments are passed over. Later ones prevail. */
xtsfs_must_check int xtsfs_ignore_add(struct xtsfs_ignore *ignore, const char *line, size_t bytes);
/** All lines of a text. */
xtsfs_must_check int xtsfs_ignore_add_text(struct xtsfs_ignore *ignore, const char *text, size_t bytes);
/** All lines of a file: -ENOENT, -EISDIR, …; at most XTSFS_IGNORE_FILE_MAX bytes, else -E2BIG. */
#define XTSFS_IGNORE_FILE_MAX (1U << 20)
xtsfs_must_check int xtsfs_ignore_add_file(struct xtsfs_ignore *ignore, int dir, const char *path);
/** Put all patterns of @before in front of those of @ignore; @before is empty then. */
xtsfs_must_check int xtsfs_ignore_prepend(struct xtsfs_ignore *ignore, struct xtsfs_ignore *before);
bool xtsfs_ignore_is_empty(const struct xtsfs_ignore *ignore);
/**
 * Is this path, from the top and without a slash at either end, left out by the last pattern that matches it? Whether a
 * directory above it is left out is the caller's question: nothing in such a one is asked for.
 */
bool xtsfs_ignore_matches(const struct xtsfs_ignore *ignore, const char *path, bool is_dir);

#endif
