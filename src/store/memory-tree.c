/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory store's changes: each of them one function from a description to the inodes, which is what makes recording
 * and replaying trivial.
 */
#include "store/memory-internal.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

void xtsfs_memory_clear(struct mem_inode *inode)
{
	for (size_t i = 0; i < inode->page_count; i++)
		free(inode->pages[i]);
	free(inode->pages);
	for (size_t i = 0; i < inode->entry_count; i++)
		free(inode->entries[i].name);
	free(inode->entries);
	for (struct mem_xattr *x = inode->xattrs, *next; x; x = next) {
		next = x->next;
		free(x->name);
		free(x->value);
		free(x);
	}
	inode->pages = NULL;
	inode->entries = NULL;
	inode->xattrs = NULL;
	inode->page_count = inode->entry_count = 0;
	inode->bytes = 0;
}

struct mem_entry *xtsfs_memory_find(const struct mem_inode *dir, const char *name)
{
	for (size_t i = 0; i < dir->entry_count; i++)
		if (strcmp(dir->entries[i].name, name) == 0)
			return &dir->entries[i];
	return NULL;
}

void xtsfs_memory_peek(const struct mem_inode *inode, void *ret_data, size_t bytes, uint64_t offset)
{
	uint8_t *to = ret_data;

	while (bytes) {
		size_t page = (size_t)(offset / MEM_PAGE), at = (size_t)(offset % MEM_PAGE);
		size_t part = bytes < MEM_PAGE - at ? bytes : MEM_PAGE - at;

		if (page < inode->page_count && inode->pages[page])
			memcpy(to, inode->pages[page] + at, part);
		else
			memset(to, 0, part);
		to += part;
		offset += part;
		bytes -= part;
	}
}

static int add_entry(struct mem_inode *dir, const char *name, ino_t ino)
{
	struct mem_entry *entries = realloc(dir->entries, (dir->entry_count + 1) * sizeof(*entries));
	char *copy = strdup(name);

	if (entries)
		dir->entries = entries;
	if (!entries || !copy) {
		free(copy);
		return -ENOMEM;
	}
	if (dir->next_seq < 2)
		dir->next_seq = 2;
	entries[dir->entry_count++] = (struct mem_entry){.name = copy, .ino = ino, .seq = dir->next_seq++};
	return 0;
}

static void remove_entry(struct mem_inode *dir, struct mem_entry *entry)
{
	size_t at = (size_t)(entry - dir->entries);

	free(entry->name);
	memmove(entry, entry + 1, (dir->entry_count - at - 1) * sizeof(*entry));
	dir->entry_count--;
}

static struct mem_inode *inode_new(struct memory *memory, mode_t mode)
{
	struct mem_inode *inode = calloc(1, sizeof(*inode));

	if (inode && memory->inode_count == memory->inode_room) {
		size_t room = memory->inode_room ? memory->inode_room * 2 : 64;
		struct mem_inode **inodes = realloc(memory->inodes, room * sizeof(struct mem_inode *));

		if (!inodes) {
			free(inode);
			return NULL;
		}
		memory->inodes = inodes;
		memory->inode_room = room;
	}
	if (!inode)
		return NULL;
	memory->inodes[memory->inode_count++] = inode;
	inode->ino = memory->inode_count;
	inode->mode = mode;
	inode->nlink = S_ISDIR(mode) ? 2 : 1;
	clock_gettime(CLOCK_REALTIME, &inode->times[0]);
	inode->times[1] = inode->times[0];
	return inode;
}

static uint8_t *page_for_write(struct mem_inode *inode, size_t page)
{
	if (page >= inode->page_count) {
		uint8_t **pages = realloc(inode->pages, (page + 1) * sizeof(uint8_t *));

		if (!pages)
			return NULL;
		memset(pages + inode->page_count, 0, (page + 1 - inode->page_count) * sizeof(uint8_t *));
		inode->pages = pages;
		inode->page_count = page + 1;
	}
	if (!inode->pages[page])
		inode->pages[page] = calloc(1, MEM_PAGE);
	return inode->pages[page];
}

