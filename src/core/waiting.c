/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sectors that wait (spec 10 rule 1).
 *
 * When the power fails, a sector may be new on disk and its meta block old: then nothing vouches for it, and what was
 * there before, maybe synced long ago, is lost. So the meta block, which accepts both, has to be durable first. One
 * flush for each write would cost far too much; so overwritten sectors are kept here, encrypted, until there are many,
 * or a sync or a close asks for them, and one flush serves all of a file's.
 *
 * Readers lay what waits over what is on disk. Everything that changes length or layout commits first, so a length
 * never changes under it.
 */
#include "core/waiting.h"

#include "core/file.h"
#include "core/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256U

#define SHORT_BYTES (64U << 20) /* less free space than that, and what may wait twice, is little */
#define SHORT_S	    60

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

static size_t bucket_of(uint64_t group_no)
{
	return (size_t)(group_no % BUCKETS);
}

static struct xtsfs_waiting_group *find(const struct xtsfs_waiting *waiting, uint64_t group_no)
{
	struct xtsfs_waiting_group *group = waiting->buckets ? waiting->buckets[bucket_of(group_no)] : NULL;

	while (group && group->group_no != group_no)
		group = group->next;
	return group;
}

struct xtsfs_waiting_group *xtsfs_waiting_find(struct xtsfs_file *file, uint64_t group_no)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	return find(&file->waiting, group_no);
}

/* ---- coming ---- */

static void count_bytes(struct xtsfs_volume *volume, struct xtsfs_waiting *waiting, size_t bytes)
{
	waiting->bytes += bytes;
	(void)__atomic_add_fetch(&volume->waiting_bytes, bytes, __ATOMIC_RELAXED);
}

static struct xtsfs_waiting_group *find_or_make(struct xtsfs_volume *volume, struct xtsfs_waiting *waiting,
						uint64_t group_no)
{
	struct xtsfs_waiting_group *group = find(waiting, group_no);

	if (group)
		return group;
	if (!waiting->buckets)
		waiting->buckets = calloc(BUCKETS, sizeof(struct xtsfs_waiting_group *));
	group = waiting->buckets ? calloc(1, sizeof(*group)) : NULL;
	if (!group)
		return NULL;
	if (waiting->groups++ == 0)
		clock_gettime(CLOCK_MONOTONIC, &waiting->since);
	group->group_no = group_no;
	group->next = waiting->buckets[bucket_of(group_no)];
	waiting->buckets[bucket_of(group_no)] = group;
	count_bytes(volume, waiting, sizeof(*group));
	return group;
}

static void list_file(struct xtsfs_volume *volume, struct xtsfs_file *file)
{
	xtsfs_guard_mutex(&volume->file_mutex);

	if (file->waiting.listed)
		return;
	__atomic_store_n(&file->waiting.listed, true, __ATOMIC_RELAXED);
	file->waiting.next_file = volume->waiting_files;
	volume->waiting_files = file;
}

int xtsfs_waiting_add(struct xtsfs_io *io, const struct xtsfs_disk_block *meta, uint64_t first, uint64_t count,
		      const uint8_t *cipher)
{
	struct xtsfs_waiting *waiting = &io->file->waiting;
	struct xtsfs_waiting_group *group;
	size_t at = (size_t)(first % XTSFS_GROUP_SECTORS);
	uint8_t *fresh[XTSFS_GROUP_SECTORS];

	if (xtsfs_sector_pool_take(&io->volume->sector_pool, count, fresh) < 0)
		return -ENOMEM;
	pthread_mutex_lock(&waiting->mutex);
	group = find_or_make(io->volume, waiting, xtsfs_sector_group(first));
	for (size_t i = 0; group && i < count; i++) {
		if (!group->sector[at + i]) {
			group->sector[at + i] = fresh[i];
			fresh[i] = NULL;
			count_bytes(io->volume, waiting, XTSFS_BLOCK_BYTES);
		}
	}
	pthread_mutex_unlock(&waiting->mutex);
	xtsfs_sector_pool_give(&io->volume->sector_pool, count, fresh);
	if (!group)
		return -ENOMEM;
	/* The group cannot go: its stripe is held. */
	group->meta = *meta;
	for (size_t i = 0; i < count; i++)
		memcpy(group->sector[at + i], cipher + i * XTSFS_BLOCK_BYTES, XTSFS_BLOCK_BYTES);
	list_file(io->volume, io->file);
	return 0;
}

