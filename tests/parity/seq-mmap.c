/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings, shared and private, against write, truncate and unlink.
 */
#include "parity.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>

static sigjmp_buf jump;

static void caught(int number)
{
	siglongjmp(jump, number);
}

/* What reading (or writing) one byte does: its value, or the signal. */
static void touch(const char *what, volatile char *at, bool write_it)
{
	int number;

	signal(SIGBUS, caught);
	signal(SIGSEGV, caught);
	number = sigsetjmp(jump, 1);
	if (number) {
		say(what, "%s", number == SIGBUS ? "SIGBUS" : "SIGSEGV");
		return;
	}
	if (write_it)
		*at = 'w';
	say(what, "%d", *at);
}

static char *map(int fd, size_t bytes, int protection, int flags)
{
	return P(mmap(NULL, bytes, protection, flags, fd, 0));
}

static const char *const accesses[] = {"rdonly", "wronly", "rdwr", NULL};

SEQV(mmap, protections, "mmap mprotect", accesses)
{
	int fd;
	char *p;

	mk("f", 5000);
	fd = op("f", v);
	map(fd, 4096, PROT_READ, MAP_SHARED);
	map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	map(fd, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	map(fd, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	map(fd, 0, PROT_READ, MAP_SHARED);
	map(fd, 4096, PROT_READ, MAP_SHARED_VALIDATE);
	p = map(fd, 4096, PROT_READ, MAP_SHARED);
	if (p)
		R(mprotect(p, 4096, PROT_READ | PROT_WRITE));
}

SEQ(mmap, beyond_the_end, "mmap ftruncate")
{
	int fd;
	char *p;

	mk("f", 5000);
	fd = op("f", O_RDWR);
	p = map(fd, 20000, PROT_READ | PROT_WRITE, MAP_SHARED);
	touch("4999", p + 4999, false);
	touch("5000", p + 5000, false);
	touch("8191", p + 8191, false);
	touch("8192", p + 8192, false);
	touch("write 8192", p + 8192, true);
	R(ftruncate(fd, 20000));
	touch("8192", p + 8192, false);
	touch("write 19999", p + 19999, true);
	R(ftruncate(fd, 4096));
	touch("4095", p + 4095, false);
	touch("4096", p + 4096, false);
	R(ftruncate(fd, 20000));
	touch("19999", p + 19999, false);
	C("f");
}

SEQ(mmap, behind_the_end_of_the_page, "mmap ftruncate write")
{
	int fd;
	char *p;

	mk("f", 100);
	fd = op("f", O_RDWR);
	p = map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(p + 100, 'x', 1000); /* not part of the file */
	R(msync(p, 4096, MS_SYNC));
	SF(fd);
	R(ftruncate(fd, 3000));
	CF(fd);
	touch("500", p + 500, false);
	memset(p + 3000, 'y', 1000);
	R(pwrite(fd, "end", 3, 3500));
	CF(fd);
}

SEQ(mmap, shared_is_coherent, "mmap read write")
{
	int fd;
	char *p, *q;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_SHARED);
	q = map(fd, 10000, PROT_READ, MAP_SHARED);
	memcpy(p + 4090, "across pages", 12);
	R(pread(fd, big, 12, 4090));
	say("read", "%.12s", big);
	say("other", "%.12s", q + 4090);
	R(pwrite(fd, "written", 7, 4000));
	say("mapped", "%.7s", p + 4000);
	CHILD
	{
		memcpy(p, "child", 5);
		say("child", "%.7s", q + 4000);
	}
	say("parent", "%.5s", q);
	R(msync(p, 10000, MS_ASYNC));
	R(msync(p, 10000, MS_SYNC));
	R(msync(p, 10000, MS_INVALIDATE));
	R(msync(p + 1, 100, MS_SYNC));
	R(msync(p, 10000, MS_SYNC | MS_ASYNC));
	C("f");
}

SEQ(mmap, private_is_private, "mmap write")
{
	int fd;
	char *p;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memcpy(p, "private", 7);
	CF(fd);
	R(pwrite(fd, "shared", 6, 5000));
	say("seen", "%.6s", p + 5000);
	R(pwrite(fd, "SHARED", 6, 0));
	say("kept", "%.7s", p);
	R(ftruncate(fd, 0));
	touch("0", p, false);
	touch("5000", p + 5000, false);
}

SEQ(mmap, survives_close_and_unlink, "mmap unlink close")
{
	int fd;
	char *p;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_SHARED);
	R(close(fd));
	p[100] = 'x';
	C("f");
	R(unlink("f"));
	p[5000] = 'y';
	R(msync(p, 10000, MS_SYNC));
	touch("5000", p + 5000, false);
	touch("9999", p + 9999, false);
	R(munmap(p, 10000));
	L(".");
}

SEQ(mmap, survives_rename_over, "mmap rename")
{
	int fd;
	char *p;

	mk("f", 10000);
	mk("g", 10);
	fd = op("f", O_RDWR);
	p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_SHARED);
	R(rename("g", "f"));
	p[5000] = 'y';
	R(msync(p, 10000, MS_SYNC));
	SF(fd);
	CF(fd);
	C("f");
}

SEQ(mmap, written_pages_reach_the_file, "mmap munmap close read")
{
	int fd = op("f", O_CREAT | O_RDWR);
	char *p;

	R(ftruncate(fd, 1 << 20));
	p = map(fd, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int i = 0; i < 1 << 20; i += 30011)
		p[i] = 'p';
	R(munmap(p, 1 << 20));
	R(close(fd));
	C("f");
}

SEQ(mmap, holes, "mmap fallocate:PUNCH_HOLE")
{
	int fd;
	char *p;

	mk("f", 40000);
	fd = op("f", O_RDWR);
	p = map(fd, 40000, PROT_READ | PROT_WRITE, MAP_SHARED);
	p[9000] = 'd';
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 8192));
	touch("9000", p + 9000, false);
	touch("17000", p + 17000, false);
	p[10000] = 'n';
	CF(fd);
	R(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 5000));
	touch("0", p, false);
	CF(fd);
}

SEQ(mmap, to_itself, "mmap write read")
{
	int fd;
	char *p;

	/* A page that is not in memory, copied to another place of the same file, and to itself. */
	mk("f", 100000);
	fd = op("f", O_RDWR);
	p = map(fd, 100000, PROT_READ | PROT_WRITE, MAP_SHARED);
	N(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	R(pwrite(fd, p + 50000, 5000, 0));
	R(pwrite(fd, p + 4096, 4096, 4096));
	R(pread(fd, p + 20000, 10000, 60000));
	CF(fd);
}

SEQ(mmap, locked_and_advised, "mlock madvise")
{
	int fd;
	char *p;

	mk("f", 100000);
	fd = op("f", O_RDWR);
	p = map(fd, 100000, PROT_READ | PROT_WRITE, MAP_SHARED);
	R(mlock(p, 8192));
	R(madvise(p, 100000, MADV_WILLNEED));
	R(munlock(p, 8192));
	R(madvise(p, 98304, MADV_DONTNEED));
	R(madvise(p, 98304, MADV_REMOVE));
	CF(fd);
	SF(fd);
	R(mincore(p, 98304, (unsigned char *)big));
}

SEQ(mmap, remap_and_grow, "mmap mremap ftruncate")
{
	int fd;
	char *p;

	mk("f", 4096);
	fd = op("f", O_RDWR);
	p = map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	R(ftruncate(fd, 65536));
	p = P(mremap(p, 4096, 65536, MREMAP_MAYMOVE));
	touch("60000", p + 60000, true);
	CF(fd);
}
