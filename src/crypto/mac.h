/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two MACs of the format (spec 3.1): aes-gmac and hmac-sha256, 16-byte tags.
 *
 * Layer:   crypto.
 * Threads: a xtsfs_mac is read-only after xtsfs_mac_new() and shared by all threads (contexts of its own for each
 * thread inside). Secrets: keys in locked memory.
 */
#ifndef XTSFS_CRYPTO_MAC_H
#define XTSFS_CRYPTO_MAC_H

#include "base/errors.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define XTSFS_MAC_KEY_BYTES 64
#define XTSFS_TAG_BYTES	    16

enum xtsfs_mac_kind { XTSFS_MAC_AES_GMAC, XTSFS_MAC_HMAC_SHA256, XTSFS_MAC__COUNT };

struct xtsfs_mac;

xtsfs_must_check int xtsfs_mac_new(enum xtsfs_mac_kind kind, const uint8_t key[static XTSFS_MAC_KEY_BYTES],
				   struct xtsfs_mac **ret_mac);
/** The library that makes the tags of aes-gmac. It is chosen by the first call, or the first such MAC. */
const char *xtsfs_gmac_library(void);
struct xtsfs_mac *xtsfs_mac_free(struct xtsfs_mac *mac);
/** MAC of the concatenation of @parts (any lengths, zero too). 0 or -EIO, -ENOMEM from the library. */
xtsfs_must_check int xtsfs_mac_tag(struct xtsfs_mac *mac, const struct iovec *parts, unsigned count,
				   uint8_t ret_tag[static XTSFS_TAG_BYTES]);

#endif
