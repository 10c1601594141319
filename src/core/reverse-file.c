/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content in the reverse view: stored bytes at an offset, made from the plain file.
 *
 * Everything about the stored file follows from what the plain one was when it was opened: length, layout, file id,
 * header. A group is read from the plain file in one go and encrypted as a whole, since its meta block has the tags of
 * all its sectors; what is given out of it comes from that one copy.
 *
 * The plain file is somebody else's, and may change at any time. What was opened is given out, or -EIO:
 *
 * - Times and size are compared after each group was read, and before each answer. The kernel sets a file's ctime
 *   before it changes content, but only as fine as its tick: so a file that was changed within the current tick is
 *   opened when that is over (wait_for_tick()), and a later change has a later time.
 * - A store into a mapped page that is dirty already moves no time. For that a group that has to be made a second time
 *   must be what it was the first time: the tag of its meta block, which says all of it, is remembered.
 */
#include "core/reverse-internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUP_PLAIN_BYTES ((uint64_t)XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES)
#define GIVEN_MAX	  (1U << 20) /* groups that are remembered of an open file: about 500 GiB */
#define TICK_WAITS	  40
#define TICK_WAIT_NS	  1000000

static bool is_earlier(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && !is_earlier(a->st_mtim, b->st_mtim) && !is_earlier(b->st_mtim, a->st_mtim) &&
	       !is_earlier(a->st_ctim, b->st_ctim) && !is_earlier(b->st_ctim, a->st_ctim);
}

/* Until a change from now on would have a later time than @seen. Not for long: a clock may have been set back. */
static int wait_for_tick(struct xtsfs_store *store, int handle, struct stat *seen)
{
	const struct timespec pause = {.tv_nsec = TICK_WAIT_NS};
	struct timespec now;
	int r = 0;

	for (int i = 0; r == 0 && i < TICK_WAITS; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (is_earlier(seen->st_ctim, now))
			break;
		(void)nanosleep(&pause, NULL);
		r = store->ops->fstat(store, handle, seen);
	}
	return r;
}

static int fail_changed(struct xtsfs_reverse_file *file)
{
	bool told = __atomic_exchange_n(&file->told, true, __ATOMIC_RELAXED);

	if (!told) {
		xtsfs_auto_free char *path = xtsfs_node_describe(file->volume, file->node);

		xtsfs_warning("%s: changed while it was read, refusing to read on; it has to be opened again",
			      path ? path : "a file");
	}
	return -EIO;
}

static int check_unchanged(struct xtsfs_reverse_file *file)
{
	struct xtsfs_store *store = file->volume->store;
	struct stat st;
	int r = store->ops->fstat(store, file->fd->handle, &st);

	if (r < 0)
		return r;
	return is_same(&st, &file->seen) && !__atomic_load_n(&file->told, __ATOMIC_RELAXED) ? 0 : fail_changed(file);
}

/* All of [offset, offset + bytes): less means that the file was cut. */
static int read_plain(struct xtsfs_reverse_file *file, void *ret_plain, size_t bytes, uint64_t offset)
{
	ssize_t n = xtsfs_store_pread(file->volume->store, file->fd->handle, ret_plain, bytes, offset);

	return n < 0 ? (int)n : (size_t)n < bytes ? fail_changed(file) : 0;
}

/* ---- opening ---- */

/* A hole at any place makes a file SPARSE, as long as it is not the end. */
static bool has_holes(struct xtsfs_reverse_file *file)
{
	struct xtsfs_store *store = file->volume->store;
	int64_t hole = store->ops->seek(store, file->fd->handle, 0, SEEK_HOLE);

	return hole >= 0 && hole < file->seen.st_size;
}

static int make_header(struct xtsfs_reverse_file *file)
{
	struct xtsfs_header *header = &file->file.header;
	struct xtsfs_node *dir = file->node->links->parent;
	uint64_t plain_bytes = (uint64_t)file->seen.st_size;
	int r = xtsfs_reverse_object_id(file->volume, dir, file->node->links->backing_name, &file->seen,
					header->file_id);

	header->flags = XTSFS_FILE_CLEAN;
	if (plain_bytes <= XTSFS_INLINE_MAX)
		header->flags |= XTSFS_FILE_INLINE;
	else if (has_holes(file))
		header->flags |= XTSFS_FILE_SPARSE;
	header->plain_bytes = plain_bytes;
	/* A file with several names is the same under each, so it tells of none of their directories. */
	if (r == 0 && file->seen.st_nlink == 1)
		r = xtsfs_dirid_get(file->volume, dir, header->dirid_hint);
	return r;
}

