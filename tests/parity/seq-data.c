/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read, write and their relatives; O_DIRECT; sync.
 */
#include "parity.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static const long sizes[] = {1,	   15,	 16,   17,   3952,  3953,   3954,   4080,   4081,
			     4095, 4096, 4097, 8192, 65536, 131072, 507904, 507905, 1048576};
static const char *const size_names[] = {"1",	   "15",     "16",     "17",	  "3952", "3953", "3954",
					 "4080",   "4081",   "4095",   "4096",	  "4097", "8192", "65536",
					 "131072", "507904", "507905", "1048576", NULL};

SEQV(data, write_size, "write read pread pwrite fsync", size_names)
{
	size_t bytes = (size_t)sizes[v];
	int fd = op("f", O_CREAT | O_RDWR);

	fill(big, bytes, 5);
	R(write(fd, big, bytes));
	SF(fd);
	CF(fd);
	R(pread(fd, big, bytes, 0));
	R(pread(fd, big, bytes, 1));
	R(pread(fd, big, 10, (off_t)bytes));
	R(pread(fd, big, 10, (off_t)bytes - 1));
	R(pread(fd, big, 10, (off_t)bytes + 100));
	R(pwrite(fd, "middle", 6, (off_t)bytes / 2));
	R(pwrite(fd, "end", 3, (off_t)bytes - 1));
	CF(fd);
	R(pwrite(fd, "gap", 3, (off_t)bytes + 5000));
	CF(fd);
	R(fsync(fd));
	R(close(fd));
	C("f");
	S("f");
}

SEQV(data, overwrite, "pwrite pread", size_names)
{
	int fd;

	mk("f", 20000);
	fd = op("f", O_RDWR);
	fill(big, (size_t)sizes[v], 9);
	R(pwrite(fd, big, (size_t)sizes[v], 3000));
	CF(fd);
	R(ftruncate(fd, 3000 + sizes[v] / 2));
	CF(fd);
	R(ftruncate(fd, 40000));
	CF(fd);
}

SEQ(data, vectors, "readv writev preadv pwritev")
{
	struct iovec iov[IOV_MAX + 1];
	int fd = op("f", O_CREAT | O_RDWR);

	fill(big, 100000, 1);
	for (int i = 0; i <= IOV_MAX; i++)
		iov[i] = (struct iovec){big + i, 3};
	R(writev(fd, iov, IOV_MAX));
	R(writev(fd, iov, IOV_MAX + 1));
	R(writev(fd, iov, 0));
	R(writev(fd, iov, v - 1));
	R(pwritev(fd, iov, 10, 1000));
	R(preadv(fd, iov, 10, 3060));
	R(preadv(fd, iov, IOV_MAX, 5));
	iov[0].iov_len = (size_t)-1;
	R(writev(fd, iov, 2));
	iov[0] = (struct iovec){NULL, 0};
	R(writev(fd, iov, 2));
	iov[1].iov_base = nowhere();
	R(writev(fd, iov, 1));
	R(pwritev(fd, iov, 3, 0));
	CF(fd);
}

SEQ(data, flags_of_calls, "preadv2 pwritev2")
{
	struct iovec iov = {big, 10};
	int fd;

	mk("f", 10000);
	fill(big, 100, 1);
	fd = op("f", O_RDWR);
	R(pwritev2(fd, &iov, 1, 0, RWF_APPEND));
	SF(fd);
	R(pwritev2(fd, &iov, 1, 5, RWF_DSYNC));
	R(pwritev2(fd, &iov, 1, 5, RWF_SYNC));
	R(pwritev2(fd, &iov, 1, -1, RWF_APPEND));
	R(lseek(fd, 0, SEEK_CUR));
	R(pwritev2(fd, &iov, 1, -1, 0));
	R(lseek(fd, 0, SEEK_CUR));
	R(preadv2(fd, &iov, 1, -1, 0));
	R(preadv2(fd, &iov, 1, 0, RWF_HIPRI));
	R(pwritev2(fd, &iov, 1, 0, RWF_HIPRI));
	R(preadv2(fd, &iov, 1, 0, 0x40000000));
	R(pwritev2(fd, &iov, 1, 0, 0x40000000));
	R(preadv2(fd, &iov, 1, 0, RWF_APPEND));
	CF(fd);
}

