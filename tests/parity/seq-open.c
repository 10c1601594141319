/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open and its flags.
 */
#include "parity.h"

#include <sys/syscall.h>
#include <sys/xattr.h>

#define FLAG(f)       \
	{             \
#f, f \
	}
static const struct {
	const char *name;
	int flags;
} flag_sets[] = {
	FLAG(O_RDONLY),
	FLAG(O_WRONLY),
	FLAG(O_RDWR),
	FLAG(O_WRONLY | O_APPEND),
	FLAG(O_RDONLY | O_TRUNC),
	FLAG(O_WRONLY | O_TRUNC),
	FLAG(O_CREAT | O_RDWR),
	FLAG(O_CREAT | O_RDONLY),
	FLAG(O_CREAT | O_EXCL | O_RDWR),
	FLAG(O_CREAT | O_TRUNC | O_RDWR),
	FLAG(O_CREAT | O_TRUNC | O_RDONLY),
	FLAG(O_CREAT | O_DIRECTORY | O_RDONLY),
	FLAG(O_DIRECTORY | O_RDONLY),
	FLAG(O_DIRECTORY | O_RDWR),
	FLAG(O_NOFOLLOW | O_RDONLY),
	FLAG(O_NOFOLLOW | O_RDWR),
	FLAG(O_PATH),
	FLAG(O_PATH | O_NOFOLLOW),
	FLAG(O_PATH | O_DIRECTORY),
	FLAG(O_RDWR | O_SYNC),
	FLAG(O_RDWR | O_DSYNC),
	FLAG(O_RDWR | O_DIRECT),
	FLAG(O_RDWR | O_NOATIME),
	FLAG(O_RDWR | O_NONBLOCK),
	FLAG(3),
};
static const char *const flag_names[] = {"rdonly",
					 "wronly",
					 "rdwr",
					 "append",
					 "rdonly-trunc",
					 "wronly-trunc",
					 "creat",
					 "creat-rdonly",
					 "excl",
					 "creat-trunc",
					 "creat-trunc-rdonly",
					 "creat-directory",
					 "directory",
					 "directory-rdwr",
					 "nofollow",
					 "nofollow-rdwr",
					 "path",
					 "path-nofollow",
					 "path-directory",
					 "sync",
					 "dsync",
					 "direct",
					 "noatime",
					 "nonblock",
					 "accmode3",
					 NULL};

SEQV(open, flags, "open", flag_names)
{
	static const char *const targets[] = {"file",  "dir",	 "link",    "dirlink", "dangling", "loop",
					      "none",  "file/",	 "dir/",    "link/",   "dirlink/", "dangling/",
					      "none/", "file/x", "dir/new", "."};
	int flags = flag_sets[v].flags;

	mk("file", 100);
	mkd("dir", 0755);
	N(symlink("file", "link"));
	N(symlink("dir", "dirlink"));
	N(symlink("missing", "dangling"));
	N(symlink("loop", "loop"));
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		int fd;

		say("target", "%s", targets[i]);
		fd = FD(open(targets[i], flags, 0600));
		if (fd < 0)
			continue;
		V(fcntl(fd, F_GETFL) & ~(O_RDWR | O_WRONLY | 0100000));
		SF(fd);
		R(write(fd, "abc", 3));
		R(read(fd, big, 2));
		R(lseek(fd, 0, SEEK_CUR));
		close(fd);
	}
	L(".");
	C("file");
	C("missing");
}

SEQ(open, excl_race, "open:EXCL")
{
	int fd = FD(open("a", O_CREAT | O_EXCL | O_WRONLY, 0644));

	FD(open("a", O_CREAT | O_EXCL | O_WRONLY, 0644));
	R(unlink("a"));
	FD(open("a", O_CREAT | O_EXCL | O_WRONLY, 0644));
	R(write(fd, "old", 3));
	SF(fd);
	S("a");
}

SEQ(open, no_mode_for_creator, "open write read")
{
	AS(OTHER)
	{
		int fd = FD(open("a", O_CREAT | O_RDWR, 0000));

		R(write(fd, "abc", 3));
		R(pread(fd, big, 3, 0));
		SF(fd);
		FD(open("a", O_RDONLY));
		R(ftruncate(fd, 8000));
		R(pread(fd, big, 9000, 0));
		R(fsync(fd));
		R(close(fd));
		S("a");
		R(chmod("a", 0400));
		fd = FD(open("a", O_RDONLY));
		R(read(fd, big, 9000));
		FD(open("a", O_RDWR));
	}
}

SEQ(open, mode_removed_while_open, "open chmod write")
{
	AS(OWNER)
	{
		int fd = FD(open("a", O_CREAT | O_RDWR, 0644));

		R(chmod("a", 0));
		R(write(fd, "abc", 3));
		R(pread(fd, big, 10, 0));
		FD(open("a", O_RDONLY));
		R(truncate("a", 1));
		R(ftruncate(fd, 2));
		R(fchmod(fd, 0444));
		FD(open("a", O_WRONLY));
		C("a");
		R(fsetxattr(fd, "user.x", "1", 1, 0));
	}
}