static int open_source(struct xtsfs_reverse_file *file)
{
	struct xtsfs_volume *volume = file->volume;
	uint64_t plain_bytes;
	int r = xtsfs_fd_get(volume, file->node, XTSFS_ACCESS_READ, &file->fd);

	if (r == 0)
		r = volume->store->ops->fstat(volume->store, file->fd->handle, &file->seen);
	if (r == 0)
		r = wait_for_tick(volume->store, file->fd->handle, &file->seen);
	if (r < 0)
		return r;
	plain_bytes = (uint64_t)file->seen.st_size;
	if (plain_bytes > XTSFS_PLAIN_MAX)
		return -EFBIG;
	file->cipher_bytes = xtsfs_reverse_cipher_bytes(volume, plain_bytes);
	file->groups = (xtsfs_sector_count(plain_bytes) + XTSFS_GROUP_SECTORS - 1) / XTSFS_GROUP_SECTORS;
	file->file.plain_bytes = plain_bytes;
	file->io = (struct xtsfs_io){.volume = volume, .file = &file->file};
	if (plain_bytes > 0)
		r = make_header(file);
	if (r == 0 && plain_bytes > XTSFS_INLINE_MAX && volume->layout == XTSFS_LAYOUT_PLAIN)
		r = xtsfs_meta_seal(&file->io, 0, &file->file.block0);
	return r;
}

int xtsfs_reverse_open(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_reverse_file **ret_file)
{
	struct xtsfs_reverse_file *file;
	int r = 0;

	if (!S_ISREG(node->type))
		return S_ISDIR(node->type) ? -EISDIR : -EINVAL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->volume = volume;
	file->node = node;
	xtsfs_node_ref(volume, node);
	pthread_mutex_init(&file->mutex, NULL);
	pthread_mutex_lock(&volume->reverse->mutex);
	file->next = volume->reverse->open;
	file->at_list = &volume->reverse->open;
	if (file->next)
		file->next->at_list = &file->next;
	volume->reverse->open = file;
	pthread_mutex_unlock(&volume->reverse->mutex);
	if (xtsfs_virtual_of(node)) {
		ssize_t n = xtsfs_reverse_virtual_content(volume, node, &file->content);

		r = n < 0 ? (int)n : 0;
		file->cipher_bytes = n < 0 ? 0 : (uint64_t)n;
	} else {
		r = open_source(file);
	}
	if (r < 0)
		xtsfs_reverse_close(file);
	else
		*ret_file = file;
	return r;
}

void xtsfs_reverse_close(struct xtsfs_reverse_file *file)
{
	pthread_mutex_lock(&file->volume->reverse->mutex);
	*file->at_list = file->next;
	if (file->next)
		file->next->at_list = file->at_list;
	pthread_mutex_unlock(&file->volume->reverse->mutex);
	xtsfs_reverse_group_forget(file);
	if (file->fd)
		xtsfs_fd_put(file->volume, file->fd);
	xtsfs_node_unref(file->volume, file->node, 1);
	pthread_mutex_destroy(&file->mutex);
	free(file->content);
	free(file->given);
	free(file);
}

bool xtsfs_reverse_open_stat(struct xtsfs_volume *volume, const struct xtsfs_node *node, struct stat *ret_stat)
{
	xtsfs_guard_mutex(&volume->reverse->mutex);

	for (const struct xtsfs_reverse_file *file = volume->reverse->open; file; file = file->next)
		if (file->node == node && file->fd)
			return volume->store->ops->fstat(volume->store, file->fd->handle, ret_stat) == 0;
	return false;
}

/* ---- groups ---- */

int xtsfs_reverse_next_sector(struct xtsfs_reverse_file *file, uint64_t sector_no, bool hole, uint64_t *ret_sector_no)
{
	struct xtsfs_store *store = file->volume->store;
	uint64_t plain_bytes = (uint64_t)file->seen.st_size, sectors = xtsfs_sector_count(plain_bytes);
	int handle = file->fd->handle;

	if (!(file->file.header.flags & XTSFS_FILE_SPARSE)) {
		*ret_sector_no = hole ? sectors : sector_no;
		return 0;
	}
	for (uint64_t at = sector_no * XTSFS_BLOCK_BYTES; at < plain_bytes;) {
		int64_t data = store->ops->seek(store, handle, at, SEEK_DATA), end;

		if (data < 0 && data != -ENXIO)
			return (int)data;
		if (data < 0 || (uint64_t)data > plain_bytes)
			data = (int64_t)plain_bytes;
		/* [at, data) is a hole, and @at the beginning of a sector. */
		if (hole && ((uint64_t)data == plain_bytes || (uint64_t)data >= at + XTSFS_BLOCK_BYTES)) {
			*ret_sector_no = at / XTSFS_BLOCK_BYTES;
			return 0;
		}
		if (!hole) {
			*ret_sector_no = (uint64_t)data == plain_bytes ? sectors : (uint64_t)data / XTSFS_BLOCK_BYTES;
			return 0;
		}
		end = store->ops->seek(store, handle, (uint64_t)data, SEEK_HOLE);
		if (end < 0)
			return (int)end;
		at = ((uint64_t)end + XTSFS_BLOCK_BYTES - 1) / XTSFS_BLOCK_BYTES * XTSFS_BLOCK_BYTES;
	}
	*ret_sector_no = sectors;
	return 0;
}

