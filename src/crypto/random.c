/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes.
 *
 * OpenSSL's DRBGs are seeded from the kernel, reseed after fork(), and cost no system call for the 16 bytes of a file
 * id. What is stored in the clear (ids, nonces, salts) comes from the public one and keys from the private one, so that
 * outputs everybody can see say nothing of the state that keys came from.
 */
#include "crypto/kdf.h"

#include <openssl/rand.h>

#define MAX_CALL_BYTES ((size_t)1 << 20) /* RAND_bytes() takes int */

static int fill(void *data, size_t bytes, int (*source)(unsigned char *, int))
{
	uint8_t *at = data;

	while (bytes) {
		size_t now = bytes < MAX_CALL_BYTES ? bytes : MAX_CALL_BYTES;

		if (source(at, (int)now) != 1)
			return -EIO;
		at += now;
		bytes -= now;
	}
	return 0;
}

int xtsfs_random(void *data, size_t bytes)
{
	return fill(data, bytes, RAND_bytes);
}

int xtsfs_random_secret(void *data, size_t bytes)
{
	return fill(data, bytes, RAND_priv_bytes);
}
