/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX ACLs: setting, inheriting, the mask, chmod and umask beside them, and who may do what.
 */
#include "parity.h"

#include <sys/xattr.h>

static const char *const acls[] = {"u::rwx,g::r-x,o::r--",
				   "u::rw-,u:10004:r--,g::---,m::rw-,o::---",
				   "u::rw-,u:10004:rw-,g::r--,m::r--,o::---",
				   "u::---,u:10004:rwx,g::---,m::rwx,o::---",
				   "u::rw-,g::rw-,g:20003:rw-,m::rw-,o::---",
				   "u::rw-,g::---,g:20001:r--,m::r--,o::rw-",
				   "u::rw-,u:10002:---,g::rw-,m::rw-,o::rw-",
				   "u::rwx,u:10002:r-x,u:10003:-wx,g::r--,g:20004:--x,m::rwx,o::rwx",
				   "u::rw-,g::rw-,m::---,o::---",
				   NULL};
static const char *const acl_names[] = {"mode-only",
					"user-read",
					"masked",
					"not-the-owner",
					"group",
					"group-less-than-others",
					"user-less-than-others",
					"many",
					"mask-of-nothing",
					NULL};

SEQV(acl, access, "setxattr:acl open access", acl_names)
{
	mkm("f", 0640, UID_OWNER, GID_GROUP);
	R(set_acl("f", acls[v]));
	A("f");
	for (enum who who = ROOT; who < WHO_COUNT; who++)
		AS(who)
		{
			FD(open("f", O_RDONLY));
			FD(open("f", O_WRONLY));
			FD(open("f", O_RDWR));
			R(access("f", X_OK));
			R(set_acl("f", acls[v]));
			A("f");
		}
	R(chmod("f", 0660));
	A("f");
	R(chmod("f", 0604));
	A("f");
	AS(OTHER)
	{
		FD(open("f", O_RDONLY));
	}
	R(removexattr("f", ACCESS_ACL));
	A("f");
}

SEQV(acl, inherit, "setxattr:acl open mkdir mknod symlink umask", acl_names)
{
	mkd("d", 0777);
	N(chown("d", UID_OWNER, GID_GROUP));
	R(set_default_acl("d", acls[v]));
	A("d");
	for (int i = 0; i < 3; i++) {
		umask((mode_t[]){022, 0, 0777}[i]);
		for (enum who who = ROOT; who < WHO_COUNT; who += 4)
			AS(who)
			{
				R(close(open("d/f", O_CREAT | O_WRONLY, 0666)));
				A("d/f");
				R(close(open("d/g", O_CREAT | O_WRONLY, 0600)));
				A("d/g");
				R(mkdir("d/d", 0777));
				A("d/d");
				R(mkdir("d/d/d", 0750));
				A("d/d/d");
				R(mkdir("d/e", 0700));
				A("d/e");
				R(mknod("d/p", S_IFIFO | 0666, 0));
				A("d/p");
				R(mknod("d/r", S_IFREG | 0640, 0));
				A("d/r");
				R(symlink("x", "d/l"));
				S("d/l");
				X("d/l");
				umask(022);
				need(system("rm -rf d/* 2>/dev/null; true") == 0, "rm");
			}
		need(system("rm -rf d/*") == 0, "rm");
	}
}

SEQ(acl, inherit_in_setgid_directory, "setxattr:acl open mkdir")
{
	mkd("d", 0777);
	N(chown("d", UID_OWNER, GID_GROUP));
	N(chmod("d", 02777));
	N(set_default_acl("d", "u::rwx,u:10004:rwx,g::rwx,m::rwx,o::r-x"));
	for (enum who who = ROOT; who < WHO_COUNT; who++)
		AS(who)
		{
			char name[40];

			snprintf(name, sizeof(name), "d/f%u", who);
			R(close(open(name, O_CREAT | O_WRONLY, 02775)));
			A(name);
			snprintf(name, sizeof(name), "d/d%u", who);
			R(mkdir(name, 0777));
			A(name);
			snprintf(name, sizeof(name), "d/p%u", who);
			R(mknod(name, S_IFIFO | 02777, 0));
			A(name);
		}
}

