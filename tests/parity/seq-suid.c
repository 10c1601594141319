/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setuid and setgid bits: which calls take them away, and from whom.
 */
#include "parity.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

static const char *const ways[] = {"write",	 "pwrite-inside", "truncate",	      "ftruncate",  "ftruncate-same",
				   "open-trunc", "fallocate",	  "fallocate-keep",   "punch",	    "zero-range",
				   "chown-same", "chown-minus",	  "chown-group",      "chmod-same", "chmod-bits",
				   "append",	 "mmap",	  "copy-range",	      "sendfile",   "utimes",
				   "setxattr",	 "write-nothing", "rename",	      "link",	    "direct",
				   "fsync",	 "acl",		  "truncate-shorter", "fchown",	    "chown-again",
				   NULL};

static void act(int v, enum who who)
{
	char *p;
	int fd = -1, other;

	if (v == 8 || v == 9 || v == 7 || v == 6 || v < 5)
		fd = FD(open("f", O_RDWR));
	switch (v) {
	case 0:
		R(write(fd, "abc", 3));
		break;
	case 1:
		R(pwrite(fd, "abc", 3, 2));
		break;
	case 2:
		R(truncate("f", 50));
		break;
	case 3:
		R(ftruncate(fd, 50));
		break;
	case 4:
		R(ftruncate(fd, 10));
		break;
	case 5:
		R(close(open("f", O_WRONLY | O_TRUNC)));
		break;
	case 6:
		R(fallocate(fd, 0, 0, 100));
		break;
	case 7:
		R(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000));
		break;
	case 8:
		R(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 5));
		break;
	case 9:
		R(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 5));
		break;
	case 10:
		R(chown("f", UID_OWNER, GID_GROUP));
		break;
	case 11:
		R(chown("f", (uid_t)-1, (gid_t)-1));
		break;
	case 12:
		R(chown("f", (uid_t)-1, 20003));
		break;
	case 13:
		R(chmod("f", 0777));
		break;
	case 14:
		R(chmod("f", 06777));
		break;
	case 15:
		fd = FD(open("f", O_WRONLY | O_APPEND));
		R(write(fd, "x", 1));
		break;
	case 16:
		fd = FD(open("f", O_RDWR));
		p = P(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
		if (p) {
			p[1] = 'x';
			R(msync(p, 4096, MS_SYNC));
		}
		break;
	case 17:
		fd = FD(open("f", O_RDWR));
		other = FD(open("source", O_RDONLY));
		R(copy_file_range(other, NULL, fd, NULL, 5, 0));
		break;
	case 18:
		fd = FD(open("f", O_RDWR));
		other = FD(open("source", O_RDONLY));
		R(sendfile(fd, other, NULL, 5));
		break;
	case 19:
		R(utimensat(AT_FDCWD, "f", NULL, 0));
		break;
	case 20:
		R(setxattr("f", "user.a", "1", 1, 0));
		break;
	case 21:
		fd = FD(open("f", O_WRONLY));
		R(write(fd, "", 0));
		break;
	case 22:
		R(rename("f", "g"));
		R(rename("g", "f"));
		break;
	case 23:
		R(link("f", "h"));
		break;
	case 24:
		fd = FD(open("f", O_RDWR | O_DIRECT));
		memset(big, 'd', 4096);
		p = P(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		if (p)
			R(write(fd, p, 4096));
		break;
	case 25:
		fd = FD(open("f", O_RDWR));
		R(fsync(fd));
		break;
	case 26:
		R(set_acl("f", "u::rwx,u:10009:r--,g::rwx,m::rwx,o::rwx"));
		break;
	case 27:
		R(truncate("f", 5));
		break;
	case 28:
		fd = FD(open("f", O_RDONLY));
		R(fchown(fd, UID_OWNER, GID_GROUP));
		break;
	default:
		R(chown("f", who == ROOT ? UID_OTHER : UID_OWNER, GID_GROUP));
	}
	if (fd >= 0)
		SF(fd);
}

static const mode_t suid_modes[] = {06777, 06767, 02666, 04755};