void xtsfs_waiting_overlay(struct xtsfs_file *file, uint64_t first, uint64_t count, uint8_t *cipher)
{
	const struct xtsfs_waiting_group *group = xtsfs_waiting_find(file, xtsfs_sector_group(first));

	for (size_t i = 0; group && i < count; i++) {
		const uint8_t *sector = group->sector[first % XTSFS_GROUP_SECTORS + i];

		if (sector)
			memcpy(cipher + i * XTSFS_BLOCK_BYTES, sector, XTSFS_BLOCK_BYTES);
	}
}

void xtsfs_waiting_touch(struct xtsfs_file *file)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	file->waiting.mtime_set = clock_gettime(CLOCK_REALTIME_COARSE, &file->waiting.mtime) == 0;
}

void xtsfs_waiting_untouch(struct xtsfs_file *file)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	file->waiting.mtime_set = false;
}

void xtsfs_waiting_overlay_mtime(struct xtsfs_file *file, struct stat *st)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	if (file->waiting.mtime_set)
		st->st_mtim = file->waiting.mtime;
}

bool xtsfs_waiting_has(const struct xtsfs_file *file)
{
	return __atomic_load_n(&file->waiting.listed, __ATOMIC_RELAXED);
}

bool xtsfs_waiting_is_due(const struct xtsfs_io *io)
{
	const struct xtsfs_volume *volume = io->volume;

	return xtsfs_waiting_has(io->file) &&
	       (__atomic_load_n(&volume->waiting_bytes, __ATOMIC_RELAXED) > volume->waiting_most ||
		now_s() < __atomic_load_n(&volume->short_until_s, __ATOMIC_RELAXED));
}

/*
 * Where nothing is written in place (btrfs and the like) an overwrite needs space too, and it is the writer who has to
 * be told that there is none. So as long as there may be too little, nobody's write waits.
 */
static void set_short(struct xtsfs_volume *volume)
{
	__atomic_store_n(&volume->short_until_s, now_s() + SHORT_S, __ATOMIC_RELAXED);
}

static void look_for_space(struct xtsfs_volume *volume)
{
	struct statvfs st;

	if (!volume->store->in_place && volume->store->ops->statfs(volume->store, &st) == 0 &&
	    st.f_bavail * (uint64_t)st.f_frsize < SHORT_BYTES + 2 * (uint64_t)volume->waiting_most)
		set_short(volume);
}

/* ---- going ---- */

static void unlist_file(struct xtsfs_volume *volume, struct xtsfs_file *file)
{
	struct xtsfs_file **link;

	xtsfs_guard_mutex(&volume->file_mutex);
	if (!file->waiting.listed)
		return;
	for (link = &volume->waiting_files; *link != file; link = &(*link)->waiting.next_file)
		;
	*link = file->waiting.next_file;
	__atomic_store_n(&file->waiting.listed, false, __ATOMIC_RELAXED);
}

void xtsfs_waiting_drop(struct xtsfs_volume *volume, struct xtsfs_file *file)
{
	struct xtsfs_waiting *waiting = &file->waiting;
	struct xtsfs_waiting_group *group;

	if (!waiting->buckets)
		return;
	for (size_t b = 0; b < BUCKETS; b++) {
		while ((group = waiting->buckets[b])) {
			waiting->buckets[b] = group->next;
			xtsfs_sector_pool_give(&volume->sector_pool, XTSFS_GROUP_SECTORS, group->sector);
			free(group);
		}
	}
	free(waiting->buckets);
	waiting->buckets = NULL;
	waiting->groups = 0;
	waiting->mtime_set = false;
	(void)__atomic_sub_fetch(&volume->waiting_bytes, waiting->bytes, __ATOMIC_RELAXED);
	waiting->bytes = 0;
	unlist_file(volume, file);
}

static int compare_groups(const void *a, const void *b)
{
	const struct xtsfs_waiting_group *x = *(struct xtsfs_waiting_group *const *)a;
	const struct xtsfs_waiting_group *y = *(struct xtsfs_waiting_group *const *)b;

	return x->group_no < y->group_no ? -1 : x->group_no > y->group_no;
}

static struct xtsfs_waiting_group **sorted(const struct xtsfs_waiting *waiting)
{
	struct xtsfs_waiting_group **list = calloc(waiting->groups, sizeof(struct xtsfs_waiting_group *));
	size_t at = 0;

	if (!list)
		return NULL;
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct xtsfs_waiting_group *group = waiting->buckets[b]; group; group = group->next)
			list[at++] = group;
	qsort(list, waiting->groups, sizeof(struct xtsfs_waiting_group *), compare_groups);
	return list;
}

