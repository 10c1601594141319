/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small stories: what programs do with files, as they do it.
 */
#include "parity.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>

SEQ(story, save_by_rename, "open write fsync rename")
{
	int old;

	mkm("doc", 0640, UID_OWNER, GID_GROUP);
	old = op("doc", O_RDONLY);
	AS(OWNER)
	{
		int fd = FD(open("doc.tmp", O_CREAT | O_EXCL | O_WRONLY, 0600));

		R(write(fd, "new content", 11));
		R(fchmod(fd, 0640));
		R(fsync(fd));
		R(close(fd));
		R(rename("doc.tmp", "doc"));
		fd = op(".", O_RDONLY);
		R(fsync(fd));
	}
	S("doc");
	C("doc");
	CF(old);
	L(".");
}

SEQ(story, log_with_rotation, "open:APPEND rename write")
{
	int fd = op("log", O_CREAT | O_WRONLY | O_APPEND);

	for (int i = 0; i < 3; i++) {
		char name[20];

		R(write(fd, "line\n", 5));
		snprintf(name, sizeof(name), "log.%d", i);
		N(rename("log", name));
		R(write(fd, "late\n", 5));
		close(fd);
		fd = op("log", O_CREAT | O_WRONLY | O_APPEND);
	}
	S("log");
	S("log.0");
	C("log.2");
	L(".");
}

SEQ(story, lock_file, "open:EXCL unlink link")
{
	for (int i = 0; i < 3; i++) {
		int fd = FD(open("lock", O_CREAT | O_EXCL | O_WRONLY, 0444));

		CHILD
		{
			FD(open("lock", O_CREAT | O_EXCL | O_WRONLY, 0444));
		}
		R(write(fd, "1", 1));
		R(close(fd));
		R(unlink("lock"));
	}
	mk("unique", 1);
	R(link("unique", "lock"));
	R(link("unique", "lock"));
	S("unique");
}

SEQ(story, database, "pwrite pread fsync mmap ftruncate")
{
	int fd = op("db", O_CREAT | O_RDWR), journal;
	char *p;

	fill(big, 65536, 1);
	for (int i = 0; i < 8; i++) {
		journal = FD(open("db-journal", O_CREAT | O_RDWR | O_TRUNC, 0644));
		N(pwrite(journal, big, 512, 0));
		N(pwrite(journal, big, 4096, 512));
		N(fdatasync(journal));
		N(pwrite(fd, big + i, 4096, i * 4096));
		N(pwrite(fd, big, 100, 24));
		N(fdatasync(fd));
		N(close(journal));
		R(unlink("db-journal"));
	}
	p = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(p != MAP_FAILED, "mmap");
	p[16384] = 'm';
	R(ftruncate(fd, 24576));
	CF(fd);
	SF(fd);
	L(".");
}

SEQ(story, unpack_a_tree, "mkdir open write utimensat chmod symlink link")
{
	struct timespec times[2] = {{1000000000, 5}, {1000000001, 6}};
	struct stat st;
	char name[40];
	int wrong = 0;

	mkd("t", 0700);
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "t/d%d", i % 5);
		mkdir(name, 0700);
		snprintf(name, sizeof(name), "t/d%d/f%d", i % 5, i);
		mk(name, (size_t)i * 777);
		N(chown(name, (uid_t)i, (gid_t)i));
		N(chmod(name, (mode_t)(0400 + i)));
		N(utimensat(AT_FDCWD, name, times, 0));
	}
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "t/d%d", i);
		N(chmod(name, 0555));
		N(utimensat(AT_FDCWD, name, times, 0));
	}
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "t/d%d/f%d", i % 5, i);
		N(stat(name, &st));
		wrong += st.st_mtim.tv_sec != 1000000001 || st.st_mtim.tv_nsec != 6 ||
			 (st.st_mode & 07777) != 0400U + (unsigned)i || st.st_size != i * 777;
	}
	V(wrong);
	N(stat("t/d3", &st));
	V(st.st_mtim.tv_sec);
	V(st.st_mtim.tv_nsec);
	S("t/d3");
	C("t/d3/f13");
	L("t/d3");
}

SEQ(story, copy_with_everything, "setxattr setxattr:acl chmod chown link")
{
	mkd("from", 0755);
	mk("from/f", 5000);
	N(set_acl("from/f", "u::rw-,u:10004:r--,g::r--,m::r--,o::---"));
	N(setxattr("from/f", "user.comment", "hello", 5, 0));
	N(link("from/f", "from/hard"));
	N(symlink("f", "from/soft"));
	N(mkfifo("from/p", 0640));
	N(truncate("from/f", 100000));
	V(system("cp -a from to"));
	S("to/f");
	A("to/f");
	X("to/f");
	S("to/hard");
	S("to/soft");
	S("to/p");
	C("to/f");
	same("to/f", "to/hard");
	V(system("tar --xattrs --acls -C from -cf a.tar . && mkdir x && tar --xattrs --acls -C x -xpf a.tar"));
	A("x/f");
	X("x/f");
	S("x/hard");
	V(system("rm -rf from to x"));
	L(".");
}

SEQ(story, two_processes_one_file, "write read ftruncate fork")
{
	int fd = op("f", O_CREAT | O_RDWR);

	for (int i = 0; i < 10; i++) {
		CHILD
		{
			int own = op("f", O_RDWR);

			N(pwrite(own, "child", 5, i * 1000));
			N(ftruncate(own, i * 1000 + 500));
		}
		N(pwrite(fd, "parent", 6, i * 700));
		SF(fd);
		CF(fd);
	}
}

SEQ(story, many_small_files, "open write unlink readdir")
{
	char name[40];
	int good = 0;

	mkd("d", 0755);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		mk(name, (size_t)i * 41);
	}
	for (int i = 0; i < 200; i++) {
		struct stat st;

		snprintf(name, sizeof(name), "d/%d", i);
		good += stat(name, &st) == 0 && st.st_size == i * 41 && st.st_nlink == 1;
		if (i % 2)
			N(unlink(name));
	}
	V(good);
	V(system("ls d | wc -l | grep -qx 100"));
	V(system("cat d/* | wc -c | grep -qx 405900"));
}

SEQ(story, umask_and_owner, "open umask mkdir")
{
	for (int i = 0; i < 5; i++) {
		static const mode_t masks[] = {0, 022, 027, 077, 0777};

		umask(masks[i]);
		AS(OTHER)
		{
			R(close(open("f", O_CREAT | O_WRONLY, 0666)));
			R(mkdir("d", 0777));
			R(mknod("p", S_IFIFO | 0666, 0));
			S("f");
			S("d");
			S("p");
			unlink("f");
			rmdir("d");
			unlink("p");
		}
	}
}

SEQ(story, sparse_image, "ftruncate pwrite lseek:DATA fallocate:PUNCH_HOLE")
{
	int fd = op("image", O_CREAT | O_RDWR);

	R(ftruncate(fd, 1LL << 30));
	for (int i = 0; i < 16; i++)
		N(pwrite(fd, big, 8192, (off_t)i << 26));
	R(fsync(fd));
	R(lseek(fd, 8192, SEEK_DATA));
	R(lseek(fd, 1 << 26, SEEK_HOLE));
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 29));
	R(fsync(fd));
	R(lseek(fd, 0, SEEK_DATA));
	SF(fd);
	R(pread(fd, big, 10, (1LL << 30) - 4));
}
