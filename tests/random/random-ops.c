/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets and lengths are chosen around what the format makes special: sectors, groups, the tail classes, the largest
 * inline file, and the end of the file.
 */
#undef NDEBUG
#include "random-ops.h"

#include "format/ondisk.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[OP__COUNT] = {"write",	  "append",   "read",	       "truncate", "punch", "zero",
					     "zero-keep", "allocate", "allocate-keep", "seek",	   "fsync", "open",
					     "remove",	  "exchange", "check",	       "remount",  "kill"};

/* The third name is a long one. */
const char *run_path(unsigned file)
{
	static char long_name[200];

	if (!long_name[0])
		memset(long_name, 'n', sizeof(long_name) - 1);
	return file == 0 ? "a" : file == 1 ? "b" : long_name;
}

static uint64_t next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 2685821657736338717ULL;
}

static uint64_t below(uint64_t *rng, uint64_t limit)
{
	return limit ? (next(rng) >> 11) % limit : 0;
}

static uint64_t random_offset(uint64_t *rng, uint64_t size)
{
	static const uint64_t group = 124U * CORE_B;
	int64_t at, slack = (int64_t)below(rng, 40) - 20;

	switch (below(rng, 8)) {
	case 0:
		at = (int64_t)(below(rng, 4) * group) + slack;
		break;
	case 1:
		at = (int64_t)(below(rng, 3) * group + below(rng, 4) * CORE_B) + slack;
		break;
	case 2:
		at = (int64_t)size + slack;
		break;
	case 3:
		at = (int64_t)(size - size % CORE_B + 4080) + slack;
		break;
	case 4:
		at = (int64_t)XTSFS_INLINE_MAX + slack;
		break;
	case 5:
		at = (int64_t)below(rng, 5000);
		break;
	case 6:
		at = (int64_t)below(rng, size + 1);
		break;
	default:
		at = (int64_t)below(rng, MODEL_MAX);
	}
	return at < 0 ? 0 : at > (int64_t)MODEL_MAX ? MODEL_MAX : (uint64_t)at;
}

static uint64_t random_bytes(uint64_t *rng)
{
	switch (below(rng, 6)) {
	case 0:
		return 1 + below(rng, 20);
	case 1:
		return 4076 + below(rng, 40);
	case 2:
		return CORE_B * (1 + below(rng, 4));
	case 3:
		return 1 + below(rng, 200000);
	case 4:
		return 1 + below(rng, 3 * CORE_B);
	default:
		return 1 + below(rng, 5000);
	}
}

struct op op_random(uint64_t *rng, const struct run *run, bool kills)
{
	static const uint8_t weights[OP__COUNT] = {30, 14, 14, 14, 9, 5, 5, 4, 3, 6, 7, 8, 2, 2, 1, 2, 2};
	struct op op = {.file = (unsigned)below(rng, MODEL_FILES)};
	unsigned total = 0, at;

	for (unsigned i = 0; i < OP__COUNT; i++)
		total += i == OP_KILL && !kills ? 0 : weights[i];
	at = (unsigned)below(rng, total);
	while (at >= weights[op.kind])
		at -= weights[op.kind++];
	op.offset = op.kind == OP_APPEND ? run->files[op.file].bytes : random_offset(rng, run->files[op.file].bytes);
	op.bytes = random_bytes(rng);
	op.seed = 1 + below(rng, 1000);
	if (op.offset + op.bytes > MODEL_MAX)
		op.bytes = MODEL_MAX - op.offset;
	return op;
}

void op_print(const struct op *op)
{
	fprintf(stderr, "  {OP %s, file %u, offset %llu, bytes %llu, seed %llu}\n", names[op->kind], op->file,
		(unsigned long long)op->offset, (unsigned long long)op->bytes, (unsigned long long)op->seed);
}

__attribute__((format(printf, 2, 3))) static int fail(struct run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->why, sizeof(run->why), format, args);
	va_end(args);
	return -1;
}

static struct xtsfs_node *node_of(struct run *run, unsigned file)
{
	if (run->files[file].node)
		return run->files[file].node;
	return core_node(&run->core, run_path(file), NULL, &run->error);
}

static void node_done(struct run *run, unsigned file, struct xtsfs_node *node)
{
	if (!run->files[file].node)
		core_forget(&run->core, node);
}

