/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry that is no directory: is it there already, is something else there, or is it to be made; and afterwards, is
 * it the same.
 *
 * Everything is made whole under a part name and then renamed, so what has its own name is whole, and a later run has
 * only to look at it: type, size, time, mode and owner of a file, the text of a symlink. What is there and differs is
 * somebody else's, or an older version, and stays unless it is to be overwritten.
 */
#include "import.h"

#include "base/cleanup.h"
#include "format/ondisk.h"

#include <string.h>

enum presence { IS_ABSENT, IS_SAME, IS_OTHER, IS_DIRECTORY };

static bool is_same_owner(const struct import *x, const struct stat *a, const struct stat *b)
{
	return !x->is_root || (a->st_uid == b->st_uid && a->st_gid == b->st_gid);
}

/* The text of a symlink in the source. 0 or -errno. */
static int read_text(const struct import_source *source, char ret_text[static XTSFS_SYMLINK_MAX + 1])
{
	ssize_t n = readlinkat(source->fd, "", ret_text, XTSFS_SYMLINK_MAX + 1);

	if (n < 0)
		return -errno;
	if (n > (ssize_t)XTSFS_SYMLINK_MAX)
		return -ENAMETOOLONG;
	ret_text[n] = '\0';
	return 0;
}

/* Type and, but for content and attributes, what is there. @node has @there. */
static bool is_same_thing(struct import *x, const struct import_source *source, struct import_node *node,
			  const struct stat *there)
{
	char want[XTSFS_SYMLINK_MAX + 1], is[XTSFS_SYMLINK_MAX + 1];
	const struct stat *st = &source->st;

	if ((there->st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return false;
	if (S_ISLNK(st->st_mode))
		return read_text(source, want) == 0 && x->target->ops->readlink(x->target, node, is) >= 0 &&
		       strcmp(want, is) == 0;
	if (S_ISREG(st->st_mode))
		return there->st_size == st->st_size;
	return there->st_rdev == st->st_rdev || (!S_ISBLK(st->st_mode) && !S_ISCHR(st->st_mode));
}

/* *@ret_node for all but IS_ABSENT. -errno. */
static int look(struct import *x, struct import_task *task, const struct import_source *source,
		struct import_node **ret_node, struct stat *ret_stat)
{
	const struct stat *st = &source->st;
	int r = task->dir->node ? x->target->ops->lookup(x->target, task->dir->node, task->name, ret_node, ret_stat)
				: -ENOENT;

	if (r == -ENOENT)
		return IS_ABSENT;
	if (r < 0)
		return r;
	if (S_ISDIR(ret_stat->st_mode))
		return IS_DIRECTORY;
	if (!is_same_thing(x, source, *ret_node, ret_stat))
		return IS_OTHER;
	if (S_ISLNK(st->st_mode))
		return IS_SAME;
	if (ret_stat->st_mode != st->st_mode || !is_same_owner(x, ret_stat, st))
		return IS_OTHER;
	if (S_ISREG(st->st_mode) &&
	    (ret_stat->st_mtim.tv_sec != st->st_mtim.tv_sec || ret_stat->st_mtim.tv_nsec != st->st_mtim.tv_nsec))
		return IS_OTHER;
	return IS_SAME;
}

static bool is_special(const struct import_source *source)
{
	return !S_ISREG(source->st.st_mode) && !S_ISLNK(source->st.st_mode);
}

static void count_one(struct import_counts *counts, const struct stat *st)
{
	if (S_ISREG(st->st_mode)) {
		import_count(&counts->files, 1);
		import_count(&counts->bytes, (uint64_t)st->st_size);
	} else {
		import_count(S_ISLNK(st->st_mode) ? &counts->symlinks : &counts->special, 1);
	}
}

static int conflict(struct import *x, const struct import_task *task)
{
	import_tell(x, IMPORT_CONFLICT, task->path, "something else is there");
	return -EEXIST;
}

static int make_part(struct import *x, struct import_task *task, struct import_source *source, const char *part,
		     char *chunk)
{
	const struct import_target_ops *ops = x->target->ops;
	char text[XTSFS_SYMLINK_MAX + 1];
	struct import_node *node;
	int r = 0;

	if (S_ISREG(source->st.st_mode))
		return import_file_copy(x, task, source, part, chunk);
	if (S_ISLNK(source->st.st_mode)) {
		r = read_text(source, text);
		if (r == 0)
			r = ops->symlink(x->target, task->dir->node, part, text, &node);
	} else {
		r = ops->mknod(x->target, task->dir->node, part, (source->st.st_mode & S_IFMT) | 0600,
			       source->st.st_rdev, &node);
	}
	if (r < 0)
		return r;
	import_attr_set(x, source, node, task->path, chunk);
	ops->forget(x->target, node);
	return 0;
}

/* A part that is whole gets its name at once. Where everything can be made durable that is better than this file alone:
 * btrfs writes a log for one file, in which things around it have names without what is in them. */
static int name_part(struct import *x, struct import_task *task, const struct import_part *part,
		     const struct import_source *source)
{
	const struct import_target_ops *ops = x->target->ops;
	struct import_node *node;
	struct stat st;
	int r = 0;

	if (S_ISREG(source->st.st_mode) && ops->sync) {
		r = ops->sync(x->target);
	} else if (S_ISREG(source->st.st_mode)) {
		r = ops->lookup(x->target, task->dir->node, part->part, &node, &st);
		if (r == 0) {
			r = ops->fsync(x->target, node);
			ops->forget(x->target, node);
		}
	}
	if (r == 0)
		r = ops->rename(x->target, task->dir->node, part->part, part->name, part->replace);
	if (r < 0)
		(void)!ops->unlink(x->target, task->dir->node, part->part);
	else if (S_ISREG(source->st.st_mode))
		import_count(&x->copied.files, 1);
	return r;
}

static int make(struct import *x, struct import_task *task, struct import_source *source, bool replace, char *chunk)
{
	struct import_part part = {.dir = task->dir, .replace = replace};
	bool is_file = S_ISREG(source->st.st_mode);
	int r;

	snprintf(part.name, sizeof(part.name), "%s", task->name);
	import_part_name(x, part.part);
	r = make_part(x, task, source, part.part, chunk);
	if (r == 1) {
		import_tell(x, IMPORT_CHANGING, task->path, "it changed each time that it was read");
		return -EAGAIN;
	}
	if (r < 0)
		return r;
	if (is_file)
		import_count(&x->copied.bytes, (uint64_t)source->st.st_size);
	else
		count_one(&x->copied, &source->st);
	if (is_file && x->target->ops->sync && source->st.st_nlink < 2) {
		import_batch_add(x, &part, (uint64_t)source->st.st_size, chunk);
		return 0;
	}
	return name_part(x, task, &part, source);
}

static void failed(struct import *x, int r, const struct import_task *task)
{
	if (!import_is_fatal(x, r) && !import_was_told(x, task->path, /* and_not_kept= */ false))
		import_failed(x, r, "import", task->path);
}

/* Also where only attributes differ it is made anew when it is to be overwritten: then there is one way. 0 or -errno,
 * which was told. */
static int make_first(struct import *x, struct import_task *task, struct import_source *source, char *chunk)
{
	struct import_node *node;
	struct stat there;
	int r = look(x, task, source, &node, &there), is = r;

	if (r > 0)
		x->target->ops->forget(x->target, node);
	if (is == IS_SAME) {
		count_one(&x->same, &source->st);
		import_count(&x->progress.files, 1);
		import_count(&x->progress.known_bytes, S_ISREG(source->st.st_mode) ? (uint64_t)source->st.st_size : 0);
		return 0;
	}
	if (is == IS_DIRECTORY || (is == IS_OTHER && x->options->conflict != IMPORT_CONFLICT_OVERWRITE))
		return conflict(x, task);
	r = is < 0 ? is : make(x, task, source, is == IS_OTHER, chunk);
	import_count(&x->progress.files, 1);
	if (r == -EEXIST)
		return conflict(x, task);
	if (is_special(source) && (r == -EPERM || r == -EOPNOTSUPP))
		import_not_kept(x, IMPORT_SPECIAL, xtsfs_strerror(r), task->path);
	else if (r < 0 && r != -EINTR)
		failed(x, r, task);
	return r;
}

/* An earlier run may have made this name first, and so a file of its own. */
static bool may_be_replaced(struct import *x, struct import_task *task, const struct import_source *source, char *chunk)
{
	struct import_node *node;
	bool of_source, same;
	struct stat there;
	int is = look(x, task, source, &node, &there);

	if (is <= 0)
		return false;
	same = is == IS_SAME;
	if (same && S_ISREG(source->st.st_mode)) {
		same = x->target->ops->open(x->target, node) == 0;
		if (same) {
			same = import_file_compare(x, source, node, chunk, &of_source) == 1;
			x->target->ops->close(x->target, node);
		}
	}
	x->target->ops->forget(x->target, node);
	return same || (is == IS_OTHER && x->options->conflict == IMPORT_CONFLICT_OVERWRITE);
}

/* A further name of a file. 0 or -errno. */
static int make_link(struct import *x, struct import_task *task, const struct import_source *source,
		     const struct cli_link *link, char *chunk)
{
	const struct import_target_ops *ops = x->target->ops;
	xtsfs_auto_free char *first = NULL;
	struct import_node *node, *other;
	struct stat st, there;
	char part[64];
	int r;

	if (asprintf(&first, "%s/%s", link->dir, link->name) < 0) {
		first = NULL;
		return -ENOMEM;
	}
	r = import_lookup_path(x, first, &node, &st);
	if (r < 0)
		return r;
	r = ops->lookup(x->target, task->dir->node, task->name, &other, &there);
	if (r == 0) {
		ops->forget(x->target, other);
		if (there.st_dev == st.st_dev && there.st_ino == st.st_ino) {
			import_count(&x->same.links, 1);
		} else if (!may_be_replaced(x, task, source, chunk)) {
			r = -EEXIST;
		} else {
			import_part_name(x, part);
			r = ops->link(x->target, node, task->dir->node, part);
			if (r == 0)
				r = ops->rename(x->target, task->dir->node, part, task->name, /* replace= */ true);
			import_count(&x->copied.links, r == 0);
		}
	} else if (r == -ENOENT) {
		r = ops->link(x->target, node, task->dir->node, task->name);
		import_count(&x->copied.links, r == 0);
	}
	ops->forget(x->target, node);
	return r;
}

static void first_done(struct import *x, const struct import_task *task, struct cli_link *link, int r)
{
	struct import_node *node;
	struct stat st;

	if (r == 0)
		r = x->target->ops->lookup(x->target, task->dir->node, task->name, &node, &st);
	if (r == 0)
		x->target->ops->forget(x->target, node);
	cli_links_done(&x->links, link, r == 0 ? &st : NULL, task->dir->path, task->name);
}

static void copy(struct import *x, struct import_task *task, struct import_source *source, char *chunk)
{
	struct cli_link *link;
	bool first;
	int r;

	(void)import_attr_look(x, source, task->path);
	if (source->st.st_nlink < 2) {
		(void)make_first(x, task, source, chunk);
		return;
	}
	link = cli_links_find(&x->links, source->st.st_dev, source->st.st_ino, &first);
	if (!link) {
		failed(x, -ENOMEM, task);
		return;
	}
	if (first) {
		first_done(x, task, link, make_first(x, task, source, chunk));
		return;
	}
	r = make_link(x, task, source, link, chunk);
	if (r == -EMLINK || r == -EPERM || r == -EOPNOTSUPP || r == -ENOENT || r == -ENAMETOOLONG) {
		import_not_kept(x, IMPORT_LINK, xtsfs_strerror(r), task->path);
		(void)make_first(x, task, source, chunk);
	} else if (r == -EEXIST) {
		(void)conflict(x, task);
	} else if (r < 0) {
		failed(x, r, task);
	}
}

/* One of the names of a file that was counted already? */
static bool is_further_name(struct import *x, const struct import_task *task, const struct import_source *source)
{
	struct cli_link *link;
	bool first;

	if (source->st.st_nlink < 2)
		return false;
	link = cli_links_find(&x->links, source->st.st_dev, source->st.st_ino, &first);
	if (link && first)
		cli_links_done(&x->links, link, &source->st, task->dir->path, task->name);
	return link && !first;
}

static void look_only(struct import *x, struct import_task *task, struct import_source *source)
{
	char text[XTSFS_SYMLINK_MAX + 1];
	struct import_node *node;
	struct stat there;
	int is = look(x, task, source, &node, &there);

	(void)import_attr_look(x, source, task->path);
	if (is > 0)
		x->target->ops->forget(x->target, node);
	if (S_ISLNK(source->st.st_mode) && read_text(source, text) < 0) {
		import_failed(x, -ENAMETOOLONG, "import", task->path);
		return;
	}
	if (is < 0)
		import_failed(x, is, "look at", task->path);
	else if (is == IS_DIRECTORY || (is == IS_OTHER && x->options->conflict != IMPORT_CONFLICT_OVERWRITE))
		(void)conflict(x, task);
	else if (is_further_name(x, task, source))
		import_count(is == IS_SAME ? &x->same.links : &x->copied.links, 1);
	else
		count_one(is == IS_SAME ? &x->same : &x->copied, &source->st);
}

/* Does the file have its other names, too? */
static bool compare_link(struct import *x, struct import_task *task, const struct import_source *source,
			 const struct stat *there, bool *ret_first)
{
	struct cli_link *link = cli_links_find(&x->links, source->st.st_dev, source->st.st_ino, ret_first);

	if (!link) {
		(void)import_is_fatal(x, -ENOMEM);
		return false;
	}
	if (*ret_first) {
		cli_links_done(&x->links, link, there, task->dir->path, task->name);
		return true;
	}
	if (link->target_dev == there->st_dev && link->target_ino == there->st_ino)
		return true;
	*ret_first = true; /* a file of its own, to be compared */
	import_not_kept(x, IMPORT_LINK, "it is a file of its own", task->path);
	return false;
}

static bool compare_content(struct import *x, struct import_task *task, const struct import_source *source,
			    struct import_node *node, char *chunk)
{
	bool of_source;
	int r = x->target->ops->open(x->target, node);

	if (r == 0) {
		r = import_file_compare(x, source, node, chunk, &of_source);
		x->target->ops->close(x->target, node);
		if (r < 0 && of_source) {
			if (!import_is_fatal(x, r))
				import_failed(x, r, "read", task->path);
			return false;
		}
	}
	if (r < 0 && r != -EINTR)
		import_tell(x, IMPORT_DIFFERENT, task->path, "it cannot be read from the volume: %s",
			    xtsfs_strerror(r));
	else if (r == 0)
		import_tell(x, IMPORT_DIFFERENT, task->path, "the content is another");
	else if (r == 2)
		import_tell(x, IMPORT_CHANGING, task->path, "it changed while it was compared");
	return r == 1;
}

static void compare(struct import *x, struct import_task *task, struct import_source *source, char *chunk)
{
	bool same = true, first = true;
	struct import_node *node;
	struct stat there;
	int r;

	if (import_was_told(x, task->path, /* and_not_kept= */ false))
		return;
	r = x->target->ops->lookup(x->target, task->dir->node, task->name, &node, &there);
	if (r == -ENOENT && is_special(source) && import_was_told(x, task->path, /* and_not_kept= */ true))
		return; /* a device, which only root may make */
	if (r < 0) {
		import_tell(x, IMPORT_DIFFERENT, task->path, "%s",
			    r == -ENOENT ? "it is not there" : xtsfs_strerror(r));
		return;
	}
	if (!is_same_thing(x, source, node, &there)) {
		import_tell(x, IMPORT_DIFFERENT, task->path, "another type, size, text or device is there");
		x->target->ops->forget(x->target, node);
		return;
	}
	if (source->st.st_nlink > 1)
		same = compare_link(x, task, source, &there, &first);
	if (S_ISREG(source->st.st_mode) && first && !compare_content(x, task, source, node, chunk))
		same = false;
	else if (!import_attr_compare(x, source, node, task->path, chunk))
		same = false;
	if (first)
		count_one(&x->checked, &source->st);
	else
		import_count(&x->checked.links, 1);
	import_count(&x->progress.files, 1);
	if (same)
		import_remove_allow(x, source, task->path);
	x->target->ops->forget(x->target, node);
}

void import_entry(struct import *x, struct import_task *task, struct import_source *source, char *chunk)
{
	switch (x->phase) {
	case IMPORT_LOOK:
		look_only(x, task, source);
		break;
	case IMPORT_COPY:
		copy(x, task, source, chunk);
		break;
	case IMPORT_VERIFY:
		compare(x, task, source, chunk);
		break;
	case IMPORT_REMOVE:
		import_remove_entry(x, task, source);
		break;
	}
}
