/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chmod, chown, utimensat, statx, truncate by path.
 */
#include "parity.h"

#include <sys/sysmacros.h>
#include <sys/time.h>

SEQ(attr, chmod_all, "chmod")
{
	int wrong = 0;
	struct stat st;

	mk("f", 1);
	mkd("d", 0755);
	for (mode_t mode = 0; mode <= 07777; mode += 7) {
		wrong += chmod("f", mode) < 0 || stat("f", &st) < 0 || (st.st_mode & 07777) != mode;
		wrong += chmod("d", mode) < 0 || stat("d", &st) < 0 || (st.st_mode & 07777) != mode;
	}
	V(wrong);
	R(chmod("f", 0177777));
	S("f");
	R(chmod("f", S_IFDIR | 0600));
	S("f");
}

SEQ(attr, chmod_through_links, "chmod fchmodat")
{
	mk("f", 1);
	N(symlink("f", "l"));
	N(link("f", "h"));
	R(chmod("l", 0600));
	S("f");
	S("l");
	R(chmod("h", 0640));
	S("f");
	R(fchmodat(AT_FDCWD, "f", 0604, AT_SYMLINK_NOFOLLOW));
	S("f");
	R(fchmodat(AT_FDCWD, "l", 0604, AT_SYMLINK_NOFOLLOW));
	S("l");
	R(fchmodat(AT_FDCWD, "f", 0604, 0x8000));
}

SEQ(attr, chown_all, "chown lchown fchownat")
{
	mk("f", 1);
	mkd("d", 0755);
	N(symlink("f", "l"));
	R(chown("f", 1, 2));
	S("f");
	R(chown("f", (uid_t)-1, 3));
	S("f");
	R(chown("f", 4, (gid_t)-1));
	S("f");
	R(chown("f", (uid_t)-1, (gid_t)-1));
	S("f");
	R(lchown("l", 5, 6));
	S("l");
	S("f");
	R(chown("l", 7, 8));
	S("l");
	S("f");
	R(fchownat(AT_FDCWD, "l", 9, 10, AT_SYMLINK_NOFOLLOW));
	S("l");
	R(chown("d", 0x7ffffffe, 0x80000000U));
	S("d");
	R(chown("d", 0xfffffffeU, 0xfffffffeU));
	S("d");
	R(fchownat(AT_FDCWD, "l", 9, 10, 0x8000));
}

SEQ(attr, chown_times, "chown")
{
	mk("f", 1);
	N(symlink("f", "l"));
	T(chown("f", 1, 2), "f", "l", ".");
	T(chown("f", 1, 2), "f");
	T(chown("f", (uid_t)-1, (gid_t)-1), "f");
	T(lchown("l", 1, 2), "f", "l");
	T(chmod("f", 0600), "f", ".");
	T(chmod("f", 0600), "f");
}

static const struct {
	const char *name;
	struct timespec at;
} moments[] = {
	{"zero", {0, 0}},
	{"one-ns", {0, 1}},
	{"last-ns", {1, 999999999}},
	{"negative", {-1, 5}},
	{"negative-large", {-2147483648LL, 7}},
	{"past-1901", {-2147483649LL, 7}},
	{"2038", {2147483647LL, 1}},
	{"after-2038", {2147483648LL, 2}},
	{"2106", {4294967295LL, 3}},
	{"after-2106", {4294967296LL, 4}},
	{"2-33", {1LL << 33, 5}},
	{"ext4-last", {15032385535LL, 6}},
	{"past-ext4", {15032385536LL, 7}},
	{"2-34", {1LL << 34, 8}},
	{"2-40", {1LL << 40, 9}},
};
static const char *const moment_names[] = {
	"zero", "one-ns",     "last-ns", "negative",  "negative-large", "past-1901", "2038", "after-2038",
	"2106", "after-2106", "2-33",	 "ext4-last", "past-ext4",	"2-34",	     "2-40", NULL};

