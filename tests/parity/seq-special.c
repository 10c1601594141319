/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fifos, sockets, devices; programs; ioctls.
 */
#include "parity.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

SEQ(special, fifo, "mkfifo open read write")
{
	int r, w;

	R(mkfifo("p", 0644));
	R(mkfifo("p", 0644));
	FD(open("p", O_WRONLY | O_NONBLOCK));
	r = FD(open("p", O_RDONLY | O_NONBLOCK));
	w = FD(open("p", O_WRONLY | O_NONBLOCK));
	R(write(w, "through", 7));
	R(read(r, big, 100));
	R(read(r, big, 100));
	R(lseek(r, 0, SEEK_CUR));
	R(fsync(w));
	R(ftruncate(w, 0));
	SF(r);
	N(rename("p", "q"));
	R(write(w, "more", 4));
	N(unlink("q"));
	R(read(r, big, 100));
	SF(r);
	close(w);
	R(read(r, big, 100));
	FD(open("p", O_RDONLY | O_NONBLOCK | O_CREAT | O_EXCL, 0644));
}

SEQ(special, fifo_permissions, "open mkfifo")
{
	R(mkfifo("p", 0640));
	N(chown("p", UID_OWNER, GID_GROUP));
	for (enum who who = ROOT; who < WHO_COUNT; who++)
		AS(who)
		{
			FD(open("p", O_RDONLY | O_NONBLOCK));
			FD(open("p", O_RDWR | O_NONBLOCK));
			FD(open("p", O_RDWR | O_NONBLOCK | O_CREAT, 0600));
			FD(open("p", O_RDWR | O_NONBLOCK | O_TRUNC));
		}
	T(close(open("p", O_RDWR | O_NONBLOCK)), "p");
}

static int bind_to(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

static int connect_to(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

SEQ(special, unix_socket, "bind connect")
{
	int fd, accepted;

	fd = FD(bind_to("s", SOCK_STREAM));
	S("s");
	R(listen(fd, 5));
	R(connect_to("s", SOCK_STREAM));
	accepted = accept(fd, NULL, NULL);
	V(accepted >= 0);
	R(connect_to("s", SOCK_DGRAM));
	FD(bind_to("s", SOCK_STREAM));
	FD(open("s", O_RDONLY));
	FD(bind_to("none/s", SOCK_STREAM));
	N(chmod("s", 0600));
	AS(OTHER)
	{
		R(connect_to("s", SOCK_STREAM));
		FD(bind_to("t", SOCK_DGRAM));
		S("t");
	}
	N(rename("s", "r"));
	R(connect_to("s", SOCK_STREAM));
	R(connect_to("r", SOCK_STREAM));
	close(fd);
	R(connect_to("r", SOCK_STREAM));
	mk("f", 1);
	R(connect_to("f", SOCK_STREAM));
	R(unlink("r"));
	R(unlink("t"));
	L(".");
}

SEQ(special, device_numbers, "mknod stat")
{
	static const unsigned majors[] = {0, 1, 255, 256, 4095}, minors[] = {0, 3, 255, 256, 0xfffff};
	struct stat st;

	for (int i = 0; i < 5; i++) {
		R(mknod("c", S_IFCHR | 0600, makedev(majors[i], minors[i])));
		N(stat("c", &st));
		V(major(st.st_rdev));
		V(minor(st.st_rdev));
		N(unlink("c"));
	}
	R(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	N(chmod("null", 0666));
	AS(OTHER)
	{
		R(mknod("x", S_IFCHR | 0666, makedev(1, 3)));
		R(mknod("w", S_IFCHR | 0666, makedev(0, 0)));
		S("w");
	}
	S("null");
}

SEQ(special, program, "execve")
{
	int fd = op("script", O_CREAT | O_WRONLY);

	N(write(fd, "#!/bin/sh\nexit 5\n", 17));
	close(fd);
	V(WEXITSTATUS(system("./script 2>/dev/null")));
	N(chmod("script", 0755));
	V(WEXITSTATUS(system("./script")));
	N(chmod("script", 0111));
	AS(OTHER)
	{
		V(WEXITSTATUS(system("./script 2>/dev/null")));
	}
	N(system("cp /bin/true prog"));
	N(chmod("prog", 0111));
	AS(OTHER)
	{
		V(WEXITSTATUS(system("./prog")));
		R(access("prog", R_OK));
	}
	N(chmod("prog", 0644));
	V(WEXITSTATUS(system("./prog 2>/dev/null")));
	N(truncate("prog", 0));
	N(chmod("prog", 0755));
	R(execl("./prog", "prog", NULL));
	mk("text", 100);
	N(chmod("text", 0755));
	R(execl("./text", "text", NULL));
	R(execl(".", ".", NULL));
}

SEQ(special, setuid_program, "execve suid")
{
	N(system("cp /usr/bin/id prog"));
	N(chown("prog", UID_OWNER, GID_GROUP));
	N(chmod("prog", 06755));
	AS(OTHER)
	{
		FILE *out = popen("./prog -u; ./prog -g", "r");
		int uid = -1, gid = -1;

		if (out && fscanf(out, "%d %d", &uid, &gid) == 2) {
			V(uid);
			V(gid);
		}
	}
}

static const struct {
	const char *name;
	unsigned long request;
} requests[] = {{"getflags", FS_IOC_GETFLAGS},
		{"setflags", FS_IOC_SETFLAGS},
		{"getversion", FS_IOC_GETVERSION},
		{"fsgetxattr", FS_IOC_FSGETXATTR},
		{"fssetxattr", FS_IOC_FSSETXATTR},
		{"fiemap", FS_IOC_FIEMAP},
		{"fitrim", FITRIM},
		{"figetbsz", FIGETBSZ},
		{"fibmap", FIBMAP},
		{"fionread", FIONREAD},
		{"unknown", 0x1234abcd},
		{"freeze", FIFREEZE},
		{"tcgets", 0x5401}};
static const char *const request_names[] = {"getflags", "setflags", "getversion", "fsgetxattr", "fssetxattr",
					    "fiemap",	"fitrim",   "figetbsz",	  "fibmap",	"fionread",
					    "unknown",	"freeze",   "tcgets",	  NULL};

SEQV(special, ioctl, "ioctl", request_names)
{
	mk("f", 10000);
	mkd("d", 0755);
	for (int i = 0; i < 2; i++) {
		int fd = op(i ? "d" : "f", O_RDONLY);

		memset(big, 0, 4096);
		/* Freezing for real would stop the machine's filesystem. */
		if (v == 11) {
			AS(OTHER)
			{
				R(ioctl(fd, requests[v].request, big));
			}
		} else {
			R(ioctl(fd, requests[v].request, big));
		}
		AS(OTHER)
		{
			memset(big, 0, 4096);
			R(ioctl(fd, requests[v].request, big));
		}
		if (v == 7 || v == 9)
			V(*(int *)(void *)big);
	}
}

SEQ(special, inode_flags, "ioctl:SETFLAGS")
{
	int flags = 0, fd;

	mk("f", 10);
	fd = op("f", O_RDONLY);
	R(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= FS_NOATIME_FL;
	R(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags &= ~FS_NOATIME_FL;
	R(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}
