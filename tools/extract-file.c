/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a regular file, copied out.
 *
 * A file is written under a name that says that it is a part (.xtsfs-part.RUN.NUMBER), gets all of its attributes, and
 * only then its own name. So what has its name is whole, also after a kill, and a later run need not write it again: it
 * looks at type, size, time of change, mode and owner, or with --verify at every byte.
 *
 * Of a file with bad sectors the others are written, with holes in between, and the name gets ".xtsfs-damaged" behind
 * it, so that nobody takes it for the file.
 */
#include "extract.h"

#include "base/cleanup.h"
#include "format/ondisk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PART	    ".xtsfs-part."
#define PART_DIGITS 16
#define DAMAGED	    ".xtsfs-damaged"

void extract_part_name(struct extraction *x, char ret_name[static 64])
{
	snprintf(ret_name, 64, PART "%016llx.%llx", (unsigned long long)x->run_id,
		 (unsigned long long)__atomic_add_fetch(&x->parts, 1, __ATOMIC_RELAXED));
}

static bool is_part_name(const char *name)
{
	size_t prefix = sizeof(PART) - 1;

	return strncmp(name, PART, prefix) == 0 && strspn(name + prefix, "0123456789abcdef") == PART_DIGITS &&
	       name[prefix + PART_DIGITS] == '.';
}

void extract_remove_parts(struct extraction *x, struct extract_dir *dir)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!stream && fd >= 0)
		close(fd);
	while (stream && (entry = readdir(stream))) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
		struct xtsfs_node *node;
		struct stat st;

		if (!is_part_name(entry->d_name))
			continue;
		/* The volume may have a file of that name. */
		if (xtsfs_lookup(x->fs, dir->node, entry->d_name, &node, &st) == 0)
			xtsfs_forget(x->fs, node, 1);
		else
			(void)unlinkat(dir->fd, entry->d_name, 0);
	}
	if (stream)
		closedir(stream);
}

struct copy {
	struct extraction *x;
	struct extract_task *task;
	char *chunk;
	int fd;
	uint64_t good_bytes, bad_bytes;
	uint64_t bad_at; /* a range that is being collected */
	uint64_t bad_run;
	int bad_error;
};

static void end_bad_run(struct copy *copy)
{
	if (copy->bad_run)
		extract_bad_range(copy->x, copy->task->path, copy->bad_at, copy->bad_run, copy->bad_error);
	copy->bad_bytes += copy->bad_run;
	copy->bad_run = 0;
}

static int write_all(int fd, const char *data, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		ssize_t n = pwrite(fd, data, bytes, (off_t)offset);

		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int copy_good(struct copy *copy, size_t bytes, uint64_t offset)
{
	int r = write_all(copy->fd, copy->chunk, bytes, offset);

	end_bad_run(copy);
	copy->good_bytes += bytes;
	__atomic_add_fetch(&copy->x->plain_bytes, bytes, __ATOMIC_RELAXED);
	return r;
}

/* Some sector of this range is bad: the others are not. */
static int copy_sectors(struct copy *copy, uint64_t offset, uint64_t end)
{
	int r = 0;

	while (r == 0 && offset < end) {
		size_t bytes = XTSFS_BLOCK_BYTES - offset % XTSFS_BLOCK_BYTES;
		ssize_t n;

		if (bytes > end - offset)
			bytes = (size_t)(end - offset);
		n = xtsfs_read(copy->x->fs, copy->task->node, copy->chunk, bytes, offset);
		if (n == 0)
			break;
		if (n > 0) {
			r = copy_good(copy, (size_t)n, offset);
			offset += (uint64_t)n;
			continue;
		}
		if (copy->bad_run == 0) {
			copy->bad_at = offset;
			copy->bad_error = (int)n;
		}
		copy->bad_run += bytes;
		offset += bytes;
	}
	return r;
}

static int copy_range(struct copy *copy, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		size_t bytes = end - offset < EXTRACT_CHUNK ? (size_t)(end - offset) : EXTRACT_CHUNK;
		ssize_t n;
		int r;

		if (extract_stopped(copy->x))
			return -EINTR;
		n = xtsfs_read(copy->x->fs, copy->task->node, copy->chunk, bytes, offset);
		if (n == 0)
			break;
		r = n > 0 ? copy_good(copy, (size_t)n, offset) : copy_sectors(copy, offset, offset + bytes);
		if (r < 0)
			return r;
		offset += n > 0 ? (size_t)n : bytes;
	}
	return 0;
}

