/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OP handles that die under the core, in every script, at the first, second, third ... run of sectors: one that dies is
 * replaced and nobody notices; where the next dies too, or none can be made, the caller gets the error, nothing changes
 * that was not to, and with an engine that works again everything goes on.
 */
#undef NDEBUG
#include "unit.h"

#include "core-scripts.h"
#include "fault-check.h"
#include "recover.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

/* What dies. The volume has two threads' worth of ops and one thread that uses them, so nothing here needs a lock. */
static struct {
	unsigned nth;  /* the run that fails; 0: none */
	unsigned runs; /* so many fail from there on */
	bool no_op;    /* and no op can be made meanwhile */
	unsigned count, fired, live;
} dying;

static int dying_op_new(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	int r = dying.no_op && dying.fired ? -EMFILE : xtsfs_engine_user.op_new(tfm, ret_op);

	dying.live += r == 0;
	return r;
}

static void dying_op_free(struct xtsfs_op *op)
{
	dying.live -= op != NULL;
	xtsfs_engine_user.op_free(op);
}

static int dying_crypt(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	int r = xtsfs_engine_user.crypt(op, direction, run);

	if (!dying.nth)
		return r;
	dying.count++;
	if (dying.count < dying.nth || dying.count >= dying.nth + dying.runs)
		return r;
	dying.fired++;
	memset(run->out, 0xee, run->bytes); /* half done, and never to be seen */
	return -EIO;
}

static struct xtsfs_engine dying_engine;
static unsigned long deaths;

struct playing {
	size_t at;
	bool fired, may_fail;
	struct history files[MODEL_FILES];
};

/* The model becomes what is there, which must be legal: as before, as after, or, sector by sector, between the two. */
static int adopt(struct run *run, struct history *files)
{
	bool none = run->core.conf->config->integrity == XTSFS_INTEGRITY_NONE;

	for (unsigned file = 0; file < MODEL_FILES; file++) {
		struct model_file *model = &run->files[file];
		char why[160];
		uint8_t *data;
		ssize_t n = core_try_read(&run->core, run_path(file), &data);

		if (n < 0 || !content_is_among(files[file].versions, files[file].count, data, (uint64_t)n, none, why,
					       sizeof(why))) {
			snprintf(run->why, sizeof(run->why), "file %u afterwards: %zd, %s", file, n, n < 0 ? "" : why);
			free(data);
			return -1;
		}
		memset(model->data, 0, MODEL_MAX);
		memcpy(model->data, data, (size_t)n);
		model->bytes = (uint64_t)n;
		free(data);
	}
	return 0;
}

static int step(void *data, struct run *run, size_t number, const struct op *op)
{
	struct playing *playing = data;
	unsigned nth = dying.nth;
	int r;

	if (number != playing->at) {
		dying.nth = 0;
		r = run_op(run, op);
		dying.nth = nth;
		return r;
	}
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_add(&playing->files[file], run->files[file].data, run->files[file].bytes);
	run->error = 0;
	r = run_op(run, op);
	playing->fired = dying.fired > 0;
	dying.nth = 0;
	dying.fired = 0;
	if (r == 0 || !playing->fired)
		return r;
	if (!playing->may_fail)
		return -1;						      /* one death must not be seen */
	if (run->error <= 0 && run->error != -EIO && run->error != -EMFILE) { /* or a part was written */
		snprintf(run->why, sizeof(run->why), "the error is %d", run->error);
		return -1;
	}
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_add(&playing->files[file], run->files[file].data, run->files[file].bytes);
	return adopt(run, playing->files);
}

static bool play(const struct script *script, enum xtsfs_integrity integrity, size_t at, unsigned nth, unsigned runs,
		 bool no_op)
{
	struct playing playing = {.at = at, .may_fail = runs > 1 || no_op};
	struct run run;
	char why[256];

	memset(&dying, 0, sizeof(dying));
	run_begin(&run, integrity, 1, NULL);
	run.core.engine = &dying_engine;
	run_make_faulty(&run);			  /* the model then takes what an operation that fails was to do */
	run.may_fail_to_close = playing.may_fail; /* with what could not be settled */
	dying.nth = nth;
	dying.runs = runs;
	dying.no_op = no_op;
	script_play(script, &run, &(struct player){.op = step, .data = &playing});
	if (run_end(&run) < 0)
		fail_msg("%s, integrity %s, operation %zu, run %u: %s", script->what, xtsfs_integrity_name(integrity),
			 at, nth, run.why);
	if (settle(&run.core, run.owned, why, sizeof(why)) < 0)
		fail_msg("%s, integrity %s, operation %zu, run %u: %s", script->what, xtsfs_integrity_name(integrity),
			 at, nth, why);
	run_free(&run);
	assert_int_equal(dying.live, 0);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_clear(&playing.files[file]);
	deaths += playing.fired;
	return playing.fired;
}

static void all(unsigned runs, bool no_op)
{
	for (unsigned i = 0; i < 3; i++)
		for (size_t j = 0; j < script_count; j++)
			for (size_t at = 0; at < scripts[j].count; at++)
				for (unsigned nth = 1; scripts[j].ops[at].kind != OP_REMOUNT &&
						       play(&scripts[j], core_integrities[i], at, nth, runs, no_op);
				     nth++)
					;
}

static void test_one_dies(void **state)
{
	(void)state;
	all(1, false);
}

static void test_the_next_too(void **state)
{
	(void)state;
	all(2, false);
}

static void test_all_of_them(void **state)
{
	(void)state;
	all(1000000, false);
}

static void test_none_can_be_made(void **state)
{
	(void)state;
	all(1, true);
}

static int count_deaths(void **state)
{
	(void)state;
	print_message("%zu scripts, %lu deaths\n", script_count, deaths);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_dies),
		cmocka_unit_test(test_the_next_too),
		cmocka_unit_test(test_all_of_them),
		cmocka_unit_test(test_none_can_be_made),
	};

	dying_engine = xtsfs_engine_user;
	dying_engine.op_new = dying_op_new;
	dying_engine.op_free = dying_op_free;
	dying_engine.crypt = dying_crypt;
	xtsfs_log_init("test-core-engine");
	xtsfs_log_set_level(getenv("XTSFS_TEST_VERBOSE") ? XTSFS_LOG_NOTICE : XTSFS_LOG_ERROR);
	/* Each death is logged; what cmocka says of failures is shown with XTSFS_TEST_VERBOSE=1. */
	if (!getenv("XTSFS_TEST_VERBOSE") && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests_name("core-engine", tests, NULL, count_deaths);
}
