/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename and renameat2: what may go over what, what happens to those who have it open, and the flags.
 */
#include "parity.h"

/* One of each, by a letter: f file, d empty directory, D full one, l symlink to a file, L to a directory, p fifo, -
 * none */
static void make(const char *path, char kind)
{
	char inner[40];

	switch (kind) {
	case 'f':
		mk(path, 100);
		break;
	case 'D':
	case 'd':
		mkd(path, 0755);
		snprintf(inner, sizeof(inner), "%s/inner", path);
		if (kind == 'D')
			mk(inner, 1);
		break;
	case 'l':
		N(symlink("target", path));
		break;
	case 'L':
		N(symlink("dir", path));
		break;
	case 'p':
		N(mkfifo(path, 0600));
		break;
	default:
		break;
	}
}

static const char *const pairs[] = {"f-", "d-", "D-", "l-", "p-", "--", "ff", "fd", "fD", "fl", "fL",
				    "fp", "df", "dd", "dD", "dl", "dL", "dp", "Df", "Dd", "DD", "Dl",
				    "DL", "lf", "ld", "lD", "ll", "pf", "pd", "pp", "-f", "-d", NULL};

static void rename_pair(int v, unsigned flags)
{
	mk("target", 5);
	mkd("dir", 0755);
	make("a", pairs[v][0]);
	make("b", pairs[v][1]);
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", flags));
	S("a");
	S("b");
	L(".");
	L("b");
	S(".");
}

SEQV(rename, plain, "rename", pairs)
{
	rename_pair(v, 0);
}

SEQV(rename, noreplace, "rename:NOREPLACE", pairs)
{
	rename_pair(v, RENAME_NOREPLACE);
}

SEQV(rename, exchange, "rename:EXCHANGE", pairs)
{
	rename_pair(v, RENAME_EXCHANGE);
}

SEQV(rename, whiteout, "rename:WHITEOUT", pairs)
{
	rename_pair(v, RENAME_WHITEOUT);
}

static const char *const across[] = {"f-", "d-", "ff", "dd", "dD", "fd", "df", "DL", "ll", NULL};

SEQV(rename, between_directories, "rename", across)
{
	mkd("x", 0755);
	mkd("y", 0755);
	make("x/a", across[v][0]);
	make("y/b", across[v][1]);
	T(rename("x/a", "y/b"), "x", "y", "x/a");
	L("x");
	L("y");
	S("x");
	S("y");
	S("y/b");
}

SEQV(rename, exchange_between_directories, "rename:EXCHANGE", across)
{
	mkd("x", 0755);
	mkd("y", 0755);
	make("x/a", across[v][0]);
	make("y/b", across[v][1]);
	T(renameat2(AT_FDCWD, "x/a", AT_FDCWD, "y/b", RENAME_EXCHANGE), "x", "y", "x/a");
	L("x");
	L("y");
	S("x");
	S("y");
	S("x/a");
	S("y/b");
}

SEQ(rename, flags_together, "rename")
{
	mk("a", 1);
	mk("b", 2);
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT | RENAME_EXCHANGE));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 8));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE | RENAME_WHITEOUT));
	S("a");
	S("c");
	L(".");
}

SEQ(rename, itself, "rename")
{
	mk("a", 1);
	mkd("d", 0755);
	N(link("a", "b"));
	T(rename("a", "a"), "a", ".");
	T(rename("a", "b"), "a", "b", ".");
	S("a");
	S("b");
	R(rename("d", "d"));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "a", RENAME_NOREPLACE));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "a", RENAME_EXCHANGE));
	R(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT));
	R(renameat2(AT_FDCWD, "d", AT_FDCWD, "d", RENAME_EXCHANGE));
	L(".");
}

SEQ(rename, own_subtree, "rename")
{
	mkd("d", 0755);
	mkd("d/e", 0755);
	mkd("d/e/f", 0755);
	R(rename("d", "d/x"));
	R(rename("d", "d/e"));
	R(rename("d", "d/e/f"));
	R(rename("d", "d/e/x"));
	R(rename("d/e", "d"));
	R(rename("d/e/f", "d"));
	R(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE));
	R(renameat2(AT_FDCWD, "d/e/f", AT_FDCWD, "d", RENAME_EXCHANGE));
	R(rename("d", "d/."));
	R(rename("d/e/..", "x"));
	R(rename(".", "x"));
	R(rename("..", "x"));
	R(rename("d", "."));
	R(rename("d", ".."));
	L("d");
}

SEQ(rename, path_errors, "rename")
{
	mk("a", 1);
	mkd("d", 0755);
	N(symlink("loop", "loop"));
	R(rename("none", "b"));
	R(rename("a", "none/b"));
	R(rename("a", "a/b"));
	R(rename("a/b", "c"));
	R(rename("a/", "b"));
	R(rename("a", "b/"));
	R(rename("a", "d/"));
	R(rename("d", "e/"));
	R(rename("e/", "d"));
	R(rename("", "b"));
	R(rename("a", ""));
	R(rename("a", "loop/x"));
	R(rename("loop/x", "a"));
	R(rename("loop", "pool"));
	R(rename("a", "/proc/x"));
	R(rename("a", "/"));
	L(".");
}

