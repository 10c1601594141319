/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries moved, exchanged, removed, made up; links, attributes and directory ids exchanged; other types in the place
 * of files.
 */
#undef NDEBUG
#include "attack.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *backing_of(const struct specimen *specimen, const char *path)
{
	return specimen_object(specimen, path)->backing;
}

/* The directory of one with the last component of another. */
static void joined(const char *directory_of, const char *name_of, char ret_backing[600])
{
	const char *slash = strrchr(directory_of, '/'), *name = strrchr(name_of, '/');

	snprintf(ret_backing, 600, "%.*s%s", slash ? (int)(slash - directory_of + 1) : 0, directory_of,
		 name ? name + 1 : name_of);
}

static void link_backing(struct xtsfs_store *store, const char *from, const char *to)
{
	struct place a = place_get(store, from), b = place_get(store, to);

	(void)!store->ops->unlink(store, b.dir, b.name, 0);
	assert(store->ops->link(store, a.dir, a.name, b.dir, b.name) == 0);
	place_put(store, a);
	place_put(store, b);
}

static void exchange_all(struct specimen *specimen)
{
	const struct snapshot *truth = specimen->truth[CURRENT];

	for (unsigned a = 0; a < truth->count; a++)
		for (unsigned b = a + 1; b < truth->count; b++) {
			const struct object *one = &truth->object[a], *two = &truth->object[b];
			const char *slash = strrchr(one->backing, '/');
			size_t bytes = slash ? (size_t)(slash - one->backing) + 1 : 0;
			bool one_dir = strncmp(one->backing, two->backing, bytes) == 0 &&
				       !strchr(one->backing + bytes, '/') && !strchr(two->backing + bytes, '/');
			bool links = S_ISLNK(one->st.st_mode) && S_ISLNK(two->st.st_mode);
			struct xtsfs_store *store;

			if (strncmp(one->backing, two->backing, strlen(one->backing)) == 0 ||
			    strncmp(two->backing, one->backing, strlen(two->backing)) == 0)
				continue; /* a directory and what is in it */
			store = mutation_begin(specimen, CURRENT);
			backing_rename(store, one->backing, two->backing, RENAME_EXCHANGE);
			mutation_end(specimen, CURRENT,
				     links     ? "symlinks exchanged"
				     : one_dir ? "entries of a directory exchanged"
					       : "entries of two directories exchanged",
				     store, "%.40s, %.40s", one->path, two->path);
		}
}

static void move_and_remove(struct specimen *specimen)
{
	static const char *const into[] = {"d1/same", "d2/same", "d2/sub"};
	const struct snapshot *truth = specimen->truth[CURRENT];

	for (unsigned a = 0; a < truth->count; a++) {
		const struct object *one = &truth->object[a];
		struct xtsfs_store *store;
		char to[600];

		if (S_ISDIR(one->st.st_mode))
			continue;
		store = mutation_begin(specimen, CURRENT);
		backing_remove(store, one->backing);
		mutation_end(specimen, CURRENT, "entry removed", store, "%.40s", one->path);
		for (unsigned i = 0; i < 3; i++) {
			joined(backing_of(specimen, into[i]), one->backing, to);
			if (strcmp(to, one->backing) == 0)
				continue;
			store = mutation_begin(specimen, CURRENT);
			backing_rename(store, one->backing, to, 0);
			mutation_end(specimen, CURRENT, "entry moved to another directory", store,
				     "%.40s to that of %s", one->path, into[i]);
			store = mutation_begin(specimen, CURRENT);
			link_backing(store, one->backing, to);
			mutation_end(specimen, CURRENT, "hard link under a name of no directory", store,
				     "%.40s in that of %s", one->path, into[i]);
		}
		store = mutation_begin(specimen, CURRENT);
		link_backing(store, one->backing,
			     backing_of(specimen, one == specimen_object(specimen, "one-2") ? "one" : "one-2"));
		mutation_end(specimen, CURRENT, "hard link under another's name", store, "%.40s", one->path);
	}
	/* What was removed is a name again. */
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	const struct object *gone = NULL;

	for (unsigned i = 0; i < specimen->truth[OLDEST]->count; i++)
		if (strcmp(specimen->truth[OLDEST]->object[i].path, "gone") == 0)
			gone = &specimen->truth[OLDEST]->object[i];
	assert(gone);
	backing_put(store, gone->backing, "", 0);
	mutation_end(specimen, CURRENT, "removed entry put back", store, "gone");
}

