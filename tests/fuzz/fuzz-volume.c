/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as a whole: a program of file operations, mixed with kills, remounts, fsck, and an attacker's changes of the
 * ciphertext, against a model (model.h) of what may be seen.
 *
 * Input: a byte for the mode (integrity, waiting sectors, an empty volume, the last fsck), then operations, each a byte
 * and its arguments, to the end. A claim that does not hold, a crash, a hang or a report of a sanitizer is a finding.
 * At the end fsck runs in all its modes.
 */
#include "attack.h"
#include "look.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#define OPERATIONS 48U
/* ---- opening and closing ---- */

static void release_all(struct run *run)
{
	for (unsigned i = 0; i < HANDLES; i++) {
		struct handle *handle = &run->handles[i];

		if (!handle->node)
			continue;
		xtsfs_release(run->volume.core.volume, handle->node, handle->for_write);
		core_forget(&run->volume.core, handle->node);
		handle->node = NULL;
	}
}

static void close_volume(struct run *run)
{
	int r;

	release_all(run);
	if (!run->volume.core.volume)
		return;
	r = core_try_close(&run->volume.core);
	WANT(run, r, 0);
	if (r < 0) /* the marker stays */
		model_raise(&run->model, MODEL_MIXED);
}

/* False: it cannot be opened any more. */
static bool open_volume(struct run *run)
{
	int r = fuzz_volume_open(&run->volume, FUZZ_OPEN_WRITE);

	WANT(run, r, 0);
	return r == 0;
}

static void op_kill(struct run *run)
{
	struct xtsfs_store *clone;

	FUZZ_CHECK(xtsfs_memory_clone(run->volume.store, &clone) == 0, "memory");
	release_all(run);
	(void)!core_try_close(&run->volume.core);
	xtsfs_store_free(run->volume.store);
	run->volume.store = run->volume.core.store = clone;
	run->unclean = true;
	/* What waited is gone; and a marker excuses lengths that were changed before. */
	if (run->volume.core.waiting_bytes || !exact(run))
		model_raise(&run->model, MODEL_MIXED);
}

static void op_fsck(struct run *run, enum fuzz_fsck mode)
{
	struct xtsfs_fsck_totals totals = {0};
	int r;

	close_volume(run);
	r = fuzz_fsck(&run->volume, mode, &totals);
	WANT(run, r, 0);
	if (exact(run) && !run->unclean)
		FUZZ_CHECK(totals.problems == 0, "%llu problems in a volume that is well",
			   (unsigned long long)totals.problems);
	if (exact(run) && mode != FUZZ_FSCK_CHECK) {
		FUZZ_CHECK(totals.left == 0, "%llu problems left after a kill", (unsigned long long)totals.left);
		run->unclean = false;
	}
	if (!exact(run) && mode != FUZZ_FSCK_CHECK)
		model_raise(&run->model, mode == FUZZ_FSCK_SALVAGE ? MODEL_LOST : MODEL_MIXED);
}

/* ---- names ---- */

static void op_create(struct run *run, unsigned name, bool is_link)
{
	char target[XTSFS_SYMLINK_MAX + 1];
	uint8_t which = fuzz_byte(&run->input);
	int object, r, want = !has_parent(run, name) ? -ENOENT : object_at(run, name) >= 0 ? -EEXIST : 0;

	if (run->model.object_count == MODEL_OBJECTS)
		return;
	model_target(which, target);
	r = is_link ? core_try_symlink(&run->volume.core, target, model_names[name])
		    : core_try_create(&run->volume.core, model_names[name]);
	WANT(run, r, want);
	if (r < 0)
		return;
	object = model_new(&run->model, is_link);
	run->model.objects[object].target = which;
	run->model.at[name] = object;
	if (!exact(run))
		model_raise(&run->model, MODEL_MIXED);
}

static void op_unlink(struct run *run, unsigned name)
{
	int r = core_try_unlink(&run->volume.core, model_names[name]);

	WANT(run, r, object_at(run, name) >= 0 ? 0 : -ENOENT);
	if (r == 0)
		run->model.at[name] = -1;
}

static void op_link(struct run *run, unsigned from, unsigned to)
{
	int object = object_at(run, from);
	int want = object < 0 || !has_parent(run, to) ? -ENOENT : object_at(run, to) >= 0 ? -EEXIST : 0;
	int r = core_try_link(&run->volume.core, model_names[from], model_names[to]);

	WANT(run, r, want);
	if (r == 0)
		run->model.at[to] = object;
}

