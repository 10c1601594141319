/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owner, mode, times, extended attributes and ACLs of what is copied out.
 *
 * Everything is set through a descriptor of the thing itself, or for what cannot be opened (symlinks, devices) by its
 * name in the directory's descriptor, never following: nothing that somebody puts there meanwhile leads out of the
 * target. Owner before mode and attributes, since a chown takes setuid bits and capabilities away.
 */
#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_BYTES 65536U

struct place {
	int fd, dir_fd;
	const char *name;
	char proc[40 + 256]; /* for l*xattr() of what has no descriptor */
};

static int set_xattr(const struct place *at, const char *attr, const char *value, size_t bytes)
{
	int r = at->fd >= 0 ? fsetxattr(at->fd, attr, value, bytes, 0) : lsetxattr(at->proc, attr, value, bytes, 0);

	return r < 0 ? -errno : 0;
}

static bool is_acl(const char *attr)
{
	return strncmp(attr, "system.posix_acl_", 17) == 0;
}

static void copy_xattrs(struct extraction *x, struct xtsfs_node *node, const struct place *at, const char *path,
			char *chunk)
{
	char *names = chunk, *value = chunk + NAMES_BYTES;
	ssize_t n = xtsfs_listxattr(x->fs, node, names, NAMES_BYTES);

	if (n < 0 && n != -EOPNOTSUPP)
		extract_failed(x, (int)n, "list the attributes of", path);
	for (const char *attr = names; n > 0 && attr < names + n; attr += strlen(attr) + 1) {
		ssize_t bytes = xtsfs_getxattr(x->fs, node, attr, value, EXTRACT_CHUNK - NAMES_BYTES);
		int r;

		if (bytes < 0) {
			extract_failed(x, (int)bytes, "read an extended attribute of", path);
			continue;
		}
		r = set_xattr(at, attr, value, (size_t)bytes);
		if (r < 0 && !extract_is_fatal(x, r))
			extract_not_kept(x, is_acl(attr) ? EXTRACT_ACL : EXTRACT_XATTR, r,
					 !x->is_root && (r == -EPERM || r == -EOPNOTSUPP), path);
	}
}

void extract_attributes(struct extraction *x, struct xtsfs_node *node, const struct stat *st, int fd, int dir_fd,
			const char *name, const char *path, char *chunk)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	struct place at = {.fd = fd, .dir_fd = dir_fd, .name = name};
	int r = 0;

	if (fd < 0)
		snprintf(at.proc, sizeof(at.proc), "/proc/self/fd/%d/%s", dir_fd, name);
	if (x->is_root)
		r = fd >= 0 ? fchown(fd, st->st_uid, st->st_gid)
			    : fchownat(dir_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		extract_not_kept(x, EXTRACT_OWNER, -errno, false, path);
	else if (!x->is_root && (st->st_uid != geteuid() || st->st_gid != getegid()))
		extract_not_kept(x, EXTRACT_OWNER, -EPERM, true, path);
	copy_xattrs(x, node, &at, path, chunk);
	/* What has no descriptor was made with its mode, and symlinks have none. */
	if (fd >= 0 && fchmod(fd, st->st_mode & 07777) < 0)
		extract_not_kept(x, EXTRACT_MODE, -errno, false, path);
	r = fd >= 0 ? futimens(fd, times) : utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		extract_not_kept(x, EXTRACT_TIMES, -errno, false, path);
}
