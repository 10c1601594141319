/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filesystem of inodes in an array, each with its content in pages, its entries or its target.
 *
 * Inode numbers are places in the array plus one and are never used again, so they mean the same in a clone and in a
 * replay; a recorded call names its objects by them. A page that was never written or has been punched is NULL, which
 * is what SEEK_DATA and SEEK_HOLE tell. Entries of a directory keep their sequence number while others come and go:
 * that is the position that getdents gives.
 *
 * One mutex is around everything; the point of this store is to be exact, not to be fast.
 */
#include "store/memory-internal.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define ROOM_FIRST 16U

/* The inode of (handle, name); name NULL: of the handle. Negative errno in *ret_error if there is none. */
static struct mem_inode *resolve(struct memory *memory, int dir, const char *name, int *ret_error)
{
	struct mem_inode *inode = inode_of(memory, dir);
	const struct mem_entry *entry;

	*ret_error = inode ? 0 : -EBADF;
	if (!inode || !name || strcmp(name, ".") == 0)
		return inode;
	*ret_error = S_ISDIR(inode->mode) ? -ENOENT : -ENOTDIR;
	if (strlen(name) > NAME_MAX)
		*ret_error = -ENAMETOOLONG;
	entry = xtsfs_memory_find(inode, name);
	if (entry)
		*ret_error = 0;
	return entry ? inode_at(memory, entry->ino) : NULL;
}

static void fill_stat(const struct mem_inode *inode, struct stat *ret)
{
	*ret = (struct stat){
		.st_dev = 0x6d656d, .st_ino = inode->ino, .st_mode = inode->mode, .st_nlink = inode->nlink};
	ret->st_uid = inode->uid;
	ret->st_gid = inode->gid;
	ret->st_rdev = inode->rdev;
	ret->st_size = (off_t)inode->bytes;
	ret->st_blksize = MEM_PAGE;
	for (size_t i = 0; i < inode->page_count; i++)
		ret->st_blocks += inode->pages[i] ? MEM_PAGE / 512 : 0;
	ret->st_atim = inode->times[0];
	ret->st_mtim = inode->times[1];
	ret->st_ctim = inode->times[1];
}

static void maybe_drop(struct mem_inode *inode)
{
	if (inode->nlink == 0 && inode->opens == 0 && !inode->keep)
		xtsfs_memory_clear(inode);
}

static int handle_new(struct memory *memory, struct mem_inode *inode, int flags)
{
	size_t at = 0;

	while (at < memory->handle_count && memory->handles[at].inode)
		at++;
	if (at == memory->handle_count) {
		size_t count = at ? at * 2 : ROOM_FIRST;
		struct mem_handle *handles = realloc(memory->handles, count * sizeof(*handles));

		if (!handles)
			return -ENOMEM;
		memset(handles + at, 0, (count - at) * sizeof(*handles));
		memory->handles = handles;
		memory->handle_count = count;
	}
	memory->handles[at] = (struct mem_handle){.inode = inode, .flags = flags};
	inode->opens++;
	return (int)at;
}

static int memory_open(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		       const struct xtsfs_cred *cred)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_inode *inode;
	int r;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	inode = resolve(memory, dir, name, &r);
	if (inode && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (!inode && r == -ENOENT && (flags & O_CREAT)) {
		struct mem_call call = {
			.kind = MEM_MKNOD, .a = inode_of(memory, dir)->ino, .name_a = (char *)(uintptr_t)name};

		call.mode = S_IFREG | (mode & 07777 & ~(cred ? cred->umask : 0));
		call.uid = cred && cred->uid != (uid_t)-1 ? cred->uid : 0;
		call.gid = cred && cred->gid != (gid_t)-1 ? cred->gid : 0;
		r = xtsfs_memory_do(memory, &call);
		inode = r < 0 ? NULL : resolve(memory, dir, name, &r);
	}
	if (!inode)
		return r;
	if (S_ISLNK(inode->mode) && !(flags & O_PATH))
		return -ELOOP;
	if ((flags & O_DIRECTORY) && !S_ISDIR(inode->mode))
		return -ENOTDIR;
	if (S_ISDIR(inode->mode) && (flags & O_ACCMODE) != O_RDONLY)
		return -EISDIR;
	return handle_new(memory, inode, flags);
}

static void memory_close(struct xtsfs_store *store, int handle)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_inode *inode = inode_of(memory, handle);

	if (!inode || handle == store->root)
		return;
	if (memory->handles[handle].lock)
		inode->locks -= memory->handles[handle].lock == LOCK_EX ? MEM_LOCK_EXCLUSIVE : 1;
	memory->handles[handle] = (struct mem_handle){0};
	inode->opens--;
	maybe_drop(inode);
}

