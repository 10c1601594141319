/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first, second, third … call of the store fails, in each operation of each script, until there is none left to
 * fail: the right errno, a legal state, and everything goes on working (fault-check.c).
 */
#undef NDEBUG
#include "unit.h"

#include "fault-check.h"

#include "base/log.h"

#define GROUP (124ULL * CORE_B)

static unsigned long faults;

static const struct script {
	const char *what;
	size_t count;
	struct op ops[9];
} scripts[] = {
	{"writing",
	 7,
	 {{OP_WRITE, 0, 0, 20000, 1},
	  {OP_WRITE, 0, 4096, 8192, 2},
	  {OP_WRITE, 0, 5000, 10, 3},
	  {OP_WRITE, 0, 0, 20000, 4},
	  {OP_FSYNC, 0, 0, 0, 0},
	  {OP_WRITE, 0, 25000, 7000, 5},
	  {OP_READ, 0, 0, 32000, 0}}},
	{"writing while open",
	 9,
	 {{OP_OPEN, 0, 0, 0, 1},
	  {OP_WRITE, 0, 0, 20000, 1},
	  {OP_WRITE, 0, 4096, 8192, 2},
	  {OP_WRITE, 0, 4096, 8192, 3},
	  {OP_FSYNC, 0, 0, 0, 0},
	  {OP_WRITE, 0, 0, 20000, 4},
	  {OP_APPEND, 0, 20000, 5000, 5},
	  {OP_OPEN, 0, 0, 0, 1},
	  {OP_REMOUNT, 0, 0, 0, 0}}},
	{"inline",
	 8,
	 {{OP_WRITE, 0, 0, 100, 1},
	  {OP_TRUNCATE, 0, 3953, 0, 0},
	  {OP_TRUNCATE, 0, 17, 0, 0},
	  {OP_WRITE, 0, 17, 9000, 2},
	  {OP_TRUNCATE, 0, 100, 0, 0},
	  {OP_TRUNCATE, 0, 600000, 0, 0},
	  {OP_TRUNCATE, 0, 50, 0, 0},
	  {OP_TRUNCATE, 0, 0, 0, 0}}},
	{"tails",
	 9,
	 {{OP_WRITE, 0, 0, 8292, 1},
	  {OP_APPEND, 0, 8292, 3990, 2},
	  {OP_APPEND, 0, 12282, 3, 3},
	  {OP_APPEND, 0, 12285, 3, 4},
	  {OP_TRUNCATE, 0, 12285, 0, 0},
	  {OP_TRUNCATE, 0, 8200, 0, 0},
	  {OP_TRUNCATE, 0, 12285, 0, 0},
	  {OP_APPEND, 0, 12285, 9000, 5},
	  {OP_REMOUNT, 0, 0, 0, 0}}},
	{"holes",
	 9,
	 {{OP_WRITE, 0, 0, 40000, 1},
	  {OP_PUNCH, 0, 4000, 20000, 0},
	  {OP_WRITE, 0, 8000, 3000, 2},
	  {OP_ZERO, 0, 30000, 20000, 0},
	  {OP_PUNCH, 0, 0, 50000, 0},
	  {OP_WRITE, 0, 12288, 4096, 3},
	  {OP_ALLOCATE, 0, 50000, 9000, 0},
	  {OP_SEEK, 0, 0, 0, 0},
	  {OP_TRUNCATE, 0, GROUP + 4090, 0, 0}}},
	{"groups",
	 7,
	 {{OP_WRITE, 0, 0, GROUP + 9000, 1},
	  {OP_TRUNCATE, 0, GROUP + 1, 0, 0},
	  {OP_TRUNCATE, 0, GROUP - 10, 0, 0},
	  {OP_APPEND, 0, GROUP - 10, 30000, 2},
	  {OP_WRITE, 0, GROUP - 5000, 10000, 3},
	  {OP_PUNCH, 0, GROUP - 9000, 18000, 0},
	  {OP_READ, 0, 0, 2 * GROUP, 0}}},
	{"names",
	 4,
	 {{OP_WRITE, 0, 0, 9000, 1}, {OP_WRITE, 1, 0, 100, 2}, {OP_EXCHANGE, 0, 0, 0, 0}, {OP_EXCHANGE, 1, 0, 0, 0}}},
};

/* Operation @at of the script with the fault, then the rest without. Returns whether the fault came. */
static bool play(const struct script *script, enum xtsfs_integrity integrity, size_t at,
		 const struct xtsfs_fault *fault)
{
	struct run run;
	int fired = 0, r = 0;

	run_begin(&run, integrity, 1, NULL);
	run_make_faulty(&run);
	for (size_t i = 0; r == 0 && i < script->count; i++) {
		if (i == at)
			fired = r = fault_op(&run, &script->ops[i], fault);
		else
			r = run_op(&run, &script->ops[i]);
		r = r > 0 ? 0 : r;
	}
	if (r == 0)
		r = run_end(&run);
	if (r < 0) {
		print_error("%s, integrity %s, operation %zu, call %u of kinds %x fails with %d%s%s: %s\n",
			    script->what, xtsfs_integrity_name(integrity), at, fault->nth, fault->kinds, fault->error,
			    fault->forever ? ", forever" : "", fault->cut ? ", cut" : "", run.why);
		for (size_t i = 0; i < script->count; i++)
			op_print(&script->ops[i]);
		fail();
	}
	run_free(&run);
	faults += fired > 0;
	/* Closing and opening disarms on the way, so that there is no telling. */
	return fired > 0 && (script->ops[at].kind != OP_REMOUNT || fault->nth < 12);
}

static void all(const struct xtsfs_fault *shape)
{
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < ARRAY_COUNT(scripts); j++)
			for (size_t at = 0; at < scripts[j].count; at++)
				for (struct xtsfs_fault fault = *shape;; fault.nth++)
					if (!play(&scripts[j], core_integrities[i], at, &fault))
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
	print_message("%lu faults\n", faults);
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
