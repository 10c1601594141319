/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume that is attacked: one file of each layout, and each other thing that has something encrypted.
 */
#undef NDEBUG
#include "attack.h"

#include <assert.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_NAME                                                                                            \
	"llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll" \
	"llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll"
#define LONG_ATTR                                                                                             \
	"user.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *path;
	uint32_t bytes;
} files[] = {
	{"empty", 0},
	{"inline", 700},
	{"inline-2", 700},
	{"inline-3", 3953},
	{"one", 4096},
	{"one-2", 4096},
	{"tail", 4096 + 500},
	{"long-tail", 4096 + 4090},
	{"several", 5 * 4096},
	{"several-2", 5 * 4096},
	{"dense", 126 * 4096 + 77},
	{"d1/same", 900},
	{"d2/same", 5000},
	{"d1/linked", 800},
	{LONG_NAME, 60},
};

static void put(struct core *core, const char *path, uint64_t seed, uint64_t offset, uint32_t bytes)
{
	uint8_t *data = malloc(bytes + 1);

	assert(data);
	core_pattern(seed, offset, data, bytes);
	assert(core_try_write(core, path, data, bytes, offset) == (ssize_t)bytes);
	free(data);
}

static void fill(struct core *core)
{
	assert(core_try_mkdir(core, "d1") == 0 && core_try_mkdir(core, "d2") == 0 &&
	       core_try_mkdir(core, "d2/sub") == 0);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		assert(core_try_create(core, files[i].path) == 0);
		if (files[i].bytes)
			put(core, files[i].path, i + 1, 0, files[i].bytes);
	}
	assert(core_try_create(core, "sparse") == 0 && core_try_create(core, "groups") == 0);
	put(core, "sparse", 31, 4096, 4096);
	put(core, "sparse", 31, 5 * 4096 + 100, 200);
	assert(core_try_truncate(core, "sparse", 7 * 4096 + 300) == 0);
	/* Two meta groups, little in them. */
	put(core, "groups", 32, 3 * 4096, 4096);
	put(core, "groups", 32, 124 * 4096ULL, 4096);
	put(core, "groups", 32, 126 * 4096ULL, 77);
	assert(core_try_link(core, "d1/linked", "d2/linked") == 0);
	assert(core_try_symlink(core, "/outside/of/it", "symlink") == 0 &&
	       core_try_symlink(core, "../x", "symlink-2") == 0);
	for (unsigned i = 0; i < 2; i++) {
		const char *path = i ? "one-2" : "one";

		assert(core_try_setxattr(core, path, "user.a", i ? "value of two" : "value of one") == 0);
		assert(core_try_setxattr(core, path, "user.b", i ? "second of two" : "second of one") == 0);
		assert(core_try_setxattr(core, path, LONG_ATTR, "of a long name") == 0);
	}
	assert(core_try_create(core, "gone") == 0);
}

/* Contents of the same length, so that an older part fits where the newer one is. */
static void change(struct core *core)
{
	put(core, "inline", 41, 0, 700);
	put(core, "one", 42, 0, 4096);
	put(core, "several", 43, 4096, 4096);
	put(core, "tail", 44, 4096, 500);
	put(core, "groups", 45, 124 * 4096ULL, 4096);
	put(core, "dense", 46, 125 * 4096ULL, 4096);
	put(core, "sparse", 47, 4096, 4096);
	put(core, "several-2", 48, 5 * 4096, 1000);
	assert(core_try_truncate(core, "long-tail", 4096 + 300) == 0);
	assert(core_try_setxattr(core, "one", "user.a", "newer of one") == 0);
	assert(core_try_unlink(core, "gone") == 0);
}

/* Files are open for writing, with changes of all sorts not settled; then the writer is no more. */
static struct xtsfs_store *crash(struct core *core)
{
	static const char *const open_files[] = {"inline", "tail", "several", "sparse", "dense", "empty"};
	struct xtsfs_node *node[6];
	struct xtsfs_store *left;
	int r;

	for (unsigned i = 0; i < 6; i++) {
		node[i] = core_node(core, open_files[i], NULL, &r);
		assert(r == 0 && xtsfs_open(core->volume, node[i], true) == 0);
	}
	put(core, "inline", 51, 700, 100);
	put(core, "tail", 52, 4096 + 500, 100);
	put(core, "several", 53, 2 * 4096, 4096);
	put(core, "sparse", 54, 2 * 4096, 4096);
	put(core, "dense", 55, 126 * 4096 + 77, 300);
	put(core, "empty", 56, 0, 9000);
	assert(core_try_fallocate(core, "several", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
	assert(xtsfs_memory_clone(core->store, &left) == 0);
	for (unsigned i = 0; i < 6; i++) {
		xtsfs_release(core->volume, node[i], true);
		core_forget(core, node[i]);
	}
	return left;
}

int specimen_try_open(struct specimen *specimen, struct xtsfs_store *store)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 1, .fds = 64, .read_only = true};

	specimen->core.store = store;
	return core_try_open(&specimen->core, &params);
}

void specimen_make(struct specimen *specimen, enum xtsfs_integrity integrity)
{
	struct core *core = &specimen->core;
	struct xtsfs_store *store;

	*specimen = (struct specimen){.none = integrity == XTSFS_INTEGRITY_NONE};
	assert(xtsfs_store_memory_new(&store) == 0);
	core_init(core, integrity, 2);
	core_format(core, store);
	core_open(core);
	fill(core);
	core_close(core);
	assert(xtsfs_memory_clone(store, &specimen->store[OLDEST]) == 0);
	core_open(core);
	change(core);
	core_close(core);
	assert(xtsfs_memory_clone(store, &specimen->store[CURRENT]) == 0);
	core_open(core);
	specimen->store[CRASHED] = crash(core);
	core_close(core);
	xtsfs_store_free(store);
	for (unsigned i = 0; i < STATES; i++) {
		assert(specimen_try_open(specimen, specimen->store[i]) == 0);
		specimen->truth[i] = snapshot_take(core, NULL);
		core_close(core);
	}
	/* The judge must find nothing where nothing is. */
	for (unsigned i = 0; i < STATES; i++) {
		char worst[256];

		assert(judge(specimen, specimen->truth[i], specimen->truth[i], worst, sizeof(worst)) == SAME);
	}
}

void specimen_free(struct specimen *specimen)
{
	for (unsigned i = 0; i < STATES; i++) {
		xtsfs_store_free(specimen->store[i]);
		snapshot_free(specimen->truth[i]);
	}
	core_fini(&specimen->core);
}

const struct object *specimen_object(const struct specimen *specimen, const char *path)
{
	const struct snapshot *truth = specimen->truth[CURRENT];

	for (unsigned i = 0; i < truth->count; i++)
		if (strcmp(truth->object[i].path, path) == 0)
			return &truth->object[i];
	fprintf(stderr, "the volume has no %s\n", path);
	abort();
}