SEQ(open, append, "open:APPEND write pwrite")
{
	int a, b;

	mk("f", 10);
	a = op("f", O_WRONLY | O_APPEND);
	b = op("f", O_RDWR | O_APPEND);
	R(write(a, "1234", 4));
	R(lseek(a, 0, SEEK_CUR));
	R(write(b, "5678", 4));
	R(lseek(b, 0, SEEK_CUR));
	R(pwrite(a, "zz", 2, 0));
	R(lseek(a, 0, SEEK_SET));
	R(write(a, "y", 1));
	R(lseek(a, 0, SEEK_CUR));
	C("f");
	R(ftruncate(b, 5));
	R(write(a, "x", 1));
	C("f");
	R(fcntl(a, F_SETFL, 0));
	R(pwrite(a, "Q", 1, 0));
	C("f");
	R(fcntl(a, F_SETFL, O_APPEND));
	R(pwrite(a, "R", 1, 0));
	C("f");
}

SEQ(open, append_two_processes, "open:APPEND write")
{
	mk("f", 0);
	for (int i = 0; i < 20; i++) {
		int fd = op("f", O_WRONLY | O_APPEND);

		CHILD
		{
			need(write(fd, "child", 5) == 5, "write");
		}
		need(write(fd, "parent", 6) == 6, "write");
		close(fd);
	}
	C("f");
}

SEQ(open, trunc, "open:TRUNC")
{
	int fd;

	mk("f", 9000);
	fd = op("f", O_RDWR);
	T(close(open("f", O_WRONLY | O_TRUNC)), "f", ".");
	SF(fd);
	R(pread(fd, big, 10, 0));
	R(pwrite(fd, "x", 1, 5000));
	C("f");
	T(close(open("f", O_RDONLY | O_TRUNC)), "f");
	T(close(open("f", O_WRONLY | O_TRUNC)), "f");
	AS(OTHER)
	{
		FD(open("f", O_RDONLY | O_TRUNC));
	}
	S("f");
}

