/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up and listing in the reverse view.
 *
 * A lookup decrypts the name and asks the source for it. Only the hash of a long name is known: those that were met are
 * remembered, and for one that was not the directory is searched.
 *
 * A listing gives the directory's own files first, then an entry for each of the source, two for one with a long name.
 * Positions are counted: the source's own have no room for two. Who goes back to one reads from the beginning.
 */
#include "core/reverse-internal.h"

#include "base/ignore.h"
#include "store/aside.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_SLOTS	  16384U
#define LIST_BUFFER_BYTES 32768U

/* ---- what is shown ---- */

char *xtsfs_reverse_path(const struct xtsfs_node *dir)
{
	size_t bytes = 1;
	char *path, *at;

	for (const struct xtsfs_node *node = dir; !node->is_root; node = node->links->parent)
		bytes += strlen(node->links->backing_name) + 1;
	path = malloc(bytes);
	if (!path)
		return NULL;
	at = path + bytes;
	*--at = '\0';
	for (const struct xtsfs_node *node = dir; !node->is_root; node = node->links->parent) {
		size_t part = strlen(node->links->backing_name);

		*--at = '/';
		at -= part;
		memcpy(at, node->links->backing_name, part);
	}
	return path;
}

bool xtsfs_reverse_shows(struct xtsfs_volume *volume, const struct xtsfs_node *dir, const char *dir_path,
			 const char *name, bool is_dir)
{
	xtsfs_auto_free char *path = NULL;

	if (dir->is_root && strncmp(name, XTSFS_NAME_ASIDE, sizeof(XTSFS_NAME_ASIDE) - 1) == 0)
		return false;
	if (!volume->reverse->params.ignore)
		return true;
	if (asprintf(&path, "%s%s", dir_path, name) < 0) {
		path = NULL;
		return false;
	}
	return !xtsfs_ignore_matches(volume->reverse->params.ignore, path, is_dir);
}

/* Of another filesystem, and those are left out: a directory is shown empty, other things not at all. */
static bool is_outside(const struct xtsfs_volume *volume, dev_t dev)
{
	return volume->reverse->params.one_file_system && dev != volume->reverse->dev;
}

/* ---- long names ---- */

struct xtsfs_reverse_long {
	char entry[XTSFS_NAME_LONG_CHARS + 1];
	char name[];
};

static size_t long_slot(const char *entry)
{
	const char *hash = entry + sizeof(XTSFS_NAME_LONG) - 1;
	size_t slot = 0;

	for (unsigned i = 0; i < 8; i++)
		slot = slot * 31 + (unsigned char)hash[i];
	return slot % LONG_SLOTS;
}

/* Without memory it is not remembered. */
static void long_remember(struct xtsfs_reverse *reverse, const char *entry, const char *name)
{
	size_t bytes = strlen(name) + 1;
	struct xtsfs_reverse_long *known = malloc(sizeof(*known) + bytes), **slot;

	if (!known)
		return;
	memcpy(known->entry, entry, sizeof(known->entry));
	memcpy(known->name, name, bytes);
	{
		xtsfs_guard_mutex(&reverse->long_mutex);
		if (!reverse->longs)
			reverse->longs = calloc(LONG_SLOTS, sizeof(struct xtsfs_reverse_long *));
		if (reverse->longs) {
			slot = &reverse->longs[long_slot(entry)];
			struct xtsfs_reverse_long *before = *slot;

			*slot = known;
			known = before;
		}
	}
	free(known);
}

static bool long_find(struct xtsfs_reverse *reverse, const char *entry, char ret_name[XTSFS_NAME_MAX + 1])
{
	xtsfs_guard_mutex(&reverse->long_mutex);
	const struct xtsfs_reverse_long *known = reverse->longs ? reverse->longs[long_slot(entry)] : NULL;

	if (!known || strcmp(known->entry, entry) != 0)
		return false;
	strcpy(ret_name, known->name);
	return true;
}

void xtsfs_reverse_longs_free(struct xtsfs_reverse *reverse)
{
	for (size_t i = 0; reverse->longs && i < LONG_SLOTS; i++)
		free(reverse->longs[i]);
	free(reverse->longs);
	reverse->longs = NULL;
}