static void make_up_names(struct specimen *specimen)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	static const char *const odd[] = {"...",
					  ".x",
					  "xtsfs.tmp.AAAAAAAAAAAAAAAAAAAAAA",
					  "xtsfs.long.",
					  "xtsfs.long.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					  "xtsfs.lost+found",
					  "a b",
					  "\n",
					  "\xff\xfe",
					  "%n%s%n",
					  "xtsfs.x",
					  "=",
					  "A",
					  "-rf",
					  "xtsfs.dirid.name"};
	char name[256];
	uint64_t random = 1;

	for (unsigned i = 0; i < (options.full ? 1000U : 60U) + sizeof(odd) / sizeof(odd[0]); i++) {
		struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
		char backing[600];

		if (i < sizeof(odd) / sizeof(odd[0])) {
			strcpy(name, odd[i]);
		} else {
			size_t chars = 1 + i * 37 % 255;

			for (size_t k = 0; k < chars; k++) {
				random = random * 6364136223846793005ULL + 1442695040888963407ULL;
				name[k] = digits[random >> 58];
			}
			name[chars] = '\0';
		}
		joined(backing_of(specimen, i % 2 ? "d1/same" : "one"), name, backing);
		if (i % 3 == 0)
			link_backing(store, backing_of(specimen, "one"), backing);
		else
			backing_put(store, backing, "junk", 4);
		mutation_end(specimen, CURRENT, "name made up", store, "%.60s", name);
	}
}

static void long_names(struct specimen *specimen)
{
	const struct snapshot *truth = specimen->truth[CURRENT];

	for (unsigned i = 0; i < truth->count; i++) {
		static const char *const texts[] = {"", "A", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "\n"};
		char file[700], huge[5000];
		struct xtsfs_store *store;

		if (strncmp(truth->object[i].backing, "xtsfs.long.", 11) != 0)
			continue;
		snprintf(file, sizeof(file), "%s.name", truth->object[i].backing);
		store = mutation_begin(specimen, CURRENT);
		backing_remove(store, file);
		mutation_end(specimen, CURRENT, ".name file changed", store, "removed");
		for (unsigned k = 0; k < 4; k++) {
			store = mutation_begin(specimen, CURRENT);
			backing_put(store, file, texts[k], strlen(texts[k]));
			mutation_end(specimen, CURRENT, ".name file changed", store, "'%s'", texts[k]);
		}
		memset(huge, 'A', sizeof(huge));
		store = mutation_begin(specimen, CURRENT);
		backing_put(store, file, huge, sizeof(huge));
		mutation_end(specimen, CURRENT, ".name file changed", store, "huge");
	}
}

static void dirids(struct specimen *specimen)
{
	static const char *const dirs[] = {"d1", "d2", "d2/sub"};
	char one[700], two[700];

	for (unsigned a = 0; a < 4; a++) {
		size_t bytes;
		uint8_t *id;
		struct xtsfs_store *store;

		snprintf(one, sizeof(one), "%s%sxtsfs.dirid", a < 3 ? backing_of(specimen, dirs[a]) : "",
			 a < 3 ? "/" : "");
		id = backing_read(specimen->store[CURRENT], one, &bytes);
		for (uint64_t cut = 0; cut < bytes + 2; cut += cut == bytes ? 2 : 1) {
			store = mutation_begin(specimen, CURRENT);
			if (cut == bytes)
				backing_remove(store, one);
			else
				backing_truncate(store, one, cut > bytes ? 49 : cut);
			mutation_end(specimen, CURRENT, "dirid cut, extended or removed", store, "%u to %llu", a,
				     (unsigned long long)cut);
		}
		for (unsigned b = 0; b < 3; b++) {
			if (a == b)
				continue;
			snprintf(two, sizeof(two), "%s/xtsfs.dirid", backing_of(specimen, dirs[b]));
			store = mutation_begin(specimen, CURRENT);
			backing_put(store, two, id, bytes);
			mutation_end(specimen, CURRENT, "dirid of another directory", store, "%u in %u", a, b);
			store = mutation_begin(specimen, CURRENT);
			backing_rename(store, one, two, RENAME_EXCHANGE);
			mutation_end(specimen, CURRENT, "dirid of another directory", store, "%u with %u", a, b);
		}
		free(id);
	}
}

static void links(struct specimen *specimen)
{
	static const char *const targets[] = {
		"/etc/passwd", "../../outside",
		".",	       "/",
		"A",	       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"xtsfs.conf"};

	for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		for (unsigned k = 0; k < 2; k++) {
			struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
			struct place place = place_get(store, backing_of(specimen, k ? "d1/same" : "symlink"));

			assert(store->ops->unlink(store, place.dir, place.name, 0) == 0 &&
			       store->ops->symlink(store, targets[i], place.dir, place.name, NULL) == 0);
			place_put(store, place);
			mutation_end(specimen, CURRENT, "symlink made up", store, "%s", targets[i]);
		}
}

