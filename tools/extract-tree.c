/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that is copied out: workers, and directories from their making to their last attribute.
 *
 * Each task is one entry. A directory's task makes it and queues what is in it. A directory gets its attributes when
 * the last of its entries is done, since each would change its time, and its mode may forbid them.
 *
 * The target is only reached through descriptors: of a directory that was made, or found, without following a symlink.
 */
#include "extract.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t extract_interrupted;

bool extract_stopped(struct extraction *x)
{
	return extract_interrupted || __atomic_load_n(&x->fatal, __ATOMIC_RELAXED) < 0;
}

bool extract_is_fatal(struct extraction *x, int error)
{
	if (error != -ENOSPC && error != -EDQUOT && error != -EROFS && error != -ENOMEM && error != -EMFILE &&
	    error != -ENFILE)
		return false;
	__atomic_store_n(&x->fatal, error, __ATOMIC_RELAXED);
	return true;
}

static void free_dir(struct extraction *x, struct extract_dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	if (dir->node)
		xtsfs_forget(x->fs, dir->node, 1);
	free(dir->path);
	free(dir->target);
	free(dir);
}

/* One entry of @dir is done. */
static void entry_done(struct extraction *x, struct extract_dir *dir, char *chunk)
{
	while (dir && __atomic_sub_fetch(&dir->pending, 1, __ATOMIC_ACQ_REL) == 0) {
		struct extract_dir *parent = dir->parent;

		if (dir->node && dir->fd >= 0 && !extract_stopped(x))
			extract_attributes(x, dir->node, &dir->st, dir->fd, -1, NULL, dir->path, chunk);
		if (parent) /* the base is the caller's */
			free_dir(x, dir);
		dir = parent;
	}
}

static void free_task(struct extraction *x, struct extract_task *task)
{
	if (task->node)
		xtsfs_forget(x->fs, task->node, 1);
	free(task->path);
	free(task);
}

static int open_made(struct extraction *x, struct extract_task *task)
{
	int parent = task->dir->fd, flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, fd;
	bool made = mkdirat(parent, task->name, 0700) == 0;
	struct stat st;

	if (!made && (errno != EEXIST || !x->options->resume))
		return -errno;
	fd = openat(parent, task->name, flags);
	if (fd < 0 && errno == EACCES && !made) {
		/* Finished by an earlier run, with a mode that keeps even its owner out. */
		xtsfs_auto_fd path = openat(parent, task->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		char proc[40];

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path);
		if (path >= 0 && chmod(proc, 0700) == 0)
			fd = openat(parent, task->name, flags);
	}
	if (fd < 0)
		return -errno;
	if (!made && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
		(void)fchmod(fd, 0700 | (st.st_mode & 07777));
	return fd;
}

static int queue_entry(struct extraction *x, struct extract_dir *dir, struct xtsfs_dir *source, const char *name,
		       char *chunk)
{
	struct extract_task *task = calloc(1, sizeof(*task));
	int r;

	if (!task || asprintf(&task->path, "%s%s%s", dir->path, dir->path[0] ? "/" : "", name) < 0) {
		free(task);
		return -ENOMEM;
	}
	snprintf(task->name, sizeof(task->name), "%s", name);
	r = xtsfs_dir_lookup(source, &task->node, &task->st);
	if (r < 0) {
		task->node = NULL;
		extract_failed(x, r, "read", task->path);
		free_task(x, task);
		return 0;
	}
	task->dir = dir;
	__atomic_add_fetch(&dir->pending, 1, __ATOMIC_RELAXED);
	cli_work_add(&x->work, &task->task, /* now_if_many= */ !S_ISDIR(task->st.st_mode), chunk);
	return 0;
}

static void queue_entries(struct extraction *x, struct extract_dir *dir, char *chunk)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *source;
	uint64_t lost;
	int r = xtsfs_opendir(x->fs, dir->node, &source);

	if (r < 0) {
		extract_failed(x, r, "list", dir->path[0] ? dir->path : "/");
		return;
	}
	while (!extract_stopped(x) && (r = xtsfs_readdir(source, &entry)) > 0) {
		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		r = queue_entry(x, dir, source, entry.name, chunk);
		if (r < 0)
			break;
	}
	lost = xtsfs_dir_lost(source);
	xtsfs_closedir(source);
	if (r < 0 && !extract_is_fatal(x, r))
		extract_failed(x, r, "list", dir->path[0] ? dir->path : "/");
	for (; lost > 0; lost--)
		extract_failed(x, -XTSFS_EDAMAGED, "tell the name of an entry of", dir->path[0] ? dir->path : "/");
}

