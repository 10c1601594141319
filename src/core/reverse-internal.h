/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the reverse view share. Not seen outside of src/core.
 *
 * Layer:   core, internal.
 * Locks: the mutexes here are leaves, but for that of an open file, over which the source is read and encrypted.
 * A node is of one name: (parent, plain name) and what was found there, so the same object under two names is two nodes
 * with one inode number. Nodes of what the source does not have (virtual ones) have a device number of their own.
 */
#ifndef XTSFS_CORE_REVERSE_INTERNAL_H
#define XTSFS_CORE_REVERSE_INTERNAL_H

#include "core/file.h"
#include "core/internal.h"
#include "core/reverse.h"

/* What the view has and the source has not. */
enum xtsfs_virtual {
	XTSFS_VIRTUAL_NONE,
	XTSFS_VIRTUAL_DIRID,
	XTSFS_VIRTUAL_NAME, /* of the entry that the node's link names */
	XTSFS_VIRTUAL_CONF,
	XTSFS_VIRTUAL_CONF_COPY,
};

struct xtsfs_reverse_buffer;
struct xtsfs_reverse_long; /* a long name that is known */

struct xtsfs_reverse {
	struct xtsfs_reverse_params params;
	dev_t dev;	   /* of the root */
	int64_t created_s; /* of the configuration: the time of all virtual files but its own */

	pthread_mutex_t long_mutex;
	struct xtsfs_reverse_long **longs; /* by a part of the hash */

	pthread_mutex_t mutex; /* the buffers: which group is in which, and who uses it */
	pthread_cond_t changed;
	struct xtsfs_reverse_buffer *buffers;
	unsigned buffer_count;
	uint64_t uses;
	struct xtsfs_reverse_file *open; /* a mount that is torn down leaves some open */
};

/* ---- reverse.c ---- */
xtsfs_must_check int xtsfs_reverse_new(struct xtsfs_volume *volume, const struct xtsfs_config *config,
				       const struct xtsfs_reverse_params *params);
void xtsfs_reverse_free(struct xtsfs_volume *volume);
/** The volume's key, as by the root's id: is it that one? 0, -EBADMSG, or an error. */
xtsfs_must_check int xtsfs_reverse_verify(struct xtsfs_volume *volume, const struct xtsfs_keys *keys);

static inline enum xtsfs_virtual xtsfs_virtual_of(const struct xtsfs_node *node)
{
	return node->dev >= (dev_t)0 - XTSFS_VIRTUAL_CONF_COPY ? (enum xtsfs_virtual)((dev_t)0 - node->dev)
							       : XTSFS_VIRTUAL_NONE;
}

/* ---- reverse-id.c ---- */
/** The id of a directory: of the root with @parent_id NULL. */
xtsfs_must_check int xtsfs_reverse_dirid(const struct xtsfs_keys *keys, const uint8_t *parent_id, const char *name,
					 uint8_t ret_id[XTSFS_ID_BYTES]);
/** The id of anything else that is found in @dir, by its name, or by its inode if it has several. */
xtsfs_must_check int xtsfs_reverse_object_id(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
					     const struct stat *st, uint8_t ret_id[XTSFS_ID_BYTES]);
/** What stands for the random bytes before a sealed value: of an attribute, or, with @name NULL, a symlink. */
xtsfs_must_check int xtsfs_reverse_salt(struct xtsfs_volume *volume, const uint8_t object_id[XTSFS_ID_BYTES],
					const char *name, uint8_t ret_salt[16]);
/** The inode number that is shown of what is in @dir; NULL: of the root. */
xtsfs_must_check int xtsfs_reverse_ino(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, dev_t dev,
				       ino_t ino, ino_t *ret_ino);
xtsfs_must_check int xtsfs_reverse_virtual_ino(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES],
					       const char *shown, ino_t *ret_ino);

/* ---- reverse-dir.c ---- */
xtsfs_must_check int xtsfs_reverse_lookup(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
					  struct xtsfs_node **ret_node, struct stat *ret_stat);
xtsfs_must_check int xtsfs_reverse_getattr(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat);
/** Is (dir, name) in the view? @dir_path: of the directory, with a slash at its end, or empty. */
bool xtsfs_reverse_shows(struct xtsfs_volume *volume, const struct xtsfs_node *dir, const char *dir_path,
			 const char *name, bool is_dir);
/** "a/b/", or "" for the root. NULL: no memory. The caller frees. */
char *xtsfs_reverse_path(const struct xtsfs_node *dir);
void xtsfs_reverse_longs_free(struct xtsfs_reverse *reverse);
/** Names in a directory: one at a time, as the view has them. */
struct xtsfs_reverse_list;
xtsfs_must_check int xtsfs_reverse_list_new(struct xtsfs_volume *volume, struct xtsfs_node *node,
					    struct xtsfs_reverse_list **ret_list);