/* Sectors [from, to) of the group's @first, whose plain bytes are at @plain, all of them data. */
static int seal_run(struct xtsfs_reverse_file *file, struct xtsfs_scratch *out, const uint8_t *plain, uint64_t first,
		    uint64_t from, uint64_t to)
{
	size_t at = (size_t)(from - first) * XTSFS_BLOCK_BYTES;
	uint64_t end = to * XTSFS_BLOCK_BYTES < file->file.plain_bytes ? to * XTSFS_BLOCK_BYTES
								       : file->file.plain_bytes;
	size_t bytes = xtsfs_pad16((uint32_t)(end - from * XTSFS_BLOCK_BYTES));
	int r = xtsfs_sector_crypt(&file->io, XTSFS_ENCRYPT, from, plain + at, out->sectors + at, bytes);

	for (uint64_t s = from; r == 0 && s < to && xtsfs_has_tags(&file->io); s++) {
		struct xtsfs_disk_entry *entry = &out->meta.entry[s - first];

		r = xtsfs_sector_tag(&file->io, s, xtsfs_sector_plain_bytes(file->file.plain_bytes, s),
				     out->sectors + (s - first) * XTSFS_BLOCK_BYTES, entry->now);
		memcpy(entry->before, entry->now, sizeof(entry->before));
	}
	return r;
}

/* The first place of a group that is not before @group_no. */
static size_t given_place(const struct xtsfs_reverse_file *file, uint64_t group_no)
{
	size_t low = 0, high = file->given_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (file->given[middle].group_no < group_no)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Is it what was given out before? If nothing was, it is from now on. */
static int check_given(struct xtsfs_reverse_file *file, uint64_t group_no, const uint8_t *tag)
{
	xtsfs_guard_mutex(&file->mutex);
	size_t place = given_place(file, group_no);

	if (place < file->given_count && file->given[place].group_no == group_no)
		return memcmp(file->given[place].tag, tag, XTSFS_TAG_BYTES) == 0 ? 0 : fail_changed(file);
	if (file->given_count == file->given_room) {
		size_t room = file->given_room ? file->given_room * 2 : 64;
		struct xtsfs_reverse_given *more = NULL;

		if (room <= GIVEN_MAX)
			more = realloc(file->given, room * sizeof(*more));
		if (more) {
			file->given = more;
			file->given_room = room;
		} else if (room <= GIVEN_MAX) {
			return -ENOMEM;
		} else { /* who reads so much does not come back: the times have to do */
			file->given_count = place = 0;
		}
	}
	memmove(file->given + place + 1, file->given + place, (file->given_count - place) * sizeof(*file->given));
	file->given[place].group_no = group_no;
	memcpy(file->given[place].tag, tag, XTSFS_TAG_BYTES);
	file->given_count++;
	return 0;
}

int xtsfs_reverse_make_group(struct xtsfs_reverse_file *file, uint64_t group_no, struct xtsfs_scratch *ret_data)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t first = group_no * XTSFS_GROUP_SECTORS, last = first + XTSFS_GROUP_SECTORS;
	uint64_t sectors = xtsfs_sector_count(file->file.plain_bytes), from, to;
	uint64_t start = first * XTSFS_BLOCK_BYTES, left = file->file.plain_bytes - start;
	size_t bytes = (size_t)(left < GROUP_PLAIN_BYTES ? left : GROUP_PLAIN_BYTES);
	int r;

	if (!scratch)
		return -ENOMEM;
	if (last > sectors)
		last = sectors;
	memset(ret_data, 0, (size_t)(1 + last - first + 1) * XTSFS_BLOCK_BYTES); /* and a tail's last bytes */
	r = xtsfs_reverse_next_sector(file, first, /* hole= */ false, &from);
	if (r < 0)
		return r;
	if (from < last) {
		r = read_plain(file, scratch->sectors, bytes, start);
		memset(scratch->sectors + bytes, 0, (size_t)(last - first) * XTSFS_BLOCK_BYTES - bytes);
	}
	while (r == 0 && from < last) {
		r = xtsfs_reverse_next_sector(file, from, /* hole= */ true, &to);
		if (r == 0)
			r = seal_run(file, ret_data, scratch->sectors, first, from, to < last ? to : last);
		if (r == 0)
			r = xtsfs_reverse_next_sector(file, to, /* hole= */ false, &from);
	}
	/* A group of holes is zeros altogether, but for block 0. */
	if (r == 0 && xtsfs_has_tags(&file->io) &&
	    (group_no == 0 || !xtsfs_is_zero(ret_data->meta.entry, sizeof(ret_data->meta.entry)))) {
		r = xtsfs_meta_seal(&file->io, group_no, &ret_data->meta);
		if (r == 0)
			r = check_given(file, group_no, ret_data->meta.meta.tag);
	}
	return r < 0 ? r : check_unchanged(file);
}

