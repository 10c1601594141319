/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open volume: keys, engine, node table, the writer lock and the unclean marker. The filesystem as a library,
 * without FUSE.
 *
 * Layer:   core.
 * Threads: open and close by one thread; everything else from any.
 */
#ifndef XTSFS_CORE_VOLUME_H
#define XTSFS_CORE_VOLUME_H

#include "base/errors.h"
#include "base/secret.h"
#include "crypto/engine.h"
#include "format/config.h"
#include "store/store.h"

#include <stdbool.h>

struct xtsfs_volume;
struct xtsfs_node;

struct xtsfs_ignore;
/* The other way round: the store is a directory of plain files, and the volume is what they would be encrypted
 * (docs/reverse.md). Read-only. */
struct xtsfs_reverse_params {
	struct xtsfs_store *conf_store;	   /* where xtsfs.conf and its copy are (store/aside.h); borrowed */
	const struct xtsfs_ignore *ignore; /* what is not shown; borrowed; may be NULL */
	bool one_file_system;
};

struct xtsfs_volume_params {
	bool read_only;
	bool salvage;	      /* with read_only: serve what decrypts, verified or not */
	bool peek;	      /* with read_only: no lock, beside a writer; what is read may be out of date */
	bool no_excuse;	      /* with peek: the unclean marker is of a writer at work, not the trace of a crash */
	bool repair;	      /* fsck: may clear the unclean marker; never makes one */
	bool shared;	      /* beside others that share it too, on this machine or on others (share.c) */
	bool tell_shared;     /* whoever is refused is told of it */
	bool may_share;	      /* with read_only: shared, if others share it */
	bool no_atime;	      /* reading leaves atime alone, where we may; implied by read_only */
	bool log_names;	      /* plain paths of damaged files may be logged */
	unsigned threads;     /* I/O threads; OP handles for each TFM. 0: number of processors, at least 2 */
	size_t waiting_bytes; /* memory for overwritten sectors that wait for a flush (waiting.c); 0: none waits longer
				 than its write */
	unsigned fds;	      /* descriptors the core may keep cached; 0: a third of RLIMIT_NOFILE */
	const struct xtsfs_engine *engine;
	const char *holder;			    /* text for xtsfs.lock: who has the volume, for people */
	const struct xtsfs_reverse_params *reverse; /* NULL: an ordinary volume */
};

/**
 * Open. The store is borrowed and outlives the volume. @ret_problem: a sentence for people on failure (who holds the
 * lock and so on). -EBUSY: another writer (or, for a writer, a reader) has it; -EROFS; -EUCLEAN (root dirid); -EBADMSG;
 * engine errors.
 */
xtsfs_must_check int xtsfs_volume_open(struct xtsfs_store *store, const struct xtsfs_config *config,
				       const struct xtsfs_secret *volume_key, const struct xtsfs_volume_params *params,
				       struct xtsfs_volume **ret_volume, char *ret_problem, size_t problem_bytes);
/** Syncs, removes the unclean marker if this opening made it, and frees. The first error is returned, everything is
 * freed anyway. */
int xtsfs_volume_close(struct xtsfs_volume *volume);
/** Make OP handles for all I/O threads. */
xtsfs_must_check int xtsfs_volume_warm(struct xtsfs_volume *volume);

/** Everything durable, then the unclean marker away, whoever made it. For fsck once it has settled everything. */
xtsfs_must_check int xtsfs_volume_clear_marker(struct xtsfs_volume *volume);

struct xtsfs_volume_state {
	bool marker;  /* there was an unclean marker */
	bool unclean; /* and it was authentic */
	enum xtsfs_integrity integrity;
};
void xtsfs_volume_state(const struct xtsfs_volume *volume, struct xtsfs_volume_state *ret_state);

/** May others change it meanwhile? Then nothing that is told stays true. */
bool xtsfs_volume_is_shared(const struct xtsfs_volume *volume);
/** What waits for somebody else's lock asks @is_given_up, on the thread of the operation, and ends with -EINTR. */
void xtsfs_volume_on_wait(struct xtsfs_volume *volume, bool (*is_given_up)(void));

/**
 * Write out what needs keys, then destroy them: no key of the volume is left in this process, nor, with the kernel
 * engine, in the kernel. Meanwhile and until xtsfs_volume_unlock() nothing may be asked of the volume but
 * xtsfs_release(), xtsfs_closedir(), xtsfs_forget(), xtsfs_statfs(), xtsfs_getattr() and xtsfs_opendir() of the root,
 * xtsfs_getxattr() of an ACL of it, xtsfs_commit_old(),
 * xtsfs_volume_stats() and xtsfs_volume_close(). On an error it is as before: what could not be written still has its
 * keys. 0 if it is locked already.
 */
xtsfs_must_check int xtsfs_volume_lock(struct xtsfs_volume *volume);
/** For a locked one. -EBADMSG: the key, or @config, is of another volume; else as xtsfs_volume_open(). It stays locked
 * then. */
xtsfs_must_check int xtsfs_volume_unlock(struct xtsfs_volume *volume, const struct xtsfs_config *config,
					 const struct xtsfs_secret *volume_key);
bool xtsfs_volume_is_locked(struct xtsfs_volume *volume);
/** All nodes that are known, each with a reference more. xtsfs_nodes_let_go() gives back and frees. */
xtsfs_must_check int xtsfs_nodes_hold(struct xtsfs_volume *volume, struct xtsfs_node ***ret_list, size_t *ret_count);
void xtsfs_nodes_let_go(struct xtsfs_volume *volume, struct xtsfs_node **list, size_t count);
/** This thread's buffer of the core, if it has one, may hold plaintext: wipe it. */
void xtsfs_scratch_wipe(void);

struct xtsfs_volume_stats {
	enum xtsfs_integrity integrity;
	unsigned content_keys;
	size_t nodes; /* known to the kernel, or in use */
	unsigned descriptors, descriptors_max;
	size_t waiting_bytes;  /* memory of overwritten sectors that are not written yet */
	unsigned kept_files;   /* closed, and not settled yet */
	unsigned ops, ops_max; /* OP handles of all content keys */
	uint64_t sectors;      /* encrypted and decrypted */
	uint64_t ops_replaced; /* after an error */
	uint64_t ops_waits;    /* how often a thread had to wait for one */
};
void xtsfs_volume_stats(struct xtsfs_volume *volume, struct xtsfs_volume_stats *ret_stats);

/* What is to be said where xtsfs_store_folds_case(). */
#define XTSFS_FOLDS_CASE                                                                                            \
	"its directory does not tell capitals from small letters, and encrypted names can differ in nothing else; " \
	"use a filesystem that does, or on ext4 a directory without the flag F (chattr -F)"
/** Lay out a fresh volume in an empty directory: root dirid and lock file; xtsfs.conf is written last by the caller.
 * -EEXIST, -ENOTEMPTY. */
xtsfs_must_check int xtsfs_volume_format(struct xtsfs_store *store, const struct xtsfs_config *config,
					 const struct xtsfs_secret *volume_key);

#endif
