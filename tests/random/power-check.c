/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "power-check.h"

#include "core/fsck.h"
#include "format/ondisk.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GO_ON_OPS 5U

__attribute__((format(printf, 2, 3))) static int fail(struct power *power, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(power->run->why, sizeof(power->run->why), format, args);
	va_end(args);
	return -1;
}

bool power_fits(const struct op *op)
{
	return op->kind != OP_REMOVE && op->kind != OP_EXCHANGE && op->kind != OP_KILL;
}

/* ---- versions ---- */

static void version_add(struct power *power, unsigned file)
{
	history_add(&power->versions[file], power->run->files[file].data, power->run->files[file].bytes);
}

/* ---- one cut ---- */

/* Does the part equal that of a version, as if that went on with zeros? */
static bool is_of(const struct content *version, const uint8_t *data, uint64_t start, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (data[i] != (start + i < version->bytes ? version->data[start + i] : 0))
			return false;
	return true;
}

static bool is_legal(struct power *power, unsigned file, const uint8_t *data, uint64_t start, uint64_t bytes)
{
	for (unsigned v = 0; v < power->versions[file].count; v++)
		if (is_of(&power->versions[file].versions[v], data, start, bytes))
			return true;
	return false;
}

static int check_sector(struct power *power, unsigned file, const uint8_t *data, uint64_t start, uint64_t bytes)
{
	bool none = power->run->core.conf->config->integrity == XTSFS_INTEGRITY_NONE;
	uint64_t unit = none ? 16 : bytes; /* without tags a tail may be old and new in part */

	for (uint64_t at = 0; at < bytes; at += unit)
		if (!is_legal(power, file, data + at, start + at, bytes - at < unit ? bytes - at : unit))
			return fail(power, "file %u: byte %llu and behind is of no version since the last sync", file,
				    (unsigned long long)(start + at));
	return 0;
}

static int check_file(struct power *power, struct core *core, unsigned file)
{
	uint64_t low = UINT64_MAX, high = 0;
	struct xtsfs_node *node;
	uint8_t data[CORE_B];
	bool unreadable = false;
	struct stat st;
	int error = 0, r = 0;

	for (unsigned v = 0; v < power->versions[file].count; v++) {
		uint64_t bytes = power->versions[file].versions[v].bytes;

		low = bytes < low ? bytes : low;
		high = bytes > high ? bytes : high;
	}
	node = core_node(core, run_path(file), &st, &error);
	if (!node)
		return fail(power, "file %u is gone: %d", file, error);
	/* Opening it loads it: now the size is the one that holds. */
	r = xtsfs_open(core->volume, node, true);
	if (r == 0) {
		assert(xtsfs_getattr(core->volume, node, &st) == 0);
		/* Half of a long tail's length, and nothing that tells. */
		if (high % CORE_B > XTSFS_SHORT_TAIL_MAX && (uint64_t)st.st_size == (high / CORE_B + 1) * CORE_B)
			high = (uint64_t)st.st_size;
		if ((uint64_t)st.st_size < low || (uint64_t)st.st_size > high)
			r = fail(power, "file %u: size %llu is not from %llu to %llu", file,
				 (unsigned long long)st.st_size, (unsigned long long)low, (unsigned long long)high);
	} else if (power->versions[file].versions[0].bytes) {
		r = fail(power, "file %u cannot be opened: %d", file, r);
	} else {
		power->unreadable++;
		core_forget(core, node);
		return 0;
	}
	for (uint64_t start = 0; r == 0 && start < (uint64_t)st.st_size; start += CORE_B) {
		ssize_t n = xtsfs_read(core->volume, node, data, CORE_B, start);

		if (n >= 0)
			r = check_sector(power, file, data, start, (uint64_t)n);
		else if (start < low)
			r = fail(power, "file %u: byte %llu of %llu (%llu before) gives %zd", file,
				 (unsigned long long)start, (unsigned long long)st.st_size, (unsigned long long)low, n);
		else
			unreadable = true;
	}
	power->unreadable += unreadable;
	xtsfs_release(core->volume, node, true);
	core_forget(core, node);
	return r;
}

static int check_files(struct power *power, struct core *core)
{
	int r = 0;

	for (unsigned file = 0; r == 0 && file < MODEL_FILES; file++)
		r = check_file(power, core, file);
	return r;
}

static void note_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	char *last = data;

	snprintf(last, 128, "%s: %s", finding->code, finding->detail);
}

/* Looks without an engine and without changing anything; repairs; and once more: nothing is left. */
static int mend(struct power *power, struct core *core, enum xtsfs_fsck_damage damage)
{
	struct xtsfs_fsck_totals totals = {0};
	char last[128] = "";

	for (unsigned round = 0; round < 3; round++) {
		const struct xtsfs_volume_params params = {.engine = round ? &xtsfs_engine_user : NULL,
							   .threads = 2,
							   .fds = 64,
							   .repair = true,
							   .read_only = round == 0};
		const struct xtsfs_fsck_options options = {.repair = round > 0,
							   .damage = round ? damage : XTSFS_FSCK_DAMAGE_REPORT,
							   .content_keys = 1,
							   .finding = note_finding,
							   .data = last};

		assert(core_try_open(core, &params) == 0);
		assert(xtsfs_fsck_run(core->volume, &options, &totals) == 0);
		assert(core_try_close(core) == 0);
	}
	return totals.problems ? fail(power, "fsck is not done after mending: %s", last) : 0;
}

