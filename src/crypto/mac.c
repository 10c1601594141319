/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two MACs of the format (spec 3.1).
 *
 * aes-gmac: g = tag of AES-256-GCM under K1, nonce zero, the message as associated data; then one AES block under K2.
 * The second step is what makes a fixed nonce sound: g alone would leak the GHASH key after two tags. So g is wiped and
 * never leaves this file. hmac-sha256: HMAC-SHA-256, cut to 16 bytes.
 *
 * A tag is made for every sector read or written, so a call allocates nothing: contexts are keyed once and kept
 * (ctx-pool.c). GCM takes a new nonce on the old key schedule. HMAC is given its key again for each message: that costs
 * two of about 66 compressions, and does not rely on EVP_MAC_init() without a key starting a new message, which not
 * every 3.x release did.
 *
 * The key is in locked memory. What is not: the expanded key in each context is in OpenSSL's own heap memory, which is
 * cleansed when the context is freed but can be swapped out.
 */
#include "crypto/mac.h"

#include "base/secret.h"
#include "crypto/ctx-pool.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define MAX_UPDATE_BYTES ((size_t)1 << 30) /* EVP takes int */

struct xtsfs_mac {
	struct xtsfs_ctx_pool contexts;
	const struct kind *kind;
	struct xtsfs_secret *key;
	EVP_CIPHER *gcm;
	EVP_CIPHER *ecb;
	EVP_MAC *hmac;
};

struct kind {
	int (*make)(const void *owner, void **ret_ctx);
	void (*destroy)(void *ctx);
	int (*tag)(const struct xtsfs_mac *mac, void *ctx, const struct iovec *parts, unsigned count, uint8_t *ret_tag);
};

struct gmac_ctx {
	EVP_CIPHER_CTX *gcm; /* under K1 */
	EVP_CIPHER_CTX *ecb; /* under K2 */
};

static void gmac_destroy(void *pointer)
{
	struct gmac_ctx *ctx = pointer;

	EVP_CIPHER_CTX_free(ctx->gcm);
	EVP_CIPHER_CTX_free(ctx->ecb);
	free(ctx);
}

static int gmac_make(const void *owner, void **ret_ctx)
{
	const struct xtsfs_mac *mac = owner;
	struct gmac_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	ctx->gcm = EVP_CIPHER_CTX_new();
	ctx->ecb = EVP_CIPHER_CTX_new();
	if (!ctx->gcm || !ctx->ecb) {
		gmac_destroy(ctx);
		return -ENOMEM;
	}
	if (EVP_EncryptInit_ex2(ctx->gcm, mac->gcm, mac->key->data, NULL, NULL) != 1 ||
	    EVP_EncryptInit_ex2(ctx->ecb, mac->ecb, mac->key->data + 32, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(ctx->ecb, 0) != 1) {
		gmac_destroy(ctx);
		return -EIO;
	}
	*ret_ctx = ctx;
	return 0;
}

static int gmac_tag(const struct xtsfs_mac *mac, void *pointer, const struct iovec *parts, unsigned count,
		    uint8_t *ret_tag)
{
	static const uint8_t nonce[12]; /* fixed, spec 3.1 */
	struct gmac_ctx *ctx = pointer;
	uint8_t g[XTSFS_TAG_BYTES], tag[XTSFS_TAG_BYTES];
	OSSL_PARAM get_g[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, g, sizeof(g)), OSSL_PARAM_END};
	int done;
	bool ok;

	(void)mac;
	ok = EVP_EncryptInit_ex2(ctx->gcm, NULL, NULL, nonce, NULL) == 1;
	for (unsigned i = 0; ok && i < count; i++) {
		const uint8_t *data = parts[i].iov_base;
		size_t left = parts[i].iov_len;

		while (ok && left) {
			size_t now = left < MAX_UPDATE_BYTES ? left : MAX_UPDATE_BYTES;

			ok = EVP_EncryptUpdate(ctx->gcm, NULL, &done, data, (int)now) == 1;
			data += now;
			left -= now;
		}
	}
	ok = ok && EVP_EncryptFinal_ex(ctx->gcm, tag, &done) == 1 && EVP_CIPHER_CTX_get_params(ctx->gcm, get_g) == 1 &&
	     EVP_EncryptUpdate(ctx->ecb, tag, &done, g, sizeof(g)) == 1 && done == sizeof(tag);
	xtsfs_wipe(g, sizeof(g));
	if (!ok)
		return -EIO;
	memcpy(ret_tag, tag, sizeof(tag));
	return 0;
}

