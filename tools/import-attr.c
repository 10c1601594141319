/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owner, mode, times, extended attributes and ACLs of what is imported: set, and compared afterwards.
 *
 * Owner first, since a chown takes setuid bits and capabilities away; then attributes, whose ACLs change the mode; then
 * mode and times. What is not the source's goes: a directory with a default ACL gives one to all that is made in it.
 * Labels of security modules stay, they are this machine's.
 *
 * What no volume can keep (inode flags, a project, blocks shared with other files) is looked for as well.
 */
#include "import.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#define NAMES_BYTES 65536U
#define EXTENTS	    16U

/* Of a chunk of IMPORT_CHUNK bytes. */
struct room {
	char *names, *others, *value, *other;
};

static struct room room_in(char *chunk)
{
	return (struct room){chunk, chunk + NAMES_BYTES, chunk + 2 * NAMES_BYTES, chunk + 4 * NAMES_BYTES};
}

static bool is_acl(const char *attr)
{
	return strncmp(attr, "system.posix_acl_", 17) == 0;
}

static bool is_ours_to_copy(const char *attr)
{
	return strcmp(attr, IMPORT_MARK) != 0 && strcmp(attr, XTSFS_XATTR_PATH) != 0;
}

static bool has_name(const char *names, ssize_t bytes, const char *attr)
{
	for (const char *name = names; bytes > 0 && name < names + bytes; name += strlen(name) + 1)
		if (strcmp(name, attr) == 0)
			return true;
	return false;
}

static bool is_extra(const char *names, ssize_t bytes, const char *attr)
{
	return is_ours_to_copy(attr) && strncmp(attr, "security.", 9) != 0 && !has_name(names, bytes, attr);
}

/* Names of the source's attributes; none where it cannot have any. */
static ssize_t list_source(struct import *x, const struct import_source *source, const char *path, char *ret_names)
{
	ssize_t n = import_source_list(source, ret_names, NAMES_BYTES);

	if (n < 0 && n != -EOPNOTSUPP && n != -ENOSYS)
		import_failed(x, (int)n, "list the attributes of", path);
	return n < 0 ? 0 : n;
}

