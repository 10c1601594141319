/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of what is stored, by somebody without keys: on a copy of the volume, behind the core's back. */
#undef NDEBUG
#include "attack.h"

#include "core/fsck.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place place_get(struct xtsfs_store *store, const char *backing)
{
	struct place place = {.dir = store->ops->open(store, store->root, ".", O_PATH | O_DIRECTORY, 0, NULL)};
	const char *slash;

	while ((slash = strchr(backing, '/'))) {
		char name[256];
		int next;

		assert((size_t)(slash - backing) < sizeof(name));
		memcpy(name, backing, (size_t)(slash - backing));
		name[slash - backing] = '\0';
		next = store->ops->open(store, place.dir, name, O_PATH | O_DIRECTORY, 0, NULL);
		assert(next >= 0);
		store->ops->close(store, place.dir);
		place.dir = next;
		backing = slash + 1;
	}
	place.name = backing;
	return place;
}

void place_put(struct xtsfs_store *store, struct place place)
{
	store->ops->close(store, place.dir);
}

static int open_backing(struct xtsfs_store *store, const char *backing, int flags)
{
	struct place place = place_get(store, backing);
	int handle = store->ops->open(store, place.dir, place.name, flags, 0600, NULL);

	place_put(store, place);
	assert(handle >= 0);
	return handle;
}

uint8_t *backing_read(struct xtsfs_store *store, const char *backing, size_t *ret_bytes)
{
	int handle = open_backing(store, backing, O_RDONLY);
	struct stat st;
	uint8_t *data;

	assert(store->ops->fstat(store, handle, &st) == 0);
	data = malloc((size_t)st.st_size + 1);
	assert(data && xtsfs_store_pread(store, handle, data, (size_t)st.st_size, 0) == (ssize_t)st.st_size);
	store->ops->close(store, handle);
	data[st.st_size] = 0; /* for those that are text */
	*ret_bytes = (size_t)st.st_size;
	return data;
}

void backing_write(struct xtsfs_store *store, const char *backing, const void *data, size_t bytes, uint64_t offset)
{
	int handle = open_backing(store, backing, O_RDWR);

	assert(xtsfs_store_pwrite(store, handle, data, bytes, offset) == 0);
	store->ops->close(store, handle);
}

void backing_truncate(struct xtsfs_store *store, const char *backing, uint64_t bytes)
{
	int handle = open_backing(store, backing, O_RDWR);

	assert(store->ops->truncate(store, handle, bytes) == 0);
	store->ops->close(store, handle);
}

void backing_rename(struct xtsfs_store *store, const char *from, const char *to, unsigned flags)
{
	struct place a = place_get(store, from), b = place_get(store, to);

	assert(store->ops->rename(store, a.dir, a.name, b.dir, b.name, flags) == 0);
	place_put(store, a);
	place_put(store, b);
}

void backing_remove(struct xtsfs_store *store, const char *backing)
{
	struct place place = place_get(store, backing);

	assert(store->ops->unlink(store, place.dir, place.name, 0) == 0);
	place_put(store, place);
}

void backing_put(struct xtsfs_store *store, const char *backing, const void *data, size_t bytes)
{
	struct place place = place_get(store, backing);
	int handle;

	(void)!store->ops->unlink(store, place.dir, place.name, 0);
	handle = store->ops->open(store, place.dir, place.name, O_RDWR | O_CREAT, 0600, NULL);
	assert(handle >= 0 && xtsfs_store_pwrite(store, handle, data, bytes, 0) == 0);
	store->ops->close(store, handle);
	place_put(store, place);
}

struct xtsfs_store *mutation_begin(const struct specimen *specimen, enum state state)
{
	struct xtsfs_store *store;

	assert(xtsfs_memory_clone(specimen->store[state], &store) == 0);
	return store;
}

static void on_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	(void)finding;
	(*(unsigned *)data)++;
}

/* The checker must end, and must not keep quiet about what reading finds. */
static void run_fsck(struct specimen *specimen, enum state state, const char *attack, struct xtsfs_store *store,
		     bool repair, unsigned outcome, const char *text)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 1, .fds = 64, .read_only = !repair, .repair = true};
	unsigned findings = 0;
	const struct xtsfs_fsck_options how = {
		.repair = repair, .threads = 1, .content_keys = 2, .finding = on_finding, .data = &findings};
	struct core *core = &specimen->core;
	struct xtsfs_fsck_totals totals;
	int r;

	core->store = store;
	r = core_try_open(core, &params);
	if (r < 0)
		return; /* a root that cannot be read has been judged */
	r = xtsfs_fsck_run(core->volume, &how, &totals);
	if (core_try_close(core) < 0 || r < 0)
		count_mutation(specimen, attack, FORGED, "%s: fsck fails: %d", text, r);
	if (state == CURRENT && (outcome & (REFUSED | PARTLY | UNLISTED)) && totals.problems == 0)
		count_mutation(specimen, attack, FORGED, "%s: fsck finds nothing", text);
}

void mutation_end(struct specimen *specimen, enum state state, const char *attack, struct xtsfs_store *store,
		  const char *format, ...)
{
	static unsigned turn;
	struct core *core = &specimen->core;
	unsigned outcome, after;
	struct snapshot *got;
	char text[256], worst[256] = "";
	va_list args;
	int r;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	r = specimen_try_open(specimen, store);
	if (r < 0) {
		outcome = r == -EUCLEAN || r == -EIO ? REFUSED : FORGED;
	} else {
		got = snapshot_take(core, specimen->truth[state]);
		core_close(core);
		outcome = judge(specimen, specimen->truth[state], got, worst, sizeof(worst));
		snapshot_free(got);
	}
	count_mutation(specimen, attack, outcome, "%s: %s", text, worst);
	if (options.full || turn++ % 5 == 0)
		run_fsck(specimen, state, attack, store, false, outcome, text);
	/* A repair must not make good what is forged. */
	if (r == 0 && (options.full || turn % 10 == 1)) {
		run_fsck(specimen, state, attack, store, true, outcome, text);
		if (specimen_try_open(specimen, store) == 0) {
			got = snapshot_take(core, specimen->truth[state]);
			core_close(core);
			after = judge(specimen, specimen->truth[state], got, worst, sizeof(worst));
			if (after & FORGED & ~outcome)
				count_mutation(specimen, attack, FORGED, "%s: after a repair: %s", text, worst);
			snapshot_free(got);
		}
	}
	xtsfs_store_free(store);
}
