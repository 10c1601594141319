/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-encryption as a whole: the beginning, the walk, the end (docs/reencrypt.md).
 *
 * Nothing is remembered of what is done: an object says itself which key it is under. So a walk that was interrupted
 * is simply begun again. The last walk is one that finds nothing: entries may be left out of a listing that is being
 * changed, and others may move what is not done yet to where the walk has been.
 *
 * What cannot be done is told, and the walk goes on; but then the old key stays.
 */
#include "core/reencrypt.h"

#include "core/fs.h"
#include "core/internal.h"
#include "core/keyslot.h"
#include "crypto/kdf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- beginning and end ---- */

static int keep_one_slot(struct xtsfs_config *config, int slot)
{
	for (unsigned i = 0; i < config->slot_count; i++) {
		if (config->slots[i].id != (unsigned)slot)
			continue;
		config->slots[0] = config->slots[i];
		config->slot_count = 1;
		return 0;
	}
	return -ENOENT;
}

int xtsfs_reencrypt_begin(struct xtsfs_store *store, struct xtsfs_conf *conf, const struct xtsfs_secret *old_key,
			  int slot, const struct xtsfs_secret *slot_key, struct xtsfs_secret **ret_new_key)
{
	struct xtsfs_config *config = conf->config;
	xtsfs_auto_secret *key = NULL;
	int r;

	if (config->reencrypting)
		return -EALREADY;
	if (config->key_generation >= XTSFS_KEY_GENERATION_MAX)
		return -EOVERFLOW;
	r = xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &key);
	if (r == 0)
		r = xtsfs_random_secret(key->data, key->bytes);
	if (r == 0)
		r = keep_one_slot(config, slot);
	if (r == 0)
		r = xtsfs_keyslot_rewrap(&config->slots[0], config->uuid, slot_key, key);
	if (r == 0)
		r = xtsfs_keys_wrap_old(key, old_key, config->uuid, &config->old_key);
	if (r < 0)
		return r;
	config->reencrypting = true;
	config->key_generation++;
	r = xtsfs_conf_save(store, conf, key, /* exclusive= */ false);
	if (r < 0)
		return r;
	*ret_new_key = key;
	key = NULL;
	return 0;
}