SEQV(suid, cleared, "write truncate chown fallocate chmod mmap copy_file_range open:TRUNC suid", ways)
{
	mk("source", 10);
	for (size_t i = 0; i < sizeof(suid_modes) / sizeof(suid_modes[0]); i++)
		for (enum who who = ROOT; who < WHO_COUNT; who++) {
			mkm("f", 0, UID_OWNER, GID_GROUP);
			N(chmod("f", suid_modes[i]));
			AS(who)
			{
				act(v, who);
			}
			S("f");
			N(unlink("f"));
			unlink("h");
		}
}

SEQ(suid, owner_not_in_the_group, "chmod chown suid")
{
	mkm("f", 0644, UID_OWNER, GID_OTHER);
	AS(OWNER)
	{
		R(chmod("f", 02755));
		S("f");
		R(chmod("f", 04755));
		S("f");
		R(chmod("f", 06755));
		S("f");
	}
	N(chmod("f", 06755));
	AS(OWNER)
	{
		R(set_acl("f", "u::rwx,u:10009:r--,g::r-x,m::r-x,o::r-x"));
		S("f");
		R(removexattr("f", ACCESS_ACL));
		S("f");
	}
	N(chmod("f", 02755));
	AS(OWNER)
	{
		/* An ACL that is only a mode. */
		R(set_acl("f", "u::rwx,g::r-x,o::r-x"));
		A("f");
	}
	mkd("d", 02755);
	N(chown("d", UID_OWNER, GID_OTHER));
	N(chmod("d", 02755));
	AS(OWNER)
	{
		R(set_acl("d", "u::rwx,u:10009:r-x,g::r-x,m::r-x,o::r-x"));
		A("d");
		R(set_default_acl("d", "u::rwx,g::r-x,o::---"));
		A("d");
		R(chmod("d", 02711));
		A("d");
	}
}

SEQ(suid, acl_by_members, "setxattr suid")
{
	for (enum who who = OWNER; who < WHO_COUNT; who++) {
		static const int uids[] = {0, UID_OWNER, 10002, 10003, UID_OTHER};

		mkm("f", 0755, uids[who], GID_GROUP);
		N(chmod("f", 06755));
		AS(who)
		{
			R(set_acl("f", "u::rwx,u:10009:r--,g::r-x,m::r-x,o::r-x"));
			A("f");
		}
		N(unlink("f"));
	}
}

SEQ(suid, cleared_while_cached, "write suid")
{
	int fd;

	mkm("f", 0, UID_OWNER, GID_GROUP);
	N(chmod("f", 06777));
	fd = op("f", O_RDWR);
	AS(OTHER)
	{
		R(write(fd, "abc", 3));
		S("f");
	}
	R(fsync(fd));
	SF(fd);
	N(chmod("f", 06777));
	AS(OTHER)
	{
		R(pwrite(fd, "abc", 3, 0));
	}
	close(fd);
	S("f");
	C("f");
}

SEQ(suid, capability, "write setxattr suid")
{
	/* VFS_CAP_REVISION_2, cap_net_raw */
	static const unsigned char cap[20] = {1, 0, 0, 2, 0, 0x20};
	int fd;

	mkm("f", 0777, UID_OWNER, GID_GROUP);
	R(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	X("f");
	AS(OTHER)
	{
		R(setxattr("f", "security.capability", cap, sizeof(cap), 0));
		fd = FD(open("f", O_WRONLY));
		R(write(fd, "x", 1));
	}
	X("f");
	R(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	R(truncate("f", 3));
	X("f");
	R(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	R(chown("f", UID_OWNER, GID_GROUP));
	X("f");
	R(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	fd = op("f", O_WRONLY);
	R(write(fd, "x", 1));
	X("f");
	R(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	R(fallocate(fd, 0, 0, 5000));
	X("f");
	R(setxattr("f", "security.capability", cap, 7, 0));
	X("f");
}

SEQ(suid, bits_of_directories, "chown chmod mkdir suid")
{
	mkd("d", 0777);
	N(chown("d", UID_OWNER, GID_GROUP));
	N(chmod("d", 06777));
	AS(OTHER)
	{
		R(mkdir("d/a", 0755));
		S("d/a");
	}
	S("d");
	AS(OWNER)
	{
		R(chown("d", (uid_t)-1, GID_GROUP));
		S("d");
		R(chmod("d", 07755));
		S("d");
	}
	R(chown("d", UID_OTHER, GID_OTHER));
	S("d");
}
