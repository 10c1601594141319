/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holes: punching, zeroing, preallocating, finding (spec 9.6, 10 rule 3).
 *
 * Only whole sectors become holes; the edges are written with zeros. With integrity on the entries say exactly what is
 * a hole; without, the backing file does. What the backing file has in holes already is passed over quickly, so that a
 * sparse file's size is not what a request costs.
 */
#include "core/file.h"

#include "core/fs.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

/* Zeros into the stored sectors [first, first + count) of one group. */
static int zero_cipher(struct xtsfs_io *io, uint64_t first, uint64_t count)
{
	struct xtsfs_store *store = io->volume->store;
	uint64_t offset = xtsfs_sector_cipher_off(io->volume->layout, first), bytes = count * XTSFS_BLOCK_BYTES;
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	int r = store->ops->fallocate(store, io->handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);

	if (r != -EOPNOTSUPP)
		return r;
	if (!scratch)
		return -ENOMEM;
	memset(scratch->sectors, 0, (size_t)bytes);
	return xtsfs_store_pwrite(store, io->handle, scratch->sectors, (size_t)bytes, offset);
}

/* What is to be a hole accepts zeros (spec 10 rule 3). 1 if an entry changed. */
static int mark_holes(struct xtsfs_io *io, uint64_t first, uint64_t count)
{
	uint64_t group_no = xtsfs_sector_group(first);
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	bool differs = false, careful = xtsfs_must_look(io);
	int r = xtsfs_meta_load(io, group_no, &scratch->meta);

	for (uint64_t i = 0; r >= 0 && i < count; i++) {
		struct xtsfs_disk_entry *entry = &scratch->meta.entry[(first + i) % XTSFS_GROUP_SECTORS];

		if (xtsfs_entry_is_zero(entry))
			continue;
		if (careful) {
			ssize_t n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors,
						      XTSFS_BLOCK_BYTES,
						      xtsfs_sector_cipher_off(io->volume->layout, first + i));

			if (n < 0)
				return (int)n;
			memset(scratch->sectors + n, 0, XTSFS_BLOCK_BYTES - (size_t)n);
			r = xtsfs_sector_verify(io, first + i, XTSFS_BLOCK_BYTES, scratch->sectors, &scratch->meta);
			if (r < 0)
				return r;
			xtsfs_sector_settle(&scratch->meta, first + i, r);
		}
		memcpy(entry->before, entry->now, sizeof(entry->before));
		memset(entry->now, 0, sizeof(entry->now));
		differs = true;
	}
	if (r < 0 || !differs)
		return r < 0 ? r : 0;
	xtsfs_file_mark_dirty(io->file, group_no);
	r = xtsfs_meta_store(io, group_no, &scratch->meta);
	return r < 0 ? r : 1;
}

/* The first sector at or after @sector_no whose group has anything stored, as far as the backing filesystem can tell.
 */
static int64_t skip_backing_hole(struct xtsfs_io *io, uint64_t sector_no)
{
	enum xtsfs_layout layout = io->volume->layout;
	uint64_t block = xtsfs_sector_block(layout, sector_no);
	int64_t at;

	if (layout == XTSFS_LAYOUT_GROUPS)
		block -= block % XTSFS_GROUP_BLOCKS; /* the meta block counts */
	at = io->volume->store->ops->seek(io->volume->store, io->handle, block * XTSFS_BLOCK_BYTES, SEEK_DATA);
	if (at == -ENXIO)
		return INT64_MAX;
	if (at < 0)
		return (int64_t)sector_no; /* a backing filesystem that cannot tell */
	block = (uint64_t)at / XTSFS_BLOCK_BYTES;
	if (block <= xtsfs_sector_block(layout, sector_no))
		return (int64_t)sector_no;
	if (layout == XTSFS_LAYOUT_PLAIN)
		return (int64_t)(block - 1);
	return (int64_t)(block / XTSFS_GROUP_BLOCKS * XTSFS_GROUP_SECTORS +
			 (block % XTSFS_GROUP_BLOCKS ? block % XTSFS_GROUP_BLOCKS - 1 : 0));
}

/* @step for the part in each group of sectors [@first, @end) that is not a hole of the backing file already. 1 if one
 * gave that. */
