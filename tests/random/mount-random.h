/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of mount-random share: operations, the model of a tree, one process' world, a run.
 */
#ifndef XTSFS_MOUNT_RANDOM_H
#define XTSFS_MOUNT_RANDOM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#define BLOCK	     4096U
#define GROUP	     (124U * BLOCK)
#define MOST_BYTES   (3U * GROUP + 20000U) /* of a file: three groups and some */
#define MOST_ALL     (24U << 20)	   /* of all files, about */
#define NAMES	     128U
#define COMMON_NAME  127U /* first of a path: the directory of all processes */
#define NO_NAME	     255U
#define DEPTH	     4U
#define SLOTS	     8U
#define XATTRS	     6U
#define PROCESSES    16U
#define SHARED_FILES 4U
#define PATH_ROOM    3000U
#define MOST_TARGET  3039U /* that xtsfs can; others have other limits */
#define ROUND	     100U  /* operations between two barriers of several processes */

/* The order is that of the weights in mount-choose.c. */
enum kind {
	K_OPEN,
	K_CLOSE,
	K_WRITE,
	K_READ,
	K_MAP,
	K_FTRUNCATE,
	K_TRUNCATE,
	K_FALLOCATE,
	K_SEEK,
	K_COPY,
	K_FSYNC,
	K_DROP,
	K_FSTAT,
	K_STAT,
	K_MKDIR,
	K_RMDIR,
	K_UNLINK,
	K_RENAME,
	K_LINK,
	K_SYMLINK,
	K_MKFIFO,
	K_MANY,
	K_FEWER,
	K_LIST,
	K_CHMOD,
	K_CHOWN,
	K_TIMES,
	K_SETXATTR,
	K_GETXATTR,
	K_REMOVEXATTR,
	K_LISTXATTR,
	K_SHARED,
	K_REMOUNT,
	K_BARRIER,
	K__COUNT
};

/* Says all by itself, so that it can be left out, printed and done again. What @how means depends on the kind. */
struct op {
	uint8_t who, kind, slot, from;
	uint8_t a[DEPTH], b[DEPTH]; /* paths: numbers of names, NO_NAME behind the last */
	uint32_t how;
	uint64_t offset, bytes, seed;
};

enum type { T_FILE, T_DIR, T_LINK, T_FIFO };
enum known { TIME_ANY, TIME_SINCE, TIME_EXACT };

struct xattr {
	uint8_t *value; /* NULL: not there */
	size_t bytes;
};

struct node {
	enum type type;
	unsigned names, opens;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	ino_t ino; /* 0: not seen yet */
	uint8_t *data;
	uint64_t bytes, room;
	char *target;
	struct node *parent, **child; /* of a directory */
	struct xattr xattrs[XATTRS];
	struct timespec mtime;
	enum known mtime_known;
};

struct slot {
	int fd, flags;
	struct node *node; /* NULL: closed */
};

/* Shared with the process that started this one. */
struct control {
	unsigned done;
	bool failed;
	uint64_t bytes, skipped, remounts;
	char why[600];
	unsigned count;
	struct op ops[];
};

struct world {
	unsigned who, processes;
	bool root, direct_any, dir_links, verbose;
	unsigned most_target; /* bytes of a symbolic link's target */
	char top[512], common_path[512];
	struct node *tree, *common;
	struct slot slots[SLOTS];
	struct shared *shared;
	struct control *control;
	uint8_t *buffer, *other; /* aligned, BUFFER_ROOM */
	int barrier;		 /* socket to the driver */
	uint64_t rng;
};
#define BUFFER_ROOM (MOST_BYTES + 8 * BLOCK)

/* Where a path leads. */
struct place {
	struct node *dir, *node; /* dir: NULL for the top; node: NULL if there is nothing */
	unsigned name;
	int error; /* of the way there */
	char path[PATH_ROOM];
};

