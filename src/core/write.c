/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing (spec 10).
 *
 * One group at a time, in the thread's buffer: sectors that are covered only in part are read and merged, everything is
 * encrypted, the tags are made, then the meta block is written with now = new and before = what is on disk, and after
 * it the sectors; as one write where the range starts at the group's first sector, since the meta block lies in front
 * of it. That order makes every instant readable.
 *
 * What is on disk is known from the entry (its "now"), unless an earlier writer died or a write failed: then the stored
 * sector is read and compared.
 *
 * A tail of 4081 bytes and more that grows is the one case in which content and length cannot change together; it takes
 * a second meta write and a truncation (grow_long_tail).
 */
#include "core/file.h"

#include "core/fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const uint64_t GROUP_BYTES = (uint64_t)XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES;

/* One group's part of a write: plain bytes [from, to) of the file, with @data there (NULL: zeros). */
struct piece {
	struct xtsfs_scratch *scratch;
	const uint8_t *data;
	uint64_t from, to;
	uint64_t old_plain_bytes, new_plain_bytes; /* of the file, before and after */
	uint64_t group_no, first, count;
	enum xtsfs_defer defer;
};

static uint8_t *sector_at(struct piece *p, uint64_t sector_no)
{
	return p->scratch->sectors + (size_t)(sector_no - p->first) * XTSFS_BLOCK_BYTES;
}

static struct xtsfs_disk_entry *entry_at(struct piece *p, uint64_t sector_no)
{
	return &p->scratch->meta.entry[sector_no % XTSFS_GROUP_SECTORS];
}

/* Reads the stored sector into its place in the buffer and gives the verdict; for what must be known before it is
 * overwritten. */
static int examine(struct xtsfs_io *io, struct piece *p, uint64_t sector_no, uint32_t plain_bytes)
{
	uint8_t *cipher = sector_at(p, sector_no);
	ssize_t n = xtsfs_store_pread(io->volume->store, io->handle, cipher, xtsfs_pad16(plain_bytes),
				      xtsfs_sector_cipher_off(io->volume->layout, sector_no));

	if (n < 0)
		return (int)n;
	memset(cipher + n, 0, XTSFS_BLOCK_BYTES - (size_t)n);
	return xtsfs_sector_verify(io, sector_no, plain_bytes, cipher,
				   xtsfs_has_tags(io) ? entry_at(p, sector_no) : NULL);
}

/* Makes entry.now the tag of what is on disk. */
static void settle_entry(struct xtsfs_disk_entry *entry, int verdict)
{
	if (verdict == XTSFS_IS_BEFORE)
		memcpy(entry->now, entry->before, sizeof(entry->now));
	else if (verdict == XTSFS_IS_HOLE)
		memset(entry->now, 0, sizeof(entry->now));
}

/* The sector's new plaintext (or, for a sector that is wholly covered, nothing yet) in the buffer. Sets *ret_in to
 * where it is to be encrypted from. */
