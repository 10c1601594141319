/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node table: one node for each backing object that is known, keyed by (st_dev, st_ino), so that hard links share a
 * node.
 *
 * A node is reached through its links, pairs of (parent node, encrypted name) of which it has one or more; it needs no
 * descriptor. A link holds a reference on the parent, so the parents of a known node are known up to the root.
 * References are counted under the table's mutex; the last one frees the node, its links and with them maybe its
 * parents, which is done in a loop, not by recursion, since trees can be deep.
 */
#include "core/fs.h"
#include "core/internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static size_t slot_of(const struct xtsfs_volume *volume, dev_t dev, ino_t ino)
{
	uint64_t h = (ino ^ ((uint64_t)dev << 40)) * 0x9e3779b97f4a7c15ULL;

	return (size_t)(h >> 32) & (volume->table_slots - 1);
}

/* In a reverse view a node is of one name: what it is called, and where, is in what it is encrypted with. */
static bool is_of_name(const struct xtsfs_node *node, const struct xtsfs_node *parent, const char *backing_name)
{
	return node->links && node->links->parent == parent && strcmp(node->links->backing_name, backing_name) == 0;
}

static struct xtsfs_node *find_locked(struct xtsfs_volume *volume, const struct stat *st,
				      const struct xtsfs_node *parent, const char *backing_name)
{
	struct xtsfs_node *node;

	if (!volume->table_slots)
		return NULL;
	for (node = volume->table[slot_of(volume, st->st_dev, st->st_ino)]; node; node = node->hash_next)
		if (node->ino == st->st_ino && node->dev == st->st_dev && node->type == (st->st_mode & S_IFMT) &&
		    !node->gone && (!volume->reverse || is_of_name(node, parent, backing_name)))
			return node;
	return NULL;
}

/* Doubles the table when it is as full as it has slots. A failure to grow only makes the chains longer. */
static int make_room(struct xtsfs_volume *volume)
{
	size_t old_slots = volume->table_slots, slots = old_slots ? old_slots * 2 : 1024;
	struct xtsfs_node **old = volume->table, **table;

	if (volume->table_used < old_slots)
		return 0;
	table = calloc(slots, sizeof(*table));
	if (!table)
		return old_slots ? 0 : -ENOMEM;
	volume->table = table;
	volume->table_slots = slots;
	for (size_t i = 0; i < old_slots; i++) {
		while (old[i]) {
			struct xtsfs_node *node = old[i];
			size_t slot = slot_of(volume, node->dev, node->ino);

			old[i] = node->hash_next;
			node->hash_next = table[slot];
			table[slot] = node;
		}
	}
	free(old);
	return 0;
}

static struct xtsfs_link *link_new(struct xtsfs_node *parent, const char *backing_name)
{
	size_t bytes = strlen(backing_name) + 1;
	struct xtsfs_link *link = malloc(sizeof(*link) + bytes);

	if (link) {
		*link = (struct xtsfs_link){.parent = parent};
		memcpy(link->backing_name, backing_name, bytes);
	}
	return link;
}

static struct xtsfs_link **link_find(struct xtsfs_node *node, const struct xtsfs_node *parent, const char *backing_name)
{
	struct xtsfs_link **at = &node->links;

	while (*at && ((*at)->parent != parent || strcmp((*at)->backing_name, backing_name) != 0))
		at = &(*at)->next;
	return at;
}

/* Makes the link the first one. A directory has one name only, so another replaces it. */
static int link_set_locked(struct xtsfs_node *node, struct xtsfs_node *parent, const char *backing_name,
			   struct xtsfs_node **ret_release)
{
	struct xtsfs_link **at = link_find(node, parent, backing_name), *link = *at;

	*ret_release = NULL;
	if (link == node->links && link)
		return 0;
	if (link) {
		*at = link->next;
	} else {
		link = link_new(parent, backing_name);
		if (!link)
			return -ENOMEM;
		parent->refs++;
		if (S_ISDIR(node->type) && node->links) {
			struct xtsfs_link *old = node->links;

			*ret_release = old->parent;
			node->links = old->next;
			free(old);
		}
	}
	link->next = node->links;
	node->links = link;
	return 0;
}