static int want_rename(const struct run *run, unsigned from, unsigned to, unsigned flags)
{
	if (!has_parent(run, to) || object_at(run, from) < 0)
		return -ENOENT;
	if (flags == RENAME_NOREPLACE && object_at(run, to) >= 0)
		return -EEXIST;
	return flags == RENAME_EXCHANGE && object_at(run, to) < 0 ? -ENOENT : 0;
}

static void op_rename(struct run *run, unsigned from, unsigned to, uint8_t how)
{
	static const unsigned all[3] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	unsigned flags = all[how % 3];
	int *at = run->model.at, moved = object_at(run, from), want = want_rename(run, from, to, flags);
	int r = core_try_rename(&run->volume.core, model_names[from], model_names[to], flags);

	WANT(run, r, want);
	if (r < 0 || from == to || at[from] == at[to])
		return;
	at[from] = flags == RENAME_EXCHANGE ? at[to] : -1;
	at[to] = moved;
}

static void op_dir(struct run *run, bool make)
{
	bool empty = true;
	int r;

	for (unsigned i = 3; i < MODEL_NAMES; i++)
		empty &= run->model.at[i] < 0;
	r = make ? core_try_mkdir(&run->volume.core, "d") : core_try_rmdir(&run->volume.core, "d");
	WANT(run, r,
	     make		   ? (run->model.has_dir ? -EEXIST : 0)
	     : !run->model.has_dir ? -ENOENT
	     : empty		   ? 0
				   : -ENOTEMPTY);
	if (r < 0)
		return;
	run->model.has_dir = make;
	for (unsigned i = 3; i < MODEL_NAMES; i++)
		run->model.at[i] = -1;
}

static void op_attribute(struct run *run, unsigned name)
{
	uint8_t value[32];
	int r;
	struct xtsfs_node *node = core_node(&run->volume.core, model_names[name], NULL, &r);

	if (!node)
		return;
	memset(value, ++run->seed, sizeof(value));
	r = xtsfs_setxattr(run->volume.core.volume, node, "user.test", value, sizeof(value), 0);
	WANT(run, r, 0);
	core_forget(&run->volume.core, node);
}

/* ---- content ---- */

/* Where an operation on content goes: an open file, or one by its name. NULL if there is none. */
static struct xtsfs_node *content_node(struct run *run, uint8_t which, int *ret_object, struct handle **ret_handle)
{
	unsigned name = which % MODEL_NAMES;
	struct handle *handle = &run->handles[which / MODEL_NAMES % HANDLES];
	int r;

	*ret_handle = which & 128 && handle->node && handle->for_write ? handle : NULL;
	if (*ret_handle) {
		*ret_object = handle->object;
		return handle->node;
	}
	*ret_object = object_at(run, name);
	if (*ret_object >= 0 && run->model.objects[*ret_object].is_link)
		return NULL;
	return core_node(&run->volume.core, model_names[name], NULL, &r);
}

static void content_done(struct run *run, struct xtsfs_node *node, const struct handle *handle)
{
	if (!handle)
		core_forget(&run->volume.core, node);
}

static void op_write(struct run *run, uint8_t which)
{
	struct handle *handle;
	int object;
	struct xtsfs_node *node = content_node(run, which, &object, &handle);
	uint64_t now = object >= 0 ? run->model.objects[object].bytes : 5000;
	uint64_t offset = fuzz_offset(&run->input, now, MODEL_MOST - 1), bytes = fuzz_number(&run->input, 2) % 16384;
	uint8_t seed = ++run->seed, *data;
	ssize_t n;

	if (offset + bytes > MODEL_MOST)
		bytes = MODEL_MOST - offset;
	if (!node || bytes == 0) {
		content_done(run, node, handle);
		return;
	}
	data = malloc(bytes);
	model_pattern(seed, offset, data, bytes);
	n = xtsfs_write(run->volume.core.volume, node, data, bytes, offset);
	WANT(run, n, (ssize_t)bytes);
	if (exact(run)) {
		model_apply_write(&run->model, object, seed, offset, bytes);
	} else {
		model_raise(&run->model, MODEL_MIXED);
		model_note_write(&run->model, -1, seed, offset, bytes);
	}
	free(data);
	content_done(run, node, handle);
}

