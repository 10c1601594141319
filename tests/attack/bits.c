/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bit of files' content: header, meta blocks, sectors, holes, filler.
 *
 * What must happen follows from the format page: where the bit is says whether the file, a group of sectors, one sector
 * or nothing is refused. It is worked out here and not with the core's own functions.
 */
#undef NDEBUG
#include "attack.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 124U

enum part { HEADER, INLINE, META, SECTOR, HOLE, FILLER, PARTS };
static const char *const attack_of[PARTS] = {"bit of a header", "bit of inline content", "bit of a meta block",
					     "bit of a sector", "bit of a hole",	 "bit of filler"};

struct flipped {
	enum part part;
	uint64_t sector; /* of SECTOR and HOLE; of META its first */
};

static uint64_t pad16(uint64_t bytes)
{
	return (bytes + 15) / 16 * 16;
}

/* What stands at a place of a stored file. */
static struct flipped part_at(const struct specimen *specimen, const struct object *file, uint64_t stored_bytes,
			      uint64_t offset)
{
	uint64_t block = offset / CORE_B, sector, start, bytes;
	bool is_inline = stored_bytes <= CORE_B;

	if (is_inline)
		return (struct flipped){offset < 128 ? HEADER : offset < 128 + pad16(file->bytes) ? INLINE : FILLER, 0};
	if (block == 0)
		return (struct flipped){HEADER, 0};
	if (!specimen->none && block % (GROUP + 1) == 0 && block / (GROUP + 1) * GROUP * CORE_B < file->bytes)
		return (struct flipped){META, block / (GROUP + 1) * GROUP};
	sector = specimen->none ? block - 1 : block - block / (GROUP + 1) - 1;
	if (sector * CORE_B >= file->bytes) /* a long tail's filler goes on behind its block */
		return (struct flipped){FILLER, 0};
	start = (specimen->none ? 1 + sector : 1 + sector + sector / GROUP) * CORE_B;
	bytes = file->bytes - sector * CORE_B < CORE_B ? file->bytes - sector * CORE_B : CORE_B;
	if (offset - start >= pad16(bytes))
		return (struct flipped){FILLER, 0};
	for (uint64_t i = 0; i < bytes; i++)
		if (file->data[sector * CORE_B + i])
			return (struct flipped){SECTOR, sector};
	return (struct flipped){HOLE, sector};
}

/* One sector of an open file: SAME, REFUSED, GARBLED (within @block_bytes around the flipped bit), or FORGED. */
static unsigned look_at_sector(struct core *core, struct xtsfs_node *node, const struct object *file, uint64_t sector,
			       bool none, size_t at, size_t block_bytes)
{
	uint64_t left = file->bytes - sector * CORE_B;
	size_t bytes = left < CORE_B ? (size_t)left : CORE_B;
	const uint8_t *was = file->data + sector * CORE_B;
	uint8_t is[CORE_B];
	ssize_t n = xtsfs_read(core->volume, node, is, bytes, sector * CORE_B);

	if (n == -EIO)
		return REFUSED;
	if (n != (ssize_t)bytes)
		return FORGED;
	if (memcmp(is, was, bytes) == 0)
		return SAME;
	for (size_t i = 0; none && i < bytes; i++)
		if (is[i] != was[i] && i / block_bytes != at / block_bytes)
			return FORGED;
	return none ? GARBLED : FORGED;
}

static unsigned look_at_file(struct specimen *specimen, const struct object *file, const struct flipped *flipped,
			     uint64_t offset, bool all)
{
	struct core *core = &specimen->core;
	size_t block_bytes = flipped->part == HOLE ? CORE_B : 16;
	uint64_t sectors = (file->bytes + CORE_B - 1) / CORE_B, first = flipped->sector, last = first + 1;
	unsigned outcome = 0, others = 0;
	struct xtsfs_node *node;
	struct stat st;
	int r;

	node = core_node(core, file->path, &st, &r);
	assert(r == 0);
	if ((uint64_t)st.st_size != file->bytes)
		outcome |= FORGED;
	r = xtsfs_open(core->volume, node, false);
	if (r < 0) {
		core_forget(core, node);
		return outcome | (r == -EIO || r == -EUCLEAN ? REFUSED : FORGED);
	}
	if (flipped->part == META)
		last = first + GROUP;
	for (uint64_t s = 0; s < sectors; s++) {
		bool affected = s >= first && s < last;

		if (affected && (all || s == first || s == last - 1))
			outcome |= look_at_sector(core, node, file, s, specimen->none, offset % CORE_B, block_bytes);
		else if (!affected && (all || s + 1 == first || s == last))
			others |= look_at_sector(core, node, file, s, false, 0, 1);
	}
	if (others & ~(unsigned)SAME) /* damage stays where it is */
		outcome |= FORGED;
	if (all) {
		uint8_t *data = malloc(file->bytes + 1);
		ssize_t n;

		assert(data);
		n = xtsfs_read(core->volume, node, data, file->bytes + 1, 0);
		if (n != -EIO &&
		    (n != (ssize_t)file->bytes || (memcmp(data, file->data, file->bytes) != 0 && !(outcome & GARBLED))))
			outcome |= FORGED;
		free(data);
	}
	xtsfs_release(core->volume, node, false);
	core_forget(core, node);
	return outcome;
}

