/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A MAC by one library or another.
 *
 * Layer:   crypto; for mac.c and gmac-*.c, and tests.
 */
#ifndef XTSFS_CRYPTO_MAC_IMPL_H
#define XTSFS_CRYPTO_MAC_IMPL_H

#include "base/secret.h"
#include "crypto/ctx-pool.h"
#include "crypto/mac.h"

#include <openssl/evp.h>

struct xtsfs_mac_impl {
	const char *library;
	/** What all threads share, from mac->key. After an error close() follows. */
	int (*open)(struct xtsfs_mac *mac);
	void (*close)(struct xtsfs_mac *mac);
	/* What belongs to a call. */
	int (*make)(const void *mac, void **ret_ctx);
	void (*destroy)(void *ctx);
	int (*tag)(const struct xtsfs_mac *mac, void *ctx, const struct iovec *parts, unsigned count, uint8_t *ret_tag);
};

struct xtsfs_mac {
	struct xtsfs_ctx_pool contexts;
	const struct xtsfs_mac_impl *impl;
	struct xtsfs_secret *key;
	/* of the implementations */
	EVP_CIPHER *gcm, *ecb;
	EVP_MAC *hmac;
	struct xtsfs_secret *schedule; /* K1 expanded, and its GHASH key */
};

extern const struct xtsfs_mac_impl xtsfs_gmac_openssl;
#if XTSFS_HAVE_IPSEC_MB
extern const struct xtsfs_mac_impl xtsfs_gmac_ipsec_mb;
#endif

/** As xtsfs_mac_new(), by that implementation. */
xtsfs_must_check int xtsfs_mac_new_by(const struct xtsfs_mac_impl *impl, const uint8_t key[static XTSFS_MAC_KEY_BYTES],
				      struct xtsfs_mac **ret_mac);

/** A context for single blocks under K2, and their encryption: the second step of aes-gmac. @tag may be @g. */
xtsfs_must_check int xtsfs_gmac_second_new(const struct xtsfs_mac *mac, EVP_CIPHER_CTX **ret_ctx);
xtsfs_must_check int xtsfs_gmac_second(EVP_CIPHER_CTX *ctx, const uint8_t g[static XTSFS_TAG_BYTES],
				       uint8_t ret_tag[static XTSFS_TAG_BYTES]);

#endif
