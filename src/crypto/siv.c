/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-SIV (RFC 5297) for names, symlink targets and xattrs.
 *
 * OpenSSL's SIV contexts take one message: after it they must be keyed again, since giving them a new message on the
 * old key fails or, in some releases, goes on where the last message's S2V ended. Keying costs 2.5 µs (three key
 * schedules and a look-up of CMAC), a copy of a keyed context 1 µs, and every name looked up on the mount passes here.
 * So each kept context (ctx-pool.c) is a pair: a keyed one that never sees a message, and a working copy. Copying of
 * SIV contexts was broken in early 3.0 releases, so xtsfs_siv_new() tries it against a freshly keyed context, and where
 * that disagrees every message is keyed anew.
 *
 * Keys: one copy in locked memory; expanded ones in OpenSSL's heap memory, cleansed when freed, which can be swapped
 * out.
 */
#include "crypto/siv.h"

#include "base/secret.h"
#include "crypto/ctx-pool.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct xtsfs_siv {
	struct xtsfs_ctx_pool contexts;
	struct xtsfs_secret *key;
	EVP_CIPHER *cipher;
	bool copies; /* copying a keyed context works */
};

struct siv_ctx {
	EVP_CIPHER_CTX *keyed[2]; /* by enum way; never used for a message */
	EVP_CIPHER_CTX *work;
};

enum way { OPEN, SEAL };

static void ctx_destroy(void *pointer)
{
	struct siv_ctx *ctx = pointer;

	EVP_CIPHER_CTX_free(ctx->keyed[OPEN]);
	EVP_CIPHER_CTX_free(ctx->keyed[SEAL]);
	EVP_CIPHER_CTX_free(ctx->work);
	free(ctx);
}

static int ctx_make(const void *owner, void **ret_ctx)
{
	const struct xtsfs_siv *siv = owner;
	struct siv_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	ctx->keyed[OPEN] = EVP_CIPHER_CTX_new();
	ctx->keyed[SEAL] = EVP_CIPHER_CTX_new();
	ctx->work = EVP_CIPHER_CTX_new();
	if (!ctx->keyed[OPEN] || !ctx->keyed[SEAL] || !ctx->work) {
		ctx_destroy(ctx);
		return -ENOMEM;
	}
	for (int way = OPEN; way <= SEAL; way++)
		if (EVP_CipherInit_ex2(ctx->keyed[way], siv->cipher, siv->key->data, NULL, way, NULL) != 1) {
			ctx_destroy(ctx);
			return -EIO;
		}
	*ret_ctx = ctx;
	return 0;
}

/* Make ctx->work ready for one message. */
static bool ctx_begin(const struct xtsfs_siv *siv, struct siv_ctx *ctx, enum way way)
{
	if (siv->copies)
		return EVP_CIPHER_CTX_copy(ctx->work, ctx->keyed[way]) == 1;
	return EVP_CipherInit_ex2(ctx->work, siv->cipher, siv->key->data, NULL, (int)way, NULL) == 1;
}

static int seal_in(const struct xtsfs_siv *siv, struct siv_ctx *ctx, const void *ad, size_t ad_bytes, const void *plain,
		   size_t plain_bytes, uint8_t *ret_cipher)
{
	uint8_t none[16];
	int done;

	if (!ctx_begin(siv, ctx, SEAL) || EVP_EncryptUpdate(ctx->work, NULL, &done, ad, (int)ad_bytes) != 1 ||
	    EVP_EncryptUpdate(ctx->work, ret_cipher + XTSFS_SIV_IV_BYTES, &done, plain, (int)plain_bytes) != 1 ||
	    (size_t)done != plain_bytes || EVP_EncryptFinal_ex(ctx->work, none, &done) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx->work, EVP_CTRL_AEAD_GET_TAG, XTSFS_SIV_IV_BYTES, ret_cipher) != 1)
		return -EIO;
	return 0;
}

static int open_in(const struct xtsfs_siv *siv, struct siv_ctx *ctx, const void *ad, size_t ad_bytes,
		   const uint8_t *cipher, size_t plain_bytes, void *ret_plain)
{
	uint8_t iv[XTSFS_SIV_IV_BYTES], none[16];
	int done;

	memcpy(iv, cipher, sizeof(iv));
	if (!ctx_begin(siv, ctx, OPEN) ||
	    EVP_CIPHER_CTX_ctrl(ctx->work, EVP_CTRL_AEAD_SET_TAG, XTSFS_SIV_IV_BYTES, iv) != 1 ||
	    EVP_DecryptUpdate(ctx->work, NULL, &done, ad, (int)ad_bytes) != 1)
		return -EIO;
	if (EVP_DecryptUpdate(ctx->work, ret_plain, &done, cipher + XTSFS_SIV_IV_BYTES, (int)plain_bytes) != 1 ||
	    (size_t)done != plain_bytes || EVP_DecryptFinal_ex(ctx->work, none, &done) != 1)
		return -EBADMSG;
	return 0;
}

