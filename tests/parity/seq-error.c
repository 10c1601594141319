/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of paths and limits that are the same for many calls.
 */
#include "parity.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static const char *const calls[] = {"open",	"creat",     "stat",	    "lstat",	     "access",	    "mkdir",
				    "rmdir",	"unlink",    "link-from",   "link-to",	     "rename-from", "rename-to",
				    "symlink",	"readlink",  "mknod",	    "chmod",	     "chown",	    "lchown",
				    "truncate", "utimes",    "statfs",	    "chdir",	     "opendir",	    "getxattr",
				    "setxattr", "listxattr", "removexattr", "exchange-from", "exchange-to", NULL};

static int call_it(int what, const char *path)
{
	struct stat st;
	struct statfs fs;
	int fd;

	switch (what) {
	case 0:
		return open(path, O_RDONLY) < 0 ? -1 : 0;
	case 1:
		return open(path, O_CREAT | O_WRONLY, 0644) < 0 ? -1 : 0;
	case 2:
		return stat(path, &st);
	case 3:
		return lstat(path, &st);
	case 4:
		return access(path, R_OK);
	case 5:
		return mkdir(path, 0755);
	case 6:
		return rmdir(path);
	case 7:
		return unlink(path);
	case 8:
		return link(path, "made");
	case 9:
		return link("other", path);
	case 10:
		return rename(path, "made");
	case 11:
		return rename("other", path);
	case 12:
		return symlink("x", path);
	case 13:
		return readlink(path, big, 100) < 0 ? -1 : 0;
	case 14:
		return mknod(path, S_IFIFO | 0644, 0);
	case 15:
		return chmod(path, 0600);
	case 16:
		return chown(path, 1, 1);
	case 17:
		return lchown(path, 1, 1);
	case 18:
		return truncate(path, 1);
	case 19:
		return utimes(path, NULL);
	case 20:
		return statfs(path, &fs);
	case 21:
		return chdir(path);
	case 22:
		fd = open(path, O_RDONLY | O_DIRECTORY);
		return fd < 0 ? -1 : 0;
	case 23:
		return getxattr(path, "user.x", big, 10) < 0 ? -1 : 0;
	case 24:
		return setxattr(path, "user.x", "1", 1, 0);
	case 25:
		return listxattr(path, big, 1000) < 0 ? -1 : 0;
	case 26:
		return removexattr(path, "user.x");
	case 27:
		return renameat2(AT_FDCWD, path, AT_FDCWD, "other", RENAME_EXCHANGE);
	default:
		return renameat2(AT_FDCWD, "other", AT_FDCWD, path, RENAME_EXCHANGE);
	}
}

/* Every call with every kind of path that does not lead anywhere. */
SEQV(error, path,
     "open stat access mkdir rmdir unlink link rename symlink readlink mknod chmod chown truncate utimensat statfs "
     "chdir setxattr getxattr",
     calls)
{
	static char long_path[4200], paths[14][300] = {"",	 "none",  "none/x",   "file/x",	   "file/..", "loop",
						       "loop/x", "file/", "dangling", "dangling/", "dir/.",   "shut/x"};

	mk("other", 1);
	mk("file", 1);
	mkd("dir", 0755);
	mkd("shut", 0700);
	N(symlink("loop", "loop"));
	N(symlink("missing", "dangling"));
	memset(paths[12], 'n', 256);
	snprintf(paths[13], sizeof(paths[13]), "none/%.256s", paths[12]);
	for (int i = 0; i < 14; i++) {
		say("path", "%.20s", paths[i]);
		CHILD
		{
			R(call_it(v, paths[i]));
		}
	}
	for (int i = 0; i < 4196; i += 2)
		memcpy(long_path + i, "./", 2);
	memcpy(long_path + 4089, "/file", 6); /* 4094 bytes */
	R(call_it(v, long_path));
	memcpy(long_path + 4091, "/file", 6); /* 4096 bytes: one too many */
	CHILD
	{
		R(call_it(v, long_path));
	}
	AS(OTHER)
	{
		R(call_it(v, "shut/x"));
	}
}

SEQ(error, many_symlinks, "open stat")
{
	char a[20], b[20];

	mk("l0", 1);
	for (int i = 1; i <= 41; i++) {
		snprintf(a, sizeof(a), "l%d", i - 1);
		snprintf(b, sizeof(b), "l%d", i);
		N(symlink(a, b));
	}
	FD(open("l39", O_RDONLY));
	FD(open("l40", O_RDONLY));
	FD(open("l41", O_RDONLY));
	FD(open("l41", O_RDONLY | O_NOFOLLOW));
	S("l41");
}

SEQ(error, other_filesystem, "link rename")
{
	mk("a", 1);
	R(link("a", "/proc/a"));
	R(rename("a", "/dev/shm/a"));
	R(link("/proc/self/status", "b"));
	R(rename("/proc/self/status", "b"));
	R(rename("/dev/null", "a"));
	L(".");
}

