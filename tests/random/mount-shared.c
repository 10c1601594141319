/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that all processes write at once, each to bytes of its own, so that every one can say what must be in them.
 *
 * 0: pieces of odd length dealt out in turn, through the page cache. Neighbours share pages, sectors and groups.
 * 1: whole pages dealt out in turn: written and read plainly, directly and through a map, in any mixture.
 * 2: pieces of odd length, written and read with O_DIRECT only: who encrypts must merge what two processes write to one
 *    sector. Where direct I/O wants blocks it is like 0.
 * 3: records of 64 bytes appended with O_APPEND: all of them are there, in the order of each writer.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHARED_BYTES (2U * GROUP + 3U * BLOCK)
#define RECORD	     64U
#define MOST_RECORDS 20000U

struct piece {
	uint64_t offset, bytes;
};

struct shared {
	char paths[SHARED_FILES][600];
	int plain[SHARED_FILES], direct[SHARED_FILES]; /* descriptors, -1: not open */
	struct piece *pieces[3];
	unsigned piece_count[3];
	uint8_t *want[3]; /* zeros where others write */
	unsigned records;
};

static void deal_out(struct shared *s, unsigned file, unsigned who, unsigned processes)
{
	static const unsigned odd[] = {1, 13, 100, 1000, 3000, 4096, 5000, 20000}, whole[] = {1, 1, 1, 2, 3};
	uint64_t rng = 7 + file;
	unsigned turn = 0;

	s->pieces[file] = calloc(SHARED_BYTES / 100, sizeof(struct piece));
	s->want[file] = calloc(1, SHARED_BYTES);
	assert(s->pieces[file] && s->want[file]);
	for (uint64_t at = 0; at < SHARED_BYTES; turn++) {
		uint64_t bytes = file == 1 ? whole[below(&rng, 5)] * BLOCK : odd[below(&rng, 8)];

		bytes = bytes > SHARED_BYTES - at ? SHARED_BYTES - at : bytes;
		if (turn % processes == who) {
			assert(s->piece_count[file] < SHARED_BYTES / 100);
			s->pieces[file][s->piece_count[file]++] = (struct piece){at, bytes};
		}
		at += bytes;
	}
}

static void shared_path(char ret_path[600], const char *top, unsigned file)
{
	snprintf(ret_path, 600, "%s/shared-%u", top, file);
}

void shared_make(const char *top)
{
	char path[600];

	for (unsigned file = 0; file < SHARED_FILES; file++) {
		int fd;

		shared_path(path, top, file);
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
		assert(fd >= 0 && (file == 3 || ftruncate(fd, SHARED_BYTES) == 0));
		close(fd);
	}
}

void shared_begin(struct world *w, const char *top)
{
	struct shared *s = calloc(1, sizeof(*s));

	assert(s);
	for (unsigned file = 0; file < SHARED_FILES; file++) {
		shared_path(s->paths[file], top, file);
		s->plain[file] = s->direct[file] = -1;
		if (file < 3)
			deal_out(s, file, w->who, w->processes);
	}
	w->shared = s;
}

void shared_close(struct world *w)
{
	for (unsigned file = 0; file < SHARED_FILES; file++) {
		if (w->shared->plain[file] >= 0)
			close(w->shared->plain[file]);
		if (w->shared->direct[file] >= 0)
			close(w->shared->direct[file]);
		w->shared->plain[file] = w->shared->direct[file] = -1;
	}
}

/* Which of them is opened late is part of the mixture. */
static int descriptor(struct world *w, unsigned file, bool direct)
{
	int *fd = direct ? &w->shared->direct[file] : &w->shared->plain[file];

	if (*fd < 0)
		*fd = open(w->shared->paths[file],
			   O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0) | (file == 3 ? O_APPEND : 0));
	if (*fd < 0)
		(void)fail(w, "open of shared file %u gave %s", file, strerrorname_np(errno));
	return *fd;
}

enum way { PLAIN, DIRECT, MAPPED, MAPPED_SYNCED };

/* One read or write of whole pages through a map of them alone. */
static int by_map(struct world *w, int fd, bool writes, uint8_t *data, uint64_t bytes, uint64_t offset, bool sync)
{
	uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (map == MAP_FAILED)
		return fail(w, "mmap of a shared file gave %s", strerrorname_np(errno));
	if (writes)
		memcpy(map, data, bytes);
	else
		memcpy(data, map, bytes);
	if (sync && msync(map, bytes, MS_SYNC) < 0)
		return fail(w, "msync of a shared file gave %s", strerrorname_np(errno));
	munmap(map, bytes);
	return 0;
}