/* Which of the directory's names is it? A name that is found is one that is remembered. -ENOENT */
static int long_search(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *entry,
		       char ret_name[XTSFS_NAME_MAX + 1])
{
	struct xtsfs_reverse_list *list;
	struct xtsfs_dirent dirent;
	int r = xtsfs_reverse_list_new(volume, dir, &list);

	if (r < 0)
		return r;
	while ((r = xtsfs_reverse_list_next(list, &dirent)) > 0)
		if (strcmp(dirent.name, entry) == 0 && long_find(volume->reverse, entry, ret_name))
			break;
	xtsfs_reverse_list_free(list);
	return r < 0 ? r : r > 0 ? 0 : -ENOENT;
}

/* ---- lookup ---- */

static int virtual_node(struct xtsfs_volume *volume, struct xtsfs_node *dir, enum xtsfs_virtual kind, const char *shown,
			const char *of, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct stat key = {.st_dev = (dev_t)0 - (dev_t)kind, .st_mode = S_IFREG};
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_node *node;
	int r = xtsfs_dirid_get(volume, dir, dirid);

	if (r == 0)
		r = xtsfs_reverse_virtual_ino(volume, dirid, shown, &key.st_ino);
	if (r == 0)
		r = xtsfs_node_get(volume, &key, dir, of, &node);
	if (r < 0)
		return r;
	r = xtsfs_reverse_virtual_stat(volume, node, ret_stat);
	if (r < 0)
		xtsfs_node_unref(volume, node, 1);
	else
		*ret_node = node;
	return r;
}

static int lookup_own(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
		      struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	enum xtsfs_virtual kind = XTSFS_VIRTUAL_NONE;

	if (strcmp(name, XTSFS_NAME_DIRID) == 0)
		kind = XTSFS_VIRTUAL_DIRID;
	else if (dir->is_root && strcmp(name, XTSFS_NAME_CONF) == 0)
		kind = XTSFS_VIRTUAL_CONF;
	else if (dir->is_root && strcmp(name, XTSFS_NAME_CONF_COPY) == 0)
		kind = XTSFS_VIRTUAL_CONF_COPY;
	return kind ? virtual_node(volume, dir, kind, name, name, ret_node, ret_stat) : -ENOENT;
}

/* What is there in the source, if it is in the view. */
static int find(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, struct stat *ret_stat)
{
	xtsfs_auto_free char *path = xtsfs_reverse_path(dir);
	struct xtsfs_fd *fd;
	int r = path ? xtsfs_fd_get(volume, dir, XTSFS_ACCESS_PATH, &fd) : -ENOMEM;

	if (r < 0)
		return r;
	r = volume->store->ops->stat(volume->store, fd->handle, name, ret_stat);
	xtsfs_fd_put(volume, fd);
	if (r == 0 &&
	    (is_outside(volume, dir->dev) || (is_outside(volume, ret_stat->st_dev) && !S_ISDIR(ret_stat->st_mode)) ||
	     !xtsfs_reverse_shows(volume, dir, path, name, S_ISDIR(ret_stat->st_mode))))
		return -ENOENT;
	return r;
}

static int found(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, const struct stat *st,
		 struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	struct xtsfs_node *node;
	uint8_t dirid[XTSFS_ID_BYTES];
	int r = xtsfs_node_get(volume, st, dir, name, &node);

	if (r < 0)
		return r;
	r = xtsfs_reverse_stat(volume, dir, name, st, ret_stat);
	if (r == 0 && S_ISDIR(st->st_mode))
		r = xtsfs_dirid_get(volume, node, dirid);
	if (r < 0)
		xtsfs_node_unref(volume, node, 1);
	else
		*ret_node = node;
	return r;
}

