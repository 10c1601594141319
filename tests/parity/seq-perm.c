/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: root, owner, member of the group, member by a supplementary group, others.
 */
#include "parity.h"

#include <dirent.h>
#include <sys/xattr.h>

static const char *const modes[] = {"0000", "0004", "0040", "0400", "0006", "0060", "0600", "0111", "0444",
				    "0555", "0666", "0070", "0707", "0640", "0751", "0777", NULL};

SEQV(perm, file, "open access chmod chown truncate setxattr utimensat", modes)
{
	mode_t mode = (mode_t)strtol(modes[v], NULL, 8);

	for (enum who who = ROOT; who < WHO_COUNT; who++) {
		mkm("f", mode, UID_OWNER, GID_GROUP);
		AS(who)
		{
			FD(open("f", O_RDONLY));
			FD(open("f", O_WRONLY));
			FD(open("f", O_RDWR));
			FD(open("f", O_WRONLY | O_CREAT | O_EXCL, 0644));
			FD(open("f", O_WRONLY | O_CREAT, 0644));
			R(access("f", R_OK));
			R(access("f", W_OK));
			R(access("f", X_OK));
			R(truncate("f", 3));
			R(utimensat(AT_FDCWD, "f", NULL, 0));
			R(utimensat(AT_FDCWD, "f", (struct timespec[2]){{5, 5}, {6, 6}}, 0));
			R(utimensat(AT_FDCWD, "f", (struct timespec[2]){{0, UTIME_OMIT}, {0, UTIME_NOW}}, 0));
			R(setxattr("f", "user.a", "1", 1, 0));
			R(getxattr("f", "user.a", big, 10));
			R(setxattr("f", "trusted.a", "1", 1, 0));
			R(getxattr("f", "trusted.a", big, 10));
			R(setxattr("f", "security.a", "1", 1, 0));
			R(chmod("f", mode));
			R(chown("f", (uid_t)-1, GID_GROUP));
			R(chown("f", (uid_t)-1, 20003));
			R(chown("f", UID_OTHER, (gid_t)-1));
			R(chown("f", (uid_t)-1, (gid_t)-1));
			R(link("f", "g"));
			R(unlink("g"));
			R(rename("f", "h"));
			R(rename("h", "f"));
		}
		S("f");
		X("f");
		N(unlink("f"));
		unlink("g");
	}
}

SEQV(perm, directory, "open mkdir unlink rename readdir lookup", modes)
{
	mode_t mode = (mode_t)strtol(modes[v], NULL, 8);

	for (enum who who = ROOT; who < WHO_COUNT; who++) {
		mkd("d", 0777);
		mkm("d/f", 0666, UID_OTHER, GID_OTHER);
		mkm("free", 0666, UID_OTHER, GID_OTHER);
		mkd("d/e", 0777);
		N(chown("d", UID_OWNER, GID_GROUP));
		N(chmod("d", mode));
		AS(who)
		{
			R(access("d", R_OK));
			R(access("d", W_OK));
			R(access("d", X_OK));
			FD(open("d", O_RDONLY | O_DIRECTORY));
			FD(open("d", O_PATH | O_DIRECTORY));
			R(chdir("d"));
			FD(open("d/f", O_RDONLY));
			FD(open("d/none", O_RDONLY));
			FD(open("d/new", O_CREAT | O_WRONLY, 0644));
			R(mkdir("d/dir", 0755));
			R(symlink("x", "d/link"));
			R(mknod("d/fifo", S_IFIFO | 0644, 0));
			R(rename("free", "d/free"));
			R(rename("d/f", "d/g"));
			R(rename("d/g", "g"));
			R(rename("d/e", "e"));
			R(unlink("d/new"));
			R(rmdir("d/dir"));
			R(unlink("d/none"));
			R(chmod("d", 0777));
			R(chmod("d", mode));
			R(rmdir("d"));
		}
		L("d");
		L(".");
		need(system("rm -rf d e g free") == 0, "rm");
	}
}