static int prepare(struct xtsfs_io *io, struct piece *p, uint64_t sector_no, const uint8_t **ret_in)
{
	uint64_t start = sector_no * XTSFS_BLOCK_BYTES;
	uint32_t old_bytes = xtsfs_sector_plain_bytes(p->old_plain_bytes, sector_no);
	uint32_t from = p->from > start ? (uint32_t)(p->from - start) : 0;
	uint32_t to = p->to < start + XTSFS_BLOCK_BYTES ? (uint32_t)(p->to - start) : XTSFS_BLOCK_BYTES;
	bool covered = from == 0 && to >= old_bytes;
	uint8_t *plain = sector_at(p, sector_no);
	int verdict = XTSFS_IS_HOLE;

	if (old_bytes && (!covered || (xtsfs_must_look(io) && xtsfs_has_tags(io)))) {
		verdict = examine(io, p, sector_no, old_bytes);
		if (verdict < 0)
			return verdict;
		if (verdict == XTSFS_IS_BAD && !covered) {
			xtsfs_sector_report(io, sector_no);
			return -EIO;
		}
		if (xtsfs_has_tags(io))
			settle_entry(entry_at(p, sector_no), verdict);
	}
	if (covered && p->data && to == XTSFS_BLOCK_BYTES) {
		*ret_in = p->data + (start - p->from);
		return 0;
	}
	*ret_in = plain;
	if (covered || verdict == XTSFS_IS_HOLE) {
		memset(plain, 0, XTSFS_BLOCK_BYTES);
	} else {
		int r = xtsfs_sector_crypt(io, XTSFS_DECRYPT, sector_no, plain, plain, xtsfs_pad16(old_bytes));

		if (r < 0)
			return r;
		memset(plain + old_bytes, 0, XTSFS_BLOCK_BYTES - old_bytes);
	}
	if (p->data)
		memcpy(plain + from, p->data + (start + from - p->from), to - from);
	else
		memset(plain + from, 0, to - from);
	return 0;
}

/* All sectors of the piece as ciphertext in the buffer; runs of covered sectors go to the engine at once. Whole blocks,
 * also the last. */
static int encrypt_piece(struct xtsfs_io *io, struct piece *p)
{
	const uint8_t *in = NULL, *run_in = NULL;
	uint64_t run = 0;

	for (uint64_t i = 0; i <= p->count; i++) {
		uint64_t sector_no = p->first + i;
		int r = i < p->count ? prepare(io, p, sector_no, &in) : 0;

		if (r < 0)
			return r;
		if (i < p->count && run && in == run_in + run * XTSFS_BLOCK_BYTES) {
			run++;
			continue;
		}
		if (run) {
			r = xtsfs_sector_crypt(io, XTSFS_ENCRYPT, sector_no - run, run_in,
					       sector_at(p, sector_no - run), run * XTSFS_BLOCK_BYTES);
			if (r < 0)
				return r;
		}
		run = 1;
		run_in = in;
	}
	return 0;
}

/* Entries for the new ciphertext, with the plain bytes each sector has in a file of @plain_bytes. */
static int make_tags(struct xtsfs_io *io, struct piece *p, uint64_t plain_bytes, bool *ret_dirty)
{
	*ret_dirty = false;
	for (uint64_t s = p->first; s < p->first + p->count; s++) {
		struct xtsfs_disk_entry *entry = entry_at(p, s);
		uint8_t tag[XTSFS_TAG_BYTES];
		int r = xtsfs_sector_tag(io, s, xtsfs_sector_plain_bytes(plain_bytes, s), sector_at(p, s), tag);

		if (r < 0)
			return r;
		if (xtsfs_sector_plain_bytes(p->old_plain_bytes, s)) {
			memcpy(entry->before, entry->now, sizeof(tag));
			*ret_dirty |= memcmp(entry->before, tag, sizeof(tag)) != 0;
		} else {
			memcpy(entry->before, tag, sizeof(tag));
		}
		memcpy(entry->now, tag, sizeof(tag));
	}
	return 0;
}

/* Stored bytes of the piece's sectors in a file of @plain_bytes. */
static size_t sectors_cipher_bytes(const struct piece *p, uint64_t plain_bytes)
{
	uint64_t last = p->first + p->count - 1;

	return (size_t)(p->count - 1) * XTSFS_BLOCK_BYTES +
	       xtsfs_tail_cipher_bytes(xtsfs_sector_plain_bytes(plain_bytes, last));
}

