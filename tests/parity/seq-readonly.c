/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filesystem that is mounted read-only. These run in a directory that was prepared before: file (100 bytes, 0666),
 * dir, link (to file), fifo, an extended attribute user.a of file, and "prepared", which says that it was.
 */
#include "parity.h"

#include <sys/mman.h>
#include <sys/xattr.h>

SEQ(readonly, open, "open")
{
	for (enum who who = ROOT; who < WHO_COUNT; who += OTHER)
		AS(who)
		{
			FD(open("file", O_RDONLY));
			FD(open("file", O_WRONLY));
			FD(open("file", O_RDWR));
			FD(open("file", O_RDONLY | O_TRUNC));
			FD(open("file", O_RDONLY | O_CREAT, 0644));
			FD(open("file", O_RDWR | O_CREAT, 0644));
			FD(open("file", O_RDWR | O_CREAT | O_EXCL, 0644));
			FD(open("new", O_RDONLY | O_CREAT, 0644));
			FD(open("new", O_RDWR | O_CREAT | O_EXCL, 0644));
			FD(open("none/new", O_RDWR | O_CREAT, 0644));
			FD(open("dir", O_RDONLY | O_DIRECTORY));
			FD(open("dir", O_RDWR));
			FD(open("fifo", O_RDWR | O_NONBLOCK));
			FD(open("link", O_RDWR));
		}
}

SEQ(readonly, names, "mkdir mknod symlink link rename unlink rmdir")
{
	for (enum who who = ROOT; who < WHO_COUNT; who += OTHER)
		AS(who)
		{
			R(mkdir("new", 0755));
			R(mkdir("dir", 0755));
			R(mknod("new", S_IFIFO | 0644, 0));
			R(symlink("x", "new"));
			R(symlink("x", "file"));
			R(link("file", "new"));
			R(link("file", "dir"));
			R(link("none", "new"));
			R(rename("file", "new"));
			R(rename("file", "file"));
			R(rename("none", "new"));
			R(renameat2(AT_FDCWD, "file", AT_FDCWD, "dir", RENAME_EXCHANGE));
			R(renameat2(AT_FDCWD, "file", AT_FDCWD, "link", RENAME_NOREPLACE));
			R(unlink("file"));
			R(unlink("none"));
			R(unlink("dir"));
			R(rmdir("dir"));
			R(rmdir("none"));
			R(rmdir("file"));
		}
	L(".");
}

SEQ(readonly, attributes, "chmod chown utimensat truncate setxattr removexattr access")
{
	for (enum who who = ROOT; who < WHO_COUNT; who += OTHER)
		AS(who)
		{
			R(chmod("file", 0600));
			R(chmod("none", 0600));
			R(chown("file", 1, 1));
			R(chown("file", (uid_t)-1, (gid_t)-1));
			R(lchown("link", 1, 1));
			R(utimensat(AT_FDCWD, "file", NULL, 0));
			R(utimensat(AT_FDCWD, "file", (struct timespec[2]){{5, 5}, {6, 6}}, 0));
			R(truncate("file", 1));
			R(truncate("file", 100));
			R(truncate("dir", 1));
			R(setxattr("file", "user.b", "1", 1, 0));
			R(setxattr("file", "trusted.b", "1", 1, 0));
			R(removexattr("file", "user.a"));
			R(removexattr("file", "user.none"));
			R(set_acl("file", "u::rwx,g::r-x,o::r--"));
			R(access("file", W_OK));
			R(access("file", R_OK));
			R(access("dir", W_OK));
			R(access("fifo", W_OK));
			R(faccessat(AT_FDCWD, "file", W_OK, AT_EACCESS));
		}
	S("file");
	X("file");
}

SEQ(readonly, data, "read mmap fsync fallocate")
{
	int fd = op("file", O_RDONLY), dir = op("dir", O_RDONLY);
	char *p;

	CF(fd);
	R(write(fd, "x", 1));
	R(ftruncate(fd, 1));
	R(fallocate(fd, 0, 0, 10));
	R(fchmod(fd, 0600));
	R(fchown(fd, 1, 1));
	R(futimens(fd, NULL));
	R(fsetxattr(fd, "user.b", "1", 1, 0));
	R(fgetxattr(fd, "user.a", big, 10));
	R(fsync(fd));
	R(fdatasync(fd));
	R(fsync(dir));
	R(syncfs(fd));
	p = P(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	if (p)
		p[0] = 'x';
	P(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	R(lseek(fd, 0, SEEK_HOLE));
	T(pread(fd, big, 10, 0), "file");
	T(readlink("link", big, 100), "link");
	C("file");
}