SEQ(data, nowait, "preadv2 pwritev2")
{
	struct iovec iov = {big, 10};
	int fd;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	N(pread(fd, big, 10000, 0));
	R(preadv2(fd, &iov, 1, 0, RWF_NOWAIT));
	R(preadv2(fd, &iov, 1, 20000, RWF_NOWAIT));
}

SEQ(data, nowait_write, "pwritev2")
{
	struct iovec iov = {big, 10};
	int fd;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	N(pread(fd, big, 10000, 0));
	R(pwritev2(fd, &iov, 1, 0, RWF_NOWAIT));
}

SEQ(data, seek, "lseek")
{
	int fd;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	R(lseek(fd, 0, SEEK_END));
	R(lseek(fd, 5000, SEEK_CUR));
	R(write(fd, "x", 1));
	R(lseek(fd, 0, SEEK_CUR));
	R(lseek(fd, -20000, SEEK_CUR));
	R(lseek(fd, 0, SEEK_CUR));
	R(lseek(fd, -1, SEEK_END));
	R(read(fd, big, 10));
	R(read(fd, big, 10));
	R(lseek(fd, INT64_MAX, SEEK_SET));
	R(lseek(fd, 1LL << 43, SEEK_SET));
	R(read(fd, big, 10));
	R(lseek(fd, INT64_MAX, SEEK_CUR));
	CF(fd);
}

/* 4096 is what every device takes. */
SEQ(data, direct_aligned, "open:DIRECT read write")
{
	char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = FD(open("f", O_CREAT | O_RDWR | O_DIRECT, 0644));

	fill(page, 65536, 4);
	R(write(fd, page, 4096));
	R(write(fd, page, 65536));
	R(pread(fd, page, 65536, 4096));
	R(pread(fd, page, 65536, 65536));
	R(pread(fd, page, 4096, 1 << 20));
	R(pwrite(fd, page, 4096, 1 << 20));
	SF(fd);
	C("f");
	R(ftruncate(fd, 5000));
	R(pread(fd, page, 8192, 4096));
	R(pread(fd, page, 8192, 0));
	C("f");
}

static const char *const misaligned[] = {"offset", "size", "memory", NULL};

SEQV(data, direct_unaligned, "open:DIRECT read write", misaligned)
{
	char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	mk("f", 20000);
	fd = FD(open("f", O_RDWR | O_DIRECT));
	R(pread(fd, page + (v == 2), v == 1 ? 100 : 4096, v == 0 ? 100 : 0));
	R(pwrite(fd, page + (v == 2), v == 1 ? 100 : 4096, v == 0 ? 100 : 0));
	SF(fd);
}

SEQ(data, direct_beside_cached, "open:DIRECT mmap read write")
{
	char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *map;
	int direct, cached;

	mk("f", 65536);
	direct = FD(open("f", O_RDWR | O_DIRECT));
	cached = op("f", O_RDWR);
	R(pwrite(cached, "cached", 6, 4096));
	R(pread(direct, page, 4096, 4096));
	say("seen", "%.6s", page);
	memcpy(page, "direct", 6);
	R(pwrite(direct, page, 4096, 8192));
	R(pread(cached, big, 6, 8192));
	say("seen", "%.6s", big);
	map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, cached, 0);
	need(map != MAP_FAILED, "mmap");
	say("mapped", "%.6s", map + 8192);
	memcpy(map + 12288, "mapped", 6);
	R(pread(direct, page, 4096, 12288));
	say("seen", "%.6s", page);
	R(pwrite(direct, page, 4096, 16384));
	say("mapped", "%.6s", map + 16384);
	C("f");
}