static void begin(struct power *power)
{
	assert(xtsfs_memory_clone(power->run->owned, &power->base) == 0);
	xtsfs_memory_record(power->run->owned);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		version_add(power, file);
}

static enum xtsfs_fsck_damage damage_of(const struct power *power, unsigned long unreadable_before)
{
	return power->unreadable > unreadable_before ? XTSFS_FSCK_DAMAGE_ZERO : XTSFS_FSCK_DAMAGE_REPORT;
}

static int reopen_mended(struct power *power, struct core *core, enum xtsfs_fsck_damage damage)
{
	if (core_try_close(core) < 0)
		return fail(power, "the volume does not close");
	if (mend(power, core, damage) < 0)
		return -1;
	core_open(core);
	return 0;
}

/* Somebody goes on, and power is lost once more; or is not, and then it is repaired. Leaves in @core
 * what is open at the end. */
static int go_on(struct power *power, struct core *core)
{
	struct power second = {.rng = power->rng, .cuts = 2, .is_second = true};
	struct run run;
	int r = run_adopt(&run, core);

	second.run = &run;
	if (r == 0)
		begin(&second);
	for (unsigned i = 0; r == 0 && i < GO_ON_OPS; i++) {
		struct op op = op_random(&second.rng, &run, false);

		if (!power_fits(&op))
			continue;
		r = power_op(&second, &op);
		if (r < 0) {
			fail(power, "going on, operation %u (kind %d, file %u, %llu, %llu): %.120s", i, (int)op.kind,
			     op.file, (unsigned long long)op.offset, (unsigned long long)op.bytes, run.why);
		}
	}
	power->rng = second.rng;
	power->points += second.points;
	power->unreadable += second.unreadable;
	power_end(&second);
	if (r == 0) {
		r = run_op(&run, &(struct op){.kind = OP_REMOUNT});
		if (r == 0)
			r = reopen_mended(power, &run.core, XTSFS_FSCK_DAMAGE_REPORT);
		if (r == 0)
			r = run_op(&run, &(struct op){.kind = OP_CHECK});
		if (r < 0 && run.why[0])
			fail(power, "after going on: %.120s", run.why);
	}
	core->volume = run_give_back(&run);
	return r < 0 ? -1 : 0;
}

/* Takes @store. */
static int look(struct power *power, struct xtsfs_store *store)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 64, .waiting_bytes = power->run->core.waiting_bytes};
	struct core core = power->run->core;
	unsigned long unreadable = power->unreadable;
	bool went_on;
	int r;

	power->points++;
	core.store = store;
	core.volume = NULL;
	r = core_try_open(&core, &params);
	if (r < 0)
		r = fail(power, "the volume does not open: %d, %s", r, core.problem);
	else
		r = check_files(power, &core);
	went_on = r == 0 && power->points % 4 == 1 && !power->is_second;
	if (went_on && power->points % 8 == 1)
		r = reopen_mended(power, &core, damage_of(power, unreadable));
	if (r == 0 && went_on)
		r = go_on(power, &core);
	if (core.volume && core_try_close(&core) < 0 && r == 0)
		r = fail(power, "the volume does not close");
	if (r == 0 && power->points % 3 == 0 && !went_on) {
		r = mend(power, &core, damage_of(power, unreadable));
		if (r == 0) {
			core_open(&core);
			r = check_files(power, &core);
			core_close(&core);
		}
	}
	xtsfs_store_free(store);
	return r;
}

static int cut_at(struct power *power, size_t call)
{
	struct xtsfs_store *clone;

	assert(xtsfs_memory_clone(power->base, &clone) == 0);
	assert(xtsfs_memory_power_cut(clone, power->run->owned, call, &power->rng) == 0);
	return look(power, clone);
}

void power_begin(struct power *power, struct run *run, uint64_t seed)
{
	const struct op remount = {.kind = OP_REMOUNT};

	*power = (struct power){.run = run, .rng = seed, .cuts = 6};
	run->core.waiting_bytes = seed % 2 ? 1U << 20 : 0; /* effective from the remount on */
	assert(run->owned && run_op(run, &remount) == 0);
	begin(power);
}

int power_op(struct power *power, const struct op *op)
{
	size_t before = xtsfs_memory_calls(power->run->owned), calls;
	int r = run_op(power->run, op);

	for (unsigned file = 0; file < MODEL_FILES; file++)
		version_add(power, file);
	calls = xtsfs_memory_calls(power->run->owned);
	for (unsigned i = 0; r == 0 && i < power->cuts && calls > before; i++)
		r = cut_at(power, before + 1 + (size_t)(power->rng >> 20) % (calls - before));
	if (r < 0 || (op->kind != OP_FSYNC && op->kind != OP_REMOUNT))
		return r;
	for (unsigned file = 0; file < MODEL_FILES; file++) {
		if (op->kind == OP_FSYNC && file != op->file)
			continue;
		history_clear(&power->versions[file]);
		version_add(power, file);
	}
	for (unsigned i = 0; r == 0 && i < power->cuts; i++)
		r = cut_at(power, calls);
	return r;
}

void power_end(struct power *power)
{
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_clear(&power->versions[file]);
	xtsfs_store_free(power->base);
}
