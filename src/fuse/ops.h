/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE adapter: requests in, core calls, replies out. Nothing is decided here that the core could decide.
 *
 * Layer:   fuse, internal.
 * Threads: the session's threads. Nothing is held while replying; a reply may be the last use of a node.
 */
#ifndef XTSFS_FUSE_OPS_H
#define XTSFS_FUSE_OPS_H

#define FUSE_USE_VERSION 312

#include "core/fs.h"

#include <fuse_lowlevel.h>

/* One writer owns the volume, so what the kernel knows stays true. */
#define XTSFS_TIMEOUT_S 3600.0
/*
 * But the kernel itself changes or drops the link count and times of a directory, or of a file with several names, when
 * a name comes or goes, and does not notice when the answer to somebody's stat crosses that: it would be wrong for an
 * hour.
 */
#define XTSFS_SHARED_TIMEOUT_S 1.0
/* A reverse view's source has its own users. Attributes of regular files are asked for each time: a size that is out of
 * date would have a program read a part of what it has opened. */
#define XTSFS_REVERSE_TIMEOUT_S 1.0
/*
 * An answer that counts a name as gone, and arrives before the kernel takes that name away, has it taken away twice:
 * a file that has names would have none. For so long after a change such answers are good for one question.
 */
#define XTSFS_LINKS_CHANGED_S 10U

/* session.c */
void xtsfs_op_init(void *userdata, struct fuse_conn_info *conn);

extern const struct fuse_lowlevel_ops xtsfs_fuse_ops; /* ops-table.c */
/* ops-reverse.c: those that are others in a reverse view. */
void xtsfs_reverse_ops(struct fuse_lowlevel_ops *ops);

struct xtsfs_helper;
struct xtsfs_seeker;

/* What a request finds behind itself. */
struct xtsfs_mount {
	struct xtsfs_volume *volume;
	struct xtsfs_seeker *seeker; /* NULL if the kernel's cache cannot be made to write itself out (seek.c) */
	struct xtsfs_helper *helper; /* NULL where there is no sandbox */
	bool has_cache;		     /* the kernel keeps what is written before it sends it */
	bool no_xattr;
	bool shared;	  /* others write the volume, too: the kernel keeps nothing */
	bool is_reverse;  /* somebody else changes what is shown */
	bool writes_once; /* and its pages tell whether they are being written: a notification waits for that */
};

static inline struct xtsfs_mount *xtsfs_req_mount(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct xtsfs_volume *xtsfs_req_volume(fuse_req_t req)
{
	return xtsfs_req_mount(req)->volume;
}

static inline struct xtsfs_node *xtsfs_req_node(fuse_req_t req, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? xtsfs_root(xtsfs_req_volume(req)) : (struct xtsfs_node *)(uintptr_t)ino;
}

static inline struct xtsfs_cred xtsfs_req_cred(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct xtsfs_cred){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

/** May the caller keep the setgid bit of this object: is it in its group, or has it CAP_FSETID? No, if that cannot be
 * told. */
bool xtsfs_req_may_setgid(fuse_req_t req, const struct stat *st);
/** Has the caller CAP_FSETID where this object counts? No, if that cannot be told. */
bool xtsfs_req_has_fsetid(fuse_req_t req, const struct stat *st);
/** Is the caller the object's owner, or has it CAP_FOWNER? If that cannot be told: is it root? */
bool xtsfs_req_owns(fuse_req_t req, const struct stat *st);
/* Whether a process has a capability that counts for an object of this owner and group, or is in the group. */
struct xtsfs_caller_question {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	unsigned capability;
	bool or_group; /* by its supplementary groups */
};
/** Reads /proc. 1: yes, 0: no, -errno: it cannot be told. */
int xtsfs_process_may(const struct xtsfs_caller_question *question);

/* suid.c: setuid and setgid bits that the call takes away; before it is made. */
enum xtsfs_privilege { XTSFS_PRIVILEGED, XTSFS_UNPRIVILEGED, XTSFS_PRIVILEGE_UNKNOWN };
/** The content or length of a file changes. @privilege: whether the caller has CAP_FSETID. */
int xtsfs_suid_changed(fuse_req_t req, struct xtsfs_node *node, enum xtsfs_privilege privilege);
/**
 * At a chown, take away what the backing filesystem does not, or everything if it sees none because nothing is to be
 * changed (chown(-1, -1)). -EPERM for those who may not change the mode.
 */
int xtsfs_suid_chown(fuse_req_t req, struct xtsfs_node *node, bool to_nobody);
/** After an ACL was set: by somebody outside of the owning group it takes the setgid bit, as chmod does. The kernel
 * does that for chmod, and leaves it to us for an ACL, holding the inode's lock. */
int xtsfs_suid_acl(fuse_req_t req, struct xtsfs_node *node);

/* The errno that a reply carries: what ext4 could give. */
int xtsfs_reply_errno(int error);
void xtsfs_reply_status(fuse_req_t req, int error);
/* An entry with the reference it carries, or the error; -ENOENT as a negative entry if @negative. */
void xtsfs_reply_entry(fuse_req_t req, int error, struct xtsfs_node *node, const struct stat *st, bool negative);
void xtsfs_reply_attr(fuse_req_t req, struct xtsfs_node *node, const struct stat *st);
struct fuse_entry_param xtsfs_entry(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct stat *st);

/* ops-dir.c */
void xtsfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void xtsfs_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void xtsfs_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list);
void xtsfs_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void xtsfs_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void xtsfs_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void xtsfs_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);
void xtsfs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void xtsfs_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void xtsfs_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		     unsigned flags);
void xtsfs_op_readlink(fuse_req_t req, fuse_ino_t ino);
void xtsfs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void xtsfs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void xtsfs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t position, struct fuse_file_info *fi);
void xtsfs_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t position, struct fuse_file_info *fi);
void xtsfs_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);

/* ops-file.c */
void xtsfs_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
#if XTSFS_HAVE_FUSE_TMPFILE
void xtsfs_op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
#endif
void xtsfs_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void xtsfs_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void xtsfs_op_read(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset, struct fuse_file_info *fi);
void xtsfs_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t offset,
		    struct fuse_file_info *fi);
void xtsfs_op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void xtsfs_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t bytes, struct fuse_file_info *fi);

/* seek.c */
void xtsfs_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);

/* ops-attr.c */
void xtsfs_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void xtsfs_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void xtsfs_op_statfs(fuse_req_t req, fuse_ino_t ino);
void xtsfs_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t room);
void xtsfs_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t bytes, int flags);
void xtsfs_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t room);
void xtsfs_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/** This thread's buffer for replies, XTSFS_REPLY_BYTES, page-aligned; NULL without memory. */
#define XTSFS_REPLY_BYTES (1U << 20)
char *xtsfs_reply_buffer(void);
/** If this thread has one, wipe it. */
void xtsfs_reply_buffer_wipe(void);

#endif
