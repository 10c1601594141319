/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64url without padding (RFC 4648 section 5), strict on decoding (spec 1).
 *
 * Layer:   base. Pure.
 */
#ifndef XTSFS_BASE_BASE64_H
#define XTSFS_BASE_BASE64_H

#include "base/errors.h"

#include <stddef.h>
#include <stdint.h>

/** Characters for @bytes bytes, without the terminator. */
static inline size_t xtsfs_base64_chars(size_t bytes)
{
	return (bytes * 4 + 2) / 3;
}

/** Bytes in @chars characters (rounded down). */
static inline size_t xtsfs_base64_bytes(size_t chars)
{
	return chars / 4 * 3 + (chars % 4 ? chars % 4 - 1 : 0);
}

/** @ret_text: room for xtsfs_base64_chars(@bytes) + 1; terminated. */
void xtsfs_base64_encode(const uint8_t *data, size_t bytes, char *ret_text);
/** @ret_data: room for xtsfs_base64_bytes(@chars). Returns 0 or -EINVAL (a foreign character, a bad length, trailing
 * bits). */
xtsfs_must_check int xtsfs_base64_decode(const char *text, size_t chars, uint8_t *ret_data);

#endif