int xtsfs_node_get(struct xtsfs_volume *volume, const struct stat *st, struct xtsfs_node *parent,
		   const char *backing_name, struct xtsfs_node **ret_node)
{
	struct xtsfs_node *node, *release = NULL;
	int r = 0;

	pthread_mutex_lock(&volume->table_mutex);
	node = find_locked(volume, st, parent, backing_name);
	if (!node) {
		r = make_room(volume);
		node = r == 0 ? calloc(1, sizeof(*node)) : NULL;
		if (node) {
			size_t slot = slot_of(volume, st->st_dev, st->st_ino);

			node->dev = st->st_dev;
			node->ino = st->st_ino;
			node->type = st->st_mode & S_IFMT;
			node->generation = ++volume->generation;
			node->hash_next = volume->table[slot];
			volume->table[slot] = node;
			volume->table_used++;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0) {
		node->refs++;
		if (parent)
			r = link_set_locked(node, parent, backing_name, &release);
	}
	pthread_mutex_unlock(&volume->table_mutex);
	if (release)
		xtsfs_node_unref(volume, release, 1);
	if (r < 0) {
		if (node)
			xtsfs_node_unref(volume, node, 1);
		return r;
	}
	*ret_node = node;
	return 0;
}

uint32_t xtsfs_node_generation(const struct xtsfs_node *node)
{
	return node->generation;
}

struct xtsfs_node *xtsfs_node_find(struct xtsfs_volume *volume, const struct stat *st)
{
	xtsfs_guard_mutex(&volume->table_mutex);
	struct xtsfs_node *node = volume->reverse ? NULL : find_locked(volume, st, NULL, NULL);

	if (node)
		node->refs++;
	return node;
}

static uint32_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)now.tv_sec;
}

void xtsfs_node_told(struct xtsfs_node *node, uint32_t seconds)
{
	uint32_t until_s = seconds ? now_s() + seconds : 0;

	if (__atomic_load_n(&node->told_until_s, __ATOMIC_RELAXED) != until_s)
		__atomic_store_n(&node->told_until_s, until_s, __ATOMIC_RELAXED);
}

bool xtsfs_node_is_told(struct xtsfs_volume *volume, const struct stat *st)
{
	xtsfs_guard_mutex(&volume->table_mutex);
	const struct xtsfs_node *node = volume->reverse ? NULL : find_locked(volume, st, NULL, NULL);

	return node && __atomic_load_n(&node->told_until_s, __ATOMIC_RELAXED) > now_s();
}

void xtsfs_node_note_links(struct xtsfs_node *node)
{
	__atomic_store_n(&node->links_changed_s, now_s() + 1, __ATOMIC_SEQ_CST);
}

bool xtsfs_node_links_changed(const struct xtsfs_node *node, uint32_t seconds)
{
	uint32_t changed_s = __atomic_load_n(&node->links_changed_s, __ATOMIC_SEQ_CST);

	return changed_s != 0 && now_s() - (changed_s - 1) <= seconds;
}

void xtsfs_node_ref(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	xtsfs_guard_mutex(&volume->table_mutex);
	node->refs++;
}

/* Takes the node out of the table if this was the last reference; its links are then the caller's to release. */
static bool drop_locked(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t count)
{
	struct xtsfs_node **at;

	node->refs = node->refs > count ? node->refs - count : 0;
	if (node->refs)
		return false;
	at = &volume->table[slot_of(volume, node->dev, node->ino)];
	while (*at != node)
		at = &(*at)->hash_next;
	*at = node->hash_next;
	volume->table_used--;
	return true;
}

