/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparisons of the mount with the model.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *short_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int check_content(struct world *w, int fd, const struct node *node, const char *what)
{
	uint64_t offset = 0;

	for (;;) {
		ssize_t n = pread(fd, w->other, 64 * BLOCK, (off_t)offset);
		uint64_t left = node->bytes - offset, want = left < 64 * BLOCK ? left : 64 * BLOCK;

		if (result(n) != (long)want)
			return fail(w, "%s: reading all of %llu bytes: at %llu got %ld", short_name(what),
				    (unsigned long long)node->bytes, (unsigned long long)offset, result(n));
		if (n == 0)
			return 0;
		w->control->bytes += (uint64_t)n;
		if (memcmp(w->other, node->data + offset, want) != 0)
			for (uint64_t i = 0; i < want; i++)
				if (w->other[i] != node->data[offset + i])
					return fail(w, "%s: byte %llu of %llu is %02x, should be %02x",
						    short_name(what), (unsigned long long)(offset + i),
						    (unsigned long long)node->bytes, w->other[i],
						    node->data[offset + i]);
		offset += want;
	}
}

static mode_t type_bits(const struct node *node)
{
	static const mode_t bits[] = {[T_FILE] = S_IFREG, [T_DIR] = S_IFDIR, [T_LINK] = S_IFLNK, [T_FIFO] = S_IFIFO};

	return bits[node->type];
}

/*
 * Of a change the time is that of its start or later, less a second: where the kernel keeps times of its own it may,
 * while it writes one back, lose one that comes meanwhile (a truncation beside another process' syncfs).
 */
static bool time_fits(const struct node *node, const struct timespec *t)
{
	if (node->mtime_known == TIME_EXACT)
		return t->tv_sec == node->mtime.tv_sec && t->tv_nsec == node->mtime.tv_nsec;
	if (node->mtime_known == TIME_SINCE)
		return t->tv_sec + 1 > node->mtime.tv_sec ||
		       (t->tv_sec + 1 == node->mtime.tv_sec && t->tv_nsec >= node->mtime.tv_nsec);
	return true;
}

int check_stat(struct world *w, const struct stat *st, struct node *node, const char *what)
{
	mode_t mode = type_bits(node) | node->mode;
	uint64_t bytes = node->type == T_FILE ? node->bytes : node->type == T_LINK ? strlen(node->target) : 0;
	unsigned links = node->names;

	if (node->type == T_DIR) {
		links = w->dir_links ? 2 : 1;
		for (unsigned name = 0; w->dir_links && name < NAMES; name++)
			links += node->child[name] && node->child[name]->type == T_DIR;
	}
	what = short_name(what);
	if (st->st_mode != mode)
		return fail(w, "%s: mode is %o, should be %o", what, st->st_mode, mode);
	if (node == w->common)
		return 0; /* others change it, too */
	if (st->st_nlink != links)
		return fail(w, "%s: %lu links, should be %u", what, (unsigned long)st->st_nlink, links);
	if (st->st_uid != node->uid || st->st_gid != node->gid)
		return fail(w, "%s: owner is %u:%u, should be %u:%u", what, st->st_uid, st->st_gid, node->uid,
			    node->gid);
	if ((node->type == T_FILE || node->type == T_LINK) && (uint64_t)st->st_size != bytes)
		return fail(w, "%s: size is %lld, should be %llu", what, (long long)st->st_size,
			    (unsigned long long)bytes);
	if (!time_fits(node, &st->st_mtim))
		return fail(w, "%s: mtime is %lld.%09ld, should be %s %lld.%09ld", what, (long long)st->st_mtim.tv_sec,
			    st->st_mtim.tv_nsec, node->mtime_known == TIME_EXACT ? "exactly" : "at least",
			    (long long)node->mtime.tv_sec, node->mtime.tv_nsec);
	if (node->ino && st->st_ino != node->ino)
		return fail(w, "%s: inode is %llu, was %llu", what, (unsigned long long)st->st_ino,
			    (unsigned long long)node->ino);
	node->ino = st->st_ino;
	return 0;
}

static unsigned find_name(const struct world *w, const struct node *dir, const char *text)
{
	char have[256];

	for (unsigned name = 0; name < NAMES; name++) {
		if (!dir->child[name])
			continue;
		name_text(w, dir, name, have);
		if (strcmp(have, text) == 0)
			return name;
	}
	return NO_NAME;
}

static bool is_of_others(const struct world *w, const char *text)
{
	unsigned who;

	return sscanf(text, "p%u-", &who) == 1 && who < w->processes && who != w->who;
}

