/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM for wrapping the volume key in a keyslot (spec 4).
 *
 * A slot's key is used for one message under one random nonce, so GCM's limits on messages do not matter here. Nothing
 * of the filesystem's content is encrypted by this file, so speed does not matter either: one context for each call.
 */
#include "crypto/kdf.h"

#include "base/secret.h"

#include <limits.h>
#include <openssl/evp.h>

static EVP_CIPHER_CTX *begin(const uint8_t *key, const uint8_t *nonce, const void *ad, size_t ad_bytes, int encrypt)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done;
	bool ok;

	ok = cipher && ctx && EVP_CipherInit_ex2(ctx, cipher, key, nonce, encrypt, NULL) == 1 &&
	     (ad_bytes == 0 || EVP_CipherUpdate(ctx, NULL, &done, ad, (int)ad_bytes) == 1);
	EVP_CIPHER_free(cipher);
	if (!ok) {
		EVP_CIPHER_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

int xtsfs_gcm_seal(const uint8_t key[static 32], const uint8_t nonce[static XTSFS_WRAP_NONCE_BYTES], const void *ad,
		   size_t ad_bytes, const uint8_t *plain, size_t bytes, uint8_t *ret_cipher,
		   uint8_t ret_tag[static XTSFS_WRAP_TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx;
	uint8_t none[16];
	int done;
	bool ok;

	if (bytes > INT_MAX || ad_bytes > INT_MAX)
		return -EINVAL;
	ctx = begin(key, nonce, ad, ad_bytes, 1);
	ok = ctx && (bytes == 0 || EVP_EncryptUpdate(ctx, ret_cipher, &done, plain, (int)bytes) == 1) &&
	     EVP_EncryptFinal_ex(ctx, none, &done) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, XTSFS_WRAP_TAG_BYTES, ret_tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok) {
		xtsfs_wipe(ret_cipher, bytes);
		return -EIO;
	}
	return 0;
}

int xtsfs_gcm_open(const uint8_t key[static 32], const uint8_t nonce[static XTSFS_WRAP_NONCE_BYTES], const void *ad,
		   size_t ad_bytes, const uint8_t *cipher, size_t bytes, const uint8_t tag[static XTSFS_WRAP_TAG_BYTES],
		   uint8_t *ret_plain)
{
	uint8_t none[16], want[XTSFS_WRAP_TAG_BYTES];
	EVP_CIPHER_CTX *ctx;
	int done, r = 0;

	if (bytes > INT_MAX || ad_bytes > INT_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < sizeof(want); i++)
		want[i] = tag[i]; /* the control call takes no const */
	ctx = begin(key, nonce, ad, ad_bytes, 0);
	if (!ctx || (bytes && EVP_DecryptUpdate(ctx, ret_plain, &done, cipher, (int)bytes) != 1) ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, XTSFS_WRAP_TAG_BYTES, want) != 1)
		r = -EIO;
	else if (EVP_DecryptFinal_ex(ctx, none, &done) != 1)
		r = -EBADMSG;
	EVP_CIPHER_CTX_free(ctx);
	if (r < 0)
		xtsfs_wipe(ret_plain, bytes);
	return r;
}
