/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine "user" by libgcrypt, which has AES-XTS with VAES from version 1.10 on; OpenSSL 3.0 does not.
 *
 * As in engine-openssl.c a TFM is the key in locked memory, and an OP is keyed once: here one handle for both
 * directions. It holds the expanded keys in libgcrypt's heap memory, which gcry_cipher_close() wipes but nothing locks.
 *
 * The library is set up by who is first, without its own locked memory, which is not used here. It is taken on
 * processors with VAES only: what it has for others is no faster, and may be AES by tables, whose time tells of the
 * key.
 */
#include "base/secret.h"
#include "crypto/engine-common.h"

#include <gcrypt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct xtsfs_tfm {
	struct xtsfs_secret *key;
};

struct xtsfs_op {
	gcry_cipher_hd_t handle;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_usable;

static bool has_vaes(void)
{
	char *features = gcry_get_config(0, "hwflist");
	bool has = features && strstr(features, ":intel-vaes-vpclmul:");

	gcry_free(features);
	return has;
}

static void set_up(void)
{
	bool is_ready = gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P);

	if (!is_ready && gcry_check_version("1.10.0"))
		is_ready = gcry_control(GCRYCTL_DISABLE_SECMEM, 0) == 0 &&
			   gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0) == 0;
	is_usable = is_ready && has_vaes();
}

static int error_of(gcry_error_t error)
{
	return !error ? 0 : gcry_err_code(error) == GPG_ERR_ENOMEM ? -ENOMEM : -EIO;
}

static void tfm_free(struct xtsfs_tfm *tfm)
{
	if (!tfm)
		return;
	xtsfs_secret_free(tfm->key);
	free(tfm);
}

static int tfm_new(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm)
{
	struct xtsfs_tfm *tfm;
	int r;

	if (xtsfs_xts_key_is_weak(key))
		return -EINVAL;
	pthread_once(&once, set_up);
	if (!is_usable)
		return -EOPNOTSUPP;
	tfm = calloc(1, sizeof(*tfm));
	if (!tfm)
		return -ENOMEM;
	r = xtsfs_secret_new(XTSFS_XTS_KEY_BYTES, &tfm->key);
	if (r < 0) {
		free(tfm);
		return r;
	}
	memcpy(tfm->key->data, key, XTSFS_XTS_KEY_BYTES);
	*ret_tfm = tfm;
	return 0;
}

static void op_free(struct xtsfs_op *op)
{
	if (!op)
		return;
	gcry_cipher_close(op->handle);
	free(op);
}

static int op_new(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	struct xtsfs_op *op = calloc(1, sizeof(*op));
	int r;

	if (!op)
		return -ENOMEM;
	r = error_of(gcry_cipher_open(&op->handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_XTS, 0));
	if (r == 0)
		r = error_of(gcry_cipher_setkey(op->handle, tfm->key->data, XTSFS_XTS_KEY_BYTES));
	if (r < 0) {
		op_free(op);
		return r;
	}
	*ret_op = op;
	return 0;
}

static int crypt_run(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	struct xtsfs_sectors sectors;
	gcry_error_t error = 0;

	for (xtsfs_sectors_begin(&sectors, run); !error && sectors.bytes; xtsfs_sectors_next(&sectors)) {
		error = gcry_cipher_setiv(op->handle, sectors.tweak, sizeof(sectors.tweak));
		if (!error && direction == XTSFS_ENCRYPT)
			error = gcry_cipher_encrypt(op->handle, sectors.out, sectors.bytes, sectors.in, sectors.bytes);
		else if (!error)
			error = gcry_cipher_decrypt(op->handle, sectors.out, sectors.bytes, sectors.in, sectors.bytes);
	}
	return error_of(error);
}

const struct xtsfs_engine xtsfs_engine_gcrypt = {
	.name = "libgcrypt",
	.tfm_new = tfm_new,
	.tfm_free = tfm_free,
	.op_new = op_new,
	.op_free = op_free,
	.crypt = crypt_run,
};