static int store_piece(struct xtsfs_io *io, struct piece *p, uint64_t plain_bytes)
{
	struct xtsfs_store *store = io->volume->store;
	size_t bytes = sectors_cipher_bytes(p, plain_bytes);
	uint64_t offset = xtsfs_sector_cipher_off(io->volume->layout, p->first);
	bool meta = xtsfs_has_tags(io) && !(p->defer == XTSFS_DEFER_BLOCK0 && p->group_no == 0);
	bool joined = meta && p->first % XTSFS_GROUP_SECTORS == 0;
	size_t filler = bytes % XTSFS_BLOCK_BYTES;
	int r = 0;

	/* The filler of a long tail lies past its sector in the buffer: zeros. That of a short one is ciphertext
	 * without meaning. */
	if (filler < 16)
		memset(sector_at(p, p->first) + bytes - filler, 0, filler);
	if (joined)
		r = xtsfs_meta_seal(io, p->group_no, &p->scratch->meta);
	else if (meta)
		r = xtsfs_meta_store(io, p->group_no, &p->scratch->meta);
	if (r < 0)
		return r;
	/* Block 0 in memory, also if the write fails half-way: the new entries accept both versions of each sector. */
	if (p->group_no == 0 && xtsfs_has_tags(io))
		io->file->block0 = p->scratch->meta;
	if (joined)
		return xtsfs_store_pwrite(store, io->handle, &p->scratch->meta, sizeof(p->scratch->meta) + bytes,
					  offset - XTSFS_BLOCK_BYTES);
	return xtsfs_store_pwrite(store, io->handle, sector_at(p, p->first), bytes, offset);
}

/* The content of a tail of 4081 bytes or more has been written with its old length; now the length (spec 10 rule 2). */
static int grow_long_tail(struct xtsfs_io *io, struct piece *p)
{
	struct xtsfs_store *store = io->volume->store;
	uint64_t last = p->first + p->count - 1;
	bool dirty;
	int r;

	if (xtsfs_has_tags(io)) {
		r = make_tags(io, p, p->new_plain_bytes, &dirty);
		if (r == 0)
			r = xtsfs_meta_store(io, p->group_no, &p->scratch->meta);
		if (r < 0)
			return r;
	}
	return store->ops->truncate(
		store, io->handle,
		xtsfs_sector_cipher_off(io->volume->layout, last) +
			xtsfs_tail_cipher_bytes(xtsfs_sector_plain_bytes(p->new_plain_bytes, last)));
}

static int write_piece(struct xtsfs_io *io, struct piece *p, bool long_tail)
{
	uint64_t stored_plain_bytes = long_tail ? p->old_plain_bytes : p->new_plain_bytes;
	bool dirty = false;
	int r;

	if (xtsfs_has_tags(io)) {
		if (p->group_no > 0 && p->group_no * XTSFS_GROUP_SECTORS >= xtsfs_sector_count(p->old_plain_bytes))
			memset(&p->scratch->meta, 0, sizeof(p->scratch->meta)); /* a group that is new */
		else if ((r = xtsfs_meta_load(io, p->group_no, &p->scratch->meta)) < 0)
			return r;
	}
	r = encrypt_piece(io, p);
	if (r == 0 && xtsfs_has_tags(io))
		r = make_tags(io, p, stored_plain_bytes, &dirty);
	if (r < 0)
		return r;
	if (dirty || long_tail)
		xtsfs_file_mark_dirty(io->file, p->group_no);
	r = store_piece(io, p, stored_plain_bytes);
	if (r == 0 && long_tail)
		r = grow_long_tail(io, p);
	if (r < 0)
		xtsfs_file_set_unsure(io->file, true);
	return r;
}

