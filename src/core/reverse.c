/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse view as a whole: what a volume that is opened so has, and giving it up.
 */
#include "core/reverse.h"

#include "core/reverse-internal.h"

#include <string.h>
#include <time.h>

#define SPARE_BUFFERS 4U /* more than threads, so that what was read last is still there when somebody comes back */

/* Of text that was checked; 0 where it does not say. */
static int64_t created_s(const struct xtsfs_config *config)
{
	struct tm utc = {0};
	const char *end = strptime(config->created, "%Y-%m-%dT%H:%M:%S", &utc);

	return end ? (int64_t)timegm(&utc) : 0;
}

int xtsfs_reverse_new(struct xtsfs_volume *volume, const struct xtsfs_config *config,
		      const struct xtsfs_reverse_params *params)
{
	struct xtsfs_reverse *reverse = calloc(1, sizeof(*reverse));
	struct stat st;
	int r = reverse ? volume->store->ops->fstat(volume->store, volume->store->root, &st) : -ENOMEM;

	if (r == 0) {
		reverse->buffer_count = volume->threads + SPARE_BUFFERS;
		reverse->buffers = calloc(reverse->buffer_count, sizeof(*reverse->buffers));
		r = reverse->buffers ? 0 : -ENOMEM;
	}
	if (r < 0) {
		free(reverse);
		return r;
	}
	reverse->params = *params;
	reverse->dev = st.st_dev;
	reverse->created_s = created_s(config);
	pthread_mutex_init(&reverse->mutex, NULL);
	pthread_cond_init(&reverse->changed, NULL);
	pthread_mutex_init(&reverse->long_mutex, NULL);
	volume->reverse = reverse;
	return 0;
}

void xtsfs_reverse_free(struct xtsfs_volume *volume)
{
	struct xtsfs_reverse *reverse = volume->reverse;

	if (!reverse)
		return;
	xtsfs_reverse_cache_free(reverse);
	xtsfs_reverse_longs_free(reverse);
	pthread_mutex_destroy(&reverse->long_mutex);
	pthread_cond_destroy(&reverse->changed);
	pthread_mutex_destroy(&reverse->mutex);
	free(reverse);
	volume->reverse = NULL;
}

bool xtsfs_is_reverse(const struct xtsfs_volume *volume)
{
	return volume->reverse;
}

int xtsfs_reverse_verify(struct xtsfs_volume *volume, const struct xtsfs_keys *keys)
{
	uint8_t id[XTSFS_ID_BYTES];
	int r = xtsfs_reverse_dirid(keys, NULL, "", id);

	return r < 0 ? r : memcmp(id, volume->root->dirid, sizeof(id)) == 0 ? 0 : -XTSFS_EAUTH;
}