static int do_write(struct mem_inode *inode, const uint8_t *data, uint64_t bytes, uint64_t offset)
{
	for (uint64_t done = 0; done < bytes;) {
		size_t at = (size_t)((offset + done) % MEM_PAGE);
		size_t part = bytes - done < MEM_PAGE - at ? (size_t)(bytes - done) : MEM_PAGE - at;
		uint8_t *page = page_for_write(inode, (size_t)((offset + done) / MEM_PAGE));

		if (!page)
			return -ENOMEM;
		memcpy(page + at, data + done, part);
		done += part;
	}
	if (bytes && offset + bytes > inode->bytes)
		inode->bytes = offset + bytes;
	clock_gettime(CLOCK_REALTIME, &inode->times[1]);
	return 0;
}

/* Bytes [from, to) read as zeros from here on; whole pages are let go. */
static void make_zero(struct mem_inode *inode, uint64_t from, uint64_t to)
{
	uint64_t stored = (uint64_t)inode->page_count * MEM_PAGE;

	if (to > stored)
		to = stored;
	while (from < to) {
		size_t page = (size_t)(from / MEM_PAGE), at = (size_t)(from % MEM_PAGE);
		size_t part = to - from < MEM_PAGE - at ? (size_t)(to - from) : MEM_PAGE - at;

		if (part == MEM_PAGE) {
			free(inode->pages[page]);
			inode->pages[page] = NULL;
		} else if (inode->pages[page]) {
			memset(inode->pages[page] + at, 0, part);
		}
		from += part;
	}
}

static int do_truncate(struct mem_inode *inode, uint64_t bytes)
{
	if (bytes < inode->bytes)
		make_zero(inode, bytes, (uint64_t)inode->page_count * MEM_PAGE);
	inode->bytes = bytes;
	clock_gettime(CLOCK_REALTIME, &inode->times[1]);
	return 0;
}

static int do_fallocate(struct mem_inode *inode, unsigned mode, uint64_t offset, uint64_t bytes)
{
	if (mode & FALLOC_FL_PUNCH_HOLE)
		make_zero(inode, offset, offset + bytes);
	else if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + bytes > inode->bytes)
		inode->bytes = offset + bytes;
	return 0;
}

static int do_mknod(struct memory *memory, struct mem_inode *dir, const struct mem_call *call)
{
	struct mem_inode *inode;
	int r;

	if (xtsfs_memory_find(dir, call->name_a))
		return -EEXIST;
	if (strlen(call->name_a) > NAME_MAX)
		return -ENAMETOOLONG;
	inode = inode_new(memory, call->mode);
	r = inode ? add_entry(dir, call->name_a, inode->ino) : -ENOMEM;
	if (r == 0 && call->bytes)
		r = do_write(inode, call->data, call->bytes, 0); /* a symlink's target */
	if (r < 0)
		return r;
	inode->uid = call->uid;
	inode->gid = call->gid;
	inode->rdev = call->rdev;
	if (S_ISDIR(call->mode))
		dir->nlink++;
	return 0;
}

static int do_link(struct memory *memory, struct mem_inode *dir, const struct mem_call *call)
{
	struct mem_inode *inode = memory->inodes[call->b - 1];
	int r;

	if (xtsfs_memory_find(dir, call->name_a))
		return -EEXIST;
	if (S_ISDIR(inode->mode))
		return -EPERM;
	r = add_entry(dir, call->name_a, inode->ino);
	if (r == 0)
		inode->nlink++;
	return r;
}

static int do_unlink(struct memory *memory, struct mem_inode *dir, const struct mem_call *call)
{
	struct mem_entry *entry = xtsfs_memory_find(dir, call->name_a);
	struct mem_inode *inode = entry ? memory->inodes[entry->ino - 1] : NULL;

	if (!inode)
		return -ENOENT;
	if (!S_ISDIR(inode->mode) != !(call->flags & AT_REMOVEDIR))
		return S_ISDIR(inode->mode) ? -EISDIR : -ENOTDIR;
	if (inode->entry_count)
		return -ENOTEMPTY;
	if (S_ISDIR(inode->mode)) {
		inode->nlink = 0;
		dir->nlink--;
	} else {
		inode->nlink--;
	}
	remove_entry(dir, entry);
	return 0;
}

