/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every store shares: freeing it, and transfers that go on after a short count.
 */
#include "store/store.h"

#include <ctype.h>
#include <stdio.h>

struct xtsfs_store *xtsfs_store_free(struct xtsfs_store *store)
{
	if (store)
		store->ops->free(store);
	return NULL;
}

ssize_t xtsfs_store_pread(struct xtsfs_store *store, int handle, void *data, size_t bytes, uint64_t offset)
{
	size_t done = 0;

	while (done < bytes) {
		struct iovec iov = {.iov_base = (uint8_t *)data + done, .iov_len = bytes - done};
		ssize_t n = store->ops->preadv(store, handle, &iov, 1, offset + done);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int xtsfs_store_pwrite(struct xtsfs_store *store, int handle, const void *data, size_t bytes, uint64_t offset)
{
	size_t done = 0;

	while (done < bytes) {
		struct iovec iov = {.iov_base = (uint8_t *)(uintptr_t)data + done, .iov_len = bytes - done};
		ssize_t n = store->ops->pwritev(store, handle, &iov, 1, offset + done);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int xtsfs_store_rename_new(struct xtsfs_store *store, int dir, const char *old_name, const char *new_name)
{
	struct stat st;
	int r = store->ops->rename(store, dir, old_name, dir, new_name, RENAME_NOREPLACE);

	if (r != -EINVAL && r != -ENOSYS)
		return r;
	/* A backing filesystem without the flag (NFS). Callers hold the directory's lock, so only somebody outside
	 * could come between. */
	r = store->ops->stat(store, dir, new_name, &st);
	if (r != -ENOENT)
		return r == 0 ? -EEXIST : r;
	return store->ops->rename(store, dir, old_name, dir, new_name, 0);
}

int xtsfs_store_folds_case(struct xtsfs_store *store, const char *name)
{
	struct stat small, big;
	char capitals[256];
	size_t i;
	int r;

	for (i = 0; name[i] && i < sizeof(capitals) - 1; i++)
		capitals[i] = (char)toupper((unsigned char)name[i]);
	capitals[i] = '\0';
	r = store->ops->stat(store, store->root, name, &small);
	if (r == 0)
		r = store->ops->stat(store, store->root, capitals, &big);
	if (r == 0)
		return small.st_ino == big.st_ino && small.st_dev == big.st_dev;
	return r == -ENOENT ? 0 : r;
}
