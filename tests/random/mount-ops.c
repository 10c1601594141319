/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on open files, and truncate by name. Each does the call, compares its result with what the model says, and
 * does the same to the model.
 *
 * Local filesystems want direct I/O in whole blocks; where the mount does not (world.direct_any), it gets any range.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

static bool can_read(const struct slot *slot)
{
	return (slot->flags & O_ACCMODE) != O_WRONLY;
}

static bool can_write(const struct slot *slot)
{
	return (slot->flags & O_ACCMODE) != O_RDONLY;
}

static bool needs_blocks(const struct world *w, const struct slot *slot)
{
	return slot->flags & O_DIRECT && !w->direct_any;
}

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

void slot_close(struct world *w, unsigned number)
{
	struct slot *slot = &w->slots[number];

	if (!slot->node)
		return;
	close(slot->fd);
	slot->node->opens--;
	node_drop(slot->node);
	slot->node = NULL;
}

static int compare(struct world *w, const uint8_t *got, const struct node *node, uint64_t offset, uint64_t bytes,
		   const char *what)
{
	if (bytes && memcmp(got, node->data + offset, bytes) != 0)
		for (uint64_t i = 0; i < bytes; i++)
			if (got[i] != node->data[offset + i])
				return fail(w, "%s: byte %llu of %llu is %02x, should be %02x", what,
					    (unsigned long long)(offset + i), (unsigned long long)node->bytes, got[i],
					    node->data[offset + i]);
	return 0;
}

/* What open of something that exists should give. */
static long open_existing(const struct place *place, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	switch (place->node->type) {
	case T_LINK:
		return !(flags & O_NOFOLLOW) ? -ENOENT : flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	case T_DIR:
		return writes || flags & O_CREAT ? -EISDIR : 0;
	default:
		return flags & O_DIRECTORY ? -ENOTDIR : 0;
	}
}

static int open_flags(uint32_t how)
{
	static const int access[] = {O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY};
	int flags = access[how % 8];

	how /= 8;
	flags |= how % 8 < 5 ? O_CREAT : 0;
	flags |= how % 8 == 4 ? O_EXCL : 0;
	flags |= how % 8 == 7 ? O_NOFOLLOW : 0;
	how /= 8;
	flags |= how % 8 == 1 && (flags & O_ACCMODE) != O_RDONLY ? O_TRUNC : 0;
	flags |= how % 8 == 2 ? O_APPEND : 0;
	flags |= how % 8 == 3 || how % 8 == 4 ? O_DIRECT : 0;
	flags |= how % 8 == 5 ? O_SYNC : 0;
	flags |= how % 8 == 6 ? O_DSYNC : 0;
	how /= 8;
	flags |= how % 16 == 1 && !(flags & O_CREAT) ? O_DIRECTORY : 0;
	return flags | O_CLOEXEC;
}

static int do_open(struct world *w, const struct op *op)
{
	int flags = open_flags(op->how), fd;
	mode_t mode = op->seed % 4 ? 0644 : (mode_t)(op->seed / 4 % 01000) | 0600;
	struct place place;
	long want;

	find(w, op->a, &place);
	if (!place.dir && !place.error)
		return 0;
	if (place.node && place.node->type == T_FIFO)
		return 0; /* would wait for the other side */
	if (place.node && place.node->type == T_DIR)
		flags &= ~O_DIRECT; /* what comes of that differs */
	slot_close(w, op->slot);
	find(w, op->a, &place);
	want = place.error ? place.error : place.node ? open_existing(&place, flags) : flags & O_CREAT ? 0 : -ENOENT;
	fd = open(place.path, flags, mode);
	if (expect(w, "open", fd < 0 ? result(fd) : 0, want) < 0 || fd < 0)
		return fd < 0 && !w->control->why[0] ? 0 : -1;
	if (place.node && place.node->type == T_DIR) {
		close(fd);
		return 0;
	}
	if (!place.node) {
		place.node = node_new(w, T_FILE, mode, place.dir);
		node_link(place.dir, place.name, place.node);
	} else if (flags & O_TRUNC) {
		node_resize(place.node, 0);
		node_touch(place.node);
	}
	w->slots[op->slot] = (struct slot){.fd = fd, .flags = flags, .node = place.node};
	place.node->opens++;
	return 0;
}

