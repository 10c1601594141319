/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume to test the core with: made, opened and closed on any store, and used by path.
 *
 * Everything that is not expected to fail asserts. Names with "try" return what the core returns.
 */
#ifndef XTSFS_CORE_FIXTURE_H
#define XTSFS_CORE_FIXTURE_H

#include "core/conf.h"
#include "core/fs.h"
#include "core/volume.h"
#include "store/faulty.h"
#include "store/memory.h"

#define CORE_B 4096U

struct core {
	struct xtsfs_store *store; /* borrowed */
	struct xtsfs_conf *conf;
	struct xtsfs_secret *key, *keyfile;
	struct xtsfs_volume *volume;
	size_t waiting_bytes;		   /* of volumes that core_open() opens */
	const struct xtsfs_engine *engine; /* theirs; the user engine unless it is changed */
	char problem[256];		   /* of the last opening */
};

extern const enum xtsfs_integrity core_integrities[3];

/** Keys and configuration; no volume yet. The volume key is bytes 0, 1, 2 … */
void core_init(struct core *core, enum xtsfs_integrity integrity, unsigned content_keys);
void core_fini(struct core *core);
/** Lay out a volume with xtsfs.conf in the store, which becomes the core's. */
void core_format(struct core *core, struct xtsfs_store *store);
int core_try_open(struct core *core, const struct xtsfs_volume_params *params);
void core_open(struct core *core);
int core_try_close(struct core *core);
void core_close(struct core *core);

/** Path without a leading slash, "" is the root; the node is referenced, or NULL with -errno. */
struct xtsfs_node *core_node(struct core *core, const char *path, struct stat *ret_stat, int *ret_error);
void core_forget(struct core *core, struct xtsfs_node *node);

int core_try_create(struct core *core, const char *path);
int core_try_mkdir(struct core *core, const char *path);
int core_try_symlink(struct core *core, const char *target, const char *path);
int core_try_link(struct core *core, const char *from, const char *to);
int core_try_unlink(struct core *core, const char *path);
int core_try_rmdir(struct core *core, const char *path);
int core_try_rename(struct core *core, const char *from, const char *to, unsigned flags);
ssize_t core_try_write(struct core *core, const char *path, const void *data, size_t bytes, uint64_t offset);
int core_try_truncate(struct core *core, const char *path, uint64_t bytes);
int core_try_fallocate(struct core *core, const char *path, int mode, uint64_t offset, uint64_t bytes);
int core_try_fsync(struct core *core, const char *path);
int core_try_setxattr(struct core *core, const char *path, const char *name, const char *value);
/** The whole file; allocated. Returns its size or -errno. */
ssize_t core_try_read(struct core *core, const char *path, uint8_t **ret_data);
/** Plain size by lookup, or -errno. */
int64_t core_size(struct core *core, const char *path);

/** Bytes that say where they belong: of stream @seed, from @offset on. Never a zero. */
void core_pattern(uint64_t seed, uint64_t offset, void *ret_data, size_t bytes);

/** The backing file behind a path, whole; allocated. */
size_t core_backing(struct core *core, const char *path, uint8_t **ret_data);
/** A file put into the root of the store under the given backing name. */
void core_put_backing(struct xtsfs_store *store, const char *backing_name, const void *data, size_t bytes);

#endif
