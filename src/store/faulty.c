/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting and failing. Closing, freeing and locking never fail: nobody could do anything about it.
 */
#include "store/faulty.h"

#include "base/cleanup.h"

#include <stdlib.h>

#define PAGE 4096U

struct faulty {
	struct xtsfs_store store;
	struct xtsfs_store *inner;
	pthread_mutex_t mutex; /* rank: leaf; guards what follows */
	struct xtsfs_fault fault;
	unsigned count, fired;
};

static struct faulty *faulty_of(const struct xtsfs_store *store)
{
	return (struct faulty *)(uintptr_t)store;
}

/* Counts a call. 0, or the error it is to fail with. */
static int meet(struct xtsfs_store *store, enum xtsfs_fault_kind kind)
{
	struct faulty *faulty = faulty_of(store);
	xtsfs_guard_mutex(&faulty->mutex);
	const struct xtsfs_fault *fault = &faulty->fault;

	if (!fault->nth || !(fault->kinds & kind))
		return 0;
	faulty->count++;
	if (faulty->count != fault->nth && !(fault->forever && faulty->count > fault->nth))
		return 0;
	faulty->fired++;
	return -fault->error;
}

static void faulty_free(struct xtsfs_store *store)
{
	pthread_mutex_destroy(&faulty_of(store)->mutex);
	free(faulty_of(store));
}

/* FORWARD(kind, call): fail, or pass on. */
#define INNER (faulty_of(store)->inner)
#define FORWARD(kind, call)                       \
	do {                                      \
		int error_ = meet(store, (kind)); \
		return error_ ? error_ : (call);  \
	} while (0)

static int faulty_open(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		       const struct xtsfs_cred *cred)
{
	FORWARD(XTSFS_FAULT_OPEN, INNER->ops->open(INNER, dir, name, flags, mode, cred));
}

static void faulty_close(struct xtsfs_store *store, int handle)
{
	INNER->ops->close(INNER, handle);
}

static ssize_t faulty_preadv(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset)
{
	FORWARD(XTSFS_FAULT_READ, INNER->ops->preadv(INNER, handle, iov, count, offset));
}

static ssize_t faulty_pwritev(struct xtsfs_store *store, int handle, const struct iovec *iov, int count,
			      uint64_t offset)
{
	struct faulty *faulty = faulty_of(store);
	int r = meet(store, XTSFS_FAULT_WRITE);

	if (r < 0 && faulty->fault.cut && count == 1 && offset % PAGE + iov->iov_len > PAGE) {
		struct iovec first = {.iov_base = iov->iov_base, .iov_len = PAGE - offset % PAGE};

		xtsfs_guard_mutex(&faulty->mutex);
		faulty->fired--;
		faulty->fault.nth++;
		return INNER->ops->pwritev(INNER, handle, &first, 1, offset);
	}
	return r ? r : INNER->ops->pwritev(INNER, handle, iov, count, offset);
}

static int faulty_truncate(struct xtsfs_store *store, int handle, uint64_t bytes)
{
	FORWARD(XTSFS_FAULT_LENGTH, INNER->ops->truncate(INNER, handle, bytes));
}

static int faulty_fallocate(struct xtsfs_store *store, int handle, int mode, uint64_t offset, uint64_t bytes)
{
	FORWARD(XTSFS_FAULT_LENGTH, INNER->ops->fallocate(INNER, handle, mode, offset, bytes));
}

static int64_t faulty_seek(struct xtsfs_store *store, int handle, uint64_t offset, int whence)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->seek(INNER, handle, offset, whence));
}

static int faulty_sync(struct xtsfs_store *store, int handle, bool data_only)
{
	FORWARD(XTSFS_FAULT_SYNC, INNER->ops->sync(INNER, handle, data_only));
}

static int faulty_writeout(struct xtsfs_store *store, int handle)
{
	FORWARD(XTSFS_FAULT_SYNC, INNER->ops->writeout(INNER, handle));
}

static int faulty_syncfs(struct xtsfs_store *store)
{
	FORWARD(XTSFS_FAULT_SYNC, INNER->ops->syncfs(INNER));
}

static int faulty_flock(struct xtsfs_store *store, int handle, int operation)
{
	return INNER->ops->flock(INNER, handle, operation);
}

static int faulty_lock_range(struct xtsfs_store *store, int handle, short type, uint64_t start, uint64_t bytes,
			     bool test)
{
	return INNER->ops->lock_range(INNER, handle, type, start, bytes, test);
}

static int faulty_stat(struct xtsfs_store *store, int dir, const char *name, struct stat *ret_stat)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->stat(INNER, dir, name, ret_stat));
}

static int faulty_fstat(struct xtsfs_store *store, int handle, struct stat *ret_stat)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->fstat(INNER, handle, ret_stat));
}

static int faulty_statfs(struct xtsfs_store *store, struct statvfs *ret_statvfs)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->statfs(INNER, ret_statvfs));
}

static int faulty_mkdir(struct xtsfs_store *store, int dir, const char *name, mode_t mode,
			const struct xtsfs_cred *cred)
{
	FORWARD(XTSFS_FAULT_ENTRY, INNER->ops->mkdir(INNER, dir, name, mode, cred));
}

static int faulty_mknod(struct xtsfs_store *store, int dir, const char *name, mode_t mode, dev_t rdev,
			const struct xtsfs_cred *cred)
{
	FORWARD(XTSFS_FAULT_ENTRY, INNER->ops->mknod(INNER, dir, name, mode, rdev, cred));
}

