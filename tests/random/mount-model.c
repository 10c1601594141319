/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model: a tree in memory, as the process that owns it believes the mount to be.
 *
 * Names are numbers, of which the lower ones are often used and some are long: where the encrypted name no longer fits
 * into 255 bytes, and the longest. In the directory that all processes share each sees only names of its own, which
 * carry its number. Symbolic links lead nowhere, so that no path goes through one.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct timespec op_start;

uint64_t next_random(uint64_t *rng)
{
	uint64_t x = *rng += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t below(uint64_t *rng, uint64_t limit)
{
	return limit ? next_random(rng) % limit : 0;
}

/* What a seed writes at an offset: no two places alike, so that data in the wrong place is seen. */
void fill(uint64_t seed, uint64_t offset, uint8_t *data, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes;) {
		uint64_t at = offset + i, state = seed * 0x2545f4914f6cdd1dULL + at / 8, word = next_random(&state);
		uint64_t skip = at % 8, part = 8 - skip < bytes - i ? 8 - skip : bytes - i;

		memcpy(data + i, (uint8_t *)&word + skip, part);
		i += part;
	}
}

int fail(struct world *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->control->why, sizeof(w->control->why), format, args);
	va_end(args);
	return -1;
}

long result(long r)
{
	return r < 0 ? -errno : r;
}

int expect(struct world *w, const char *what, long got, long want)
{
	char texts[2][64];
	long values[2] = {got, want};

	if (w->verbose)
		fprintf(stderr, "    %s: %s %ld\n", what, got < 0 ? strerrorname_np((int)-got) : "", got);
	if (got == want)
		return 0;
	for (unsigned i = 0; i < 2; i++)
		if (values[i] < 0 && values[i] > -4096)
			snprintf(texts[i], sizeof(texts[i]), "%s", strerrorname_np((int)-values[i]));
		else
			snprintf(texts[i], sizeof(texts[i]), "%ld", values[i]);
	return fail(w, "%s gave %s, should be %s", what, texts[0], texts[1]);
}

struct node *node_new(struct world *w, enum type type, mode_t mode, const struct node *dir)
{
	struct node *node = calloc(1, sizeof(*node));

	assert(node);
	node->type = type;
	node->mode = mode;
	node->uid = geteuid();
	node->gid = dir && dir->mode & S_ISGID ? dir->gid : getegid();
	if (type == T_DIR) {
		node->child = calloc(NAMES, sizeof(*node->child));
		assert(node->child);
		node->mode |= dir ? dir->mode & S_ISGID : 0;
	}
	node_touch(node);
	(void)w;
	return node;
}

void node_drop(struct node *node)
{
	if (node->names || node->opens)
		return;
	for (unsigned i = 0; i < XATTRS; i++)
		free(node->xattrs[i].value);
	free(node->data);
	free(node->target);
	free(node->child);
	free(node);
}

void node_free_tree(struct node *dir)
{
	for (unsigned name = 0; name < NAMES; name++) {
		struct node *node = dir->child[name];

		if (!node)
			continue;
		if (node->type == T_DIR)
			node_free_tree(node);
		else {
			node->names--;
			node_drop(node);
		}
	}
	dir->names = 0;
	node_drop(dir);
}

void node_touch(struct node *node)
{
	node->mtime = op_start;
	node->mtime_known = TIME_SINCE;
}

void node_resize(struct node *node, uint64_t bytes)
{
	if (bytes > node->room) {
		uint64_t room = bytes + bytes / 4 + BLOCK;

		node->data = realloc(node->data, room);
		assert(node->data);
		memset(node->data + node->room, 0, room - node->room);
		node->room = room;
	}
	if (bytes < node->bytes)
		memset(node->data + bytes, 0, node->bytes - bytes);
	node->bytes = bytes;
}

void node_write(struct node *node, const uint8_t *data, uint64_t bytes, uint64_t offset)
{
	if (bytes == 0)
		return;
	if (offset + bytes > node->bytes)
		node_resize(node, offset + bytes);
	memcpy(node->data + offset, data, bytes);
	node_touch(node);
}

