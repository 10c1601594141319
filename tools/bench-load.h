/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loads that xtsfsctl bench measures.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_BENCH_LOAD_H
#define XTSFS_TOOLS_BENCH_LOAD_H

#include "crypto/engine.h"
#include "crypto/kdf.h"
#include "crypto/mac.h"

#define BENCH_SECTOR_BYTES 4096U

/** Sectors a second of all @threads together, @sectors in each call (1 to 256). 0 or -errno. */
xtsfs_must_check int bench_sectors(const struct xtsfs_engine *engine, enum xtsfs_direction direction, unsigned threads,
				   size_t sectors, unsigned duration_ms, double *ret_per_s);
/** Sector tags a second of all @threads together. */
xtsfs_must_check int bench_tags(enum xtsfs_mac_kind kind, unsigned threads, unsigned duration_ms, double *ret_per_s);
/** One derivation. */
xtsfs_must_check int bench_derivation(const struct xtsfs_argon2 *params, double *ret_ms);

#endif
