/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The redo record (spec 14.4): what is about to be written over a file in several places, so that it can be written
 * again when that was interrupted.
 *
 *   record, durable -> file, durable -> record removed, durably
 *
 * The file's lock is held exclusively over all of it. So as long as a record may be there nobody changes its file, and
 * doing it again, any number of times, gives the same. A record that could come back after its file was changed would
 * undo that change: so where a step behind the first fails, and it is not known that the record is gone for good, the
 * file is not to be used until the volume is opened again (volume.has_torn), and no other record is written.
 *
 * The file is found by its path as of the time of the record; or, if it was moved since, by its id.
 */
#include "core/internal.h"

#include "core/file.h"
#include "core/fs.h"
#include "core/replace.h"
#include "crypto/kdf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PATH_MOST  (1U << 20)
#define IMAGE_MOST (64U << 20)
#define DEPTH_MOST 4096U
#define LIST_BYTES 4096U

/* A record in memory: header, block 0, path, image. */
struct record {
	uint8_t *bytes;
	size_t count;
	struct xtsfs_disk_redo head;
	const char *path; /* not terminated */
	size_t path_bytes;
	struct xtsfs_redo redo;
};

static int make_tag(const struct xtsfs_keys *keys, const uint8_t *record, size_t bytes,
		    uint8_t ret_tag[static XTSFS_TAG_BYTES])
{
	struct xtsfs_disk_redo head;
	struct iovec parts[3];
	uint8_t hash[32];
	int r = xtsfs_sha256(record + sizeof(head), bytes - sizeof(head), hash);

	memcpy(&head, record, sizeof(head));
	return r < 0 ? r : xtsfs_mac_tag(keys->meta, parts, xtsfs_redo_tag_parts(&head, hash, parts), ret_tag);
}

static int write_record(struct xtsfs_volume *volume, const char *path, const struct xtsfs_redo *redo)
{
	size_t path_bytes = strlen(path);
	size_t bytes = sizeof(struct xtsfs_disk_redo) + sizeof(*redo->block0) + path_bytes + redo->image_bytes;
	xtsfs_auto_free uint8_t *record = malloc(bytes);
	struct xtsfs_disk_redo head = {
		.path_bytes = xtsfs_le64_of(path_bytes),
		.image_cipher_off = xtsfs_le64_of(redo->image_cipher_off),
		.image_bytes = xtsfs_le64_of(redo->image_bytes),
		.mtime_s = xtsfs_le64_of((uint64_t)redo->mtime.tv_sec),
		.mtime_ns = xtsfs_le64_of((uint64_t)redo->mtime.tv_nsec),
	};
	uint8_t *at;
	int r;

	if (!record)
		return -ENOMEM;
	if (path_bytes > PATH_MOST)
		return -ENAMETOOLONG;
	memcpy(head.magic, XTSFS_MAGIC_REDO, sizeof(head.magic));
	memcpy(head.file_id, redo->block0->file.file_id, sizeof(head.file_id));
	memcpy(record, &head, sizeof(head));
	at = record + sizeof(head);
	memcpy(at, redo->block0, sizeof(*redo->block0));
	at += sizeof(*redo->block0);
	memcpy(at, path, path_bytes);
	memcpy(at + path_bytes, redo->image, redo->image_bytes);
	r = make_tag(volume->keys, record, bytes, head.tag);
	if (r < 0)
		return r;
	memcpy(record, &head, sizeof(head));
	return xtsfs_file_replace(volume->store, XTSFS_NAME_REDO, record, bytes, /* exclusive= */ false);
}

/* Is this block of the file zero already? Writing zeros there would fill a hole. */
static bool is_hole(struct xtsfs_store *store, int handle, uint64_t cipher_off, size_t bytes)
{
	uint8_t stored[XTSFS_BLOCK_BYTES];
	ssize_t n = xtsfs_store_pread(store, handle, stored, bytes, cipher_off);

	return n >= 0 && xtsfs_is_zero(stored, (size_t)n);
}