/* mount-model.c */
extern struct timespec op_start; /* of the clock that filesystems take */
struct node *node_new(struct world *w, enum type type, mode_t mode, const struct node *dir);
void node_drop(struct node *node); /* frees it if no name and no descriptor has it */
void node_free_tree(struct node *dir);
void node_resize(struct node *node, uint64_t bytes);
void node_write(struct node *node, const uint8_t *data, uint64_t bytes, uint64_t offset);
void node_zero(struct node *node, uint64_t offset, uint64_t bytes); /* within its size */
void node_touch(struct node *node);				    /* its mtime is now */
void node_link(struct node *dir, unsigned name, struct node *node);
void node_unlink(struct node *dir, unsigned name);
bool node_is_empty(const struct node *dir);
unsigned node_height(const struct node *dir);
bool node_is_below(const struct node *node, const struct node *dir); /* or is it */
uint64_t tree_bytes(const struct node *dir);
void find(struct world *w, const uint8_t path[DEPTH], struct place *ret_place);
void name_text(const struct world *w, const struct node *dir, unsigned name, char ret_text[256]);
void fill(uint64_t seed, uint64_t offset, uint8_t *data, uint64_t bytes);
uint64_t next_random(uint64_t *rng);
uint64_t below(uint64_t *rng, uint64_t limit);
__attribute__((format(printf, 2, 3))) int fail(struct world *w, const char *format, ...);
/** 0, or -1 with a reason: @got and @want are results or negative errnos. */
int expect(struct world *w, const char *what, long got, long want);
/** A result, or the negative errno. */
long result(long r);

/* mount-ops.c, mount-names.c, mount-attr.c, mount-check.c, mount-shared.c */
int op_data(struct world *w, const struct op *op);
void slot_close(struct world *w, unsigned slot);
int op_names(struct world *w, const struct op *op);
int op_attr(struct world *w, const struct op *op);
int check_content(struct world *w, int fd, const struct node *node, const char *what);
int check_stat(struct world *w, const struct stat *st, struct node *node, const char *what);
int check_list(struct world *w, struct node *dir, const char *path);
int check_xattrs(struct world *w, const struct node *node, const char *path);
int check_all(struct world *w);
int op_shared(struct world *w, const struct op *op);
void shared_begin(struct world *w, const char *top);
void shared_close(struct world *w);
int shared_check(struct world *w);
void shared_make(const char *top);

/* mount-choose.c, mount-text.c */
struct op op_choose(struct world *w);
void op_print(FILE *out, const struct op *op);
bool op_parse(const char *line, struct op *ret_op);
extern const char *const kind_names[K__COUNT];

/* mount-work.c */
int run_op(struct world *w, const struct op *op);
void work(unsigned who, struct control *control, int barrier, const char *top);

/* mount-volume.c */
struct volume {
	char work[256], vol[300], mnt[300], top[300], pass[300], log[300];
	pid_t daemon;
	bool bad;    /* a daemon did not end well */
	dev_t under; /* device of the mount point when nothing is mounted */
};
int volume_make(struct volume *v);  /* and mounts it */
int volume_mount(struct volume *v); /* 0, or -1 with a message printed */
int volume_unmount(struct volume *v);
int volume_finish(struct volume *v, bool good); /* unmounts, checks; good: and removes it */
void volume_kill(struct volume *v);

/* mount-random.c */
struct options {
	uint64_t seed;
	unsigned ops, processes, content_keys, threads, tries;
	double seconds, shrink_seconds;
	const char *integrity, *engine, *mount_options, *dir, *work, *replay, *save, *programs;
	bool verbose, keep, no_shrink, old_seeks;
};
extern struct options options;
extern struct figures {
	unsigned long runs, ops, skipped, remounts;
	uint64_t bytes;
	double self_cpu, daemon_cpu;
} figures;
extern volatile sig_atomic_t stopped; /* by a signal */
double now(void);
/** One run, on a fresh tree: of @list, or, when it is NULL, of a seed. 0 or 1; what was done and why it failed. */
int run_once(uint64_t seed, const struct op *list, size_t count, struct op **ret_ops, size_t *ret_count, char why[600]);

/* mount-shrink.c */
size_t shrink(struct op *ops, size_t count, uint64_t seed, char why[600]);

#endif
