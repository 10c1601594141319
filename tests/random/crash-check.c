/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "crash-check.h"

#include "recover.h"

#include "format/ondisk.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct point {
	struct crash *crash;
	const struct op *op;
	size_t call;
	unsigned cut;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct point *point, const char *format, ...)
{
	char call[128] = "", *why = point->crash->run->why;
	size_t room = sizeof(point->crash->run->why), used;
	va_list args;

	if (point->call < xtsfs_memory_calls(point->crash->run->owned))
		xtsfs_memory_describe(point->crash->run->owned, point->call, call, sizeof(call));
	used = (size_t)snprintf(why, room, "killed in call %zu (%s) cut %u: ", point->call, call, point->cut);
	va_start(args, format);
	if (used < room)
		vsnprintf(why + used, room - used, format, args);
	va_end(args);
	return -1;
}

static int check_content(const struct point *point, unsigned file, const uint8_t *data, uint64_t bytes)
{
	bool none = point->crash->run->core.conf->config->integrity == XTSFS_INTEGRITY_NONE;
	const struct history *history = &point->crash->files[file];
	char why[160];

	if (content_is_among(history->versions, history->count, data, bytes, none, why, sizeof(why)))
		return 0;
	return fail(point, "file %u: %s", file, why);
}

/* Goes on writing after the crash, and reads back, also after closing and opening. */
static int use(const struct point *point, struct core *core, unsigned file, struct content *now)
{
	const char *path = run_path(file);
	static const uint64_t sizes[] = {5000, 90, 4096};
	uint64_t bytes = sizes[(point->call + file) % 3], middle = now->bytes / 2, part;
	uint8_t *data = NULL;
	ssize_t n;

	now->data = realloc(now->data, now->bytes + bytes + 1);
	assert(now->data);
	part = now->bytes - middle < 300 ? now->bytes - middle : 300;
	core_pattern(7777, middle, now->data + middle, part);
	if (part && core_try_write(core, path, now->data + middle, part, middle) != (ssize_t)part)
		return fail(point, "file %u: cannot overwrite afterwards", file);
	core_pattern(8888, now->bytes, now->data + now->bytes, bytes);
	n = core_try_write(core, path, now->data + now->bytes, bytes, now->bytes);
	if (n != (ssize_t)bytes)
		return fail(point, "file %u: appending afterwards gave %zd", file, n);
	now->bytes += bytes;
	n = core_try_read(core, path, &data);
	if (n != (ssize_t)now->bytes || memcmp(data, now->data, now->bytes) != 0)
		n = fail(point, "file %u: reading back afterwards: %zd of %llu", file, n,
			 (unsigned long long)now->bytes);
	free(data);
	return n < 0 ? -1 : 0;
}

static int look_at_file(const struct point *point, struct core *core, unsigned file, bool *ret_missing,
			struct content *ret_now)
{
	ssize_t n = core_try_read(core, run_path(file), &ret_now->data);

	*ret_missing = n == -ENOENT && point->op->kind == OP_REMOVE && point->op->file == file;
	if (*ret_missing)
		return 0;
	if (n < 0)
		return fail(point, "file %u cannot be read: %zd", file, n);
	ret_now->bytes = (uint64_t)n;
	if (check_content(point, file, ret_now->data, ret_now->bytes) < 0)
		return -1;
	return use(point, core, file, ret_now);
}