SEQ(error, size_limit, "write ftruncate fallocate")
{
	int fd;

	mk("f", 100);
	fd = op("f", O_RDWR);
	N(setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, RLIM_INFINITY}));
	R(pwrite(fd, big, 100, 8100));
	R(pwrite(fd, big, 100, 8192));
	R(pwrite(fd, big, 0, 8193));
	R(ftruncate(fd, 8193));
	R(ftruncate(fd, 8192));
	R(truncate("f", 9000));
	R(fallocate(fd, 0, 0, 9000));
	R(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 9000));
	R(pwrite(fd, big, 4096, 4096));
	R(ftruncate(fd, 100));
	S("f");
	AS(OTHER)
	{
		int own = FD(open("g", O_CREAT | O_RDWR, 0644));

		R(write(own, big, 100000));
		R(write(own, big, 1));
		SF(own);
	}
}

SEQ(error, largest_size, "ftruncate lseek pwrite")
{
	int fd;

	mk("f", 100);
	fd = op("f", O_RDWR);
	R(ftruncate(fd, -1));
	R(ftruncate(fd, INT64_MIN));
	R(truncate("f", -5));
	R(ftruncate(fd, 1LL << 40));
	S("f");
	R(pread(fd, big, 10, (1LL << 40) - 5));
	R(pwrite(fd, "end", 3, (1LL << 40) + 7));
	S("f");
	R(pread(fd, big, 10, (1LL << 40) + 5));
	R(ftruncate(fd, 100));
	C("f");
}

SEQ(error, too_large, "ftruncate pwrite")
{
	int fd;

	mk("f", 100);
	fd = op("f", O_RDWR);
	R(pwrite(fd, "x", 1, INT64_MAX));
	R(pwrite(fd, "xy", 2, INT64_MAX - 1));
	R(pread(fd, big, 1, INT64_MAX));
	S("f");
}

SEQ(error, largest_length, "ftruncate")
{
	int fd;

	mk("f", 100);
	fd = op("f", O_RDWR);
	R(ftruncate(fd, INT64_MAX));
	S("f");
}

SEQ(error, descriptors, "read write fsync ftruncate fallocate lseek")
{
	int r, w;

	mk("f", 10);
	r = op("f", O_RDONLY);
	w = op("f", O_WRONLY);
	R(read(w, big, 1));
	R(write(r, big, 1));
	R(ftruncate(r, 1));
	R(fallocate(r, 0, 0, 1));
	R(pwrite(r, big, 1, 0));
	R(pread(w, big, 1, 0));
	R(fsync(r));
	R(fdatasync(r));
	R(read(r, nowhere(), 1));
	R(write(w, nowhere(), 1));
	R(pread(r, big, 1, -1));
	R(pwrite(w, big, 1, -1));
	R(fsync(-1));
	R(lseek(r, -1, SEEK_SET));
	R(lseek(r, -11, SEEK_END));
	R(lseek(r, 0, 99));
	R(fchmod(r, 0600));
	R(fchown(r, 3, 3));
	S("f");
}

SEQ(error, link_limit, "link")
{
	static char name[20];
	int made = 0, error = 0;

	/* ext4 has 65000, xfs more: only that many are possible. */
	mk("a", 1);
	for (int i = 0; i < 2000 && !error; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		if (link("a", name) < 0)
			error = errno;
		else
			made++;
	}
	V(made);
	V(error);
	S("a");
}

SEQ(error, busy, "rmdir rename unlink mount")
{
	mkd("d", 0755);
	mkd("e", 0755);
	R(mount("none", "d", "tmpfs", 0, "size=64k"));
	R(rmdir("d"));
	R(unlink("d"));
	R(rename("d", "x"));
	R(rename("e", "d"));
	R(rename("d/..", "x"));
	R(renameat2(AT_FDCWD, "e", AT_FDCWD, "d", RENAME_EXCHANGE));
	R(link("d", "y"));
	R(umount("d"));
	R(rmdir("d"));
	L(".");
}

SEQ(error, statfs_fields, "statfs fstatfs")
{
	struct statvfs a, b;
	struct statfs f;
	int fd = op(".", O_RDONLY);

	R(statvfs(".", &a));
	R(fstatvfs(fd, &b));
	V(a.f_bsize);
	V(a.f_frsize);
	V(a.f_namemax);
	V(a.f_blocks > 1000);
	V(a.f_bfree <= a.f_blocks && a.f_bavail <= a.f_bfree);
	V(a.f_files > 100 && a.f_ffree <= a.f_files);
	V(a.f_blocks == b.f_blocks);
	V((a.f_flag & ~(4096UL | 1024 | 2048)));
	R(statfs(".", &f));
	V(f.f_namelen);
	V(f.f_bsize);
	V(f.f_frsize);
	say("type", "%lx", (unsigned long)f.f_type);
	V(f.f_fsid.__val[0] || f.f_fsid.__val[1]);
}