/* ---- reading ---- */

/* The whole content of a file that is inline. */
static int make_inline(struct xtsfs_reverse_file *file)
{
	uint32_t plain_bytes = (uint32_t)file->file.plain_bytes;
	uint8_t plain[XTSFS_BLOCK_BYTES] = {0};
	struct xtsfs_disk_block *block;
	int r = 0;

	xtsfs_guard_mutex(&file->mutex);
	if (file->content)
		return 0;
	block = calloc(1, sizeof(*block));
	if (!block)
		return -ENOMEM;
	r = read_plain(file, plain, plain_bytes, 0);
	if (r == 0)
		r = xtsfs_sector_crypt(&file->io, XTSFS_ENCRYPT, XTSFS_INLINE_SECTOR, plain, block->inline_cipher,
				       xtsfs_pad16(plain_bytes));
	explicit_bzero(plain, sizeof(plain));
	if (r == 0)
		r = xtsfs_meta_seal(&file->io, 0, block);
	if (r == 0)
		r = check_unchanged(file);
	if (r < 0)
		free(block);
	else
		file->content = (uint8_t *)block;
	return r;
}

/* Where the group begins in the stored file; with integrity none, behind block 0. */
static uint64_t group_start(const struct xtsfs_reverse_file *file, uint64_t group_no)
{
	return xtsfs_has_tags(&file->io) ? xtsfs_group_cipher_off(group_no)
					 : XTSFS_BLOCK_BYTES + group_no * GROUP_PLAIN_BYTES;
}

/* The group that has this offset: the last one has what is behind its last sector, too. */
static uint64_t group_at(const struct xtsfs_reverse_file *file, uint64_t offset)
{
	uint64_t group_no = xtsfs_has_tags(&file->io) ? offset / (XTSFS_GROUP_BLOCKS * (uint64_t)XTSFS_BLOCK_BYTES)
						      : (offset - XTSFS_BLOCK_BYTES) / GROUP_PLAIN_BYTES;

	return group_no < file->groups ? group_no : file->groups - 1;
}

/* As much of [offset, offset + bytes) as lies in one group, or in block 0. */
static ssize_t read_some(struct xtsfs_reverse_file *file, uint8_t *ret_data, size_t bytes, uint64_t offset)
{
	struct xtsfs_reverse_buffer *buffer;
	const uint8_t *from;
	uint64_t group_no, start, end;
	int r;

	if (!xtsfs_has_tags(&file->io) && offset < XTSFS_BLOCK_BYTES) {
		if (bytes > XTSFS_BLOCK_BYTES - offset)
			bytes = (size_t)(XTSFS_BLOCK_BYTES - offset);
		memcpy(ret_data, (const uint8_t *)&file->file.block0 + offset, bytes);
		return (ssize_t)bytes;
	}
	group_no = group_at(file, offset);
	start = group_start(file, group_no);
	end = group_no == file->groups - 1 ? file->cipher_bytes : group_start(file, group_no + 1);
	if (bytes > end - offset)
		bytes = (size_t)(end - offset);
	r = xtsfs_reverse_group_get(file, group_no, &buffer);
	if (r < 0)
		return r;
	from = xtsfs_has_tags(&file->io) ? (const uint8_t *)buffer->data : buffer->data->sectors;
	memcpy(ret_data, from + (offset - start), bytes);
	xtsfs_reverse_group_put(file->volume, buffer);
	return (ssize_t)bytes;
}

