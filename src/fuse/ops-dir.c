/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about entries and directories.
 */
#include "fuse/ops.h"

#include "format/ondisk.h"

#include <dirent.h>
#include <string.h>

void xtsfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_lookup(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name, &node, &st);

	xtsfs_reply_entry(req, r, node, &st, true);
}

void xtsfs_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	if (ino != FUSE_ROOT_ID)
		xtsfs_forget(xtsfs_req_volume(req), xtsfs_req_node(req, ino), count);
	fuse_reply_none(req);
}

void xtsfs_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].ino != FUSE_ROOT_ID)
			xtsfs_forget(xtsfs_req_volume(req), xtsfs_req_node(req, list[i].ino), list[i].nlookup);
	fuse_reply_none(req);
}

void xtsfs_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct xtsfs_cred cred = xtsfs_req_cred(req);
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_mknod(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name, mode, rdev, &cred, &node, &st);

	xtsfs_reply_entry(req, r, node, &st, false);
}

void xtsfs_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct xtsfs_cred cred = xtsfs_req_cred(req);
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_mkdir(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name, mode, &cred, &node, &st);

	xtsfs_reply_entry(req, r, node, &st, false);
}

void xtsfs_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct xtsfs_cred cred = xtsfs_req_cred(req);
	struct xtsfs_node *node = NULL;
	struct stat st;
	int r = xtsfs_symlink(xtsfs_req_volume(req), target, xtsfs_req_node(req, parent), name, &cred, &node, &st);

	xtsfs_reply_entry(req, r, node, &st, false);
}

void xtsfs_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct xtsfs_node *node = xtsfs_req_node(req, ino);
	struct stat st;
	int r = xtsfs_link(xtsfs_req_volume(req), node, xtsfs_req_node(req, new_parent), new_name, &st);

	xtsfs_reply_entry(req, r, node, &st, false);
}

void xtsfs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	xtsfs_reply_status(req, xtsfs_unlink(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name));
}

void xtsfs_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	xtsfs_reply_status(req, xtsfs_rmdir(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name));
}

void xtsfs_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		     unsigned flags)
{
	xtsfs_reply_status(req, xtsfs_rename(xtsfs_req_volume(req), xtsfs_req_node(req, parent), name,
					     xtsfs_req_node(req, new_parent), new_name, flags));
}

void xtsfs_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[XTSFS_READLINK_ROOM];
	int r = xtsfs_readlink(xtsfs_req_volume(req), xtsfs_req_node(req, ino), target);

	if (r < 0)
		xtsfs_reply_status(req, r);
	else
		fuse_reply_readlink(req, target);
}

static struct xtsfs_dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct xtsfs_dir *)(uintptr_t)fi->fh;
}

void xtsfs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct xtsfs_dir *dir;
	int r = xtsfs_opendir(xtsfs_req_volume(req), xtsfs_req_node(req, ino), &dir);

	if (r < 0) {
		xtsfs_reply_status(req, r);
		return;
	}
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi) == -ENOENT)
		xtsfs_closedir(dir);
}

void xtsfs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	xtsfs_closedir(dir_of(fi));
	fuse_reply_err(req, 0);
}

/* One entry into the reply. Returns its bytes there (more than @room: it does not fit), or 0 if it is to be left out.
 */
static size_t add_entry(fuse_req_t req, struct xtsfs_dir *dir, const struct xtsfs_dirent *dirent, bool plus, char *out,
			size_t room, struct xtsfs_node **ret_node)
{
	bool dot = strcmp(dirent->name, ".") == 0 || strcmp(dirent->name, "..") == 0;
	struct fuse_entry_param entry = {.attr = {.st_ino = dirent->ino, .st_mode = (mode_t)dirent->type << 12}};
	struct stat st;
	int r;

	*ret_node = NULL;
	if (!plus)
		return fuse_add_direntry(req, out, room, dirent->name, &entry.attr, dirent->next);
	if (!dot) {
		if (fuse_add_direntry_plus(req, NULL, 0, dirent->name, NULL, 0) > room)
			return room + 1;
		/* Without a node it is the name alone. For what the kernel knows it is better: it would forget the ACLs
		 * that it has looked for. */
		if (xtsfs_dir_is_told(dir))
			return fuse_add_direntry_plus(req, out, room, dirent->name, &entry, dirent->next);
		r = xtsfs_dir_lookup(dir, ret_node, &st);
		if (r == -ENOENT)
			return 0; /* removed meanwhile */
		if (r == 0)
			entry = xtsfs_entry(xtsfs_req_volume(req), *ret_node, &st);
		/* Otherwise the name alone; a lookup tells the error. */
	}
	return fuse_add_direntry_plus(req, out, room, dirent->name, &entry, dirent->next);
}

static void read_entries(fuse_req_t req, size_t bytes, off_t position, struct fuse_file_info *fi, bool plus)
{
	struct xtsfs_dir *dir = dir_of(fi);
	char *out = xtsfs_reply_buffer();
	struct xtsfs_dirent dirent;
	size_t used = 0;
	int r = out ? xtsfs_seekdir(dir, position) : -ENOMEM;

	if (bytes > XTSFS_REPLY_BYTES)
		bytes = XTSFS_REPLY_BYTES;
	while (r == 0 && (r = xtsfs_readdir(dir, &dirent)) > 0) {
		struct xtsfs_node *node;
		size_t n = add_entry(req, dir, &dirent, plus, out + used, bytes - used, &node);

		r = 0;
		if (n > bytes - used) {
			if (node)
				xtsfs_forget(xtsfs_req_volume(req), node, 1);
			xtsfs_unreaddir(dir);
			break;
		}
		used += n;
	}
	if (r < 0 && used == 0)
		xtsfs_reply_status(req, r);
	else
		fuse_reply_buf(req, out, used);
}

void xtsfs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t position, struct fuse_file_info *fi)
{
	(void)ino;
	read_entries(req, bytes, position, fi, false);
}

void xtsfs_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t position, struct fuse_file_info *fi)
{
	(void)ino;
	read_entries(req, bytes, position, fi, true);
}

void xtsfs_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)fi;
	xtsfs_reply_status(req, xtsfs_fsyncdir(xtsfs_req_volume(req), xtsfs_req_node(req, ino), data_only));
}
