/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both engines share: the walk over the sectors of a run, and the check of the key.
 *
 * Layer:   crypto; for engine-*.c, pool.c and selftest.c.
 */
#ifndef XTSFS_CRYPTO_ENGINE_COMMON_H
#define XTSFS_CRYPTO_ENGINE_COMMON_H

#include "base/secret.h"
#include "crypto/engine.h"

#include <stdbool.h>
#include <string.h>

/* The current sector of a run; at the end bytes is 0. */
struct xtsfs_sectors {
	uint8_t tweak[XTSFS_XTS_TWEAK_BYTES];
	const uint8_t *in;
	uint8_t *out;
	size_t bytes;
	size_t left; /* with the current sector */
	size_t sector_bytes;
};

static inline void xtsfs_sectors_begin(struct xtsfs_sectors *sectors, const struct xtsfs_run *run)
{
	memcpy(sectors->tweak, run->first_tweak, sizeof(sectors->tweak));
	sectors->in = run->in;
	sectors->out = run->out;
	sectors->left = run->bytes;
	sectors->sector_bytes = run->sector_bytes;
	sectors->bytes = run->bytes < run->sector_bytes ? run->bytes : run->sector_bytes;
}

static inline void xtsfs_sectors_next(struct xtsfs_sectors *sectors)
{
	sectors->in += sectors->bytes;
	sectors->out += sectors->bytes;
	sectors->left -= sectors->bytes;
	if (sectors->left < sectors->sector_bytes)
		sectors->bytes = sectors->left;
	xtsfs_tweak_add(sectors->tweak, 1, sectors->tweak);
}

/** key1 == key2 makes XTS lose its security proof; libraries and the kernel check it in some modes and directions only.
 */
static inline bool xtsfs_xts_key_is_weak(const uint8_t key[static XTSFS_XTS_KEY_BYTES])
{
	return xtsfs_equal_secret(key, key + XTSFS_XTS_KEY_BYTES / 2, XTSFS_XTS_KEY_BYTES / 2);
}

/** Is @run within the contract of struct xtsfs_run? */
bool xtsfs_run_is_valid(const struct xtsfs_run *run);

#endif
