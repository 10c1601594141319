/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume's tree as a tar stream, in the pax format: names of any length, sparse files, nanoseconds, extended
 * attributes and ACLs in the form that GNU tar and bsdtar read (SCHILY.xattr, SCHILY.acl).
 *
 * A header has to tell the length before the content is read, so of a damaged file zeros stand where nothing could be
 * read, which is said; one that is refused as a whole is left out.
 */
#include "tar.h"

#include "base/cleanup.h"
#include "format/ondisk.h"

#include <archive.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ZEROS_BYTES (1U << 30)

/* A name of a file that has several. */
struct known {
	struct known *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct output {
	struct tar *tar;
	struct archive *archive;
	struct known *known[1024];
	const char *zeros; /* ZEROS_BYTES of no memory: libarchive passes over what is in a hole */
	int exit_code;	   /* of an error of writing */
};

/* What the stream cannot take any more. */
static enum cli_tree_step give_up(struct output *out)
{
	int error = archive_errno(out->archive);

	out->exit_code = cli_fail_exit(XTSFS_EXIT_IO, "cannot write the stream: %s",
				       error > 0 ? xtsfs_strerror(error) : archive_error_string(out->archive));
	return CLI_TREE_STOP;
}

static struct known *find_known(struct output *out, const struct cli_tree_entry *entry)
{
	struct known **slot = &out->known[(entry->st->st_ino * 0x9e3779b97f4a7c15ULL) >> 54], *known;
	size_t bytes = strlen(entry->path) + 1;

	for (known = *slot; known; known = known->next)
		if (known->ino == entry->st->st_ino && known->dev == entry->st->st_dev)
			return known;
	known = malloc(sizeof(*known) + bytes);
	if (known) {
		known->dev = entry->st->st_dev;
		known->ino = entry->st->st_ino;
		memcpy(known->path, entry->path, bytes);
		known->next = *slot;
		*slot = known;
	}
	return NULL;
}

static void add_xattrs(struct output *out, const struct cli_tree_entry *from, struct archive_entry *entry)
{
	char *names = out->tar->chunk, *value = names + TAR_XATTR_MAX;
	ssize_t n = xtsfs_listxattr(out->tar->fs, from->node, names, TAR_XATTR_MAX);

	if (n < 0 && n != -EOPNOTSUPP)
		tar_failed(out->tar, (int)n, "list the attributes of", from->path);
	for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t bytes = xtsfs_getxattr(out->tar->fs, from->node, name, value, TAR_CHUNK - TAR_XATTR_MAX);
		bool is_default = strcmp(name, "system.posix_acl_default") == 0;

		if (bytes < 0) {
			tar_failed(out->tar, (int)bytes, "read an attribute of", from->path);
		} else if (is_default || strcmp(name, "system.posix_acl_access") == 0) {
			int r = tar_acl_to_entry(entry, is_default, (const uint8_t *)value, (size_t)bytes);

			if (r < 0)
				tar_not_kept(out->tar, r, "the ACL of", from->path);
		} else {
			archive_entry_xattr_add_entry(entry, name, value, (size_t)bytes);
		}
	}
}

/* Without the information, all of it is data. */
static void add_holes(struct output *out, const struct cli_tree_entry *from, struct archive_entry *entry)
{
	uint64_t size = (uint64_t)from->st->st_size, offset = 0;
	bool any = false;

	if ((uint64_t)from->st->st_blocks * 512 >= size)
		return;
	while (offset < size) {
		int64_t data = xtsfs_seek(out->tar->fs, from->node, offset, SEEK_DATA), hole;

		if (data == -ENXIO)
			break;
		hole = data < 0 ? data : xtsfs_seek(out->tar->fs, from->node, (uint64_t)data, SEEK_HOLE);
		if (data < 0 || hole < 0) {
			archive_entry_sparse_clear(entry);
			return;
		}
		archive_entry_sparse_add_entry(entry, data, hole - data);
		any = true;
		offset = (uint64_t)hole;
	}
	if (!any) /* a hole as a whole */
		archive_entry_sparse_add_entry(entry, (int64_t)size, 0);
}

