/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next random operation for the state of a world: mostly one that can succeed, at places where errors live.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <string.h>

#define MOST_PATHS 400U

struct choice {
	uint8_t path[DEPTH];
	enum type type;
};

static struct choice choices[MOST_PATHS];
static unsigned choice_count;

static void collect(const struct node *dir, uint8_t path[DEPTH], unsigned used)
{
	for (unsigned name = 0; used < DEPTH && name < COMMON_NAME; name++) {
		if (!dir->child[name] || choice_count == MOST_PATHS)
			continue;
		path[used] = (uint8_t)name;
		memcpy(choices[choice_count].path, path, DEPTH);
		choices[choice_count++].type = dir->child[name]->type;
		if (dir->child[name]->type == T_DIR)
			collect(dir->child[name], path, used + 1);
		path[used] = NO_NAME;
	}
}

static uint8_t some_name(uint64_t *rng)
{
	return (uint8_t)(below(rng, 6) ? below(rng, 16) : below(rng, 60));
}

static unsigned length(const uint8_t path[DEPTH])
{
	unsigned n = 0;

	while (n < DEPTH && path[n] != NO_NAME)
		n++;
	return n;
}

/* Of something that exists; T_FIFO stands for any type. */
static bool existing(uint64_t *rng, enum type type, uint8_t ret_path[DEPTH])
{
	unsigned fitting = 0, at;

	for (unsigned i = 0; i < choice_count; i++)
		fitting += type == T_FIFO || choices[i].type == type;
	if (!fitting)
		return false;
	at = (unsigned)below(rng, fitting);
	for (unsigned i = 0; i < choice_count; i++)
		if ((type == T_FIFO || choices[i].type == type) && at-- == 0)
			memcpy(ret_path, choices[i].path, DEPTH);
	return true;
}

/* A name in a directory, which may be there by chance; seldom below something that is no directory. */
static void fresh(const struct world *w, uint64_t *rng, uint8_t ret_path[DEPTH])
{
	unsigned used;

	memset(ret_path, NO_NAME, DEPTH);
	switch (below(rng, 8)) {
	case 0:
	case 1:
		if (w->processes > 1 || below(rng, 4) == 0)
			ret_path[0] = COMMON_NAME;
		break;
	case 2:
		break;
	case 3:
		(void)existing(rng, below(rng, 4) ? T_DIR : T_FIFO, ret_path);
		break;
	default:
		(void)existing(rng, T_DIR, ret_path);
	}
	used = length(ret_path);
	if (used < DEPTH)
		ret_path[used] = some_name(rng);
}

static void choose_path(const struct world *w, uint64_t *rng, enum type type, unsigned existing_percent,
			uint8_t ret_path[DEPTH])
{
	memset(ret_path, NO_NAME, DEPTH);
	if (below(rng, 100) < existing_percent && existing(rng, below(rng, 8) ? type : T_FIFO, ret_path))
		return;
	fresh(w, rng, ret_path);
}

static uint64_t choose_offset(uint64_t *rng, uint64_t size)
{
	int64_t at, slack = (int64_t)below(rng, 40) - 20;

	switch (below(rng, 9)) {
	case 0:
		at = (int64_t)(below(rng, 4) * GROUP) + slack;
		break;
	case 1:
		at = (int64_t)(below(rng, 3) * GROUP + below(rng, 4) * BLOCK) + slack;
		break;
	case 2:
		at = (int64_t)size + slack;
		break;
	case 3:
		at = (int64_t)(size - size % BLOCK + 4080) + slack;
		break;
	case 4:
		at = 3953 + slack;
		break;
	case 5:
		at = (int64_t)below(rng, 5000);
		break;
	case 6:
		at = (int64_t)below(rng, size + 1);
		break;
	case 7:
		at = (int64_t)(below(rng, 60) * BLOCK);
		break;
	default:
		at = (int64_t)below(rng, below(rng, 3) ? 100000 : MOST_BYTES);
	}
	return at < 0 ? 0 : at > (int64_t)MOST_BYTES ? MOST_BYTES : (uint64_t)at;
}

static uint64_t choose_bytes(uint64_t *rng)
{
	switch (below(rng, 8)) {
	case 0:
		return 1 + below(rng, 20);
	case 1:
		return 4076 + below(rng, 40);
	case 2:
		return BLOCK * (1 + below(rng, 4));
	case 3:
		return 1 + below(rng, 200000);
	case 4:
		return 1 + below(rng, 3 * BLOCK);
	case 5:
		return below(rng, 50) ? 1 + below(rng, 600) : 0;
	default:
		return 1 + below(rng, 5000);
	}
}

