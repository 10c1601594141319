/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and removing names: link, unlink, mkdir, rmdir, symlink, mknod.
 */
#include "parity.h"

#include <sys/sysmacros.h>

SEQ(name, link_counts, "link unlink stat")
{
	mk("a", 5000);
	mkd("d", 0755);
	R(link("a", "b"));
	R(link("a", "d/c"));
	S("a");
	same("a", "d/c");
	R(unlink("a"));
	S("b");
	S("a");
	C("d/c");
	R(unlink("b"));
	S("d/c");
	L(".");
	L("d");
}

SEQ(name, link_errors, "link")
{
	mk("a", 1);
	mkd("d", 0755);
	N(symlink("a", "l"));
	R(link("a", "a"));
	R(link("a", "d"));
	R(link("d", "e"));
	R(link("none", "e"));
	R(link("a", "none/e"));
	R(link("a", "a/e"));
	R(link("a/", "e"));
	R(link("a", "e/"));
	R(link("", "e"));
	R(link("a", ""));
	R(link("a", "l"));
	L(".");
}

SEQ(name, link_to_symlink, "link linkat symlink")
{
	mk("a", 3);
	N(symlink("a", "l"));
	N(symlink("none", "x"));
	R(link("l", "hard"));
	S("hard");
	same("l", "hard");
	R(linkat(AT_FDCWD, "l", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	same("a", "followed");
	S("a");
	R(linkat(AT_FDCWD, "x", AT_FDCWD, "y", AT_SYMLINK_FOLLOW));
	R(linkat(AT_FDCWD, "x", AT_FDCWD, "y", 0));
	R(linkat(AT_FDCWD, "a", AT_FDCWD, "z", 0x8000));
	L(".");
}

SEQ(name, link_by_descriptor, "linkat open")
{
	char path[64];
	int fd;

	mk("a", 100);
	fd = op("a", O_RDONLY);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	R(linkat(fd, "", AT_FDCWD, "b", AT_EMPTY_PATH));
	R(linkat(AT_FDCWD, path, AT_FDCWD, "c", AT_SYMLINK_FOLLOW));
	SF(fd);
	same("a", "c");
	AS(OTHER)
	{
		R(linkat(fd, "", AT_FDCWD, "d", AT_EMPTY_PATH));
	}
	N(unlink("a"));
	N(unlink("b"));
	N(unlink("c"));
	SF(fd);
	R(linkat(AT_FDCWD, path, AT_FDCWD, "e", AT_SYMLINK_FOLLOW));
	R(linkat(fd, "", AT_FDCWD, "e", AT_EMPTY_PATH));
	L(".");
}

SEQ(name, link_many, "link")
{
	char name[20];
	int made = 0;

	mk("a", 1);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		made += link("a", name) == 0;
	}
	V(made);
	S("a");
	for (int i = 0; i < 300; i += 2) {
		snprintf(name, sizeof(name), "l%d", i);
		made -= unlink(name) == 0;
	}
	V(made);
	S("l299");
}

SEQ(name, unlink_errors, "unlink unlinkat")
{
	mk("a", 1);
	mkd("d", 0755);
	N(symlink("d", "l"));
	R(unlink("d"));
	R(unlink("none"));
	R(unlink("a/"));
	R(unlink("a/b"));
	R(unlink("none/b"));
	R(unlink("."));
	R(unlink(".."));
	R(unlink(""));
	R(unlink("l/"));
	R(unlinkat(AT_FDCWD, "d", 0));
	R(unlinkat(AT_FDCWD, "a", AT_REMOVEDIR));
	R(unlinkat(AT_FDCWD, "a", 0x8000));
	R(unlink("l"));
	S("d");
	L(".");
}

SEQ(name, mkdir_errors, "mkdir")
{
	mk("a", 1);
	mkd("d", 0755);
	N(symlink("none", "l"));
	N(symlink("d", "k"));
	R(mkdir("d", 0755));
	R(mkdir("a", 0755));
	R(mkdir("a/b", 0755));
	R(mkdir("none/b", 0755));
	R(mkdir("l", 0755));
	R(mkdir("l/", 0755));
	R(mkdir("k", 0755));
	R(mkdir(".", 0755));
	R(mkdir("..", 0755));
	R(mkdir("d/..", 0755));
	R(mkdir("", 0755));
	R(mkdir("/", 0755));
	R(mkdir("e/", 0755));
	R(mkdir("f//", 0755));
	L(".");
	S(".");
}

static const char *const mkdir_modes[] = {"0000", "0077", "0111", "0222", "0444", "0500", "0555", "0711",
					  "0755", "0777", "1777", "2755", "4755", "7777", NULL};

SEQV(name, mkdir_mode, "mkdir umask", mkdir_modes)
{
	mode_t mode = (mode_t)strtol(mkdir_modes[v], NULL, 8);

	R(mkdir("d", mode));
	S("d");
	umask(0);
	R(mkdir("e", mode));
	S("e");
	umask(0277);
	R(mkdir("f", mode));
	S("f");
	L("e");
	mk("e/x", 1);
	L("e");
	umask(022);
	AS(OTHER)
	{
		R(mkdir("g", mode));
		S("g");
		R(mkdir("g/h", 0777));
		L("g");
		FD(open("g/f", O_CREAT | O_WRONLY, 0644));
		R(chmod("g", 0700));
		L("g");
		R(rmdir("g/h"));
		R(unlink("g/f"));
		R(chmod("g", mode));
		R(rmdir("g"));
	}
	L(".");
}

static const char *const file_modes[] = {"0000", "0007", "0070", "0200", "0400", "0444", "0640", "0666", "0711",
					 "0777", "1644", "2644", "2755", "4644", "4755", "6755", "7777", NULL};

SEQV(name, create_mode, "open mknod umask", file_modes)
{
	mode_t mode = (mode_t)strtol(file_modes[v], NULL, 8);
	int fd = FD(open("a", O_CREAT | O_EXCL | O_RDWR, mode));

	R(write(fd, "xyz", 3));
	SF(fd);
	S("a");
	R(mknod("b", S_IFREG | mode, 0));
	S("b");
	umask(0);
	R(mknod("p", S_IFIFO | mode, 0));
	S("p");
	R(close(open("c", O_CREAT | O_WRONLY, mode)));
	S("c");
	AS(OTHER)
	{
		fd = FD(open("d", O_CREAT | O_EXCL | O_RDWR, mode));
		R(write(fd, "xyz", 3));
		SF(fd);
		FD(open("d", O_RDWR));
		R(mknod("e", S_IFREG | mode, 0));
		S("e");
	}
}

SEQ(name, rmdir_errors, "rmdir")
{
	mk("a", 1);
	mkd("d", 0755);
	mkd("d/e", 0755);
	mkd("f", 0755);
	N(symlink("f", "l"));
	R(rmdir("a"));
	R(rmdir("d"));
	R(rmdir("none"));
	R(rmdir("a/b"));
	R(rmdir("."));
	R(rmdir("d/."));
	R(rmdir(".."));
	R(rmdir("d/.."));
	R(rmdir("d/e/.."));
	R(rmdir(""));
	R(rmdir("/"));
	R(rmdir("l"));
	R(rmdir("l/"));
	R(rmdir("f/"));
	R(rmdir("d/e"));
	R(rmdir("d"));
	L(".");
	S(".");
}

SEQ(name, directory_links, "mkdir rmdir rename stat")
{
	mkd("d", 0755);
	S("d");
	mkd("d/a", 0755);
	mkd("d/b", 0755);
	mkd("e", 0755);
	S("d");
	N(rename("d/a", "e/a"));
	S("d");
	S("e");
	N(rename("d/b", "e/a"));
	S("d");
	S("e");
	N(rmdir("e/a"));
	S("e");
	S(".");
	mkd("d/x", 0755);
	N(renameat2(AT_FDCWD, "d/x", AT_FDCWD, "e", RENAME_EXCHANGE));
	S("d");
	S("e");
	S("d/x");
}

static const char *const target_lengths[] = {"1", "59", "60", "100", "255", "256", "1000", "2000", "3039", NULL};

SEQV(name, symlink_length, "symlink readlink", target_lengths)
{
	size_t bytes = (size_t)atoi(target_lengths[v]);

	memset(big, 'x', bytes);
	big[bytes] = '\0';
	R(symlink(big, "l"));
	S("l");
	memset(big, 'y', 5000);
	R(readlink("l", big, 5000));
	V(big[bytes - 1] == 'x' && big[bytes] == 'y');
	R(readlink("l", big, 1));
	R(readlink("l", big, 0));
}

SEQ(name, symlink_longest, "symlink")
{
	memset(big, 'x', 5000);
	big[4096] = '\0';
	R(symlink(big, "a"));
	big[4095] = '\0';
	R(symlink(big, "b"));
	S("b");
	big[3040] = '\0';
	R(symlink(big, "c"));
	S("c");
	R(readlink("c", big, 5000));
}

SEQ(name, symlink_errors, "symlink readlink")
{
	mk("a", 1);
	mkd("d", 0755);
	R(symlink("", "l"));
	R(symlink("a", ""));
	R(symlink("a", "a"));
	R(symlink("a", "d"));
	R(symlink("a", "none/l"));
	R(symlink("a", "a/l"));
	R(symlink("a", "l/"));
	R(readlink("a", big, 10));
	R(readlink("d", big, 10));
	R(readlink("none", big, 10));
	R(symlink("/a//b/../c/./", "odd"));
	S("odd");
	L(".");
}

SEQ(name, symlink_mode, "symlink umask chmod")
{
	umask(0777);
	N(symlink("a", "l"));
	S("l");
	umask(022);
	R(fchmodat(AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW));
	S("l");
	AS(OTHER)
	{
		R(symlink("b", "m"));
		S("m");
		R(readlink("l", big, 10));
	}
}

static const char *const kinds[] = {"fifo", "socket", "char", "block", "regular", "zero", NULL};
static const mode_t kind_modes[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG, 0};

SEQV(name, mknod_kind, "mknod", kinds)
{
	mode_t mode = kind_modes[v] | 0640;
	dev_t device = makedev(240, 70000 & 0xfffff);

	R(mknod("a", mode, device));
	S("a");
	R(mknod("a", mode, device));
	AS(OTHER)
	{
		R(mknod("b", mode, device));
		S("b");
		R(mknod("a/c", mode, device));
	}
	L(".");
	T(chmod("a", 0604), "a", ".");
	T(chown("a", UID_OWNER, GID_GROUP), "a", ".");
	T(link("a", "c"), "a", ".");
	T(rename("a", "e"), "a", ".");
	S("c");
	T(unlink("c"), "e", ".");
	R(truncate("e", 5));
	R(utimensat(AT_FDCWD, "e", NULL, 0));
	R(access("e", R_OK | W_OK));
	R(unlink("e"));
	L(".");
}

SEQ(name, mknod_errors, "mknod")
{
	R(mknod("a", S_IFDIR | 0755, 0));
	R(mknod("b", S_IFLNK | 0777, 0));
	R(mknod("c", 0070000 | 0644, 0));
	R(mknod("none/c", S_IFIFO | 0644, 0));
	R(mknod("d/", S_IFIFO | 0644, 0));
	R(mknod("", S_IFIFO | 0644, 0));
	R(mknod(".", S_IFIFO | 0644, 0));
	L(".");
}

static const char *const lengths[] = {"1", "2", "143", "144", "175", "176", "177", "200", "254", "255", "256", NULL};

SEQV(name, length, "open mkdir symlink link rename unlink", lengths)
{
	size_t bytes = (size_t)atoi(lengths[v]);
	char a[300], b[300];

	memset(a, 'n', bytes);
	a[bytes] = '\0';
	memset(b, 'o', bytes);
	b[bytes] = '\0';
	FD(open(a, O_CREAT | O_WRONLY, 0644));
	S(a);
	R(link(a, b));
	R(unlink(a));
	R(rename(b, a));
	S(a);
	S(b);
	R(mkdir(b, 0755));
	R(rename(a, b));
	R(rename(b, "x"));
	R(rename("x", b));
	L(".");
	R(rmdir(b));
	R(symlink(a, b));
	R(readlink(b, big, 1000));
	R(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE));
	R(unlink(a));
	R(unlink(b));
	R(mknod(a, S_IFIFO | 0600, 0));
	S(a);
	R(access(b, F_OK));
	L(".");
}

static const char *const odd_names[] = {"\\",
					"\n",
					" ",
					"...",
					"-",
					"\xff\xfe",
					"xtsfs.dirid",
					"xtsfs.conf",
					"xtsfs.long.x",
					"\xc3\xa4",
					"a\x01"
					"b",
					"~",
					"lost+found",
					NULL};
static const char *const odd_labels[] = {"backslash", "newline", "blank", "dots",    "dash",  "not-utf8",   "dirid",
					 "conf",      "long",	 "utf8",  "control", "tilde", "lost-found", NULL};

SEQV(name, odd, "open mkdir rename unlink readdir", odd_labels)
{
	const char *name = odd_names[v];
	int names = 0, fd = FD(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644));

	R(close(fd));
	R(rename(name, "a"));
	R(rename("a", name));
	V(access(name, F_OK));
	R(unlink(name));
	R(mkdir(name, 0755));
	R(rmdir(name));
	R(symlink(name, "l"));
	V(readlink("l", big, 100) == (ssize_t)strlen(name) && memcmp(big, name, strlen(name)) == 0);
	V(names);
}

SEQ(name, case_matters, "open unlink")
{
	mk("a", 1);
	mk("A", 2);
	L(".");
	R(unlink("a"));
	S("A");
	S("a");
}