int xtsfs_write_sectors(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset, enum xtsfs_defer defer)
{
	struct xtsfs_file *file = io->file;
	struct piece p = {.scratch = xtsfs_scratch(), .defer = defer};
	uint64_t end = offset + bytes;

	if (!p.scratch)
		return -ENOMEM;
	for (p.from = offset; p.from < end; p.from = p.to) {
		uint32_t tail = (uint32_t)(file->plain_bytes % XTSFS_BLOCK_BYTES);
		uint64_t tail_start = file->plain_bytes - tail;
		bool long_tail = tail > XTSFS_SHORT_TAIL_MAX && end > file->plain_bytes && p.from >= tail_start;
		int r;

		p.to = (p.from / GROUP_BYTES + 1) * GROUP_BYTES;
		if (tail > XTSFS_SHORT_TAIL_MAX && end > file->plain_bytes) {
			/* The long tail is a piece of its own. */
			uint64_t border = long_tail ? tail_start + XTSFS_BLOCK_BYTES : tail_start;

			if (p.to > border)
				p.to = border;
		}
		if (p.to > end)
			p.to = end;
		p.data = data ? data + (p.from - offset) : NULL;
		p.old_plain_bytes = file->plain_bytes;
		p.new_plain_bytes = p.to > file->plain_bytes ? p.to : file->plain_bytes;
		p.first = p.from / XTSFS_BLOCK_BYTES;
		p.count = (p.to - 1) / XTSFS_BLOCK_BYTES - p.first + 1;
		p.group_no = xtsfs_sector_group(p.first);

		/* Other ranges of the file go on meanwhile if the length does not change. */
		pthread_rwlock_t *stripe = xtsfs_stripe(io, p.group_no);

		pthread_rwlock_wrlock(stripe);
		r = write_piece(io, &p, long_tail);
		pthread_rwlock_unlock(stripe);
		if (r < 0) {
			if (p.new_plain_bytes > file->plain_bytes && defer == XTSFS_STORE_META) {
				xtsfs_file_resync(io, p.new_plain_bytes);
				if (file->plain_bytes > p.old_plain_bytes && file->plain_bytes > offset)
					io->done = (size_t)(file->plain_bytes - offset);
			}
			return r;
		}
		io->done = (size_t)(p.to - offset);
		if (p.new_plain_bytes > file->plain_bytes)
			file->plain_bytes = p.new_plain_bytes;
	}
	return 0;
}

/* The write changes the length, or the file is empty or inline. Exclusive lock held. */
static int write_exclusive(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset)
{
	struct xtsfs_file *file = io->file;
	uint64_t end = offset + bytes;
	int r = xtsfs_file_begin_change(io, end > file->plain_bytes, 0);

	if (r == 0 && offset > file->plain_bytes)
		r = xtsfs_resize_locked(io, offset);
	io->done = 0; /* the zeros of a gap are not the caller's bytes */
	if (r < 0)
		return r;

	if (file->has_block0 && !xtsfs_file_is_inline(file))
		return xtsfs_write_sectors(io, data, bytes, offset, XTSFS_STORE_META);
	if (end > file->plain_bytes && end > XTSFS_INLINE_MAX) {
		if (file->has_block0)
			return xtsfs_convert_to_sectors(io, data, bytes, offset, end);
		r = xtsfs_file_fresh(io, 0);
		if (r < 0)
			return r;
		file->has_block0 = true;
		xtsfs_file_set_changed(file, true);
		if (!xtsfs_has_tags(io))
			r = xtsfs_file_store_block0(io);
		if (r == 0)
			r = xtsfs_write_sectors(io, data, bytes, offset, XTSFS_STORE_META);
		else
			xtsfs_file_resync(io, 0);
		return r;
	}

	uint8_t plain[XTSFS_BLOCK_BYTES] = {0};

	if (file->has_block0)
		r = xtsfs_inline_load(io, plain);
	else
		r = xtsfs_file_fresh(io, 0);
	if (r == 0) {
		memcpy(plain + offset, data, bytes);
		r = xtsfs_inline_store(io, plain, (uint32_t)(end > file->plain_bytes ? end : file->plain_bytes));
		if (r < 0 && !file->has_block0)
			xtsfs_file_resync(io, 0);
	}
	explicit_bzero(plain, sizeof(plain));
	return r;
}

