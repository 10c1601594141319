/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of free buffers, linked through themselves: the newest, which the processor's caches know best, goes first.
 */
#include "core/sectorpool.h"

#include "format/ondisk.h"

#include <errno.h>
#include <stdlib.h>

struct xtsfs_free_sector {
	struct xtsfs_free_sector *older;
};

void xtsfs_sector_pool_init(struct xtsfs_sector_pool *pool)
{
	*pool = (struct xtsfs_sector_pool){0};
	pthread_mutex_init(&pool->mutex, NULL);
}

static void *pop(struct xtsfs_sector_pool *pool)
{
	struct xtsfs_free_sector *sector = pool->newest;

	if (sector) {
		pool->newest = sector->older;
		pool->count--;
	}
	return sector;
}

void xtsfs_sector_pool_free(struct xtsfs_sector_pool *pool)
{
	void *sector;

	while ((sector = pop(pool)))
		free(sector);
	pthread_mutex_destroy(&pool->mutex);
}

int xtsfs_sector_pool_take(struct xtsfs_sector_pool *pool, size_t count, uint8_t **ret)
{
	size_t taken = 0;

	pthread_mutex_lock(&pool->mutex);
	while (taken < count && pool->newest)
		ret[taken++] = pop(pool);
	if (pool->least > pool->count)
		pool->least = pool->count;
	pthread_mutex_unlock(&pool->mutex);
	for (; taken < count; taken++) {
		ret[taken] = malloc(XTSFS_BLOCK_BYTES);
		if (!ret[taken]) {
			xtsfs_sector_pool_give(pool, taken, ret);
			return -ENOMEM;
		}
	}
	return 0;
}

void xtsfs_sector_pool_give(struct xtsfs_sector_pool *pool, size_t count, uint8_t *const *sectors)
{
	pthread_mutex_lock(&pool->mutex);
	for (size_t i = 0; i < count; i++) {
		struct xtsfs_free_sector *sector = (void *)sectors[i];

		if (sector) {
			sector->older = pool->newest;
			pool->newest = sector;
			pool->count++;
		}
	}
	pthread_mutex_unlock(&pool->mutex);
}

void xtsfs_sector_pool_trim(struct xtsfs_sector_pool *pool)
{
	struct xtsfs_free_sector *sector, *surplus = NULL;

	pthread_mutex_lock(&pool->mutex);
	while (pool->least > 0) {
		pool->least--;
		sector = pop(pool);
		sector->older = surplus;
		surplus = sector;
	}
	pool->least = pool->count;
	pthread_mutex_unlock(&pool->mutex);
	while ((sector = surplus)) {
		surplus = sector->older;
		free(sector);
	}
}
