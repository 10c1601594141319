/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of encrypted names (spec 2 and 6): padding, base64url, long names, our own names. The cipher itself is the
 * core's.
 *
 * Layer:   format. Pure.
 */
#ifndef XTSFS_FORMAT_NAME_H
#define XTSFS_FORMAT_NAME_H

#include "base/errors.h"
#include "format/ondisk.h"

#include <stdbool.h>

#define XTSFS_NAME_PADDED_MAX  256U			     /* pad16(255) */
#define XTSFS_NAME_CIPHER_MAX  (16U + XTSFS_NAME_PADDED_MAX) /* SIV then ciphertext */
#define XTSFS_NAME_CIPHER_MIN  32U
#define XTSFS_NAME_ENCODED_MAX 363U				  /* base64url of that */
#define XTSFS_NAME_LONG_CHARS  (sizeof(XTSFS_NAME_LONG) - 1 + 43) /* "xtsfs.long." and a hash */

/* What a backing entry is, by its name alone. */
enum xtsfs_name_kind {
	XTSFS_NAME_KIND_SHORT,	   /* base64url: an encrypted name */
	XTSFS_NAME_KIND_LONG,	   /* xtsfs.long.HASH */
	XTSFS_NAME_KIND_LONG_NAME, /* xtsfs.long.HASH.name */
	XTSFS_NAME_KIND_TMP,	   /* xtsfs.tmp.… */
	XTSFS_NAME_KIND_OWN,	   /* xtsfs.dirid; in the root also conf, lock, unclean, lost+found, redo */
	XTSFS_NAME_KIND_FOREIGN,
};
enum xtsfs_name_kind xtsfs_name_classify(const char *backing_name, bool is_root);

/** Is @name allowed as an entry's plain name? 0, -EINVAL (empty, ".", "..", '/'), -ENAMETOOLONG. */
xtsfs_must_check int xtsfs_name_check(const char *name, size_t bytes);
/** Zero-pad a checked name. @ret_padded: XTSFS_NAME_PADDED_MAX. Returns the padded length. */
size_t xtsfs_name_pad(const char *name, size_t bytes, uint8_t *ret_padded);
/** Strict inverse: @ret_name gets a terminated string, room XTSFS_NAME_MAX + 1. 0 or -EUCLEAN. */
xtsfs_must_check int xtsfs_name_unpad(const uint8_t *padded, size_t padded_bytes, char *ret_name);
/** Is a cipher of this length encoded as a long name? */
bool xtsfs_name_is_long(size_t cipher_bytes);
/** "xtsfs.long.HASH". @ret_name: room XTSFS_NAME_LONG_CHARS + 1. */
void xtsfs_name_long_from_hash(const uint8_t hash[static 32], char *ret_name);

#endif
