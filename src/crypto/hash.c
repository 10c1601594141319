/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HKDF-SHA-512, SHA-256 and HMAC-SHA-256 in one call each.
 *
 * These run a few times for each mount (keys, the configuration's HMAC) or for each long name, so they fetch what they
 * need each time and keep nothing. OpenSSL copies the input key into memory of its own that it cleanses when freed.
 */
#include "crypto/kdf.h"

#include "base/secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define HKDF_MAX_BYTES ((size_t)255 * 64)

/* OSSL_PARAM has no const; a KDF or MAC only reads what it is given. */
static void *unconst(const void *pointer)
{
	return (void *)(uintptr_t)pointer;
}

int xtsfs_hkdf_sha512(const uint8_t *key, size_t key_bytes, const uint8_t *salt, size_t salt_bytes, const char *info,
		      uint8_t *ret_out, size_t bytes)
{
	static char digest[] = "SHA512";
	OSSL_PARAM params[5];
	unsigned count = 0;
	EVP_KDF_CTX *ctx;
	EVP_KDF *kdf;
	bool ok;

	if (bytes < 1 || bytes > HKDF_MAX_BYTES || key_bytes < 1)
		return -EINVAL;
	params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	params[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, unconst(key), key_bytes);
	params[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, unconst(info), strlen(info));
	if (salt_bytes) /* without one it is a block of zeros, RFC 5869 section 2.2 */
		params[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, unconst(salt), salt_bytes);
	params[count] = OSSL_PARAM_construct_end();

	kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	ok = ctx && EVP_KDF_derive(ctx, ret_out, bytes, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	if (!ok) {
		xtsfs_wipe(ret_out, bytes);
		return -EIO;
	}
	return 0;
}

int xtsfs_sha256(const void *data, size_t bytes, uint8_t ret_hash[static 32])
{
	return EVP_Q_digest(NULL, "SHA256", NULL, data, bytes, ret_hash, NULL) == 1 ? 0 : -EIO;
}

int xtsfs_hmac_sha256(const uint8_t *key, size_t key_bytes, const void *data, size_t bytes, uint8_t ret_mac[static 32])
{
	size_t done = 0;

	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_bytes, data, bytes, ret_mac, 32, &done) ||
	    done != 32)
		return -EIO;
	return 0;
}