static int do_write(struct world *w, const struct op *op)
{
	struct slot *slot = &w->slots[op->slot];
	uint64_t offset = op->offset, bytes = op->bytes, third;
	struct node *node = slot->node;
	bool append = slot->flags & O_APPEND;
	struct iovec parts[3];
	ssize_t n;

	if (needs_blocks(w, slot)) {
		if (append && node->bytes % BLOCK)
			return 0;
		offset -= offset % BLOCK;
		bytes = round_up(bytes);
	}
	if (append)
		offset = node->bytes;
	if (offset + bytes > MOST_BYTES + BLOCK)
		return 0;
	fill(op->seed, offset, w->buffer, bytes);
	third = needs_blocks(w, slot) ? bytes / BLOCK / 3 * BLOCK : bytes / 3;
	parts[0] = (struct iovec){w->buffer, third};
	parts[1] = (struct iovec){w->buffer + third, third};
	parts[2] = (struct iovec){w->buffer + 2 * third, bytes - 2 * third};
	switch (op->how % 4) {
	case 0:
		n = pwritev(slot->fd, parts, 3, (off_t)offset);
		break;
	case 1:
		assert(lseek(slot->fd, (off_t)offset, SEEK_SET) == (off_t)offset);
		n = write(slot->fd, w->buffer, bytes);
		break;
	default:
		n = pwrite(slot->fd, w->buffer, bytes, (off_t)offset);
	}
	if (!can_write(slot))
		return expect(w, "write without permission", result(n), -EBADF);
	if (expect(w, "write", result(n), (long)bytes) < 0)
		return -1;
	node_write(node, w->buffer, bytes, offset);
	w->control->bytes += bytes;
	return 0;
}

static int do_read(struct world *w, const struct op *op)
{
	struct slot *slot = &w->slots[op->slot];
	uint64_t offset = op->offset, bytes = op->bytes, want;
	const struct node *node = slot->node;
	ssize_t n;

	if (needs_blocks(w, slot)) {
		offset -= offset % BLOCK;
		bytes = round_up(bytes);
	}
	want = offset >= node->bytes ? 0 : node->bytes - offset < bytes ? node->bytes - offset : bytes;
	memset(w->other, 0xa5, bytes);
	if (op->how % 3 == 0 && !needs_blocks(w, slot)) {
		struct iovec parts[2] = {{w->other, bytes / 2}, {w->other + bytes / 2, bytes - bytes / 2}};

		n = preadv(slot->fd, parts, 2, (off_t)offset);
	} else if (op->how % 3 == 1) {
		assert(lseek(slot->fd, (off_t)offset, SEEK_SET) == (off_t)offset);
		n = read(slot->fd, w->other, bytes);
	} else {
		n = pread(slot->fd, w->other, bytes, (off_t)offset);
	}
	if (!can_read(slot))
		return expect(w, "read without permission", result(n), -EBADF);
	if (expect(w, "read", result(n), (long)want) < 0)
		return -1;
	w->control->bytes += want;
	return compare(w, w->other, node, offset, want, "read");
}

/* Bytes behind the end in the last page are zeros, and what is written within the file is in it, synced or not. */
static int do_map(struct world *w, const struct op *op)
{
	struct slot *slot = &w->slots[op->slot];
	struct node *node = slot->node;
	uint64_t mapped = round_up(node->bytes), offset = op->offset, bytes = op->bytes;
	bool writes = op->how % 4 != 0;
	uint8_t *map;
	int r;

	if (mapped == 0)
		return 0;
	map = mmap(NULL, mapped, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, slot->fd, 0);
	if (!can_read(slot) || (writes && !can_write(slot)))
		return expect(w, "mmap without permission", map == MAP_FAILED ? -errno : 0, -EACCES);
	if (map == MAP_FAILED)
		return fail(w, "mmap gave %s", strerrorname_np(errno));
	offset %= node->bytes;
	bytes = bytes > node->bytes - offset ? node->bytes - offset : bytes;
	r = compare(w, map + offset, node, offset, bytes, "map");
	for (uint64_t i = node->bytes; r == 0 && i < mapped; i++)
		if (map[i])
			r = fail(w, "map: byte %llu behind the end at %llu is %02x", (unsigned long long)i,
				 (unsigned long long)node->bytes, map[i]);
	if (r == 0 && writes) {
		fill(op->seed, offset, map + offset, bytes);
		memcpy(w->buffer, map + offset, bytes);
		node_write(node, w->buffer, bytes, offset);
		node->mtime_known = TIME_ANY; /* moves with the first change of a page, maybe later */
		if (op->how % 4 == 1 && msync(map, mapped, MS_SYNC) < 0)
			r = fail(w, "msync gave %s", strerrorname_np(errno));
		if (op->how % 4 == 2 && msync(map, mapped, MS_ASYNC) < 0)
			r = fail(w, "msync gave %s", strerrorname_np(errno));
		w->control->bytes += bytes;
	}
	munmap(map, mapped);
	return r;
}

static int do_ftruncate(struct world *w, const struct op *op)
{
	struct slot *slot = &w->slots[op->slot];
	long got = result(ftruncate(slot->fd, (off_t)op->offset));

	if (expect(w, "ftruncate", got, can_write(slot) ? 0 : -EINVAL) < 0)
		return -1;
	if (got == 0) {
		node_resize(slot->node, op->offset);
		node_touch(slot->node);
	}
	return 0;
}