/* Does a copied context, used twice, give what a freshly keyed one gives? Leaves siv->copies set accordingly. */
static int try_copies(struct xtsfs_siv *siv)
{
	static const uint8_t ad[16] = {1}, plain[32] = {2};
	uint8_t want[XTSFS_SIV_IV_BYTES + sizeof(plain)], got[sizeof(want)];
	struct siv_ctx *ctx;
	void *pointer;
	int r = xtsfs_ctx_pool_take(&siv->contexts, &pointer);
	bool same = true;

	if (r < 0)
		return r;
	ctx = pointer;
	siv->copies = false;
	r = seal_in(siv, ctx, ad, sizeof(ad), plain, sizeof(plain), want);
	siv->copies = true;
	for (unsigned i = 0; r == 0 && same && i < 2; i++)
		same = seal_in(siv, ctx, ad, sizeof(ad), plain, sizeof(plain), got) == 0 &&
		       memcmp(want, got, sizeof(want)) == 0 &&
		       open_in(siv, ctx, ad, sizeof(ad), want, sizeof(plain), got) == 0 &&
		       memcmp(got, plain, sizeof(plain)) == 0;
	siv->copies = same;
	if (r < 0 || !same)
		ctx_destroy(ctx);
	else
		xtsfs_ctx_pool_put(&siv->contexts, ctx);
	return r;
}

int xtsfs_siv_new(const uint8_t key[static XTSFS_SIV_KEY_BYTES], struct xtsfs_siv **ret_siv)
{
	struct xtsfs_siv *siv = aligned_alloc(_Alignof(struct xtsfs_siv), sizeof(*siv));
	int r;

	if (!siv)
		return -ENOMEM;
	memset(siv, 0, sizeof(*siv));
	xtsfs_ctx_pool_init(&siv->contexts, ctx_make, ctx_destroy, siv);
	r = xtsfs_secret_new(XTSFS_SIV_KEY_BYTES, &siv->key);
	if (r == 0) {
		memcpy(siv->key->data, key, XTSFS_SIV_KEY_BYTES);
		siv->cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
		r = siv->cipher ? try_copies(siv) : -EIO;
	}
	if (r < 0) {
		xtsfs_siv_free(siv);
		return r;
	}
	*ret_siv = siv;
	return 0;
}

struct xtsfs_siv *xtsfs_siv_free(struct xtsfs_siv *siv)
{
	if (!siv)
		return NULL;
	xtsfs_ctx_pool_done(&siv->contexts);
	EVP_CIPHER_free(siv->cipher);
	xtsfs_secret_free(siv->key);
	free(siv);
	return NULL;
}

/* Not authentic is an answer, not a fault: the context is good for the next message, which begins it anew. */
static void give_back(struct xtsfs_siv *siv, void *ctx, int result)
{
	if (result == 0 || result == -EBADMSG)
		xtsfs_ctx_pool_put(&siv->contexts, ctx);
	else
		ctx_destroy(ctx);
}

int xtsfs_siv_seal(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const void *plain, size_t plain_bytes,
		   uint8_t *ret_cipher)
{
	void *ctx;
	int r;

	if (ad_bytes < 1 || ad_bytes > INT_MAX || plain_bytes < 1 || plain_bytes > INT_MAX)
		return -EINVAL;
	r = xtsfs_ctx_pool_take(&siv->contexts, &ctx);
	if (r < 0)
		return r;
	r = seal_in(siv, ctx, ad, ad_bytes, plain, plain_bytes, ret_cipher);
	give_back(siv, ctx, r);
	return r;
}

int xtsfs_siv_open(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const uint8_t *cipher, size_t cipher_bytes,
		   void *ret_plain)
{
	size_t plain_bytes;
	void *ctx;
	int r;

	if (ad_bytes < 1 || ad_bytes > INT_MAX || cipher_bytes <= XTSFS_SIV_IV_BYTES || cipher_bytes > INT_MAX)
		return -EINVAL;
	plain_bytes = cipher_bytes - XTSFS_SIV_IV_BYTES;
	r = xtsfs_ctx_pool_take(&siv->contexts, &ctx);
	if (r == 0) {
		r = open_in(siv, ctx, ad, ad_bytes, cipher, plain_bytes, ret_plain);
		give_back(siv, ctx, r);
	}
	if (r < 0)
		xtsfs_wipe(ret_plain, plain_bytes);
	return r;
}