SEQ(rename, over_open_file, "rename unlink write read")
{
	int a, b;

	mk("a", 100);
	mk("b", 200);
	a = op("a", O_RDWR);
	b = op("b", O_RDWR);
	T(rename("a", "b"), "a", "b", ".");
	SF(a);
	SF(b);
	CF(b);
	R(pwrite(b, "gone", 4, 300));
	R(pwrite(a, "here", 4, 300));
	CF(b);
	C("b");
	R(ftruncate(b, 10));
	SF(b);
	R(fchmod(b, 0600));
	SF(b);
	L(".");
}

SEQ(rename, over_hard_link, "rename link")
{
	mk("a", 10);
	mk("b", 20);
	N(link("b", "c"));
	T(rename("a", "b"), "c", "a", ".");
	S("b");
	S("c");
	C("c");
	N(link("b", "d"));
	T(rename("d", "e"), "b", ".");
	S("b");
	same("b", "e");
	T(renameat2(AT_FDCWD, "e", AT_FDCWD, "c", RENAME_EXCHANGE), "b", "c", ".");
	same("b", "c");
	S("e");
	T(unlink("c"), "b", ".");
	S("b");
}

SEQ(rename, hard_links_move, "rename link unlink")
{
	mkd("x", 0755);
	mkd("y", 0755);
	mk("x/a", 4000);
	N(link("x/a", "y/b"));
	N(rename("x/a", "y/c"));
	N(rename("y", "z"));
	same("z/b", "z/c");
	C("z/c");
	N(rename("z/b", "x/b"));
	N(rename("x", "z/x"));
	S("z/x/b");
	C("z/x/b");
	N(unlink("z/c"));
	S("z/x/b");
	C("z/x/b");
}

SEQ(rename, open_directory, "rename readdir openat")
{
	int d, e;

	mkd("d", 0755);
	mk("d/a", 10);
	mkd("e", 0755);
	d = op("d", O_RDONLY | O_DIRECTORY);
	e = op("e", O_RDONLY | O_DIRECTORY);
	N(rename("d", "e"));
	R(close(openat(d, "b", O_CREAT | O_WRONLY, 0644)));
	FD(openat(e, "b", O_CREAT | O_WRONLY, 0644));
	R(mkdirat(e, "b", 0755));
	R(symlinkat("x", e, "b"));
	R(faccessat(e, ".", F_OK, 0));
	R(faccessat(e, "..", F_OK, 0));
	SF(e);
	SF(d);
	L("e");
}

SEQ(rename, type_of_target, "rename")
{
	mk("f", 1);
	mkd("d", 0755);
	N(symlink("d", "l"));
	R(rename("f", "l/"));
	R(rename("d", "l"));
	R(rename("l", "f"));
	S("f");
	R(rename("f/", "k"));
	R(rename("d/", "k/"));
	L(".");
}

SEQ(rename, cycle_of_names, "rename")
{
	mk("a", 1);
	mk("b", 2);
	mk("c", 3);
	N(rename("a", "t"));
	N(rename("b", "a"));
	N(rename("c", "b"));
	N(rename("t", "c"));
	C("a");
	C("b");
	C("c");
	S("t");
	for (int i = 0; i < 50; i++)
		N(renameat2(AT_FDCWD, "a", AT_FDCWD, i % 2 ? "b" : "c", RENAME_EXCHANGE));
	C("a");
	C("b");
	C("c");
}

SEQ(rename, keeps_attributes, "rename setxattr chmod utimensat")
{
	const struct timespec times[2] = {{1000, 1}, {2000, 2}};
	struct stat st;

	mkm("a", 06755, UID_OWNER, GID_GROUP);
	N(utimensat(AT_FDCWD, "a", times, 0));
	R(rename("a", "b"));
	S("b");
	stat("b", &st);
	V(st.st_mtim.tv_sec);
	V(st.st_mtim.tv_nsec);
	V(st.st_atim.tv_sec);
}

SEQ(rename, times, "rename")
{
	mkd("x", 0755);
	mkd("y", 0755);
	mk("x/a", 1);
	mkd("x/d", 0755);
	mkd("x/d/e", 0755);
	mkd("y/d", 0755);
	T(rename("x/a", "x/b"), "x", "x/a", "y", ".");
	T(rename("x/b", "y/b"), "x", "x/b", "y", ".");
	T(rename("x/d", "x/c"), "x", "x/d", "x/d/e", "y");
	T(rename("x/c", "y/c"), "x", "x/c", "x/c/e", "y");
	T(rename("y/c", "y/d"), "y", "y/c", "y/d");
	T(renameat2(AT_FDCWD, "y/d", AT_FDCWD, "y/b", RENAME_EXCHANGE), "y", "y/d", "y/b");
	T(renameat2(AT_FDCWD, "y/b", AT_FDCWD, "x", RENAME_EXCHANGE), "y/b", "x", "y", ".");
	T(rename("none", "y/b"), "y", ".");
}
