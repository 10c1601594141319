/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar stream into a volume.
 *
 * Paths of the stream are cut into names, put together again below the directory that was asked for, and looked up in
 * the volume name by name: an entry with ".." in its path is refused, leading slashes and single dots are left away,
 * and what is in the place of a directory and is none, such as a symlink, ends the way. The core knows nothing outside
 * of the volume, so there is no path by which a stream could get there.
 *
 * What exists is kept unless it is to be overwritten; directories are shared. Directories get their attributes at the
 * end, the newest first, since entries that come later change their times, and their modes may forbid them.
 */
#include "tar.h"

#include "base/cleanup.h"
#include "core/path.h"
#include "format/ondisk.h"

#include <archive.h>
#include <string.h>
#include <unistd.h>

#define ACL_BYTES	16384U
#define PATH_BYTES_MOST 16384U /* each level is one of recursion */

/* A directory whose attributes are still to be set. */
struct later {
	struct later *next;
	struct xtsfs_setattr set;
	uint8_t *acl; /* its default ACL, which what is made in it must not inherit, or NULL */
	size_t acl_bytes;
	char path[];
};

struct input {
	struct tar *tar;
	const struct tar_in_options *options;
	struct archive *archive;
	const char *base;
	struct later *later;
	bool is_root;
	int broken; /* -errno: nothing more can be written */
};

static void failed(struct input *in, int error, const char *what, const char *path)
{
	if (error == -ENOSPC || error == -EDQUOT || error == -EROFS || error == -ENOMEM)
		in->broken = error;
	tar_failed(in->tar, error, what, path);
}

/* @path below the base, in plain components. -EINVAL for one that goes upwards. */
static int place_of(const struct input *in, const char *path, char **ret_path)
{
	char *clean, *end;

	if (strlen(path) > PATH_BYTES_MOST)
		return -ENAMETOOLONG;
	clean = malloc(strlen(in->base) + strlen(path) + 2);
	if (!clean)
		return -ENOMEM;
	end = stpcpy(clean, in->base);
	path += strspn(path, "/");
	for (size_t bytes; (bytes = strcspn(path, "/")) > 0; path += bytes + strspn(path + bytes, "/")) {
		if (bytes == 1 && path[0] == '.')
			continue;
		if (bytes > XTSFS_NAME_MAX || (bytes == 2 && memcmp(path, "..", 2) == 0)) {
			free(clean);
			return bytes == 2 ? -EINVAL : -ENAMETOOLONG;
		}
		*end++ = '/';
		end = mempcpy(end, path, bytes);
	}
	*end = '\0';
	*ret_path = clean;
	return 0;
}

/* The node of the directory that @path is in, made if it is missing; @ret_name is the rest. */
static int open_parent(struct input *in, char *path, struct xtsfs_node **ret_dir, const char **ret_name)
{
	struct xtsfs_volume *fs = in->tar->fs;
	char *slash = strrchr(path, '/');
	struct xtsfs_node *dir, *upper;
	const char *name;
	struct stat st;
	int r;

	if (!slash)
		return -ENOENT; /* the base itself is gone */
	*slash = '\0';
	r = xtsfs_path_lookup(fs, path, &dir, &st);
	if (r == -ENOENT) {
		r = open_parent(in, path, &upper, &name);
		if (r == 0) {
			r = xtsfs_mkdir(fs, upper, name, 0755, NULL, &dir, &st);
			xtsfs_forget(fs, upper, 1);
		}
	}
	*slash = '/';
	if (r == 0 && !S_ISDIR(st.st_mode)) {
		xtsfs_forget(fs, dir, 1);
		r = -ENOTDIR;
	}
	if (r < 0)
		return r;
	*ret_dir = dir;
	*ret_name = slash + 1;
	return 0;
}

/* Of a time before 1970 libarchive takes the fraction for one that goes forward. The case 456-tar has such a time. */
static struct timespec time_of(time_t seconds, long nanoseconds)
{
	if (seconds < 0 && nanoseconds > 0)
		return (struct timespec){seconds - 1, 1000000000L - nanoseconds};
	return (struct timespec){seconds, nanoseconds};
}

