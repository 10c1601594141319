/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changed files that are written: a write must not make good what was changed, nor take over what it did not verify.
 * And files that are changed while they are open.
 *
 * Whatever a write answers, afterwards each sector is an error, or each of its bytes is what it was or what was
 * written.
 */
#undef NDEBUG
#include "attack.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (140U * CORE_B)

enum change { FLIP, ZERO, PUT_BACK, CUT, EXTEND, REPLACE, REMOVE, CHANGES };
static const char *const change_names[CHANGES] = {"flip", "zero", "put back", "cut", "extend", "replace", "remove"};

struct model {
	uint8_t *old, *new;
	uint64_t old_bytes, new_bytes;
};

/* False if it does not fit this file. */
static bool apply(const struct specimen *specimen, struct xtsfs_store *store, const struct object *file,
		  enum change change, size_t block)
{
	static const uint8_t junk[300] = "junk";
	size_t bytes, old_bytes, at = block * CORE_B, here;
	uint8_t *stored = backing_read(store, file->backing, &bytes);
	uint8_t *old = backing_read(specimen->store[OLDEST], file->backing, &old_bytes);
	bool fits = at < bytes;

	here = !fits ? 0 : bytes - at < CORE_B ? bytes - at : CORE_B;
	if (fits && change == FLIP) {
		stored[at + here / 2] ^= 0x10;
		backing_write(store, file->backing, stored + at, here, at);
	} else if (fits && change == ZERO) {
		memset(stored + at, 0, here);
		backing_write(store, file->backing, stored + at, here, at);
	} else if (fits && change == PUT_BACK) {
		/* An inline file's block is the whole file. */
		fits = bytes > CORE_B && at + here <= old_bytes && memcmp(old + at, stored + at, here) != 0;
		if (fits)
			backing_write(store, file->backing, old + at, here, at);
	} else if (fits && change == CUT) {
		backing_truncate(store, file->backing, at + here / 2);
	} else if (fits && change == EXTEND) {
		backing_write(store, file->backing, junk, sizeof(junk), bytes);
	} else if (fits && change == REPLACE) {
		backing_remove(store, file->backing);
		backing_put(store, file->backing, stored, bytes - here / 2);
	} else if (fits && change == REMOVE) {
		backing_remove(store, file->backing);
	}
	free(stored);
	free(old);
	return fits;
}

/* One operation around sector @s. Returns its answer; the model follows. */
static long operate(struct core *core, const char *path, unsigned op, uint64_t s, struct model *model)
{
	static uint8_t data[3 * CORE_B];
	uint64_t at = 0, bytes = 0, size = model->old_bytes;
	long r = 0;

	core_pattern(77, s, data, sizeof(data));
	switch (op) {
	case 0:
		at = s * CORE_B + 50;
		bytes = 10;
		break;
	case 1:
		at = s * CORE_B;
		bytes = CORE_B;
		break;
	case 2:
		at = (s ? s - 1 : s + 1) * CORE_B + 7;
		bytes = 100;
		break;
	case 3:
		at = size;
		bytes = 100;
		break;
	case 4:
		at = s * CORE_B + 2000;
		bytes = 2 * CORE_B;
		break;
	case 5:
		size = s * CORE_B + 10;
		break;
	case 6:
		size = size ? size - 1 : 0;
		break;
	case 7:
		size += 9000;
		break;
	case 8:
		size = 100;
		break;
	case 9:
		size = 0;
		break;
	case 10:
	case 11:
		at = s * CORE_B + (op == 10 ? 100 : 0);
		bytes = op == 10 ? 200 : CORE_B;
		r = core_try_fallocate(core, path, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, bytes);
		if (at < size)
			memset(model->new + at, 0, at + bytes < size ? bytes : size - at);
		return r;
	default:
		return core_try_fsync(core, path);
	}
	if (bytes) {
		r = core_try_write(core, path, data, bytes, at);
		r = r < 0 ? r : r == (long)bytes ? 0 : -EAGAIN; /* a part of it */
		memcpy(model->new + at, data, bytes);
		size = at + bytes > size ? at + bytes : size;
	} else {
		r = core_try_truncate(core, path, size);
	}
	if (size < model->old_bytes)
		memset(model->new + size, 0, model->old_bytes - size);
	model->new_bytes = size;
	return r;
}
#define OPERATIONS 13U

/* @answered: the write succeeded, so what it wrote is there or an error is. */
static unsigned compare(const struct model *model, const struct object *got, bool answered)
{
	unsigned outcome = 0;

	if (got->error)
		return got->error == -EIO || got->error == -EUCLEAN ? REFUSED : got->error == -ENOENT ? HIDDEN : FORGED;
	if (got->bytes != model->new_bytes && got->bytes != model->old_bytes)
		outcome |= got->bytes == 0 ? EMPTY : LENGTH;
	for (uint64_t i = 0; i * CORE_B < got->bytes; i++) {
		if (got->bad[i]) {
			outcome |= PARTLY;
			continue;
		}
		for (uint64_t at = i * CORE_B; at < got->bytes && at < (i + 1) * CORE_B; at++)
			if (got->data[at] != model->new[at] && (answered || got->data[at] != model->old[at]))
				outcome |= FORGED;
	}
	return outcome ? outcome : SAME;
}

