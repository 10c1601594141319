/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which times each call moves, of which objects.
 */
#include "parity.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

SEQ(time, of_making, "open mkdir mknod symlink link")
{
	mkd("d", 0755);
	mk("f", 1);
	T(close(open("d/f", O_CREAT | O_WRONLY, 0644)), "d", ".");
	T(close(open("d/f", O_CREAT | O_WRONLY, 0644)), "d", "d/f");
	T(close(open("d/g", O_CREAT | O_EXCL | O_WRONLY, 0644)), "d");
	T(mkdir("d/d", 0755), "d", ".");
	T(mkdir("d/d", 0755), "d", "d/d");
	T(symlink("x", "d/l"), "d");
	T(mknod("d/p", S_IFIFO | 0644, 0), "d");
	T(link("f", "d/h"), "d", "f", ".");
	T(link("f", "d/h"), "d", "f");
}

SEQ(time, of_removing, "unlink rmdir")
{
	mkd("d", 0755);
	mk("d/f", 1);
	mk("d/h", 1);
	N(link("d/h", "g"));
	mkd("d/d", 0755);
	N(symlink("x", "d/l"));
	T(unlink("d/f"), "d", "d/f", ".");
	T(unlink("d/h"), "d", "d/h", "g");
	T(rmdir("d/d"), "d", "d/d", ".");
	T(unlink("d/l"), "d", "d/l");
	T(unlink("d/none"), "d");
}

SEQ(time, of_new_objects_agree, "open mkdir symlink stat")
{
	struct stat st;

	tick();
	mk("f", 0);
	mkd("d", 0755);
	N(mkdir("e", 0755));
	N(symlink("x", "l"));
	N(stat("f", &st));
	V(st.st_atim.tv_sec == st.st_mtim.tv_sec && st.st_atim.tv_nsec == st.st_mtim.tv_nsec);
	V(st.st_ctim.tv_sec == st.st_mtim.tv_sec);
	N(lstat("l", &st));
	V(st.st_atim.tv_nsec == st.st_mtim.tv_nsec);
}

SEQ(time, of_writing, "write pwrite ftruncate fsync close")
{
	int fd;

	mk("f", 100);
	fd = op("f", O_RDWR);
	T(write(fd, "abc", 3), "f", ".");
	T(write(fd, "", 0), "f");
	T(pwrite(fd, "abc", 3, 50), "f");
	T(pwrite(fd, big, 10000, 50), "f");
	T(pwrite(fd, big, 10000, 1000000), "f");
	T(fsync(fd), "f");
	T(ftruncate(fd, 100), "f");
	T(ftruncate(fd, 100), "f");
	T(ftruncate(fd, 5000), "f");
	T(ftruncate(fd, -1), "f");
	T(fsync(fd), "f");
	T(close(op("f", O_WRONLY | O_TRUNC)), "f");
	T(close(op("f", O_WRONLY)), "f");
}

SEQ(time, of_fallocate, "fallocate")
{
	int fd;

	mk("f", 20000);
	fd = op("f", O_RDWR);
	T(fallocate(fd, 0, 0, 100), "f");
	T(fallocate(fd, 0, 0, 50000), "f");
	T(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 90000), "f");
	T(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 4096, 4096), "f");
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096), "f");
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 100000), "f");
}

/* relatime: atime moves when it is not behind mtime and ctime. The daemon reads at another moment: the file's atime
 * is asked for once. */
SEQ(time, of_reading, "read mmap")
{
	int fd;

	mk("f", 100000);
	T(close(op("f", O_RDONLY)), "f");
	fd = op("f", O_RDONLY);
	T(pread(fd, big, 10, 0), "f", ".");
	T(pread(fd, big, 10, 50000), "f");
	T(pread(fd, big, 0, 0), "f");
	T(lseek(fd, 0, SEEK_END), "f");
}

SEQ(time, of_reading_after_writing, "read")
{
	int fd;

	mk("f", 100000);
	fd = op("f", O_RDWR);
	N(pwrite(fd, "x", 1, 0));
	N(fsync(fd));
	T(pread(fd, big, 10, 0), "f");
	T(pread(fd, big, 10, 99990), "f");
}