void node_zero(struct node *node, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes < node->bytes ? offset + bytes : node->bytes;

	if (end > offset)
		memset(node->data + offset, 0, end - offset);
}

void node_link(struct node *dir, unsigned name, struct node *node)
{
	assert(!dir->child[name]);
	dir->child[name] = node;
	node->names++;
	if (node->type == T_DIR)
		node->parent = dir;
	node_touch(dir);
}

void node_unlink(struct node *dir, unsigned name)
{
	struct node *node = dir->child[name];

	dir->child[name] = NULL;
	node->names--;
	node_touch(dir);
	node_drop(node);
}

bool node_is_empty(const struct node *dir)
{
	for (unsigned name = 0; name < NAMES; name++)
		if (dir->child[name])
			return false;
	return true;
}

unsigned node_height(const struct node *dir)
{
	unsigned most = 0;

	if (dir->type != T_DIR)
		return 0;
	for (unsigned name = 0; name < NAMES; name++) {
		unsigned height = dir->child[name] ? 1 + node_height(dir->child[name]) : 0;

		most = height > most ? height : most;
	}
	return most;
}

bool node_is_below(const struct node *node, const struct node *dir)
{
	for (; node; node = node->parent)
		if (node == dir)
			return true;
	return false;
}

uint64_t tree_bytes(const struct node *dir)
{
	uint64_t bytes = 0;

	for (unsigned name = 0; name < NAMES; name++) {
		const struct node *node = dir->child[name];

		if (node)
			bytes += node->type == T_DIR ? tree_bytes(node) : node->bytes;
	}
	return bytes;
}

/* Of the file itself; in the directory of all processes the owner's number goes first, and the end may be cut off. */
void name_text(const struct world *w, const struct node *dir, unsigned name, char ret_text[256])
{
	static const struct {
		const char *text;
		unsigned bytes;
	} special[] = {
		{"a", 1},	  {"b", 1},	     {"c", 1},	       {"d", 1},
		{"e", 1},	  {"f", 1},	     {"short-", 100},  {"border-", 158},
		{"border+", 159}, {"border*", 160},  {"border:", 161}, {"longer-", 175},
		{"almost-", 254}, {"longest-", 255}, {"a b\n\t", 5},   {"\xc3\xbc\xff", 3},
	};
	char text[300];
	size_t used, want;

	if (name < sizeof(special) / sizeof(special[0])) {
		used = (size_t)sprintf(text, "%s", special[name].text);
		want = special[name].bytes;
	} else {
		used = (size_t)sprintf(text, "m%u-", name);
		want = used + name * 7 % 40 * (name % 3 ? 1 : 5);
	}
	memset(text + used, 'n', sizeof(text) - used);
	text[want] = 0;
	used = dir == w->common ? (size_t)sprintf(ret_text, "p%u-", w->who) : 0;
	if (used + want > 255)
		want = 255 - used;
	memcpy(ret_text + used, text, want);
	ret_text[used + want] = 0;
}

void find(struct world *w, const uint8_t path[DEPTH], struct place *ret)
{
	struct node *at = w->tree;
	size_t used;

	ret->dir = NULL;
	ret->name = NO_NAME;
	ret->error = 0;
	ret->node = at;
	if (path[0] == COMMON_NAME)
		ret->node = at = w->common;
	used = (size_t)snprintf(ret->path, sizeof(ret->path), "%s", at == w->common ? w->common_path : w->top);
	for (unsigned i = path[0] == COMMON_NAME; i < DEPTH && path[i] != NO_NAME; i++) {
		unsigned name = path[i] % COMMON_NAME;
		char text[256];

		name_text(w, at && at->type == T_DIR ? at : NULL, name, text);
		used += (size_t)snprintf(ret->path + used, sizeof(ret->path) - used, "/%s", text);
		if (ret->error)
			continue;
		if (!at || at->type == T_LINK) /* which leads nowhere */
			ret->error = -ENOENT;
		else if (at->type != T_DIR)
			ret->error = -ENOTDIR;
		ret->dir = ret->error ? NULL : at;
		ret->name = name;
		ret->node = at = ret->error ? NULL : at->child[name];
	}
}