SEQ(acl, errors, "setxattr:acl")
{
	char acl[400];
	size_t n;

	mk("f", 1);
	mkd("d", 0755);
	N(symlink("f", "l"));
	R(set_acl("f", "u::rwx,g::r-x"));
	R(set_acl("f", "u::rwx,u:5:r--,g::r-x,o::r--"));
	R(set_acl("f", "g::rwx,u::r-x,o::r--"));
	R(set_acl("f", "u::rwx,u:5:r--,u:5:r--,g::r-x,m::rwx,o::r--"));
	R(set_default_acl("f", "u::rwx,g::r-x,o::r--"));
	R(removexattr("f", ACCESS_ACL));
	R(removexattr("f", DEFAULT_ACL));
	R(removexattr("d", DEFAULT_ACL));
	R(removexattr("d", DEFAULT_ACL));
	R(getxattr("f", ACCESS_ACL, acl, sizeof(acl)));
	R(getxattr("f", DEFAULT_ACL, acl, sizeof(acl)));
	R(getxattr("d", DEFAULT_ACL, acl, sizeof(acl)));
	R(lsetxattr("l", ACCESS_ACL, acl, 0, 0));
	R(lgetxattr("l", ACCESS_ACL, acl, sizeof(acl)));
	R(setxattr("f", ACCESS_ACL, acl, 0, 0));
	R(setxattr("f", ACCESS_ACL, "\1\0\0\0", 4, 0));
	R(setxattr("f", ACCESS_ACL, "\2\0\0\0", 4, 0));
	R(setxattr("f", ACCESS_ACL, "\2\0\0\0x", 5, 0));
	n = acl_make("u::rwx,u:5:r--,g::r-x,m::rwx,o::---", acl);
	R(setxattr("f", ACCESS_ACL, acl, n, XATTR_REPLACE));
	R(setxattr("f", ACCESS_ACL, acl, n, XATTR_CREATE));
	R(setxattr("f", ACCESS_ACL, acl, n, XATTR_CREATE));
	R(setxattr("f", ACCESS_ACL, acl, n, XATTR_REPLACE));
	R(getxattr("f", ACCESS_ACL, acl, 10));
	R(getxattr("f", ACCESS_ACL, NULL, 0));
	A("f");
	X("f");
	AS(OTHER)
	{
		R(set_acl("f", "u::rwx,g::r-x,o::r--"));
		R(removexattr("f", ACCESS_ACL));
		A("f");
	}
}

SEQ(acl, chmod_and_mask, "setxattr:acl chmod")
{
	mk("f", 1);
	N(set_acl("f", "u::rwx,u:10004:rwx,g::r-x,m::rwx,o::---"));
	R(chmod("f", 0700));
	A("f");
	AS(OTHER)
	{
		FD(open("f", O_RDONLY));
	}
	R(chmod("f", 0740));
	A("f");
	AS(OTHER)
	{
		FD(open("f", O_RDONLY));
		FD(open("f", O_WRONLY));
	}
	R(chmod("f", 06777));
	A("f");
	R(set_acl("f", "u::rw-,g::r--,o::r--"));
	A("f");
	R(set_acl("f", "u::rw-,u:7:rwx,g::rwx,m::--x,o::rwx"));
	A("f");
}

SEQ(acl, list_names, "listxattr setxattr:acl")
{
	mk("f", 1);
	mkd("d", 0755);
	N(set_acl("f", "u::rwx,u:10004:rwx,g::r-x,m::rwx,o::---"));
	N(setxattr("f", "user.a", "1", 1, 0));
	X("f");
	N(set_default_acl("d", "u::rwx,g::r-x,o::---"));
	X("d");
	N(set_acl("d", "u::rwx,u:10004:rwx,g::r-x,m::rwx,o::---"));
	X("d");
	R(set_acl("f", "u::rwx,g::r-x,o::---"));
	X("f");
}

SEQ(acl, on_directories, "setxattr:acl open mkdir unlink readdir")
{
	mkd("d", 0700);
	mk("d/f", 1);
	N(chown("d", UID_OWNER, GID_GROUP));
	N(set_acl("d", "u::rwx,u:10004:r-x,g::---,g:20003:rwx,m::rwx,o::---"));
	for (enum who who = OWNER; who < WHO_COUNT; who++)
		AS(who)
		{
			L("d");
			S("d/f");
			FD(open("d/new", O_CREAT | O_WRONLY, 0644));
			R(unlink("d/new"));
			R(mkdir("d/sub", 0755));
			R(rmdir("d/sub"));
		}
	N(chmod("d", 0750));
	A("d");
	AS(SUPP)
	{
		FD(open("d/new", O_CREAT | O_WRONLY, 0644));
	}
}

SEQ(acl, with_rename_and_link, "setxattr:acl rename link")
{
	mkd("d", 0755);
	N(set_default_acl("d", "u::rwx,u:10004:rwx,g::rwx,m::rwx,o::r-x"));
	mk("f", 1);
	N(rename("f", "d/f"));
	A("d/f");
	mk("d/g", 1);
	N(rename("d/g", "g"));
	A("g");
	mkd("e", 0755);
	N(rename("e", "d/e"));
	A("d/e");
	N(link("g", "d/h"));
	A("d/h");
}

SEQ(acl, descriptor, "fsetxattr:acl")
{
	char acl[400];
	int fd;

	mk("f", 1);
	fd = op("f", O_RDWR);
	R(fsetxattr(fd, ACCESS_ACL, acl, acl_make("u::rw-,u:3:r--,g::r--,m::rw-,o::---", acl), 0));
	SF(fd);
	N(unlink("f"));
	R(fchmod(fd, 0600));
	SF(fd);
	R(fgetxattr(fd, ACCESS_ACL, acl, sizeof(acl)));
	R(fremovexattr(fd, ACCESS_ACL));
	SF(fd);
}