static void op_truncate(struct run *run, uint8_t which)
{
	struct xtsfs_setattr set = {.size_set = true, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	struct handle *handle;
	int object, r;
	struct xtsfs_node *node = content_node(run, which, &object, &handle);
	struct stat st;

	set.plain_bytes = fuzz_offset(&run->input, object >= 0 ? run->model.objects[object].bytes : 5000, MODEL_MOST);
	if (!node)
		return;
	r = xtsfs_setattr(run->volume.core.volume, node, &set, &st);
	WANT(run, r, 0);
	if (exact(run))
		model_resize(&run->model, object, set.plain_bytes);
	else
		model_raise(&run->model, MODEL_MIXED);
	content_done(run, node, handle);
}

static void op_fallocate(struct run *run, uint8_t which)
{
	static const int modes[4] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0};
	uint8_t kind = fuzz_byte(&run->input) % 4;
	struct handle *handle;
	int object, r;
	struct xtsfs_node *node = content_node(run, which, &object, &handle);
	uint64_t now = object >= 0 ? run->model.objects[object].bytes : 5000;
	uint64_t offset = fuzz_offset(&run->input, now, MODEL_MOST - 1), bytes = 1 + fuzz_number(&run->input, 2);

	if (offset + bytes > MODEL_MOST)
		bytes = MODEL_MOST - offset;
	if (!node)
		return;
	r = xtsfs_fallocate(run->volume.core.volume, node, modes[kind], offset, bytes);
	WANT(run, r, 0);
	if (exact(run)) {
		if (kind != 3)
			model_zero(&run->model, object, offset, bytes);
		if ((kind == 1 || kind == 3) && offset + bytes > now)
			model_resize(&run->model, object, offset + bytes);
	} else {
		model_raise(&run->model, MODEL_MIXED);
	}
	content_done(run, node, handle);
}

static void op_sync(struct run *run, uint8_t which)
{
	struct handle *handle;
	int object, r;
	struct xtsfs_node *node = content_node(run, which, &object, &handle);

	if (!node)
		return;
	r = xtsfs_fsync(run->volume.core.volume, node, false);
	WANT(run, r, 0);
	content_done(run, node, handle);
}

static void op_handle(struct run *run, uint8_t which)
{
	struct handle *handle = &run->handles[which / MODEL_NAMES % HANDLES];
	unsigned name = which % MODEL_NAMES;
	int object = object_at(run, name), r;
	struct xtsfs_node *node;

	if (handle->node) {
		if (exact(run))
			look_at(run, handle->node, handle->object);
		xtsfs_release(run->volume.core.volume, handle->node, handle->for_write);
		core_forget(&run->volume.core, handle->node);
		handle->node = NULL;
		return;
	}
	if (object >= 0 && run->model.objects[object].is_link)
		return;
	node = core_node(&run->volume.core, model_names[name], NULL, &r);
	if (!node)
		return;
	r = xtsfs_open(run->volume.core.volume, node, which & 64);
	WANT(run, r, 0);
	if (r < 0) {
		core_forget(&run->volume.core, node);
		return;
	}
	*handle = (struct handle){.node = node, .object = object, .for_write = which & 64};
}

/* ---- the attacker ---- */

static void attacked(struct run *run, enum attack_kind kind, bool offline)
{
	if (kind == ATTACK_FORGE)
		model_raise(&run->model, MODEL_LOST);
	else if (kind == ATTACK_REPLAY || !offline || run->unclean)
		model_raise(&run->model, MODEL_MIXED);
	else
		model_raise(&run->model, MODEL_EDITED);
}

static void op_attack(struct run *run, uint8_t how)
{
	bool offline = how & 1;
	unsigned count = 1 + how / 2U % 4;

	if (offline)
		close_volume(run);
	while (count-- && run->input.left)
		attacked(run, attack(&run->volume, &run->input, run->snapshot), offline);
}

static void op_snapshot(struct run *run, bool put_back)
{
	struct xtsfs_store *clone;

	if (!put_back) {
		if (run->snapshot)
			xtsfs_store_free(run->snapshot);
		FUZZ_CHECK(xtsfs_memory_clone(run->volume.store, &run->snapshot) == 0, "memory");
		return;
	}
	if (!run->snapshot)
		return;
	close_volume(run);
	FUZZ_CHECK(xtsfs_memory_clone(run->snapshot, &clone) == 0, "memory");
	xtsfs_store_free(run->volume.store);
	run->volume.store = run->volume.core.store = clone;
	model_raise(&run->model, MODEL_MIXED);
}

/* ---- the program ---- */

