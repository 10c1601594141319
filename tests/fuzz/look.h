/* SPDX-License-Identifier: Apache-2.0 */
/* One run of the target `volume`: the volume, its model, and looking at the one with the other. */
#ifndef XTSFS_TEST_FUZZ_LOOK_H
#define XTSFS_TEST_FUZZ_LOOK_H

#include "model.h"

#define HANDLES 2U

struct handle {
	struct xtsfs_node *node;
	int object;
	bool for_write;
};

struct run {
	struct fuzz_volume volume;
	struct model model;
	struct fuzz_input input;
	struct handle handles[HANDLES];
	struct xtsfs_store *snapshot;
	bool unclean; /* killed, and not checked since */
	uint8_t seed; /* of the last write */
};

static inline bool exact(const struct run *run)
{
	return run->model.level == MODEL_EXACT;
}

/* While nothing was attacked, results are what they should be. */
#define WANT(run, result, wanted)                                                                                \
	FUZZ_CHECK(!exact(run) || (result) == (wanted), "%s gave %lld, not %lld", __func__, (long long)(result), \
		   (long long)(wanted))

static inline bool has_parent(const struct run *run, unsigned name)
{
	return name < 3 || run->model.has_dir;
}

static inline int object_at(const struct run *run, unsigned name)
{
	return has_parent(run, name) ? run->model.at[name] : -1;
}

/** What an open file shows. */
void look_at(struct run *run, struct xtsfs_node *node, int object);
/** The object of that name: content, target, attribute; or that there is none. */
void look_at_name(struct run *run, unsigned name);
/** All of them, and the listings. */
void look_at_all(struct run *run);

#endif