/* 0, or an error of writing, or of the file as a whole. */
static int copy_content(struct copy *copy)
{
	struct xtsfs_volume *fs = copy->x->fs;
	struct xtsfs_node *node = copy->task->node;
	uint64_t size = (uint64_t)copy->task->st.st_size, offset = 0;
	int r = ftruncate(copy->fd, (off_t)size) < 0 ? -errno : 0;

	/* Less is stored than its size: there may be holes. */
	if (r == 0 && (uint64_t)copy->task->st.st_blocks * 512 >= size)
		return copy_range(copy, 0, size);
	while (r == 0 && offset < size) {
		int64_t data = xtsfs_seek(fs, node, offset, SEEK_DATA), hole;

		if (data == -ENXIO)
			break;
		/* Where the holes are cannot be told: all of it is read then. */
		hole = data < 0 ? data : xtsfs_seek(fs, node, (uint64_t)data, SEEK_HOLE);
		if (data < 0 || hole < 0)
			return copy_range(copy, offset, size);
		r = copy_range(copy, (uint64_t)data, (uint64_t)hole);
		offset = (uint64_t)hole;
	}
	return r;
}

/* Does the target have these bytes? 1, 0, or -errno. */
static int same_content(struct extraction *x, struct extract_task *task, char *chunk)
{
	xtsfs_auto_fd fd = openat(task->dir->fd, task->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t offset = 0, size = (uint64_t)task->st.st_size;
	char *other = chunk + EXTRACT_CHUNK / 2;

	if (fd < 0)
		return 0;
	while (offset < size) {
		ssize_t n = xtsfs_read(x->fs, task->node, chunk, EXTRACT_CHUNK / 2, offset), m;

		if (extract_stopped(x))
			return -EINTR;
		if (n <= 0)
			return 0; /* copying says what is wrong */
		m = pread(fd, other, (size_t)n, (off_t)offset);
		if (m != n || memcmp(chunk, other, (size_t)n) != 0)
			return 0;
		offset += (uint64_t)n;
	}
	return 1;
}

static bool is_same(struct extraction *x, struct extract_task *task, char *chunk)
{
	const struct stat *st = &task->st;
	struct stat there;

	if (!x->options->resume || fstatat(task->dir->fd, task->name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (!S_ISREG(there.st_mode) || there.st_size != st->st_size || there.st_mode != st->st_mode ||
	    there.st_mtim.tv_sec != st->st_mtim.tv_sec || there.st_mtim.tv_nsec != st->st_mtim.tv_nsec ||
	    (x->is_root && (there.st_uid != st->st_uid || there.st_gid != st->st_gid)))
		return false;
	return !x->options->verify || same_content(x, task, chunk) == 1;
}

static int give_name(struct extraction *x, struct extract_task *task, const char *part, bool damaged)
{
	char name[256];
	int r;

	snprintf(name, sizeof(name), "%s", task->name);
	if (damaged) {
		size_t bytes = strlen(name), most = sizeof(name) - sizeof(DAMAGED);

		strcpy(name + (bytes < most ? bytes : most), DAMAGED);
	}
	if (x->options->resume)
		r = renameat(task->dir->fd, part, task->dir->fd, name);
	else
		r = renameat2(task->dir->fd, part, task->dir->fd, name, RENAME_NOREPLACE);
	if (r < 0 && errno == EINVAL && !x->options->resume) { /* a filesystem that does not know the flag */
		struct stat st;

		if (fstatat(task->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return -EEXIST;
		r = renameat(task->dir->fd, part, task->dir->fd, name);
	}
	return r < 0 ? -errno : 0;
}

static int write_file(struct extraction *x, struct extract_task *task, const char *part, char *chunk)
{
	xtsfs_auto_fd fd = openat(task->dir->fd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct copy copy = {.x = x, .task = task, .chunk = chunk, .fd = fd};
	int r;

	if (fd < 0)
		return -errno;
	r = copy_content(&copy);
	end_bad_run(&copy);
	if (r == 0 && copy.bad_bytes && copy.good_bytes == 0)
		r = copy.bad_error;
	if (r == 0) {
		extract_attributes(x, task->node, &task->st, fd, -1, NULL, task->path, chunk);
		r = give_name(x, task, part, copy.bad_bytes > 0);
	}
	if (r < 0) {
		(void)unlinkat(task->dir->fd, part, 0);
		return r;
	}
	if (copy.bad_bytes) {
		xtsfs_guard_mutex(&x->say);

		x->damaged++;
	} else {
		__atomic_add_fetch(&x->files, 1, __ATOMIC_RELAXED);
	}
	return copy.bad_bytes ? -EUCLEAN : 0;
}

int extract_file(struct extraction *x, struct extract_task *task, char *chunk)
{
	char part[64];
	int r;

	if (is_same(x, task, chunk)) {
		__atomic_add_fetch(&x->same, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&x->same_bytes, (uint64_t)task->st.st_size, __ATOMIC_RELAXED);
		return 0;
	}
	/* A file whose header is refused is shown with a length that may be 0: it is not an empty one. */
	r = xtsfs_open(x->fs, task->node, /* for_write= */ false);
	if (r < 0) {
		extract_failed(x, r, "read", task->path);
		return r;
	}
	extract_part_name(x, part);
	r = write_file(x, task, part, chunk);
	xtsfs_release(x->fs, task->node, /* for_write= */ false);
	if (r < 0 && r != -EUCLEAN && r != -EINTR && !extract_is_fatal(x, r))
		extract_failed(x, r, "extract", task->path);
	return r;
}