static void one_operation(struct run *run)
{
	uint8_t kind = fuzz_byte(&run->input), which = fuzz_byte(&run->input);
	unsigned name = which % MODEL_NAMES, other = which / MODEL_NAMES % MODEL_NAMES;

	switch (kind % 24) {
	case 0:
	case 1:
		op_create(run, name, false);
		break;
	case 2:
		op_unlink(run, name);
		break;
	case 3:
	case 4:
	case 5:
		op_write(run, which);
		break;
	case 6:
		op_truncate(run, which);
		break;
	case 7:
		op_fallocate(run, which);
		break;
	case 8:
		op_sync(run, which);
		break;
	case 9:
		op_handle(run, which);
		break;
	case 10:
		op_rename(run, name, other, which / 36);
		break;
	case 11:
		op_link(run, name, other);
		break;
	case 12:
		op_dir(run, !(which & 64));
		break;
	case 13:
		op_create(run, name, true);
		break;
	case 14:
		op_attribute(run, name);
		break;
	case 15:
		look_at_name(run, name);
		break;
	case 16:
		close_volume(run);
		break;
	case 17:
		op_kill(run);
		break;
	case 18:
	case 19:
	case 20:
		op_attack(run, which);
		break;
	case 21:
		op_snapshot(run, which & 1);
		break;
	case 22:
		op_fsck(run, (enum fuzz_fsck)(which % FUZZ_FSCK__COUNT));
		break;
	default:
		WANT(run, xtsfs_commit_old(run->volume.core.volume, 0), 0);
	}
}

static void prepare_file(struct run *run, unsigned name, uint64_t offset, uint64_t bytes)
{
	struct core *core = &run->volume.core;
	int object = model_new(&run->model, false);
	uint8_t *data = malloc(bytes);

	model_pattern(++run->seed, offset, data, bytes);
	FUZZ_CHECK(core_try_create(core, model_names[name]) == 0 &&
			   core_try_write(core, model_names[name], data, bytes, offset) == (ssize_t)bytes,
		   "making %s", model_names[name]);
	model_apply_write(&run->model, object, run->seed, offset, bytes);
	run->model.at[name] = object;
	free(data);
}

/* Something to work on: files in sectors, inline, sparse, in a directory, and a symlink. */
static void prepare(struct run *run)
{
	char target[XTSFS_SYMLINK_MAX + 1];

	prepare_file(run, 0, 0, 9000);
	prepare_file(run, 1, 0, 700);
	prepare_file(run, 2, 124 * CORE_B + 100, 3000);
	FUZZ_CHECK(core_try_mkdir(&run->volume.core, "d") == 0, "making the directory");
	run->model.has_dir = true;
	prepare_file(run, 3, 0, 4096 + 4090);
	model_target(1, target);
	FUZZ_CHECK(core_try_symlink(&run->volume.core, target, model_names[4]) == 0, "making the symlink");
	run->model.at[4] = model_new(&run->model, true);
	run->model.objects[run->model.at[4]].target = 1;
}

static void finish(struct run *run, uint8_t mode)
{
	enum fuzz_fsck last = (enum fuzz_fsck)(1 + mode / 64 % 3);
	struct xtsfs_fsck_totals totals;

	op_fsck(run, FUZZ_FSCK_CHECK);
	totals.left = 0;
	fuzz_fsck_and_again(&run->volume, last, &totals);
	if (!exact(run))
		model_raise(&run->model, last == FUZZ_FSCK_SALVAGE ? MODEL_LOST : MODEL_MIXED);
	run->unclean = false;
	if (open_volume(run)) {
		look_at_all(run);
		close_volume(run);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct run run = {0};
	uint8_t mode = bytes ? data[0] : 0;
	bool opened;

	fuzz_volume_begin(&run.volume, (enum xtsfs_integrity)(mode % 4 % 3));
	run.input = fuzz_begin(data, bytes);
	(void)fuzz_byte(&run.input);
	run.volume.core.waiting_bytes = mode & 4 ? 1U << 20 : 0;
	run.model.with_tags = run.volume.core.conf->config->integrity != XTSFS_INTEGRITY_NONE;
	for (unsigned i = 0; i < MODEL_NAMES; i++)
		run.model.at[i] = -1;
	opened = open_volume(&run);
	if (opened && !(mode & 8))
		prepare(&run);
	for (unsigned i = 0; opened && run.input.left && i < OPERATIONS; i++) {
		one_operation(&run);
		if (!run.volume.core.volume) {
			opened = open_volume(&run);
			if (opened)
				look_at_all(&run);
		}
	}
	close_volume(&run);
	finish(&run, mode);
	if (run.snapshot)
		xtsfs_store_free(run.snapshot);
	model_done(&run.model);
	fuzz_volume_end(&run.volume);
	return 0;
}
