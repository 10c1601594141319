/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry that is not a directory, copied out: links, special files, and which name of a file comes first.
 *
 * A file with several names is copied under the first that is met; who meets another meanwhile waits for that. It is
 * then linked from where it was put, found again component by component without following a symlink, and the link is
 * looked at afterwards: it must be the very file.
 */
#include "extract.h"

#include "base/cleanup.h"
#include "format/ondisk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum link_state { LINK_BUSY, LINK_DONE, LINK_FAILED };

/* The first name of a file that has several. */
struct extract_link {
	struct extract_link *next;
	dev_t dev, target_dev;
	ino_t ino, target_ino;
	enum link_state state;
	char *dir; /* target path of the directory, "" for the base's */
	char name[256];
};

static void failed(struct extraction *x, int r, const struct extract_task *task)
{
	if (!extract_is_fatal(x, r))
		extract_failed(x, r, "extract", task->path);
}

static int make_symlink(struct extraction *x, struct extract_task *task)
{
	char target[XTSFS_SYMLINK_MAX + 1], there[XTSFS_SYMLINK_MAX + 2];
	int r = xtsfs_readlink(x->fs, task->node, target);
	ssize_t n;

	if (r < 0)
		return r;
	if (x->options->resume) {
		n = readlinkat(task->dir->fd, task->name, there, sizeof(there));
		if (n == (ssize_t)strlen(target) && memcmp(there, target, (size_t)n) == 0)
			return 1;
		(void)unlinkat(task->dir->fd, task->name, 0);
	}
	return symlinkat(target, task->dir->fd, task->name) < 0 ? -errno : 0;
}

static int make_special(struct extraction *x, struct extract_task *task)
{
	struct stat there;

	if (x->options->resume && fstatat(task->dir->fd, task->name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
		if (there.st_mode == task->st.st_mode && there.st_rdev == task->st.st_rdev)
			return 1;
		(void)unlinkat(task->dir->fd, task->name, 0);
	}
	return mknodat(task->dir->fd, task->name, task->st.st_mode, task->st.st_rdev) < 0 ? -errno : 0;
}

/* 0 or -errno; what was wrong is said. */
static int make_first(struct extraction *x, struct extract_task *task, char *chunk)
{
	bool is_link = S_ISLNK(task->st.st_mode);
	int r;

	if (S_ISREG(task->st.st_mode))
		return extract_file(x, task, chunk);
	r = is_link ? make_symlink(x, task) : make_special(x, task);
	if (r >= 0)
		extract_attributes(x, task->node, &task->st, -1, task->dir->fd, task->name, task->path, chunk);
	else if (!is_link && (r == -EPERM || r == -EOPNOTSUPP))
		extract_not_kept(x, EXTRACT_SPECIAL, r, false, task->path);
	else
		failed(x, r, task);
	return r < 0 ? r : 0;
}

/* A directory of the target by its path below the base: never through a symlink, never upwards. */
static int open_beneath(int base, const char *path)
{
	int fd = openat(base, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && *path) {
		size_t bytes = strcspn(path, "/");
		char name[256];
		int next;

		snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
		next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
		path += bytes;
		path += strspn(path, "/");
	}
	return fd < 0 ? -errno : fd;
}

static bool is_the_file(const struct extract_link *link, int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == link->target_dev &&
	       st.st_ino == link->target_ino;
}

static int make_link(struct extraction *x, struct extract_task *task, const struct extract_link *link)
{
	xtsfs_auto_fd from = -1;

	if (is_the_file(link, task->dir->fd, task->name)) {
		__atomic_add_fetch(&x->same, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (x->options->resume)
		(void)unlinkat(task->dir->fd, task->name, 0);
	from = open_beneath(x->base->fd, link->dir);
	if (from < 0)
		return from;
	if (linkat(from, link->name, task->dir->fd, task->name, 0) < 0)
		return -errno;
	if (is_the_file(link, task->dir->fd, task->name))
		return 0;
	(void)unlinkat(task->dir->fd, task->name, 0);
	return -ESTALE;
}

/* The record of this file; *@ret_first if its first name is ours to make. NULL without memory. */
static struct extract_link *find_link(struct extraction *x, const struct extract_task *task, bool *ret_first)
{
	struct extract_link **slot = &x->links[(task->st.st_ino * 0x9e3779b97f4a7c15ULL) >> 54], *link;

	xtsfs_guard_mutex(&x->mutex);
	for (link = *slot; link; link = link->next)
		if (link->ino == task->st.st_ino && link->dev == task->st.st_dev)
			break;
	while (link && link->state == LINK_BUSY)
		pthread_cond_wait(&x->linked, &x->mutex);
	if (link && link->state == LINK_DONE) {
		*ret_first = false;
		return link;
	}
	*ret_first = true;
	if (!link) {
		link = calloc(1, sizeof(*link));
		if (!link)
			return NULL;
		link->dev = task->st.st_dev;
		link->ino = task->st.st_ino;
		link->next = *slot;
		*slot = link;
	}
	link->state = LINK_BUSY;
	return link;
}

static void first_done(struct extraction *x, const struct extract_task *task, struct extract_link *link, int r)
{
	struct stat st;
	char *dir = strdup(task->dir->target);

	if (r == 0 && fstatat(task->dir->fd, task->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	xtsfs_guard_mutex(&x->mutex);
	if (r == 0 && dir) {
		free(link->dir);
		link->dir = xtsfs_take(dir);
		snprintf(link->name, sizeof(link->name), "%s", task->name);
		link->target_dev = st.st_dev;
		link->target_ino = st.st_ino;
		link->state = LINK_DONE;
	} else {
		link->state = LINK_FAILED;
	}
	free(dir);
	pthread_cond_broadcast(&x->linked);
}

void extract_entry(struct extraction *x, struct extract_task *task, char *chunk)
{
	struct extract_link *link;
	bool first;
	int r;

	if (task->st.st_nlink < 2) {
		(void)make_first(x, task, chunk);
		return;
	}
	link = find_link(x, task, &first);
	if (!link) {
		failed(x, -ENOMEM, task);
		return;
	}
	if (first) {
		first_done(x, task, link, make_first(x, task, chunk));
		return;
	}
	r = make_link(x, task, link);
	if (r == -EMLINK || r == -EPERM || r == -EOPNOTSUPP || r == -EXDEV || r == -ESTALE || r == -ENOENT) {
		extract_not_kept(x, EXTRACT_LINK, r, false, task->path);
		(void)make_first(x, task, chunk);
	} else if (r < 0) {
		failed(x, r, task);
	}
}

void extract_links_free(struct extraction *x)
{
	for (size_t i = 0; i < sizeof(x->links) / sizeof(x->links[0]); i++) {
		while (x->links[i]) {
			struct extract_link *link = x->links[i];

			x->links[i] = link->next;
			free(link->dir);
			free(link);
		}
	}
}
