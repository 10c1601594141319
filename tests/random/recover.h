/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck of what a kill or a fault left: it finds debris and no damage, settles it, and is clean then; also where it is
 * itself killed after any of its calls and run again.
 */
#ifndef XTSFS_RECOVER_H
#define XTSFS_RECOVER_H

#include "core-fixture.h"

/** On @store, with the keys of @like. 0, or -1 and why. */
int settle(const struct core *like, struct xtsfs_store *store, char *ret_why, size_t room);

struct recovery {
	const struct core *like;
	unsigned every; /* kill the repair after each such of its calls; 1: after all, 0: after none */
	/* What is there is as it should be; takes the store. 0 or -1. */
	int (*look)(void *data, struct xtsfs_store *store);
	void *data;
	unsigned long calls, stops; /* of repairs: seen, killed after */
	char why[256];
};
/** On clones of @state, each of which is looked at once it is settled. 0, or -1 and recovery->why if it has a text. */
int recover(struct recovery *recovery, const struct xtsfs_store *state);

#endif