static int do_truncate(struct world *w, const struct op *op)
{
	struct place place;
	long want, got;

	find(w, op->a, &place);
	want = place.error		    ? place.error
	       : !place.node		    ? -ENOENT
	       : place.node->type == T_LINK ? -ENOENT
	       : place.node->type == T_DIR  ? -EISDIR
	       : place.node->type == T_FIFO ? -EINVAL
					    : 0;
	got = result(truncate(place.path, (off_t)op->offset));
	if (expect(w, "truncate", got, want) < 0)
		return -1;
	if (got == 0 && op->offset == place.node->bytes) {
		place.node->mtime_known = TIME_ANY; /* filesystems differ, other than for ftruncate */
	} else if (got == 0) {
		node_resize(place.node, op->offset);
		node_touch(place.node);
	}
	return 0;
}

static int do_fallocate(struct world *w, const struct op *op)
{
	static const int modes[] = {0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE};
	struct slot *slot = &w->slots[op->slot];
	struct node *node = slot->node;
	uint64_t end = op->offset + op->bytes;
	int mode = modes[op->how % 7];
	long want = op->bytes == 0		   ? -EINVAL
		    : mode == FALLOC_FL_PUNCH_HOLE ? -EOPNOTSUPP
		    : !can_write(slot)		   ? -EBADF
						   : 0;
	long got;
	uint64_t had = node->bytes;

	if (end > MOST_BYTES + BLOCK)
		return 0;
	got = result(fallocate(slot->fd, mode, (off_t)op->offset, (off_t)op->bytes));
	if (expect(w, "fallocate", got, want) < 0 || got < 0)
		return w->control->why[0] ? -1 : 0;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		node_zero(node, op->offset, op->bytes);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > had)
		node_resize(node, end);
	node->mtime_known = TIME_ANY; /* filesystems differ */
	return 0;
}

static int check_zeros(struct world *w, const struct node *node, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		if (node->data[i])
			return fail(w, "byte %llu of %llu is said to be in a hole", (unsigned long long)i,
				    (unsigned long long)node->bytes);
	return 0;
}

static int do_seek(struct world *w, const struct op *op)
{
	const struct slot *slot = &w->slots[op->slot];
	const struct node *node = slot->node;
	long data = result(lseek(slot->fd, (off_t)op->offset, SEEK_DATA));
	long hole = result(lseek(slot->fd, (off_t)op->offset, SEEK_HOLE));
	long from = (long)op->offset, end = (long)node->bytes, block_end;

	/* A file that was closed is one that is written until its RELEASE has come. */
	if (options.old_seeks && (data == -EINVAL || hole == -EINVAL)) {
		w->control->skipped++;
		return 0;
	}
	if (from >= end)
		return expect(w, "SEEK_DATA past the end", data, -ENXIO) < 0 ||
				       expect(w, "SEEK_HOLE past the end", hole, -ENXIO) < 0
			       ? -1
			       : 0;
	if (data != -ENXIO && (data < from || data >= end))
		return fail(w, "SEEK_DATA at %ld of %ld gave %ld", from, end, data);
	if (hole < from || hole > end)
		return fail(w, "SEEK_HOLE at %ld of %ld gave %ld", from, end, hole);
	if (data == -ENXIO)
		data = end;
	block_end = (hole / BLOCK + 1) * BLOCK;
	if (check_zeros(w, node, (uint64_t)from, (uint64_t)data) < 0)
		return -1;
	return check_zeros(w, node, (uint64_t)hole, (uint64_t)(block_end < end ? block_end : end));
}

/* By @how: copy_file_range, sendfile, splice. All that there is, in as many calls as the kernel likes. */
static long copy(unsigned how, int in, uint64_t in_offset, int out, uint64_t out_offset, uint64_t bytes)
{
	off_t from = (off_t)in_offset, to = (off_t)out_offset;
	uint64_t done = 0;
	int pipes[2];

	if (how == 1)
		assert(lseek(out, to, SEEK_SET) == to);
	while (done < bytes) {
		ssize_t n;

		if (how == 0) {
			n = copy_file_range(in, &from, out, &to, bytes - done, 0);
		} else if (how == 1) {
			n = sendfile(out, in, &from, bytes - done);
		} else {
			assert(pipe2(pipes, O_CLOEXEC) == 0);
			n = splice(in, &from, pipes[1], NULL, bytes - done < 65536 ? bytes - done : 65536, 0);
			for (ssize_t moved = 0; n > 0 && moved < n;) {
				ssize_t part = splice(pipes[0], NULL, out, &to, (size_t)(n - moved), 0);

				if (part <= 0) {
					n = part < 0 ? part : -1;
					break;
				}
				moved += part;
			}
			if (n < 0) { /* close() must not change it */
				n = -errno;
				close(pipes[0]);
				close(pipes[1]);
				return n;
			}
			close(pipes[0]);
			close(pipes[1]);
		}
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (uint64_t)n;
	}
	return (long)done;
}

