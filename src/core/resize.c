/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the length (spec 9.4, 10 rules 2 and 3), and the conversions between inline and sectors.
 *
 * Longer: the old tail is filled with zeros to the end of its sector, the entries behind it are made zero, and then the
 * file is extended in one step, everything new being a hole. Shorter: the new tail gets an entry for its shorter
 * length, then the file is cut; ciphertext is not rewritten.
 */
#include "core/file.h"

#include <string.h>

int xtsfs_convert_to_sectors(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset,
			     uint64_t plain_bytes)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	struct xtsfs_header old_header = file->header;
	struct xtsfs_disk_block old_block0 = file->block0;
	uint64_t old_plain_bytes = file->plain_bytes;
	uint8_t first[XTSFS_BLOCK_BYTES] = {0};
	size_t in_first = offset + bytes < sizeof(first) ? bytes : sizeof(first) - (size_t)offset;
	size_t first_bytes = plain_bytes < sizeof(first) ? (size_t)plain_bytes : sizeof(first);
	int r = xtsfs_inline_load(io, first);

	if (r < 0)
		return r;
	if (bytes)
		memcpy(first + offset, data, in_first);
	else
		in_first = 0;

	/* On disk the header says INLINE until the last write; what is behind block 0 has no meaning until then. */
	file->header.flags = plain_bytes > sizeof(first) && offset + bytes < plain_bytes ? XTSFS_FILE_SPARSE : 0;
	file->header.plain_bytes = 0;
	memset(&file->block0, 0, sizeof(file->block0));
	file->plain_bytes = 0;
	r = xtsfs_write_sectors(io, first, first_bytes, 0, XTSFS_DEFER_BLOCK0);
	explicit_bzero(first, sizeof(first));
	if (r == 0 && bytes > in_first)
		r = xtsfs_write_sectors(io, data + in_first, bytes - in_first, sizeof(first), XTSFS_DEFER_BLOCK0);
	if (r == 0 && file->plain_bytes < plain_bytes) {
		r = store->ops->truncate(store, io->handle,
					 xtsfs_plain_to_cipher_bytes(io->volume->layout, plain_bytes));
		file->plain_bytes = plain_bytes;
	}
	if (r == 0)
		r = xtsfs_file_flush(io);
	if (r == 0) {
		r = xtsfs_file_store_block0(io);
		if (r == 0) {
			xtsfs_file_set_under_way(file);
			xtsfs_file_set_changed(file, true);
			return 0;
		}
		/* The commit said it failed; whether it did is not known. The old block is put back before anything is
		 * cut. */
		if (xtsfs_store_pwrite(store, io->handle, &old_block0, xtsfs_inline_cipher_bytes(old_plain_bytes), 0) <
		    0) {
			file->loaded = false; /* what is on disk decides */
			xtsfs_file_set_unsure(file, true);
			xtsfs_file_set_changed(file, true);
			io->done = 0;
			return r;
		}
	}
	io->done = 0;
	file->header = old_header;
	file->block0 = old_block0;
	file->plain_bytes = old_plain_bytes;
	file->trim = store->ops->truncate(store, io->handle, xtsfs_inline_cipher_bytes(old_plain_bytes)) < 0;
	if (file->trim)
		xtsfs_file_set_changed(file, true);
	return r;
}

/* An empty file becomes one of zeros. */
static int grow_from_empty(struct xtsfs_io *io, uint64_t plain_bytes)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	int r = xtsfs_file_fresh(io, plain_bytes > XTSFS_INLINE_MAX ? XTSFS_FILE_SPARSE : 0);

	if (r == 0 && plain_bytes <= XTSFS_INLINE_MAX) {
		uint8_t zeros[XTSFS_BLOCK_BYTES] = {0};

		r = xtsfs_inline_store(io, zeros, (uint32_t)plain_bytes);
	} else if (r == 0) {
		file->has_block0 = true;
		xtsfs_file_set_changed(file, true);
		r = xtsfs_file_store_block0(io);
		if (r == 0)
			r = store->ops->truncate(store, io->handle,
						 xtsfs_plain_to_cipher_bytes(io->volume->layout, plain_bytes));
		if (r == 0)
			file->plain_bytes = plain_bytes;
	}
	if (r < 0)
		xtsfs_file_resync(io, 0);
	return r;
}

static int grow_inline(struct xtsfs_io *io, uint64_t plain_bytes)
{
	uint8_t plain[XTSFS_BLOCK_BYTES];
	int r;

	if (plain_bytes > XTSFS_INLINE_MAX)
		return xtsfs_convert_to_sectors(io, NULL, 0, io->file->plain_bytes, plain_bytes);
	r = xtsfs_inline_load(io, plain);
	if (r == 0)
		r = xtsfs_inline_store(io, plain, (uint32_t)plain_bytes);
	explicit_bzero(plain, sizeof(plain));
	return r;
}

