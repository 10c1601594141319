/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of one sector each, kept for the next use.
 *
 * Sectors come one by one from several threads and go thousands at a time. From malloc() each costs a growing of its
 * arena and a page fault, since what is freed at once goes back to the kernel at once.
 *
 * Layer:   core, internal.
 * Threads: any; the mutex is a leaf.
 */
#ifndef XTSFS_CORE_SECTORPOOL_H
#define XTSFS_CORE_SECTORPOOL_H

#include "base/errors.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct xtsfs_free_sector;

struct xtsfs_sector_pool {
	pthread_mutex_t mutex;
	struct xtsfs_free_sector *newest;
	size_t count; /* free sectors */
	size_t least; /* the fewest that were free since the last trim */
};

void xtsfs_sector_pool_init(struct xtsfs_sector_pool *pool);
/** All that were taken have been given back. */
void xtsfs_sector_pool_free(struct xtsfs_sector_pool *pool);
/** @count buffers of XTSFS_BLOCK_BYTES, content undefined, into @ret. -ENOMEM: none is. */
xtsfs_must_check int xtsfs_sector_pool_take(struct xtsfs_sector_pool *pool, size_t count, uint8_t **ret);
/** Give back those of @sectors that are not NULL. */
void xtsfs_sector_pool_give(struct xtsfs_sector_pool *pool, size_t count, uint8_t *const *sectors);
/** Free what nobody needed since the last trim. Meant to be called about once a second. */
void xtsfs_sector_pool_trim(struct xtsfs_sector_pool *pool);

#endif