static int check_entry(struct world *w, struct node *dir, const struct dirent *entry, bool seen[NAMES])
{
	static const unsigned char types[] = {
		[T_FILE] = DT_REG, [T_DIR] = DT_DIR, [T_LINK] = DT_LNK, [T_FIFO] = DT_FIFO};
	unsigned name;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return 0;
	if (dir == w->common && is_of_others(w, entry->d_name))
		return 0;
	name = find_name(w, dir, entry->d_name);
	if (name == NO_NAME)
		return fail(w, "readdir shows %s, which should not be", entry->d_name);
	if (seen[name])
		return fail(w, "readdir shows %s twice", entry->d_name);
	seen[name] = true;
	if (entry->d_type != DT_UNKNOWN && entry->d_type != types[dir->child[name]->type])
		return fail(w, "readdir: type of %s is %u", entry->d_name, entry->d_type);
	return 0;
}

int check_list(struct world *w, struct node *dir, const char *path)
{
	bool seen[NAMES] = {false};
	struct dirent *entry;
	char text[256];
	int r = 0;
	DIR *open = opendir(path);

	if (!open)
		return fail(w, "opendir of %s gave %s", short_name(path), strerrorname_np(errno));
	do {
		errno = 0;
		entry = readdir(open);
		if (!entry && errno)
			r = fail(w, "readdir gave %s", strerrorname_np(errno));
		if (entry)
			r = check_entry(w, dir, entry, seen);
	} while (r == 0 && entry);
	closedir(open);
	for (unsigned name = 0; r == 0 && name < NAMES; name++)
		if (dir->child[name] && !seen[name]) {
			name_text(w, dir, name, text);
			r = fail(w, "readdir of %s does not show %s", short_name(path), text);
		}
	return r;
}

int check_xattrs(struct world *w, const struct node *node, const char *path)
{
	char name[32], value[1024];
	size_t names = 0;
	ssize_t n;

	for (unsigned i = 0; i < XATTRS; i++) {
		const struct xattr *x = &node->xattrs[i];

		snprintf(name, sizeof(name), "user.test%u", i);
		n = lgetxattr(path, name, value, sizeof(value));
		if (!x->value && n < 0 && errno == ENODATA)
			continue;
		if (!x->value || n != (ssize_t)x->bytes || memcmp(value, x->value, x->bytes) != 0)
			return fail(w, "%s: %s gives %ld, should be %ld", short_name(path), name, result(n),
				    x->value ? (long)x->bytes : (long)-ENODATA);
		names += strlen(name) + 1;
	}
	n = llistxattr(path, value, sizeof(value));
	if (n != (ssize_t)names)
		return fail(w, "%s: listxattr gives %ld, should be %zu", short_name(path), result(n), names);
	return 0;
}

static int check_link(struct world *w, const struct node *node, const char *path)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n != (ssize_t)strlen(node->target) || memcmp(target, node->target, (size_t)n) != 0)
		return fail(w, "%s: readlink gives %ld", short_name(path), result(n));
	return 0;
}

static int check_file(struct world *w, const struct node *node, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return fail(w, "%s: open gives %s", short_name(path), strerrorname_np(errno));
	r = check_content(w, fd, node, path);
	close(fd);
	return r;
}

static int check_tree(struct world *w, struct node *node, char *path, size_t used)
{
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return fail(w, "%s: stat gives %s", short_name(path), strerrorname_np(errno));
	r = check_stat(w, &st, node, path);
	if (r == 0 && (node->type == T_FILE || node->type == T_DIR) && node != w->common)
		r = check_xattrs(w, node, path);
	if (r == 0 && node->type == T_FILE)
		r = check_file(w, node, path);
	if (r == 0 && node->type == T_LINK)
		r = check_link(w, node, path);
	if (r < 0 || node->type != T_DIR)
		return r;
	r = check_list(w, node, path);
	for (unsigned name = 0; r == 0 && name < NAMES; name++) {
		char text[256];

		if (!node->child[name])
			continue;
		name_text(w, node, name, text);
		snprintf(path + used, PATH_ROOM - used, "/%s", text);
		r = check_tree(w, node->child[name], path, used + 1 + strlen(text));
		path[used] = 0;
	}
	return r;
}

int check_all(struct world *w)
{
	char path[PATH_ROOM];
	int r;

	for (unsigned i = 0; i < SLOTS; i++) {
		const struct slot *slot = &w->slots[i];

		if (slot->node && (slot->flags & O_ACCMODE) != O_WRONLY && !(slot->flags & O_DIRECT) &&
		    check_content(w, slot->fd, slot->node, "an open file") < 0)
			return -1;
	}
	snprintf(path, sizeof(path), "%s", w->top);
	r = check_tree(w, w->tree, path, strlen(path));
	if (r == 0) {
		snprintf(path, sizeof(path), "%s", w->common_path);
		r = check_tree(w, w->common, path, strlen(path));
	}
	return r;
}