static void hmac_destroy(void *ctx)
{
	EVP_MAC_CTX_free(ctx);
}

static int hmac_make(const void *owner, void **ret_ctx)
{
	static char digest[] = "SHA256";
	const struct xtsfs_mac *mac = owner;
	OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
			       OSSL_PARAM_END};
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac->hmac);

	if (!ctx)
		return -ENOMEM;
	if (EVP_MAC_CTX_set_params(ctx, params) != 1) {
		EVP_MAC_CTX_free(ctx);
		return -EIO;
	}
	*ret_ctx = ctx;
	return 0;
}

static int hmac_tag(const struct xtsfs_mac *mac, void *ctx, const struct iovec *parts, unsigned count, uint8_t *ret_tag)
{
	uint8_t full[32];
	size_t bytes = 0;
	bool ok;

	ok = EVP_MAC_init(ctx, mac->key->data, XTSFS_MAC_KEY_BYTES, NULL) == 1;
	for (unsigned i = 0; ok && i < count; i++)
		if (parts[i].iov_len)
			ok = EVP_MAC_update(ctx, parts[i].iov_base, parts[i].iov_len) == 1;
	ok = ok && EVP_MAC_final(ctx, full, &bytes, sizeof(full)) == 1 && bytes == sizeof(full);
	if (ok)
		memcpy(ret_tag, full, XTSFS_TAG_BYTES);
	xtsfs_wipe(full, sizeof(full));
	return ok ? 0 : -EIO;
}

static const struct kind kinds[XTSFS_MAC__COUNT] = {
	[XTSFS_MAC_AES_GMAC] = {gmac_make, gmac_destroy, gmac_tag},
	[XTSFS_MAC_HMAC_SHA256] = {hmac_make, hmac_destroy, hmac_tag},
};

int xtsfs_mac_new(enum xtsfs_mac_kind kind, const uint8_t key[static XTSFS_MAC_KEY_BYTES], struct xtsfs_mac **ret_mac)
{
	struct xtsfs_mac *mac;
	void *first;
	int r;

	if ((unsigned)kind >= XTSFS_MAC__COUNT)
		return -EINVAL;
	mac = aligned_alloc(_Alignof(struct xtsfs_mac), sizeof(*mac));
	if (!mac)
		return -ENOMEM;
	memset(mac, 0, sizeof(*mac));
	mac->kind = &kinds[kind];
	xtsfs_ctx_pool_init(&mac->contexts, mac->kind->make, mac->kind->destroy, mac);
	r = xtsfs_secret_new(XTSFS_MAC_KEY_BYTES, &mac->key);
	if (r < 0)
		goto fail;
	memcpy(mac->key->data, key, XTSFS_MAC_KEY_BYTES);

	r = -EIO;
	if (kind == XTSFS_MAC_AES_GMAC) {
		mac->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
		mac->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
		if (!mac->gcm || !mac->ecb)
			goto fail;
	} else {
		mac->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
		if (!mac->hmac)
			goto fail;
	}

	/* The first context now, so that a provider without the algorithm fails here and not at the first read. */
	r = xtsfs_ctx_pool_take(&mac->contexts, &first);
	if (r < 0)
		goto fail;
	xtsfs_ctx_pool_put(&mac->contexts, first);
	*ret_mac = mac;
	return 0;

fail:
	xtsfs_mac_free(mac);
	return r;
}

struct xtsfs_mac *xtsfs_mac_free(struct xtsfs_mac *mac)
{
	if (!mac)
		return NULL;
	xtsfs_ctx_pool_done(&mac->contexts);
	EVP_CIPHER_free(mac->gcm);
	EVP_CIPHER_free(mac->ecb);
	EVP_MAC_free(mac->hmac);
	xtsfs_secret_free(mac->key);
	free(mac);
	return NULL;
}

int xtsfs_mac_tag(struct xtsfs_mac *mac, const struct iovec *parts, unsigned count,
		  uint8_t ret_tag[static XTSFS_TAG_BYTES])
{
	void *ctx;
	int r = xtsfs_ctx_pool_take(&mac->contexts, &ctx);

	if (r < 0)
		return r;
	r = mac->kind->tag(mac, ctx, parts, count, ret_tag);
	if (r < 0)
		mac->kind->destroy(ctx);
	else
		xtsfs_ctx_pool_put(&mac->contexts, ctx);
	return r;
}