static int write_image(struct xtsfs_store *store, int handle, const struct xtsfs_redo *redo)
{
	size_t from = 0, at = 0;
	int r = 0;

	while (r == 0 && at < redo->image_bytes) {
		size_t some = redo->image_bytes - at < XTSFS_BLOCK_BYTES ? redo->image_bytes - at : XTSFS_BLOCK_BYTES;
		bool skip = xtsfs_is_zero(redo->image + at, some) &&
			    is_hole(store, handle, redo->image_cipher_off + at, some);

		if (skip && at > from)
			r = xtsfs_store_pwrite(store, handle, redo->image + from, at - from,
					       redo->image_cipher_off + from);
		at += some;
		if (skip)
			from = at;
	}
	return r == 0 && at > from
		       ? xtsfs_store_pwrite(store, handle, redo->image + from, at - from, redo->image_cipher_off + from)
		       : r;
}

static int write_file(struct xtsfs_store *store, int handle, const struct xtsfs_redo *redo)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, redo->mtime};
	int r = write_image(store, handle, redo);

	if (r == 0)
		r = xtsfs_store_pwrite(store, handle, redo->block0, sizeof(*redo->block0), 0);
	if (r < 0)
		return r;
	(void)store->ops->utimens(store, handle, NULL, times);
	return store->ops->sync(store, handle, false);
}

static int remove_record(struct xtsfs_store *store)
{
	int r = store->ops->unlink(store, store->root, XTSFS_NAME_REDO, 0);

	return r < 0 ? r : store->ops->sync(store, store->root, false);
}

static void set_torn(struct xtsfs_volume *volume, dev_t dev, ino_t ino)
{
	volume->torn_dev = dev;
	volume->torn_ino = ino;
	__atomic_store_n(&volume->has_torn, true, __ATOMIC_RELEASE);
}

int xtsfs_redo_do(struct xtsfs_volume *volume, const char *path, int handle, const struct xtsfs_redo *redo)
{
	struct xtsfs_store *store = volume->store;
	struct stat st, record;
	int r = store->ops->fstat(store, handle, &st);

	if (__atomic_load_n(&volume->has_torn, __ATOMIC_ACQUIRE))
		return -EBUSY;
	/* Without a name it ends with us. Who gives it one has it renewed before (create.c). */
	if (r == 0 && st.st_nlink == 0)
		return write_file(store, handle, redo);
	if (r < 0 || !path)
		return r < 0 ? r : -ESTALE;
	r = write_record(volume, path, redo);
	/* What failed before it had its name has changed nothing. */
	if (r < 0 && store->ops->stat(store, store->root, XTSFS_NAME_REDO, &record) == -ENOENT)
		return r;
	if (r == 0)
		r = write_file(store, handle, redo);
	if (r == 0)
		r = remove_record(store);
	if (r < 0)
		set_torn(volume, st.st_dev, st.st_ino);
	return r;
}

/* ---- at the opening ---- */

static int parse_record(struct record *record)
{
	struct xtsfs_disk_redo *head = &record->head;
	const size_t before = sizeof(*head) + sizeof(struct xtsfs_disk_block);
	uint64_t path_bytes, image_bytes;

	if (record->count < before)
		return -XTSFS_EDAMAGED;
	memcpy(head, record->bytes, sizeof(*head));
	path_bytes = xtsfs_le64_get(head->path_bytes);
	image_bytes = xtsfs_le64_get(head->image_bytes);
	if (memcmp(head->magic, XTSFS_MAGIC_REDO, sizeof(head->magic)) != 0 || path_bytes == 0 ||
	    path_bytes > PATH_MOST || image_bytes > IMAGE_MOST || record->count != before + path_bytes + image_bytes ||
	    !xtsfs_is_zero(head->zero, sizeof(head->zero)) ||
	    xtsfs_le64_get(head->image_cipher_off) % XTSFS_BLOCK_BYTES != 0 ||
	    xtsfs_le64_get(head->image_cipher_off) == 0 || xtsfs_le64_get(head->image_cipher_off) > XTSFS_PLAIN_MAX * 2)
		return -XTSFS_EDAMAGED;
	record->path = (const char *)record->bytes + before;
	record->path_bytes = path_bytes;
	record->redo = (struct xtsfs_redo){
		.block0 = (const struct xtsfs_disk_block *)(const void *)(record->bytes + sizeof(*head)),
		.image = record->bytes + before + path_bytes,
		.image_cipher_off = xtsfs_le64_get(head->image_cipher_off),
		.image_bytes = image_bytes,
		.mtime = {.tv_sec = (time_t)xtsfs_le64_get(head->mtime_s),
			  .tv_nsec = (long)xtsfs_le64_get(head->mtime_ns)},
	};
	return 0;
}