SEQ(data, sync_calls, "fsync fdatasync syncfs sync_file_range open:SYNC")
{
	int fd = op("f", O_CREAT | O_RDWR), dir = op(".", O_RDONLY), s;

	R(write(fd, big, 10000));
	R(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	R(sync_file_range(fd, 0, 5000, 0));
	R(sync_file_range(fd, -1, 5000, 0));
	R(sync_file_range(fd, 0, 5000, 0x80));
	R(fdatasync(fd));
	R(fsync(fd));
	R(fsync(dir));
	R(fdatasync(dir));
	R(syncfs(fd));
	R(syncfs(dir));
	s = FD(open("f", O_WRONLY | O_SYNC));
	R(write(s, big, 20000));
	s = FD(open("f", O_WRONLY | O_DSYNC));
	R(pwrite(s, big, 200, 100000));
	SF(s);
	N(unlink("f"));
	R(fsync(fd));
	R(fsync(s));
}

SEQ(data, advice, "posix_fadvise readahead")
{
	int fd;

	mk("f", 100000);
	fd = op("f", O_RDWR);
	for (int advice = 0; advice < 8; advice++)
		V(posix_fadvise(fd, 0, 50000, advice));
	R(readahead(fd, 0, 50000));
	CF(fd);
}

SEQ(data, unlinked_but_open, "unlink write read ftruncate fallocate fchmod fchown fsync")
{
	char path[64];
	struct stat st;
	int fd, again;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	N(unlink("f"));
	SF(fd);
	CF(fd);
	R(pwrite(fd, "abc", 3, 20000));
	R(ftruncate(fd, 15000));
	R(fallocate(fd, 0, 0, 30000));
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
	R(fchmod(fd, 0600));
	R(fchown(fd, UID_OTHER, GID_OTHER));
	R(futimens(fd, (struct timespec[2]){{5, 5}, {6, 6}}));
	SF(fd);
	CF(fd);
	R(fsync(fd));
	SF(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = FD(open(path, O_RDWR));
	R(pwrite(again, "again", 5, 0));
	CF(fd);
	R(stat(path, &st));
	V(st.st_mtim.tv_sec > 6);
	R(truncate(path, 3));
	CF(again);
	R(readlink(path, big, 4000) > 10 && strstr(big, "(deleted)"));
	R(close(fd));
	SF(again);
	mk("f", 5);
	CF(again);
	R(ftruncate(again, 0));
	R(ftruncate(again, 5000));
	CF(again);
	C("f");
}

SEQ(data, removed_while_others_write, "unlink write")
{
	int fd = op("f", O_CREAT | O_RDWR);

	fill(big, 300000, 2);
	R(write(fd, big, 300000));
	CHILD
	{
		N(unlink("f"));
		R(pwrite(fd, "child", 5, 100));
		SF(fd);
	}
	R(pwrite(fd, "parent", 6, 200000));
	CF(fd);
	SF(fd);
}

SEQ(data, shared_position, "read write lseek fork dup")
{
	int fd, copy;

	mk("f", 100);
	fd = op("f", O_RDWR);
	copy = dup(fd);
	CHILD
	{
		R(read(fd, big, 10));
	}
	R(lseek(copy, 0, SEEK_CUR));
	R(write(copy, "xx", 2));
	R(lseek(fd, 0, SEEK_CUR));
	C("f");
}

SEQ(data, huge_count, "read write")
{
	int fd;
	char *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mk("f", 3000000);
	fd = op("f", O_RDWR);
	R(pread(fd, map, SSIZE_MAX, 2500000));
	R(pwrite(fd, map, 1 << 20, 2900000));
	/* The second half of the buffer is not there: what could be written is. */
	munmap(map + 65536, (1 << 20) - 65536);
	R(pread(fd, map, 65536 + 4096, 0) > 0 ? 1 : -1);
	SF(fd);
	CF(fd);
}