SEQ(open, path_descriptor, "open:PATH")
{
	char path[64], text[100];
	int fd, dir;
	struct stat st;

	mk("f", 10);
	mkd("d", 0711);
	N(symlink("f", "l"));
	fd = FD(open("f", O_PATH));
	R(read(fd, text, 1));
	R(write(fd, text, 1));
	R(ftruncate(fd, 1));
	R(fchmod(fd, 0600));
	R(fchown(fd, 1, 1));
	R(fsync(fd));
	R(lseek(fd, 0, SEEK_SET));
	R(fgetxattr(fd, "user.x", text, 10));
	SF(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	R(chmod(path, 0640));
	FD(open(path, O_RDWR));
	R(unlink("f"));
	SF(fd);
	FD(open(path, O_RDWR));
	R(truncate(path, 3));
	C(path);
	fd = FD(open("l", O_PATH | O_NOFOLLOW));
	SF(fd);
	R(readlinkat(fd, "", text, sizeof(text)));
	R(fchownat(fd, "", 5, 6, AT_EMPTY_PATH));
	R(fstatat(fd, "", &st, AT_EMPTY_PATH));
	V(st.st_uid);
	dir = FD(open("d", O_PATH | O_DIRECTORY));
	R(close(openat(dir, "x", O_CREAT | O_WRONLY, 0600)));
	R(fchdir(dir));
	L(".");
}

SEQ(open, noatime, "open:NOATIME")
{
	mkm("f", 0666, UID_OWNER, GID_GROUP);
	AS(OTHER)
	{
		FD(open("f", O_RDONLY | O_NOATIME));
		FD(open("f", O_RDONLY));
	}
	AS(OWNER)
	{
		FD(open("f", O_RDONLY | O_NOATIME));
	}
}

SEQ(open, text_busy, "open execve")
{
	int fd;

	R(system("cp /bin/true ./prog") == 0 ? 0 : -1);
	N(chmod("prog", 0755));
	fd = op("prog", O_WRONLY);
	V(WEXITSTATUS(system("./prog 2>/dev/null")));
	close(fd);
	V(WEXITSTATUS(system("./prog")));
	N(chmod("prog", 0644));
	V(WEXITSTATUS(system("./prog 2>/dev/null")));
}

SEQ(open, text_busy_while_running, "open execve unlink")
{
	int out[2];
	pid_t pid;

	N(pipe(out));
	R(system("cp /bin/cat ./prog") == 0 ? 0 : -1);
	N(chmod("prog", 0755));
	pid = fork();
	if (pid == 0) {
		dup2(out[0], 0);
		close(out[1]);
		execl("./prog", "prog", NULL);
		_exit(9);
	}
	/* It runs as soon as its name is that of the program. */
	for (int i = 0; i < 5000; i++) {
		char path[64], name[32] = "";
		int comm;

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		comm = op(path, O_RDONLY);
		need(read(comm, name, 31) > 0, "comm");
		close(comm);
		if (strcmp(name, "prog\n") == 0)
			break;
		usleep(1000);
	}
	FD(open("prog", O_WRONLY));
	FD(open("prog", O_RDWR | O_TRUNC));
	R(truncate("prog", 1));
	FD(open("prog", O_RDONLY));
	R(unlink("prog"));
	close(out[1]);
}

SEQ(open, tmpfile, "open:TMPFILE linkat")
{
	char path[64];
	int fd = FD(open(".", O_TMPFILE | O_RDWR, 0600));

	if (fd < 0)
		return;
	R(write(fd, "abc", 3));
	SF(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	R(linkat(AT_FDCWD, path, AT_FDCWD, "t", AT_SYMLINK_FOLLOW));
	S("t");
}

SEQ(open, tmpfile_errors, "open:TMPFILE")
{
	mk("f", 1);
	FD(open(".", O_TMPFILE | O_RDONLY, 0600));
	FD(open("f", O_TMPFILE | O_RDWR, 0600));
	FD(open("none", O_TMPFILE | O_RDWR, 0600));
	L(".");
}

static const char *const directory_ops[] = {"read", "write", "ftruncate", "mmap", "lseek", "fallocate", "sync", NULL};

SEQV(open, directory_as_file, "read write ftruncate fsync", directory_ops)
{
	int fd;

	mkd("d", 0755);
	fd = op("d", O_RDONLY);
	switch (v) {
	case 0:
		R(read(fd, big, 10));
		R(pread(fd, big, 10, 0));
		break;
	case 1:
		R(write(fd, big, 10));
		FD(open("d", O_WRONLY));
		FD(open("d", O_RDWR));
		break;
	case 2:
		R(ftruncate(fd, 0));
		R(truncate("d", 0));
		break;
	case 3:
		FD(open("d", O_RDONLY | O_TRUNC));
		break;
	case 4:
		R(lseek(fd, 0, SEEK_SET));
		R(lseek(fd, -1, SEEK_SET));
		R(lseek(fd, 0, SEEK_CUR));
		break;
	case 5:
		R(fallocate(fd, 0, 0, 10));
		R(posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL));
		break;
	default:
		R(fsync(fd));
		R(fdatasync(fd));
		R(syncfs(fd));
		R(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	}
}

static const char *const resolves[] = {"0",	  "no-xdev", "no-magiclinks", "no-symlinks",
				       "beneath", "in-root", "cached",	      NULL};

/* EAGAIN: somebody, anywhere on the machine, renames or mounts, and ".." could not be trusted. */
static int open_again(int dir, const char *path, const void *how, size_t bytes)
{
	int fd;

	for (unsigned tries = 0; (fd = (int)syscall(SYS_openat2, dir, path, how, bytes)) < 0 && errno == EAGAIN;
	     tries++)
		if (tries == 10000)
			break;
	return fd;
}

SEQV(open, openat2, "openat2", resolves)
{
	static const uint64_t bits[] = {0, 1, 2, 4, 8, 16, 32};
	struct {
		uint64_t flags, mode, resolve;
	} how = {O_RDONLY, 0, bits[v]};
	static const char *const paths[] = {"f",    "l",    "d/g",    "d/../f", "../x",
					    "/etc", "up/x", "d/dl/f", "none",	"./d/./g"};
	static const char *const labels[] = {"file",	 "symlink", "inside",	 "dot-dot", "outside",
					     "absolute", "link-up", "link-down", "none",    "dots"};
	int dir;

	mk("f", 1);
	mkd("d", 0755);
	mk("d/g", 1);
	N(symlink("f", "l"));
	N(symlink("..", "up"));
	N(symlink("..", "d/dl"));
	dir = op(".", O_PATH | O_DIRECTORY);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		say("path", "%s", labels[i]);
		/* What is cached is not the same everywhere: only that it is the file or EAGAIN. */
		if (v == 6)
			V(syscall(SYS_openat2, dir, paths[i], &how, sizeof(how)) >= 0 || errno == EAGAIN ||
			  errno == ENOENT);
		else
			FD(open_again(dir, paths[i], &how, sizeof(how)));
	}
	how.flags = O_CREAT | O_EXCL | O_WRONLY;
	how.mode = 0640;
	if (v < 6)
		FD((int)syscall(SYS_openat2, dir, "new", &how, sizeof(how)));
	how.mode = 010640;
	R(syscall(SYS_openat2, dir, "new2", &how, sizeof(how)));
	how.flags = O_RDONLY;
	R(syscall(SYS_openat2, dir, "f", &how, sizeof(how)));
	S("new");
}
