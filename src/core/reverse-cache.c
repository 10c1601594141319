/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups that were made, so that a file that is read in small pieces is encrypted once. As many as there are threads,
 * and a few: a thread holds one at a time, so there always comes one free.
 */
#include "core/reverse-internal.h"

#include <stdlib.h>

/* The one that was used longest ago, of those that nobody uses. */
static struct xtsfs_reverse_buffer *oldest(struct xtsfs_reverse *reverse)
{
	struct xtsfs_reverse_buffer *found = NULL;

	for (unsigned i = 0; i < reverse->buffer_count; i++) {
		struct xtsfs_reverse_buffer *buffer = &reverse->buffers[i];

		if (buffer->users == 0 && (!found || buffer->last_use < found->last_use))
			found = buffer;
	}
	return found;
}

static struct xtsfs_reverse_buffer *find(struct xtsfs_reverse *reverse, const struct xtsfs_reverse_file *file,
					 uint64_t group_no)
{
	for (unsigned i = 0; i < reverse->buffer_count; i++)
		if (reverse->buffers[i].owner == file && reverse->buffers[i].group_no == group_no)
			return &reverse->buffers[i];
	return NULL;
}

static int fill(struct xtsfs_reverse_file *file, struct xtsfs_reverse_buffer *buffer)
{
	void *data = buffer->data;

	if (!data && posix_memalign(&data, XTSFS_BLOCK_BYTES, sizeof(*buffer->data)) != 0)
		return -ENOMEM;
	buffer->data = data;
	return xtsfs_reverse_make_group(file, buffer->group_no, buffer->data);
}

int xtsfs_reverse_group_get(struct xtsfs_reverse_file *file, uint64_t group_no,
			    struct xtsfs_reverse_buffer **ret_buffer)
{
	struct xtsfs_reverse *reverse = file->volume->reverse;
	struct xtsfs_reverse_buffer *buffer;
	int r;

	pthread_mutex_lock(&reverse->mutex);
	for (;;) {
		buffer = find(reverse, file, group_no);
		if (buffer && !buffer->filling) {
			buffer->users++;
			buffer->last_use = ++reverse->uses;
			pthread_mutex_unlock(&reverse->mutex);
			*ret_buffer = buffer;
			return 0;
		}
		if (!buffer && (buffer = oldest(reverse)))
			break;
		pthread_cond_wait(&reverse->changed, &reverse->mutex);
	}
	buffer->owner = file;
	buffer->group_no = group_no;
	buffer->last_use = ++reverse->uses;
	buffer->users = 1;
	buffer->filling = true;
	pthread_mutex_unlock(&reverse->mutex);

	r = fill(file, buffer);

	pthread_mutex_lock(&reverse->mutex);
	buffer->filling = false;
	if (r < 0) {
		buffer->owner = NULL;
		buffer->users = 0;
	}
	pthread_cond_broadcast(&reverse->changed);
	pthread_mutex_unlock(&reverse->mutex);
	if (r == 0)
		*ret_buffer = buffer;
	return r;
}

void xtsfs_reverse_group_put(struct xtsfs_volume *volume, struct xtsfs_reverse_buffer *buffer)
{
	xtsfs_guard_mutex(&volume->reverse->mutex);

	if (--buffer->users == 0)
		pthread_cond_broadcast(&volume->reverse->changed);
}

void xtsfs_reverse_group_forget(const struct xtsfs_reverse_file *file)
{
	struct xtsfs_reverse *reverse = file->volume->reverse;
	xtsfs_guard_mutex(&reverse->mutex);

	for (unsigned i = 0; i < reverse->buffer_count; i++)
		if (reverse->buffers[i].owner == file) {
			reverse->buffers[i].owner = NULL;
			reverse->buffers[i].last_use = 0;
		}
}

void xtsfs_reverse_cache_free(struct xtsfs_reverse *reverse)
{
	for (unsigned i = 0; reverse->buffers && i < reverse->buffer_count; i++)
		free(reverse->buffers[i].data);
	free(reverse->buffers);
	reverse->buffers = NULL;
}