static void run_directory(struct extraction *x, struct extract_task *task, char *chunk)
{
	struct extract_dir *dir = calloc(1, sizeof(*dir));
	int fd;

	if (!dir ||
	    asprintf(&dir->target, "%s%s%s", task->dir->target, task->dir->target[0] ? "/" : "", task->name) < 0) {
		free(dir);
		(void)extract_is_fatal(x, -ENOMEM);
		return;
	}
	fd = open_made(x, task);
	if (fd < 0) {
		if (!extract_is_fatal(x, fd))
			extract_failed(x, fd, "make the directory", task->path);
		dir->fd = -1;
		free_dir(x, dir);
		return;
	}
	dir->fd = fd;
	dir->parent = task->dir;
	dir->node = xtsfs_take(task->node);
	dir->path = xtsfs_take(task->path);
	dir->st = task->st;
	dir->pending = 1;
	__atomic_add_fetch(&dir->parent->pending, 1, __ATOMIC_RELAXED);
	if (x->options->resume)
		extract_remove_parts(x, dir);
	queue_entries(x, dir, chunk);
	entry_done(x, dir, chunk);
}

static void run_task(void *data, struct cli_task *cli_task, char *chunk)
{
	struct extract_task *task = (struct extract_task *)cli_task;
	struct extract_dir *dir = task->dir;
	struct extraction *x = data;

	if (!chunk)
		(void)extract_is_fatal(x, -ENOMEM);
	if (extract_stopped(x))
		;
	else if (S_ISDIR(task->st.st_mode))
		run_directory(x, task, chunk);
	else
		extract_entry(x, task, chunk);
	free_task(x, task);
	entry_done(x, dir, chunk);
}

/* Progress, twice a second. */
static void watch(void *data)
{
	struct extraction *x = data;

	if (x->watched++ % 5 == 0)
		extract_progress(x);
}

static enum cli_tree_step count(void *data, const struct cli_tree_entry *entry)
{
	struct extraction *x = data;
	uint64_t stored = (uint64_t)entry->st->st_blocks * 512, size = (uint64_t)entry->st->st_size;

	if (S_ISREG(entry->st->st_mode)) {
		__atomic_add_fetch(&x->total_bytes, stored && stored < size ? stored : size, __ATOMIC_RELAXED);
		__atomic_add_fetch(&x->total_files, 1, __ATOMIC_RELAXED);
	}
	return extract_stopped(x) ? CLI_TREE_STOP : CLI_TREE_GO_ON;
}

/* How much there is to do, for the time that is left. */
struct counting {
	struct extraction *x;
	const char *path;
};

static void *count_all(void *data)
{
	struct counting *counting = data;
	struct cli_tree tree = {.fs = counting->x->fs, .visit = count, .data = counting->x, .silent = true};

	cli_tree_walk(&tree, counting->path);
	__atomic_store_n(&counting->x->total_known, true, __ATOMIC_RELEASE);
	return NULL;
}

static struct extract_task *first_task(struct extract_dir *base, const char *path, struct xtsfs_node *node,
				       const struct stat *st, const char *name)
{
	struct extract_task *task = calloc(1, sizeof(*task));
	size_t bytes;

	path += strspn(path, "/");
	if (task)
		task->path = strdup(path);
	if (!task || !task->path) {
		free(task);
		return NULL;
	}
	for (bytes = strlen(task->path); bytes > 0 && task->path[bytes - 1] == '/';)
		task->path[--bytes] = '\0';
	task->dir = base;
	task->node = node;
	task->st = *st;
	snprintf(task->name, sizeof(task->name), "%s", name);
	return task;
}

int extract_run(struct extraction *x, const char *path, struct xtsfs_node *node, const struct stat *st, int fd,
		const char *name)
{
	char empty[1] = "";
	struct extract_dir base = {.fd = fd, .pending = 2, .path = empty, .target = empty};
	struct counting counting = {.x = x, .path = path};
	struct extract_task *first = first_task(&base, path, node, st, name);
	pthread_t counter;
	bool counts;

	x->base = &base; /* cppcheck-suppress autoVariables ; until this function ends */
	x->work = (struct cli_work){.run = run_task,
				    .watch = x->options->progress ? watch : NULL,
				    .data = x,
				    .threads = x->options->threads,
				    .chunk_bytes = EXTRACT_CHUNK};
	pthread_mutex_init(&x->say, NULL);
	cli_links_init(&x->links);
	clock_gettime(CLOCK_MONOTONIC, &x->start);
	if (!first) {
		xtsfs_forget(x->fs, node, 1);
		x->fatal = -ENOMEM;
	}
	counts = x->options->progress && pthread_create(&counter, NULL, count_all, &counting) == 0;
	cli_work_run(&x->work, first ? &first->task : NULL);
	if (x->options->progress) {
		extract_progress(x);
		extract_clear_progress(x);
	}
	if (counts)
		pthread_join(counter, NULL);
	close(fd);
	cli_links_free(&x->links);
	x->base = NULL;
	return x->fatal;
}