static int faulty_symlink(struct xtsfs_store *store, const char *target, int dir, const char *name,
			  const struct xtsfs_cred *cred)
{
	FORWARD(XTSFS_FAULT_ENTRY, INNER->ops->symlink(INNER, target, dir, name, cred));
}

static int faulty_link(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	FORWARD(XTSFS_FAULT_ENTRY, INNER->ops->link(INNER, old_dir, old_name, new_dir, new_name));
}

static int faulty_rename(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			 const char *new_name, unsigned flags)
{
	FORWARD(XTSFS_FAULT_ENTRY, INNER->ops->rename(INNER, old_dir, old_name, new_dir, new_name, flags));
}

static int faulty_unlink(struct xtsfs_store *store, int dir, const char *name, int flags)
{
	FORWARD(XTSFS_FAULT_ENTRY, INNER->ops->unlink(INNER, dir, name, flags));
}

static ssize_t faulty_readlink(struct xtsfs_store *store, int dir, const char *name, char *ret_target, size_t room)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->readlink(INNER, dir, name, ret_target, room));
}

static ssize_t faulty_getdents(struct xtsfs_store *store, int handle, void *ret_records, size_t room)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->getdents(INNER, handle, ret_records, room));
}

static int faulty_seekdir(struct xtsfs_store *store, int handle, int64_t position)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->seekdir(INNER, handle, position));
}

static int faulty_chmod(struct xtsfs_store *store, int dir, const char *name, mode_t mode)
{
	FORWARD(XTSFS_FAULT_ATTRIBUTE, INNER->ops->chmod(INNER, dir, name, mode));
}

static int faulty_chown(struct xtsfs_store *store, int dir, const char *name, uid_t uid, gid_t gid)
{
	FORWARD(XTSFS_FAULT_ATTRIBUTE, INNER->ops->chown(INNER, dir, name, uid, gid));
}

static int faulty_utimens(struct xtsfs_store *store, int dir, const char *name, const struct timespec times[2])
{
	FORWARD(XTSFS_FAULT_ATTRIBUTE, INNER->ops->utimens(INNER, dir, name, times));
}

static ssize_t faulty_getxattr(struct xtsfs_store *store, int dir, const char *name, const char *attr, void *ret_value,
			       size_t room)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->getxattr(INNER, dir, name, attr, ret_value, room));
}

static int faulty_setxattr(struct xtsfs_store *store, int dir, const char *name, const char *attr, const void *value,
			   size_t bytes, int flags)
{
	FORWARD(XTSFS_FAULT_ATTRIBUTE, INNER->ops->setxattr(INNER, dir, name, attr, value, bytes, flags));
}

static ssize_t faulty_listxattr(struct xtsfs_store *store, int dir, const char *name, char *ret_list, size_t room)
{
	FORWARD(XTSFS_FAULT_STAT, INNER->ops->listxattr(INNER, dir, name, ret_list, room));
}

static int faulty_removexattr(struct xtsfs_store *store, int dir, const char *name, const char *attr)
{
	FORWARD(XTSFS_FAULT_ATTRIBUTE, INNER->ops->removexattr(INNER, dir, name, attr));
}

static const struct xtsfs_store_ops faulty_ops = {
	.name = "faulty",
	.free = faulty_free,
	.open = faulty_open,
	.close = faulty_close,
	.preadv = faulty_preadv,
	.pwritev = faulty_pwritev,
	.truncate = faulty_truncate,
	.fallocate = faulty_fallocate,
	.seek = faulty_seek,
	.sync = faulty_sync,
	.syncfs = faulty_syncfs,
	.writeout = faulty_writeout,
	.flock = faulty_flock,
	.lock_range = faulty_lock_range,
	.stat = faulty_stat,
	.fstat = faulty_fstat,
	.statfs = faulty_statfs,
	.mkdir = faulty_mkdir,
	.mknod = faulty_mknod,
	.symlink = faulty_symlink,
	.link = faulty_link,
	.rename = faulty_rename,
	.unlink = faulty_unlink,
	.readlink = faulty_readlink,
	.getdents = faulty_getdents,
	.seekdir = faulty_seekdir,
	.chmod = faulty_chmod,
	.chown = faulty_chown,
	.utimens = faulty_utimens,
	.getxattr = faulty_getxattr,
	.setxattr = faulty_setxattr,
	.listxattr = faulty_listxattr,
	.removexattr = faulty_removexattr,
};

int xtsfs_store_faulty_new(struct xtsfs_store *inner, struct xtsfs_store **ret_store)
{
	struct faulty *faulty = calloc(1, sizeof(*faulty));

	if (!faulty)
		return -ENOMEM;
	faulty->store.ops = &faulty_ops;
	faulty->store.root = inner->root;
	faulty->store.in_place = inner->in_place;
	faulty->inner = inner;
	pthread_mutex_init(&faulty->mutex, NULL);
	*ret_store = &faulty->store;
	return 0;
}

void xtsfs_faulty_arm(struct xtsfs_store *store, const struct xtsfs_fault *fault)
{
	struct faulty *faulty = faulty_of(store);
	xtsfs_guard_mutex(&faulty->mutex);

	faulty->fault = *fault;
	faulty->count = faulty->fired = 0;
}

unsigned xtsfs_faulty_fired(const struct xtsfs_store *store)
{
	return faulty_of(store)->fired;
}
