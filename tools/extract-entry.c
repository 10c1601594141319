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

static bool is_the_file(const struct cli_link *link, int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == link->target_dev &&
	       st.st_ino == link->target_ino;
}

static int make_link(struct extraction *x, struct extract_task *task, const struct cli_link *link)
{
	xtsfs_auto_fd from = -1;

	if (is_the_file(link, task->dir->fd, task->name)) {
		__atomic_add_fetch(&x->same, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (x->options->resume)
		(void)unlinkat(task->dir->fd, task->name, 0);
	from = cli_open_beneath(x->base->fd, link->dir);
	if (from < 0)
		return from;
	if (linkat(from, link->name, task->dir->fd, task->name, 0) < 0)
		return -errno;
	if (is_the_file(link, task->dir->fd, task->name))
		return 0;
	(void)unlinkat(task->dir->fd, task->name, 0);
	return -ESTALE;
}

static void first_done(struct extraction *x, const struct extract_task *task, struct cli_link *link, int r)
{
	struct stat st;

	if (r == 0 && fstatat(task->dir->fd, task->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	cli_links_done(&x->links, link, r == 0 ? &st : NULL, task->dir->target, task->name);
}

void extract_entry(struct extraction *x, struct extract_task *task, char *chunk)
{
	struct cli_link *link;
	bool first;
	int r;

	if (task->st.st_nlink < 2) {
		(void)make_first(x, task, chunk);
		return;
	}
	link = cli_links_find(&x->links, task->st.st_dev, task->st.st_ino, &first);
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