static int each_group(struct xtsfs_io *io, uint64_t first, uint64_t end,
		      int (*step)(struct xtsfs_io *io, uint64_t first, uint64_t count))
{
	int r = 0, any = 0;

	for (uint64_t s = first; r >= 0 && s < end;) {
		uint64_t border = (xtsfs_sector_group(s) + 1) * XTSFS_GROUP_SECTORS;
		int64_t data = skip_backing_hole(io, s);

		if ((uint64_t)data >= end)
			break;
		if ((uint64_t)data >= border) {
			s = (uint64_t)data;
			continue;
		}
		r = step(io, s, (border < end ? border : end) - s);
		any |= r > 0;
		s = border;
	}
	return r < 0 ? r : any;
}

static int punch_whole(struct xtsfs_io *io, uint64_t first, uint64_t end)
{
	int r = xtsfs_scratch() ? xtsfs_waiting_commit(io) : -ENOMEM;

	if (r == 0 && xtsfs_has_tags(io)) {
		r = xtsfs_file_end_under_way(io);
		if (r == 0)
			r = each_group(io, first, end, mark_holes);
		if (r > 0)
			r = xtsfs_file_flush(io);
	}
	if (r >= 0) {
		r = each_group(io, first, end, zero_cipher);
		xtsfs_file_set_under_way(io->file);
	}
	if (r < 0)
		xtsfs_file_set_unsure(io->file, true); /* some entries are ahead of their sectors */
	return r;
}

/* Make plain bytes [from, to) zero, within the file, with holes where sectors are whole. Exclusive lock, file in
 * sectors. */
static int punch_sectors(struct xtsfs_io *io, uint64_t from, uint64_t to)
{
	uint64_t first = (from + XTSFS_BLOCK_BYTES - 1) / XTSFS_BLOCK_BYTES, end = to / XTSFS_BLOCK_BYTES;
	int r;

	if (first >= end) { /* no whole sector; maybe two parts */
		uint64_t border = first * XTSFS_BLOCK_BYTES;
		uint64_t middle = border > from && border < to ? border : to;

		r = xtsfs_write_sectors(io, NULL, (size_t)(middle - from), from, XTSFS_STORE_META);
		if (r == 0 && middle < to)
			r = xtsfs_write_sectors(io, NULL, (size_t)(to - middle), middle, XTSFS_STORE_META);
		return r;
	}
	r = xtsfs_file_begin_change(io, false, XTSFS_FILE_SPARSE);
	if (r == 0 && from < first * XTSFS_BLOCK_BYTES)
		r = xtsfs_write_sectors(io, NULL, (size_t)(first * XTSFS_BLOCK_BYTES - from), from, XTSFS_STORE_META);
	if (r == 0 && end * XTSFS_BLOCK_BYTES < to)
		r = xtsfs_write_sectors(io, NULL, (size_t)(to - end * XTSFS_BLOCK_BYTES), end * XTSFS_BLOCK_BYTES,
					XTSFS_STORE_META);
	if (r == 0)
		r = punch_whole(io, first, end);
	return r;
}

static int zero_range(struct xtsfs_io *io, uint64_t from, uint64_t to)
{
	struct xtsfs_file *file = io->file;
	int r;

	if (to > file->plain_bytes)
		to = file->plain_bytes;
	if (from >= to)
		return 0;
	r = xtsfs_file_begin_change(io, false, 0);
	if (r < 0 || !file->has_block0)
		return r;
	if (xtsfs_file_is_inline(file)) {
		uint8_t plain[XTSFS_BLOCK_BYTES];

		r = xtsfs_inline_load(io, plain);
		if (r == 0) {
			memset(plain + from, 0, (size_t)(to - from));
			r = xtsfs_inline_store(io, plain, (uint32_t)file->plain_bytes);
		}
		explicit_bzero(plain, sizeof(plain));
		return r;
	}
	return punch_sectors(io, from, to);
}

/* Room on the backing filesystem for the range, so that ENOSPC comes now. */
static int reserve(struct xtsfs_io *io, uint64_t from, uint64_t to)
{
	enum xtsfs_layout layout = io->volume->layout;
	struct xtsfs_store *store = io->volume->store;
	uint64_t start = xtsfs_sector_cipher_off(layout, from / XTSFS_BLOCK_BYTES);
	uint64_t end = xtsfs_plain_to_cipher_bytes(layout, to);

	if (layout == XTSFS_LAYOUT_GROUPS)
		start -= start % (XTSFS_GROUP_BLOCKS * XTSFS_BLOCK_BYTES);
	return store->ops->fallocate(store, io->handle, FALLOC_FL_KEEP_SIZE, start, end - start);
}