SEQ(perm, sticky, "unlink rename rmdir")
{
	for (enum who who = ROOT; who < WHO_COUNT; who++) {
		mkd("d", 01777);
		N(chown("d", 10002, 20003)); /* the member owns the directory */
		mkm("d/owner", 0666, UID_OWNER, GID_GROUP);
		mkm("d/other", 0666, UID_OTHER, GID_OTHER);
		mkd("d/dir", 0777);
		N(chown("d/dir", UID_OWNER, GID_GROUP));
		AS(who)
		{
			R(mknod("d/mine", S_IFREG | 0644, 0));
			R(rename("d/owner", "d/renamed"));
			R(rename("d/renamed", "d/owner"));
			R(rename("d/mine", "d/other"));
			R(renameat2(AT_FDCWD, "d/owner", AT_FDCWD, "d/other", RENAME_EXCHANGE));
			R(renameat2(AT_FDCWD, "d/owner", AT_FDCWD, "d/other", RENAME_EXCHANGE));
			R(unlink("d/owner"));
			R(unlink("d/other"));
			R(rmdir("d/dir"));
		}
		L("d");
		need(system("rm -rf d") == 0, "rm");
	}
}

SEQ(perm, sticky_parent_of_moved_directory, "rename")
{
	mkd("d", 01777);
	mkd("e", 0777);
	mkd("d/sub", 0755);
	N(chown("d/sub", UID_OWNER, GID_GROUP));
	AS(OTHER)
	{
		R(rename("d/sub", "e/sub"));
	}
	AS(OWNER)
	{
		R(rename("d/sub", "e/sub"));
	}
	/* The directory that moves must be writable: its ".." changes. */
	N(chmod("e/sub", 0555));
	AS(OWNER)
	{
		R(rename("e/sub", "d/sub"));
	}
	N(chown("e/sub", 0, 0));
	N(chmod("e/sub", 0755));
	AS(OTHER)
	{
		R(rename("e/sub", "d/sub"));
		R(rename("e/sub", "e/other"));
	}
}

static const char *const linkers[] = {"root", "owner", "member", "supplementary", "other", NULL};

SEQV(perm, protected_hardlinks, "link", linkers)
{
	mkm("plain", 0644, UID_OWNER, GID_GROUP);
	mkm("open", 0666, UID_OWNER, GID_GROUP);
	mkm("group", 0660, UID_OWNER, GID_GROUP);
	mkm("suid", 04777, UID_OWNER, GID_GROUP);
	mkm("sgid", 02777, UID_OWNER, GID_GROUP);
	N(mkfifo("fifo", 0666));
	N(chmod("fifo", 0666));
	N(symlink("plain", "symlink"));
	AS((enum who)v)
	{
		R(link("plain", "l1"));
		R(link("open", "l2"));
		R(link("group", "l3"));
		R(link("suid", "l4"));
		R(link("sgid", "l5"));
		R(link("fifo", "l6"));
		R(link("symlink", "l7"));
	}
	L(".");
}

SEQ(perm, new_files_owner, "open mkdir mknod symlink")
{
	for (enum who who = ROOT; who < WHO_COUNT; who++) {
		mkd("d", 0777);
		AS(who)
		{
			R(close(open("d/f", O_CREAT | O_WRONLY, 0666)));
			R(mkdir("d/d", 0777));
			R(symlink("x", "d/l"));
			R(mknod("d/p", S_IFIFO | 0666, 0));
			R(mknod("d/s", S_IFSOCK | 0666, 0));
			S("d/f");
			S("d/d");
			S("d/l");
			S("d/p");
			S("d/s");
		}
		need(system("rm -rf d") == 0, "rm");
	}
}

SEQ(perm, setgid_directory, "open mkdir mknod symlink chmod")
{
	for (enum who who = ROOT; who < WHO_COUNT; who++) {
		mkd("d", 0777);
		N(chown("d", UID_OWNER, GID_GROUP));
		N(chmod("d", 02777));
		AS(who)
		{
			R(close(open("d/f", O_CREAT | O_WRONLY, 0666)));
			R(close(open("d/x", O_CREAT | O_WRONLY, 02775)));
			R(close(open("d/n", O_CREAT | O_WRONLY, 02744)));
			R(mkdir("d/d", 0777));
			R(mkdir("d/e", 02777));
			R(symlink("x", "d/l"));
			R(mknod("d/p", S_IFIFO | 02777, 0));
			R(mknod("d/r", S_IFREG | 02777, 0));
			S("d/f");
			S("d/x");
			S("d/n");
			S("d/d");
			S("d/e");
			S("d/l");
			S("d/p");
			S("d/r");
			R(mkdir("d/d/inner", 0700));
			S("d/d/inner");
			R(chmod("d/f", 02777));
			S("d/f");
			R(chmod("d/d", 02755));
			S("d/d");
		}
		need(system("rm -rf d") == 0, "rm");
	}
}

