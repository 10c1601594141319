/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "fault-check.h"

#include "content.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool fault_fits(const struct op *op)
{
	return op->kind != OP_REMOVE && op->kind != OP_KILL && op->kind != OP_CHECK;
}

/* The model becomes what is there, if that is legal. */
static int adopt(struct run *run, unsigned file, const struct content *versions, unsigned count)
{
	bool none = run->core.conf->config->integrity == XTSFS_INTEGRITY_NONE;
	struct model_file *model = &run->files[file];
	char why[160];
	uint8_t *data;
	ssize_t n = core_try_read(&run->core, run_path(file), &data);

	if (n < 0) {
		snprintf(run->why, sizeof(run->why), "file %u cannot be read after the fault: %zd", file, n);
		return -1;
	}
	if (!content_is_among(versions, count, data, (uint64_t)n, none, why, sizeof(why))) {
		snprintf(run->why, sizeof(run->why), "after the fault, file %u: %s", file, why);
		free(data);
		return -1;
	}
	memset(model->data, 0, MODEL_MAX);
	memcpy(model->data, data, (size_t)n);
	model->bytes = (uint64_t)n;
	free(data);
	return 0;
}

/* Of a file that the operation closes, or that was open for it only. */
static int adopt_file(struct run *run, const struct op *op, unsigned file, const struct content *old,
		      const struct content *new, int error, struct history *files)
{
	const struct content both[] = {old[file], new[file]};
	bool closed = !run->files[file].node || op->kind == OP_REMOUNT;

	if (!files || !closed)
		return error == 0 ? adopt(run, file, both + 1, 1) : adopt(run, file, both, 2);
	history_add(&files[file], old[file].data, old[file].bytes);
	history_add(&files[file], new[file].data, new[file].bytes);
	return adopt(run, file, files[file].versions, files[file].count);
}

int fault_op(struct run *run, const struct op *op, const struct xtsfs_fault *fault, struct history *files)
{
	struct content *old = content_copy(run), *new;
	bool fired;
	int r, error;

	run->error = 0;
	run->may_fail_to_close = true;
	run->may_lose = files != NULL;
	xtsfs_faulty_arm(run->faulty, fault);
	r = run_op(run, op);
	error = run->error;
	fired = xtsfs_faulty_fired(run->faulty) > 0;
	xtsfs_faulty_arm(run->faulty, &(struct xtsfs_fault){0});
	run->may_lose = false;
	new = content_copy(run);

	if (op->kind == OP_REMOUNT)
		fired = true; /* disarmed on the way; where nothing can be lost it is checked there, exactly */
	else if (r < 0 && fired && error < 0 && error != -fault->error)
		snprintf(run->why, sizeof(run->why), "the error is %d and not %d", error, -fault->error);
	else if (fired)
		r = 0;
	for (unsigned file = 0; r == 0 && file < MODEL_FILES; file++)
		r = adopt_file(run, op, file, old, new, error, files);
	content_free(old);
	content_free(new);
	return r < 0 ? -1 : fired;
}