static void flip_file(struct specimen *specimen, const char *path)
{
	const struct object *file = specimen_object(specimen, path);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	struct place place = place_get(store, file->backing);
	int handle = store->ops->open(store, place.dir, place.name, O_RDWR, 0, NULL);
	uint64_t stride, count = 0;
	struct stat st;

	assert(handle >= 0 && store->ops->fstat(store, handle, &st) == 0);
	assert(specimen_try_open(specimen, store) == 0);
	stride = options.stride;
	for (uint64_t bit = 0; bit < (uint64_t)st.st_size * 8; bit += stride, count++) {
		uint64_t offset = bit / 8;
		struct flipped flipped = part_at(specimen, file, (uint64_t)st.st_size, offset);
		unsigned outcome, want;
		uint8_t byte;

		assert(xtsfs_store_pread(store, handle, &byte, 1, offset) == 1);
		byte ^= (uint8_t)(1U << bit % 8);
		assert(xtsfs_store_pwrite(store, handle, &byte, 1, offset) == 0);
		outcome = look_at_file(specimen, file, &flipped, offset, count % 61 == 0);
		byte ^= (uint8_t)(1U << bit % 8);
		assert(xtsfs_store_pwrite(store, handle, &byte, 1, offset) == 0);
		want = flipped.part == FILLER ? SAME : specimen->none && flipped.part >= SECTOR ? GARBLED : REFUSED;
		/* Garbled padding behind the content is not seen. */
		if (outcome != want && !(want == GARBLED && outcome == SAME && file->bytes / CORE_B == flipped.sector))
			outcome = FORGED;
		count_mutation(specimen, attack_of[flipped.part], outcome, "%s, bit %llu", path,
			       (unsigned long long)bit);
	}
	core_close(&specimen->core);
	store->ops->close(store, handle);
	place_put(store, place);
	xtsfs_store_free(store);
}

/* Some bits through the judge of the whole volume, fsck and a repair. */
static void flip_and_check(struct specimen *specimen, enum state state, const char *attack, const struct object *file)
{
	uint64_t stride = options.full ? 1009 : 20011;
	size_t bytes;
	uint8_t *stored;

	if (!S_ISREG(file->st.st_mode))
		return;
	stored = backing_read(specimen->store[state], file->backing, &bytes);
	for (uint64_t bit = 0; bit < bytes * 8ULL; bit += bytes < 3 * CORE_B ? stride / 16 : stride) {
		struct xtsfs_store *store = mutation_begin(specimen, state);
		uint8_t byte = stored[bit / 8] ^ (uint8_t)(1U << bit % 8);

		backing_write(store, file->backing, &byte, 1, bit / 8);
		mutation_end(specimen, state, attack, store, "%.40s, bit %llu", file->path, (unsigned long long)bit);
	}
	free(stored);
}

/* After a crash more is good (format 9.8). */
void attack_bits_checked(struct specimen *specimen)
{
	for (unsigned i = 0; i < specimen->truth[CURRENT]->count; i++)
		flip_and_check(specimen, CURRENT, "bit, judged by fsck too", &specimen->truth[CURRENT]->object[i]);
	for (unsigned i = 0; i < specimen->truth[CRASHED]->count; i++)
		flip_and_check(specimen, CRASHED, "bit after a crash", &specimen->truth[CRASHED]->object[i]);
}

void attack_bits(struct specimen *specimen)
{
	static const char *const small[] = {"empty", "inline", "inline-3", "one", "tail", "d1/linked", "d2/linked"};
	static const char *const large[] = {"long-tail", "several", "sparse", "groups"};
	unsigned stride = options.stride;

	for (unsigned i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		options.stride = stride > 13 ? 13 : stride;
		flip_file(specimen, small[i]);
	}
	options.stride = stride;
	for (unsigned i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		flip_file(specimen, large[i]);
}
