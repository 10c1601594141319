/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked parsers for numbers and sizes that people type, and their output.
 *
 * Layer:   base. Pure.
 */
#ifndef XTSFS_BASE_PARSE_H
#define XTSFS_BASE_PARSE_H

#include "base/errors.h"

#include <stddef.h>
#include <stdint.h>

/** Decimal digits only, nothing before or behind. Returns 0, -EINVAL, or -ERANGE outside [@min, @max]. */
xtsfs_must_check int xtsfs_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/** Like it, with an optional suffix k, M, G, T (powers of 1024; K and lower case too, an "iB" or "B" may follow). */
xtsfs_must_check int xtsfs_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret_bytes);
/** A time: seconds, or with s, m (or min), h or d behind it; a part after it may follow, as in "1h30m". As above. */
xtsfs_must_check int xtsfs_parse_seconds(const char *text, uint64_t min, uint64_t max, uint64_t *ret_seconds);
/** "1.5 GiB". @ret_text: 16 bytes at least. Returns @ret_text. */
char *xtsfs_format_size(uint64_t bytes, char ret_text[static 16]);
/** Printable form of arbitrary bytes for messages: control characters, non-UTF-8 bytes and the backslash as \xNN.
 * Caller frees; NULL on ENOMEM. */
char *xtsfs_quote(const char *text);

#endif
