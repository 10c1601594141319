/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of files copied, exchanged, zeroed and put back; files cut and extended to any length. */
#undef NDEBUG
#include "attack.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_BLOCKS 125U

static const char *const names[] = {"inline",  "inline-2",  "one",    "one-2",	"tail", "long-tail",
				    "several", "several-2", "sparse", "groups", "dense"};
#define FILES (sizeof(names) / sizeof(names[0]))

struct stored {
	const struct object *file;
	uint8_t *data, *old; /* now, and in the oldest state */
	size_t bytes, old_bytes;
};

/* Blocks that are worth it: of a large file its ends. */
static bool is_interesting(const struct stored *stored, size_t block)
{
	size_t blocks = (stored->bytes + CORE_B - 1) / CORE_B;

	return block < 5 || block % GROUP_BLOCKS == 0 || block + 3 > blocks;
}

static bool is_meta(const struct specimen *specimen, size_t block)
{
	return block == 0 || (!specimen->none && block % GROUP_BLOCKS == 0);
}

static const char *copy_of(const struct specimen *specimen, size_t block, const char *sector, const char *meta,
			   const char *header)
{
	return block == 0 ? header : is_meta(specimen, block) ? meta : sector;
}

static size_t block_bytes(const struct stored *stored, size_t block)
{
	size_t left = stored->bytes - block * CORE_B;

	return left < CORE_B ? left : CORE_B;
}

static bool is_inline(const struct stored *stored)
{
	return stored->bytes <= CORE_B;
}

/* A block over another; what is longer is cut to what is there. */
static void copy_block(struct specimen *specimen, const struct stored *a, size_t from, const struct stored *b,
		       size_t to)
{
	size_t room = block_bytes(b, to), bytes = block_bytes(a, from);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);

	backing_write(store, b->file->backing, a->data + from * CORE_B, bytes < room ? bytes : room, to * CORE_B);
	mutation_end(specimen, CURRENT,
		     is_inline(a) && is_inline(b) ? "file over another file"
						  : copy_of(specimen, to, "block over a sector",
							    "block over a meta block", "block over a header"),
		     store, "block %zu of %s over %zu of %s", from, a->file->path, to, b->file->path);
}

static void exchange_blocks(struct specimen *specimen, const struct stored *a, size_t from, const struct stored *b,
			    size_t to)
{
	size_t bytes = block_bytes(b, to);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	const char *attack = "blocks exchanged";

	if (is_inline(a) && is_inline(b))
		attack = "file over another file";
	else if (!is_meta(specimen, from) && !is_meta(specimen, to))
		attack = "sectors exchanged";
	backing_write(store, b->file->backing, a->data + from * CORE_B, bytes, to * CORE_B);
	backing_write(store, a->file->backing, b->data + to * CORE_B, bytes, from * CORE_B);
	mutation_end(specimen, CURRENT, attack, store, "block %zu of %s, %zu of %s", from, a->file->path, to,
		     b->file->path);
}

/* Every block, and every other. */
static void two_blocks(struct specimen *specimen, const struct stored *a, const struct stored *b)
{
	static unsigned turn;

	for (size_t from = 0; from * CORE_B < a->bytes; from++)
		for (size_t to = 0; to * CORE_B < b->bytes; to++) {
			if ((a == b && from == to) || !is_interesting(a, from) || !is_interesting(b, to))
				continue;
			if (!options.full && turn++ % 13 && !(is_inline(a) && is_inline(b)))
				continue;
			copy_block(specimen, a, from, b, to);
			if (block_bytes(b, to) == block_bytes(a, from) && (a == b ? from < to : a < b))
				exchange_blocks(specimen, a, from, b, to);
		}
}

/* The header of one before the tags of another, whole or in parts. */
static void splice_headers(struct specimen *specimen, const struct stored *stored)
{
	static const struct {
		size_t at, bytes;
	} parts[] = {{0, 128}, {16, 16}, {12, 4}, {32, 8}, {112, 16}, {128, 32}, {16, 112}, {56, 24}};

	for (unsigned a = 0; a < FILES; a++)
		for (unsigned b = 0; b < FILES; b++)
			for (unsigned i = 0; a != b && i < sizeof(parts) / sizeof(parts[0]); i++) {
				const uint8_t *new = stored[a].data + parts[i].at, *was = stored[b].data + parts[i].at;
				struct xtsfs_store *store;

				if (memcmp(new, was, parts[i].bytes) == 0 || (!options.full && (a + b + i) % 7))
					continue;
				store = mutation_begin(specimen, CURRENT);
				backing_write(store, stored[b].file->backing, new, parts[i].bytes, parts[i].at);
				mutation_end(specimen, CURRENT, "header spliced", store, "%zu+%zu of %s in %s",
					     parts[i].at, parts[i].bytes, names[a], names[b]);
			}
}

