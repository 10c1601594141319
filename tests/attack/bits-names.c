/* SPDX-License-Identifier: Apache-2.0 */
/* Every bit of what is stored beside content: names, ids of directories, links, attributes, the marker, the lock file.
 */
#undef NDEBUG
#include "attack.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned bit_stride(void)
{
	return options.full ? 1 : 13;
}

/* Judge one object of an open volume, and that the listing of its directory has no stranger. */
static unsigned look(struct specimen *specimen, const struct object *truth)
{
	struct core *core = &specimen->core;
	struct object got;
	struct xtsfs_node *dir_node;
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	const char *slash = strrchr(truth->path, '/'), *name = slash ? slash + 1 : truth->path;
	char parent[600] = "";
	unsigned outcome;
	int r;

	memcpy(parent, truth->path, slash ? (size_t)(slash - truth->path) : 0);
	object_look(core, truth->path, truth, &got);
	dir_node = core_node(core, parent, NULL, &r);
	assert(r == 0 && xtsfs_opendir(core->volume, dir_node, &dir) == 0);
	while (xtsfs_readdir(dir, &entry) > 0) {
		char child[900];
		bool known = entry.name[0] == '.';

		snprintf(child, sizeof(child), "%s%s%s", parent, *parent ? "/" : "", entry.name);
		got.listed = got.listed || strcmp(entry.name, name) == 0;
		for (unsigned i = 0; i < specimen->truth[CURRENT]->count; i++)
			known = known || strcmp(specimen->truth[CURRENT]->object[i].path, child) == 0;
		if (!known)
			got.error = -ENOTUNIQ; /* a name that nobody gave */
	}
	xtsfs_closedir(dir);
	core_forget(core, dir_node);
	outcome = judge_object(specimen, truth, &got);
	object_done(&got);
	return outcome;
}

static void flip_name(struct specimen *specimen, const char *path)
{
	const struct object *truth = specimen_object(specimen, path);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	struct place place = place_get(store, truth->backing);
	char changed[256];

	assert(specimen_try_open(specimen, store) == 0);
	for (size_t bit = 0; bit < strlen(place.name) * 8; bit += bit_stride()) {
		strcpy(changed, place.name);
		changed[bit / 8] ^= (char)(1U << bit % 8);
		if (!changed[bit / 8] || changed[bit / 8] == '/')
			continue; /* no name of a file */
		assert(store->ops->rename(store, place.dir, place.name, place.dir, changed, 0) == 0);
		count_mutation(specimen, "bit of a name", look(specimen, truth), "%.40s, bit %zu", path, bit);
		assert(store->ops->rename(store, place.dir, changed, place.dir, place.name, 0) == 0);
	}
	core_close(&specimen->core);
	place_put(store, place);
	xtsfs_store_free(store);
}

/* A small file of xtsfs' own; the volume is opened anew for each flip, since it is read once. */
static void flip_own_file(struct specimen *specimen, enum state state, const char *attack, const char *backing,
			  const struct object *truth)
{
	size_t bytes;
	uint8_t *stored = backing_read(specimen->store[state], backing, &bytes);

	for (size_t bit = 0; bit < bytes * 8; bit += bit_stride()) {
		uint8_t byte = stored[bit / 8] ^ (uint8_t)(1U << bit % 8);
		struct xtsfs_store *store = mutation_begin(specimen, state);
		unsigned outcome;
		int r;

		backing_write(store, backing, &byte, 1, bit / 8);
		if (!truth) /* what an authentic marker would excuse */
			backing_truncate(store, specimen_object(specimen, "several-2")->backing, 2 * CORE_B);
		r = specimen_try_open(specimen, store);
		if (r < 0) {
			outcome = r == -EUCLEAN ? REFUSED : FORGED;
		} else if (truth) {
			outcome = look(specimen, truth);
			core_close(&specimen->core);
		} else {
			struct xtsfs_volume_state is;
			struct snapshot *got = snapshot_take(&specimen->core, specimen->truth[state]);
			char worst[256];

			xtsfs_volume_state(specimen->core.volume, &is);
			core_close(&specimen->core);
			outcome = judge(specimen, specimen->truth[state], got, worst, sizeof(worst));
			if (is.unclean)
				outcome |= FORGED;
			snapshot_free(got);
		}
		count_mutation(specimen, attack, outcome, "%.60s, bit %zu", backing, bit);
		xtsfs_store_free(store);
	}
	free(stored);
}