static void model_init(struct model *model, const struct object *file)
{
	*model = (struct model){
		.old = calloc(1, ROOM), .new = calloc(1, ROOM), .old_bytes = file->bytes, .new_bytes = file->bytes};
	assert(model->old && model->new);
	memcpy(model->old, file->data, file->bytes);
	memcpy(model->new, file->data, file->bytes);
}

static void one(struct specimen *specimen, const struct object *file, enum change change, size_t block, unsigned op,
		bool while_open, bool waiting)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 1, .fds = 64, .waiting_bytes = waiting ? 1U << 20 : 0};
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	const char *attack = while_open ? "file changed while it is written" : "changed file written";
	struct core *core = &specimen->core;
	struct xtsfs_node *node = NULL;
	struct model model;
	struct object got;
	unsigned outcome;
	uint64_t sector = block ? block - 1 - (specimen->none ? 0 : block / 125) : 0;
	long answer;
	int r;

	core->store = store;
	model_init(&model, file);
	if (while_open) {
		assert(core_try_open(core, &params) == 0);
		node = core_node(core, file->path, NULL, &r);
		assert(r == 0 && xtsfs_open(core->volume, node, true) == 0);
	}
	if (!apply(specimen, store, file, change, block)) {
		if (while_open) {
			xtsfs_release(core->volume, node, true);
			core_forget(core, node);
			core_close(core);
		}
		goto out;
	}
	if (!while_open && core_try_open(core, &params) < 0)
		abort();
	answer = operate(core, file->path, op, sector, &model);
	if (while_open) {
		xtsfs_release(core->volume, node, true);
		core_forget(core, node);
	}
	(void)core_try_close(core);
	assert(specimen_try_open(specimen, store) == 0);
	object_look(core, file->path, NULL, &got);
	outcome = compare(&model, &got, answer == 0);
	if (specimen->none && (outcome & FORGED))
		outcome = (outcome & ~(unsigned)FORGED) | GARBLED;
	object_done(&got);
	core_close(core);
	count_mutation(specimen, attack, outcome, "%s, %s of block %zu, operation %u: %ld", file->path,
		       change_names[change], block, op, answer);
out:
	free(model.old);
	free(model.new);
	xtsfs_store_free(store);
}

/* An overwritten sector put back, before and after the file was synced. */
static void put_back_while_written(struct specimen *specimen)
{
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 1, .fds = 64};
	const struct object *file = specimen_object(specimen, "several");
	struct core *core = &specimen->core;

	for (unsigned synced = 0; synced < 2; synced++) {
		struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
		size_t bytes, block = 3;
		uint8_t *stored = backing_read(store, file->backing, &bytes), data[CORE_B];
		struct xtsfs_node *node;
		unsigned outcome;
		ssize_t n;
		int r;

		core->store = store;
		assert(core_try_open(core, &params) == 0);
		node = core_node(core, file->path, NULL, &r);
		assert(r == 0 && xtsfs_open(core->volume, node, true) == 0);
		core_pattern(78, 0, data, CORE_B);
		assert(xtsfs_write(core->volume, node, data, CORE_B, 2 * CORE_B) == CORE_B);
		assert(!synced || xtsfs_fsync(core->volume, node, false) == 0);
		backing_write(store, file->backing, stored + block * CORE_B, CORE_B, block * CORE_B);
		n = xtsfs_read(core->volume, node, data, CORE_B, 2 * CORE_B);
		outcome = n == -EIO							      ? REFUSED
			  : n == CORE_B && memcmp(data, file->data + 2 * CORE_B, CORE_B) == 0 ? OLDER
											      : FORGED;
		count_mutation(specimen,
			       synced ? "sector put back after a sync" : "sector put back while it is written", outcome,
			       "%zd", n);
		xtsfs_release(core->volume, node, true);
		core_forget(core, node);
		(void)core_try_close(core);
		free(stored);
		xtsfs_store_free(store);
	}
}

void attack_writes(struct specimen *specimen)
{
	static const char *const files[] = {"inline",	 "one",	   "tail",   "several",
					    "several-2", "sparse", "groups", "dense"};
	static const size_t blocks[] = {0, 1, 2, 3, 5, 6, 124, 125, 126, 127, 128};
	unsigned turn = 0;

	put_back_while_written(specimen);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		for (unsigned change = 0; change < CHANGES; change++)
			for (unsigned b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++)
				for (unsigned op = 0; op < OPERATIONS; op++)
					for (unsigned open = 0; open < 2; open++) {
						/* Without tags only the header says anything. */
						if (specimen->none && blocks[b] != 0)
							continue;
						if (!options.full && turn++ % 7)
							continue;
						one(specimen, specimen_object(specimen, files[i]), change, blocks[b],
						    op, open, (op + b) % 2);
					}
}