int xtsfs_reverse_lookup(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
			 struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	enum xtsfs_name_kind kind = xtsfs_name_classify(name, dir->is_root);
	char plain[XTSFS_NAME_MAX + 1], entry[XTSFS_NAME_LONG_CHARS + 1];
	uint8_t dirid[XTSFS_ID_BYTES];
	struct stat st;
	int r = xtsfs_dirid_get(volume, dir, dirid);

	if (r < 0)
		return r;
	switch (kind) {
	case XTSFS_NAME_KIND_OWN:
		return lookup_own(volume, dir, name, ret_node, ret_stat);
	case XTSFS_NAME_KIND_SHORT:
		r = xtsfs_names_open_text(volume, dirid, name, plain);
		break;
	case XTSFS_NAME_KIND_LONG:
	case XTSFS_NAME_KIND_LONG_NAME:
		snprintf(entry, sizeof(entry), "%s", name);
		r = long_find(volume->reverse, entry, plain) ? 0 : long_search(volume, dir, entry, plain);
		break;
	default:
		return -ENOENT;
	}
	if (r < 0)
		return r == -XTSFS_EAUTH || r == -XTSFS_EDAMAGED ? -ENOENT : r;
	r = find(volume, dir, plain, &st);
	if (r < 0)
		return r;
	return kind == XTSFS_NAME_KIND_LONG_NAME
		       ? virtual_node(volume, dir, XTSFS_VIRTUAL_NAME, name, plain, ret_node, ret_stat)
		       : found(volume, dir, plain, &st, ret_node, ret_stat);
}

/* ---- listing ---- */

struct xtsfs_reverse_list {
	struct xtsfs_volume *volume;
	struct xtsfs_node *node; /* referenced */
	char *path;		 /* of the directory, for what is left out */
	uint8_t dirid[XTSFS_ID_BYTES];
	int handle;
	int64_t position; /* entries given */
	unsigned own;	  /* of the directory's own files */
	bool again;	  /* the last one comes again */
	bool twin;	  /* next is the .name file of the last one */
	size_t at, filled;
	struct xtsfs_dirent last;
	char plain[XTSFS_NAME_MAX + 1]; /* of the last one */
	char shown[XTSFS_NAME_MAX + sizeof(XTSFS_NAME_LONG_SUFFIX)];
	_Alignas(struct dirent64) char buffer[LIST_BUFFER_BYTES];
};

int xtsfs_reverse_list_new(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_reverse_list **ret_list)
{
	struct xtsfs_reverse_list *list = calloc(1, sizeof(*list));
	struct xtsfs_fd *fd;
	int r = list ? xtsfs_dirid_get(volume, node, list->dirid) : -ENOMEM;

	if (r == 0) {
		list->path = xtsfs_reverse_path(node);
		r = list->path ? xtsfs_fd_get(volume, node, XTSFS_ACCESS_PATH, &fd) : -ENOMEM;
	}
	if (r == 0) {
		list->handle = xtsfs_open_existing(volume, fd->handle, ".", O_RDONLY | O_DIRECTORY);
		xtsfs_fd_put(volume, fd);
		r = list->handle;
	}
	if (r < 0) {
		if (list)
			free(list->path);
		free(list);
		return r;
	}
	list->volume = volume;
	list->node = node;
	xtsfs_node_ref(volume, node);
	*ret_list = list;
	return 0;
}

void xtsfs_reverse_list_free(struct xtsfs_reverse_list *list)
{
	list->volume->store->ops->close(list->volume->store, list->handle);
	xtsfs_node_unref(list->volume, list->node, 1);
	free(list->path);
	explicit_bzero(list, sizeof(*list)); /* names */
	free(list);
}

void xtsfs_reverse_list_back(struct xtsfs_reverse_list *list)
{
	list->again = true;
}

static int give(struct xtsfs_reverse_list *list, ino_t ino, unsigned char type, struct xtsfs_dirent *ret_entry)
{
	list->position++;
	list->last = (struct xtsfs_dirent){.name = list->shown, .ino = ino, .type = type, .next = list->position};
	*ret_entry = list->last;
	return 1;
}

static int give_own(struct xtsfs_reverse_list *list, struct xtsfs_dirent *ret_entry)
{
	static const char *const names[] = {XTSFS_NAME_DIRID, XTSFS_NAME_CONF, XTSFS_NAME_CONF_COPY};
	struct xtsfs_store *store = list->volume->reverse->params.conf_store;
	struct stat st;
	ino_t ino;
	int r;

	while (list->own < (list->node->is_root ? 3U : 1U)) {
		const char *name = names[list->own++];

		/* There need not be a copy. */
		if (list->own > 1 && store->ops->stat(store, store->root, name, &st) < 0)
			continue;
		strcpy(list->shown, name);
		r = xtsfs_reverse_virtual_ino(list->volume, list->dirid, name, &ino);
		return r < 0 ? r : give(list, ino, DT_REG, ret_entry);
	}
	return 0;
}