/* 0 with nothing in it where there is no record. */
static int read_record(struct xtsfs_volume *volume, struct record *ret)
{
	struct xtsfs_store *store = volume->store;
	uint8_t tag[XTSFS_TAG_BYTES];
	struct stat st;
	ssize_t n;
	int r = store->ops->stat(store, store->root, XTSFS_NAME_REDO, &st), handle;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!S_ISREG(st.st_mode) || st.st_size > IMAGE_MOST + PATH_MOST)
		return -XTSFS_EDAMAGED;
	handle = store->ops->open(store, store->root, XTSFS_NAME_REDO, O_RDONLY | O_NONBLOCK, 0, NULL);
	if (handle < 0)
		return handle;
	ret->bytes = malloc((size_t)st.st_size + 1);
	n = ret->bytes ? xtsfs_store_pread(store, handle, ret->bytes, (size_t)st.st_size, 0) : -ENOMEM;
	store->ops->close(store, handle);
	if (n < 0)
		return (int)n;
	ret->count = (size_t)n;
	r = parse_record(ret);
	if (r == 0)
		r = make_tag(volume->keys, ret->bytes, ret->count, tag);
	if (r < 0)
		return r;
	return xtsfs_equal_secret(tag, ret->head.tag, sizeof(tag)) ? 0 : -XTSFS_EAUTH;
}

static bool has_id(struct xtsfs_store *store, int handle, const uint8_t id[XTSFS_ID_BYTES])
{
	struct xtsfs_disk_header header;

	return xtsfs_store_pread(store, handle, &header, sizeof(header), 0) == sizeof(header) &&
	       memcmp(header.magic, XTSFS_MAGIC_FILE, sizeof(header.magic)) == 0 &&
	       memcmp(header.file_id, id, XTSFS_ID_BYTES) == 0;
}

/* The file's handle, if it is the one; -ENOENT. */
static int open_if_it(struct xtsfs_volume *volume, int dir, const char *name, const uint8_t id[XTSFS_ID_BYTES])
{
	struct xtsfs_store *store = volume->store;
	const int flags = volume->read_only ? O_RDONLY : O_RDWR;
	struct stat st;
	int handle, r = store->ops->stat(store, dir, name, &st);

	if (r < 0 || !S_ISREG(st.st_mode))
		return r < 0 ? r : -ENOENT;
	if (st.st_size < (off_t)XTSFS_BLOCK_BYTES)
		return -ENOENT; /* not one in sectors */
	handle = store->ops->open(store, dir, name, flags | O_NONBLOCK, 0, NULL);
	if (handle == -EACCES && st.st_uid == geteuid() &&
	    store->ops->chmod(store, dir, name, (st.st_mode & 07777) | 0600) == 0) {
		handle = store->ops->open(store, dir, name, flags | O_NONBLOCK, 0, NULL);
		(void)store->ops->chmod(store, dir, name, st.st_mode & 07777);
	}
	if (handle >= 0 && !has_id(store, handle, id)) {
		store->ops->close(store, handle);
		return -ENOENT;
	}
	return handle;
}

