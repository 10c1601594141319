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

int xtsfs_path_to_backing(struct xtsfs_volume *volume, const char *plain_path, char **ret_path)
{
	struct xtsfs_node *node = volume->root;
	char name[XTSFS_NAME_MAX + 1], *path = NULL;
	int r;

	xtsfs_node_ref(volume, node);
	while ((r = next_component(&plain_path, name)) > 0) {
		struct xtsfs_backing_name backing;
		uint8_t dirid[XTSFS_ID_BYTES];
		struct stat st;

		r = xtsfs_dirid_get(volume, node, dirid);
		if (r == 0)
			r = xtsfs_names_seal(volume, dirid, name, &backing);
		if (r == 0)
			r = append(&path, backing.entry);
		if (r == 0 && !is_last(plain_path))
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

int xtsfs_path_to_plain(struct xtsfs_volume *volume, const char *backing_path, char **ret_path)
{
	struct xtsfs_node *node = volume->root;
	char entry[XTSFS_NAME_MAX + 1], name[XTSFS_NAME_MAX + 1], *path = NULL;
	int r;

	xtsfs_node_ref(volume, node);
	while ((r = next_component(&backing_path, entry)) > 0) {
		enum xtsfs_name_kind kind = xtsfs_name_classify(entry, node->is_root);
		uint8_t dirid[XTSFS_ID_BYTES];
		struct xtsfs_fd *fd;
		struct stat st;

		r = kind == XTSFS_NAME_KIND_SHORT || kind == XTSFS_NAME_KIND_LONG ? 0 : -EINVAL;
		if (r == 0)
			r = xtsfs_dirid_get(volume, node, dirid);
		if (r == 0)
			r = xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd);
		if (r < 0)
			break;
		r = xtsfs_names_open(volume, dirid, fd->handle, entry, name);
		xtsfs_fd_put(volume, fd);
		if (r == 0)
			r = append(&path, name);
		if (r == 0 && !is_last(backing_path))
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