static bool write_data(struct output *out, const char *data, uint64_t bytes)
{
	while (bytes > 0) {
		la_ssize_t n = archive_write_data(out->archive, data,
						  bytes < ZEROS_BYTES ? (size_t)bytes : ZEROS_BYTES);

		if (n <= 0)
			return false;
		data += data == out->zeros ? 0 : n;
		bytes -= (uint64_t)n;
	}
	return true;
}

/* One range of data; what cannot be read is zeros. false: the stream is broken. */
static bool write_range(struct output *out, const struct cli_tree_entry *from, uint64_t offset, uint64_t end)
{
	struct tar *tar = out->tar;
	size_t step = TAR_CHUNK;

	while (offset < end) {
		size_t bytes = end - offset < step ? (size_t)(end - offset) : step;
		ssize_t n = xtsfs_read(tar->fs, from->node, tar->chunk, bytes, offset);

		if (n < 0 && step > XTSFS_BLOCK_BYTES) {
			step = XTSFS_BLOCK_BYTES; /* which sectors are they? */
			continue;
		}
		if (n < 0) {
			char what[64];

			snprintf(what, sizeof(what), "read %zu bytes from byte %llu of", bytes,
				 (unsigned long long)offset);
			tar_failed(tar, (int)n, what, from->path);
		}
		if (n <= 0) {
			memset(tar->chunk, 0, bytes);
			n = (ssize_t)bytes;
		}
		if (!write_data(out, tar->chunk, (uint64_t)n))
			return false;
		offset += (uint64_t)n;
		tar->plain_bytes += (uint64_t)n;
		if (offset % TAR_CHUNK == 0)
			step = TAR_CHUNK;
	}
	return true;
}

static bool write_content(struct output *out, const struct cli_tree_entry *from, struct archive_entry *entry)
{
	uint64_t size = (uint64_t)from->st->st_size, at = 0;
	la_int64_t offset, bytes;

	if (archive_entry_sparse_reset(entry) == 0)
		return write_range(out, from, 0, size);
	while (archive_entry_sparse_next(entry, &offset, &bytes) == ARCHIVE_OK) {
		if (!write_data(out, out->zeros, (uint64_t)offset - at) ||
		    !write_range(out, from, (uint64_t)offset, (uint64_t)(offset + bytes)))
			return false;
		at = (uint64_t)(offset + bytes);
	}
	return write_data(out, out->zeros, size - at);
}

/* Of what is no UTF-8 libarchive warns, and writes it as it is, with a mark that GNU tar and bsdtar understand. */
static bool is_raw(struct archive_entry *entry)
{
	const char *texts[] = {archive_entry_pathname(entry), archive_entry_symlink(entry),
			       archive_entry_hardlink(entry)};

	for (unsigned i = 0; i < 3; i++)
		if (texts[i] && mbstowcs(NULL, texts[i], 0) == (size_t)-1)
			return true;
	return false;
}

static enum cli_tree_step write_entry(struct output *out, const struct cli_tree_entry *from,
				      struct archive_entry *entry)
{
	int r = archive_write_header(out->archive, entry);

	if (r == ARCHIVE_FATAL)
		return give_up(out);
	if (r != ARCHIVE_OK &&
	    !(r == ARCHIVE_WARN && is_raw(entry))) /* a warning: the stream has it, but not as it is */
		tar_not_kept(out->tar, -EILSEQ, "all of", from->path);
	if (r < ARCHIVE_WARN)
		return CLI_TREE_GO_ON;
	out->tar->things++;
	if (S_ISREG(from->st->st_mode) && !archive_entry_hardlink(entry) && !write_content(out, from, entry))
		return give_up(out);
	return archive_write_finish_entry(out->archive) == ARCHIVE_FATAL ? give_up(out) : CLI_TREE_GO_ON;
}

/* libarchive writes seconds and fraction side by side, also of a time before 1970, where the fraction goes backwards.
 */