/* Is the sector a hole by its entry? */
static int is_hole(struct xtsfs_io *io, uint64_t sector_no)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	int r;

	if (!(io->file->header.flags & XTSFS_FILE_SPARSE) || !xtsfs_has_tags(io))
		return 0;
	if (!scratch)
		return -ENOMEM;
	r = xtsfs_meta_load(io, xtsfs_sector_group(sector_no), &scratch->meta);
	return r < 0 ? r : xtsfs_entry_is_zero(&scratch->meta.entry[sector_no % XTSFS_GROUP_SECTORS]);
}

int xtsfs_clear_entries_behind(struct xtsfs_io *io)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t next = xtsfs_sector_count(io->file->plain_bytes), group_no = xtsfs_sector_group(next);
	size_t at = next % XTSFS_GROUP_SECTORS, bytes = (XTSFS_GROUP_SECTORS - at) * sizeof(struct xtsfs_disk_entry);
	int r;

	if (!xtsfs_has_tags(io) || (at == 0 && next > 0))
		return 0;
	if (!scratch)
		return -ENOMEM;
	r = xtsfs_meta_load(io, group_no, &scratch->meta);
	if (r < 0 || xtsfs_is_zero(&scratch->meta.entry[at], bytes))
		return r;
	memset(&scratch->meta.entry[at], 0, bytes);
	r = xtsfs_meta_store(io, group_no, &scratch->meta);
	return r < 0 ? r : xtsfs_file_flush(io);
}

/* A group has one growing record. If it is what makes a sector good, that is written as it reads. */
static int free_record(struct xtsfs_io *io, uint64_t group_no)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t from, sector_no;
	uint32_t bytes;
	ssize_t n;
	int r;

	if (!xtsfs_must_look(io))
		return 0;
	if (!scratch)
		return -ENOMEM;
	r = xtsfs_meta_load(io, group_no, &scratch->meta);
	if (r < 0)
		return r;
	from = xtsfs_growing_get(&scratch->meta).from;
	sector_no = from / XTSFS_BLOCK_BYTES;
	bytes = xtsfs_sector_plain_bytes(io->file->plain_bytes, sector_no);
	if (from == 0 || bytes == 0)
		return 0;
	n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, xtsfs_pad16(bytes),
			      xtsfs_sector_cipher_off(io->volume->layout, sector_no));
	if (n < 0)
		return (int)n;
	memset(scratch->sectors + n, 0, XTSFS_BLOCK_BYTES - (size_t)n);
	r = xtsfs_sector_verify(io, sector_no, bytes, scratch->sectors, &scratch->meta);
	if (r != XTSFS_IS_SHORT && r != XTSFS_IS_CUT)
		return r < 0 ? r : 0;
	r = xtsfs_write_sectors(io, NULL, (size_t)(sector_no * XTSFS_BLOCK_BYTES + bytes - from), from,
				XTSFS_STORE_META);
	io->done = 0;
	return r < 0 ? r : xtsfs_waiting_commit(io);
}

/* Without tags: zeros behind the content, as everybody writes them who has not lost his length. */
static int smooth_tail(struct xtsfs_io *io)
{
	uint64_t last = io->file->plain_bytes - 1;
	uint8_t byte;
	int r = xtsfs_read_locked(io, &byte, 1, last);

	if (r == 0)
		r = xtsfs_write_sectors(io, &byte, 1, last, XTSFS_STORE_META);
	io->done = 0;
	explicit_bzero(&byte, sizeof(byte));
	if (r == 0)
		r = xtsfs_file_flush(io);
	if (r == 0)
		io->file->rough = false;
	return r;
}

int xtsfs_prepare_tail(struct xtsfs_io *io)
{
	uint64_t plain_bytes = io->file->plain_bytes;

	if (plain_bytes % XTSFS_BLOCK_BYTES == 0)
		return 0;
	if (xtsfs_has_tags(io))
		return free_record(io, xtsfs_sector_group(plain_bytes / XTSFS_BLOCK_BYTES));
	return io->file->rough ? smooth_tail(io) : 0;
}

/* The last sector is a hole and becomes a whole one, of a file of @plain_bytes. */
static int cut_filler(struct xtsfs_io *io, uint64_t plain_bytes)
{
	int r = io->volume->store->ops->truncate(io->volume->store, io->handle,
						 xtsfs_plain_to_cipher_bytes(io->volume->layout, plain_bytes));

	if (r == 0)
		io->file->plain_bytes = plain_bytes;
	return r;
}

