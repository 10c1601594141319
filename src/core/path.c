/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking paths component by component. Only a directory's id is needed to go on, so the two mappings work as long as
 * the directories on the way are sound.
 */
#include "core/path.h"

#include "core/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The next component of *path into @ret_name; 0 at the end. */
static int next_component(const char **path, char ret_name[XTSFS_NAME_MAX + 1])
{
	const char *start = *path + strspn(*path, "/");
	size_t bytes = strcspn(start, "/");

	if (bytes == 0)
		return 0;
	if (bytes > XTSFS_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(ret_name, start, bytes);
	ret_name[bytes] = '\0';
	*path = start + bytes;
	return strcmp(ret_name, ".") == 0 || strcmp(ret_name, "..") == 0 ? -EINVAL : 1;
}

static bool is_last(const char *path)
{
	return path[strspn(path, "/")] == '\0';
}

static int append(char **path, const char *name)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s", *path ? *path : "", *path ? "/" : "", name) < 0)
		return -ENOMEM;
	free(*path);
	*path = longer;
	return 0;
}

/* Replaces *node (referenced unless the root) by the entry's. */
static int descend(struct xtsfs_volume *volume, struct xtsfs_node **node, const char *name, struct stat *ret_stat)
{
	struct xtsfs_node *next;
	int r = S_ISDIR((*node)->type) ? xtsfs_lookup(volume, *node, name, &next, ret_stat) : -ENOTDIR;

	if (r < 0)
		return r;
	xtsfs_node_unref(volume, *node, 1);
	*node = next;
	return 0;
}

int xtsfs_path_lookup(struct xtsfs_volume *volume, const char *plain_path, struct xtsfs_node **ret_node,
		      struct stat *ret_stat)
{
	struct xtsfs_node *node = volume->root;
	char name[XTSFS_NAME_MAX + 1];
	struct stat st;
	int r;

	xtsfs_node_ref(volume, node);
	r = xtsfs_getattr(volume, node, &st);
	while (r == 0 && (r = next_component(&plain_path, name)) > 0)
		r = descend(volume, &node, name, &st);
	if (r < 0) {
		xtsfs_node_unref(volume, node, 1);
		return r;
	}
	*ret_node = node;
	*ret_stat = st;
	return 0;
}

/* What a walk down a plain path tells of the backing directory. */
struct walk {
	struct xtsfs_volume *volume;
	xtsfs_path_each each; /* NULL: nothing but the path is wanted */
	void *data;
	char *path; /* backing, so far; NULL in the root */
};

static int tell(const struct walk *walk, const char *name, const char *suffix)
{
	xtsfs_auto_free char *text = NULL;

	if (!walk->each)
		return 0;
	if (asprintf(&text, "%s%s%s%s", walk->path ? walk->path : "", walk->path && name[0] ? "/" : "", name, suffix) <
	    0) {
		text = NULL;
		return -ENOMEM;
	}
	return walk->each(walk->data, text);
}

/* Of the root: without these nothing can be read, or not by the rules that hold for it. */
static int tell_root(const struct walk *walk)
{
	struct xtsfs_store *store = walk->volume->store;
	struct stat st;
	int r;

	if (!walk->each)
		return 0;
	r = tell(walk, XTSFS_NAME_CONF, "");
	if (r == 0)
		r = tell(walk, XTSFS_NAME_DIRID, "");
	if (r == 0 && store->ops->stat(store, store->root, XTSFS_NAME_UNCLEAN, &st) == 0)
		r = tell(walk, XTSFS_NAME_UNCLEAN, "");
	return r;
}

/* One component: what belongs to it, and *node becomes its node, if there is need of one. */
static int walk_down(struct walk *walk, struct xtsfs_node **node, const char *name, bool last)
{
	struct xtsfs_backing_name backing;
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_fd *fd;
	struct stat st;
	int r = xtsfs_dirid_get(walk->volume, *node, dirid);

	if (r == 0)
		r = xtsfs_fd_get(walk->volume, *node, XTSFS_ACCESS_PATH, &fd);
	if (r == 0) {
		r = xtsfs_names_find(walk->volume, dirid, fd->handle, name, &backing, &st);
		xtsfs_fd_put(walk->volume, fd);
		r = r == -ENOENT ? 0 : r; /* where it would be */
	}
	if (r == 0 && backing.long_text[0])
		r = tell(walk, backing.entry, XTSFS_NAME_LONG_SUFFIX);
	if (r == 0)
		r = append(&walk->path, backing.entry);
	if (r == 0)
		r = tell(walk, "", "");
	if (r < 0 || (last && !walk->each))
		return r;
	r = descend(walk->volume, node, name, &st);
	if (r == -ENOENT && last)
		return 0; /* where it would be */
	return r == 0 && S_ISDIR(st.st_mode) ? tell(walk, XTSFS_NAME_DIRID, "") : r;
}

