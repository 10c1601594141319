/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be seen of files, in words that do not depend on where they are.
 */
#include "parity.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>

#define MARKS 8

static struct {
	char path[64];
	int fd;
	struct stat st;
} marks[MARKS];
static int mark_count;
static struct timespec marked_at;

static const char *error_text(int error)
{
	return strerrorname_np(error);
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "reg";
	case S_IFDIR:
		return "dir";
	case S_IFLNK:
		return "lnk";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "sock";
	case S_IFCHR:
		return "chr";
	case S_IFBLK:
		return "blk";
	default:
		return "unknown";
	}
}

void stat_of(const char *path, const struct stat *st, int error)
{
	char what[300], size[40] = "", device[40] = "";

	snprintf(what, sizeof(what), "stat %s", path);
	if (error) {
		say(what, "%s", error_text(error));
		return;
	}
	if (!S_ISDIR(st->st_mode))
		snprintf(size, sizeof(size), " %lld", (long long)st->st_size);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		snprintf(device, sizeof(device), " %llx", (unsigned long long)st->st_rdev);
	say(what, "%s %04o links %lu %u:%u%s%s", type_name(st->st_mode), st->st_mode & 07777,
	    (unsigned long)st->st_nlink, st->st_uid, st->st_gid, size, device);
}

void S(const char *path)
{
	struct stat st;
	int error = lstat(path, &st) < 0 ? errno : 0;

	stat_of(path, &st, error);
}

void SF(int fd)
{
	struct stat st;
	int error = fstat(fd, &st) < 0 ? errno : 0;

	stat_of("(fd)", &st, error);
}

static void content(const char *what, int fd)
{
	uint64_t hash = 14695981039346656037ULL, bytes = 0;
	static unsigned char part[65536];
	ssize_t n;

	while ((n = pread(fd, part, sizeof(part), (off_t)bytes)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ part[i]) * 1099511628211ULL;
		bytes += (uint64_t)n;
	}
	if (n < 0)
		say(what, "%s", error_text(errno));
	else
		say(what, "%llu bytes %016llx", (unsigned long long)bytes, (unsigned long long)hash);
}

void CF(int fd)
{
	content("content (fd)", fd);
}