static int fallocate_locked(struct xtsfs_io *io, int mode, uint64_t from, uint64_t to)
{
	int r = 0;

	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		r = zero_range(io, from, to);
	if (r < 0 || (mode & FALLOC_FL_PUNCH_HOLE))
		return r;
	if (to > io->file->plain_bytes && !(mode & FALLOC_FL_KEEP_SIZE)) {
		r = xtsfs_resize_locked(io, to);
		if (r < 0)
			return r;
	}
	/* Inline content has its block already; what is reserved past an inline file's block would have to move. */
	if (xtsfs_file_is_inline(io->file) && to <= XTSFS_INLINE_MAX)
		return 0;
	return reserve(io, from, to);
}

int xtsfs_fallocate(struct xtsfs_volume *volume, struct xtsfs_node *node, int mode, uint64_t offset, uint64_t bytes)
{
	struct xtsfs_io io;
	int r;

	if (bytes == 0)
		return -EINVAL;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_PUNCH_HOLE) && (!(mode & FALLOC_FL_KEEP_SIZE) || (mode & FALLOC_FL_ZERO_RANGE)))
		return -EOPNOTSUPP;
	if (offset > XTSFS_PLAIN_MAX || bytes > XTSFS_PLAIN_MAX - offset)
		return -EFBIG;
	r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io);
	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, true);
	if (r == 0) {
		r = fallocate_locked(&io, mode, offset, offset + bytes);
		xtsfs_mtime_written(io.file, false);
		if (r == 0 && xtsfs_waiting_is_due(&io))
			r = xtsfs_waiting_commit(&io);
		r = xtsfs_io_share(&io, r);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r;
}

/* Is this sector data? By its entry, or, without tags, by its stored bytes. */
static int sector_is_data(struct xtsfs_io *io, struct xtsfs_scratch *scratch, uint64_t sector_no,
			  uint64_t *group_loaded)
{
	if (xtsfs_has_tags(io)) {
		if (*group_loaded != xtsfs_sector_group(sector_no)) {
			int r;

			xtsfs_guard_shared(xtsfs_stripe(io, xtsfs_sector_group(sector_no)));
			r = xtsfs_meta_load(io, xtsfs_sector_group(sector_no), &scratch->meta);
			if (r < 0)
				return r;
			*group_loaded = xtsfs_sector_group(sector_no);
		}
		const struct xtsfs_disk_entry *entry = &scratch->meta.entry[sector_no % XTSFS_GROUP_SECTORS];

		/* An interrupted punch: it may still be there. */
		if (xtsfs_must_look(io))
			return !xtsfs_entry_is_zero(entry);
		return !xtsfs_is_zero(entry->now, sizeof(entry->now));
	}
	ssize_t n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, XTSFS_BLOCK_BYTES,
				      xtsfs_sector_cipher_off(io->volume->layout, sector_no));

	return n < 0 ? (int)n : !xtsfs_is_zero(scratch->sectors, (size_t)n);
}

static int64_t seek_locked(struct xtsfs_io *io, uint64_t offset, int whence)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint64_t sectors = xtsfs_sector_count(file->plain_bytes), group_loaded = UINT64_MAX;

	if (!scratch)
		return -ENOMEM;
	if (offset >= file->plain_bytes)
		return -ENXIO;
	if (xtsfs_file_is_inline(file) || !(file->header.flags & XTSFS_FILE_SPARSE))
		return (int64_t)(whence == SEEK_DATA ? offset : file->plain_bytes);
	for (uint64_t s = offset / XTSFS_BLOCK_BYTES; s < sectors; s++) {
		int64_t stored = skip_backing_hole(io, s);
		int data = 0;

		if (whence == SEEK_DATA) {
			if (stored == INT64_MAX || (uint64_t)stored >= sectors)
				return -ENXIO;
			s = (uint64_t)stored;
		}
		if ((uint64_t)stored <= s)
			data = sector_is_data(io, scratch, s, &group_loaded);
		if (data < 0)
			return data;
		if ((whence == SEEK_DATA) == (data > 0)) {
			uint64_t at = s * XTSFS_BLOCK_BYTES;

			return (int64_t)(at > offset ? at : offset);
		}
	}
	return whence == SEEK_DATA ? -ENXIO : (int64_t)file->plain_bytes;
}

int64_t xtsfs_seek(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t offset, int whence)
{
	struct xtsfs_io io;
	int64_t at;
	int r;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);
	if (r < 0)
		return r;
	at = r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		at = seek_locked(&io, offset, whence);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return at;
}