SEQ(perm, access_real_and_effective, "access faccessat2")
{
	mkm("f", 0640, UID_OWNER, GID_GROUP);
	N(symlink("f", "l"));
	N(symlink("none", "x"));
	CHILD
	{
		N(setresgid(GID_OTHER, GID_GROUP, GID_GROUP));
		N(setresuid(UID_OTHER, UID_OWNER, UID_OWNER));
		R(access("f", R_OK));
		R(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
		R(faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS));
		R(faccessat(AT_FDCWD, "l", R_OK, AT_EACCESS));
		R(faccessat(AT_FDCWD, "l", R_OK, AT_SYMLINK_NOFOLLOW));
		R(faccessat(AT_FDCWD, "x", F_OK, 0));
		R(faccessat(AT_FDCWD, "x", F_OK, AT_SYMLINK_NOFOLLOW));
		R(faccessat(AT_FDCWD, "f", 8, 0));
		FD(open("f", O_RDWR));
	}
}

SEQ(perm, supplementary_group_only, "open mkdir rename unlink")
{
	mkd("d", 0770);
	N(chown("d", UID_OWNER, GID_GROUP));
	AS(SUPP)
	{
		R(close(open("d/f", O_CREAT | O_WRONLY, 0640)));
		S("d/f");
		R(mkdir("d/e", 0750));
		S("d/e");
		R(mkdir("d/e/f", 0700));
		R(symlink("x", "d/l"));
		R(rename("d/f", "d/g"));
		R(chown("d/g", (uid_t)-1, GID_GROUP));
		S("d/g");
		R(chmod("d/g", 02750));
		S("d/g");
		R(chown("d/g", (uid_t)-1, GID_OTHER));
		R(unlink("d/g"));
		L("d");
	}
	AS(OTHER)
	{
		FD(open("d/x", O_CREAT | O_WRONLY, 0640));
		R(unlink("d/l"));
		L("d");
	}
}

SEQ(perm, list_without_search, "readdir")
{
	mkd("d", 0755);
	mk("d/f", 1);
	N(chown("d", UID_OWNER, GID_GROUP));
	N(chmod("d", 0444));
	AS(OTHER)
	{
		L("d");
		S("d/f");
	}
	AS(OWNER)
	{
		L("d");
		S("d/f");
	}
	N(chmod("d", 0111));
	AS(OTHER)
	{
		L("d");
		S("d/f");
		C("d/f");
	}
}

SEQ(perm, rights_are_those_at_open, "read write chmod readdir")
{
	int fd, dir;

	mkm("f", 0666, 0, 0);
	mkd("d", 0755);
	mk("d/a", 1);
	fd = op("f", O_RDWR);
	dir = op("d", O_RDONLY);
	N(chmod("f", 0));
	N(chmod("d", 0));
	AS(OTHER)
	{
		R(write(fd, "abc", 3));
		R(pread(fd, big, 3, 0));
		R(ftruncate(fd, 100));
		R(fchmod(fd, 0666));
		R(fsync(fd));
		R(fdopendir(dir) ? 0 : -1);
		R(fchdir(dir));
		R(faccessat(dir, "a", F_OK, 0));
	}
	S("f");
}

SEQ(perm, owner_is_changed_while_open, "chown write")
{
	AS(OWNER)
	{
		int fd = FD(open("f", O_CREAT | O_RDWR, 0600));

		R(write(fd, "abc", 3));
		R(chown("f", UID_OTHER, (gid_t)-1));
		CHILD
		{
			R(pwrite(fd, "x", 1, 1));
		}
	}
	N(chown("f", UID_OTHER, GID_OTHER));
	AS(OTHER)
	{
		C("f");
		FD(open("f", O_RDWR));
	}
	AS(OWNER)
	{
		C("f");
	}
}