static int grow_sectors(struct xtsfs_io *io, uint64_t plain_bytes)
{
	struct xtsfs_file *file = io->file;
	uint64_t tail = file->plain_bytes % XTSFS_BLOCK_BYTES;
	bool holes = xtsfs_sector_count(plain_bytes) > xtsfs_sector_count(file->plain_bytes);
	int r = xtsfs_file_begin_change(io, true, holes ? XTSFS_FILE_SPARSE : 0);

	if (r == 0)
		r = xtsfs_prepare_tail(io);
	if (r == 0 && tail) {
		r = is_hole(io, file->plain_bytes / XTSFS_BLOCK_BYTES);
		if (r == 0) {
			uint64_t room = XTSFS_BLOCK_BYTES - tail, add = plain_bytes - file->plain_bytes;

			r = xtsfs_write_sectors(io, NULL, (size_t)(add < room ? add : room), file->plain_bytes,
						XTSFS_STORE_META);
		} else if (r > 0 && tail > XTSFS_SHORT_TAIL_MAX && holes) {
			/* A hole needs nothing but zeros, but the filler behind a long tail would be in a sector to
			 * come, or in its meta block. */
			r = cut_filler(io, file->plain_bytes + XTSFS_BLOCK_BYTES - tail);
		} else if (r > 0) {
			r = 0;
		}
	}
	if (r < 0 || file->plain_bytes == plain_bytes)
		return r;
	r = xtsfs_clear_entries_behind(io);
	if (r == 0)
		r = io->volume->store->ops->truncate(io->volume->store, io->handle,
						     xtsfs_plain_to_cipher_bytes(io->volume->layout, plain_bytes));
	if (r == 0)
		file->plain_bytes = plain_bytes;
	return r;
}

static int shrink_to_inline(struct xtsfs_io *io, uint64_t plain_bytes)
{
	uint8_t plain[XTSFS_BLOCK_BYTES];
	int r;

	if (xtsfs_file_is_inline(io->file))
		r = xtsfs_inline_load(io, plain);
	else
		r = xtsfs_read_locked(io, plain, (size_t)plain_bytes, 0);
	if (r == 0)
		r = xtsfs_inline_store(io, plain, (uint32_t)plain_bytes);
	explicit_bzero(plain, sizeof(plain));
	return r;
}

/* The entry of a sector that is to be the last, with @tail bytes, before the file is cut. */
static int retag_tail(struct xtsfs_io *io, uint64_t sector_no, uint32_t tail)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t group_no = xtsfs_sector_group(sector_no);
	uint32_t old_bytes = xtsfs_sector_plain_bytes(io->file->plain_bytes, sector_no);
	struct xtsfs_disk_entry *entry;
	ssize_t n;
	int r;

	if (!scratch)
		return -ENOMEM;
	r = free_record(io, group_no);
	if (r == 0)
		r = xtsfs_meta_load(io, group_no, &scratch->meta);
	if (r == 0)
		r = xtsfs_file_end_under_way(io);
	if (r < 0)
		return r;
	entry = &scratch->meta.entry[sector_no % XTSFS_GROUP_SECTORS];
	n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, xtsfs_pad16(old_bytes),
			      xtsfs_sector_cipher_off(io->volume->layout, sector_no));
	if (n < 0)
		return (int)n;
	memset(scratch->sectors + n, 0, XTSFS_BLOCK_BYTES - (size_t)n);
	r = xtsfs_sector_verify(io, sector_no, old_bytes, scratch->sectors, &scratch->meta);
	if (r < 0 || ((r == XTSFS_IS_HOLE || r == XTSFS_IS_ABSENT) && xtsfs_entry_is_zero(entry)))
		return r < 0 ? r : 0;
	if (r == XTSFS_IS_BAD) {
		xtsfs_sector_report(io, sector_no);
		return -EIO;
	}
	xtsfs_sector_settle(&scratch->meta, sector_no, r);
	memcpy(entry->before, entry->now, sizeof(entry->before));
	if (r != XTSFS_IS_HOLE && r != XTSFS_IS_ABSENT) {
		struct xtsfs_growing cut = {.from = sector_no * XTSFS_BLOCK_BYTES + tail};

		r = xtsfs_sector_tag(io, sector_no, tail, scratch->sectors, entry->now);
		if (r < 0)
			return r;
		memcpy(cut.tag, entry->now, sizeof(cut.tag));
		xtsfs_growing_set(&scratch->meta, &cut);
	}
	xtsfs_file_mark_dirty(io->file, group_no);
	r = xtsfs_meta_store(io, group_no, &scratch->meta);
	return r < 0 ? r : xtsfs_file_flush(io);
}

/*
 * Without tags, nothing tells what of a last sector is content once its length and its content have become durable
 * apart. So what is behind the new end becomes zeros first: in the 16-byte block of the end, whose plain padding reads
 * as content when the file has grown, and in the next, which the backing filesystem may make half zeros (spec 9.8).
 */