/* Attributes of one, changed; those of two have the same stored names. */
static void attributes(struct specimen *specimen)
{
	struct place place = place_get(specimen->store[CURRENT], backing_of(specimen, "one"));
	char list[1024];
	ssize_t n = place.dir < 0 ? -1
				  : specimen->store[CURRENT]->ops->listxattr(specimen->store[CURRENT], place.dir,
									     place.name, list, sizeof(list));
	const char *previous = NULL;

	assert(n > 0);
	place_put(specimen->store[CURRENT], place);
	for (const char *name = list; name < list + n; previous = name, name += strlen(name) + 1) {
		for (unsigned what = 0; what < 5; what++) {
			struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
			struct place one = place_get(store, backing_of(specimen, "one"));
			struct place two = place_get(store, backing_of(specimen, what == 4 ? "several" : "one-2"));
			uint8_t value[1024], other[1024];
			ssize_t bytes = store->ops->getxattr(store, one.dir, one.name, name, value, sizeof(value)),
				others = 0;
			const char *attack = "attribute removed";
			int r = 0;

			if (what == 0)
				r = store->ops->removexattr(store, one.dir, one.name, name);
			if (what == 1) {
				attack = "attribute cut";
				r = store->ops->setxattr(store, one.dir, one.name, name, value, (size_t)bytes / 2, 0);
			}
			if (what == 2 && previous) {
				attack = "attribute values exchanged";
				others = store->ops->getxattr(store, one.dir, one.name, previous, other, sizeof(other));
				r = store->ops->setxattr(store, one.dir, one.name, name, other, (size_t)others, 0);
				r = r == 0 ? store->ops->setxattr(store, one.dir, one.name, previous, value,
								  (size_t)bytes, 0)
					   : r;
			}
			if (what >= 3) {
				attack = "attribute copied from another file";
				r = store->ops->setxattr(store, two.dir, two.name, name, value, (size_t)bytes, 0);
			}
			assert(r == 0);
			place_put(store, one);
			place_put(store, two);
			if (what == 2 && !previous)
				xtsfs_store_free(store);
			else
				mutation_end(specimen, CURRENT, attack, store, "%.40s", name);
		}
	}
}

static void outsides(struct specimen *specimen)
{
	static const char *const paths[] = {"one", "symlink", "d1", "d1/linked", "d2/sub"};
	static const mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG, S_IFDIR};

	for (unsigned i = 0; i < 5; i++) {
		struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
		struct place place = place_get(store, backing_of(specimen, paths[i]));

		assert(store->ops->chown(store, place.dir, place.name, 1000, 1000) == 0);
		if (i != 1)
			assert(store->ops->chmod(store, place.dir, place.name, 06777) == 0);
		place_put(store, place);
		mutation_end(specimen, CURRENT, "owner and mode changed", store, "%s", paths[i]);
	}
	for (unsigned i = 0; i < 6; i++) {
		struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
		struct place place = place_get(store, backing_of(specimen, i % 2 ? "one" : "d1/same"));

		assert(store->ops->unlink(store, place.dir, place.name, 0) == 0);
		if (types[i] == S_IFDIR)
			assert(store->ops->mkdir(store, place.dir, place.name, 0755, NULL) == 0);
		else
			assert(store->ops->mknod(store, place.dir, place.name, types[i] | 0644, 0x103, NULL) == 0);
		place_put(store, place);
		mutation_end(specimen, CURRENT, "another type in a file's place", store, "%o", types[i]);
	}
}

/* xtsfs' own files: what is for people, the marker, and others of their names. */
static void own_files(struct specimen *specimen)
{
	static const char junk[300] = "in use by\n\x1b[31m%n everybody";
	size_t bytes;
	uint8_t *marker = backing_read(specimen->store[CRASHED], "xtsfs.unclean", &bytes);
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);

	backing_put(store, "xtsfs.lock", junk, sizeof(junk));
	mutation_end(specimen, CURRENT, "lock file changed", store, "junk");
	store = mutation_begin(specimen, CURRENT);
	backing_remove(store, "xtsfs.lock");
	mutation_end(specimen, CURRENT, "lock file changed", store, "removed");
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i ? "xtsfs.backup" : "xtsfs.conf.bak";

		store = mutation_begin(specimen, CURRENT);
		backing_put(store, name, junk, sizeof(junk));
		mutation_end(specimen, CURRENT, "copy of xtsfs.conf, or the note of a backup, changed", store, "%s",
			     name);
	}
	for (size_t cut = 0; cut <= bytes + 1; cut++) {
		store = mutation_begin(specimen, CURRENT);
		backing_truncate(store, backing_of(specimen, "several-2"), 2 * CORE_B);
		if (cut == bytes)
			backing_put(store, "xtsfs.unclean", marker, bytes);
		else
			backing_put(store, "xtsfs.unclean", cut > bytes ? (const void *)junk : marker, cut);
		mutation_end(specimen, CURRENT, cut == bytes ? "unclean marker put back" : "unclean marker made up",
			     store, "%zu bytes", cut);
	}
	store = mutation_begin(specimen, CRASHED);
	backing_remove(store, "xtsfs.unclean");
	mutation_end(specimen, CRASHED, "unclean marker removed", store, "removed");
	free(marker);
}

void attack_entries(struct specimen *specimen)
{
	exchange_all(specimen);
	move_and_remove(specimen);
	make_up_names(specimen);
	long_names(specimen);
	dirids(specimen);
	links(specimen);
	attributes(specimen);
	outsides(specimen);
	own_files(specimen);
}
