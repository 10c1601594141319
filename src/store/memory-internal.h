/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the memory store: its inodes and the calls that change them (memory-tree.c).
 *
 * Layer:   store.
 */
#ifndef XTSFS_STORE_MEMORY_INTERNAL_H
#define XTSFS_STORE_MEMORY_INTERNAL_H

#include "store/memory.h"

#include <limits.h>
#include <pthread.h>

#define MEM_PAGE	   4096U
#define MEM_LOCK_EXCLUSIVE 1000U
#define MEM_ROOT_HANDLE	   1000000

struct mem_entry {
	char *name;
	ino_t ino;
	int64_t seq; /* position in the directory, from 2 on */
};

struct mem_xattr {
	struct mem_xattr *next;
	char *name;
	void *value;
	size_t bytes;
};

struct mem_inode {
	ino_t ino;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	nlink_t nlink;
	struct timespec times[2];
	unsigned opens, locks;
	bool keep;	/* in a clone: replays may still name it */
	uint64_t bytes; /* of a file, or of a symlink's target */
	uint8_t **pages;
	size_t page_count;
	struct mem_entry *entries;
	size_t entry_count;
	int64_t next_seq;
	struct mem_xattr *xattrs;
};

struct mem_handle {
	struct mem_inode *inode;
	int flags, lock;
	int64_t position;
};

enum mem_kind {
	MEM_WRITE,
	MEM_TRUNCATE,
	MEM_FALLOCATE,
	MEM_MKNOD,
	MEM_LINK,
	MEM_RENAME,
	MEM_UNLINK,
	MEM_CHMOD,
	MEM_CHOWN,
	MEM_UTIMENS,
	MEM_SETXATTR,
	MEM_REMOVEXATTR,
	MEM_SYNC, /* changes nothing; flags: of everything */
	MEM__COUNT
};

/* One change: (a, name_a) the object, or the directory and entry; (b, name_b) the other end. */
struct mem_call {
	enum mem_kind kind;
	unsigned flags;
	ino_t a, b;
	char *name_a, *name_b;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	uint64_t offset, bytes;
	const uint8_t *data;
	struct timespec times[2];
};

struct memory {
	struct xtsfs_store store;
	pthread_mutex_t mutex;	   /* rank: leaf; guards everything below */
	struct mem_inode **inodes; /* number i at i − 1 */
	size_t inode_count, inode_room;
	struct mem_handle *handles;
	size_t handle_count;
	bool recording;
	struct mem_call *calls;
	size_t call_count, call_room;
};

static inline struct memory *memory_of(const struct xtsfs_store *store)
{
	return (struct memory *)(uintptr_t)store;
}

static inline struct mem_inode *inode_at(struct memory *memory, ino_t ino)
{
	return ino >= 1 && ino <= memory->inode_count ? memory->inodes[ino - 1] : NULL;
}

static inline struct mem_inode *inode_of(struct memory *memory, int handle)
{
	if (handle == memory->store.root)
		return memory->inodes[0];
	if (handle < 0 || (size_t)handle >= memory->handle_count || !memory->handles[handle].inode)
		return NULL;
	return memory->handles[handle].inode;
}

extern const struct xtsfs_store_ops xtsfs_memory_ops;

/* memory-dir.c */
ssize_t xtsfs_memory_getdents(struct xtsfs_store *store, int handle, void *ret_records, size_t room);
int xtsfs_memory_seekdir(struct xtsfs_store *store, int handle, int64_t position);

void xtsfs_memory_free(struct xtsfs_store *store);
/** Carry out a change, and record it if it succeeded. */
xtsfs_must_check int xtsfs_memory_do(struct memory *memory, const struct mem_call *call);
/** Frees content, entries and xattrs. */
void xtsfs_memory_clear(struct mem_inode *inode);
struct mem_entry *xtsfs_memory_find(const struct mem_inode *dir, const char *name);
/** Content of a file or symlink; zeros from holes. */
void xtsfs_memory_peek(const struct mem_inode *inode, void *ret_data, size_t bytes, uint64_t offset);

#endif