int xtsfs_reencrypt_lost(struct xtsfs_store *store)
{
	_Alignas(struct dirent64) char buffer[4096];
	int handle = store->ops->open(store, store->root, XTSFS_NAME_LOST, O_RDONLY | O_DIRECTORY, 0, NULL), filled = 0;
	ssize_t n = 0;

	if (handle < 0)
		return handle == -ENOENT ? 0 : handle;
	while (!filled && (n = store->ops->getdents(store, handle, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *record = (const struct dirent64 *)(const void *)(buffer + at);

			at += record->d_reclen;
			if (strcmp(record->d_name, ".") != 0 && strcmp(record->d_name, "..") != 0)
				filled = 1;
		}
	}
	store->ops->close(store, handle);
	return n < 0 ? (int)n : filled;
}

int xtsfs_reencrypt_end(struct xtsfs_store *store, struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key)
{
	int r = xtsfs_conf_verify(conf, volume_key);

	if (r < 0)
		return r;
	conf->config->reencrypting = false;
	memset(&conf->config->old_key, 0, sizeof(conf->config->old_key));
	return xtsfs_conf_save(store, conf, volume_key, /* exclusive= */ false);
}

/* ---- the walk ---- */

struct walk {
	struct xtsfs_volume *volume;
	const struct xtsfs_reencrypt_options *options;
	struct xtsfs_reencrypt_totals totals;
	uint64_t bytes_before; /* of the file that is at work */
	int error;	       /* that ends the walk */
};

/* A directory on the way down. */
struct place {
	const struct place *parent;
	const char *name; /* NULL in the root */
	struct xtsfs_node *node;
	uint8_t dirid[XTSFS_ID_BYTES];
	char **subdirs;
	size_t subdir_count, subdir_room;
};

static char *path_of(const struct place *place, const char *name)
{
	char *path = name ? strdup(name) : NULL;

	for (; place && place->name; place = place->parent) {
		char *longer;

		if (asprintf(&longer, "%s%s%s", place->name, path ? "/" : "", path ? path : "") < 0)
			longer = NULL;
		free(path);
		path = longer;
	}
	return path;
}

static void tell(struct walk *walk, const struct place *place, const char *name, const char *what, int error)
{
	xtsfs_auto_free char *path = path_of(place, name);
	xtsfs_auto_free char *shown = NULL;

	if (asprintf(&shown, "/%s", path ? path : "") < 0)
		shown = NULL;
	walk->totals.problems++;
	if (walk->options->problem)
		walk->options->problem(walk->options->data, shown ? shown : "?", what, error);
	/* Every further file in sectors would fail likewise. */
	if (__atomic_load_n(&walk->volume->has_torn, __ATOMIC_ACQUIRE) && walk->error == 0)
		walk->error = error;
}

static bool goes_on(struct walk *walk)
{
	if (walk->error == 0 && walk->options->cancel && *walk->options->cancel)
		walk->error = -ECANCELED;
	return walk->error == 0;
}

static void show_progress(struct walk *walk)
{
	if (walk->options->progress)
		walk->options->progress(walk->options->data, &walk->totals);
}

/* @r: of something that was to be renewed. Gone meanwhile is as good. */
static void note(struct walk *walk, const struct place *place, const char *name, const char *what, int r)
{
	if (r > 0)
		walk->totals.renewed++;
	else if (r < 0 && r != -ENOENT && r != -ESTALE && r != -ECANCELED)
		tell(walk, place, name, what, r);
}

static int paced(void *data, uint64_t bytes)
{
	struct walk *walk = data;

	walk->totals.bytes += bytes;
	show_progress(walk);
	return goes_on(walk) ? 0 : -ECANCELED;
}

static bool add_subdir(struct place *place, const char *name)
{
	if (place->subdir_count == place->subdir_room) {
		size_t room = place->subdir_room ? place->subdir_room * 2 : 16;
		char **longer = realloc(place->subdirs, room * sizeof(*longer));

		if (!longer)
			return false;
		place->subdirs = longer;
		place->subdir_room = room;
	}
	place->subdirs[place->subdir_count] = strdup(name);
	return place->subdirs[place->subdir_count] && ++place->subdir_count;
}

static int renew_link(struct walk *walk, struct place *place, int dir_handle, const char *name, struct xtsfs_node *node)
{
	struct xtsfs_backing_name backing;
	struct stat st;
	int r = xtsfs_names_find(walk->volume, place->dirid, dir_handle, name, &backing, &st);

	return r < 0 ? r : xtsfs_renew_symlink(walk->volume, place->node, backing.entry, node);
}

static void renew_entry(struct walk *walk, struct place *place, int dir_handle, const char *name)
{
	struct xtsfs_volume *volume = walk->volume;
	struct xtsfs_node *node;
	struct stat st;
	int r;

	note(walk, place, name, "its name", xtsfs_renew_name(volume, place->node, dir_handle, place->dirid, name));
	r = xtsfs_lookup(volume, place->node, name, &node, &st);
	if (r < 0) {
		note(walk, place, name, "looking at it", r);
		return;
	}
	if (S_ISDIR(node->type)) {
		if (!add_subdir(place, name))
			walk->error = -ENOMEM;
	} else {
		note(walk, place, name, "its attributes", xtsfs_renew_xattrs(volume, node));
		if (S_ISREG(node->type))
			note(walk, place, name, "its content", xtsfs_renew_file(volume, node, paced, walk));
		else if (S_ISLNK(node->type))
			note(walk, place, name, "its target", renew_link(walk, place, dir_handle, name, node));
		walk->totals.files += S_ISREG(node->type);
		walk->totals.others += !S_ISREG(node->type);
	}
	xtsfs_forget(volume, node, 1);
	show_progress(walk);
}

static int renew_entries(struct walk *walk, struct place *place)
{
	struct xtsfs_volume *volume = walk->volume;
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	struct xtsfs_fd *fd;
	int r = xtsfs_fd_get(volume, place->node, XTSFS_ACCESS_PATH, &fd);

	if (r < 0)
		return r;
	r = xtsfs_opendir(volume, place->node, &dir);
	if (r < 0) {
		xtsfs_fd_put(volume, fd);
		return r;
	}
	while (goes_on(walk) && (r = xtsfs_readdir(dir, &entry)) > 0)
		if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0)
			renew_entry(walk, place, fd->handle, entry.name);
	if (xtsfs_dir_lost(dir))
		tell(walk, place, NULL, "names in it, which do not decrypt", -XTSFS_EAUTH);
	xtsfs_closedir(dir);
	xtsfs_fd_put(volume, fd);
	return r < 0 ? r : 0;
}

/*
 * A directory whose mode keeps us out, though it is ours (we are not root), gets access while we are in it and below.
 * A crash leaves it so.
 */
static bool widen(struct xtsfs_volume *volume, struct xtsfs_node *node, mode_t *ret_mode)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_fd *fd;
	struct stat st;
	bool done = false;

	if (geteuid() == 0 || xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd) < 0)
		return false;
	if (store->ops->fstat(store, fd->handle, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0700) != 0700) {
		*ret_mode = st.st_mode & 07777;
		done = store->ops->chmod(store, fd->handle, NULL, *ret_mode | 0700) == 0;
	}
	xtsfs_fd_put(volume, fd);
	return done;
}

