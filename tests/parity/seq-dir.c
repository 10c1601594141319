/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading directories: positions, changes meanwhile, removed ones.
 */
#include "parity.h"

#include <dirent.h>
#include <sys/syscall.h>

static const char *const counts[] = {"0", "1", "10", "300", "2500", NULL};

static void fill_dir(const char *dir, int count, int name_bytes)
{
	char path[600];

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%0*d", dir, name_bytes, i);
		N(mknod(path, S_IFREG | 0644, 0));
	}
}

/* How many entries from here on, and a sum of their names that does not depend on the order. */
static void rest(DIR *dir)
{
	const struct dirent *entry;
	unsigned long sum = 0;
	int count = 0;

	while ((entry = readdir(dir))) {
		unsigned long hash = 5381;

		for (const char *at = entry->d_name; *at; at++)
			hash = hash * 33 + (unsigned char)*at;
		sum += hash & 0xffffff;
		count++;
	}
	say("rest", "%d entries %lu", count, sum);
}

SEQV(dir, rewind, "readdir seekdir", counts)
{
	DIR *dir;

	mkd("d", 0755);
	fill_dir("d", atoi(counts[v]), 5);
	dir = opendir("d");
	need(dir != NULL, "opendir");
	rest(dir);
	rest(dir);
	rewinddir(dir);
	rest(dir);
	mk("d/new", 1);
	rewinddir(dir);
	rest(dir);
	N(unlink("d/new"));
	rewinddir(dir);
	rest(dir);
}

/* Every position leads back to the entry behind it. */
SEQV(dir, positions, "readdir telldir seekdir", counts)
{
	static long positions[3000];
	static char names[3000][16];
	const struct dirent *entry;
	int count = 0, wrong = 0;
	DIR *dir;

	mkd("d", 0755);
	fill_dir("d", atoi(counts[v]), 5);
	dir = opendir("d");
	need(dir != NULL, "opendir");
	for (positions[0] = telldir(dir); (entry = readdir(dir)); positions[count] = telldir(dir))
		snprintf(names[count++], sizeof(names[0]), "%.15s", entry->d_name);
	V(count);
	for (int i = count - 1; i >= 0; i -= 1 + count / 50) {
		seekdir(dir, positions[i]);
		entry = readdir(dir);
		wrong += !entry || strcmp(entry->d_name, names[i]) != 0 || telldir(dir) != positions[i + 1];
	}
	V(wrong);
	seekdir(dir, positions[count / 2]);
	V(telldir(dir) == positions[count / 2]);
	closedir(dir);
	/* In another open of it, too. */
	dir = opendir("d");
	wrong = 0;
	for (int i = 0; i < count; i += 1 + count / 50) {
		seekdir(dir, positions[i]);
		entry = readdir(dir);
		wrong += !entry || strcmp(entry->d_name, names[i]) != 0;
	}
	V(wrong);
}

SEQV(dir, removed_while_reading, "readdir unlink", counts)
{
	int count = atoi(counts[v]), seen = 0;
	const struct dirent *entry;
	DIR *dir;

	mkd("d", 0755);
	fill_dir("d", count, 5);
	dir = opendir("d");
	need(dir != NULL, "opendir");
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			seen++;
			need(unlinkat(dirfd(dir), entry->d_name, 0) == 0, "unlink");
		}
	V(seen);
	rewinddir(dir);
	rest(dir);
	closedir(dir);
	R(rmdir("d"));
}

SEQV(dir, changed_while_reading, "readdir rename open", counts)
{
	static int seen[3000];
	int count = atoi(counts[v]), lost = 0, twice = 0, n = 0;
	const struct dirent *entry;
	DIR *dir;

	/* What is neither made nor removed meanwhile comes exactly once. */
	mkd("d", 0755);
	fill_dir("d", count, 5);
	dir = opendir("d");
	need(dir != NULL, "opendir");
	while ((entry = readdir(dir))) {
		char name[40];

		if (entry->d_name[0] == '0' && strlen(entry->d_name) == 5)
			seen[atoi(entry->d_name)]++;
		if (n < 500) {
			snprintf(name, sizeof(name), "d/new-%d", n++);
			mk(name, 0);
			if (n % 2)
				N(unlink(name));
		}
	}
	for (int i = 0; i < count; i++) {
		lost += seen[i] == 0;
		twice += seen[i] > 1;
	}
	V(lost);
	V(twice);
}

