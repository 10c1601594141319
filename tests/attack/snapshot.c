/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can be read of a volume, and of one object: sector by sector where not all of it can be had. */
#undef NDEBUG
#include "attack.h"

#include "core/path.h"
#include "format/ondisk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_content(struct core *core, struct xtsfs_node *node, struct object *object)
{
	size_t sectors;
	ssize_t n;

	object->error = xtsfs_open(core->volume, node, false);
	if (object->error < 0)
		return;
	assert(xtsfs_getattr(core->volume, node, &object->st) == 0);
	object->bytes = (uint64_t)object->st.st_size;
	assert(object->bytes < 64U << 20);
	sectors = (size_t)(object->bytes / CORE_B + 1);
	object->data = calloc(sectors + 1, CORE_B);
	object->bad = calloc(sectors, sizeof(*object->bad));
	assert(object->data && object->bad);
	n = xtsfs_read(core->volume, node, object->data, object->bytes + 1, 0);
	if (n < 0 && n != -EIO)
		object->error = (int)n;
	for (size_t i = 0; n == -EIO && i * CORE_B < object->bytes; i++) {
		size_t left = (size_t)(object->bytes - i * CORE_B), bytes = left < CORE_B ? left : CORE_B;
		ssize_t part = xtsfs_read(core->volume, node, object->data + i * CORE_B, bytes, i * CORE_B);

		object->bad[i] = part == -EIO;
		assert(part == -EIO || part == (ssize_t)bytes);
	}
	if (n >= 0 && (uint64_t)n != object->bytes)
		object->error = -EILSEQ; /* size and content do not agree */
	xtsfs_release(core->volume, node, false);
}

static void add_attr(struct core *core, struct xtsfs_node *node, const char *name, bool listed, struct object *object)
{
	unsigned i = object->attrs;

	assert(i < ATTRS_MAX && strlen(name) < sizeof(object->attr[i].name));
	strcpy(object->attr[i].name, name);
	object->attr[i].bytes = xtsfs_getxattr(core->volume, node, name, object->attr[i].value,
					       sizeof(object->attr[i].value));
	object->attr[i].listed = listed;
	object->attrs++;
}

static void read_attrs(struct core *core, struct xtsfs_node *node, const struct object *known, struct object *object)
{
	char list[2048];
	ssize_t n = xtsfs_listxattr(core->volume, node, list, sizeof(list));

	for (const char *name = list; n > 0 && name < list + n; name += strlen(name) + 1)
		add_attr(core, node, name, true, object);
	for (unsigned i = 0; known && i < known->attrs; i++) {
		bool had = false;

		for (unsigned k = 0; k < object->attrs; k++)
			had = had || strcmp(object->attr[k].name, known->attr[i].name) == 0;
		if (!had)
			add_attr(core, node, known->attr[i].name, false, object);
	}
}

void object_look(struct core *core, const char *path, const struct object *known, struct object *ret_object)
{
	struct object *object = ret_object;
	struct xtsfs_node *node;
	struct xtsfs_dir *dir;

	*object = (struct object){0};
	assert(strlen(path) < sizeof(object->path));
	strcpy(object->path, path);
	node = core_node(core, path, &object->st, &object->error);
	if (!node)
		return;
	if (S_ISREG(object->st.st_mode)) {
		read_content(core, node, object);
	} else if (S_ISLNK(object->st.st_mode)) {
		object->target = calloc(1, XTSFS_SYMLINK_MAX + 1);
		assert(object->target);
		object->error = xtsfs_readlink(core->volume, node, object->target);
	} else if (S_ISDIR(object->st.st_mode)) {
		object->error = xtsfs_opendir(core->volume, node, &dir);
		if (object->error == 0)
			xtsfs_closedir(dir);
	}
	read_attrs(core, node, known, object);
	core_forget(core, node);
}

void object_done(struct object *object)
{
	free(object->data);
	free(object->bad);
	free(object->target);
	*object = (struct object){0};
}

static const struct object *find(const struct snapshot *snapshot, const char *path)
{
	for (unsigned i = 0; i < snapshot->count; i++)
		if (strcmp(snapshot->object[i].path, path) == 0)
			return &snapshot->object[i];
	return NULL;
}

static void list_directory(struct core *core, const char *path, const struct snapshot *known, struct snapshot *snapshot)
{
	struct xtsfs_dirent entry;
	struct xtsfs_node *node;
	struct xtsfs_dir *dir;
	int r;

	node = core_node(core, path, NULL, &r);
	if (!node)
		return;
	r = xtsfs_opendir(core->volume, node, &dir);
	while (r == 0 && xtsfs_readdir(dir, &entry) > 0) {
		struct object *object = &snapshot->object[snapshot->count];
		char child[600];

		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		assert(snapshot->count < OBJECTS_MAX);
		assert((size_t)snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", entry.name) <
		       sizeof(child));
		object_look(core, child, known ? find(known, child) : NULL, object);
		object->listed = true;
		snapshot->count++;
	}
	if (r == 0)
		xtsfs_closedir(dir);
	core_forget(core, node);
}

struct snapshot *snapshot_take(struct core *core, const struct snapshot *known)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	assert(snapshot);
	list_directory(core, "", known, snapshot);
	for (unsigned i = 0; i < snapshot->count; i++)
		if (S_ISDIR(snapshot->object[i].st.st_mode) && snapshot->object[i].error == 0)
			list_directory(core, snapshot->object[i].path, known, snapshot);
	for (unsigned i = 0; known && i < known->count; i++)
		if (!find(snapshot, known->object[i].path)) {
			assert(snapshot->count < OBJECTS_MAX);
			object_look(core, known->object[i].path, &known->object[i],
				    &snapshot->object[snapshot->count++]);
		}
	for (unsigned i = 0; !known && i < snapshot->count; i++) {
		char *backing;

		assert(xtsfs_path_to_backing(core->volume, snapshot->object[i].path, &backing) == 0 &&
		       strlen(backing) < sizeof(snapshot->object[i].backing));
		strcpy(snapshot->object[i].backing, backing);
		free(backing);
	}
	return snapshot;
}

struct snapshot *snapshot_free(struct snapshot *snapshot)
{
	for (unsigned i = 0; snapshot && i < snapshot->count; i++)
		object_done(&snapshot->object[i]);
	free(snapshot);
	return NULL;
}