void xtsfs_reverse_list_free(struct xtsfs_reverse_list *list);
xtsfs_must_check int xtsfs_reverse_list_seek(struct xtsfs_reverse_list *list, int64_t position);
xtsfs_must_check int xtsfs_reverse_list_next(struct xtsfs_reverse_list *list, struct xtsfs_dirent *ret_entry);
void xtsfs_reverse_list_back(struct xtsfs_reverse_list *list);
xtsfs_must_check int xtsfs_reverse_list_lookup(struct xtsfs_reverse_list *list, struct xtsfs_node **ret_node,
					       struct stat *ret_stat);

/* ---- reverse-attr.c ---- */
uint64_t xtsfs_reverse_cipher_bytes(const struct xtsfs_volume *volume, uint64_t plain_bytes);
/** What the view shows of @st, of (dir, name); @dir NULL: the root. */
xtsfs_must_check int xtsfs_reverse_stat(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
					const struct stat *st, struct stat *ret_stat);
xtsfs_must_check int xtsfs_reverse_virtual_stat(struct xtsfs_volume *volume, struct xtsfs_node *node,
						struct stat *ret_stat);
/** The content of a virtual file; the caller frees it. */
xtsfs_must_check ssize_t xtsfs_reverse_virtual_content(struct xtsfs_volume *volume, struct xtsfs_node *node,
						       uint8_t **ret_content);
xtsfs_must_check int xtsfs_reverse_readlink(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_target);
/** The node's own state in the source, checked to be still the one. */
xtsfs_must_check int xtsfs_reverse_source_stat(struct xtsfs_volume *volume, struct xtsfs_node *node,
					       struct stat *ret_stat);
xtsfs_must_check int xtsfs_reverse_node_id(struct xtsfs_volume *volume, struct xtsfs_node *node,
					   uint8_t ret_id[XTSFS_ID_BYTES]);

/* ---- xattr.c ---- */
xtsfs_must_check ssize_t xtsfs_reverse_getxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name,
						void *ret_value, size_t room);
xtsfs_must_check ssize_t xtsfs_reverse_listxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_list,
						 size_t room);

/* ---- reverse-file.c, reverse-cache.c ---- */
/** Of a file that is open, and has lost its name meanwhile. */
bool xtsfs_reverse_open_stat(struct xtsfs_volume *volume, const struct xtsfs_node *node, struct stat *ret_stat);
/* One open file of the view. */
struct xtsfs_reverse_file {
	struct xtsfs_volume *volume;
	struct xtsfs_reverse_file *next, **at_list; /* reverse.mutex: reverse.open, and what points to this one */
	struct xtsfs_node *node;		    /* referenced */
	struct xtsfs_fd *fd;			    /* NULL for a virtual one */
	struct stat seen;			    /* of the source when it was opened */
	uint64_t cipher_bytes;
	struct xtsfs_file file; /* the header, and block 0 where it is not one of a group */
	struct xtsfs_io io;
	uint64_t groups;

	pthread_mutex_t mutex; /* guards the rest; held while inline content is made */
	uint8_t *content;      /* of a virtual or an inline file, once it is known */
	bool told;	       /* that it has changed */
	struct xtsfs_reverse_given *given;
	size_t given_count, given_room;
};
/* What was given out of a group: the tag of its meta block says it all. */
struct xtsfs_reverse_given {
	uint64_t group_no;
	uint8_t tag[XTSFS_TAG_BYTES];
};

/* A group as it is stored. */
struct xtsfs_reverse_buffer {
	const struct xtsfs_reverse_file *owner; /* NULL: nothing is in it */
	uint64_t group_no, last_use;
	unsigned users;
	bool filling;
	struct xtsfs_scratch *data;
};
/** Make a group from the source. -EIO: the source has changed. */
xtsfs_must_check int xtsfs_reverse_make_group(struct xtsfs_reverse_file *file, uint64_t group_no,
					      struct xtsfs_scratch *ret_data);
/** A group of the file, in use until it is given back. */
xtsfs_must_check int xtsfs_reverse_group_get(struct xtsfs_reverse_file *file, uint64_t group_no,
					     struct xtsfs_reverse_buffer **ret_buffer);
void xtsfs_reverse_group_put(struct xtsfs_volume *volume, struct xtsfs_reverse_buffer *buffer);
/** The file is being closed. */
void xtsfs_reverse_group_forget(const struct xtsfs_reverse_file *file);
void xtsfs_reverse_cache_free(struct xtsfs_reverse *reverse);
/** First whole sector from @sector_no on that is wholly a hole of the source (@hole) or is not; the number of sectors
 * if there is none. */
xtsfs_must_check int xtsfs_reverse_next_sector(struct xtsfs_reverse_file *file, uint64_t sector_no, bool hole,
					       uint64_t *ret_sector_no);

#endif
