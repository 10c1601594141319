/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escaping of text that came from outside, for logs and terminals.
 *
 * Layer:   base. Pure. Used by log.c and xtsfs_quote(); others call those.
 */
#ifndef XTSFS_BASE_TEXT_H
#define XTSFS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define XTSFS_ESCAPE_FACTOR 4 /* one byte becomes at most "\xNN" */

/**
 * Replace control characters and bytes that are not UTF-8 by \xNN, and the backslash by \x5c if @backslash.
 * @ret_text: room for @bytes * XTSFS_ESCAPE_FACTOR + 1; terminated. Returns its length.
 */
size_t xtsfs_text_escape(const char *text, size_t bytes, bool backslash, char *ret_text);

#endif
