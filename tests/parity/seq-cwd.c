/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Current directories, chroot, /proc names of descriptors, file handles.
 */
#include "parity.h"

static char base[4096];

/* The path below the sequence's directory. */
static void where(const char *what, const char *path)
{
	size_t n = strlen(base);

	say(what, "%s", !path ? strerrorname_np(errno) : strncmp(path, base, n) == 0 ? path + n : "elsewhere");
}

static void begin(void)
{
	need(getcwd(base, sizeof(base)) != NULL, "getcwd");
}

SEQ(cwd, after_rename, "chdir getcwd rename")
{
	begin();
	mkd("a", 0755);
	mkd("a/b", 0755);
	R(chdir("a/b"));
	where("cwd", getcwd(big, 4096));
	N(rename("../../a", "../../c"));
	where("cwd", getcwd(big, 4096));
	N(rename("../b", "../../d"));
	where("cwd", getcwd(big, 4096));
	mk("f", 1);
	R(chdir(".."));
	where("cwd", getcwd(big, 4096));
	L("d");
}

SEQ(cwd, after_rmdir, "chdir getcwd rmdir")
{
	begin();
	mkd("a", 0755);
	R(chdir("a"));
	R(rmdir("../a"));
	where("cwd", getcwd(big, 4096));
	FD(open("x", O_CREAT | O_WRONLY, 0644));
	R(mkdir("x", 0755));
	FD(open(".", O_RDONLY));
	S(".");
	L(".");
	R(access("..", F_OK));
	R(chdir("."));
	R(chdir(".."));
	where("cwd", getcwd(big, 4096));
}

SEQ(cwd, after_exchange_and_replace, "chdir getcwd rename:EXCHANGE")
{
	begin();
	mkd("a", 0755);
	mkd("b", 0755);
	mkd("b/c", 0755);
	R(chdir("a"));
	N(renameat2(AT_FDCWD, "../a", AT_FDCWD, "../b/c", RENAME_EXCHANGE));
	where("cwd", getcwd(big, 4096));
	N(rename("../../a", "../../b/c"));
	where("cwd", getcwd(big, 4096));
	FD(open("x", O_CREAT | O_WRONLY, 0644));
	S(".");
}

SEQ(cwd, permissions, "chdir fchdir")
{
	int fd;

	mkd("a", 0700);
	mk("f", 1);
	R(chdir("f"));
	R(chdir("none"));
	R(chdir(""));
	fd = op("f", O_RDONLY);
	R(fchdir(fd));
	fd = op("a", O_RDONLY);
	AS(OTHER)
	{
		R(chdir("a"));
		R(fchdir(fd));
	}
	AS(OTHER)
	{
		R(chdir(".."));
		R(chdir("/"));
	}
}

SEQ(cwd, chroot, "chroot")
{
	mkd("r", 0755);
	mkd("r/d", 0755);
	mk("r/f", 3);
	mk("out", 3);
	N(symlink("/f", "r/l"));
	N(symlink("../../../out", "r/up"));
	CHILD
	{
		R(chroot("r"));
		R(chdir("/"));
		L("/");
		C("/f");
		R(access("/l", F_OK));
		R(access("up", F_OK));
		R(access("../out", F_OK));
		R(mkdir("/d/e", 0755));
		say("cwd", "%s", getcwd(big, 4096));
	}
	R(chroot("r/f"));
	AS(OTHER)
	{
		R(chroot("r"));
	}
	L("r/d");
}

SEQ(cwd, names_of_descriptors, "readlink:/proc rename unlink")
{
	char path[64];
	int fd, dir;
	ssize_t n;

	begin();
	mk("f", 10);
	mkd("d", 0755);
	fd = op("f", O_RDWR);
	dir = op("d", O_RDONLY);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
#define LINK                                   \
	do {                                   \
		n = readlink(path, big, 4096); \
		need(n > 0, "readlink");       \
		big[n] = '\0';                 \
		where("link", big);            \
	} while (0)
	LINK;
	N(rename("f", "d/g"));
	LINK;
	N(rename("d", "e"));
	LINK;
	N(link("e/g", "h"));
	N(unlink("e/g"));
	LINK;
	SF(fd);
	R(close(open(path, O_RDONLY)));
	N(unlink("h"));
	LINK;
	FD(open(path, O_RDWR | O_TRUNC));
	SF(fd);
	R(chmod(path, 0600));
	SF(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	LINK;
	N(rmdir("e"));
	LINK;
}

static union {
	struct file_handle handle;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
} h;

SEQ(cwd, handles, "name_to_handle_at open_by_handle_at")
{
	int mount, dir = op(".", O_RDONLY), fd;

	mk("f", 100);
	mkd("d", 0755);
	h.handle.handle_bytes = 0;
	R(name_to_handle_at(AT_FDCWD, "f", &h.handle, &mount, 0));
	V(h.handle.handle_bytes > 0);
	h.handle.handle_bytes = MAX_HANDLE_SZ;
	R(name_to_handle_at(AT_FDCWD, "f", &h.handle, &mount, 0));
	fd = FD(open_by_handle_at(dir, &h.handle, O_RDWR));
	if (fd >= 0) {
		SF(fd);
		CF(fd);
		close(fd);
	}
	N(rename("f", "d/g"));
	fd = FD(open_by_handle_at(dir, &h.handle, O_RDONLY));
	if (fd >= 0)
		SF(fd);
	AS(OTHER)
	{
		FD(open_by_handle_at(dir, &h.handle, O_RDONLY));
	}
	if (fd >= 0)
		close(fd);
	N(unlink("d/g"));
	FD(open_by_handle_at(dir, &h.handle, O_RDONLY));
	h.handle.handle_bytes = MAX_HANDLE_SZ;
	R(name_to_handle_at(AT_FDCWD, "none", &h.handle, &mount, 0));
	R(name_to_handle_at(AT_FDCWD, "d", &h.handle, &mount, 0x8000));
}