/* By the path in the record. */
static int open_by_path(struct xtsfs_volume *volume, const struct record *record)
{
	struct xtsfs_store *store = volume->store;
	xtsfs_auto_free char *path = strndup(record->path, record->path_bytes);
	int dir = store->root, next = -ENOENT;
	char *name = path, *slash;

	if (!path)
		return -ENOMEM;
	while ((slash = strchr(name, '/'))) {
		*slash = '\0';
		next = store->ops->open(store, dir, name, O_PATH | O_DIRECTORY, 0, NULL);
		if (dir != store->root)
			store->ops->close(store, dir);
		if (next < 0)
			return next == -ENOTDIR || next == -ELOOP ? -ENOENT : next;
		dir = next;
		name = slash + 1;
	}
	next = open_if_it(volume, dir, name, record->head.file_id);
	if (dir != store->root)
		store->ops->close(store, dir);
	return next;
}

/* Anywhere below a directory. */
static int search(struct xtsfs_volume *volume, int dir, const uint8_t id[XTSFS_ID_BYTES], unsigned depth)
{
	struct xtsfs_store *store = volume->store;
	xtsfs_auto_free char *buffer = depth < DEPTH_MOST ? malloc(LIST_BYTES) : NULL;
	int handle = store->ops->open(store, dir, ".", O_RDONLY | O_DIRECTORY, 0, NULL), r = -ENOENT;
	ssize_t n = 0;

	if (handle >= 0 && !buffer)
		r = -ENOMEM;
	while (handle >= 0 && r == -ENOENT && (n = store->ops->getdents(store, handle, buffer, LIST_BYTES)) > 0) {
		for (ssize_t at = 0; r == -ENOENT && at < n;) {
			const struct dirent64 *record = (const struct dirent64 *)(const void *)(buffer + at);
			enum xtsfs_name_kind kind = xtsfs_name_classify(record->d_name, false);
			int child;

			at += record->d_reclen;
			if (kind != XTSFS_NAME_KIND_SHORT && kind != XTSFS_NAME_KIND_LONG)
				continue;
			child = store->ops->open(store, handle, record->d_name, O_PATH | O_DIRECTORY, 0, NULL);
			if (child < 0) {
				r = child == -ENOTDIR || child == -ELOOP
					    ? open_if_it(volume, handle, record->d_name, id)
					    : child;
				continue;
			}
			r = search(volume, child, id, depth + 1);
			store->ops->close(store, child);
		}
	}
	if (handle < 0)
		return handle;
	store->ops->close(store, handle);
	return r == -ENOENT && n < 0 ? (int)n : r;
}

static int do_again(struct xtsfs_volume *volume, const struct record *record)
{
	struct xtsfs_store *store = volume->store;
	struct stat st;
	int handle = open_by_path(volume, record), r;

	if (handle == -ENOENT)
		handle = search(volume, store->root, record->head.file_id, 0);
	if (handle == -ENOENT) {
		/* It was removed or emptied, by which the record lost its meaning. */
		if (volume->read_only)
			return 0;
		xtsfs_notice("%s is of a file that is no more, removing it", XTSFS_NAME_REDO);
		return remove_record(store);
	}
	if (handle < 0)
		return handle;
	if (volume->read_only) {
		r = store->ops->fstat(store, handle, &st);
		if (r == 0)
			set_torn(volume, st.st_dev, st.st_ino);
	} else {
		r = write_file(store, handle, &record->redo);
	}
	store->ops->close(store, handle);
	if (r == 0 && !volume->read_only)
		r = remove_record(store);
	return r;
}

int xtsfs_redo_again(struct xtsfs_volume *volume, char *ret_problem, size_t problem_bytes)
{
	struct record record = {0};
	int r = read_record(volume, &record);

	if (r == 0 && record.count)
		r = do_again(volume, &record);
	if (r < 0)
		snprintf(ret_problem, problem_bytes,
			 "a file's re-encryption was interrupted, and going on with it by %s failed: %s",
			 XTSFS_NAME_REDO, xtsfs_strerror(r));
	free(record.bytes);
	return r;
}
