/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a loss of power may leave of a recorded volume, chosen at random and rather too badly than too well.
 *
 * Names, lengths and attributes are a journal: a prefix of it is there, at least up to the last sync of anything. The
 * pages of a file's writes are there or not, each by itself, unless the file was synced after them. A write into a page
 * that has been there before and the length that it brings are independent of each other; a new page and its length go
 * together. What was written after a cut or a punch is there only if that is.
 */
#include "store/memory-internal.h"

#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

struct cut {
	struct memory *store;
	const struct memory *from;
	size_t until, journal; /* calls before these count */
	bool *durable;	       /* of each call: its file was synced later */
	bool *freed;	       /* of each inode: a cut that is not in the journal */
	uint64_t *rng;
	unsigned kept_percent;
};

static unsigned below(uint64_t *rng, unsigned limit)
{
	*rng ^= *rng >> 12;
	*rng ^= *rng << 25;
	*rng ^= *rng >> 27;
	return (unsigned)((*rng * 2685821657736338717ULL) >> 33) % limit;
}

static bool is_kept(struct cut *cut)
{
	return below(cut->rng, 100) < cut->kept_percent;
}

static void find_durable(struct cut *cut)
{
	bool all = false, *synced = calloc(cut->from->inode_count + 1, sizeof(*synced));
	size_t last = 0;

	for (size_t i = cut->until; synced && i-- > 0;) {
		const struct mem_call *call = &cut->from->calls[i];

		if (call->kind == MEM_SYNC) {
			all |= call->flags != 0;
			synced[call->a] = true;
			last = last > i ? last : i;
		}
		cut->durable[i] = all || synced[call->a];
	}
	free(synced);
	cut->journal = last + below(cut->rng, (unsigned)(cut->until - last) + 1);
}

/* A filesystem writes back the page in which a file is cut before the new length gets into the journal. */
static bool is_written_back(const struct cut *cut, size_t i, ino_t ino, uint64_t page)
{
	for (size_t j = i + 1; j < cut->journal; j++) {
		const struct mem_call *call = &cut->from->calls[j];

		if (call->kind == MEM_TRUNCATE && call->a == ino && call->offset % MEM_PAGE &&
		    call->offset / MEM_PAGE == page)
			return true;
	}
	return false;
}

/* One page of a write. */
static int write_page(struct cut *cut, size_t i, struct mem_inode *inode, struct mem_call part)
{
	uint64_t page = part.offset / MEM_PAGE, end = part.offset + part.bytes;
	bool in_journal = i < cut->journal;
	bool kept = cut->durable[i] || is_written_back(cut, i, part.a, page) || is_kept(cut);
	bool there = page < inode->page_count && inode->pages[page];

	if (!kept) {
		if (there && in_journal && end > inode->bytes && below(cut->rng, 2))
			inode->bytes = end; /* the length without the content */
		return 0;
	}
	if (end > inode->bytes && !cut->durable[i]) {
		if (there && !in_journal) { /* the content without the length, unless that comes with another page */
			memcpy(inode->pages[page] + part.offset % MEM_PAGE, part.data, part.bytes);
			return 0;
		}
		if (!there && !in_journal && below(cut->rng, 2))
			return 0;
	}
	return xtsfs_memory_do(cut->store, &part);
}

static int write_pages(struct cut *cut, size_t i, const struct mem_call *call)
{
	struct mem_inode *inode = inode_at(cut->store, call->a);
	uint64_t end = call->offset + call->bytes;
	int r = 0;

	if (!inode || !S_ISREG(inode->mode) || (cut->freed[call->a] && !cut->durable[i]))
		return 0;
	for (uint64_t at = call->offset, border; r == 0 && at < end; at = border) {
		struct mem_call part = *call;

		border = (at / MEM_PAGE + 1) * MEM_PAGE;
		if (border > end)
			border = end;
		part.offset = at;
		part.bytes = border - at;
		part.data = call->data + (at - call->offset);
		r = write_page(cut, i, inode, part);
	}
	return r;
}

/* What is in a file's last page behind its end is not read again. */
static void forget_behind_end(struct mem_inode *inode)
{
	size_t page = (size_t)(inode->bytes / MEM_PAGE), used = (size_t)(inode->bytes % MEM_PAGE);

	if (S_ISREG(inode->mode) && page < inode->page_count && inode->pages[page])
		memset(inode->pages[page] + used, 0, MEM_PAGE - used);
}

int xtsfs_memory_power_cut(struct xtsfs_store *store, const struct xtsfs_store *from, size_t until, uint64_t *rng)
{
	static const unsigned percents[] = {0, 15, 50, 85, 98, 100};
	struct cut cut = {.store = memory_of(store), .from = memory_of(from), .until = until, .rng = rng};
	int r = 0;

	cut.kept_percent = percents[below(rng, sizeof(percents) / sizeof(percents[0]))];
	cut.durable = calloc(until + 1, sizeof(*cut.durable));
	cut.freed = calloc(cut.from->inode_count + 1, sizeof(*cut.freed));
	if (!cut.durable || !cut.freed)
		r = -ENOMEM;
	else
		find_durable(&cut);
	for (size_t i = 0; r == 0 && i < until; i++) {
		const struct mem_call *call = &cut.from->calls[i];

		if (call->kind == MEM_WRITE)
			r = write_pages(&cut, i, call);
		else if (call->kind != MEM_SYNC && i < cut.journal)
			r = xtsfs_memory_do(cut.store, call);
		else if (call->kind == MEM_TRUNCATE ||
			 (call->kind == MEM_FALLOCATE && (call->flags & FALLOC_FL_PUNCH_HOLE)))
			cut.freed[call->a] = true;
	}
	for (ino_t ino = 1; ino <= cut.store->inode_count; ino++)
		forget_behind_end(inode_at(cut.store, ino));
	free(cut.durable);
	free(cut.freed);
	return r;
}