ssize_t xtsfs_reverse_read(struct xtsfs_reverse_file *file, void *ret_data, size_t bytes, uint64_t offset)
{
	size_t done = 0;
	int r = file->fd ? check_unchanged(file) : 0;

	if (r == 0 && file->fd && !file->content && file->file.plain_bytes > 0 &&
	    file->file.plain_bytes <= XTSFS_INLINE_MAX)
		r = make_inline(file);
	if (r < 0)
		return r;
	if (offset >= file->cipher_bytes)
		return 0;
	if (bytes > file->cipher_bytes - offset)
		bytes = (size_t)(file->cipher_bytes - offset);
	if (file->content) {
		memcpy(ret_data, file->content + offset, bytes);
		return (ssize_t)bytes;
	}
	while (done < bytes) {
		ssize_t n = read_some(file, (uint8_t *)ret_data + done, bytes - done, offset + done);

		if (n < 0)
			return n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* ---- holes ---- */

/* Is the first block of this group, its meta block, data: has the group any? */
static int group_has_data(struct xtsfs_reverse_file *file, uint64_t group_no, bool *ret_has)
{
	uint64_t sector_no;
	int r = xtsfs_reverse_next_sector(file, group_no * XTSFS_GROUP_SECTORS, false, &sector_no);

	if (r == 0)
		*ret_has = group_no == 0 || sector_no < (group_no + 1) * XTSFS_GROUP_SECTORS;
	return r;
}

/* The sector that block @block holds; of a meta block the one behind it. */
static uint64_t sector_of(const struct xtsfs_reverse_file *file, uint64_t block)
{
	return xtsfs_has_tags(&file->io) ? block - (block + XTSFS_GROUP_BLOCKS - 1) / XTSFS_GROUP_BLOCKS : block - 1;
}

static int64_t next_data(struct xtsfs_reverse_file *file, uint64_t offset)
{
	uint64_t block = offset / XTSFS_BLOCK_BYTES, sector_no, at;
	bool meta = xtsfs_has_tags(&file->io) && block % XTSFS_GROUP_BLOCKS == 0;
	int r = xtsfs_reverse_next_sector(file, sector_of(file, block), /* hole= */ false, &sector_no);

	if (r < 0)
		return r;
	if (sector_no >= xtsfs_sector_count(file->file.plain_bytes))
		return -ENXIO;
	at = xtsfs_sector_cipher_off(file->volume->layout, sector_no);
	/* Before the first sector of a group that has any comes its meta block. */
	if (xtsfs_has_tags(&file->io) &&
	    (meta || xtsfs_sector_group(sector_no) > xtsfs_sector_group(sector_of(file, block))))
		at = xtsfs_group_cipher_off(xtsfs_sector_group(sector_no));
	return (int64_t)(at > offset ? at : offset);
}

static int64_t next_hole(struct xtsfs_reverse_file *file, uint64_t offset)
{
	uint64_t sector_no = sector_of(file, offset / XTSFS_BLOCK_BYTES), at, group_no;
	bool has_data = false;
	int r = xtsfs_reverse_next_sector(file, sector_no, /* hole= */ true, &sector_no);

	if (r < 0)
		return r;
	if (sector_no >= xtsfs_sector_count(file->file.plain_bytes))
		return (int64_t)file->cipher_bytes;
	group_no = xtsfs_sector_group(sector_no);
	r = group_has_data(file, group_no, &has_data);
	if (r < 0)
		return r;
	at = !has_data && xtsfs_has_tags(&file->io) && sector_no % XTSFS_GROUP_SECTORS == 0
		     ? xtsfs_group_cipher_off(group_no)
		     : xtsfs_sector_cipher_off(file->volume->layout, sector_no);
	return (int64_t)(at > offset ? at : offset);
}

int64_t xtsfs_reverse_seek(struct xtsfs_reverse_file *file, uint64_t offset, int whence)
{
	int r;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (offset >= file->cipher_bytes)
		return -ENXIO;
	if (!file->fd || !(file->file.header.flags & XTSFS_FILE_SPARSE))
		return whence == SEEK_DATA ? (int64_t)offset : (int64_t)file->cipher_bytes;
	r = check_unchanged(file);
	if (r < 0)
		return r;
	if (whence == SEEK_DATA)
		return offset < XTSFS_BLOCK_BYTES ? (int64_t)offset : next_data(file, offset);
	return next_hole(file, offset < XTSFS_BLOCK_BYTES ? XTSFS_BLOCK_BYTES : offset);
}