static void zero_blocks(struct specimen *specimen, const struct stored *stored)
{
	static const uint8_t zeros[CORE_B];

	for (unsigned a = 0; a < FILES; a++)
		for (size_t block = 0; block * CORE_B < stored[a].bytes; block++) {
			struct xtsfs_store *store;

			if (!is_interesting(&stored[a], block))
				continue;
			store = mutation_begin(specimen, CURRENT);
			backing_write(store, stored[a].file->backing, zeros, block_bytes(&stored[a], block),
				      block * CORE_B);
			mutation_end(specimen, CURRENT,
				     copy_of(specimen, block, "sector zeroed", "meta block zeroed", "header zeroed"),
				     store, "block %zu of %s", block, names[a]);
		}
}

/* Parts of the older state under the newer one. */
static void put_back(struct specimen *specimen, const struct stored *stored)
{
	for (unsigned a = 0; a < FILES; a++) {
		const char *backing = stored[a].file->backing;
		struct xtsfs_store *store;

		for (size_t block = 0; block * CORE_B < stored[a].bytes && block * CORE_B < stored[a].old_bytes;
		     block++) {
			size_t left = stored[a].old_bytes - block * CORE_B;
			size_t bytes = left < block_bytes(&stored[a], block) ? left : block_bytes(&stored[a], block);

			if (memcmp(stored[a].data + block * CORE_B, stored[a].old + block * CORE_B, bytes) == 0)
				continue;
			store = mutation_begin(specimen, CURRENT);
			backing_write(store, backing, stored[a].old + block * CORE_B, bytes, block * CORE_B);
			mutation_end(specimen, CURRENT,
				     is_inline(&stored[a]) ? "file put back"
							   : copy_of(specimen, block, "sector put back",
								     "meta block put back", "header put back"),
				     store, "block %zu of %s", block, names[a]);
			if (!is_meta(specimen, block) || block == 0)
				continue;
			store = mutation_begin(specimen, CURRENT);
			left = stored[a].old_bytes - block * CORE_B;
			backing_write(store, backing, stored[a].old + block * CORE_B,
				      left < GROUP_BLOCKS * CORE_B ? left : GROUP_BLOCKS * CORE_B, block * CORE_B);
			mutation_end(specimen, CURRENT, "group put back", store, "group %zu of %s",
				     block / GROUP_BLOCKS, names[a]);
		}
		if (stored[a].bytes == stored[a].old_bytes &&
		    memcmp(stored[a].data, stored[a].old, stored[a].bytes) == 0)
			continue;
		store = mutation_begin(specimen, CURRENT);
		backing_truncate(store, backing, 0);
		backing_write(store, backing, stored[a].old, stored[a].old_bytes, 0);
		mutation_end(specimen, CURRENT, "file put back", store, "%s", names[a]);
	}
}

/* The one thing in a sparse file that zeros can do. */
static void zero_group(struct specimen *specimen)
{
	static const char *const files[] = {"groups", "dense"};

	for (unsigned i = 0; i < 2; i++) {
		struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
		const char *backing = specimen_object(specimen, files[i])->backing;
		size_t bytes;
		uint8_t *zeros = backing_read(store, backing, &bytes);

		memset(zeros, 0, bytes);
		backing_write(store, backing, zeros, bytes - (size_t)GROUP_BLOCKS * CORE_B,
			      (uint64_t)GROUP_BLOCKS * CORE_B);
		mutation_end(specimen, CURRENT, i ? "group zeroed, file without holes" : "group zeroed", store, "%s",
			     files[i]);
		free(zeros);
	}
}

void attack_blocks(struct specimen *specimen)
{
	struct stored stored[FILES];

	for (unsigned i = 0; i < FILES; i++) {
		stored[i].file = specimen_object(specimen, names[i]);
		stored[i].data = backing_read(specimen->store[CURRENT], stored[i].file->backing, &stored[i].bytes);
		stored[i].old = backing_read(specimen->store[OLDEST], stored[i].file->backing, &stored[i].old_bytes);
	}
	for (unsigned a = 0; a < FILES; a++)
		for (unsigned b = 0; b < FILES; b++)
			two_blocks(specimen, &stored[a], &stored[b]);
	splice_headers(specimen, stored);
	zero_blocks(specimen, stored);
	put_back(specimen, stored);
	zero_group(specimen);
	for (unsigned i = 0; i < FILES; i++) {
		free(stored[i].data);
		free(stored[i].old);
	}
}

/* ---- lengths ---- */

