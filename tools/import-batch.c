/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files get their names when they are durable.
 *
 * A file that has its own name is taken for whole by every later run, also after a power loss, when a name can be there
 * and the content behind it not. So it is made durable first. One by one that costs a flush of the disk for each file;
 * instead files wait under their part names until there are some, everything is made durable at once, and they are
 * renamed. What a power loss costs is the files of one batch.
 */
#include "import.h"

#include "base/cleanup.h"

#define BATCH_BYTES (64U << 20)

static void give_name(struct import *x, const struct import_part *part)
{
	const struct import_target_ops *ops = x->target->ops;
	xtsfs_auto_free char *path = NULL;
	int r = ops->rename(x->target, part->dir->node, part->part, part->name, part->replace);

	if (r == 0) {
		import_count(&x->copied.files, 1);
		return;
	}
	(void)!ops->unlink(x->target, part->dir->node, part->part);
	if (import_is_fatal(x, r))
		return;
	path = import_path_in(part->dir, part->name);
	if (r == -EEXIST)
		import_tell(x, IMPORT_CONFLICT, path ? path : part->name, "it was made meanwhile");
	else
		import_failed(x, r, "name", path ? path : part->name);
}

/* The batch is the caller's by now. Also on the way to an early end: what was copied need not be copied again. */
static void finish(struct import *x, struct import_part *batch, unsigned count, char *chunk)
{
	int r = x->target->ops->sync(x->target);

	if (r < 0)
		__atomic_store_n(&x->fatal, r, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < count; i++) {
		if (r == 0)
			give_name(x, &batch[i]);
		import_entry_done(x, batch[i].dir, chunk);
	}
	free(batch);
}

static struct import_part *take_batch(struct import *x, unsigned *ret_count)
{
	struct import_part *batch = xtsfs_take(x->batch);

	*ret_count = x->batch_count;
	x->batch_count = 0;
	x->batch_bytes = 0;
	return batch;
}

void import_batch_add(struct import *x, const struct import_part *part, uint64_t bytes, char *chunk)
{
	struct import_part *full = NULL;
	unsigned count = 0;

	pthread_mutex_lock(&x->batch_mutex);
	if (!x->batch)
		x->batch = malloc(IMPORT_BATCH * sizeof(*x->batch));
	if (x->batch) {
		__atomic_add_fetch(&part->dir->pending, 1, __ATOMIC_RELAXED);
		x->batch[x->batch_count++] = *part;
		x->batch_bytes += bytes;
		if (x->batch_count == IMPORT_BATCH || x->batch_bytes >= BATCH_BYTES)
			full = take_batch(x, &count);
	} else {
		__atomic_store_n(&x->fatal, -ENOMEM, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&x->batch_mutex);
	if (full)
		finish(x, full, count, chunk);
}

bool import_batch_flush(struct import *x, char *chunk)
{
	struct import_part *batch;
	unsigned count;

	pthread_mutex_lock(&x->batch_mutex);
	batch = take_batch(x, &count);
	pthread_mutex_unlock(&x->batch_mutex);
	if (batch)
		finish(x, batch, count, chunk);
	return batch != NULL;
}