/* An ACL has taken the place of the group's permissions in it: with one, they are its mask. */
static mode_t mode_of(struct archive_entry *entry)
{
	mode_t mode = archive_entry_perm(entry);
	int type, permissions, tag, id;
	const char *name;

	(void)archive_entry_acl_reset(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
	while (archive_entry_acl_next(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &type, &permissions, &tag, &id, &name) ==
	       ARCHIVE_OK)
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			mode = (mode & ~(mode_t)070) | ((mode_t)permissions & 7) << 3;
	return mode;
}

static struct xtsfs_setattr attributes_of(const struct input *in, struct archive_entry *entry)
{
	struct xtsfs_setattr set = {
		.mode_set = archive_entry_filetype(entry) != AE_IFLNK,
		.mode = mode_of(entry),
		.uid_set = in->is_root,
		.uid = (uid_t)archive_entry_uid(entry),
		.gid_set = in->is_root,
		.gid = (gid_t)archive_entry_gid(entry),
		.times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}},
	};

	if (archive_entry_atime_is_set(entry))
		set.times[0] = time_of(archive_entry_atime(entry), archive_entry_atime_nsec(entry));
	if (archive_entry_mtime_is_set(entry))
		set.times[1] = time_of(archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
	return set;
}

static void set_xattr(struct input *in, struct xtsfs_node *node, const char *name, const void *value, size_t bytes,
		      const char *path)
{
	int r = xtsfs_setxattr(in->tar->fs, node, name, value, bytes, 0);

	if (r == -ENOSPC || r == -EDQUOT)
		failed(in, r, "set an attribute of", path);
	else if (r < 0)
		tar_not_kept(in->tar, r, "an attribute of", path);
}

static void set_acl(struct input *in, struct archive_entry *entry, struct xtsfs_node *node, const char *path)
{
	uint8_t acl[ACL_BYTES];
	ssize_t n = tar_acl_from_entry(entry, /* is_default= */ false, acl, sizeof(acl));

	if (n < 0)
		tar_not_kept(in->tar, (int)n, "the ACL of", path);
	else if (n > 0)
		set_xattr(in, node, "system.posix_acl_access", acl, (size_t)n, path);
}

static void set_xattrs(struct input *in, struct archive_entry *entry, struct xtsfs_node *node, const char *path)
{
	const char *name;
	const void *value;
	size_t bytes;

	(void)archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &bytes) == ARCHIVE_OK)
		if (name && strncmp(name, "system.", 7) != 0)
			set_xattr(in, node, name, value, bytes, path);
	set_acl(in, entry, node, path);
}

/* Owner, then attributes, then mode and times: each would take away some of what comes before it. */
static void set_attributes(struct input *in, struct archive_entry *entry, struct xtsfs_node *node, const char *path)
{
	struct xtsfs_setattr owner = attributes_of(in, entry), rest = owner;
	int r = 0;

	owner.mode_set = false;
	owner.times[0].tv_nsec = owner.times[1].tv_nsec = UTIME_OMIT;
	rest.uid_set = rest.gid_set = false;
	if (owner.uid_set)
		r = xtsfs_setattr(in->tar->fs, node, &owner, NULL);
	if (r < 0)
		tar_not_kept(in->tar, r, "the owner of", path);
	set_xattrs(in, entry, node, path);
	r = xtsfs_setattr(in->tar->fs, node, &rest, NULL);
	if (r < 0)
		tar_not_kept(in->tar, r, "mode and times of", path);
}

static int write_block(struct input *in, struct xtsfs_node *node, const char *data, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		size_t most = bytes < TAR_CHUNK ? bytes : TAR_CHUNK;
		ssize_t n = xtsfs_write(in->tar->fs, node, data, most, offset);

		if (n < 0)
			return (int)n;
		data += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
		in->tar->plain_bytes += (uint64_t)n;
	}
	return 0;
}