static void set_times(struct archive_entry *entry, const struct stat *st)
{
	const struct timespec *from[] = {&st->st_mtim, &st->st_atim, &st->st_ctim};
	struct timespec times[3];

	for (unsigned i = 0; i < 3; i++) {
		times[i] = *from[i];
		if (times[i].tv_sec < 0 && times[i].tv_nsec > 0) {
			times[i].tv_sec++;
			times[i].tv_nsec = times[i].tv_sec < 0 ? 1000000000L - times[i].tv_nsec : 0;
		}
	}
	archive_entry_set_mtime(entry, times[0].tv_sec, times[0].tv_nsec);
	archive_entry_set_atime(entry, times[1].tv_sec, times[1].tv_nsec);
	archive_entry_set_ctime(entry, times[2].tv_sec, times[2].tv_nsec);
}

static enum cli_tree_step visit(void *data, const struct cli_tree_entry *from)
{
	struct output *out = data;
	struct tar *tar = out->tar;
	const char *path = from->path[0] ? from->path : ".";
	char target[XTSFS_SYMLINK_MAX + 1];
	enum cli_tree_step step = CLI_TREE_GO_ON;
	struct archive_entry *entry;
	const struct known *known = NULL;
	bool is_file = S_ISREG(from->st->st_mode);
	int r = 0;

	if (S_ISSOCK(from->st->st_mode)) {
		tar_not_kept(tar, -EOPNOTSUPP, "the socket", path);
		return CLI_TREE_GO_ON;
	}
	if (is_file)
		r = xtsfs_open(tar->fs, from->node, /* for_write= */ false);
	else if (S_ISLNK(from->st->st_mode))
		r = xtsfs_readlink(tar->fs, from->node, target);
	entry = r == 0 ? archive_entry_new() : NULL;
	if (!entry) {
		tar_failed(tar, r < 0 ? r : -ENOMEM, "read", path);
		return CLI_TREE_GO_ON;
	}
	archive_entry_copy_stat(entry, from->st);
	set_times(entry, from->st);
	archive_entry_copy_pathname(entry, path);
	if (S_ISLNK(from->st->st_mode))
		archive_entry_copy_symlink(entry, target);
	if (!S_ISDIR(from->st->st_mode) && from->st->st_nlink > 1)
		known = find_known(out, from);
	if (known) {
		archive_entry_copy_hardlink(entry, known->path);
		archive_entry_set_size(entry, 0);
	} else {
		add_xattrs(out, from, entry);
		if (is_file)
			add_holes(out, from, entry);
	}
	step = write_entry(out, from, entry);
	archive_entry_free(entry);
	if (is_file)
		xtsfs_release(tar->fs, from->node, /* for_write= */ false);
	return step;
}

static void free_known(struct output *out)
{
	for (size_t i = 0; i < sizeof(out->known) / sizeof(out->known[0]); i++) {
		while (out->known[i]) {
			struct known *known = out->known[i];

			out->known[i] = known->next;
			free(known);
		}
	}
}

int tar_out(struct tar *tar, char **paths)
{
	struct output out = {.tar = tar, .archive = archive_write_new()};
	struct cli_tree tree = {.fs = tar->fs, .visit = visit, .data = &out};
	void *zeros = mmap(NULL, ZEROS_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char everything[] = "", *all[] = {everything, NULL};

	if (!out.archive || zeros == MAP_FAILED)
		return cli_fail(-ENOMEM, "cannot start");
	out.zeros = zeros;
	if (archive_write_set_format_pax(out.archive) != ARCHIVE_OK ||
	    archive_write_set_options(out.archive, "xattrheader=SCHILY") != ARCHIVE_OK ||
	    archive_write_open_fd(out.archive, STDOUT_FILENO) != ARCHIVE_OK)
		(void)give_up(&out);
	for (paths = *paths ? paths : all; out.exit_code == 0 && *paths; paths++)
		cli_tree_walk(&tree, *paths);
	if (out.exit_code == 0 && archive_write_close(out.archive) != ARCHIVE_OK)
		(void)give_up(&out);
	archive_write_free(out.archive);
	munmap(zeros, ZEROS_BYTES);
	free_known(&out);
	return out.exit_code ? out.exit_code : tree.exit_code;
}
