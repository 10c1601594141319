/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-SIV (RFC 5297) with one component of associated data, for names, symlink targets and xattrs.
 *
 * Layer:   crypto.
 * Threads: a xtsfs_siv is shared by all threads.
 * Secrets: keys in locked memory.
 */
#ifndef XTSFS_CRYPTO_SIV_H
#define XTSFS_CRYPTO_SIV_H

#include "base/errors.h"

#include <stddef.h>
#include <stdint.h>

#define XTSFS_SIV_KEY_BYTES 64
#define XTSFS_SIV_IV_BYTES  16

struct xtsfs_siv;

xtsfs_must_check int xtsfs_siv_new(const uint8_t key[static XTSFS_SIV_KEY_BYTES], struct xtsfs_siv **ret_siv);
struct xtsfs_siv *xtsfs_siv_free(struct xtsfs_siv *siv);
/** @ret_cipher: room for 16 + @plain_bytes (IV then ciphertext). @plain_bytes ≥ 1, @ad_bytes ≥ 1. 0 or -EINVAL, -EIO,
 * -ENOMEM. */
xtsfs_must_check int xtsfs_siv_seal(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const void *plain,
				    size_t plain_bytes, uint8_t *ret_cipher);
/** @cipher_bytes ≥ 17; @ret_plain: room for @cipher_bytes − 16, wiped on failure. 0, -EBADMSG (not authentic), -EINVAL,
 * -EIO, -ENOMEM. */
xtsfs_must_check int xtsfs_siv_open(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const uint8_t *cipher,
				    size_t cipher_bytes, void *ret_plain);

#endif