static struct xtsfs_setattr nothing(void)
{
	return (struct xtsfs_setattr){.times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
}

static void not_kept_owner(struct import *x, const struct stat *want, const struct stat *is, const char *path)
{
	char reason[80];

	snprintf(reason, sizeof(reason), "it is %u:%u, and was %u:%u", is->st_uid, is->st_gid, want->st_uid,
		 want->st_gid);
	import_not_kept(x, IMPORT_OWNER, reason, path);
}

/* One after the other: a user may give his file to a group that he is in, and never to another user. */
static void set_owner(struct import *x, const struct import_source *source, struct import_node *node, const char *path)
{
	const struct import_target_ops *ops = x->target->ops;
	struct xtsfs_setattr gid = nothing(), uid = nothing();
	struct stat st;
	int r = ops->getattr(x->target, node, &st);

	gid.gid_set = uid.uid_set = true;
	gid.gid = source->st.st_gid;
	uid.uid = source->st.st_uid;
	if (r == 0 && st.st_gid != gid.gid)
		r = ops->setattr(x->target, node, &gid);
	if (r == 0 && st.st_uid != uid.uid)
		r = ops->setattr(x->target, node, &uid);
	if (r < 0 && !import_is_fatal(x, r))
		not_kept_owner(x, &source->st, &st, path);
}

static void set_xattrs(struct import *x, const struct import_source *source, struct import_node *node, const char *path,
		       char *chunk)
{
	const struct import_target_ops *ops = x->target->ops;
	const struct room room = room_in(chunk);
	ssize_t names = list_source(x, source, path, room.names), others;

	for (const char *attr = room.names; attr < room.names + names; attr += strlen(attr) + 1) {
		ssize_t bytes = import_source_get(source, attr, room.value, 2 * NAMES_BYTES);
		int r;

		if (!is_ours_to_copy(attr))
			continue;
		if (bytes < 0) { /* some peers list what they do not give out */
			import_not_kept(x, IMPORT_XATTR, xtsfs_strerror((int)bytes), path);
			continue;
		}
		r = ops->setxattr(x->target, node, attr, room.value, (size_t)bytes);
		if (r < 0 && (r == -E2BIG || r == -ENOSPC || !import_is_fatal(x, r)))
			import_not_kept(x, is_acl(attr) ? IMPORT_ACL : IMPORT_XATTR, xtsfs_strerror(r), path);
	}
	others = ops->listxattr(x->target, node, room.others, NAMES_BYTES);
	for (const char *attr = room.others; others > 0 && attr < room.others + others; attr += strlen(attr) + 1)
		if (is_extra(room.names, names, attr))
			(void)!ops->removexattr(x->target, node, attr); /* comparing tells */
}

void import_attr_set(struct import *x, const struct import_source *source, struct import_node *node, const char *path,
		     char *chunk)
{
	struct xtsfs_setattr rest = {.mode_set = !S_ISLNK(source->st.st_mode),
				     .mode = source->st.st_mode & 07777,
				     .times = {source->st.st_atim, source->st.st_mtim}};
	int r;

	set_owner(x, source, node, path);
	set_xattrs(x, source, node, path, chunk);
	r = x->target->ops->setattr(x->target, node, &rest);
	if (r < 0 && !import_is_fatal(x, r))
		import_not_kept(x, IMPORT_TIMES, xtsfs_strerror(r), path);
}

static bool compare_xattrs(struct import *x, const struct import_source *source, struct import_node *node,
			   const char *path, char *chunk)
{
	const struct import_target_ops *ops = x->target->ops;
	const struct room room = room_in(chunk);
	ssize_t names = list_source(x, source, path, room.names);
	ssize_t others = ops->listxattr(x->target, node, room.others, NAMES_BYTES);
	bool same = true;

	for (const char *attr = room.names; attr < room.names + names; attr += strlen(attr) + 1) {
		ssize_t want = import_source_get(source, attr, room.value, 2 * NAMES_BYTES), is;

		if (!is_ours_to_copy(attr))
			continue;
		is = ops->getxattr(x->target, node, attr, room.other, 2 * NAMES_BYTES);
		if (want >= 0 && is == want && memcmp(room.value, room.other, (size_t)is) == 0)
			continue;
		import_not_kept(x, is_acl(attr) ? IMPORT_ACL : IMPORT_XATTR,
				is == -ENODATA ? "it is not there"
				: is < 0       ? xtsfs_strerror((int)is)
					       : "it is another",
				path);
		same = false;
	}
	for (const char *attr = room.others; others > 0 && attr < room.others + others; attr += strlen(attr) + 1) {
		if (!is_extra(room.names, names, attr))
			continue;
		import_not_kept(x, is_acl(attr) ? IMPORT_ACL : IMPORT_XATTR, "there is one more", path);
		same = false;
	}
	return same;
}

bool import_attr_compare(struct import *x, const struct import_source *source, struct import_node *node,
			 const char *path, char *chunk)
{
	const struct stat *want = &source->st;
	char reason[80];
	bool same = true;
	struct stat is;
	int r = x->target->ops->getattr(x->target, node, &is);

	if (r < 0) {
		import_tell(x, IMPORT_DIFFERENT, path, "%s", xtsfs_strerror(r));
		return false;
	}
	if (is.st_uid != want->st_uid || is.st_gid != want->st_gid) {
		not_kept_owner(x, want, &is, path);
		same = false;
	}
	if (!S_ISLNK(want->st_mode) && is.st_mode != want->st_mode) {
		snprintf(reason, sizeof(reason), "it is %04o, and was %04o", is.st_mode & 07777, want->st_mode & 07777);
		import_not_kept(x, IMPORT_MODE, reason, path);
		same = false;
	}
	if (is.st_mtim.tv_sec != want->st_mtim.tv_sec || is.st_mtim.tv_nsec != want->st_mtim.tv_nsec) {
		snprintf(reason, sizeof(reason), "it is %lld.%09ld, and was %lld.%09ld", (long long)is.st_mtim.tv_sec,
			 is.st_mtim.tv_nsec, (long long)want->st_mtim.tv_sec, want->st_mtim.tv_nsec);
		import_not_kept(x, IMPORT_TIMES, reason, path);
		same = false;
	}
	return compare_xattrs(x, source, node, path, chunk) && same;
}

static bool look_at_flags(struct import *x, int fd, const char *path)
{
	static const struct {
		int flag;
		const char *name;
	} flags[] = {
		{FS_IMMUTABLE_FL, "immutable"},
		{FS_APPEND_FL, "append only"},
		{FS_NODUMP_FL, "no dump"},
		{FS_NOATIME_FL, "no times of access"},
		{FS_SYNC_FL, "synchronous"},
		{FS_DIRSYNC_FL, "synchronous directory"},
		{FS_COMPR_FL, "compressed"},
		{FS_NOCOMP_FL, "not to be compressed"},
		{FS_NOCOW_FL, "no copy on write"},
		{FS_JOURNAL_DATA_FL, "journalled data"},
		{FS_SECRM_FL, "secure deletion"},
		{FS_UNRM_FL, "undeletable"},
		{FS_TOPDIR_FL, "top of a hierarchy"},
		{FS_NOTAIL_FL, "no tail"},
		{FS_VERITY_FL, "verity"},
		{FS_CASEFOLD_FL, "letters of either case"},
		{FS_DAX_FL, "direct access"},
		{FS_PROJINHERIT_FL, "project of the directory"},
	};
	int value = 0; /* the kernel writes one, whatever the request says */
	bool none = true;

	if (ioctl(fd, FS_IOC_GETFLAGS, &value) < 0)
		return true;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!(value & flags[i].flag))
			continue;
		import_not_kept(x, IMPORT_FLAGS, flags[i].name, path);
		none = false;
	}
	return none;
}

static bool look_at_project(struct import *x, int fd, const char *path)
{
	struct fsxattr attributes = {0};
	char reason[40];

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0 || attributes.fsx_projid == 0)
		return true;
	snprintf(reason, sizeof(reason), "it was project %u", attributes.fsx_projid);
	import_not_kept(x, IMPORT_PROJECT, reason, path);
	return false;
}

/* How many files share blocks with others is of interest for the space that it will take, and nothing is lost. */
static void look_at_sharing(struct import *x, int fd)
{
	union {
		struct fiemap map;
		char bytes[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
	} ask = {.map = {.fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = EXTENTS}};

	if (ioctl(fd, FS_IOC_FIEMAP, &ask.map) < 0)
		return;
	for (unsigned i = 0; i < ask.map.fm_mapped_extents; i++) {
		if (ask.map.fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED) {
			import_count(&x->shared_files, 1);
			return;
		}
	}
}

bool import_attr_look(struct import *x, const struct import_source *source, const char *path)
{
	bool none;
	xtsfs_auto_fd fd = -1;

	if (!S_ISREG(source->st.st_mode) && !S_ISDIR(source->st.st_mode))
		return true;
	fd = import_source_read(source, O_NONBLOCK);
	if (fd < 0)
		return true; /* reading it tells why */
	none = look_at_flags(x, fd, path);
	none &= look_at_project(x, fd, path);
	if (S_ISREG(source->st.st_mode) && source->st.st_blocks > 0)
		look_at_sharing(x, fd);
	return none;
}
