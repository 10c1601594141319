/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fallocate in every mode, holes, SEEK_HOLE and SEEK_DATA.
 */
#include "parity.h"

#include <linux/falloc.h>

static const struct {
	const char *name;
	int mode;
} modes[] = {
	{"allocate", 0},
	{"keep", FALLOC_FL_KEEP_SIZE},
	{"punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
	{"zero", FALLOC_FL_ZERO_RANGE},
	{"zero-keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
	{"punch-without-keep", FALLOC_FL_PUNCH_HOLE},
	{"punch-and-zero", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
	{"unknown", 0x4000},
	{"collapse", FALLOC_FL_COLLAPSE_RANGE},
	{"insert", FALLOC_FL_INSERT_RANGE},
	{"unshare", FALLOC_FL_UNSHARE_RANGE},
	{"collapse-keep", FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE},
	{"write-zeroes", 0x80},
};
static const char *const mode_names[] = {
	"allocate", "keep",	"punch",  "zero",    "zero-keep",     "punch-without-keep", "punch-and-zero",
	"unknown",  "collapse", "insert", "unshare", "collapse-keep", "write-zeroes",	    NULL};
static const struct {
	off_t offset, bytes;
} ranges[] = {
	{0, 4096}, {0, 100}, {100, 50}, {4096, 8192}, {5000, 3000}, {4000, 200},  {8192, 100000},	 {50000, 4096},
	{0, 0},	   {0, -1},  {-1, 10},	{10000, 10},  {9000, 2000}, {0, 1000000}, {INT64_MAX - 10, 100}, {4096, 4096}};

SEQV(fallocate, range, "fallocate", mode_names)
{
	for (size_t size = 0; size < 4; size++)
		for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
			int fd;

			mk("f", ((size_t[]){0, 100, 10000, 70000})[size]);
			fd = op("f", O_RDWR);
			say("range", "%lld %lld", (long long)ranges[i].offset, (long long)ranges[i].bytes);
			R(fallocate(fd, modes[v].mode, ranges[i].offset, ranges[i].bytes));
			CF(fd);
			close(fd);
			C("f");
		}
}

SEQV(fallocate, object, "fallocate", mode_names)
{
	int fds[2];

	mkd("d", 0755);
	mk("f", 100);
	N(pipe(fds));
	R(fallocate(op("d", O_RDONLY), modes[v].mode, 0, 100));
	R(fallocate(op("f", O_RDONLY), modes[v].mode, 0, 100));
	R(fallocate(fds[1], modes[v].mode, 0, 100));
	R(fallocate(op("f", O_WRONLY | O_APPEND), modes[v].mode, 0, 4096));
	S("f");
}

static void holes(int fd)
{
	off_t at = 0;

	for (int i = 0; i < 12; i++) {
		off_t data, hole;

		data = lseek(fd, at, SEEK_DATA);
		if (data < 0) {
			say("data", "%s", errno == ENXIO ? "none" : "error");
			return;
		}
		hole = lseek(fd, data, SEEK_HOLE);
		say("data", "%lld to %lld", (long long)data, (long long)hole);
		at = hole;
	}
}

SEQ(fallocate, seek_in_sparse_file, "lseek:HOLE lseek:DATA ftruncate pwrite")
{
	int fd = op("f", O_CREAT | O_RDWR);

	R(ftruncate(fd, 1 << 20));
	fill(big, 20000, 2);
	R(pwrite(fd, big, 8192, 65536));
	R(pwrite(fd, big, 100, 500000));
	R(fsync(fd));
	holes(fd);
	R(lseek(fd, 0, SEEK_HOLE));
	R(lseek(fd, 0, SEEK_DATA));
	R(lseek(fd, 65536, SEEK_HOLE));
	R(lseek(fd, 70000, SEEK_DATA));
	R(lseek(fd, 80000, SEEK_HOLE));
	R(lseek(fd, 1 << 20, SEEK_HOLE));
	R(lseek(fd, 1 << 20, SEEK_DATA));
	R(lseek(fd, (1 << 20) + 1, SEEK_HOLE));
	R(lseek(fd, -1, SEEK_DATA));
	R(lseek(fd, -1, SEEK_HOLE));
	R(lseek(fd, (1 << 20) - 1, SEEK_HOLE));
	R(lseek(fd, (1 << 20) - 1, SEEK_DATA));
	CF(fd);
}

SEQ(fallocate, seek_in_plain_file, "lseek:HOLE lseek:DATA")
{
	int fd;

	mk("f", 10000);
	mk("e", 0);
	fd = op("f", O_RDONLY);
	R(lseek(fd, 0, SEEK_HOLE));
	R(lseek(fd, 5000, SEEK_DATA));
	R(lseek(fd, 9999, SEEK_HOLE));
	R(lseek(fd, 10000, SEEK_DATA));
	R(lseek(fd, 10000, SEEK_HOLE));
	fd = op("e", O_RDONLY);
	R(lseek(fd, 0, SEEK_HOLE));
	R(lseek(fd, 0, SEEK_DATA));
}

SEQ(fallocate, seek_before_writeback, "lseek:HOLE lseek:DATA pwrite")
{
	int fd = op("f", O_CREAT | O_RDWR);

	R(ftruncate(fd, 1 << 20));
	R(pwrite(fd, big, 4096, 65536));
	R(lseek(fd, 0, SEEK_DATA));
	R(lseek(fd, 65536, SEEK_HOLE));
	R(lseek(fd, 0, SEEK_HOLE));
}

SEQ(fallocate, punched, "fallocate:PUNCH_HOLE lseek:HOLE lseek:DATA")
{
	int fd;

	mk("f", 200000);
	fd = op("f", O_RDWR);
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16384, 32768));
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 10));
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 150000, 20000));
	R(fsync(fd));
	holes(fd);
	CF(fd);
	R(pwrite(fd, "inside", 6, 20000));
	R(fsync(fd));
	holes(fd);
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 200000));
	R(fsync(fd));
	R(lseek(fd, 0, SEEK_DATA));
	CF(fd);
	SF(fd);
}

SEQ(fallocate, past_the_end, "fallocate ftruncate")
{
	int fd;

	mk("f", 5000);
	fd = op("f", O_RDWR);
	R(fallocate(fd, FALLOC_FL_KEEP_SIZE, 100000, 50000));
	SF(fd);
	CF(fd);
	R(ftruncate(fd, 120000));
	CF(fd);
	R(pwrite(fd, "x", 1, 130000));
	CF(fd);
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000000, 4096));
	SF(fd);
}

SEQ(fallocate, written_and_cut_again, "ftruncate pwrite fallocate")
{
	int fd = op("f", O_CREAT | O_RDWR);

	fill(big, 200000, 6);
	for (int i = 1; i < 40; i++) {
		N(pwrite(fd, big, (size_t)(i * 997), (i * 7919) % 100000));
		N(ftruncate(fd, (i * 31337) % 120000));
		if (i % 3 == 0)
			N(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (i * 977) % 50000, 9000));
		if (i % 4 == 0)
			N(fallocate(fd, FALLOC_FL_ZERO_RANGE, (i * 1777) % 50000, 7000));
		if (i % 5 == 0)
			CF(fd);
	}
	N(close(fd));
	C("f");
}