SEQ(time, of_looking, "stat access readlink readdir getxattr")
{
	struct stat st;
	DIR *dir;

	mkd("d", 0755);
	mk("d/f", 1);
	N(symlink("f", "l"));
	N(setxattr("d/f", "user.a", "1", 1, 0));
	T(stat("d/f", &st), "d", "d/f");
	T(access("d/f", R_OK), "d", "d/f");
	T(getxattr("d/f", "user.a", big, 10), "d/f");
	T(listxattr("d/f", big, 1000), "d/f");
	dir = opendir("d");
	need(dir != NULL, "opendir");
	mark("d");
	tick();
	while (readdir(dir))
		;
	closedir(dir);
	changed();
}

SEQ(time, of_attributes, "chmod chown setxattr removexattr utimensat")
{
	mkd("d", 0755);
	mk("d/f", 1);
	T(chmod("d/f", 0600), "d/f", "d");
	T(chown("d/f", 1, 1), "d/f", "d");
	T(setxattr("d/f", "user.a", "1", 1, 0), "d/f", "d");
	T(setxattr("d/f", "user.a", "1", 1, 0), "d/f");
	T(setxattr("d/f", "user.a", "1", 1, XATTR_CREATE), "d/f");
	T(setxattr("d/f", "user.long", big, 300, 0), "d/f");
	T(removexattr("d/f", "user.a"), "d/f", "d");
	T(removexattr("d/f", "user.a"), "d/f");
	T(set_acl("d/f", "u::rwx,u:5:r--,g::r-x,m::rwx,o::---"), "d/f", "d");
	T(set_acl("d/f", "u::rw-,g::r--,o::r--"), "d/f");
	T(set_default_acl("d", "u::rwx,g::r-x,o::---"), "d/f", "d", ".");
	T(removexattr("d", DEFAULT_ACL), "d");
	T(chmod("d", 0700), "d", "d/f", ".");
	T(setxattr("d", "user.a", "1", 1, 0), "d", ".");
}

SEQ(time, of_mapping, "mmap msync")
{
	char *p;
	int fd;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(p != MAP_FAILED, "mmap");
	mark("f");
	tick();
	p[5] = 'x';
	R(msync(p, 10000, MS_SYNC));
	changed();
	/* Again: the page is clean by now and must be noticed once more. */
	mark("f");
	tick();
	p[6] = 'x';
	R(msync(p, 10000, MS_SYNC));
	changed();
	T(munmap(p, 10000), "f");
	close(fd);
}

SEQ(time, of_copying, "copy_file_range sendfile splice")
{
	int a, b;

	mk("a", 10000);
	mk("b", 100);
	a = op("a", O_RDONLY);
	b = op("b", O_RDWR);
	T(copy_file_range(a, NULL, b, NULL, 5000, 0), "b");
	T(sendfile(b, a, NULL, 3000), "b");
	T(copy_file_range(a, NULL, b, NULL, 0, 0), "b");
}

SEQ(time, kept_after_close, "write close utimensat")
{
	struct stat a, b;
	int fd;

	fd = op("f", O_CREAT | O_RDWR);
	N(write(fd, big, 30000));
	N(fstat(fd, &a));
	tick();
	tick();
	N(close(fd));
	N(stat("f", &b));
	V(a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec);
	V(a.st_size == b.st_size);
	tick();
	fd = op("f", O_RDONLY);
	N(fsync(fd));
	N(fstat(fd, &b));
	V(a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec);
}

SEQ(time, mtime_and_ctime_of_a_write, "write stat")
{
	struct stat st;
	int fd = op("f", O_CREAT | O_RDWR);

	N(write(fd, "abc", 3));
	N(fstat(fd, &st));
	V(st.st_ctim.tv_sec > st.st_mtim.tv_sec ||
	  (st.st_ctim.tv_sec == st.st_mtim.tv_sec && st.st_ctim.tv_nsec >= st.st_mtim.tv_nsec));
	/* A second writer and an observer by name see the same. */
	tick();
	CHILD
	{
		struct stat now;

		N(pwrite(fd, "d", 1, 3));
		N(stat("f", &now));
		V(now.st_mtim.tv_nsec != st.st_mtim.tv_nsec || now.st_mtim.tv_sec != st.st_mtim.tv_sec);
		V(now.st_ctim.tv_nsec != st.st_ctim.tv_nsec || now.st_ctim.tv_sec != st.st_ctim.tv_sec);
		V(now.st_size);
	}
}

SEQ(time, of_unlinked, "unlink write fchmod")
{
	int fd;

	mk("f", 10);
	fd = op("f", O_RDWR);
	mark("f");
	N(unlink("f"));
	tick();
	R(write(fd, "x", 1));
	changed();
	SF(fd);
}
