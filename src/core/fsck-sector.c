/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying the sectors of a file, group by group (spec 9.6), and settling their entries.
 *
 * A group is read at once with the meta block in front of it. Every sector must have the tag "now" or "before", or be a
 * hole; nothing is decrypted. Several threads take groups of one file in ascending order, a few at a time, so the file
 * is read nearly sequentially. What the backing filesystem says is a hole is passed over in sparse files.
 *
 * What is written, and why it is safe at any instant:
 *
 * - finalising: both tags become the one of what is stored. Everything was made durable before the check began
 *   (fsck.c), and the change is one write of one block.
 * - what stands only by the rules after a crash (spec 9.8) is written anew as it reads, as any other write would be:
 *   the meta block, which still accepts what is there; flush; the sector; flush; both tags the new one.
 * - salvage: the same, with a new tag of what is stored.
 * - zeros: both tags become those of the new sector first, then the sector is written. In between the sector is as bad
 *   as it was; the bad bytes are never accepted as an older version.
 */
#include "core/fsck-file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MOST 256U /* kept before they are told */

int xtsfs_fsck_load_meta(struct xtsfs_fsck_file *file, uint64_t group_no, struct xtsfs_disk_block *ret_block)
{
	ssize_t n;

	if (group_no == 0) {
		*ret_block = file->state.block0;
		return 0;
	}
	n = xtsfs_store_pread(file->fsck->store, file->io.handle, ret_block, sizeof(*ret_block),
			      xtsfs_group_cipher_off(group_no));
	if (n < 0)
		return (int)n;
	memset((uint8_t *)ret_block + n, 0, sizeof(*ret_block) - (size_t)n);
	if ((file->state.header.flags & XTSFS_FILE_SPARSE) && xtsfs_is_zero(ret_block, sizeof(*ret_block))) {
		xtsfs_meta_pack(group_no, file->state.header.file_id, ret_block);
		return 0;
	}

	uint8_t tag[XTSFS_TAG_BYTES];
	struct iovec parts[3];
	int r = xtsfs_mac_tag(xtsfs_group_keys(&file->io, group_no)->meta, parts,
			      xtsfs_meta_tag_parts(ret_block, parts), tag);

	if (r < 0)
		return r;
	return xtsfs_meta_check(ret_block, group_no, file->state.header.file_id) == 0 &&
			       xtsfs_equal_secret(tag, ret_block->meta.tag, sizeof(tag))
		       ? 0
		       : -XTSFS_EAUTH;
}

int xtsfs_fsck_sector(struct xtsfs_fsck_file *file, uint64_t plain_bytes, uint64_t sector_no)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	uint32_t bytes = xtsfs_sector_plain_bytes(plain_bytes, sector_no);
	ssize_t n;
	int r;

	if (!scratch)
		return -ENOMEM;
	r = xtsfs_fsck_load_meta(file, xtsfs_sector_group(sector_no), &scratch->meta);
	if (r < 0)
		return r == -XTSFS_EAUTH ? XTSFS_IS_BAD : r;
	n = xtsfs_store_pread(file->fsck->store, file->io.handle, scratch->sectors, XTSFS_BLOCK_BYTES,
			      xtsfs_sector_cipher_off(XTSFS_LAYOUT_GROUPS, sector_no));
	if (n < 0)
		return (int)n;
	memset(scratch->sectors + n, 0, XTSFS_BLOCK_BYTES - (size_t)n);
	return xtsfs_sector_verify(&file->io, sector_no, bytes, scratch->sectors, &scratch->meta);
}

/* ---- ranges ---- */