SEQV(attr, moment, "utimensat", moment_names)
{
	struct timespec times[2] = {moments[v].at, moments[v].at};
	struct stat st;
	int fd;

	mk("f", 1);
	times[0].tv_sec--;
	fd = op("f", O_RDWR);
	R(utimensat(AT_FDCWD, "f", times, 0));
	N(fstat(fd, &st));
	V(st.st_atim.tv_sec);
	V(st.st_atim.tv_nsec);
	V(st.st_mtim.tv_sec);
	V(st.st_mtim.tv_nsec);
	R(fsync(fd));
	close(fd);
	N(stat("f", &st));
	V(st.st_mtim.tv_sec);
	V(st.st_mtim.tv_nsec);
}

SEQ(attr, utimens_parts, "utimensat futimens")
{
	struct stat st;
	int fd;

	mk("f", 1);
	fd = op("f", O_RDWR);
	T(utimensat(AT_FDCWD, "f", (struct timespec[2]){{5, 5}, {0, UTIME_OMIT}}, 0), "f", ".");
	T(utimensat(AT_FDCWD, "f", (struct timespec[2]){{0, UTIME_OMIT}, {6, 6}}, 0), "f");
	N(stat("f", &st));
	V(st.st_atim.tv_sec);
	V(st.st_mtim.tv_sec);
	T(utimensat(AT_FDCWD, "f", (struct timespec[2]){{0, UTIME_OMIT}, {0, UTIME_OMIT}}, 0), "f");
	T(utimensat(AT_FDCWD, "f", (struct timespec[2]){{0, UTIME_NOW}, {0, UTIME_OMIT}}, 0), "f");
	T(utimensat(AT_FDCWD, "f", (struct timespec[2]){{0, UTIME_OMIT}, {0, UTIME_NOW}}, 0), "f");
	T(utimensat(AT_FDCWD, "f", NULL, 0), "f");
	T(futimens(fd, (struct timespec[2]){{7, 7}, {8, 8}}), "f");
	T(futimens(fd, NULL), "f");
	R(utimensat(AT_FDCWD, "f", (struct timespec[2]){{5, 1000000000}, {6, 6}}, 0));
	R(utimensat(AT_FDCWD, "f", (struct timespec[2]){{5, -1}, {6, 6}}, 0));
	R(utimensat(AT_FDCWD, "f", NULL, 0x8000));
	R(utimes("f", (struct timeval[2]){{5, 1000000}, {6, 6}}));
}

SEQ(attr, utimens_of_links, "utimensat")
{
	struct stat st;

	mk("f", 1);
	N(symlink("f", "l"));
	T(utimensat(AT_FDCWD, "l", (struct timespec[2]){{5, 5}, {6, 6}}, AT_SYMLINK_NOFOLLOW), "f", "l");
	N(lstat("l", &st));
	V(st.st_mtim.tv_sec);
	V(st.st_mtim.tv_nsec);
	T(utimensat(AT_FDCWD, "l", (struct timespec[2]){{7, 7}, {8, 8}}, 0), "f", "l");
	R(lutimes("l", (struct timeval[2]){{1, 1}, {2, 2}}));
	N(lstat("l", &st));
	V(st.st_mtim.tv_nsec);
}

SEQ(attr, time_of_written_file, "utimensat write close fsync")
{
	struct timespec times[2] = {{100, 1}, {200, 2}};
	struct stat st;
	int fd;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	R(write(fd, "abc", 3));
	R(futimens(fd, times));
	N(fstat(fd, &st));
	V(st.st_mtim.tv_sec);
	R(fsync(fd));
	N(fstat(fd, &st));
	V(st.st_mtim.tv_sec);
	V(st.st_mtim.tv_nsec);
	R(pwrite(fd, "x", 1, 20000));
	R(futimens(fd, times));
	close(fd);
	N(stat("f", &st));
	V(st.st_mtim.tv_sec);
	V(st.st_atim.tv_sec);
	fd = op("f", O_RDWR);
	R(pwrite(fd, "y", 1, 0));
	N(utimensat(AT_FDCWD, "f", times, 0));
	N(chmod("f", 0600));
	N(rename("f", "g"));
	close(fd);
	N(stat("g", &st));
	V(st.st_mtim.tv_sec);
	C("g");
}