/*
 * With the writeback cache a file's mtime is the kernel's: it sends the new one after the pages. But it sends none
 * where the clock by which it measures has not moved since the mtime it knows, as for a file that was made and written
 * at once; then the time of our write, a little later, would come up when the kernel has forgotten the file. So an
 * mtime of just now is put back. The bound is two ticks of the slowest clock, so that a crash before the kernel's own
 * message cannot make a write look older than that.
 */
#define TICKS_NS 20000000

static bool is_just_now(const struct timespec *mtime)
{
	struct timespec now;
	int64_t passed_ns;

	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0 || now.tv_sec - mtime->tv_sec > 1)
		return false;
	passed_ns = (now.tv_sec - mtime->tv_sec) * 1000000000 + now.tv_nsec - mtime->tv_nsec;
	return passed_ns < TICKS_NS && passed_ns > -TICKS_NS;
}

struct kept_mtime {
	bool kept;
	struct timespec times[2];
};

static struct kept_mtime keep_mtime(const struct xtsfs_io *io, bool cached)
{
	struct kept_mtime keep = {.times = {{.tv_nsec = UTIME_OMIT}}};
	struct stat st;

	if (cached && io->volume->store->ops->fstat(io->volume->store, io->handle, &st) == 0 &&
	    is_just_now(&st.st_mtim)) {
		keep.kept = true;
		keep.times[1] = st.st_mtim;
	}
	return keep;
}

static void put_mtime_back(const struct xtsfs_io *io, const struct kept_mtime *keep)
{
	if (keep->kept)
		(void)io->volume->store->ops->utimens(io->volume->store, io->handle, NULL, keep->times);
}

static int write_in_place(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset, bool cached)
{
	struct kept_mtime keep = keep_mtime(io, cached);
	int r = xtsfs_write_sectors(io, data, bytes, offset, XTSFS_STORE_META);

	put_mtime_back(io, &keep);
	return r;
}

static int write_alone(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset, bool cached)
{
	struct kept_mtime keep = keep_mtime(io, cached);
	uint64_t old_plain_bytes = io->file->plain_bytes;
	int r = write_exclusive(io, data, bytes, offset);

	if (r < 0 && io->done == 0)
		xtsfs_resize_back(io, old_plain_bytes);
	put_mtime_back(io, &keep);
	return r;
}

static ssize_t write_any(struct xtsfs_volume *volume, struct xtsfs_node *node, const void *data, size_t bytes,
			 uint64_t offset, bool cached)
{
	struct xtsfs_io io;
	int r;

	if (offset > XTSFS_PLAIN_MAX || bytes > XTSFS_PLAIN_MAX - offset)
		return -EFBIG;
	if (bytes == 0)
		return 0;
	r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io);
	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		bool in_place = io.file->has_block0 && !xtsfs_file_is_inline(io.file) && !io.file->trim &&
				offset + bytes <= io.file->plain_bytes;

		if (in_place)
			r = write_in_place(&io, data, bytes, offset, cached);
		pthread_rwlock_unlock(&io.file->lock);
		if (!in_place) {
			r = xtsfs_io_lock(&io, true);
			if (r == 0) {
				r = write_alone(&io, data, bytes, offset, cached);
				pthread_rwlock_unlock(&io.file->lock);
			}
		}
	}
	/* What got in before the error counts, as with write(2). */
	if (r < 0 && io.done > 0) {
		bytes = io.done;
		r = 0;
	}
	xtsfs_io_end(&io);
	return r < 0 ? r : (ssize_t)bytes;
}

ssize_t xtsfs_write(struct xtsfs_volume *volume, struct xtsfs_node *node, const void *data, size_t bytes,
		    uint64_t offset)
{
	return write_any(volume, node, data, bytes, offset, /* cached= */ false);
}

ssize_t xtsfs_write_cached(struct xtsfs_volume *volume, struct xtsfs_node *node, const void *data, size_t bytes,
			   uint64_t offset)
{
	return write_any(volume, node, data, bytes, offset, /* cached= */ true);
}