/* Is @inner @outer or somewhere below it? */
static bool is_below(struct memory *memory, const struct mem_inode *inner, const struct mem_inode *outer)
{
	if (inner == outer)
		return true;
	for (size_t i = 0; i < outer->entry_count; i++)
		if (is_below(memory, inner, memory->inodes[outer->entries[i].ino - 1]))
			return true;
	return false;
}

static int do_rename(struct memory *memory, struct mem_inode *from, const struct mem_call *call)
{
	struct mem_inode *to = memory->inodes[call->b - 1], *source, *target;
	struct mem_entry *old = xtsfs_memory_find(from, call->name_a), *new = xtsfs_memory_find(to, call->name_b);
	ino_t ino;
	int r;

	if (call->flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (!old)
		return -ENOENT;
	if (strlen(call->name_b) > NAME_MAX)
		return -ENAMETOOLONG;
	source = memory->inodes[old->ino - 1];
	target = new ? memory->inodes[new->ino - 1] : NULL;
	if (S_ISDIR(source->mode) && is_below(memory, to, source))
		return -EINVAL;
	if (call->flags & RENAME_EXCHANGE) {
		if (!target)
			return -ENOENT;
		ino = old->ino;
		old->ino = new->ino;
		new->ino = ino;
		return 0;
	}
	if (target && (call->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (source == target)
		return 0;
	if (target && S_ISDIR(source->mode) != S_ISDIR(target->mode))
		return S_ISDIR(target->mode) ? -EISDIR : -ENOTDIR;
	if (target && target->entry_count)
		return -ENOTEMPTY;
	if (target) {
		new->ino = source->ino;
		target->nlink = S_ISDIR(target->mode) ? 0 : target->nlink - 1;
		if (target->nlink == 0 && target->opens == 0 && !target->keep)
			xtsfs_memory_clear(target);
	} else {
		r = add_entry(to, call->name_b, source->ino);
		if (r < 0)
			return r;
	}
	remove_entry(from, xtsfs_memory_find(from, call->name_a));
	return 0;
}

static int do_utimens(struct mem_inode *inode, const struct timespec times[2])
{
	for (unsigned i = 0; i < 2; i++) {
		if (times[i].tv_nsec == UTIME_NOW)
			clock_gettime(CLOCK_REALTIME, &inode->times[i]);
		else if (times[i].tv_nsec != UTIME_OMIT)
			inode->times[i] = times[i];
	}
	return 0;
}

static int do_xattr(struct mem_inode *inode, const struct mem_call *call)
{
	struct mem_xattr **at = &inode->xattrs, *x;

	while (*at && strcmp((*at)->name, call->name_a) != 0)
		at = &(*at)->next;
	x = *at;
	if (call->kind == MEM_REMOVEXATTR || (call->flags & XATTR_REPLACE)) {
		if (!x)
			return -ENODATA;
	} else if (x && (call->flags & XATTR_CREATE)) {
		return -EEXIST;
	}
	if (x) {
		*at = x->next;
		free(x->name);
		free(x->value);
		free(x);
	}
	if (call->kind == MEM_REMOVEXATTR)
		return 0;
	x = calloc(1, sizeof(*x));
	if (x) {
		x->name = strdup(call->name_a);
		x->value = malloc(call->bytes + 1);
	}
	if (!x || !x->name || !x->value) {
		if (x) {
			free(x->name);
			free(x->value);
		}
		free(x);
		return -ENOMEM;
	}
	memcpy(x->value, call->data, call->bytes);
	x->bytes = call->bytes;
	x->next = inode->xattrs;
	inode->xattrs = x;
	return 0;
}

static int carry_out(struct memory *memory, const struct mem_call *call)
{
	struct mem_inode *inode = memory->inodes[call->a - 1];

	if (call->kind >= MEM_MKNOD && call->kind <= MEM_UNLINK && !S_ISDIR(inode->mode))
		return -ENOTDIR;
	switch (call->kind) {
	case MEM_WRITE:
		return do_write(inode, call->data, call->bytes, call->offset);
	case MEM_TRUNCATE:
		return do_truncate(inode, call->offset);
	case MEM_FALLOCATE:
		return do_fallocate(inode, call->flags, call->offset, call->bytes);
	case MEM_MKNOD:
		return do_mknod(memory, inode, call);
	case MEM_LINK:
		return do_link(memory, inode, call);
	case MEM_RENAME:
		return do_rename(memory, inode, call);
	case MEM_UNLINK:
		return do_unlink(memory, inode, call);
	case MEM_CHMOD:
		inode->mode = (inode->mode & S_IFMT) | (call->mode & 07777);
		return 0;
	case MEM_CHOWN:
		inode->uid = call->uid == (uid_t)-1 ? inode->uid : call->uid;
		inode->gid = call->gid == (gid_t)-1 ? inode->gid : call->gid;
		return 0;
	case MEM_UTIMENS:
		return do_utimens(inode, call->times);
	case MEM_SETXATTR:
	case MEM_REMOVEXATTR:
		return do_xattr(inode, call);
	case MEM_SYNC:
		return 0;
	default:
		return -ENOSYS;
	}
}

static void forget_calls(struct memory *memory)
{
	for (size_t i = 0; i < memory->call_count; i++) {
		free(memory->calls[i].name_a);
		free(memory->calls[i].name_b);
		free((void *)(uintptr_t)memory->calls[i].data);
	}
	memory->call_count = 0;
}

static int remember(struct memory *memory, const struct mem_call *call)
{
	struct mem_call copy = *call;
	uint8_t *data;

	if (memory->call_count == memory->call_room) {
		size_t room = memory->call_room ? memory->call_room * 2 : 64;
		struct mem_call *calls = realloc(memory->calls, room * sizeof(*calls));

		if (!calls)
			return -ENOMEM;
		memory->calls = calls;
		memory->call_room = room;
	}
	data = malloc(call->data ? call->bytes + 1 : 1);
	copy.name_a = call->name_a ? strdup(call->name_a) : NULL;
	copy.name_b = call->name_b ? strdup(call->name_b) : NULL;
	if (!data || (call->name_a && !copy.name_a) || (call->name_b && !copy.name_b)) {
		free(data);
		free(copy.name_a);
		free(copy.name_b);
		return -ENOMEM;
	}
	if (call->data)
		memcpy(data, call->data, call->bytes);
	copy.data = data;
	memory->calls[memory->call_count++] = copy;
	return 0;
}

int xtsfs_memory_do(struct memory *memory, const struct mem_call *call)
{
	int r = carry_out(memory, call);

	return r == 0 && memory->recording ? remember(memory, call) : r;
}

void xtsfs_memory_record(struct xtsfs_store *store)
{
	forget_calls(memory_of(store));
	memory_of(store)->recording = true;
}

size_t xtsfs_memory_calls(const struct xtsfs_store *store)
{
	return memory_of(store)->call_count;
}

bool xtsfs_memory_is_sync(const struct xtsfs_store *store, size_t call_no)
{
	return memory_of(store)->calls[call_no].kind == MEM_SYNC;
}

unsigned xtsfs_memory_cuts(const struct xtsfs_store *store, size_t call_no)
{
	const struct mem_call *call = &memory_of(store)->calls[call_no];

	if (!call->bytes ||
	    (call->kind != MEM_WRITE && !(call->kind == MEM_FALLOCATE && (call->flags & FALLOC_FL_PUNCH_HOLE))))
		return 0;
	return (unsigned)((call->offset + call->bytes - 1) / MEM_PAGE - call->offset / MEM_PAGE);
}

int xtsfs_memory_replay(struct xtsfs_store *store, const struct xtsfs_store *from, size_t call_no, unsigned cut)
{
	struct mem_call call = memory_of(from)->calls[call_no];

	if (cut)
		call.bytes = (call.offset / MEM_PAGE + cut) * MEM_PAGE - call.offset;
	return carry_out(memory_of(store), &call);
}

void xtsfs_memory_describe(const struct xtsfs_store *store, size_t call_no, char *ret_text, size_t room)
{
	static const char *const kinds[MEM__COUNT] = {"write",	  "truncate",	 "fallocate", "mknod", "link",
						      "rename",	  "unlink",	 "chmod",     "chown", "utimens",
						      "setxattr", "removexattr", "sync"};
	const struct mem_call *call = &memory_of(store)->calls[call_no];

	snprintf(ret_text, room, "%s inode %llu %s %s offset %llu bytes %llu flags %u", kinds[call->kind],
		 (unsigned long long)call->a, call->name_a ? call->name_a : "", call->name_b ? call->name_b : "",
		 (unsigned long long)call->offset, (unsigned long long)call->bytes, call->flags);
}

static struct memory *memory_alloc(void)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (memory) {
		memory->store.ops = &xtsfs_memory_ops;
		memory->store.root = MEM_ROOT_HANDLE;
		memory->store.in_place = true;
		pthread_mutex_init(&memory->mutex, NULL);
	}
	return memory;
}

int xtsfs_store_memory_new(struct xtsfs_store **ret_store)
{
	struct memory *memory = memory_alloc();

	if (!memory || !inode_new(memory, S_IFDIR | 0700)) {
		if (memory)
			xtsfs_memory_free(&memory->store);
		return -ENOMEM;
	}
	*ret_store = &memory->store;
	return 0;
}

static int copy_inode(struct memory *memory, const struct mem_inode *old)
{
	struct mem_inode *inode = inode_new(memory, old->mode);
	int r = 0;

	if (!inode)
		return -ENOMEM;
	*inode = *old;
	inode->pages = NULL;
	inode->entries = NULL;
	inode->xattrs = NULL;
	inode->page_count = inode->entry_count = inode->opens = inode->locks = 0;
	inode->keep = true;
	for (size_t i = 0; r == 0 && i < old->page_count; i++)
		if (old->pages[i])
			r = do_write(inode, old->pages[i], MEM_PAGE, (uint64_t)i * MEM_PAGE);
	inode->bytes = old->bytes;
	for (size_t i = 0; r == 0 && i < old->entry_count; i++) {
		r = add_entry(inode, old->entries[i].name, old->entries[i].ino);
		if (r == 0)
			inode->entries[i].seq = old->entries[i].seq;
	}
	inode->next_seq = old->next_seq;
	for (const struct mem_xattr *x = old->xattrs; r == 0 && x; x = x->next) {
		struct mem_call call = {.kind = MEM_SETXATTR, .name_a = x->name, .data = x->value, .bytes = x->bytes};

		r = do_xattr(inode, &call);
	}
	inode->times[0] = old->times[0];
	inode->times[1] = old->times[1];
	return r;
}

int xtsfs_memory_clone(const struct xtsfs_store *store, struct xtsfs_store **ret_store)
{
	const struct memory *from = memory_of(store);
	struct memory *memory = memory_alloc();
	int r = memory ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < from->inode_count; i++)
		r = copy_inode(memory, from->inodes[i]);
	if (r < 0) {
		if (memory)
			xtsfs_memory_free(&memory->store);
		return r;
	}
	*ret_store = &memory->store;
	return 0;
}

void xtsfs_memory_free(struct xtsfs_store *store)
{
	struct memory *memory = memory_of(store);

	forget_calls(memory);
	free(memory->calls);
	for (size_t i = 0; i < memory->inode_count; i++) {
		xtsfs_memory_clear(memory->inodes[i]);
		free(memory->inodes[i]);
	}
	free(memory->inodes);
	free(memory->handles);
	pthread_mutex_destroy(&memory->mutex);
	free(memory);
}