static int transfer(struct world *w, unsigned file, enum way way, bool writes, uint8_t *data, uint64_t bytes,
		    uint64_t offset)
{
	int fd = descriptor(w, file, way == DIRECT);
	char what[64];

	if (fd < 0)
		return -1;
	w->control->bytes += bytes;
	if (way >= MAPPED)
		return by_map(w, fd, writes, data, bytes, offset, way == MAPPED_SYNCED);
	snprintf(what, sizeof(what), "%s%s of shared file %u", way == DIRECT ? "direct " : "",
		 writes ? "write" : "read", file);
	return expect(w, what,
		      result(writes ? pwrite(fd, data, bytes, (off_t)offset) : pread(fd, data, bytes, (off_t)offset)),
		      (long)bytes);
}

static int compare(struct world *w, unsigned file, enum way way, const struct piece *piece)
{
	static const char *const ways[] = {"plainly", "directly", "by map", "by map"};
	const uint8_t *want = w->shared->want[file] + piece->offset;

	if (transfer(w, file, way, false, w->other, piece->bytes, piece->offset) < 0)
		return -1;
	for (uint64_t i = 0; i < piece->bytes; i++)
		if (w->other[i] != want[i])
			return fail(w,
				    "shared file %u read %s: byte %llu, of a piece at %llu of %llu, is %02x, should be "
				    "%02x",
				    file, ways[way], (unsigned long long)(piece->offset + i),
				    (unsigned long long)piece->offset, (unsigned long long)piece->bytes, w->other[i],
				    want[i]);
	return 0;
}

static int append(struct world *w)
{
	int fd = descriptor(w, 3, false);
	char record[RECORD + 1];

	if (fd < 0 || w->shared->records >= MOST_RECORDS)
		return fd < 0 ? -1 : 0;
	snprintf(record, sizeof(record), "p%02u %08u %050u\n", w->who, w->shared->records, w->shared->records * 7919);
	if (expect(w, "append to the shared log", result(write(fd, record, RECORD)), RECORD) < 0)
		return -1;
	w->shared->records++;
	return 0;
}

static int check_records(struct world *w)
{
	int fd = descriptor(w, 3, false);
	char record[RECORD + 1], want[RECORD + 1];
	unsigned seen = 0;
	ssize_t n;

	for (off_t at = 0; (n = pread(fd, record, RECORD, at)) == RECORD; at += RECORD) {
		record[RECORD] = 0;
		if (record[0] != 'p' || record[RECORD - 1] != '\n')
			return fail(w, "the shared log has no record at %lld", (long long)at);
		if (strtoul(record + 1, NULL, 10) != w->who)
			continue;
		snprintf(want, sizeof(want), "p%02u %08u %050u\n", w->who, seen, seen * 7919);
		if (memcmp(record, want, RECORD) != 0)
			return fail(w, "the shared log has \"%.13s\" at %lld instead of record %u", record,
				    (long long)at, seen);
		seen++;
	}
	if (n != 0 || seen != w->shared->records)
		return fail(w, "the shared log: read gave %ld, %u of %u records", result(n), seen, w->shared->records);
	return 0;
}

int op_shared(struct world *w, const struct op *op)
{
	struct shared *s = w->shared;
	unsigned file = op->slot % SHARED_FILES;
	enum way way = PLAIN, read_way = PLAIN;
	struct piece piece;

	if (file == 3)
		return append(w);
	if (s->piece_count[file] == 0)
		return 0;
	piece = s->pieces[file][op->offset % s->piece_count[file]];
	if (file == 1) {
		way = op->how % 4;
		read_way = op->how / 4 % 4;
	} else {
		uint64_t skip = op->bytes % piece.bytes;

		piece = (struct piece){piece.offset + skip, 1 + op->seed % (piece.bytes - skip)};
		if (file == 2 && w->direct_any)
			way = read_way = DIRECT;
	}
	if (op->how / 16 % 16 == 0)
		return expect(w, "fsync of a shared file", result(fsync(descriptor(w, file, way == DIRECT))), 0);
	if (op->how / 16 % 4) {
		fill(op->seed, piece.offset, s->want[file] + piece.offset, piece.bytes);
		memcpy(w->buffer, s->want[file] + piece.offset, piece.bytes);
		if (transfer(w, file, way, true, w->buffer, piece.bytes, piece.offset) < 0)
			return -1;
	}
	return compare(w, file, read_way, &piece);
}

int shared_check(struct world *w)
{
	for (unsigned file = 0; file < 3; file++) {
		enum way way = file == 2 && w->direct_any ? DIRECT : PLAIN;

		for (unsigned i = 0; i < w->shared->piece_count[file]; i++)
			if (compare(w, file, way, &w->shared->pieces[file][i]) < 0)
				return -1;
	}
	return check_records(w);
}
