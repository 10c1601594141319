/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing (spec 10).
 *
 * One group at a time, in the thread's buffer: sectors that are covered only in part are read and merged, everything is
 * encrypted, the tags are made with now = new and before = what is on disk. Then, for each group,
 *
 * - sectors that are overwritten in place wait in memory (waiting.c), since their meta block has to be durable first
 *   (with holes among them, the meta block is written and flushed at once);
 * - a change of length that touches an old sector, the last, writes the meta block, flushes, and writes the sectors;
 * - new sectors and filled holes: meta block and sectors, as one write where the range starts at the group's first
 *   sector, since the meta block lies in front of it.
 *
 * What is on disk is known from the entry (its "now"), unless an earlier writer died or a write failed: then the stored
 * sector is read and compared.
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
	const struct xtsfs_waiting_group *waits; /* of the group, if anything does */
	bool overwrites;			 /* a sector that is not a hole */
	bool tail_is_short;			 /* or XTSFS_IS_CUT: its growing record goes on holding */
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
	xtsfs_waiting_overlay(io->file, sector_no, 1, cipher);
	return xtsfs_sector_verify(io, sector_no, plain_bytes, cipher, xtsfs_has_tags(io) ? &p->scratch->meta : NULL);
}

static bool waits_already(struct piece *p, uint64_t sector_no)
{
	return p->waits && p->waits->sector[sector_no % XTSFS_GROUP_SECTORS];
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
		if (xtsfs_has_tags(io) && !waits_already(p, sector_no))
			xtsfs_sector_settle(&p->scratch->meta, sector_no, verdict);
		p->tail_is_short |= verdict == XTSFS_IS_SHORT || verdict == XTSFS_IS_CUT;
		old_bytes = xtsfs_verdict_bytes(verdict, &p->scratch->meta, old_bytes);
	}
	if (covered && p->data && to == XTSFS_BLOCK_BYTES) {
		*ret_in = p->data + (start - p->from);
		return 0;
	}
	*ret_in = plain;
	if (covered || old_bytes == 0) {
		memset(plain, 0, XTSFS_BLOCK_BYTES);
	} else {
		int r = xtsfs_sector_decrypt(io, sector_no, plain, plain, xtsfs_pad16(old_bytes));

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

/* The sector that was the last and grows is known by its new content at the old length too (spec 9.8). A record that
 * says what is on disk goes on holding for the sector that replaces it. */
static int make_growing(struct xtsfs_io *io, struct piece *p, bool *ret_dirty)
{
	struct xtsfs_growing growing = xtsfs_growing_get(&p->scratch->meta);
	uint64_t last = p->old_plain_bytes / XTSFS_BLOCK_BYTES, is_of = growing.from / XTSFS_BLOCK_BYTES;
	bool grows = p->new_plain_bytes > p->old_plain_bytes && p->old_plain_bytes % XTSFS_BLOCK_BYTES &&
		     last >= p->first && last < p->first + p->count &&
		     !xtsfs_is_zero(entry_at(p, last)->before, XTSFS_TAG_BYTES);
	int r;

	if (!grows && !(growing.from && is_of >= p->first && is_of < p->first + p->count))
		return 0;
	if (!grows && !p->tail_is_short && !waits_already(p, is_of)) {
		xtsfs_growing_set(&p->scratch->meta, NULL);
		return 0;
	}
	if (grows) {
		growing.from = p->old_plain_bytes;
		is_of = last;
	}
	r = xtsfs_sector_tag(io, is_of, (uint32_t)(growing.from % XTSFS_BLOCK_BYTES), sector_at(p, is_of), growing.tag);
	if (r == 0)
		xtsfs_growing_set(&p->scratch->meta, &growing);
	*ret_dirty = true;
	return r;
}

/* Entries for the new ciphertext. */
static int make_tags(struct xtsfs_io *io, struct piece *p, bool *ret_dirty)
{
	*ret_dirty = false;
	for (uint64_t s = p->first; s < p->first + p->count; s++) {
		struct xtsfs_disk_entry *entry = entry_at(p, s);
		uint8_t tag[XTSFS_TAG_BYTES];
		int r = xtsfs_sector_tag(io, s, xtsfs_sector_plain_bytes(p->new_plain_bytes, s), sector_at(p, s), tag);

		if (r < 0)
			return r;
		if (waits_already(p, s)) {
			*ret_dirty = true; /* before stays what is on disk */
		} else if (xtsfs_sector_plain_bytes(p->old_plain_bytes, s)) {
			memcpy(entry->before, entry->now, sizeof(tag));
			*ret_dirty |= memcmp(entry->before, tag, sizeof(tag)) != 0;
			p->overwrites |= !xtsfs_is_zero(entry->before, sizeof(tag));
		} else {
			memcpy(entry->before, tag, sizeof(tag));
		}
		memcpy(entry->now, tag, sizeof(tag));
	}
	return make_growing(io, p, ret_dirty);
}

/* Stored bytes of the piece's sectors in a file of its new size. */
static size_t sectors_cipher_bytes(const struct piece *p)
{
	uint64_t last = p->first + p->count - 1;

	return (size_t)(p->count - 1) * XTSFS_BLOCK_BYTES +
	       xtsfs_tail_cipher_bytes(xtsfs_sector_plain_bytes(p->new_plain_bytes, last));
}

/* Meta block and sectors; what is overwritten is guarded by a flush in between. */
static int store_piece(struct xtsfs_io *io, struct piece *p)
{
	struct xtsfs_store *store = io->volume->store;
	size_t bytes = sectors_cipher_bytes(p);
	uint64_t offset = xtsfs_sector_cipher_off(io->volume->layout, p->first);
	bool meta = xtsfs_has_tags(io) && !(p->defer == XTSFS_DEFER_BLOCK0 && p->group_no == 0);
	bool joined = meta && !p->overwrites && p->first % XTSFS_GROUP_SECTORS == 0;
	uint64_t last = p->first + p->count - 1;
	size_t used = (size_t)(p->count - 1) * XTSFS_BLOCK_BYTES +
		      xtsfs_pad16(xtsfs_sector_plain_bytes(p->new_plain_bytes, last));
	int r = 0;

	memset(sector_at(p, p->first) + used, 0, bytes - used); /* the filler */
	if (p->overwrites)
		r = xtsfs_file_end_under_way(io);
	if (r == 0 && joined)
		r = xtsfs_meta_seal(io, p->group_no, &p->scratch->meta);
	else if (r == 0 && meta)
		r = xtsfs_meta_store(io, p->group_no, &p->scratch->meta);
	if (r == 0 && p->overwrites)
		r = xtsfs_file_flush(io);
	if (r < 0)
		return r;
	/* Block 0 in memory, also if the write fails half-way: the new entries accept both versions of each sector. */
	if (p->group_no == 0 && xtsfs_has_tags(io))
		io->file->block0 = p->scratch->meta;
	if (joined)
		r = xtsfs_store_pwrite(store, io->handle, &p->scratch->meta, sizeof(p->scratch->meta) + bytes,
				       offset - XTSFS_BLOCK_BYTES);
	else
		r = xtsfs_store_pwrite(store, io->handle, sector_at(p, p->first), bytes, offset);
	/* From a long tail to a whole sector the stored length shrinks. */
	if (r == 0 && p->new_plain_bytes > p->old_plain_bytes) {
		uint64_t cipher_bytes = xtsfs_plain_to_cipher_bytes(io->volume->layout, p->new_plain_bytes);

		if (cipher_bytes < xtsfs_plain_to_cipher_bytes(io->volume->layout, p->old_plain_bytes))
			r = store->ops->truncate(store, io->handle, cipher_bytes);
	}
	xtsfs_file_set_under_way(io->file);
	return r;
}

/* Does the piece fill a hole, or may it? That needs space, and who writes shall be told if there is none. */
static bool fills_holes(struct piece *p)
{
	for (uint64_t s = p->first; s < p->first + p->count; s++) {
		const struct xtsfs_disk_entry *entry = entry_at(p, s);

		if (!waits_already(p, s) && xtsfs_sector_plain_bytes(p->old_plain_bytes, s) &&
		    (xtsfs_is_zero(entry->now, sizeof(entry->now)) ||
		     xtsfs_is_zero(entry->before, sizeof(entry->before))))
			return true;
	}
	return false;
}

/* The group's meta block, and what waits of it. */
static int load_group(struct xtsfs_io *io, struct piece *p)
{
	if (!xtsfs_has_tags(io))
		return 0;
	p->waits = xtsfs_waiting_find(io->file, p->group_no);
	if (p->group_no == 0 || p->group_no * XTSFS_GROUP_SECTORS < xtsfs_sector_count(p->old_plain_bytes))
		return xtsfs_meta_load(io, p->group_no, &p->scratch->meta);
	memset(&p->scratch->meta, 0, sizeof(p->scratch->meta)); /* a group that is new */
	return 0;
}

static int write_piece(struct xtsfs_io *io, struct piece *p)
{
	bool dirty = false, may_wait = false;
	int r;

	p->waits = NULL;
	p->overwrites = p->tail_is_short = false;
	r = load_group(io, p);
	if (r == 0 && xtsfs_has_tags(io) && p->new_plain_bytes == p->old_plain_bytes) {
		may_wait = !fills_holes(p);
		if (p->waits && (!may_wait || p->waits->tried)) {
			if (!io->exclusive)
				return XTSFS_WRITE_ALONE;
			r = xtsfs_waiting_commit(io);
			p->waits = NULL;
			if (r == 0)
				r = load_group(io, p);
		}
	}
	if (r < 0)
		return r;
	r = encrypt_piece(io, p);
	if (r == 0 && xtsfs_has_tags(io))
		r = make_tags(io, p, &dirty);
	if (r < 0)
		return r;
	/* What waits has to be committed, even if it is what should be there already. */
	may_wait &= p->overwrites || p->waits;
	if (dirty || may_wait)
		xtsfs_file_mark_dirty(io->file, p->group_no);
	if (may_wait)
		return xtsfs_waiting_add(io, &p->scratch->meta, p->first, p->count, sector_at(p, p->first));
	r = store_piece(io, p);
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
		int r;

		p.to = (p.from / GROUP_BYTES + 1) * GROUP_BYTES;
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
		r = write_piece(io, &p);
		pthread_rwlock_unlock(stripe);
		if (r < 0) {
			if (p.new_plain_bytes > file->plain_bytes && defer == XTSFS_STORE_META) {
				xtsfs_file_resync(io, p.new_plain_bytes);
				if (file->plain_bytes > p.old_plain_bytes && file->plain_bytes > offset)
					io->done = (size_t)(file->plain_bytes - offset);
			}
			return r;
		}
		if (r > 0)
			return r;
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

	if (file->has_block0 && !xtsfs_file_is_inline(file)) {
		r = xtsfs_prepare_tail(io);
		if (r == 0)
			r = xtsfs_clear_entries_behind(io);
		return r < 0 ? r : xtsfs_write_sectors(io, data, bytes, offset, XTSFS_STORE_META);
	}
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
	xtsfs_mtime_written(io->file, cached);
	/* What waits has not touched the backing file. */
	if (!cached && xtsfs_waiting_has(io->file))
		xtsfs_waiting_touch(io->file);
	return r;
}

/* More waits in memory than may. */
static int commit_waiting(struct xtsfs_io *io)
{
	int r = xtsfs_io_lock(io, true);

	if (r == 0) {
		r = xtsfs_waiting_commit(io);
		xtsfs_io_unlock(io);
	}
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
	xtsfs_mtime_written(io->file, cached);
	return r;
}

/* Is it within a file in sectors, whose length and layout it does not change? */
static bool is_in_place(const struct xtsfs_file *file, size_t bytes, uint64_t offset)
{
	return file->has_block0 && !xtsfs_file_is_inline(file) && !file->trim && offset + bytes <= file->plain_bytes;
}

/* Others share the volume: one lock over all of it, and nothing is left in memory. */
static int write_shared(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset)
{
	int r = xtsfs_io_lock(io, true), settled;

	if (r < 0)
		return r;
	if (offset == XTSFS_AT_END)
		offset = io->file->plain_bytes;
	if (bytes > XTSFS_PLAIN_MAX - offset)
		r = -EFBIG;
	else if (is_in_place(io->file, bytes, offset))
		r = write_in_place(io, data, bytes, offset, /* cached= */ false);
	else
		r = write_alone(io, data, bytes, offset, /* cached= */ false);
	/* Also of a write that failed in the middle: later it would go over what others have written meanwhile. */
	settled = xtsfs_io_share(io, 0);
	if (settled < 0)
		io->done = 0; /* which of it got in is not known */
	xtsfs_io_unlock(io);
	r = r < 0 ? r : settled;
	return r;
}

static int write_unshared(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset, bool cached)
{
	int r = xtsfs_io_lock(io, false);

	if (r == 0) {
		bool in_place = is_in_place(io->file, bytes, offset);

		if (in_place)
			r = write_in_place(io, data, bytes, offset, cached);
		xtsfs_io_unlock(io);
		if (!in_place || r == XTSFS_WRITE_ALONE) {
			r = xtsfs_io_lock(io, true);
			if (r == 0) {
				r = write_alone(io, data, bytes, offset, cached);
				xtsfs_io_unlock(io);
			}
		}
	}
	if (r == 0 && xtsfs_waiting_is_due(io)) {
		r = commit_waiting(io);
		if (r < 0)
			io->done = 0; /* which of it got in is not known */
	}
	return r;
}

static ssize_t write_any(struct xtsfs_volume *volume, struct xtsfs_node *node, const void *data, size_t bytes,
			 uint64_t offset, bool cached)
{
	struct xtsfs_io io;
	int r;

	if (offset != XTSFS_AT_END && (offset > XTSFS_PLAIN_MAX || bytes > XTSFS_PLAIN_MAX - offset))
		return -EFBIG;
	if (bytes == 0)
		return 0;
	r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io);
	if (r < 0)
		return r;
	r = volume->shared ? write_shared(&io, data, bytes, offset) : write_unshared(&io, data, bytes, offset, cached);
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