static int walk_path(struct walk *walk, const char *plain_path)
{
	struct xtsfs_node *node = walk->volume->root;
	char name[XTSFS_NAME_MAX + 1];
	int r = tell_root(walk);

	xtsfs_node_ref(walk->volume, node);
	while (r == 0 && (r = next_component(&plain_path, name)) > 0)
		r = walk_down(walk, &node, name, is_last(plain_path));
	xtsfs_node_unref(walk->volume, node, 1);
	return r;
}

int xtsfs_path_to_backing(struct xtsfs_volume *volume, const char *plain_path, char **ret_path)
{
	struct walk walk = {.volume = volume};
	int r = walk_path(&walk, plain_path);

	if (r == 0 && !walk.path)
		r = append(&walk.path, ".");
	if (r < 0)
		free(walk.path);
	else
		*ret_path = walk.path;
	return r;
}

int xtsfs_path_belongings(struct xtsfs_volume *volume, const char *plain_path, xtsfs_path_each each, void *data)
{
	struct walk walk = {.volume = volume, .each = each, .data = data};
	int r = walk_path(&walk, plain_path);

	free(walk.path);
	return r;
}

int xtsfs_path_of_node(struct xtsfs_volume *volume, struct xtsfs_node *node, char **ret_path)
{
	char *path = NULL;
	int r = 0;

	/* No name moves meanwhile, so the parents stay, with or without our references. */
	xtsfs_guard_shared(&volume->names_lock);

	while (r == 0 && !node->is_root) {
		struct xtsfs_node *parent;
		char *name, *longer;

		r = xtsfs_node_link(volume, node, &parent, &name);
		if (r < 0)
			break;
		if (asprintf(&longer, "%s%s%s", name, path ? "/" : "", path ? path : "") < 0)
			r = -ENOMEM;
		free(name);
		xtsfs_node_unref(volume, parent, 1);
		node = parent;
		if (r == 0) {
			free(path);
			path = longer;
		}
	}
	if (r == 0 && !path)
		r = append(&path, ".");
	if (r < 0)
		free(path);
	else
		*ret_path = path;
	return r == -ESTALE ? -ENODATA : r;
}

/* The plain name of an entry; with @belonging of the one that a .name file belongs to, and "" for what is the
 * directory's own. */
static int entry_to_plain(struct xtsfs_volume *volume, struct xtsfs_node *node, char *entry, bool belonging,
			  char ret_name[XTSFS_NAME_MAX + 1])
{
	enum xtsfs_name_kind kind = xtsfs_name_classify(entry, node->is_root);
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_fd *fd;
	int r;

	if (belonging && kind == XTSFS_NAME_KIND_OWN && strcmp(entry, XTSFS_NAME_LOST) != 0) {
		ret_name[0] = '\0';
		return 0;
	}
	if (belonging && kind == XTSFS_NAME_KIND_LONG_NAME) {
		entry[XTSFS_NAME_LONG_CHARS] = '\0';
		kind = XTSFS_NAME_KIND_LONG;
	}
	r = kind == XTSFS_NAME_KIND_SHORT || kind == XTSFS_NAME_KIND_LONG ? 0 : -EINVAL;
	if (r == 0)
		r = xtsfs_dirid_get(volume, node, dirid);
	if (r == 0)
		r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	r = xtsfs_names_open(volume, dirid, fd->handle, entry, ret_name);
	xtsfs_fd_put(volume, fd);
	return r;
}

int xtsfs_path_to_plain(struct xtsfs_volume *volume, const char *backing_path, bool belonging, char **ret_path)
{
	struct xtsfs_node *node = volume->root;
	char entry[XTSFS_NAME_MAX + 1], name[XTSFS_NAME_MAX + 1], *path = NULL;
	int r;

	xtsfs_node_ref(volume, node);
	while ((r = next_component(&backing_path, entry)) > 0) {
		bool last = is_last(backing_path);
		struct stat st;

		r = entry_to_plain(volume, node, entry, belonging && last, name);
		if (r == 0 && name[0])
			r = append(&path, name);
		if (r == 0 && !last)
			r = descend(volume, &node, name, &st);
		if (r < 0)
			break;
	}
	xtsfs_node_unref(volume, node, 1);
	if (r == 0 && !path)
		r = append(&path, ".");
	if (r < 0)
		free(path);
	else
		*ret_path = path;
	return r;
}