static void cut(struct specimen *specimen, enum state state, const char *attack, const char *name, uint64_t bytes)
{
	struct xtsfs_store *store = mutation_begin(specimen, state);

	backing_truncate(store, specimen_object(specimen, name)->backing, bytes);
	mutation_end(specimen, state, bytes ? attack : "file cut to nothing", store, "%s to %llu", name,
		     (unsigned long long)bytes);
}

static void extend(struct specimen *specimen, enum state state, const char *attack, const char *name, size_t was,
		   size_t more, int fill)
{
	struct xtsfs_store *store = mutation_begin(specimen, state);
	const char *backing = specimen_object(specimen, name)->backing;
	uint8_t *data = malloc(more);

	assert(data);
	memset(data, fill, more);
	if (fill == 1) /* its own end once more */
		for (size_t i = 0; i < more; i++)
			data[i] = (uint8_t)(i * 7 + 1);
	backing_write(store, backing, data, more, was);
	free(data);
	mutation_end(specimen, state, attack, store, "%s by %zu of %d", name, more, fill);
}

/* The older block 0 of a file that was being written, and the file then cut where it ends in a sector. */
static void cut_without_clean(struct specimen *specimen)
{
	size_t bytes, old_bytes;
	const char *backing = specimen_object(specimen, "several")->backing;
	uint8_t *now = backing_read(specimen->store[CURRENT], backing, &bytes);
	struct core *core = &specimen->core;
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT), *open_state;
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 1, .fds = 64};
	struct xtsfs_node *node;
	uint8_t *old;
	int r;

	/* Grown by a byte and cut again: the same content, and in between a block 0 without CLEAN. */
	core->store = store;
	assert(core_try_open(core, &params) == 0);
	node = core_node(core, "several", NULL, &r);
	assert(r == 0 && xtsfs_open(core->volume, node, true) == 0 &&
	       core_try_write(core, "several", "x", 1, 5 * CORE_B) == 1);
	assert(xtsfs_memory_clone(store, &open_state) == 0);
	old = backing_read(open_state, backing, &old_bytes);
	xtsfs_store_free(open_state);
	xtsfs_release(core->volume, node, true);
	core_forget(core, node);
	core_close(core);
	xtsfs_store_free(store);
	for (size_t sectors = 0; sectors < 5; sectors++) {
		store = mutation_begin(specimen, CURRENT);
		backing_write(store, backing, old, CORE_B, 0);
		backing_truncate(store, backing, (1 + sectors) * CORE_B);
		mutation_end(specimen, CURRENT, "cut, with a block 0 without CLEAN", store, "several to %zu sectors",
			     sectors);
	}
	free(now);
	free(old);
}

void attack_lengths(struct specimen *specimen)
{
	static const char *const files[] = {"inline", "inline-3", "one", "tail", "long-tail", "sparse", "groups"};
	static const size_t more[] = {1, 15, 16, 17, 143, 4095, 4096, 4097, 8192, 125 * 4096};
	static const uint8_t zeros[CORE_B];

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		size_t bytes;

		free(backing_read(specimen->store[CURRENT], specimen_object(specimen, files[i])->backing, &bytes));
		for (uint64_t at = 0; at<bytes; at += at % CORE_B> 40 && at + 40 < bytes ? options.full ? 7 : 311
				      : options.full					 ? 1
											 : 7)
			if (at < 4 * CORE_B || at + 3 * CORE_B > bytes)
				cut(specimen, CURRENT, "file cut", files[i], at);
		for (unsigned k = 0; k < sizeof(more) / sizeof(more[0]); k++)
			for (int fill = 0; fill < 2; fill++)
				extend(specimen, CURRENT, "file extended", files[i], bytes, more[k], fill);
		/* With the marker of an earlier crash. */
		for (unsigned k = 0; k < sizeof(more) / sizeof(more[0]); k++) {
			free(backing_read(specimen->store[CRASHED], specimen_object(specimen, files[i])->backing,
					  &bytes));
			extend(specimen, CRASHED, "with an old marker", files[i], bytes, more[k], (int)(k % 2));
			if (more[k] < bytes)
				cut(specimen, CRASHED, "with an old marker", files[i], bytes - more[k]);
		}
		struct xtsfs_store *store = mutation_begin(specimen, CRASHED);

		backing_write(store, specimen_object(specimen, files[i])->backing, zeros, 128, 0);
		mutation_end(specimen, CRASHED, "with an old marker", store, "%s, header zeroed", files[i]);
	}
	extend(specimen, CURRENT, "empty file extended", "empty", 0, 1, 0);
	extend(specimen, CURRENT, "empty file extended", "empty", 0, 128, 0);
	extend(specimen, CURRENT, "empty file extended", "empty", 0, 4096, 1);
	extend(specimen, CURRENT, "empty file extended", "empty", 0, 8192, 0);
	cut_without_clean(specimen);
}