static ssize_t memory_preadv(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	const struct mem_inode *inode = inode_of(memory, handle);
	ssize_t done = 0;

	if (!inode || (memory->handles[handle].flags & (O_PATH | O_ACCMODE)) == O_WRONLY ||
	    (memory->handles[handle].flags & O_PATH))
		return -EBADF;
	if (S_ISDIR(inode->mode))
		return -EISDIR;
	for (int i = 0; i < count; i++) {
		size_t bytes = iov[i].iov_len;

		if (offset >= inode->bytes)
			break;
		if (bytes > inode->bytes - offset)
			bytes = (size_t)(inode->bytes - offset);
		xtsfs_memory_peek(inode, iov[i].iov_base, bytes, offset);
		offset += bytes;
		done += (ssize_t)bytes;
	}
	return done;
}

static bool writable(const struct memory *memory, int handle)
{
	return !(memory->handles[handle].flags & O_PATH) && (memory->handles[handle].flags & O_ACCMODE) != O_RDONLY;
}

static ssize_t memory_pwritev(struct xtsfs_store *store, int handle, const struct iovec *iov, int count,
			      uint64_t offset)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_inode *inode = inode_of(memory, handle);
	struct mem_call call = {.kind = MEM_WRITE, .offset = offset};
	int r;

	if (!inode || !writable(memory, handle))
		return -EBADF;
	call.a = inode->ino;
	for (int i = 0; i < count; i++)
		call.bytes += iov[i].iov_len;
	xtsfs_auto_free uint8_t *data = malloc(call.bytes + 1);
	if (!data)
		return -ENOMEM;
	for (size_t i = 0, at = 0; i < (size_t)count; at += iov[i].iov_len, i++)
		memcpy(data + at, iov[i].iov_base, iov[i].iov_len);
	call.data = data;
	r = xtsfs_memory_do(memory, &call);
	return r < 0 ? r : (ssize_t)call.bytes;
}

static int memory_truncate(struct xtsfs_store *store, int handle, uint64_t bytes)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_inode *inode = inode_of(memory, handle);
	struct mem_call call = {.kind = MEM_TRUNCATE, .offset = bytes};

	if (!inode || !writable(memory, handle))
		return -EBADF;
	if (bytes > INT64_MAX)
		return -EINVAL;
	call.a = inode->ino;
	return xtsfs_memory_do(memory, &call);
}

static int memory_fallocate(struct xtsfs_store *store, int handle, int mode, uint64_t offset, uint64_t bytes)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_inode *inode = inode_of(memory, handle);
	struct mem_call call = {.kind = MEM_FALLOCATE, .flags = (unsigned)mode, .offset = offset, .bytes = bytes};

	if (!inode || !writable(memory, handle))
		return -EBADF;
	if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	call.a = inode->ino;
	return xtsfs_memory_do(memory, &call);
}

static int64_t memory_seek(struct xtsfs_store *store, int handle, uint64_t offset, int whence)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	const struct mem_inode *inode = inode_of(memory, handle);

	if (!inode)
		return -EBADF;
	if (offset >= inode->bytes)
		return -ENXIO;
	for (uint64_t at = offset; at < inode->bytes; at = (at / MEM_PAGE + 1) * MEM_PAGE) {
		bool data = at / MEM_PAGE < inode->page_count && inode->pages[at / MEM_PAGE];

		if (data == (whence == SEEK_DATA))
			return (int64_t)at;
	}
	return whence == SEEK_DATA ? -ENXIO : (int64_t)inode->bytes;
}

static int memory_sync(struct xtsfs_store *store, int handle, bool data_only)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	const struct mem_inode *inode = inode_of(memory, handle);

	(void)data_only;
	return inode ? xtsfs_memory_do(memory, &(struct mem_call){.kind = MEM_SYNC, .a = inode->ino}) : -EBADF;
}

static int memory_syncfs(struct xtsfs_store *store)
{
	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return xtsfs_memory_do(memory_of(store), &(struct mem_call){.kind = MEM_SYNC, .flags = 1, .a = 1});
}

static int memory_writeout(struct xtsfs_store *store, int handle)
{
	return inode_of(memory_of(store), handle) ? 0 : -EBADF;
}

/* Whoever opens a volume in memory has it alone. */
static int memory_lock_range(struct xtsfs_store *store, int handle, short type, uint64_t start, uint64_t bytes,
			     bool test)
{
	(void)type;
	(void)start;
	(void)bytes;
	(void)test;
	return inode_of(memory_of(store), handle) ? 0 : -EBADF;
}