SEQ(dir, long_names, "readdir")
{
	DIR *dir;

	mkd("d", 0755);
	fill_dir("d", 100, 250);
	fill_dir("d", 100, 100);
	dir = opendir("d");
	need(dir != NULL, "opendir");
	rest(dir);
	rewinddir(dir);
	rest(dir);
}

SEQ(dir, types, "readdir")
{
	mk("f", 1);
	mkd("d", 0755);
	N(symlink("f", "l"));
	N(mkfifo("p", 0644));
	N(mknod("s", S_IFSOCK | 0644, 0));
	N(mknod("c", S_IFCHR | 0644, 0x103));
	N(mknod("b", S_IFBLK | 0644, 0x700));
	L(".");
}

SEQ(dir, removed, "rmdir readdir openat")
{
	struct stat st;
	int fd;
	DIR *dir;

	mkd("d", 0755);
	fd = op("d", O_RDONLY | O_DIRECTORY);
	R(rmdir("d"));
	SF(fd);
	FD(openat(fd, "x", O_CREAT | O_WRONLY, 0644));
	R(mkdirat(fd, "x", 0755));
	R(symlinkat("x", fd, "y"));
	R(fstatat(fd, ".", &st, 0));
	R(fstatat(fd, "..", &st, 0));
	R(fchmod(fd, 0700));
	R(fsync(fd));
	SF(fd);
	FD(openat(fd, ".", O_RDONLY));
	dir = fdopendir(fd);
	rest(dir);
	mkd("d", 0755);
	mk("d/new", 1);
	rewinddir(dir);
	rest(dir);
}

SEQ(dir, calls, "readdir lseek")
{
	int fd, f;

	mkd("d", 0755);
	mk("f", 1);
	fill_dir("d", 5, 5);
	fd = op("d", O_RDONLY);
	f = op("f", O_RDONLY);
	R(syscall(SYS_getdents64, fd, big, 10));
	R(syscall(SYS_getdents64, fd, big, 0));
	R(syscall(SYS_getdents64, f, big, 1000));
	R(syscall(SYS_getdents64, fd, big, 1000) > 0);
	R(syscall(SYS_getdents64, fd, big, 1000));
	R(lseek(fd, 0, SEEK_SET));
	R(syscall(SYS_getdents64, fd, big, 1000) > 0);
	R(syscall(SYS_getdents64, op("d", O_PATH), big, 1000));
}

SEQ(dir, two_readers, "readdir")
{
	DIR *a, *b;
	int n = 0;

	mkd("d", 0755);
	fill_dir("d", 500, 5);
	a = opendir("d");
	b = opendir("d");
	need(a && b, "opendir");
	while (n++ < 100 && readdir(a))
		;
	rest(b);
	for (n = 0; readdir(a); n++)
		;
	V(n); /* which ones depends on the order */
	CHILD
	{
		rewinddir(b);
		rest(b);
	}
}

SEQ(dir, names_after_rename, "readdir rename")
{
	mkd("d", 0755);
	fill_dir("d", 20, 3);
	for (int i = 0; i < 20; i += 2) {
		char a[20], b[20];

		snprintf(a, sizeof(a), "d/%03d", i);
		snprintf(b, sizeof(b), "d/r%d", i);
		N(rename(a, b));
	}
	L("d");
	N(rename("d", "e"));
	L("e");
	mkd("d", 0755);
	N(rename("e/r0", "d/001"));
	L("d");
	L("e");
}

SEQ(dir, deep, "mkdir chdir rmdir rename")
{
	int depth = 0;

	while (depth < 60 && mkdir("a-directory", 0755) == 0 && chdir("a-directory") == 0)
		depth++;
	V(depth);
	mk("f", 10);
	C("f");
	for (int i = 0; i < 30; i++)
		N(chdir(".."));
	R(rename("a-directory", "moved"));
	for (int i = 0; i < 30; i++)
		N(chdir(".."));
	L(".");
	V(system("find . -type f | wc -l | grep -qx 1"));
	R(system("rm -rf a-directory"));
	L(".");
}