/* The sectors of a group, neighbours in one write. */
static int write_group(struct xtsfs_io *io, const struct xtsfs_waiting_group *group)
{
	struct xtsfs_store *store = io->volume->store;
	uint8_t *buffer = xtsfs_scratch()->sectors;
	size_t run = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i <= XTSFS_GROUP_SECTORS; i++) {
		uint64_t sector_no = group->group_no * XTSFS_GROUP_SECTORS + i;

		if (i < XTSFS_GROUP_SECTORS && group->sector[i]) {
			memcpy(buffer + run++ * XTSFS_BLOCK_BYTES, group->sector[i], XTSFS_BLOCK_BYTES);
		} else if (run) {
			uint32_t last = xtsfs_pad16(xtsfs_sector_plain_bytes(io->file->plain_bytes, sector_no - 1));

			r = xtsfs_store_pwrite(store, io->handle, buffer, (run - 1) * XTSFS_BLOCK_BYTES + last,
					       xtsfs_sector_cipher_off(io->volume->layout, sector_no - run));
			run = 0;
		}
	}
	return r;
}

static int write_all(struct xtsfs_io *io, struct xtsfs_waiting_group **list, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = xtsfs_meta_store(io, list[i]->group_no, &list[i]->meta);
	if (r == 0)
		r = xtsfs_file_flush(io);
	for (size_t i = 0; r == 0 && i < count; i++) {
		list[i]->tried = true;
		r = write_group(io, list[i]);
	}
	if (r < 0)
		xtsfs_file_set_unsure(io->file, true);
	xtsfs_file_set_under_way(io->file);
	return r;
}

int xtsfs_waiting_commit(struct xtsfs_io *io)
{
	struct xtsfs_waiting *waiting = &io->file->waiting;
	struct xtsfs_store *store = io->volume->store;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct xtsfs_waiting_group **list;
	struct stat st;
	int r;

	if (!waiting->buckets)
		return 0;
	list = xtsfs_scratch() ? sorted(waiting) : NULL;
	if (!list)
		return -ENOMEM;
	r = store->ops->fstat(store, io->handle, &st);
	if (r == 0)
		r = xtsfs_file_end_under_way(io);
	if (r == 0) {
		r = write_all(io, list, waiting->groups);
		if (r == 0)
			xtsfs_waiting_overlay_mtime(io->file, &st);
		times[1] = st.st_mtim;
		(void)store->ops->utimens(store, io->handle, NULL, times);
	}
	free(list);
	if (r == -ENOSPC || r == -EDQUOT)
		set_short(io->volume);
	if (r < 0 && io->volume->waiting_most == 0)
		/* Holes that were filled already are that only as long as there is a marker. */
		__atomic_store_n(&io->volume->unsettled, r, __ATOMIC_RELAXED);
	if (r == 0 || io->volume->waiting_most == 0)
		xtsfs_waiting_drop(io->volume, io->file);
	return r;
}

/* A file of the list that is old enough, with a use of it for the caller. It is not old again before the next round. */
static struct xtsfs_node *take_old(struct xtsfs_volume *volume, const struct timespec *now, unsigned age_s)
{
	xtsfs_guard_mutex(&volume->file_mutex);
	for (struct xtsfs_file *file = volume->waiting_files; file; file = file->waiting.next_file) {
		bool old;

		pthread_mutex_lock(&file->waiting.mutex);
		old = now->tv_sec - file->waiting.since.tv_sec >= (time_t)age_s;
		if (old)
			file->waiting.since.tv_sec = now->tv_sec + 1;
		pthread_mutex_unlock(&file->waiting.mutex);
		if (old) {
			xtsfs_node_ref(volume, file->node);
			return file->node;
		}
	}
	return NULL;
}

static int commit_old_file(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_io io;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io);

	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, true);
	if (r == 0) {
		r = xtsfs_waiting_commit(&io);
		if (r < 0)
			__atomic_store_n(&io.file->late_error, r, __ATOMIC_RELAXED);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r;
}

int xtsfs_commit_old(struct xtsfs_volume *volume, unsigned age_s)
{
	struct xtsfs_node *node;
	struct timespec now;
	int first = 0;

	xtsfs_sector_pool_trim(&volume->sector_pool);
	xtsfs_guard_shared(&volume->key_lock);
	if (!volume->keys)
		return 0;
	look_for_space(volume);
	xtsfs_share_check(volume);
	xtsfs_file_retry_kept(volume);
	clock_gettime(CLOCK_MONOTONIC, &now);
	while ((node = take_old(volume, &now, age_s))) {
		int r = commit_old_file(volume, node);

		xtsfs_node_unref(volume, node, 1);
		if (first == 0)
			first = r;
	}
	return first;
}