static int memory_flock(struct xtsfs_store *store, int handle, int operation)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_inode *inode = inode_of(memory, handle);
	int kind = operation & (LOCK_EX | LOCK_SH);

	if (!inode)
		return -EBADF;
	if (memory->handles[handle].lock)
		inode->locks -= memory->handles[handle].lock == LOCK_EX ? MEM_LOCK_EXCLUSIVE : 1;
	memory->handles[handle].lock = 0;
	if (!kind)
		return 0;
	if (inode->locks >= MEM_LOCK_EXCLUSIVE || (kind == LOCK_EX && inode->locks))
		return -EWOULDBLOCK;
	inode->locks += kind == LOCK_EX ? MEM_LOCK_EXCLUSIVE : 1;
	memory->handles[handle].lock = kind;
	return 0;
}

static int memory_stat(struct xtsfs_store *store, int dir, const char *name, struct stat *ret_stat)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	int r;
	const struct mem_inode *inode = resolve(memory, dir, name, &r);

	if (inode)
		fill_stat(inode, ret_stat);
	return r;
}

static int memory_fstat(struct xtsfs_store *store, int handle, struct stat *ret_stat)
{
	return memory_stat(store, handle, NULL, ret_stat);
}

static int memory_statfs(struct xtsfs_store *store, struct statvfs *ret_statvfs)
{
	(void)store;
	*ret_statvfs = (struct statvfs){.f_bsize = MEM_PAGE, .f_frsize = MEM_PAGE, .f_blocks = 1U << 20};
	ret_statvfs->f_bfree = ret_statvfs->f_bavail = 1U << 19;
	ret_statvfs->f_namemax = NAME_MAX;
	return 0;
}

/* One call on an entry of a directory. */
static int entry_call(struct memory *memory, int dir, const char *name, const struct xtsfs_cred *cred,
		      struct mem_call *call)
{
	const struct mem_inode *inode = inode_of(memory, dir);

	if (!inode)
		return -EBADF;
	call->a = inode->ino;
	call->name_a = (char *)(uintptr_t)name;
	if (cred) {
		call->mode &= ~cred->umask;
		call->uid = cred->uid != (uid_t)-1 ? cred->uid : 0;
		call->gid = cred->gid != (gid_t)-1 ? cred->gid : 0;
	}
	return xtsfs_memory_do(memory, call);
}

static int memory_mkdir(struct xtsfs_store *store, int dir, const char *name, mode_t mode,
			const struct xtsfs_cred *cred)
{
	struct mem_call call = {.kind = MEM_MKNOD, .mode = S_IFDIR | (mode & 07777)};

	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return entry_call(memory_of(store), dir, name, cred, &call);
}

static int memory_mknod(struct xtsfs_store *store, int dir, const char *name, mode_t mode, dev_t rdev,
			const struct xtsfs_cred *cred)
{
	struct mem_call call = {.kind = MEM_MKNOD, .mode = mode & S_IFMT ? mode : mode | S_IFREG, .rdev = rdev};

	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return entry_call(memory_of(store), dir, name, cred, &call);
}

static int memory_symlink(struct xtsfs_store *store, const char *target, int dir, const char *name,
			  const struct xtsfs_cred *cred)
{
	struct mem_call call = {.kind = MEM_MKNOD, .mode = S_IFLNK | 0777};
	const struct xtsfs_cred no_umask = cred ? (struct xtsfs_cred){.uid = cred->uid, .gid = cred->gid}
						: (struct xtsfs_cred){0};

	call.data = (const uint8_t *)target;
	call.bytes = strlen(target);
	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return entry_call(memory_of(store), dir, name, &no_umask, &call);
}

static int memory_link(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_call call = {.kind = MEM_LINK};
	int r;
	const struct mem_inode *inode;

	if (!old_name)
		return -ENOENT; /* no O_TMPFILE here: what has no name has lost it */
	inode = resolve(memory, old_dir, old_name, &r);
	if (!inode)
		return r;
	call.b = inode->ino;
	return entry_call(memory, new_dir, new_name, NULL, &call);
}

static int memory_rename(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			 const char *new_name, unsigned flags)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_call call = {.kind = MEM_RENAME, .flags = flags, .name_b = (char *)(uintptr_t)new_name};
	const struct mem_inode *to = inode_of(memory, new_dir);

	if (!to)
		return -EBADF;
	call.b = to->ino;
	return entry_call(memory, old_dir, old_name, NULL, &call);
}

static int memory_unlink(struct xtsfs_store *store, int dir, const char *name, int flags)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	struct mem_call call = {.kind = MEM_UNLINK, .flags = (unsigned)flags};
	int r;
	struct mem_inode *inode = resolve(memory, dir, name, &r);

	if (!inode)
		return r;
	r = entry_call(memory, dir, name, NULL, &call);
	maybe_drop(inode);
	return r;
}