static void release(struct run *run, unsigned file)
{
	if (run->files[file].node) {
		xtsfs_release(run->core.volume, run->files[file].node, run->files[file].for_write);
		core_forget(&run->core, run->files[file].node);
		run->files[file].node = NULL;
	}
}

static int compare(struct run *run, unsigned file, const uint8_t *data, uint64_t offset, uint64_t bytes)
{
	const uint8_t *want = run->files[file].data + offset;

	for (uint64_t i = 0; i < bytes; i++)
		if (data[i] != want[i])
			return fail(run, "file %u: byte %llu is %02x, should be %02x", file,
				    (unsigned long long)(offset + i), data[i], want[i]);
	return 0;
}

static int read_and_compare(struct run *run, unsigned file, uint64_t offset, uint64_t bytes)
{
	struct model_file *model = &run->files[file];
	uint64_t want = offset >= model->bytes ? 0 : model->bytes - offset < bytes ? model->bytes - offset : bytes;
	struct xtsfs_node *node = node_of(run, file);
	uint8_t *data = malloc(bytes + 1);
	struct stat st;
	ssize_t n;
	int r;

	assert(data);
	if (!node) {
		free(data);
		return fail(run, "file %u cannot be found: %d", file, run->error);
	}
	r = xtsfs_getattr(run->core.volume, node, &st);
	n = r < 0 ? r : xtsfs_read(run->core.volume, node, data, bytes, offset);
	node_done(run, file, node);
	run->error = n < 0 ? (int)n : 0;
	if (r < 0 || (uint64_t)st.st_size != model->bytes)
		r = fail(run, "file %u: getattr %d, size %lld, should be %llu", file, r, (long long)st.st_size,
			 (unsigned long long)model->bytes);
	else if (n != (ssize_t)want)
		r = fail(run, "file %u: read %zd of %llu", file, n, (unsigned long long)want);
	else
		r = compare(run, file, data, offset, want);
	free(data);
	return r;
}

static int check_all(struct run *run)
{
	for (unsigned file = 0; file < MODEL_FILES; file++)
		if (read_and_compare(run, file, 0, MODEL_MAX) < 0)
			return -1;
	return 0;
}

static int do_write(struct run *run, const struct op *op)
{
	struct model_file *model = &run->files[op->file];
	struct xtsfs_node *node = node_of(run, op->file);
	uint8_t *data = malloc(op->bytes + 1);
	ssize_t n;

	assert(data);
	core_pattern(op->seed, op->offset, data, op->bytes);
	n = node ? xtsfs_write(run->core.volume, node, data, op->bytes, op->offset) : run->error;
	run->error = n < 0 || n < (ssize_t)op->bytes ? (int)n : 0;
	if ((n == (ssize_t)op->bytes || run->faulty) && op->bytes) {
		memcpy(model->data + op->offset, data, op->bytes);
		if (op->offset + op->bytes > model->bytes)
			model->bytes = op->offset + op->bytes;
	}
	free(data);
	node_done(run, op->file, node);
	return n == (ssize_t)op->bytes ? 0 : fail(run, "write gave %zd", n);
}

static void model_resize(struct model_file *model, uint64_t bytes)
{
	if (bytes < model->bytes)
		memset(model->data + bytes, 0, model->bytes - bytes);
	model->bytes = bytes;
}

