/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first, second, third … call of the store fails, in each operation of each script, until there is none left to
 * fail: the right errno, a legal state, and everything goes on working (fault-check.c).
 */
#undef NDEBUG
#include "unit.h"

#include "core-scripts.h"
#include "fault-check.h"
#include "recover.h"

#include "base/log.h"

static unsigned long faults;

struct playing {
	size_t at;
	const struct xtsfs_fault *fault;
	int fired;
	struct history files[MODEL_FILES]; /* since the last sync */
};

static int step(void *data, struct run *run, size_t number, const struct op *op)
{
	struct playing *playing = data;
	int r;

	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_add(&playing->files[file], run->files[file].data, run->files[file].bytes);
	if (number == playing->at && fault_fits(op)) {
		playing->fired = fault_op(run, op, playing->fault, run->core.waiting_bytes ? playing->files : NULL);
		return playing->fired < 0 ? -1 : 0;
	}
	r = run_op(run, op);
	for (unsigned file = 0; r == 0 && file < MODEL_FILES; file++)
		if (op->kind == OP_REMOUNT || (op->kind == OP_FSYNC && op->file == file))
			history_clear(&playing->files[file]);
	return r;
}

static void describe(const void *data, char *ret_text, size_t room)
{
	const struct playing *playing = data;
	const struct xtsfs_fault *fault = playing->fault;

	snprintf(ret_text, room, ", call %u of kinds %x of operation %zu fails with %d%s%s", fault->nth, fault->kinds,
		 playing->at, fault->error, fault->forever ? ", forever" : "", fault->cut ? ", cut" : "");
}

/* Operation @at of the script with the fault, then the rest without. Returns whether the fault came. */
static bool play(const struct script *script, enum xtsfs_integrity integrity, size_t waiting, size_t at,
		 const struct xtsfs_fault *fault)
{
	struct playing playing = {.at = at, .fault = fault};
	struct run run;
	char why[256];

	run_begin(&run, integrity, 1, NULL);
	run.core.waiting_bytes = waiting;
	run_make_faulty(&run);
	script_play(script, &run, &(struct player){.op = step, .describe = describe, .data = &playing});
	if (run_end(&run) < 0)
		fail_msg("%s, integrity %s, waiting %zu, operation %zu, call %u, at the end: %s", script->what,
			 xtsfs_integrity_name(integrity), waiting, at, fault->nth, run.why);
	if (settle(&run.core, run.owned, why, sizeof(why)) < 0)
		fail_msg("%s, integrity %s, waiting %zu, operation %zu, call %u: %s", script->what,
			 xtsfs_integrity_name(integrity), waiting, at, fault->nth, why);
	run_free(&run);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_clear(&playing.files[file]);
	faults += playing.fired > 0;
	/* Closing and opening disarms on the way, so that there is no telling. */
	return playing.fired > 0 && (script->ops[at].kind != OP_REMOUNT || fault->nth < 12);
}

static void all(const struct xtsfs_fault *shape)
{
	for (unsigned i = 0; i < 3; i++)
		for (size_t j = 0; j < script_count; j++)
			for (size_t at = 0; at < scripts[j].count; at++)
				for (struct xtsfs_fault fault = *shape;; fault.nth++)
					if (!play(&scripts[j], core_integrities[i], (at + j) % 2 ? 1U << 20 : 0, at,
						  &fault))
						break;
}

static void test_any_call(void **state)
{
	(void)state;
	all(&(struct xtsfs_fault){.kinds = XTSFS_FAULT_ANY, .nth = 1, .error = EIO});
}

static void test_full_disk(void **state)
{
	(void)state;
	all(&(struct xtsfs_fault){
		.kinds = XTSFS_FAULT_WRITE | XTSFS_FAULT_LENGTH, .nth = 1, .error = ENOSPC, .cut = true});
}

static void test_full_for_good(void **state)
{
	(void)state;
	all(&(struct xtsfs_fault){.kinds = XTSFS_FAULT_CHANGES, .nth = 1, .error = ENOSPC, .forever = true});
}

static int count_faults(void **state)
{
	(void)state;
	print_message("%zu scripts, %lu faults\n", script_count, faults);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_call),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_full_for_good),
	};

	xtsfs_log_init("test-core-fault");
	xtsfs_log_set_level(getenv("XTSFS_TEST_VERBOSE") ? XTSFS_LOG_NOTICE : XTSFS_LOG_ERROR);
	/* Each fault is logged; what cmocka says of failures is shown with XTSFS_TEST_VERBOSE=1. */
	if (!getenv("XTSFS_TEST_VERBOSE") && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests_name("core-fault", tests, NULL, count_faults);
}