static void flip_dirids(struct specimen *specimen)
{
	static const char *const directories[] = {"d1", "d2/sub"};
	char backing[700];

	flip_own_file(specimen, CURRENT, "bit of a dirid", "xtsfs.dirid", specimen_object(specimen, "one"));
	for (unsigned i = 0; i < 2; i++) {
		const struct object *truth = specimen_object(specimen, directories[i]);

		snprintf(backing, sizeof(backing), "%s/xtsfs.dirid", truth->backing);
		flip_own_file(specimen, CURRENT, "bit of a dirid", backing, truth);
	}
}

static void flip_symlink(struct specimen *specimen, const char *path)
{
	const struct object *truth = specimen_object(specimen, path);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	struct place place = place_get(store, truth->backing);
	char target[256], changed[256];
	ssize_t n = store->ops->readlink(store, place.dir, place.name, target, sizeof(target) - 1);

	assert(n > 0 && specimen_try_open(specimen, store) == 0);
	target[n] = '\0';
	for (size_t bit = 0; bit < (size_t)n * 8; bit += bit_stride()) {
		strcpy(changed, target);
		changed[bit / 8] ^= (char)(1U << bit % 8);
		if (!changed[bit / 8])
			continue;
		assert(store->ops->unlink(store, place.dir, place.name, 0) == 0 &&
		       store->ops->symlink(store, changed, place.dir, place.name, NULL) == 0);
		count_mutation(specimen, "bit of a symlink target", look(specimen, truth) & ~(unsigned)OUTSIDE,
			       "%s, bit %zu", path, bit);
	}
	core_close(&specimen->core);
	place_put(store, place);
	xtsfs_store_free(store);
}

static void flip_attrs(struct specimen *specimen, const char *path)
{
	const struct object *truth = specimen_object(specimen, path);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	struct place place = place_get(store, truth->backing);
	char list[1024], changed[256];
	ssize_t listed = store->ops->listxattr(store, place.dir, place.name, list, sizeof(list));

	assert(listed > 0 && specimen_try_open(specimen, store) == 0);
	for (const char *name = list; name < list + listed; name += strlen(name) + 1) {
		uint8_t value[1024];
		ssize_t bytes = store->ops->getxattr(store, place.dir, place.name, name, value, sizeof(value));

		for (ssize_t bit = 0; bit < bytes * 8; bit += bit_stride()) {
			value[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert(store->ops->setxattr(store, place.dir, place.name, name, value, (size_t)bytes, 0) == 0);
			count_mutation(specimen, "bit of an attribute value", look(specimen, truth), "%.60s, bit %zd",
				       name, bit);
			value[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		for (size_t bit = 0; bit < strlen(name) * 8; bit += bit_stride()) {
			strcpy(changed, name);
			changed[bit / 8] ^= (char)(1U << bit % 8);
			if (!changed[bit / 8])
				continue;
			assert(store->ops->removexattr(store, place.dir, place.name, name) == 0 &&
			       store->ops->setxattr(store, place.dir, place.name, changed, value, (size_t)bytes, 0) ==
				       0);
			count_mutation(specimen, "bit of an attribute name", look(specimen, truth), "%.60s, bit %zu",
				       name, bit);
			assert(store->ops->removexattr(store, place.dir, place.name, changed) == 0 &&
			       store->ops->setxattr(store, place.dir, place.name, name, value, (size_t)bytes, 0) == 0);
		}
	}
	core_close(&specimen->core);
	place_put(store, place);
	xtsfs_store_free(store);
}

void attack_bits_of_names(struct specimen *specimen)
{
	static const char *const named[] = {"empty", "several", "d1", "d1/same", "symlink", "d2/linked"};
	const struct snapshot *truth = specimen->truth[CURRENT];

	for (unsigned i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		flip_name(specimen, named[i]);
	for (unsigned i = 0; i < truth->count; i++) {
		char file[700];

		if (strncmp(truth->object[i].backing, "xtsfs.long.", 11) != 0)
			continue;
		flip_name(specimen, truth->object[i].path);
		snprintf(file, sizeof(file), "%s.name", truth->object[i].backing);
		flip_own_file(specimen, CURRENT, "bit of a .name file", file, &truth->object[i]);
	}
	flip_dirids(specimen);
	flip_symlink(specimen, "symlink");
	flip_symlink(specimen, "symlink-2");
	flip_attrs(specimen, "one");
	flip_own_file(specimen, CRASHED, "bit of the unclean marker", "xtsfs.unclean", NULL);
}
