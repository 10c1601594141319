/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume opened for the verbs that look into it without a mount.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_CLI_FS_H
#define XTSFS_TOOLS_CLI_FS_H

#include "cli-volume.h"

#include "core/fs.h"

struct cli_fs {
	struct cli_volume volume;
	struct xtsfs_volume *fs;
};
#define CLI_FS_NONE ((struct cli_fs){.volume = CLI_VOLUME_NONE})

/** Unlock and open read-only. @peek: beside a mount too. An exit code; cli_fs_done() is due in any case. */
xtsfs_must_check int cli_fs_open(const char *dir, const struct cli_unlock *unlock, bool peek, bool salvage,
				 struct cli_fs *ret_fs);
/** The same for writing: the volume is this program's until cli_fs_close(). */
xtsfs_must_check int cli_fs_open_writable(const char *dir, const struct cli_unlock *unlock, struct cli_fs *ret_fs);
/** Close with everything durable; cli_fs_done() is still due. An exit code. */
xtsfs_must_check int cli_fs_close(struct cli_fs *fs);
/** Close what was open for writing with everything durable, and open it anew for reading. An exit code. */
xtsfs_must_check int cli_fs_reopen(struct cli_fs *fs);
void cli_fs_done(struct cli_fs *fs);

/**
 * Say that something inside of the volume could not be had. The exit code: XTSFS_EXIT_NOT_VOLUME if there is no such
 * path, else XTSFS_EXIT_IO. From any thread.
 */
__attribute__((format(printf, 2, 3))) int cli_fail_inside(int error, const char *format, ...);

/* What a walk meets. */
struct cli_tree_entry {
	const char *path; /* plain, without a leading slash; "" for the root */
	const char *name; /* its last component; "" for the root */
	struct xtsfs_node *node;
	const struct stat *st;
	unsigned depth; /* 0 for the path the walk began with */
};
enum cli_tree_step { CLI_TREE_GO_ON, CLI_TREE_NOT_BELOW, CLI_TREE_STOP };

/* A walk: a directory before what is in it. What cannot be had is said, and the walk goes on. */
struct cli_tree {
	struct xtsfs_volume *fs;
	enum cli_tree_step (*visit)(void *data, const struct cli_tree_entry *entry);
	void *data;
	bool sorted;   /* by the bytes of names: takes memory for the names of each directory on the way */
	bool silent;   /* do not say what cannot be had */
	int exit_code; /* of the first thing that could not be had */
	bool stopped;
};
/** The entry at @path and all below it, as far as visit() goes. The exit code stands in @tree. */
void cli_tree_walk(struct cli_tree *tree, const char *path);

#endif