SEQ(attr, statx_fields, "statx")
{
	static const char *const paths[] = {"f", "d", "l", "p"};
	struct statx x;
	struct stat st;

	mk("f", 5000);
	mkd("d", 0755);
	N(symlink("f", "l"));
	N(mkfifo("p", 0644));
	for (int i = 0; i < 4; i++) {
		say("path", "%s", paths[i]);
		R(statx(AT_FDCWD, paths[i], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
		V((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
		V(x.stx_blksize);
		V(x.stx_attributes);
		N(lstat(paths[i], &st));
		V(x.stx_ino == st.st_ino && x.stx_nlink == st.st_nlink && x.stx_mode == st.st_mode);
		V(x.stx_dev_major == major(st.st_dev) && x.stx_dev_minor == minor(st.st_dev));
		V(x.stx_blocks == (unsigned long long)st.st_blocks);
	}
	R(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &x));
	V(x.stx_size);
	R(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	V(x.stx_size);
	R(statx(AT_FDCWD, "f", 0, 0x80000000U, &x));
	R(statx(AT_FDCWD, "f", 0x10000000, STATX_SIZE, &x));
}

SEQ(attr, birth_time, "statx")
{
	struct statx x;

	mk("f", 5000);
	N(statx(AT_FDCWD, "f", 0, STATX_BTIME, &x));
	V((x.stx_mask & STATX_BTIME) != 0);
}

SEQ(attr, inode_numbers, "stat readdir lookup")
{
	struct stat a, b;
	int fd;

	mk("f", 10);
	N(stat("f", &a));
	N(link("f", "g"));
	N(rename("f", "h"));
	N(stat("h", &b));
	V(a.st_ino == b.st_ino);
	fd = op("g", O_RDONLY);
	N(unlink("g"));
	N(unlink("h"));
	N(fstat(fd, &b));
	V(a.st_ino == b.st_ino);
	mkd("d", 0755);
	N(stat("d", &a));
	N(rename("d", "e"));
	N(stat("e", &b));
	V(a.st_ino == b.st_ino);
	N(stat("e/..", &b));
	N(stat(".", &a));
	V(a.st_ino == b.st_ino);
	N(stat("..", &b));
	V(a.st_dev == b.st_dev);
	L(".");
}

static const long sizes[] = {0, 1, 10, 4095, 4096, 4097, 10000, 100000, 1000000};
static const char *const size_names[] = {"0", "1", "10", "4095", "4096", "4097", "10000", "100000", "1000000", NULL};

/* From each size to each. */
SEQV(attr, truncate, "truncate ftruncate", size_names)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd;

		mk("f", (size_t)sizes[v]);
		say("to", "%ld", sizes[i]);
		R(truncate("f", sizes[i]));
		C("f");
		blocks("f");
		mk("f", (size_t)sizes[v]);
		fd = op("f", O_RDWR);
		R(ftruncate(fd, sizes[i]));
		R(pwrite(fd, "abc", 3, sizes[i] + 5));
		R(ftruncate(fd, sizes[v]));
		R(ftruncate(fd, sizes[i] + 5000));
		CF(fd);
		SF(fd);
		close(fd);
		C("f");
	}
}

SEQ(attr, truncate_errors, "truncate")
{
	mk("f", 10);
	mkd("d", 0755);
	N(symlink("f", "l"));
	N(mkfifo("p", 0644));
	R(truncate("d", 0));
	R(truncate("none", 0));
	R(truncate("p", 0));
	R(truncate("l", 3));
	S("f");
	R(truncate("", 0));
	AS(OTHER)
	{
		R(truncate("f", 0));
	}
	T(truncate("f", 3), "f", ".");
	T(truncate("f", 4), "f", ".");
	T(truncate("f", 0), "f");
	T(truncate("f", 0), "f");
}

SEQ(attr, block_counts, "stat truncate fallocate")
{
	mk("empty", 0);
	blocks("empty");
	mk("one", 1);
	blocks("one");
	mk("large", 100000);
	blocks("large");
	N(truncate("large", 0));
	blocks("large");
	N(truncate("empty", 100000));
	S("empty");
}