void C(const char *path)
{
	char what[300];
	int fd = open(path, O_RDONLY | O_NOFOLLOW);

	snprintf(what, sizeof(what), "content %s", path);
	if (fd < 0) {
		say(what, "%s", error_text(errno));
		return;
	}
	content(what, fd);
	close(fd);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void say_sorted(const char *what, char **texts, int count)
{
	static char line[4000];
	size_t used = 0;

	qsort(texts, (size_t)count, sizeof(*texts), by_text);
	line[0] = '\0';
	for (int i = 0; i < count; i++) {
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s", i ? " " : "", texts[i]);
		free(texts[i]);
		if (used >= sizeof(line))
			used = sizeof(line) - 1;
	}
	say(what, "[%s]", line);
}

void L(const char *path)
{
	static const char *const types[16] = {[DT_UNKNOWN] = "?", [DT_FIFO] = "p", [DT_CHR] = "c", [DT_DIR] = "d",
					      [DT_BLK] = "b",	  [DT_REG] = "f",  [DT_LNK] = "l", [DT_SOCK] = "s"};
	char what[300], *texts[1000];
	const struct dirent *entry;
	DIR *dir = opendir(path);
	int count = 0;

	snprintf(what, sizeof(what), "list %s", path);
	if (!dir) {
		say(what, "%s", error_text(errno));
		return;
	}
	for (errno = 0; (entry = readdir(dir)) && count < 1000; errno = 0) {
		bool dots = strcmp(entry->d_name, "..") == 0;
		struct stat st;
		bool differs = !dots && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			       st.st_ino != entry->d_ino;

		if (asprintf(&texts[count++], "%s:%s%s", entry->d_name, types[entry->d_type & 15],
			     differs ? "!ino" : "") < 0)
			exit(2);
	}
	if (errno)
		say(what, "%s", error_text(errno));
	else
		say_sorted(what, texts, count);
	closedir(dir);
}

void X(const char *path)
{
	static char list[65536], bytes[65536];
	char what[300], *texts[200];
	ssize_t n = llistxattr(path, list, sizeof(list));
	int count = 0;

	snprintf(what, sizeof(what), "xattrs %s", path);
	if (n < 0) {
		say(what, "%s", error_text(errno));
		return;
	}
	for (const char *name = list; name < list + n && count < 200; name += strlen(name) + 1) {
		ssize_t size = lgetxattr(path, name, bytes, sizeof(bytes));
		unsigned sum = 0;
		int r;

		for (ssize_t i = 0; i < size; i++)
			sum = sum * 31 + (unsigned char)bytes[i];
		if (size < 0)
			r = asprintf(&texts[count++], "%.60s:%s", name, error_text(errno));
		else
			r = asprintf(&texts[count++], "%.60s:%zd:%08x", name, size, sum);
		if (r < 0)
			exit(2);
	}
	say_sorted(what, texts, count);
}

void same(const char *a, const char *b)
{
	struct stat x, y;
	char what[300];

	snprintf(what, sizeof(what), "same %s %s", a, b);
	if (lstat(a, &x) < 0 || lstat(b, &y) < 0)
		say(what, "%s", error_text(errno));
	else
		say(what, "%s", x.st_ino == y.st_ino && x.st_dev == y.st_dev ? "yes" : "no");
}

void blocks(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char what[300];

	snprintf(what, sizeof(what), "blocks %s", path);
	if (fd < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0)
		say(what, "%s", error_text(errno));
	else
		say(what, "%s", st.st_blocks ? "some" : "none");
	if (fd >= 0)
		close(fd);
}

static bool before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Until the clock that stamps files is past now. It may be some ticks behind, and where a filesystem gives out fine
 * times (multigrain timestamps, Linux 6.13) other files are stamped with the last of these until it has caught up. */
void tick(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_REALTIME, &start);
	do {
		usleep(300);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (!before(&start, &now));
}

void mark(const char *path)
{
	need(mark_count < MARKS, "room for marks");
	snprintf(marks[mark_count].path, sizeof(marks[0].path), "%s", path);
	marks[mark_count].fd = open(path, O_PATH | O_NOFOLLOW);
	need(marks[mark_count].fd >= 0, "mark");
	need(fstat(marks[mark_count].fd, &marks[mark_count].st) == 0, "fstat of a mark");
	mark_count++;
}

void mark_all(const char *const *paths)
{
	for (; *paths; paths++)
		mark(*paths);
	tick();
	clock_gettime(CLOCK_REALTIME_COARSE, &marked_at);
}

static const char *moved(const struct timespec *then, const struct timespec *now, const char *yes)
{
	struct timespec limit;
	static char text[8][4];
	static unsigned at;

	if (then->tv_sec == now->tv_sec && then->tv_nsec == now->tv_nsec)
		return "-";
	clock_gettime(CLOCK_REALTIME, &limit);
	at = (at + 1) % 8;
	snprintf(text[at], sizeof(text[at]), "%s%s", yes, before(now, &marked_at) || before(&limit, now) ? "!" : "");
	return text[at];
}

void changed(void)
{
	for (int i = 0; i < mark_count; i++) {
		struct stat st;
		char what[100];

		snprintf(what, sizeof(what), "times %.60s", marks[i].path);
		if (fstat(marks[i].fd, &st) < 0)
			say(what, "%s", error_text(errno));
		else
			say(what, "%s%s%s", moved(&marks[i].st.st_atim, &st.st_atim, "a"),
			    moved(&marks[i].st.st_mtim, &st.st_mtim, "m"),
			    moved(&marks[i].st.st_ctim, &st.st_ctim, "c"));
		close(marks[i].fd);
	}
	mark_count = 0;
}

void fill(void *buffer, size_t bytes, unsigned seed)
{
	unsigned char *out = buffer;

	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1103515245U + 12345U;
		out[i] = (unsigned char)(seed >> 16) | 1U; /* no zeros: holes are seen */
	}
}