static int do_copy(struct world *w, const struct op *op)
{
	struct slot *in = &w->slots[op->from % SLOTS], *out = &w->slots[op->slot];
	uint64_t from = op->seed % (MOST_BYTES / 2), to = op->offset, bytes = op->bytes, want;
	bool append = out->flags & O_APPEND;
	unsigned how = op->how % 3;
	long wanted, got;

	if (!in->node || op->bytes == 0 || to + bytes > MOST_BYTES || needs_blocks(w, in) || needs_blocks(w, out))
		return 0;
	if (in->node->bytes && op->seed % 3)
		from %= in->node->bytes;
	if (how && in->node == out->node)
		return 0; /* what is read may or may not be what was just written */
	want = from >= in->node->bytes ? 0 : in->node->bytes - from < bytes ? in->node->bytes - from : bytes;
	wanted = (long)want;
	if (how == 0 && in->node == out->node && to + want > from && to < from + want)
		wanted = -EINVAL;
	if (how && append)
		wanted = want || how == 1 ? -EINVAL : 0;
	if (!can_read(in) || !can_write(out) || (how == 0 && append))
		wanted = -EBADF;
	if (how == 2 && wanted == -EBADF && can_read(in) && !want)
		wanted = 0; /* nothing is read, so nothing is written */
	if (in->node == out->node && want)
		bytes = want; /* or a second call would go on with what the first one has appended */
	got = copy(how, in->fd, from, out->fd, to, bytes);
	if (how && append && !can_write(out) && (got == -EINVAL || got == -EBADF))
		return 0; /* both are right */
	if (expect(w, how == 0 ? "copy_file_range" : how == 1 ? "sendfile" : "splice", got, wanted) < 0)
		return -1;
	if (got > 0) {
		memcpy(w->buffer, in->node->data + from, want);
		node_write(out->node, w->buffer, want, to);
		w->control->bytes += 2 * want;
	}
	return 0;
}

static int do_fsync(struct world *w, const struct op *op)
{
	int fd = w->slots[op->slot].fd;

	switch (op->how % 4) {
	case 0:
		return expect(w, "fdatasync", result(fdatasync(fd)), 0);
	case 1:
		return expect(w, "syncfs", result(syncfs(fd)), 0);
	case 2:
		return expect(w, "sync_file_range", result(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE)), 0);
	default:
		return expect(w, "fsync", result(fsync(fd)), 0);
	}
}

static int do_fstat(struct world *w, const struct op *op)
{
	struct slot *slot = &w->slots[op->slot];
	struct stat st;

	if (expect(w, "fstat", result(fstat(slot->fd, &st)), 0) < 0)
		return -1;
	return check_stat(w, &st, slot->node, "an open file");
}

/* The file's pages, after a sync, or, seldom and not more often than every ten seconds, everything. */
static int do_drop(struct world *w, const struct op *op)
{
	static double last;
	int fd = w->slots[op->slot].fd, file;

	if (op->how % 4 == 0 && w->root && w->who == 0 && now() - last > 10) {
		last = now();
		file = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
		if (file >= 0) {
			if (write(file, "2", 1) != 1)
				w->control->skipped++;
			close(file);
		}
		return 0;
	}
	if (op->how % 4 != 1 && expect(w, "fdatasync", result(fdatasync(fd)), 0) < 0)
		return -1;
	return expect(w, "posix_fadvise", -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

int op_data(struct world *w, const struct op *op)
{
	if (op->kind == K_OPEN)
		return do_open(w, op);
	if (op->kind == K_TRUNCATE)
		return do_truncate(w, op);
	if (!w->slots[op->slot].node) {
		w->control->skipped++;
		return 0;
	}
	switch (op->kind) {
	case K_CLOSE:
		slot_close(w, op->slot);
		return 0;
	case K_WRITE:
		return do_write(w, op);
	case K_READ:
		return do_read(w, op);
	case K_MAP:
		return do_map(w, op);
	case K_FTRUNCATE:
		return do_ftruncate(w, op);
	case K_FALLOCATE:
		return do_fallocate(w, op);
	case K_SEEK:
		return do_seek(w, op);
	case K_COPY:
		return do_copy(w, op);
	case K_FSYNC:
		return do_fsync(w, op);
	case K_DROP:
		return do_drop(w, op);
	default:
		return do_fstat(w, op);
	}
}
