/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory store's listings, as getdents64 gives them.
 */
#include "store/memory-internal.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <string.h>

static size_t put_record(char *at, size_t room, const char *name, ino_t ino, mode_t mode, int64_t next)
{
	struct dirent64 *record = (struct dirent64 *)(void *)at;
	size_t bytes = (offsetof(struct dirent64, d_name) + strlen(name) + 1 + 7) / 8 * 8;

	if (bytes > room)
		return 0;
	record->d_ino = ino;
	record->d_off = next;
	record->d_reclen = (unsigned short)bytes;
	record->d_type = IFTODT(mode);
	strcpy(record->d_name, name);
	return bytes;
}

ssize_t xtsfs_memory_getdents(struct xtsfs_store *store, int handle, void *ret_records, size_t room)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);
	const struct mem_inode *dir = inode_of(memory, handle);
	size_t used = 0, i = 0;

	if (!dir)
		return -EBADF;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	for (;;) {
		int64_t *position = &memory->handles[handle].position;
		const char *name = *position == 0 ? "." : "..";
		ino_t ino = dir->ino;
		mode_t mode = S_IFDIR;
		int64_t next = *position + 1;
		size_t bytes;

		if (*position >= 2) {
			while (i < dir->entry_count && dir->entries[i].seq < *position)
				i++;
			if (i == dir->entry_count)
				return (ssize_t)used;
			name = dir->entries[i].name;
			ino = dir->entries[i].ino;
			mode = inode_at(memory, ino)->mode;
			next = dir->entries[i].seq + 1;
		}
		bytes = put_record((char *)ret_records + used, room - used, name, ino, mode, next);
		if (bytes == 0)
			return used ? (ssize_t)used : -EINVAL;
		used += bytes;
		*position = next;
	}
}

int xtsfs_memory_seekdir(struct xtsfs_store *store, int handle, int64_t position)
{
	struct memory *memory = memory_of(store);
	xtsfs_guard_mutex(&memory->mutex);

	if (!inode_of(memory, handle))
		return -EBADF;
	memory->handles[handle].position = position;
	return 0;
}
