/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the source: workers, and directories from their first look to their last attribute.
 *
 * Each task is one entry. A directory's task finds or makes it in the target, and queues what is in it. It gets its
 * attributes when the last of its entries is done, since each would change its time, and its mode may forbid them.
 * Until then it has a mark, an extended attribute: so a later run knows a directory that an import has begun from one
 * that somebody has made, and sets the attributes of the former only.
 */
#include "import.h"

#include "cli-run.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

bool import_stopped(struct import *x)
{
	return cli_interrupted || __atomic_load_n(&x->fatal, __ATOMIC_RELAXED) < 0;
}

bool import_is_fatal(struct import *x, int error)
{
	if (error != -ENOSPC && error != -EDQUOT && error != -EROFS && error != -ENOMEM && error != -EMFILE &&
	    error != -ENFILE)
		return false;
	__atomic_store_n(&x->fatal, error, __ATOMIC_RELAXED);
	return true;
}

char *import_path_in(const struct import_dir *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s%s%s", dir->path, dir->path[0] ? "/" : "", name) < 0 ? NULL : path;
}

static void free_dir(struct import *x, struct import_dir *dir)
{
	if (dir->node)
		x->target->ops->forget(x->target, dir->node);
	if (dir->fd >= 0)
		close(dir->fd);
	import_source_close(&dir->source);
	free(dir->path);
	free(dir);
}

static void only_times(struct import *x, struct import_dir *dir)
{
	const struct import_target_ops *ops = x->target->ops;
	struct xtsfs_setattr set = {.times = {{.tv_nsec = UTIME_OMIT}, dir->source.st.st_mtim}};
	struct stat st;

	if (ops->getattr(x->target, dir->node, &st) == 0 && st.st_mtim.tv_sec == set.times[1].tv_sec &&
	    st.st_mtim.tv_nsec == set.times[1].tv_nsec)
		return;
	(void)!ops->setattr(x->target, dir->node, &set); /* comparing tells */
}

static void finish_copied(struct import *x, struct import_dir *dir, char *chunk)
{
	const struct import_target_ops *ops = x->target->ops;

	if (dir->taken)
		import_attr_set(x, &dir->source, dir->node, dir->path, chunk);
	else if (!dir->foreign)
		only_times(x, dir);
	if (dir->taken)
		(void)!ops->removexattr(x->target, dir->node, IMPORT_MARK);
	if (!ops->sync && ops->fsync(x->target, dir->node) < 0)
		__atomic_store_n(&x->fatal, -EIO, __ATOMIC_RELAXED);
}

static void finish_dir(struct import *x, struct import_dir *dir, char *chunk)
{
	if (dir->fd < 0)
		return; /* it could not be read */
	if (x->phase == IMPORT_COPY) {
		finish_copied(x, dir, chunk);
	} else if (x->phase == IMPORT_VERIFY) {
		import_count(&x->checked.directories, 1);
		if (!import_was_told(x, dir->path, /* and_not_kept= */ false) &&
		    import_attr_compare(x, &dir->source, dir->node, dir->path, chunk))
			import_remove_allow(x, &dir->source, dir->path);
	} else if (x->phase == IMPORT_REMOVE) {
		import_remove_dir(x, dir);
	}
}

void import_entry_done(struct import *x, struct import_dir *dir, char *chunk)
{
	while (dir && __atomic_sub_fetch(&dir->pending, 1, __ATOMIC_ACQ_REL) == 0) {
		struct import_dir *parent = dir->parent;

		if (!import_stopped(x))
			finish_dir(x, dir, chunk);
		free_dir(x, dir);
		dir = parent;
	}
}

#define MARK_MODE 01700

struct names {
	struct import *x;
	struct import_dir *dir;
	bool any;
};

static int note_any(void *data, const char *name)
{
	struct names *names = data;

	(void)name;
	names->any = true;
	return 1;
}

