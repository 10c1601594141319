/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key derivation and key wrapping (spec 3 and 4).
 *
 * Layer:   crypto.
 * Secrets: outputs belong in locked memory of the caller.
 * Source:  HKDF RFC 5869, Argon2id RFC 9106 (libargon2), AES-256-GCM SP 800-38D, SHA-256 FIPS 180-4.
 */
#ifndef XTSFS_CRYPTO_KDF_H
#define XTSFS_CRYPTO_KDF_H

#include "base/errors.h"

#include <stddef.h>
#include <stdint.h>

#define XTSFS_WRAP_NONCE_BYTES 12
#define XTSFS_WRAP_TAG_BYTES   16
#define XTSFS_SLOT_KEY_BYTES   32

struct xtsfs_argon2 {
	uint32_t time;	     /* passes, 1 to 1024 */
	uint32_t memory_kib; /* 8·parallel to 4194304 */
	uint32_t parallel;   /* lanes, 1 to 16 */
};
#define XTSFS_ARGON2_MAX_TIME	    1024U
#define XTSFS_ARGON2_MAX_MEMORY_KIB 4194304U
#define XTSFS_ARGON2_MAX_PARALLEL   16U
#define XTSFS_ARGON2_MAX_WORK	    (1ULL << 28) /* time · memory_kib */

/** HKDF-SHA-512. @info: a string. @key_bytes: 1 or more. @bytes: 1 to 255·64. 0, -EINVAL, -EIO. */
xtsfs_must_check int xtsfs_hkdf_sha512(const uint8_t *key, size_t key_bytes, const uint8_t *salt, size_t salt_bytes,
				       const char *info, uint8_t *ret_out, size_t bytes);
/** 0 or -EINVAL, -ERANGE: are the parameters within the bounds of the spec? Pure. */
xtsfs_must_check int xtsfs_argon2_check(const struct xtsfs_argon2 *params);
/** Argon2id v1.3; checks the parameters first. @salt_bytes: 8 or more, @bytes: 4 or more. -ENOMEM if the
 * memory cannot be had, also if it is more than the machine's free memory and swap. The library's memory is wiped.
 * Empty passwords are allowed here. */
xtsfs_must_check int xtsfs_argon2id(const struct xtsfs_argon2 *params, const uint8_t *password, size_t password_bytes,
				    const uint8_t *salt, size_t salt_bytes, uint8_t *ret_out, size_t bytes);
/**
 * Find parameters that take about @target_ms on this machine with at most @max_memory_kib (0: the smaller of 1 GiB and
 * half of the memory available) and @max_parallel lanes (0: the processors, at most 4): memory first, then passes, as
 * cryptsetup does. At least time 4 and memory 32 MiB (or @max_memory_kib if that is less), however long it takes.
 * Itself takes up to about three times @target_ms.
 */
xtsfs_must_check int xtsfs_argon2_calibrate(uint32_t target_ms, uint32_t max_memory_kib, uint32_t max_parallel,
					    struct xtsfs_argon2 *ret_params);

/** AES-256-GCM. @ret_cipher: @bytes. 0 or -EIO. */
xtsfs_must_check int xtsfs_gcm_seal(const uint8_t key[static 32], const uint8_t nonce[static XTSFS_WRAP_NONCE_BYTES],
				    const void *ad, size_t ad_bytes, const uint8_t *plain, size_t bytes,
				    uint8_t *ret_cipher, uint8_t ret_tag[static XTSFS_WRAP_TAG_BYTES]);
/** 0, -EBADMSG (output wiped), -EIO. */
xtsfs_must_check int xtsfs_gcm_open(const uint8_t key[static 32], const uint8_t nonce[static XTSFS_WRAP_NONCE_BYTES],
				    const void *ad, size_t ad_bytes, const uint8_t *cipher, size_t bytes,
				    const uint8_t tag[static XTSFS_WRAP_TAG_BYTES], uint8_t *ret_plain);

xtsfs_must_check int xtsfs_sha256(const void *data, size_t bytes, uint8_t ret_hash[static 32]);
xtsfs_must_check int xtsfs_hmac_sha256(const uint8_t *key, size_t key_bytes, const void *data, size_t bytes,
				       uint8_t ret_mac[static 32]);

/** Random bytes from OpenSSL's DRBG, for keys from its private one. 0 or -EIO. */
xtsfs_must_check int xtsfs_random(void *data, size_t bytes);
xtsfs_must_check int xtsfs_random_secret(void *data, size_t bytes);

#endif
