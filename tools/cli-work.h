/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that work off tasks which make more tasks, and what those of a tree need: hard links, ways that stay below a
 * directory.
 *
 * Layer:   tools.
 * Threads: as each function says.
 */
#ifndef XTSFS_TOOLS_CLI_WORK_H
#define XTSFS_TOOLS_CLI_WORK_H

#include "base/errors.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* ---- cli-work.c ---- */
struct cli_task { /* the first member of what a task is */
	struct cli_task *next;
};

struct cli_work {
	/* Takes the task. @chunk: chunk_bytes of this thread, NULL if there was no memory for them. */
	void (*run)(void *data, struct cli_task *task, char *chunk);
	/* No task is left, while others may be at work on theirs: is there something else to do? NULL: nothing. */
	bool (*idle)(void *data, char *chunk);
	void (*watch)(void *data); /* ten times a second while the others work, or NULL */
	void *data;
	unsigned threads; /* 1 to 256 */
	size_t chunk_bytes;

	pthread_mutex_t mutex; /* the rest is cli-work.c's, under it */
	pthread_cond_t wake;   /* a task, or the end */
	struct cli_task *tasks;
	unsigned task_count, busy;
};
/** All from @first on (NULL: none) to the end. From one thread; the struct is used again for the next run. */
void cli_work_run(struct cli_work *work, struct cli_task *first);
/** From within run(). @now_if_many: with many tasks waiting it is run at once, which keeps memory small. */
void cli_work_add(struct cli_work *work, struct cli_task *task, bool now_if_many, char *chunk);

/* ---- cli-links.c ---- */
enum cli_link_state { CLI_LINK_BUSY, CLI_LINK_DONE, CLI_LINK_FAILED };

/* The first name of a file that has several. */
struct cli_link {
	struct cli_link *next;
	dev_t dev, target_dev;
	ino_t ino, target_ino;
	enum cli_link_state state;
	char *dir; /* path in the target of the directory that it is in */
	char name[256];
};

struct cli_links {
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* the first name of some file is done */
	struct cli_link *slots[1024];
};
void cli_links_init(struct cli_links *links);
void cli_links_free(struct cli_links *links);
/** The record of this file, whose first name is done, or *@ret_first: is ours to make; cli_links_done() is due then.
 * NULL without memory. From any thread; waits while another one has it. */
struct cli_link *cli_links_find(struct cli_links *links, dev_t dev, ino_t ino, bool *ret_first);
/** @st: of the first name in the target, at @name in @dir; NULL: it could not be made, and the next name is the first.
 */
void cli_links_done(struct cli_links *links, struct cli_link *link, const struct stat *st, const char *dir,
		    const char *name);

/** A directory by its path below @base, as an O_PATH descriptor: never through a symlink, never upwards. Or -errno. */
xtsfs_must_check int cli_open_beneath(int base, const char *path);

#endif