static void narrow(struct xtsfs_volume *volume, struct xtsfs_node *node, mode_t mode)
{
	struct xtsfs_fd *fd;
	int r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd);

	if (r == 0) {
		r = volume->store->ops->chmod(volume->store, fd->handle, NULL, mode);
		xtsfs_fd_put(volume, fd);
	}
	if (r < 0)
		xtsfs_warning("cannot restore the mode of a directory: %s; its owner has access now",
			      xtsfs_strerror(r));
}

static void walk_directory(struct walk *walk, const struct place *parent, const char *name, struct xtsfs_node *node)
{
	struct place place = {.parent = parent, .name = name, .node = node};
	mode_t mode = 0;
	bool widened = widen(walk->volume, node, &mode);
	int r;

	walk->totals.directories++;
	r = xtsfs_renew_dirid(walk->volume, node);
	note(walk, parent, name, "its id", r);
	if (r >= 0)
		r = xtsfs_dirid_get(walk->volume, node, place.dirid);
	if (r >= 0) {
		note(walk, parent, name, "its attributes", xtsfs_renew_xattrs(walk->volume, node));
		note(walk, parent, name, "listing it", renew_entries(walk, &place));
	}
	for (size_t i = 0; i < place.subdir_count; i++) {
		struct xtsfs_node *child;
		struct stat st;

		r = goes_on(walk) ? xtsfs_lookup(walk->volume, node, place.subdirs[i], &child, &st) : -ENOENT;
		if (r == 0 && S_ISDIR(child->type))
			walk_directory(walk, &place, place.subdirs[i], child);
		if (r == 0)
			xtsfs_forget(walk->volume, child, 1);
		else
			note(walk, &place, place.subdirs[i], "looking at it", r);
		free(place.subdirs[i]);
	}
	free(place.subdirs);
	if (widened)
		narrow(walk->volume, node, mode);
}

/* Files that are open and have no name: they may still get one. */
static int renew_nameless(struct walk *walk)
{
	struct xtsfs_volume *volume = walk->volume;
	struct xtsfs_node **list;
	size_t count;
	int r = xtsfs_nodes_hold(volume, &list, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count && goes_on(walk); i++) {
		xtsfs_auto_free char *name = NULL;
		struct xtsfs_node *parent;

		if (!S_ISREG(list[i]->type))
			continue;
		if (xtsfs_node_link(volume, list[i], &parent, &name) == 0)
			xtsfs_node_unref(volume, parent, 1);
		else
			note(walk, NULL, NULL, "an open file without a name",
			     xtsfs_renew_file(volume, list[i], paced, walk));
	}
	xtsfs_nodes_let_go(volume, list, count);
	return walk->error;
}

/* One walk over everything. 1: the next may find more. */
static int walk_once(struct walk *walk)
{
	struct xtsfs_volume *volume = walk->volume;
	uint64_t renewed = walk->totals.renewed, moves = __atomic_load_n(&volume->moves, __ATOMIC_RELAXED);
	int r;

	walk->totals.walks++;
	walk->totals.directories = walk->totals.files = walk->totals.others = walk->totals.problems = 0;
	walk_directory(walk, NULL, NULL, xtsfs_root(volume));
	if (walk->error == 0)
		walk->error = renew_nameless(walk);
	r = xtsfs_reencrypt_lost(volume->store);
	if (r != 0)
		tell(walk, NULL, XTSFS_NAME_LOST, "what repairs moved there (move or remove it)",
		     r < 0 ? r : -ENOTEMPTY);
	if (walk->error)
		return walk->error;
	return walk->totals.renewed != renewed || __atomic_load_n(&volume->moves, __ATOMIC_RELAXED) != moves;
}

int xtsfs_reencrypt_run(struct xtsfs_volume *volume, const struct xtsfs_reencrypt_options *options,
			struct xtsfs_reencrypt_totals *ret_totals)
{
	struct walk walk = {.volume = volume, .options = options};
	int r;

	*ret_totals = walk.totals;
	if (volume->read_only)
		return -EROFS;
	if (!volume->keys->old)
		return -EINVAL;
	r = xtsfs_renew_marker(volume);
	if (r < 0)
		return r;
	do
		r = walk_once(&walk);
	while (r > 0);
	if (r == 0)
		r = volume->store->ops->syncfs(volume->store);
	*ret_totals = walk.totals;
	if (r == 0 && walk.totals.problems)
		r = 1;
	return r;
}