static int do_truncate(struct run *run, const struct op *op)
{
	const struct xtsfs_setattr set = {.size_set = true,
					  .plain_bytes = op->offset,
					  .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	struct xtsfs_node *node = node_of(run, op->file);
	struct stat st;
	int r = node ? xtsfs_setattr(run->core.volume, node, &set, &st) : run->error;

	node_done(run, op->file, node);
	run->error = r;
	if (r == 0 || run->faulty)
		model_resize(&run->files[op->file], op->offset);
	return r < 0 ? fail(run, "truncate gave %d", r) : 0;
}

static int do_fallocate(struct run *run, const struct op *op)
{
	static const int modes[OP__COUNT] = {
		[OP_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		[OP_ZERO] = FALLOC_FL_ZERO_RANGE,
		[OP_ZERO_KEEP] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		[OP_ALLOCATE_KEEP] = FALLOC_FL_KEEP_SIZE,
	};
	struct model_file *model = &run->files[op->file];
	struct xtsfs_node *node = node_of(run, op->file);
	uint64_t end = op->offset + op->bytes;
	int r = node ? xtsfs_fallocate(run->core.volume, node, modes[op->kind], op->offset, op->bytes) : run->error;

	node_done(run, op->file, node);
	run->error = r;
	if (op->bytes == 0)
		return r == -EINVAL ? 0 : fail(run, "fallocate of nothing gave %d", r);
	if (r < 0 && !run->faulty)
		return fail(run, "fallocate gave %d", r);
	if (op->kind != OP_ALLOCATE && op->kind != OP_ALLOCATE_KEEP)
		memset(model->data + op->offset, 0, op->bytes);
	if ((op->kind == OP_ZERO || op->kind == OP_ALLOCATE) && end > model->bytes)
		model_resize(model, end);
	return r < 0 ? fail(run, "fallocate gave %d", r) : 0;
}

static int check_zero(struct run *run, unsigned file, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		if (run->files[file].data[i])
			return fail(run, "file %u: byte %llu is said to be in a hole", file, (unsigned long long)i);
	return 0;
}

static int do_seek(struct run *run, const struct op *op)
{
	const struct model_file *model = &run->files[op->file];
	struct xtsfs_node *node = node_of(run, op->file);
	int64_t data = node ? xtsfs_seek(run->core.volume, node, op->offset, SEEK_DATA) : run->error;
	int64_t hole = node ? xtsfs_seek(run->core.volume, node, op->offset, SEEK_HOLE) : run->error;
	uint64_t sector_end;

	node_done(run, op->file, node);
	run->error = (int)(data < 0 && data != -ENXIO ? data : hole < 0 && hole != -ENXIO ? hole : 0);
	if (run->error < 0)
		return fail(run, "seek gave %d", run->error);
	if (op->offset >= model->bytes)
		return data == -ENXIO && hole == -ENXIO ? 0 : fail(run, "seek past the end gave %lld", (long long)data);
	if (data == -ENXIO)
		data = (int64_t)model->bytes;
	else if (data < (int64_t)op->offset || data >= (int64_t)model->bytes)
		return fail(run, "SEEK_DATA gave %lld", (long long)data);
	if (hole < (int64_t)op->offset || hole > (int64_t)model->bytes)
		return fail(run, "SEEK_HOLE gave %lld", (long long)hole);
	sector_end = ((uint64_t)hole / CORE_B + 1) * CORE_B;
	if (sector_end > model->bytes)
		sector_end = model->bytes;
	if (check_zero(run, op->file, op->offset, (uint64_t)data) < 0)
		return -1;
	return check_zero(run, op->file, (uint64_t)hole, sector_end);
}

static int do_open(struct run *run, const struct op *op)
{
	struct model_file *model = &run->files[op->file];
	int r;

	if (model->node) {
		release(run, op->file);
		return 0;
	}
	model->node = core_node(&run->core, run_path(op->file), NULL, &r);
	if (r == 0) {
		model->for_write = op->seed % 2;
		r = xtsfs_open(run->core.volume, model->node, model->for_write);
		if (r < 0) {
			core_forget(&run->core, model->node);
			model->node = NULL;
		}
	}
	run->error = r;
	return r < 0 ? fail(run, "open gave %d", r) : 0;
}

static int do_names(struct run *run, const struct op *op)
{
	unsigned other = (op->file + 1) % MODEL_FILES;
	struct model_file *model = run->files, swap;
	int r;

	if (op->kind == OP_REMOVE) {
		release(run, op->file);
		r = core_try_unlink(&run->core, run_path(op->file));
		if (r == 0)
			r = core_try_create(&run->core, run_path(op->file));
		model_resize(&model[op->file], 0);
	} else {
		r = core_try_rename(&run->core, run_path(op->file), run_path(other), RENAME_EXCHANGE);
		if (r == 0) {
			swap = model[op->file];
			model[op->file] = model[other];
			model[other] = swap;
		}
	}
	run->error = r;
	return r < 0 ? fail(run, "%s gave %d", names[op->kind], r) : 0;
}

static int remount(struct run *run)
{
	const struct xtsfs_volume_params params = {
		.engine = run->core.engine, .threads = 2, .fds = 64, .waiting_bytes = run->core.waiting_bytes};
	int r;

	for (unsigned file = 0; file < MODEL_FILES; file++)
		release(run, file);
	r = core_try_close(&run->core);
	if (run->faulty)
		xtsfs_faulty_arm(run->faulty, &(struct xtsfs_fault){0});
	if (r < 0 && !run->may_fail_to_close)
		return fail(run, "closing the volume gave %d", r);
	r = core_try_open(&run->core, &params);
	if (r < 0)
		return fail(run, "opening the volume gave %d: %s", r, run->core.problem);
	return run->may_lose ? 0 : check_all(run);
}

/* The old volume is closed on the old store, which nobody looks at any more. */
static int do_kill(struct run *run)
{
	struct xtsfs_store *old = run->owned, *clone;

	if (!old)
		return 0;
	assert(xtsfs_memory_clone(old, &clone) == 0);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		release(run, file);
	(void)core_try_close(&run->core);
	xtsfs_store_free(old);
	run->owned = run->core.store = clone;
	core_open(&run->core);
	return check_all(run);
}

int run_op(struct run *run, const struct op *op)
{
	int r;

	switch (op->kind) {
	case OP_WRITE:
	case OP_APPEND:
		return do_write(run, op);
	case OP_READ:
		return read_and_compare(run, op->file, op->offset, op->bytes);
	case OP_TRUNCATE:
		return do_truncate(run, op);
	case OP_PUNCH:
	case OP_ZERO:
	case OP_ZERO_KEEP:
	case OP_ALLOCATE:
	case OP_ALLOCATE_KEEP:
		return do_fallocate(run, op);
	case OP_SEEK:
		return do_seek(run, op);
	case OP_FSYNC:
		r = run->error = core_try_fsync(&run->core, run_path(op->file));
		return r < 0 ? fail(run, "fsync gave %d", r) : 0;
	case OP_OPEN:
		return do_open(run, op);
	case OP_REMOVE:
	case OP_EXCHANGE:
		return do_names(run, op);
	case OP_CHECK:
		return check_all(run);
	case OP_REMOUNT:
		return remount(run);
	default:
		return do_kill(run);
	}
}

int run_end(struct run *run)
{
	int r = run->core.volume ? remount(run) : 0;

	if (r == 0 && run->core.volume && core_try_close(&run->core) < 0 && !run->may_fail_to_close)
		r = fail(run, "closing the volume at the end failed");
	return r;
}

void run_begin(struct run *run, enum xtsfs_integrity integrity, unsigned content_keys, const char *posix_path)
{
	struct xtsfs_store *store;

	*run = (struct run){0};
	if (posix_path)
		assert(xtsfs_store_posix_new(posix_path, &store) == 0);
	else
		assert(xtsfs_store_memory_new(&store) == 0);
	if (!posix_path)
		run->owned = store;
	core_init(&run->core, integrity, content_keys);
	core_format(&run->core, store);
	core_open(&run->core);
	for (unsigned file = 0; file < MODEL_FILES; file++) {
		run->files[file].data = calloc(1, MODEL_MAX);
		assert(run->files[file].data && core_try_create(&run->core, run_path(file)) == 0);
	}
}

void run_make_faulty(struct run *run)
{
	core_close(&run->core);
	assert(xtsfs_store_faulty_new(run->owned, &run->faulty) == 0);
	run->core.store = run->faulty;
	core_open(&run->core);
}

int run_adopt(struct run *run, const struct core *core)
{
	int r = 0;

	*run = (struct run){.core = *core, .owned = core->store};
	for (unsigned file = 0; file < MODEL_FILES; file++) {
		struct model_file *model = &run->files[file];
		const struct op remove = {.kind = OP_REMOVE, .file = file};
		uint8_t *data = NULL;
		ssize_t n = core_try_read(&run->core, run_path(file), &data);

		model->data = calloc(1, MODEL_MAX);
		assert(model->data && n <= (ssize_t)MODEL_MAX);
		if (n >= 0) {
			memcpy(model->data, data, (size_t)n);
			model->bytes = (uint64_t)n;
		} else if (r == 0) {
			r = run_op(run, &remove);
		}
		free(data);
	}
	return r;
}

struct xtsfs_volume *run_give_back(struct run *run)
{
	for (unsigned file = 0; file < MODEL_FILES; file++) {
		if (run->core.volume)
			release(run, file);
		free(run->files[file].data);
	}
	return run->core.volume;
}

void run_free(struct run *run)
{
	struct xtsfs_store *store = run->owned ? run->owned : run->core.store;

	if (run->faulty)
		xtsfs_faulty_arm(run->faulty, &(struct xtsfs_fault){0});
	(void)run_give_back(run);
	(void)core_try_close(&run->core);
	core_fini(&run->core);
	xtsfs_store_free(run->faulty);
	xtsfs_store_free(store);
}