static int give_twin(struct xtsfs_reverse_list *list, struct xtsfs_dirent *ret_entry)
{
	ino_t ino;
	int r;

	strcat(list->shown, XTSFS_NAME_LONG_SUFFIX);
	r = xtsfs_reverse_virtual_ino(list->volume, list->dirid, list->shown, &ino);
	list->twin = false;
	return r < 0 ? r : give(list, ino, DT_REG, ret_entry);
}

/* 1: in list->shown. */
static int show(struct xtsfs_reverse_list *list, const struct dirent64 *record)
{
	struct xtsfs_volume *volume = list->volume;
	struct xtsfs_backing_name backing;
	unsigned char type = record->d_type;
	struct stat st;
	int r;

	if (strcmp(record->d_name, ".") == 0 || strcmp(record->d_name, "..") == 0) {
		strcpy(list->shown, record->d_name);
		return 1;
	}
	if (is_outside(volume, list->node->dev))
		return 0;
	if (type == DT_UNKNOWN || volume->reverse->params.one_file_system) {
		r = volume->store->ops->stat(volume->store, list->handle, record->d_name, &st);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		type = (unsigned char)IFTODT(st.st_mode);
		if (is_outside(volume, st.st_dev) && type != DT_DIR)
			return 0;
	}
	if (!xtsfs_reverse_shows(volume, list->node, list->path, record->d_name, type == DT_DIR))
		return 0;
	r = xtsfs_names_seal(volume, list->dirid, record->d_name, &backing);
	if (r < 0) {
		xtsfs_warning("inode %llu: an entry's name cannot be encrypted: %s, not showing it",
			      (unsigned long long)list->node->ino, xtsfs_strerror(r));
		return 0;
	}
	strcpy(list->plain, record->d_name);
	strcpy(list->shown, backing.entry);
	list->twin = backing.long_text[0];
	if (list->twin)
		long_remember(volume->reverse, backing.entry, record->d_name);
	return 1;
}

int xtsfs_reverse_list_next(struct xtsfs_reverse_list *list, struct xtsfs_dirent *ret_entry)
{
	struct xtsfs_store *store = list->volume->store;
	ino_t ino;
	int r;

	if (list->again) {
		list->again = false;
		*ret_entry = list->last;
		return 1;
	}
	if (list->twin)
		return give_twin(list, ret_entry);
	r = give_own(list, ret_entry);
	if (r)
		return r;
	for (;;) {
		const struct dirent64 *record;

		if (list->at == list->filled) {
			ssize_t n = store->ops->getdents(store, list->handle, list->buffer, sizeof(list->buffer));

			if (n <= 0)
				return (int)n;
			list->at = 0;
			list->filled = (size_t)n;
		}
		record = (const struct dirent64 *)(const void *)(list->buffer + list->at);
		list->at += record->d_reclen;
		r = show(list, record);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		r = xtsfs_reverse_ino(list->volume, list->node, record->d_name, list->node->dev, record->d_ino, &ino);
		return r < 0 ? r : give(list, ino, record->d_type, ret_entry);
	}
}

int xtsfs_reverse_list_seek(struct xtsfs_reverse_list *list, int64_t position)
{
	struct xtsfs_dirent dirent;
	int r;

	if (position == list->position - (list->again ? 1 : 0))
		return 0;
	list->again = false;
	if (position < list->position) {
		r = list->volume->store->ops->seekdir(list->volume->store, list->handle, 0);
		if (r < 0)
			return r;
		list->at = list->filled = 0;
		list->position = 0;
		list->own = 0;
		list->twin = false;
	}
	while (list->position < position)
		if ((r = xtsfs_reverse_list_next(list, &dirent)) <= 0)
			return r;
	return 0;
}

int xtsfs_reverse_list_lookup(struct xtsfs_reverse_list *list, struct xtsfs_node **ret_node, struct stat *ret_stat)
{
	return xtsfs_reverse_lookup(list->volume, list->node, list->shown, ret_node, ret_stat);
}