/* Takes @store. */
static int look(const struct point *point, struct xtsfs_store *store)
{
	struct core core = point->crash->run->core;
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 64, .waiting_bytes = core.waiting_bytes};
	struct content now[MODEL_FILES] = {0};
	bool missing[MODEL_FILES] = {0};
	int r;

	point->crash->points++;
	core.store = store;
	core.volume = NULL;
	r = core_try_open(&core, &params);
	if (r < 0) {
		r = fail(point, "the volume does not open: %d, %s", r, core.problem);
	} else {
		for (unsigned file = 0; r == 0 && file < MODEL_FILES; file++)
			r = look_at_file(point, &core, file, &missing[file], &now[file]);
		if (core_try_close(&core) < 0 && r == 0)
			r = fail(point, "the volume does not close");
	}
	if (r == 0)
		core_open(&core);
	for (unsigned file = 0; r == 0 && file < MODEL_FILES; file++) {
		uint8_t *data = NULL;
		ssize_t n = core_try_read(&core, run_path(file), &data);

		if (!missing[file] && (n != (ssize_t)now[file].bytes || memcmp(data, now[file].data, now[file].bytes)))
			r = fail(point, "file %u: reading back after another opening: %zd of %llu", file, n,
				 (unsigned long long)now[file].bytes);
		free(data);
	}
	(void)core_try_close(&core);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		free(now[file].data);
	xtsfs_store_free(store);
	return r;
}

static int look_again(void *data, struct xtsfs_store *store)
{
	return look(data, store);
}

/* What a kill leaves, fsck settles, and nothing is lost by that. */
static int look_after_fsck(struct point *point, const struct xtsfs_store *state)
{
	struct crash *crash = point->crash;
	struct recovery recovery = {.like = &crash->run->core,
				    .every = crash->repairs,
				    .look = look_again,
				    .data = point,
				    .calls = crash->repair_calls};
	int r = recover(&recovery, state);

	crash->repair_calls = recovery.calls;
	crash->repair_stops += recovery.stops;
	return r < 0 && recovery.why[0] ? fail(point, "%s", recovery.why) : r;
}

static int look_at_call(struct crash *crash, struct point *point)
{
	struct xtsfs_store *clone, *source = crash->run->owned;
	unsigned cuts = xtsfs_memory_cuts(source, point->call);
	int r = 0;

	for (unsigned cut = 1; r == 0 && cut <= cuts; cut++) {
		if (cut > 2 && cut < cuts && (cut + point->call) % crash->every)
			continue;
		point->cut = cut;
		assert(xtsfs_memory_clone(crash->replayed, &clone) == 0);
		assert(xtsfs_memory_replay(clone, source, point->call, cut) == 0);
		if (cut == 1)
			r = look_after_fsck(point, clone);
		if (r == 0)
			r = look(point, clone);
		else
			xtsfs_store_free(clone);
	}
	point->cut = 0;
	assert(xtsfs_memory_replay(crash->replayed, source, point->call, 0) == 0);
	if (r == 0)
		r = look_after_fsck(point, crash->replayed);
	if (r == 0) {
		assert(xtsfs_memory_clone(crash->replayed, &clone) == 0);
		r = look(point, clone);
	}
	return r;
}

/* The last is all that is left, where nothing waits; and what a sync or a close has seen to. */
static void forget(struct crash *crash, const struct op *op)
{
	for (unsigned file = 0; file < MODEL_FILES; file++) {
		const struct model_file *model = &crash->run->files[file];

		if (crash->run->core.waiting_bytes && op->kind != OP_REMOUNT &&
		    (op->kind != OP_FSYNC || op->file != file))
			continue;
		history_clear(&crash->files[file]);
		history_add(&crash->files[file], model->data, model->bytes);
	}
}

void crash_begin(struct crash *crash, struct run *run)
{
	const struct op all = {.kind = OP_REMOUNT};

	*crash = (struct crash){.run = run, .every = 1};
	assert(run->owned && xtsfs_memory_clone(run->owned, &crash->replayed) == 0);
	xtsfs_memory_record(run->owned);
	forget(crash, &all);
}

int crash_op(struct crash *crash, const struct op *op)
{
	int r = run_op(crash->run, op);

	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_add(&crash->files[file], crash->run->files[file].data, crash->run->files[file].bytes);
	while (r == 0 && crash->calls < xtsfs_memory_calls(crash->run->owned)) {
		struct point point = {.crash = crash, .op = op, .call = crash->calls++};

		if (!xtsfs_memory_is_sync(crash->run->owned, point.call))
			r = look_at_call(crash, &point);
	}
	forget(crash, op);
	return r;
}

void crash_end(struct crash *crash)
{
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_clear(&crash->files[file]);
	xtsfs_store_free(crash->replayed);
}
