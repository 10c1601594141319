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
	const struct model_file *model = &power->run->files[file];
	unsigned count = power->versions[file].count;
	struct content *last = count ? &power->versions[file].content[count - 1] : NULL;

	if (last && last->bytes == model->bytes && memcmp(last->data, model->data, model->bytes) == 0)
		return;
	assert(count < POWER_VERSIONS);
	last = &power->versions[file].content[power->versions[file].count++];
	last->bytes = model->bytes;
	last->data = malloc(model->bytes + 1);
	assert(last->data);
	memcpy(last->data, model->data, model->bytes);
}

static void versions_clear(struct power *power, unsigned file)
{
	while (power->versions[file].count)
		free(power->versions[file].content[--power->versions[file].count].data);
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
		if (is_of(&power->versions[file].content[v], data, start, bytes))
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
		uint64_t bytes = power->versions[file].content[v].bytes;

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
	} else if (power->versions[file].content[0].bytes) {
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

/* Repairs, and once more: nothing is left. */
static int mend(struct power *power, struct core *core, enum xtsfs_fsck_damage damage)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 64, .repair = true};
	struct xtsfs_fsck_totals totals = {0};
	char last[128] = "";
	struct xtsfs_fsck_options options = {
		.repair = true, .damage = damage, .content_keys = 1, .finding = note_finding, .data = last};

	for (unsigned round = 0; round < 2; round++) {
		assert(core_try_open(core, &params) == 0);
		assert(xtsfs_fsck_run(core->volume, &options, &totals) == 0);
		assert(core_try_close(core) == 0);
	}
	return totals.problems ? fail(power, "fsck is not done after mending: %s", last) : 0;
}

/* Takes @store. */
static int look(struct power *power, struct xtsfs_store *store)
{
	const struct xtsfs_volume_params params = {.engine = &xtsfs_engine_user, .threads = 2, .fds = 64};
	struct core core = power->run->core;
	unsigned long unreadable = power->unreadable;
	int r;

	power->points++;
	core.store = store;
	core.volume = NULL;
	r = core_try_open(&core, &params);
	if (r < 0)
		r = fail(power, "the volume does not open: %d, %s", r, core.problem);
	else
		r = check_files(power, &core);
	if (core.volume && core_try_close(&core) < 0 && r == 0)
		r = fail(power, "the volume does not close");
	if (r == 0 && power->points % 3 == 0) {
		r = mend(power, &core,
			 power->unreadable > unreadable ? XTSFS_FSCK_DAMAGE_ZERO : XTSFS_FSCK_DAMAGE_REPORT);
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
	assert(xtsfs_memory_clone(run->owned, &power->base) == 0);
	xtsfs_memory_record(run->owned);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		version_add(power, file);
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
		versions_clear(power, file);
		version_add(power, file);
	}
	for (unsigned i = 0; r == 0 && i < power->cuts; i++)
		r = cut_at(power, calls);
	return r;
}

void power_end(struct power *power)
{
	for (unsigned file = 0; file < MODEL_FILES; file++)
		versions_clear(power, file);
	xtsfs_store_free(power->base);
}
