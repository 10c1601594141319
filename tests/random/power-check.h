/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losing power: what may be left of the calls so far, writes in any order, must be a volume in which everything synced
 * is there, and what was written since is old, new or not there, sector by sector. So must it be when somebody goes on
 * writing without a repair, and loses power again.
 */
#ifndef XTSFS_POWER_CHECK_H
#define XTSFS_POWER_CHECK_H

#include "content.h"

struct power {
	struct run *run;
	struct xtsfs_store *base;	      /* everything in it is durable */
	struct history versions[MODEL_FILES]; /* since the last sync */
	size_t calls;
	uint64_t rng;
	unsigned cuts;			  /* for each operation */
	bool is_second;			  /* in a volume that has lost power before, and was not repaired */
	unsigned long points, unreadable; /* unreadable: files with something that was never synced and is EIO */
};

/** From now on the run's calls are recorded. In memory only. @seed: of the choices; not zero. */
void power_begin(struct power *power, struct run *run, uint64_t seed);
/** The operation, and cuts within it and after it. 0, or -1 with run->why. */
int power_op(struct power *power, const struct op *op);
void power_end(struct power *power);
/** Can the operation be part of such a run? */
bool power_fits(const struct op *op);

#endif
