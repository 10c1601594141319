/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a regular file: copied into the target, and compared with it afterwards.
 *
 * A file that changes while it is read would come out as something that it never was. So size and both times are asked
 * before and after, and what is not the same is copied again, a few times.
 *
 * Holes stay holes. Where the source has fewer blocks than its size says, but does not tell where (a FUSE filesystem
 * mostly does not), blocks of zeros are taken for holes.
 */
#include "import.h"

#include "base/cleanup.h"
#include "format/ondisk.h"

#include <fcntl.h>
#include <string.h>

#define PART	    ".xtsfs-part."
#define PART_DIGITS 16
#define TRIES	    3

void import_part_name(struct import *x, char ret_name[static 64])
{
	snprintf(ret_name, 64, PART "%016llx.%llx", (unsigned long long)x->run_id,
		 (unsigned long long)__atomic_add_fetch(&x->parts, 1, __ATOMIC_RELAXED));
}

bool import_is_part(const char *name)
{
	size_t prefix = sizeof(PART) - 1;

	return strncmp(name, PART, prefix) == 0 && strspn(name + prefix, "0123456789abcdef") == PART_DIGITS &&
	       name[prefix + PART_DIGITS] == '.';
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same_version(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && is_same_time(&a->st_mtim, &b->st_mtim) &&
	       is_same_time(&a->st_ctim, &b->st_ctim);
}

static bool may_have_holes(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
}

struct copy {
	struct import *x;
	struct import_node *node;
	char *chunk;
	int fd;
	bool sparse, read_failed;
	uint64_t end; /* of what was written */
};

static int write_piece(struct copy *copy, size_t at, size_t bytes, uint64_t offset)
{
	int r = copy->x->target->ops->write(copy->x->target, copy->node, copy->chunk + at, bytes, offset + at);

	if (r == 0)
		copy->end = offset + at + bytes;
	return r;
}

/* What is in the chunk, but not its blocks of zeros. */
static int write_chunk(struct copy *copy, size_t bytes, uint64_t offset)
{
	size_t at = 0;

	if (!copy->sparse)
		return write_piece(copy, 0, bytes, offset);
	while (at < bytes) {
		size_t start = at;
		int r = 0;

		for (size_t piece; at < bytes; at += piece) {
			piece = bytes - at < XTSFS_BLOCK_BYTES ? bytes - at : XTSFS_BLOCK_BYTES;
			if (xtsfs_is_zero(copy->chunk + at, piece))
				break;
		}
		if (at > start)
			r = write_piece(copy, start, at - start, offset);
		if (r < 0)
			return r;
		at += XTSFS_BLOCK_BYTES;
	}
	return 0;
}

static int copy_range(struct copy *copy, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		size_t bytes = end - offset < IMPORT_CHUNK ? (size_t)(end - offset) : IMPORT_CHUNK;
		ssize_t n;
		int r;

		if (import_stopped(copy->x))
			return -EINTR;
		verify_pace_wait(&copy->x->pace, bytes);
		n = pread(copy->fd, copy->chunk, bytes, (off_t)offset);
		if (n == 0)
			break; /* it got shorter */
		if (n < 0) {
			copy->read_failed = true;
			return -errno;
		}
		r = write_chunk(copy, (size_t)n, offset);
		if (r < 0)
			return r;
		import_count(&copy->x->progress.bytes, (uint64_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

static int copy_content(struct copy *copy, uint64_t size)
{
	uint64_t offset = 0;
	int r = 0;

	if (!copy->sparse)
		return copy_range(copy, 0, size);
	while (r == 0 && offset < size) {
		off_t data = lseek(copy->fd, (off_t)offset, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? data : lseek(copy->fd, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > size) /* cannot be told, or it grows */
			return copy_range(copy, data < 0 ? offset : (uint64_t)data, size);
		r = copy_range(copy, (uint64_t)data, (uint64_t)hole);
		offset = (uint64_t)hole;
	}
	return r;
}

/* 0, -errno, or 1: it changed meanwhile. *@source: as of the version that was copied. */
static int copy_once(struct copy *copy, struct import_source *source)
{
	const struct import_target_ops *ops = copy->x->target->ops;
	struct stat before, after;
	int r;

	if (fstat(copy->fd, &before) < 0)
		return -errno;
	copy->sparse = may_have_holes(&before);
	copy->end = 0;
	r = copy_content(copy, (uint64_t)before.st_size);
	if (r == 0 && copy->end < (uint64_t)before.st_size)
		r = ops->truncate(copy->x->target, copy->node, (uint64_t)before.st_size);
	if (r < 0)
		return r;
	if (fstat(copy->fd, &after) < 0)
		return -errno;
	source->st = before;
	return is_same_version(&before, &after) ? 0 : 1;
}

int import_file_copy(struct import *x, struct import_task *task, struct import_source *source, const char *part,
		     char *chunk)
{
	const struct import_target_ops *ops = x->target->ops;
	struct copy copy = {.x = x, .chunk = chunk};
	xtsfs_auto_fd fd = import_source_read(source, O_NONBLOCK);
	int r;

	if (fd < 0) {
		import_failed(x, fd, "read", task->path);
		return -EIO;
	}
	copy.fd = fd;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r = ops->create(x->target, task->dir->node, part, &copy.node);
	if (r < 0)
		return r;
	r = copy_once(&copy, source);
	for (int i = 1; r == 1 && i < TRIES; i++) {
		r = ops->truncate(x->target, copy.node, 0);
		if (r == 0)
			r = copy_once(&copy, source);
	}
	ops->close_written(x->target, copy.node);
	if (r == 0)
		import_attr_set(x, source, copy.node, task->path, chunk);
	ops->forget(x->target, copy.node);
	if (r != 0)
		(void)!ops->unlink(x->target, task->dir->node, part);
	if (r < 0 && copy.read_failed) {
		import_failed(x, r, "read", task->path);
		return -EIO;
	}
	return r;
}

/* The next offset from @offset on at which either has data. */
static uint64_t next_data(struct import *x, int fd, struct import_node *node, uint64_t offset, uint64_t size)
{
	int64_t there = x->target->ops->seek(x->target, node, offset, SEEK_DATA);
	off_t here = lseek(fd, (off_t)offset, SEEK_DATA);
	uint64_t a = here >= 0 ? (uint64_t)here : errno == ENXIO ? size : offset;
	uint64_t b = there >= 0 ? (uint64_t)there : there == -ENXIO ? size : offset;

	return a < b ? a : b;
}

int import_file_compare(struct import *x, const struct import_source *source, struct import_node *node, char *chunk,
			bool *ret_of_source)
{
	uint64_t size = (uint64_t)source->st.st_size;
	bool sparse = may_have_holes(&source->st);
	xtsfs_auto_fd fd = import_source_read(source, O_NONBLOCK);
	char *other = chunk + IMPORT_CHUNK / 2;
	struct stat after;

	*ret_of_source = fd < 0;
	if (fd < 0)
		return fd;
	for (uint64_t offset = 0; offset < size;) {
		uint64_t at = sparse ? next_data(x, fd, node, offset, size) : offset;
		size_t bytes = size - at < IMPORT_CHUNK / 2 ? (size_t)(size - at) : IMPORT_CHUNK / 2;
		ssize_t n, m;

		if (import_stopped(x))
			return -EINTR;
		if (bytes == 0)
			break;
		verify_pace_wait(&x->pace, bytes);
		n = pread(fd, chunk, bytes, (off_t)at);
		*ret_of_source = n < 0;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 2;
		m = x->target->ops->read(x->target, node, other, (size_t)n, at);
		if (m < 0)
			return (int)m;
		if (m != n || memcmp(chunk, other, (size_t)n) != 0)
			return 0;
		import_count(&x->progress.bytes, (uint64_t)n);
		offset = at + (uint64_t)n;
	}
	return fstat(fd, &after) == 0 && is_same_version(&after, &source->st) ? 1 : 2;
}
