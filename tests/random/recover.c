/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "recover.h"

#include "core/fsck.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Keeps the first that is damage, else the last. */
struct told {
	char text[160];
	bool damage;
};

static void note(void *data, const struct xtsfs_fsck_finding *finding)
{
	struct told *told = data;

	if (told->damage || finding->severity == XTSFS_FSCK_INFO)
		return;
	told->damage = finding->severity == XTSFS_FSCK_ERROR;
	snprintf(told->text, sizeof(told->text), "%s: %s: %s", finding->code, finding->path, finding->detail);
}

static int check(const struct core *like, struct xtsfs_store *store, struct told *ret_told,
		 struct xtsfs_fsck_totals *ret_totals)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 64, .repair = true};
	const struct xtsfs_fsck_options options = {.repair = true,
						   .threads = 1,
						   .content_keys = like->conf->config->content_keys,
						   .finding = note,
						   .data = ret_told};
	struct core core = *like;
	int r, closed;

	*ret_told = (struct told){0};
	*ret_totals = (struct xtsfs_fsck_totals){0};
	core.store = store;
	core.volume = NULL;
	r = core_try_open(&core, &params);
	if (r < 0)
		return r;
	r = xtsfs_fsck_run(core.volume, &options, ret_totals);
	closed = core_try_close(&core);
	return r < 0 ? r : closed;
}

/* One repair. */
static int mend(const struct core *like, struct xtsfs_store *store, char *ret_why, size_t room)
{
	struct xtsfs_fsck_totals totals;
	struct told told;
	int r = check(like, store, &told, &totals);

	if (r == 0 && !told.damage && !totals.left)
		return 0;
	snprintf(ret_why, room, "fsck: %d, %llu left, %s%s", r, (unsigned long long)totals.left,
		 told.damage ? "damage: " : "", told.text);
	return -1;
}

static int is_clean(const struct core *like, struct xtsfs_store *store, char *ret_why, size_t room)
{
	struct xtsfs_fsck_totals totals;
	struct told told;
	int r = check(like, store, &told, &totals);

	if (r == 0 && !totals.problems)
		return 0;
	snprintf(ret_why, room, "fsck after fsck: %d, %s", r, told.text);
	return -1;
}

int settle(const struct core *like, struct xtsfs_store *store, char *ret_why, size_t room)
{
	int r = mend(like, store, ret_why, room);

	return r < 0 ? r : is_clean(like, store, ret_why, room);
}

/* Takes @store. */
static int settle_and_look(struct recovery *recovery, struct xtsfs_store *store)
{
	int r = settle(recovery->like, store, recovery->why, sizeof(recovery->why));

	if (r == 0)
		return recovery->look(recovery->data, store);
	xtsfs_store_free(store);
	return r;
}

/* The repair of @mended again on @base, stopped after each call. */
static int stop_repairs(struct recovery *recovery, struct xtsfs_store *base, const struct xtsfs_store *mended)
{
	int r = 0;

	for (size_t call = 0; r == 0 && call < xtsfs_memory_calls(mended); call++) {
		struct xtsfs_store *clone;

		assert(xtsfs_memory_replay(base, mended, call, 0) == 0);
		if (xtsfs_memory_is_sync(mended, call) || recovery->calls++ % recovery->every)
			continue;
		recovery->stops++;
		assert(xtsfs_memory_clone(base, &clone) == 0);
		r = settle_and_look(recovery, clone);
		if (r < 0) {
			char what[80], why[sizeof(recovery->why)];

			xtsfs_memory_describe(mended, call, what, sizeof(what));
			memcpy(why, recovery->why, sizeof(why));
			snprintf(recovery->why, sizeof(recovery->why), "repair killed after call %zu (%.60s): %.100s",
				 call, what, why);
		}
	}
	return r;
}

int recover(struct recovery *recovery, const struct xtsfs_store *state)
{
	struct xtsfs_store *mended, *base;
	int r;

	recovery->why[0] = '\0';
	assert(xtsfs_memory_clone(state, &base) == 0 && xtsfs_memory_clone(state, &mended) == 0);
	xtsfs_memory_record(mended);
	r = mend(recovery->like, mended, recovery->why, sizeof(recovery->why));
	if (r == 0 && recovery->every)
		r = stop_repairs(recovery, base, mended);
	if (r == 0)
		r = is_clean(recovery->like, mended, recovery->why, sizeof(recovery->why));
	xtsfs_store_free(base);
	if (r == 0)
		return recovery->look(recovery->data, mended);
	xtsfs_store_free(mended);
	return r;
}
