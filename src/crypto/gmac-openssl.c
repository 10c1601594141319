/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aes-gmac by OpenSSL (mac.c says what it is). GCM takes a new nonce on the old key schedule.
 */
#include "crypto/mac-impl.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define MAX_UPDATE_BYTES ((size_t)1 << 30) /* EVP takes int */

struct gmac_ctx {
	EVP_CIPHER_CTX *gcm; /* under K1 */
	EVP_CIPHER_CTX *ecb; /* under K2 */
};

int xtsfs_gmac_second_new(const struct xtsfs_mac *mac, EVP_CIPHER_CTX **ret_ctx)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!ctx)
		return -ENOMEM;
	if (EVP_EncryptInit_ex2(ctx, mac->ecb, mac->key->data + 32, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(ctx, 0) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return -EIO;
	}
	*ret_ctx = ctx;
	return 0;
}

int xtsfs_gmac_second(EVP_CIPHER_CTX *ctx, const uint8_t g[static XTSFS_TAG_BYTES],
		      uint8_t ret_tag[static XTSFS_TAG_BYTES])
{
	uint8_t tag[XTSFS_TAG_BYTES];
	int done;

	if (EVP_EncryptUpdate(ctx, tag, &done, g, XTSFS_TAG_BYTES) != 1 || done != XTSFS_TAG_BYTES)
		return -EIO;
	memcpy(ret_tag, tag, sizeof(tag));
	return 0;
}

static int gmac_open(struct xtsfs_mac *mac)
{
	mac->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	mac->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	return mac->gcm && mac->ecb ? 0 : -EIO;
}

static void gmac_close(struct xtsfs_mac *mac)
{
	EVP_CIPHER_free(mac->gcm);
	EVP_CIPHER_free(mac->ecb);
}

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
	int r;

	if (!ctx)
		return -ENOMEM;
	r = xtsfs_gmac_second_new(mac, &ctx->ecb);
	if (r == 0) {
		ctx->gcm = EVP_CIPHER_CTX_new();
		r = ctx->gcm ? 0 : -ENOMEM;
	}
	if (r == 0 && EVP_EncryptInit_ex2(ctx->gcm, mac->gcm, mac->key->data, NULL, NULL) != 1)
		r = -EIO;
	if (r < 0) {
		gmac_destroy(ctx);
		return r;
	}
	*ret_ctx = ctx;
	return 0;
}

static int gmac_tag(const struct xtsfs_mac *mac, void *pointer, const struct iovec *parts, unsigned count,
		    uint8_t *ret_tag)
{
	static const uint8_t nonce[12]; /* fixed, spec 3.1 */
	struct gmac_ctx *ctx = pointer;
	uint8_t g[XTSFS_TAG_BYTES], none[XTSFS_TAG_BYTES];
	OSSL_PARAM get_g[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, g, sizeof(g)), OSSL_PARAM_END};
	int done, r;
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
	ok = ok && EVP_EncryptFinal_ex(ctx->gcm, none, &done) == 1 && EVP_CIPHER_CTX_get_params(ctx->gcm, get_g) == 1;
	r = ok ? xtsfs_gmac_second(ctx->ecb, g, ret_tag) : -EIO;
	xtsfs_wipe(g, sizeof(g));
	return r;
}

const struct xtsfs_mac_impl xtsfs_gmac_openssl = {
	.library = "OpenSSL",
	.open = gmac_open,
	.close = gmac_close,
	.make = gmac_make,
	.destroy = gmac_destroy,
	.tag = gmac_tag,
};