int op(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	need(fd >= 0, path);
	return fd;
}

void mk(const char *path, size_t bytes)
{
	static char part[65536];
	int fd = op(path, O_CREAT | O_WRONLY | O_TRUNC);

	for (size_t done = 0; done < bytes;) {
		size_t n = bytes - done < sizeof(part) ? bytes - done : sizeof(part);

		fill(part, n, (unsigned)done + 7);
		need(write(fd, part, n) == (ssize_t)n, "write");
		done += n;
	}
	close(fd);
}

void *nowhere(void)
{
	return (void *)1;
}

void mkm(const char *path, mode_t mode, int uid, int gid)
{
	mk(path, 10);
	N(chown(path, (uid_t)uid, (gid_t)gid));
	N(chmod(path, mode));
}

void mkd(const char *path, mode_t mode)
{
	N(mkdir(path, 0700));
	N(chmod(path, mode));
}

/* ---- ACLs: the format of the attribute is that of the kernel ---- */

size_t acl_make(const char *text, void *ret)
{
	unsigned char *out = ret;
	char copy[400], *save = NULL;
	size_t used = 4;

	memcpy(out, "\2\0\0\0", 4);
	snprintf(copy, sizeof(copy), "%s", text);
	for (const char *entry = strtok_r(copy, ",", &save); entry; entry = strtok_r(NULL, ",", &save)) {
		const char *rights = strrchr(entry, ':') + 1;
		bool named = entry[2] != ':';
		unsigned id = named ? (unsigned)atoi(entry + 2) : 0xffffffffU;
		unsigned tag = entry[0] == 'u'	 ? named ? 2U : 1U
			       : entry[0] == 'g' ? named ? 8U : 4U
			       : entry[0] == 'm' ? 0x10U
						 : 0x20U;
		uint16_t parts[2] = {(uint16_t)tag,
				     (uint16_t)((rights[0] == 'r') * 4 + (rights[1] == 'w') * 2 + (rights[2] == 'x'))};

		memcpy(out + used, parts, 4);
		memcpy(out + used + 4, &id, 4);
		used += 8;
	}
	return used;
}

static int set(const char *path, const char *attr, const char *text)
{
	char acl[400];

	return setxattr(path, attr, acl, acl_make(text, acl), 0);
}

int set_acl(const char *path, const char *text)
{
	return set(path, ACCESS_ACL, text);
}

int set_default_acl(const char *path, const char *text)
{
	return set(path, DEFAULT_ACL, text);
}

static void say_acl(const char *path, const char *attr, const char *kind)
{
	unsigned char acl[1000];
	ssize_t n = lgetxattr(path, attr, acl, sizeof(acl));
	char what[300], text[1000] = "";
	size_t used = 0;

	snprintf(what, sizeof(what), "%s acl %s", kind, path);
	if (n < 0) {
		say(what, "%s", error_text(errno));
		return;
	}
	for (ssize_t at = 4; at + 8 <= n; at += 8) {
		uint16_t parts[2];
		uint32_t id;
		char who[20] = "";

		memcpy(parts, acl + at, 4);
		memcpy(&id, acl + at + 4, 4);
		if (parts[0] == 2 || parts[0] == 8)
			snprintf(who, sizeof(who), "%u", id);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c:%s:%c%c%c", used ? "," : "",
					 parts[0] <= 2	    ? 'u'
					 : parts[0] <= 8    ? 'g'
					 : parts[0] == 0x10 ? 'm'
							    : 'o',
					 who, parts[1] & 4 ? 'r' : '-', parts[1] & 2 ? 'w' : '-',
					 parts[1] & 1 ? 'x' : '-');
	}
	say(what, "%s", text);
}

void A(const char *path)
{
	struct stat st;

	S(path);
	say_acl(path, ACCESS_ACL, "access");
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		say_acl(path, DEFAULT_ACL, "default");
}