static ssize_t memory_readlink(struct xtsfs_store *store, int dir, const char *name, char *ret_target, size_t room)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	int r;
	const struct mem_inode *inode = resolve(memory, dir, name && *name ? name : NULL, &r);
	size_t bytes;

	if (!inode)
		return r;
	if (!S_ISLNK(inode->mode))
		return -EINVAL;
	bytes = inode->bytes < room ? (size_t)inode->bytes : room;
	xtsfs_memory_peek(inode, ret_target, bytes, 0);
	return (ssize_t)bytes;
}

/* One call on an object. */
static int object_call(struct memory *memory, int dir, const char *name, struct mem_call *call)
{
	int r;
	const struct mem_inode *inode = resolve(memory, dir, name, &r);

	if (!inode)
		return r;
	call->a = inode->ino;
	return xtsfs_memory_do(memory, call);
}

static int memory_chmod(struct xtsfs_store *store, int dir, const char *name, mode_t mode)
{
	struct mem_call call = {.kind = MEM_CHMOD, .mode = mode};

	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return object_call(memory_of(store), dir, name, &call);
}

static int memory_chown(struct xtsfs_store *store, int dir, const char *name, uid_t uid, gid_t gid)
{
	struct mem_call call = {.kind = MEM_CHOWN, .uid = uid, .gid = gid};

	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return object_call(memory_of(store), dir, name, &call);
}

static int memory_utimens(struct xtsfs_store *store, int dir, const char *name, const struct timespec times[2])
{
	struct mem_call call = {.kind = MEM_UTIMENS, .times = {times[0], times[1]}};

	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return object_call(memory_of(store), dir, name, &call);
}

static ssize_t memory_getxattr(struct xtsfs_store *store, int dir, const char *name, const char *attr, void *ret_value,
			       size_t room)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	int r;
	const struct mem_inode *inode = resolve(memory, dir, name, &r);

	if (!inode)
		return r;
	for (const struct mem_xattr *x = inode->xattrs; x; x = x->next) {
		if (strcmp(x->name, attr) != 0)
			continue;
		if (room && x->bytes > room)
			return -ERANGE;
		if (room)
			memcpy(ret_value, x->value, x->bytes);
		return (ssize_t)x->bytes;
	}
	return -ENODATA;
}

static int memory_setxattr(struct xtsfs_store *store, int dir, const char *name, const char *attr, const void *value,
			   size_t bytes, int flags)
{
	struct mem_call call = {.kind = MEM_SETXATTR, .flags = (unsigned)flags, .data = value, .bytes = bytes};

	call.name_a = (char *)(uintptr_t)attr;
	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return object_call(memory_of(store), dir, name, &call);
}

static ssize_t memory_listxattr(struct xtsfs_store *store, int dir, const char *name, char *ret_list, size_t room)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	int r;
	const struct mem_inode *inode = resolve(memory, dir, name, &r);
	size_t used = 0;

	if (!inode)
		return r;
	for (const struct mem_xattr *x = inode->xattrs; x; x = x->next) {
		size_t bytes = strlen(x->name) + 1;

		if (room && used + bytes > room)
			return -ERANGE;
		if (room)
			memcpy(ret_list + used, x->name, bytes);
		used += bytes;
	}
	return (ssize_t)used;
}

static int memory_removexattr(struct xtsfs_store *store, int dir, const char *name, const char *attr)
{
	struct mem_call call = {.kind = MEM_REMOVEXATTR, .name_a = (char *)(uintptr_t)attr};

	xtsfs_guard_mutex(&memory_of(store)->mutex);
	return object_call(memory_of(store), dir, name, &call);
}

const struct xtsfs_store_ops xtsfs_memory_ops = {
	.name = "memory",
	.free = xtsfs_memory_free,
	.open = memory_open,
	.close = memory_close,
	.preadv = memory_preadv,
	.pwritev = memory_pwritev,
	.truncate = memory_truncate,
	.fallocate = memory_fallocate,
	.seek = memory_seek,
	.sync = memory_sync,
	.syncfs = memory_syncfs,
	.writeout = memory_writeout,
	.flock = memory_flock,
	.lock_range = memory_lock_range,
	.stat = memory_stat,
	.fstat = memory_fstat,
	.statfs = memory_statfs,
	.mkdir = memory_mkdir,
	.mknod = memory_mknod,
	.symlink = memory_symlink,
	.link = memory_link,
	.rename = memory_rename,
	.unlink = memory_unlink,
	.readlink = memory_readlink,
	.getdents = xtsfs_memory_getdents,
	.seekdir = xtsfs_memory_seekdir,
	.chmod = memory_chmod,
	.chown = memory_chown,
	.utimens = memory_utimens,
	.getxattr = memory_getxattr,
	.setxattr = memory_setxattr,
	.listxattr = memory_listxattr,
	.removexattr = memory_removexattr,
};
