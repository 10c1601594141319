/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory store: a volume that lives in this process, and remembers how it came to be. For tests.
 *
 * Layer:   store.
 * Threads: every operation from any thread; recording, cloning and replaying by one thread while nobody else is in.
 * Modes, owners and times are kept and never checked, as for root. A pwritev and a fallocate that punches may be cut at
 * page borders when they are replayed, everything else is one step: that is what a process that is killed can leave.
 */
#ifndef XTSFS_STORE_MEMORY_H
#define XTSFS_STORE_MEMORY_H

#include "store/store.h"

xtsfs_must_check int xtsfs_store_memory_new(struct xtsfs_store **ret_store);
/** A deep copy without the open handles, so unlinked objects are gone but for replays, and with no recording. */
xtsfs_must_check int xtsfs_memory_clone(const struct xtsfs_store *store, struct xtsfs_store **ret_store);

/** From now on keep every call that changes something; forgets what was recorded before. */
void xtsfs_memory_record(struct xtsfs_store *store);
size_t xtsfs_memory_calls(const struct xtsfs_store *store);
/** Does the call only make others durable? */
bool xtsfs_memory_is_sync(const struct xtsfs_store *store, size_t call);
/** How many page borders lie inside call @call; 0 for one that is a single step. */
unsigned xtsfs_memory_cuts(const struct xtsfs_store *store, size_t call);
/**
 * Do recorded call @call of @from again in @store, a clone of what @from was when recording began in which all the
 * calls before have been done. @cut 1 to xtsfs_memory_cuts(): only as far as that page border. 0: all of it.
 */
xtsfs_must_check int xtsfs_memory_replay(struct xtsfs_store *store, const struct xtsfs_store *from, size_t call,
					 unsigned cut);
/**
 * Make of @store, a clone of what @from was when recording began, something that a loss of power may leave of the first
 * @until recorded calls; all before the recording is durable. The choice follows from @rng, not zero, which goes on.
 */
xtsfs_must_check int xtsfs_memory_power_cut(struct xtsfs_store *store, const struct xtsfs_store *from, size_t until,
					    uint64_t *rng);
/** What the call was, for messages. */
void xtsfs_memory_describe(const struct xtsfs_store *store, size_t call, char *ret_text, size_t room);

#endif