static int compare_ranges(const void *a, const void *b)
{
	const struct xtsfs_fsck_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static bool can_join(const struct xtsfs_fsck_range *a, const struct xtsfs_fsck_range *b)
{
	return a->kind == b->kind && a->outcome == b->outcome && a->error == b->error && a->last + 1 == b->first;
}

static void tell_range(struct xtsfs_fsck_file *file, const struct xtsfs_fsck_range *range)
{
	static const struct {
		const char *code, *before;
	} kinds[] = {
		[XTSFS_FSCK_BAD_SECTORS] = {"sector-bad-tag", "not authentic: "},
		[XTSFS_FSCK_BAD_META] = {"meta-bad", "a meta block is not authentic, so nothing vouches for "},
		[XTSFS_FSCK_UNREADABLE] = {"sector-unreadable", "cannot be read from the backing file: "},
	};
	bool salvage = file->fsck->options.damage == XTSFS_FSCK_DAMAGE_SALVAGE;
	const char *action =
		range->outcome == XTSFS_FSCK_LEFT
			? (range->kind == XTSFS_FSCK_UNREADABLE
				   ? "--zero would write zeros in their place"
				   : "--salvage would accept them as they are, --zero would put zeros in their place")
			: (salvage ? "accepted as they are" : "replaced by zeros");
	uint64_t end = (range->last + 1) * XTSFS_BLOCK_BYTES;
	struct xtsfs_fsck_place place = file->place;
	char sectors[64];

	place.first_part = range->first / ((uint64_t)XTSFS_FSCK_PART_GROUPS * XTSFS_GROUP_SECTORS);
	place.last_part = range->last / ((uint64_t)XTSFS_FSCK_PART_GROUPS * XTSFS_GROUP_SECTORS);

	if (end > file->state.plain_bytes)
		end = file->state.plain_bytes;
	if (range->kind == XTSFS_FSCK_UNREADABLE)
		xtsfs_fsck_count(&file->fsck->totals.io_errors, 1);
	if (range->last > range->first)
		snprintf(sectors, sizeof(sectors), "sectors %llu to %llu", (unsigned long long)range->first,
			 (unsigned long long)range->last);
	else
		snprintf(sectors, sizeof(sectors), "sector %llu", (unsigned long long)range->first);
	xtsfs_fsck_report(file->fsck, &place, XTSFS_FSCK_ERROR, kinds[range->kind].code, range->outcome, range->error,
			  action, "%s%s (bytes %llu to %llu)", kinds[range->kind].before, sectors,
			  (unsigned long long)(range->first * XTSFS_BLOCK_BYTES), (unsigned long long)end - 1);
}

void xtsfs_fsck_tell_ranges(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck_range *ranges = file->ranges;

	if (file->range_count == 0)
		return;
	qsort(ranges, file->range_count, sizeof(*ranges), compare_ranges);
	for (size_t i = 0; i < file->range_count;) {
		struct xtsfs_fsck_range joined = ranges[i++];

		while (i < file->range_count && can_join(&joined, &ranges[i]))
			joined.last = ranges[i++].last;
		tell_range(file, &joined);
	}
	file->range_count = 0;
}

static void add_range(struct xtsfs_fsck_file *file, struct xtsfs_fsck_range range)
{
	xtsfs_guard_mutex(&file->mutex);

	if (!file->ranges)
		file->ranges = calloc(RANGES_MOST, sizeof(*file->ranges));
	if (!file->ranges) {
		tell_range(file, &range);
		return;
	}
	if (file->range_count && can_join(&file->ranges[file->range_count - 1], &range)) {
		file->ranges[file->range_count - 1].last = range.last;
		return;
	}
	if (file->range_count == RANGES_MOST)
		xtsfs_fsck_tell_ranges(file);
	file->ranges[file->range_count++] = range;
}

/* ---- one group ---- */

enum sector_state { SECTOR_GOOD, SECTOR_UNFINAL, SECTOR_TORN, SECTOR_BAD, SECTOR_UNREADABLE };

struct group {
	struct xtsfs_scratch *scratch;
	uint64_t group_no, first;
	unsigned count; /* sectors of the file in it */
	bool meta_bad, changed, torn;
	uint8_t state[XTSFS_GROUP_SECTORS]; /* enum sector_state */
};

static uint8_t *sector_at(struct group *group, unsigned i)
{
	return group->scratch->sectors + (size_t)i * XTSFS_BLOCK_BYTES;
}

static uint32_t bytes_of(struct xtsfs_fsck_file *file, const struct group *group, unsigned i)
{
	return xtsfs_sector_plain_bytes(file->state.plain_bytes, group->first + i);
}

/* The group's sectors into the buffer; one by one if that fails, to tell which of them cannot be read. */
static void read_sectors(struct xtsfs_fsck_file *file, struct group *group)
{
	struct xtsfs_store *store = file->fsck->store;
	uint64_t offset = xtsfs_sector_cipher_off(XTSFS_LAYOUT_GROUPS, group->first);
	size_t bytes = (size_t)group->count * XTSFS_BLOCK_BYTES;
	ssize_t n = xtsfs_store_pread(store, file->io.handle, group->scratch->sectors, bytes, offset);

	if (n >= 0) {
		memset(group->scratch->sectors + n, 0, bytes - (size_t)n);
		xtsfs_fsck_count(&file->fsck->totals.checked_bytes, (uint64_t)n);
		return;
	}
	for (unsigned i = 0; i < group->count; i++) {
		n = xtsfs_store_pread(store, file->io.handle, sector_at(group, i), XTSFS_BLOCK_BYTES,
				      offset + (uint64_t)i * XTSFS_BLOCK_BYTES);
		if (n < 0)
			group->state[i] = SECTOR_UNREADABLE;
		memset(sector_at(group, i) + (n > 0 ? n : 0), 0, XTSFS_BLOCK_BYTES - (size_t)(n > 0 ? n : 0));
	}
}

/* A sector whose content is not what it reads as: the new ciphertext in the buffer, and its entry for the time until
 * that is written. */
static int prepare_torn(struct xtsfs_fsck_file *file, struct group *group, unsigned i, int verdict)
{
	struct xtsfs_disk_block *meta = &group->scratch->meta;
	struct xtsfs_growing growing = xtsfs_growing_get(meta);
	uint64_t sector_no = group->first + i;
	uint32_t bytes = bytes_of(file, group, i), kept = xtsfs_verdict_bytes(verdict, meta, bytes);
	uint8_t *cipher = sector_at(group, i);
	int r = kept ? xtsfs_sector_crypt(&file->io, XTSFS_DECRYPT, sector_no, cipher, cipher, xtsfs_pad16(kept)) : 0;

	if (r < 0)
		return r;
	memset(cipher + kept, 0, XTSFS_BLOCK_BYTES - kept);
	if (verdict == XTSFS_IS_CUT)
		memcpy(meta->entry[i].before, meta->entry[i].now, sizeof(meta->entry[i].before));
	r = xtsfs_sector_crypt(&file->io, XTSFS_ENCRYPT, sector_no, cipher, cipher, XTSFS_BLOCK_BYTES);
	if (r == 0)
		r = xtsfs_sector_tag(&file->io, sector_no, bytes, cipher, meta->entry[i].now);
	if (r == 0 && kept) {
		r = xtsfs_sector_tag(&file->io, sector_no, kept, cipher, growing.tag);
		xtsfs_growing_set(meta, &growing);
	} else if (r == 0) {
		memset(meta->entry[i].before, 0, sizeof(meta->entry[i].before));
	}
	group->torn = true;
	return r;
}

/* Is it not what it reads as, so that it has to be written? */
static bool is_torn(int verdict)
{
	return verdict == XTSFS_IS_SHORT || verdict == XTSFS_IS_CUT || verdict == XTSFS_IS_ABSENT;
}

static int examine(struct xtsfs_fsck_file *file, struct group *group)
{
	bool growing = !group->meta_bad && xtsfs_growing_get(&group->scratch->meta).from;

	for (unsigned i = 0; i < group->count; i++) {
		struct xtsfs_disk_entry *entry = &group->scratch->meta.entry[i];
		int verdict, r;

		if (group->state[i] == SECTOR_UNREADABLE)
			continue;
		if (group->meta_bad) {
			group->state[i] = SECTOR_BAD;
			continue;
		}
		verdict = xtsfs_sector_verify(&file->io, group->first + i, bytes_of(file, group, i),
					      sector_at(group, i), &group->scratch->meta);
		if (verdict < 0)
			return verdict;
		if (verdict == XTSFS_IS_BAD) {
			group->state[i] = SECTOR_BAD;
		} else if (is_torn(verdict)) {
			group->state[i] = SECTOR_TORN;
			group->changed = true;
			r = file->fsck->options.repair ? prepare_torn(file, group, i, verdict) : 0;
			if (r < 0)
				return r;
		} else if (memcmp(entry->now, entry->before, sizeof(entry->now)) != 0) {
			group->state[i] = SECTOR_UNFINAL;
			xtsfs_sector_settle(&group->scratch->meta, group->first + i, verdict);
			memcpy(entry->before, entry->now, sizeof(entry->before));
			group->changed = true;
		}
	}
	if (growing && !group->torn) {
		xtsfs_growing_set(&group->scratch->meta, NULL);
		group->changed = true;
	}
	return 0;
}

/* New entries, and for zeros new content, of the sectors that are to be forced. */
static int force(struct xtsfs_fsck_file *file, struct group *group)
{
	bool zero = file->fsck->options.damage == XTSFS_FSCK_DAMAGE_ZERO;
	bool sparse = file->state.header.flags & XTSFS_FILE_SPARSE;

	if (group->meta_bad) {
		memset(group->scratch->meta.entry, 0, sizeof(group->scratch->meta.entry));
		xtsfs_growing_set(&group->scratch->meta, NULL); /* one that is not allowed would make it bad again */
	}
	for (unsigned i = 0; i < group->count; i++) {
		struct xtsfs_disk_entry *entry = &group->scratch->meta.entry[i];
		uint32_t bytes = bytes_of(file, group, i), padded = xtsfs_pad16(bytes);
		uint8_t *cipher = sector_at(group, i);
		int r = 0;

		if (group->state[i] != SECTOR_BAD && !(zero && group->state[i] == SECTOR_UNREADABLE))
			continue;
		if (!zero && sparse && xtsfs_is_zero(cipher, padded)) {
			memset(entry, 0, sizeof(*entry));
			continue;
		}
		if (zero) {
			memset(cipher, 0, padded);
			r = xtsfs_sector_crypt(&file->io, XTSFS_ENCRYPT, group->first + i, cipher, cipher, padded);
		}
		if (r == 0)
			r = xtsfs_sector_tag(&file->io, group->first + i, bytes, cipher, entry->now);
		if (r < 0)
			return r;
		memcpy(entry->before, entry->now, sizeof(entry->before));
	}
	group->changed = true;
	__atomic_store_n(&file->content_changed, true, __ATOMIC_RELAXED);
	return 0;
}

static int write_sector(struct xtsfs_fsck_file *file, struct group *group, unsigned i)
{
	return xtsfs_store_pwrite(file->fsck->store, file->io.handle, sector_at(group, i),
				  xtsfs_pad16(bytes_of(file, group, i)),
				  xtsfs_sector_cipher_off(XTSFS_LAYOUT_GROUPS, group->first + i));
}

static int write_torn(struct xtsfs_fsck_file *file, struct group *group)
{
	int r = xtsfs_file_flush(&file->io);

	for (unsigned i = 0; r == 0 && i < group->count; i++)
		if (group->state[i] == SECTOR_TORN)
			r = write_sector(file, group, i);
	if (r == 0)
		r = xtsfs_file_flush(&file->io);
	for (unsigned i = 0; i < group->count; i++)
		if (group->state[i] == SECTOR_TORN)
			memcpy(group->scratch->meta.entry[i].before, group->scratch->meta.entry[i].now,
			       XTSFS_TAG_BYTES);
	xtsfs_growing_set(&group->scratch->meta, NULL);
	return r < 0 ? r : xtsfs_meta_store(&file->io, group->group_no, &group->scratch->meta);
}

static int write_group(struct xtsfs_fsck_file *file, struct group *group, bool forced)
{
	int r = file->write_error;

	if (r == 0)
		r = xtsfs_meta_store(&file->io, group->group_no, &group->scratch->meta);
	if (r == 0 && group->torn)
		r = write_torn(file, group);
	if (r == 0)
		__atomic_store_n(&file->written, true, __ATOMIC_RELAXED);
	if (!forced || file->fsck->options.damage != XTSFS_FSCK_DAMAGE_ZERO)
		return r;
	for (unsigned i = 0; r == 0 && i < group->count; i++)
		if (group->state[i] == SECTOR_BAD || group->state[i] == SECTOR_UNREADABLE)
			r = write_sector(file, group, i);
	return r;
}

/* What was found, with what became of it. */
static void tell_group(struct xtsfs_fsck_file *file, const struct group *group, bool forced, int error)
{
	bool zero = file->fsck->options.damage == XTSFS_FSCK_DAMAGE_ZERO;
	uint64_t unfinal = 0;

	for (unsigned i = 0; i < group->count; i++) {
		struct xtsfs_fsck_range range = {.first = group->first + i, .last = group->first + i};

		unfinal += group->state[i] == SECTOR_UNFINAL || group->state[i] == SECTOR_TORN;
		if (group->state[i] != SECTOR_BAD && group->state[i] != SECTOR_UNREADABLE)
			continue;
		range.kind = group->state[i] == SECTOR_UNREADABLE ? XTSFS_FSCK_UNREADABLE
			     : group->meta_bad			  ? XTSFS_FSCK_BAD_META
								  : XTSFS_FSCK_BAD_SECTORS;
		range.outcome = forced && (zero || range.kind != XTSFS_FSCK_UNREADABLE)
					? xtsfs_fsck_outcome_of(file->fsck, error)
					: XTSFS_FSCK_LEFT;
		range.error = range.outcome == XTSFS_FSCK_FAILED ? error : 0;
		add_range(file, range);
		if (range.outcome != XTSFS_FSCK_REPAIRED &&
		    range.first + 1 == xtsfs_sector_count(file->state.plain_bytes))
			__atomic_store_n(&file->last_bad, true, __ATOMIC_RELAXED);
	}
	xtsfs_fsck_count(&file->unfinal, unfinal);
	if (file->fsck->options.repair && error < 0 && unfinal) {
		xtsfs_fsck_count(&file->unfinal_left, unfinal);
		__atomic_store_n(&file->unfinal_error, error, __ATOMIC_RELAXED);
	}
}

/* Was there nothing to tell? */
static bool check_group(struct xtsfs_fsck_file *file, uint64_t group_no)
{
	struct group group = {
		.scratch = xtsfs_scratch(), .group_no = group_no, .first = group_no * XTSFS_GROUP_SECTORS};
	uint64_t left = xtsfs_sector_count(file->state.plain_bytes) - group.first;
	bool damaged = false, forced = false;
	int r, error = 0;

	group.count = left < XTSFS_GROUP_SECTORS ? (unsigned)left : XTSFS_GROUP_SECTORS;
	if (!group.scratch) {
		xtsfs_fsck_report_io(file->fsck, &file->place, -ENOMEM, "verify a group of sectors");
		return false;
	}
	if (file->fsck->options.reading)
		file->fsck->options.reading(file->fsck->options.data,
					    (uint64_t)(group.count + (group_no > 0)) * XTSFS_BLOCK_BYTES);
	r = xtsfs_fsck_load_meta(file, group_no, &group.scratch->meta);
	group.meta_bad = r < 0;
	read_sectors(file, &group);
	r = examine(file, &group);
	if (r < 0) {
		xtsfs_fsck_report_io(file->fsck, &file->place, r, "verify a group of sectors");
		return false;
	}
	xtsfs_fsck_count(&file->fsck->totals.sectors, group.count);
	for (unsigned i = 0; i < group.count; i++)
		damaged |= group.state[i] == SECTOR_BAD || group.state[i] == SECTOR_UNREADABLE;
	if (damaged && file->fsck->options.damage != XTSFS_FSCK_DAMAGE_REPORT) {
		error = force(file, &group);
		forced = true;
	}
	if (error == 0 && file->fsck->options.repair && group.changed)
		error = write_group(file, &group, forced);
	tell_group(file, &group, forced, error);
	return !damaged && !group.changed;
}

/* The first group from @group_no on that is not in a hole of the backing file. */
static uint64_t skip_hole(struct xtsfs_fsck_file *file, uint64_t group_no)
{
	struct xtsfs_store *store = file->fsck->store;
	int64_t at;

	if (group_no == 0 || !(file->state.header.flags & XTSFS_FILE_SPARSE))
		return group_no;
	at = store->ops->seek(store, file->io.handle, xtsfs_group_cipher_off(group_no), SEEK_DATA);
	if (at == -ENXIO)
		return file->groups;
	return at < 0 ? group_no : (uint64_t)at / (XTSFS_GROUP_BLOCKS * XTSFS_BLOCK_BYTES);
}

/* The groups of a part, or what is not in a hole of them. */
static void check_part(struct xtsfs_fsck_file *file, uint64_t from, uint64_t to)
{
	const struct xtsfs_fsck_options *options = &file->fsck->options;
	struct xtsfs_fsck_part part = {.stat = &file->st, .number = from / XTSFS_FSCK_PART_GROUPS};
	bool whole = file->groups <= XTSFS_FSCK_PART_GROUPS, good = true; /* one that is a single part is the file */

	if (!whole && options->is_known && options->is_known(options->data, &part)) {
		xtsfs_fsck_count(&file->fsck->totals.known_bytes,
				 (to - from) * XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES);
		return;
	}
	while (from < to && !xtsfs_fsck_stopped(file->fsck)) {
		uint64_t data = skip_hole(file, from);

		if (data > from) {
			/* The others need not begin in it either. */
			uint64_t next = __atomic_load_n(&file->next_group, __ATOMIC_RELAXED);
			uint64_t first = data / XTSFS_FSCK_PART_GROUPS * XTSFS_FSCK_PART_GROUPS;

			while (next < first && !__atomic_compare_exchange_n(&file->next_group, &next, first, false,
									    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				;
			from = data;
			continue;
		}
		good &= check_group(file, from++);
	}
	if (!whole && good && from >= to && options->found_good)
		options->found_good(options->data, &part);
}

void xtsfs_fsck_verify(struct xtsfs_fsck_file *file)
{
	while (!xtsfs_fsck_stopped(file->fsck)) {
		uint64_t from = __atomic_fetch_add(&file->next_group, XTSFS_FSCK_PART_GROUPS, __ATOMIC_RELAXED);
		uint64_t to = from + XTSFS_FSCK_PART_GROUPS;

		if (from >= file->groups)
			return;
		check_part(file, from, to < file->groups ? to : file->groups);
	}
}