static bool is_empty(struct import *x, struct import_node *node)
{
	struct names names = {.x = x};

	return x->target->ops->list(x->target, node, note_any, &names) == 0 && !names.any;
}

static struct xtsfs_setattr only_mode(mode_t mode)
{
	return (struct xtsfs_setattr){
		.mode_set = true, .mode = mode, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
}

static bool is_marked(struct import *x, struct import_node *node, const struct stat *st)
{
	char value[8];

	return (st->st_mode & 07777) == MARK_MODE ||
	       x->target->ops->getxattr(x->target, node, IMPORT_MARK, value, sizeof(value)) >= 0;
}

/* Where there are no extended attributes a mode that nobody uses is the mark. It is durable before what is in the
 * directory: a sync of everything has it too. */
static int mark(struct import *x, struct import_node *node)
{
	const struct import_target_ops *ops = x->target->ops;
	const struct xtsfs_setattr set = only_mode(MARK_MODE);
	int r = ops->setxattr(x->target, node, IMPORT_MARK, "1", 1);

	if (r == -EOPNOTSUPP)
		r = ops->setattr(x->target, node, &set);
	return r == 0 && !ops->sync ? ops->fsync(x->target, node) : r;
}

/* Is it the import's, or a directory that was there before? The former gets the mark. */
static int claim(struct import *x, struct import_dir *dir, bool made, const struct stat *st)
{
	const struct stat *want = &dir->source.st;
	const struct xtsfs_setattr open_up = only_mode((st->st_mode & 07777) | 0700);
	bool differs = st->st_mode != want->st_mode ||
		       (x->is_root && (st->st_uid != want->st_uid || st->st_gid != want->st_gid));

	dir->taken = made || is_marked(x, dir->node, st) || is_empty(x, dir->node) ||
		     (differs && x->options->conflict == IMPORT_CONFLICT_OVERWRITE);
	dir->foreign = !dir->taken && differs;
	if (dir->foreign)
		import_tell(x, IMPORT_CONFLICT, dir->path, "the directory is there, with another mode or owner");
	if (!made && !dir->foreign && !x->is_root && (st->st_mode & 0700) != 0700) {
		dir->taken = true; /* it gets its mode back */
		(void)!x->target->ops->setattr(x->target, dir->node, &open_up);
	}
	return dir->taken ? mark(x, dir->node) : 0;
}

static int find_or_make(struct import *x, struct import_dir *dir, const char *name)
{
	const struct import_target_ops *ops = x->target->ops;
	struct stat st;
	bool made = false;
	int r = ops->lookup(x->target, dir->parent->node, name, &dir->node, &st);

	if (r == -ENOENT) {
		r = ops->mkdir(x->target, dir->parent->node, name, &dir->node);
		made = r == 0;
		if (made)
			r = ops->getattr(x->target, dir->node, &st);
	}
	if (r < 0) {
		if (!made)
			dir->node = NULL;
		return r;
	}
	if (!S_ISDIR(st.st_mode)) {
		import_tell(x, IMPORT_CONFLICT, dir->path, "there is something else of that name, and no directory");
		return 1;
	}
	import_count(made ? &x->copied.directories : &x->same.directories, 1);
	r = claim(x, dir, made, &st);
	return r < 0 && import_is_fatal(x, r) ? r : 0;
}

/* 0, 1: to be left out, which was told, or -errno. */
static int find_in_target(struct import *x, struct import_dir *dir, const char *name)
{
	struct stat st;
	int r;

	if (x->phase == IMPORT_COPY)
		return find_or_make(x, dir, name);
	if (x->phase == IMPORT_REMOVE)
		return 0;
	r = dir->parent->node ? x->target->ops->lookup(x->target, dir->parent->node, name, &dir->node, &st) : -ENOENT;
	if (r == -ENOENT && x->phase == IMPORT_LOOK) {
		dir->node = NULL;
		import_count(&x->copied.directories, 1);
		return 0;
	}
	if (r < 0)
		dir->node = NULL;
	if ((r < 0 || !S_ISDIR(st.st_mode)) && import_was_told(x, dir->path, /* and_not_kept= */ false))
		return 1;
	if (r < 0) {
		import_tell(x, IMPORT_DIFFERENT, dir->path, "%s",
			    r == -ENOENT ? "the directory is not there" : xtsfs_strerror(r));
		return 1;
	}
	if (!S_ISDIR(st.st_mode)) {
		import_tell(x, x->phase == IMPORT_LOOK ? IMPORT_CONFLICT : IMPORT_DIFFERENT, dir->path,
			    "there is something else of that name, and no directory");
		return 1;
	}
	import_count(&x->same.directories, x->phase == IMPORT_LOOK);
	return 0;
}

static bool is_above(const struct import_dir *dir, const struct stat *st)
{
	for (; dir; dir = dir->parent)
		if (dir->source.st.st_dev == st->st_dev && dir->source.st.st_ino == st->st_ino)
			return true;
	return false;
}

static bool is_target(const struct import *x, const struct stat *st)
{
	const struct import_target *target = x->target;

	return (st->st_dev == target->dev && (target->ino == 0 || st->st_ino == target->ino)) ||
	       (st->st_dev == target->store_dev && st->st_ino == target->store_ino);
}

/* Not to be entered? Told, where it is somebody's loss. */
static bool is_left_out(struct import *x, const struct import_dir *parent, const struct import_source *source,
			const char *path)
{
	bool border = source->st.st_dev != x->root_dev || source->mount_id != x->root_mount_id;

	if (x->phase == IMPORT_REMOVE)
		return border;
	if (border && x->options->one_file_system) {
		import_tell(x, IMPORT_BORDER, path, "another filesystem is mounted there");
		return true;
	}
	if (is_target(x, &source->st)) {
		import_tell(x, IMPORT_FAILED, path, "it is the volume itself");
		return true;
	}
	if (is_above(parent, &source->st)) {
		import_tell(x, IMPORT_FAILED, path, "it is one of the directories that it is in");
		return true;
	}
	return false;
}

static int remove_part(void *data, const char *name)
{
	struct names *names = data;
	struct import *x = names->x;
	struct stat st;

	/* The source may have a file of that name. */
	if (import_is_part(name) && fstatat(names->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		(void)!x->target->ops->unlink(x->target, names->dir->node, name);
	return 0;
}

static int queue_entry(struct import *x, struct import_dir *dir, const struct dirent *entry, char *chunk)
{
	struct import_task *task = calloc(1, sizeof(*task));

	if (task)
		task->path = import_path_in(dir, entry->d_name);
	if (!task || !task->path) {
		free(task);
		return -ENOMEM;
	}
	task->dir = dir;
	snprintf(task->name, sizeof(task->name), "%s", entry->d_name);
	__atomic_add_fetch(&dir->pending, 1, __ATOMIC_RELAXED);
	cli_work_add(&x->work, &task->task, /* now_if_many= */ entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN,
		     chunk);
	return 0;
}

static void queue_entries(struct import *x, struct import_dir *dir, char *chunk)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry = NULL;

	if (!stream) {
		r = -errno;
		if (fd >= 0)
			close(fd);
	}
	while (r == 0 && !import_stopped(x)) {
		errno = 0;
		entry = readdir(stream); /* NOLINT(concurrency-mt-unsafe): a stream of our own */
		if (!entry) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = queue_entry(x, dir, entry, chunk);
	}
	if (stream)
		closedir(stream);
	if (r < 0 && !import_is_fatal(x, r))
		import_failed(x, r, "list", dir->path[0] ? dir->path : x->options->source);
}

/* @dir has its node, if it is to have one. It is given up here, at the end of its entries. */
static void enter(struct import *x, struct import_dir *dir, char *chunk)
{
	struct names names = {.x = x, .dir = dir};

	dir->pending = 1;
	dir->fd = import_source_read(&dir->source, O_DIRECTORY);
	if (dir->fd < 0) {
		if (!import_is_fatal(x, dir->fd))
			import_failed(x, dir->fd, "read the directory", dir->path[0] ? dir->path : x->options->source);
		dir->fd = -1;
	} else {
		if (x->phase == IMPORT_COPY || x->phase == IMPORT_LOOK)
			(void)import_attr_look(x, &dir->source, dir->path);
		if (x->phase == IMPORT_COPY)
			(void)!x->target->ops->list(x->target, dir->node, remove_part, &names);
		queue_entries(x, dir, chunk);
	}
	import_entry_done(x, dir, chunk);
}

static void run_directory(struct import *x, struct import_task *task, struct import_source *source, char *chunk)
{
	struct import_dir *dir;
	int r;

	if (is_left_out(x, task->dir, source, task->path)) {
		import_source_close(source);
		return;
	}
	dir = calloc(1, sizeof(*dir));
	if (!dir) {
		import_source_close(source);
		(void)import_is_fatal(x, -ENOMEM);
		return;
	}
	dir->fd = -1;
	dir->parent = task->dir;
	dir->path = xtsfs_take(task->path);
	dir->source = *source;
	r = find_in_target(x, dir, task->name);
	if (r == 0) {
		__atomic_add_fetch(&task->dir->pending, 1, __ATOMIC_RELAXED);
		enter(x, dir, chunk);
		return;
	}
	if (r < 0 && !import_is_fatal(x, r))
		import_failed(x, r, "make the directory", dir->path);
	free_dir(x, dir);
}

static void run_entry(struct import *x, struct import_task *task, char *chunk)
{
	struct import_source source;
	int r = import_source_open(task->dir->fd, task->name, &source);

	if (r == -ENOENT)
		return; /* gone since it was listed */
	if (r < 0) {
		if (!import_is_fatal(x, r))
			import_failed(x, r, "look at", task->path);
	} else if (S_ISDIR(source.st.st_mode)) {
		run_directory(x, task, &source, chunk);
	} else {
		import_entry(x, task, &source, chunk);
		import_source_close(&source);
	}
}

/* The task of the top has its directory's struct, which is entered. */
static void run_task(void *data, struct cli_task *cli_task, char *chunk)
{
	struct import_task *task = (struct import_task *)cli_task;
	struct import_dir *dir = task->dir;
	struct import *x = data;

	if (!chunk)
		(void)import_is_fatal(x, -ENOMEM);
	if (!task->path) {
		enter(x, dir, chunk);
	} else {
		if (!import_stopped(x))
			run_entry(x, task, chunk);
		import_entry_done(x, dir, chunk);
	}
	free(task->path);
	free(task);
}

static bool idle(void *data, char *chunk)
{
	struct import *x = data;

	return x->phase == IMPORT_COPY && import_batch_flush(x, chunk);
}

static void watch(void *data)
{
	struct import *x = data;

	if (x->watched++ % 5 == 0)
		import_show_progress(x);
}

/* The next component of *@path, or NULL at its end. -EINVAL for one that goes upwards. */
static int next_name(const char **path, char ret_name[static 256])
{
	size_t bytes;

	*path += strspn(*path, "/");
	bytes = strcspn(*path, "/");
	if (bytes > 255)
		return -ENAMETOOLONG;
	memcpy(ret_name, *path, bytes);
	ret_name[bytes] = '\0';
	*path += bytes;
	return strcmp(ret_name, ".") == 0 || strcmp(ret_name, "..") == 0 ? -EINVAL : 0;
}

static int make_component(struct import *x, struct import_node *dir, const char *name, struct import_node **ret_node,
			  struct stat *ret_stat)
{
	const struct import_target_ops *ops = x->target->ops;
	const struct xtsfs_setattr usual = only_mode(0755);
	struct import_node *node;
	int r = ops->mkdir(x->target, dir, name, &node);

	if (r < 0)
		return r;
	r = ops->setattr(x->target, node, &usual);
	if (r == 0)
		r = ops->getattr(x->target, node, ret_stat);
	if (r == 0 && !ops->sync)
		r = ops->fsync(x->target, dir);
	if (r < 0)
		ops->forget(x->target, node);
	else
		*ret_node = node;
	return r;
}

/* From @node (taken) along @path; directories that are missing are made, if that is wanted. */
static int go_along(struct import *x, struct import_node *node, const char *path, bool make, bool *ret_made,
		    struct import_node **ret_node, struct stat *ret_stat)
{
	const struct import_target_ops *ops = x->target->ops;
	struct import_node *next;
	char name[256];
	int r = ops->getattr(x->target, node, ret_stat);

	*ret_made = false;
	while (r == 0 && path[strspn(path, "/")] != '\0') {
		*ret_made = false;
		r = next_name(&path, name);
		if (r == 0)
			r = ops->lookup(x->target, node, name, &next, ret_stat);
		if (r == -ENOENT && make) {
			r = make_component(x, node, name, &next, ret_stat);
			*ret_made = true;
		}
		if (r == 0) {
			ops->forget(x->target, node);
			node = next;
		}
	}
	if (r < 0)
		ops->forget(x->target, node);
	else
		*ret_node = node;
	return r;
}

int import_lookup_path(struct import *x, const char *path, struct import_node **ret_node, struct stat *ret_stat)
{
	struct import_node *root = x->target->ops->root(x->target);
	xtsfs_auto_free char *whole = NULL;
	bool made;

	if (asprintf(&whole, "%s/%s", x->options->destination, path) < 0) {
		whole = NULL;
		if (root)
			x->target->ops->forget(x->target, root);
		return -ENOMEM;
	}
	return root ? go_along(x, root, whole, /* make= */ false, &made, ret_node, ret_stat) : -ENOMEM;
}

/* The destination. 0 or -errno. */
static int find_top(struct import *x, struct import_dir *top, const char *destination)
{
	struct import_node *root;
	struct stat st;
	bool made;
	int r;

	if (x->phase == IMPORT_REMOVE)
		return 0;
	root = x->target->ops->root(x->target);
	r = root ? go_along(x, root, destination, x->phase == IMPORT_COPY, &made, &top->node, &st) : -ENOMEM;
	if (r == -ENOENT && x->phase == IMPORT_LOOK)
		return 0;
	if (r == 0 && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (r == 0 && x->phase == IMPORT_COPY)
		r = claim(x, top, made, &st);
	return r;
}

int import_walk(struct import *x, enum import_phase phase, const char *destination)
{
	struct import_dir *top = calloc(1, sizeof(*top));
	struct import_task *task = calloc(1, sizeof(*task));
	int r = top && task ? 0 : -ENOMEM, fd;

	x->phase = phase;
	if (r == 0) {
		top->fd = top->source.fd = -1;
		top->path = strdup("");
		fd = open(x->options->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : !top->path ? -ENOMEM : import_source_open(fd, ".", &top->source);
		if (fd >= 0)
			close(fd);
	}
	if (r == 0) {
		x->root_dev = top->source.st.st_dev;
		x->root_mount_id = top->source.mount_id;
		r = find_top(x, top, destination);
	}
	if (r < 0) {
		if (top)
			free_dir(x, top);
		free(task);
		return r;
	}
	task->dir = top;
	cli_links_init(&x->links);
	x->work = (struct cli_work){.run = run_task,
				    .idle = idle,
				    .watch = x->options->progress ? watch : NULL,
				    .data = x,
				    .threads = x->options->threads,
				    .chunk_bytes = IMPORT_CHUNK};
	cli_work_run(&x->work, &task->task);
	if (x->options->progress)
		cli_progress_clear();
	cli_links_free(&x->links);
	return x->fatal;
}