static int clear_behind_end(struct xtsfs_io *io, uint64_t sector_no, uint32_t tail)
{
	uint32_t old_bytes = xtsfs_sector_plain_bytes(io->file->plain_bytes, sector_no),
		 padded = xtsfs_pad16(old_bytes);
	uint32_t from = tail - tail % 16, to = xtsfs_pad16(tail);
	struct xtsfs_store *store = io->volume->store;
	uint64_t offset = xtsfs_sector_cipher_off(io->volume->layout, sector_no);
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	ssize_t n;
	int r;

	if (!scratch)
		return -ENOMEM;
	n = xtsfs_store_pread(store, io->handle, scratch->sectors, padded, offset);
	if (n < 0)
		return (int)n;
	memset(scratch->sectors + n, 0, padded - (size_t)n);
	r = xtsfs_sector_verify(io, sector_no, old_bytes, scratch->sectors, NULL);
	if (r < 0 || r == XTSFS_IS_HOLE)
		return r < 0 ? r : 0;
	r = xtsfs_sector_decrypt(io, sector_no, scratch->sectors, scratch->sectors, padded);
	if (r < 0)
		return r;
	memset(scratch->sectors + tail, 0, padded - tail);
	r = xtsfs_sector_crypt(io, XTSFS_ENCRYPT, sector_no, scratch->sectors, scratch->sectors, padded);
	if (r < 0)
		return r;
	if (to < padded) {
		memset(scratch->sectors + to, 0, 16);
		to += 16;
	}
	return xtsfs_store_pwrite(store, io->handle, scratch->sectors + from, to - from, offset + from);
}

static int shrink_sectors(struct xtsfs_io *io, uint64_t plain_bytes)
{
	struct xtsfs_file *file = io->file;
	uint32_t tail = (uint32_t)(plain_bytes % XTSFS_BLOCK_BYTES);
	int r = xtsfs_file_begin_change(io, true, 0);

	if (r == 0 && tail)
		r = xtsfs_has_tags(io) ? retag_tail(io, plain_bytes / XTSFS_BLOCK_BYTES, tail)
				       : clear_behind_end(io, plain_bytes / XTSFS_BLOCK_BYTES, tail);
	if (r == 0) {
		r = io->volume->store->ops->truncate(io->volume->store, io->handle,
						     xtsfs_plain_to_cipher_bytes(io->volume->layout, plain_bytes));
		xtsfs_file_set_under_way(file);
	}
	if (r < 0 && tail) { /* the tail's entry, or its content, is ahead of its length */
		xtsfs_file_set_unsure(file, true);
		if (!xtsfs_has_tags(io)) /* nothing will settle that */
			__atomic_store_n(&io->volume->unsettled, r, __ATOMIC_RELAXED);
	}
	if (r == 0)
		file->plain_bytes = plain_bytes;
	return r;
}

static int make_empty(struct xtsfs_io *io)
{
	struct xtsfs_file *file = io->file;
	int r = io->volume->store->ops->truncate(io->volume->store, io->handle, 0);

	if (r < 0)
		return r;
	xtsfs_waiting_drop(io->volume, file);
	file->has_block0 = file->trim = false;
	xtsfs_file_set_changed(file, false);
	xtsfs_file_set_unsure(file, false);
	file->plain_bytes = 0;
	pthread_mutex_lock(&file->dirty_mutex);
	xtsfs_groupset_clear(&file->dirty);
	pthread_mutex_unlock(&file->dirty_mutex);
	return 0;
}

int xtsfs_resize_locked(struct xtsfs_io *io, uint64_t plain_bytes)
{
	struct xtsfs_file *file = io->file;
	int r;

	if (plain_bytes > XTSFS_PLAIN_MAX)
		return -EFBIG;
	if (plain_bytes == 0)
		return make_empty(io);
	r = xtsfs_file_begin_change(io, false, 0);
	if (r < 0 || plain_bytes == file->plain_bytes)
		return r;
	if (plain_bytes > file->plain_bytes) {
		uint64_t old_plain_bytes = file->plain_bytes;

		if (!file->has_block0)
			return grow_from_empty(io, plain_bytes);
		if (xtsfs_file_is_inline(file))
			return grow_inline(io, plain_bytes);
		r = grow_sectors(io, plain_bytes);
		if (r < 0)
			xtsfs_resize_back(io, old_plain_bytes);
		return r;
	}
	return plain_bytes <= XTSFS_INLINE_MAX ? shrink_to_inline(io, plain_bytes) : shrink_sectors(io, plain_bytes);
}

void xtsfs_resize_back(struct xtsfs_io *io, uint64_t plain_bytes)
{
	if (io->file->loaded && io->file->plain_bytes > plain_bytes && xtsfs_resize_locked(io, plain_bytes) < 0)
		xtsfs_notice("inode %llu: a change that failed leaves zeros behind its end",
			     (unsigned long long)io->file->node->ino);
}
