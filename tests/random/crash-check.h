/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killing at every step: what is stored after each prefix of an operation's calls must be a volume that reads as before
 * or after the operation, or legally between the two, and that can go on being used. Where overwritten sectors may wait
 * in memory (core.waiting_bytes), it may be as after any operation since the last sync. fsck finds no damage and
 * settles it, also when it is killed itself.
 */
#ifndef XTSFS_CRASH_CHECK_H
#define XTSFS_CRASH_CHECK_H

#include "content.h"

struct crash {
	struct run *run;
	struct xtsfs_store *replayed;	   /* what is stored when the calls so far are done */
	size_t calls;			   /* so far */
	struct history files[MODEL_FILES]; /* what is legal */
	unsigned points;		   /* that were looked at */
	unsigned long repair_calls, repair_stops;
	unsigned repairs; /* kill repairs after each such of their calls; 0: none */
	unsigned every;	  /* look at one of so many points of a long operation; 1: all */
};

/** From now on the run's calls are recorded. In memory only. */
void crash_begin(struct crash *crash, struct run *run);
/** The operation, and every point at which it could have been killed. 0, or -1 with run->why. */
int crash_op(struct crash *crash, const struct op *op);
void crash_end(struct crash *crash);

#endif