void xtsfs_node_unref(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t count)
{
	struct xtsfs_link *dropped = NULL; /* links whose parents lose a reference */

	for (;;) {
		bool last;

		pthread_mutex_lock(&volume->table_mutex);
		last = drop_locked(volume, node, count);
		pthread_mutex_unlock(&volume->table_mutex);
		if (last) {
			struct xtsfs_link *link = node->links;

			xtsfs_fd_forget(volume, node);
			while (link) {
				struct xtsfs_link *next = link->next;

				link->next = dropped;
				dropped = link;
				link = next;
			}
			free(node);
		}
		if (!dropped)
			return;
		struct xtsfs_link *link = dropped;

		dropped = link->next;
		node = link->parent;
		count = 1;
		free(link);
	}
}

void xtsfs_node_remove_link(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_node *parent,
			    const char *backing_name)
{
	struct xtsfs_link **at, *link;

	pthread_mutex_lock(&volume->table_mutex);
	at = link_find(node, parent, backing_name);
	link = *at;
	if (link)
		*at = link->next;
	pthread_mutex_unlock(&volume->table_mutex);
	if (link) {
		xtsfs_node_unref(volume, link->parent, 1);
		free(link);
	}
}

void xtsfs_node_set_gone(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	xtsfs_guard_mutex(&volume->table_mutex);
	node->gone = true;
}

int xtsfs_node_add_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_node *parent,
			const char *backing_name)
{
	struct xtsfs_node *release;
	int r;

	pthread_mutex_lock(&volume->table_mutex);
	r = link_set_locked(node, parent, backing_name, &release);
	pthread_mutex_unlock(&volume->table_mutex);
	if (release)
		xtsfs_node_unref(volume, release, 1);
	return r;
}

bool xtsfs_node_has_other_link(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_node *parent,
			       const char *backing_name)
{
	xtsfs_guard_mutex(&volume->table_mutex);
	const struct xtsfs_link *this = *link_find(node, parent, backing_name);

	return node->links && (node->links != this || this->next);
}

int xtsfs_node_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_node **ret_parent,
		    char **ret_name)
{
	xtsfs_guard_mutex(&volume->table_mutex);
	char *name;

	if (!node->links)
		return -ESTALE;
	name = strdup(node->links->backing_name);
	if (!name)
		return -ENOMEM;
	node->links->parent->refs++;
	*ret_parent = node->links->parent;
	*ret_name = name;
	return 0;
}

void xtsfs_node_table_free(struct xtsfs_volume *volume)
{
	/* What the kernel still referenced when the mount went away. */
	for (size_t i = 0; i < volume->table_slots; i++) {
		for (struct xtsfs_node *node = volume->table[i], *next; node; node = next) {
			next = node->hash_next;
			xtsfs_fd_forget(volume, node);
			for (struct xtsfs_link *link = node->links, *after; link; link = after) {
				after = link->next;
				free(link);
			}
			free(node);
		}
	}
	free(volume->table);
	volume->table = NULL;
	volume->table_slots = volume->table_used = 0;
}

char *xtsfs_node_describe(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	char *path = NULL;

	if (!volume->log_names)
		return asprintf(&path, "inode %llu", (unsigned long long)node->ino) < 0 ? NULL : path;
	xtsfs_node_ref(volume, node);
	while (!node->is_root) {
		struct xtsfs_node *parent;
		char name[XTSFS_NAME_MAX + 1] = "?", *longer;
		xtsfs_auto_free char *backing = NULL;
		uint8_t dirid[XTSFS_ID_BYTES];
		struct xtsfs_fd *dir;

		if (xtsfs_node_link(volume, node, &parent, &backing) < 0)
			break;
		if (volume->reverse)
			snprintf(name, sizeof(name), "%s", backing);
		else if (xtsfs_dirid_get(volume, parent, dirid) == 0 &&
			 xtsfs_fd_get(volume, parent, XTSFS_ACCESS_PATH, &dir) == 0) {
			if (xtsfs_names_open(volume, dirid, dir->handle, backing, name) < 0)
				strcpy(name, "?");
			xtsfs_fd_put(volume, dir);
		}
		if (asprintf(&longer, "/%s%s", name, path ? path : "") >= 0) {
			free(path);
			path = longer;
		}
		xtsfs_node_unref(volume, node, 1);
		node = parent;
	}
	xtsfs_node_unref(volume, node, 1);
	return path ? path : strdup("/");
}