static enum kind choose_kind(const struct world *w, uint64_t *rng)
{
	static const uint8_t weights[K__COUNT] = {
		[K_OPEN] = 60,	    [K_CLOSE] = 12,    [K_WRITE] = 120,	   [K_READ] = 60,    [K_MAP] = 35,
		[K_FTRUNCATE] = 25, [K_TRUNCATE] = 12, [K_FALLOCATE] = 35, [K_SEEK] = 20,    [K_COPY] = 20,
		[K_FSYNC] = 15,	    [K_DROP] = 12,     [K_FSTAT] = 15,	   [K_STAT] = 20,    [K_MKDIR] = 14,
		[K_RMDIR] = 7,	    [K_UNLINK] = 18,   [K_RENAME] = 40,	   [K_LINK] = 14,    [K_SYMLINK] = 8,
		[K_MKFIFO] = 2,	    [K_MANY] = 2,      [K_FEWER] = 2,	   [K_LIST] = 10,    [K_CHMOD] = 8,
		[K_CHOWN] = 6,	    [K_TIMES] = 10,    [K_SETXATTR] = 12,  [K_GETXATTR] = 8, [K_REMOVEXATTR] = 5,
		[K_LISTXATTR] = 4,  [K_SHARED] = 40,   [K_REMOUNT] = 2,
	};
	unsigned total = 0, at;

	for (unsigned i = 0; i < K__COUNT; i++)
		total += weights[i];
	do {
		unsigned kind = 0;

		at = (unsigned)below(rng, total);
		while (at >= weights[kind])
			at -= weights[kind++];
		if (w->processes == 1 || kind != K_REMOUNT)
			return (enum kind)kind;
	} while (true);
}

struct op op_choose(struct world *w)
{
	uint64_t *rng = &w->rng, size;
	struct op op = {.who = (uint8_t)w->who};
	uint8_t path[DEPTH];

	memset(path, NO_NAME, DEPTH);
	choice_count = 0;
	collect(w->tree, path, 0);
	path[0] = COMMON_NAME;
	collect(w->common, path, 1);
	op.kind = (uint8_t)choose_kind(w, rng);
	if (tree_bytes(w->tree) + tree_bytes(w->common) > MOST_ALL && below(rng, 2))
		op.kind = below(rng, 3) ? K_UNLINK : K_TRUNCATE;
	op.slot = (uint8_t)below(rng, SLOTS);
	for (unsigned tries = 0; tries < 3 && !w->slots[op.slot].node; tries++)
		op.slot = (uint8_t)below(rng, SLOTS);
	if (op.kind <= K_FSTAT && op.kind != K_TRUNCATE && !w->slots[op.slot].node && below(rng, 8))
		op.kind = K_OPEN;
	op.from = (uint8_t)below(rng, SLOTS);
	op.how = (uint32_t)below(rng, 1U << 20);
	op.seed = 1 + below(rng, 1U << 20);
	size = w->slots[op.slot].node ? w->slots[op.slot].node->bytes : 0;
	op.offset = choose_offset(rng, size);
	op.bytes = choose_bytes(rng);
	if (op.kind == K_SHARED)
		op.slot = (uint8_t)below(rng, SHARED_FILES);
	if (op.kind == K_OPEN)
		choose_path(w, rng, T_FILE, choice_count < 60 ? 50 : 85, op.a);
	else if (op.kind == K_MKDIR || op.kind == K_SYMLINK || op.kind == K_MKFIFO)
		choose_path(w, rng, T_FIFO, choice_count < 60 ? 10 : 70, op.a);
	else if (op.kind == K_RMDIR || op.kind == K_LIST || op.kind == K_MANY || op.kind == K_FEWER)
		choose_path(w, rng, T_DIR, 90, op.a);
	else if (op.kind == K_RENAME)
		choose_path(w, rng, below(rng, 3) ? T_FIFO : T_DIR, 92, op.a);
	else if (op.kind == K_TRUNCATE || op.kind == K_UNLINK || op.kind == K_LINK)
		choose_path(w, rng, T_FILE, 90, op.a);
	else
		choose_path(w, rng, T_FIFO, 92, op.a);
	if (op.kind == K_RENAME && below(rng, 4) == 0)
		choose_path(w, rng, T_DIR, 92, op.b);
	else
		choose_path(w, rng, T_FIFO, op.kind == K_LINK ? 15 : 50, op.b);
	if (op.kind == K_LIST && below(rng, 4) == 0) {
		memset(op.a, NO_NAME, DEPTH);
		op.a[0] = below(rng, 2) ? COMMON_NAME : NO_NAME;
	}
	return op;
}