/* 0, -errno of the volume, or 1: the stream is broken. */
static int write_content(struct input *in, struct archive_entry *entry, struct xtsfs_node *node)
{
	struct xtsfs_setattr set = {.size_set = true, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	uint64_t end = 0;
	const void *data;
	la_int64_t offset;
	size_t bytes;
	int r;

	while ((r = archive_read_data_block(in->archive, &data, &bytes, &offset)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (offset < 0)
			return -EINVAL;
		r = write_block(in, node, data, bytes, (uint64_t)offset);
		if (r < 0)
			return r;
		end = bytes ? (uint64_t)offset + bytes : end;
	}
	if (r != ARCHIVE_EOF)
		return 1;
	if (archive_entry_size(entry) < 0)
		return -EINVAL;
	set.plain_bytes = (uint64_t)archive_entry_size(entry);
	return set.plain_bytes > end ? xtsfs_setattr(in->tar->fs, node, &set, NULL) : 0;
}

static int make_file(struct input *in, struct archive_entry *entry, struct xtsfs_node *dir, const char *name,
		     struct xtsfs_node **ret_node)
{
	struct xtsfs_volume *fs = in->tar->fs;
	struct xtsfs_node *node;
	struct stat st;
	int r = xtsfs_create(fs, dir, name, 0600, /* exclusive= */ true, NULL, &node, &st);

	if (r < 0)
		return r;
	r = xtsfs_open(fs, node, /* for_write= */ true);
	if (r == 0) {
		r = write_content(in, entry, node);
		xtsfs_release(fs, node, /* for_write= */ true);
	}
	if (r == 0) {
		*ret_node = node;
		return 0;
	}
	/* Half a file would be taken for the whole. */
	(void)!xtsfs_unlink(fs, dir, name);
	xtsfs_forget(fs, node, 1);
	return r == 1 ? -ENODATA : r;
}

static int make_link(struct input *in, const char *target, struct xtsfs_node *dir, const char *name)
{
	xtsfs_auto_free char *place = NULL;
	struct xtsfs_node *node;
	struct stat st;
	int r = place_of(in, target, &place);

	if (r < 0) {
		place = NULL;
		return r;
	}
	r = xtsfs_path_lookup(in->tar->fs, place, &node, &st);
	if (r < 0)
		return r;
	r = S_ISDIR(st.st_mode) ? -EPERM : xtsfs_link(in->tar->fs, node, dir, name, &st);
	xtsfs_forget(in->tar->fs, node, 1);
	return r;
}

static void keep_default_acl(struct input *in, struct archive_entry *entry, struct later *later, const char *path)
{
	uint8_t acl[ACL_BYTES];
	ssize_t n = tar_acl_from_entry(entry, /* is_default= */ true, acl, sizeof(acl));

	later->acl = n > 0 ? malloc((size_t)n) : NULL;
	if (later->acl) {
		memcpy(later->acl, acl, (size_t)n);
		later->acl_bytes = (size_t)n;
	} else if (n != 0) {
		tar_not_kept(in->tar, n < 0 ? (int)n : -ENOMEM, "the ACL of", path);
	}
}

static int make_directory(struct input *in, struct archive_entry *entry, const char *place, struct xtsfs_node *dir,
			  const char *name, struct xtsfs_node **ret_node)
{
	struct later *later = calloc(1, sizeof(*later) + strlen(place) + 1);
	struct xtsfs_volume *fs = in->tar->fs;
	struct stat st;
	int r = later ? 0 : -ENOMEM;

	if (r == 0) {
		r = dir ? xtsfs_mkdir(fs, dir, name, 0700, NULL, ret_node, &st) : -EEXIST;
		if (r == -EEXIST)
			r = xtsfs_path_lookup(fs, place, ret_node, &st);
		if (r == 0 && !S_ISDIR(st.st_mode)) {
			xtsfs_forget(fs, *ret_node, 1);
			r = -EEXIST;
		}
	}
	if (r < 0) {
		free(later);
		return r;
	}
	keep_default_acl(in, entry, later, place);
	later->set = attributes_of(in, entry);
	strcpy(later->path, place);
	later->next = in->later;
	in->later = later;
	return 0;
}

/* What is in the way: gone, if that is wanted. */
static int make_room(struct input *in, struct xtsfs_node *dir, const char *name)
{
	struct xtsfs_node *node;
	struct stat st;
	int r = xtsfs_lookup(in->tar->fs, dir, name, &node, &st);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	xtsfs_forget(in->tar->fs, node, 1);
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return in->options->overwrite ? xtsfs_unlink(in->tar->fs, dir, name) : -EEXIST;
}

/* A node to set attributes of, or NULL with 0: it has them. */
static int make(struct input *in, struct archive_entry *entry, const char *place, struct xtsfs_node *dir,
		const char *name, struct xtsfs_node **ret_node)
{
	const char *link = archive_entry_hardlink(entry), *target = archive_entry_symlink(entry);
	mode_t type = archive_entry_filetype(entry);
	struct xtsfs_volume *fs = in->tar->fs;
	struct stat st;
	int r;

	*ret_node = NULL;
	if (type == AE_IFDIR && !link)
		return make_directory(in, entry, place, dir, name, ret_node);
	r = dir ? make_room(in, dir, name) : -EISDIR;
	if (r < 0)
		return r;
	if (link)
		return make_link(in, link, dir, name);
	switch (type) {
	case AE_IFREG:
		return make_file(in, entry, dir, name, ret_node);
	case AE_IFLNK:
		return target ? xtsfs_symlink(fs, target, dir, name, NULL, ret_node, &st) : -EILSEQ;
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return xtsfs_mknod(fs, dir, name, type | 0600, archive_entry_rdev(entry), NULL, ret_node, &st);
	default:
		return -EOPNOTSUPP;
	}
}

static void take_entry(struct input *in, struct archive_entry *entry)
{
	const char *path = archive_entry_pathname(entry), *name = "";
	xtsfs_auto_free char *place = NULL;
	struct xtsfs_node *dir = NULL, *node = NULL;
	int r = path ? place_of(in, path, &place) : -EILSEQ;

	if (r < 0) {
		place = NULL;
		failed(in, r, "take", path ? path : "a name that is not UTF-8");
		return;
	}
	if (strcmp(place, in->base) != 0) /* not the base itself */
		r = open_parent(in, place, &dir, &name);
	if (r == 0)
		r = make(in, entry, place, dir, name, &node);
	if (dir)
		xtsfs_forget(in->tar->fs, dir, 1);
	if (r < 0) {
		failed(in, r, "take", path);
		return;
	}
	in->tar->things++;
	if (!node)
		return;
	if (archive_entry_filetype(entry) == AE_IFDIR)
		set_xattrs(in, entry, node, path);
	else
		set_attributes(in, entry, node, path);
	xtsfs_forget(in->tar->fs, node, 1);
}

static void finish_directories(struct input *in)
{
	while (in->later) {
		struct later *later = in->later;
		struct xtsfs_node *node;
		struct stat st;
		int r = xtsfs_path_lookup(in->tar->fs, later->path, &node, &st);

		if (r == 0) {
			if (later->acl)
				set_xattr(in, node, "system.posix_acl_default", later->acl, later->acl_bytes,
					  later->path);
			r = xtsfs_setattr(in->tar->fs, node, &later->set, NULL);
			xtsfs_forget(in->tar->fs, node, 1);
		}
		if (r < 0)
			tar_not_kept(in->tar, r, "owner, mode and times of", later->path);
		in->later = later->next;
		free(later->acl);
		free(later);
	}
}

int tar_in(struct tar *tar, const char *path, const struct tar_in_options *options)
{
	struct archive *archive = archive_read_new();
	struct input in = {.tar = tar, .options = options, .archive = archive, .base = path, .is_root = geteuid() == 0};
	struct archive_entry *entry;
	struct xtsfs_node *node;
	struct stat st;
	int r, exit_code = 0;

	r = xtsfs_path_lookup(tar->fs, path, &node, &st);
	if (r == 0)
		xtsfs_forget(tar->fs, node, 1);
	if (r == 0 && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (r < 0) {
		archive_read_free(archive);
		return cli_fail_inside(r, "cannot write to '%s'", path);
	}
	if (!archive || archive_read_support_format_tar(archive) != ARCHIVE_OK ||
	    archive_read_open_fd(archive, STDIN_FILENO, 1U << 16) != ARCHIVE_OK)
		exit_code = cli_fail_exit(XTSFS_EXIT_IO, "cannot read the stream: %s",
					  archive ? archive_error_string(archive) : xtsfs_strerror(ENOMEM));
	while (exit_code == 0 && in.broken == 0) {
		r = archive_read_next_header(archive, &entry);
		if (r == ARCHIVE_EOF)
			break;
		if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
			take_entry(&in, entry);
		else if (r != ARCHIVE_RETRY)
			exit_code = cli_fail_exit(XTSFS_EXIT_IO, "the stream is no tar, or is damaged: %s",
						  archive_error_string(archive));
	}
	finish_directories(&in);
	archive_read_free(archive);
	return exit_code;
}
