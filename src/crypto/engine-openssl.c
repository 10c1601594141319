/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine "user" by OpenSSL: AES-256-XTS in this process.
 *
 * A TFM is the key in locked memory and the fetched cipher. An OP is a context for each direction, keyed once; a sector
 * is one init with nothing but the tweak and one update, and allocates nothing. So a run of sectors costs about what
 * the AES instructions cost (spec 9.2 says what a tweak is).
 *
 * What the kernel engine does not have to say: here the content key stays in this process until the TFM is freed. The
 * copy of the TFM is locked and not dumped; each context also holds the expanded keys, in OpenSSL's own heap memory,
 * which EVP_CIPHER_CTX_free() cleanses but nothing locks.
 *
 * OpenSSL refuses equal halves of the key only when encrypting; xtsfs_xts_key_is_weak() does it for all engines.
 */
#include "crypto/engine.h"

#include "base/secret.h"
#include "crypto/engine-common.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct xtsfs_tfm {
	struct xtsfs_secret *key;
	EVP_CIPHER *cipher;
};

struct xtsfs_op {
	EVP_CIPHER_CTX *ctx[2]; /* by enum xtsfs_direction */
};

static void tfm_free(struct xtsfs_tfm *tfm)
{
	if (!tfm)
		return;
	EVP_CIPHER_free(tfm->cipher);
	xtsfs_secret_free(tfm->key);
	free(tfm);
}

static int tfm_new(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm)
{
	struct xtsfs_tfm *tfm;
	int r;

	if (xtsfs_xts_key_is_weak(key))
		return -EINVAL;
	tfm = calloc(1, sizeof(*tfm));
	if (!tfm)
		return -ENOMEM;
	r = xtsfs_secret_new(XTSFS_XTS_KEY_BYTES, &tfm->key);
	if (r == 0) {
		memcpy(tfm->key->data, key, XTSFS_XTS_KEY_BYTES);
		tfm->cipher = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);
		r = tfm->cipher ? 0 : -EIO;
	}
	if (r < 0) {
		tfm_free(tfm);
		return r;
	}
	*ret_tfm = tfm;
	return 0;
}

static void op_free(struct xtsfs_op *op)
{
	if (!op)
		return;
	EVP_CIPHER_CTX_free(op->ctx[XTSFS_ENCRYPT]);
	EVP_CIPHER_CTX_free(op->ctx[XTSFS_DECRYPT]);
	free(op);
}

static int op_new(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	static const enum xtsfs_direction directions[] = {XTSFS_ENCRYPT, XTSFS_DECRYPT};
	struct xtsfs_op *op = calloc(1, sizeof(*op));

	if (!op)
		return -ENOMEM;
	for (unsigned i = 0; i < 2; i++) {
		EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

		op->ctx[directions[i]] = ctx;
		if (!ctx) {
			op_free(op);
			return -ENOMEM;
		}
		if (EVP_CipherInit_ex2(ctx, tfm->cipher, tfm->key->data, NULL, directions[i] == XTSFS_ENCRYPT, NULL) !=
		    1) {
			op_free(op);
			return -EIO;
		}
	}
	*ret_op = op;
	return 0;
}

static int crypt_run(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	EVP_CIPHER_CTX *ctx = op->ctx[direction];
	struct xtsfs_sectors sectors;

	for (xtsfs_sectors_begin(&sectors, run); sectors.bytes; xtsfs_sectors_next(&sectors)) {
		int done = 0;

		/* -1: the direction stays; a change would need the key again. */
		if (EVP_CipherInit_ex2(ctx, NULL, NULL, sectors.tweak, -1, NULL) != 1 ||
		    EVP_CipherUpdate(ctx, sectors.out, &done, sectors.in, (int)sectors.bytes) != 1 ||
		    (size_t)done != sectors.bytes)
			return -EIO;
	}
	return 0;
}

const struct xtsfs_engine xtsfs_engine_openssl = {
	.name = "OpenSSL",
	.tfm_new = tfm_new,
	.tfm_free = tfm_free,
	.op_new = op_new,
	.op_free = op_free,
	.crypt = crypt_run,
};
