/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing what was imported, once all of it was verified and is durable.
 *
 * A name goes if it was found equal, and the file is still the very one: device, inode, size, mode and both times are
 * asked again right before. The time of change (ctime) tells of every change, and nobody can set it; of a file with
 * several names it changes as we remove one of them, so the new one is noted then. A file that somebody has open for
 * writing stays: a lease for reading is not given on it, where the filesystem has leases.
 *
 * Names are removed in the directory that was walked into, by its descriptor. Directories go if they are empty then,
 * and nothing is removed on another filesystem, or another mount of this one.
 */
#include "import.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>

/* ctime apart: it is compared by its value. */
struct identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	mode_t mode;
	time_t mtime_s;
	long mtime_ns;
};

static uint64_t ctime_of(const struct stat *st)
{
	return (uint64_t)st->st_ctim.tv_sec * 1000000000U + (uint64_t)st->st_ctim.tv_nsec;
}

static struct import_key key_of(const char *path, const struct stat *st)
{
	struct identity identity;

	memset(&identity, 0, sizeof(identity)); /* with what is between the members */
	identity.dev = st->st_dev;
	identity.ino = st->st_ino;
	identity.mode = st->st_mode;
	if (!S_ISDIR(st->st_mode)) { /* removing what is in a directory changes all of this */
		identity.size = st->st_size;
		identity.mtime_s = st->st_mtim.tv_sec;
		identity.mtime_ns = st->st_mtim.tv_nsec;
	}
	return import_key_of(path, &identity, sizeof(identity));
}

static struct import_key inode_key_of(const struct stat *st)
{
	struct stat only;

	memset(&only, 0, sizeof(only));
	only.st_dev = st->st_dev;
	only.st_ino = st->st_ino;
	return import_key_of("", &only, sizeof(only));
}

void import_remove_allow(struct import *x, const struct import_source *source, const char *path)
{
	int r;

	if (!x->options->delete_source || import_was_told(x, path, /* and_not_kept= */ true))
		return;
	xtsfs_guard_mutex(&x->say);
	r = import_set_add(x->verified, key_of(path, &source->st), ctime_of(&source->st));
	if (r >= 0 && source->st.st_nlink > 1 && !S_ISDIR(source->st.st_mode))
		r = import_set_add(x->inodes, inode_key_of(&source->st), ctime_of(&source->st));
	/* Without memory it is not in the set, and stays. */
}

/* Under x->say: who removes one of several names of a file changes the others. NULL, or why it stays. *@ret_last: the
 * file has no other name. */
static const char *remove_name(struct import *x, struct import_task *task, const struct import_source *source,
			       bool *ret_last)
{
	struct stat st;
	uint64_t ctime;
	bool several;

	*ret_last = false;
	if (fstatat(task->dir->fd, task->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : xtsfs_strerror(errno);
	if (!import_set_has(x->verified, key_of(task->path, &st), &ctime))
		return "it was not found equal";
	several = import_set_has(x->inodes, inode_key_of(&st), &ctime);
	if (ctime_of(&st) != ctime)
		return "it has changed since it was compared";
	if (unlinkat(task->dir->fd, task->name, 0) < 0)
		return xtsfs_strerror(errno);
	*ret_last = st.st_nlink < 2;
	if (several && fstat(source->fd, &st) == 0)
		import_set_change(x->inodes, inode_key_of(&st), ctime_of(&st));
	return NULL;
}

void import_remove_entry(struct import *x, struct import_task *task, const struct import_source *source)
{
	bool is_file = S_ISREG(source->st.st_mode);
	xtsfs_auto_fd fd = is_file ? import_source_read(source, O_NONBLOCK) : -1;
	const char *why = NULL;
	bool last = false;

	if (import_was_told(x, task->path, /* and_not_kept= */ true))
		why = "not all of it was kept";
	else if (fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		why = "somebody has it open for writing";
	if (!why) {
		xtsfs_guard_mutex(&x->say);

		why = remove_name(x, task, source, &last);
	}
	if (why) {
		import_tell(x, IMPORT_STAYS, task->path, "%s", why);
		return;
	}
	if (!last) {
		import_count(&x->removed.links, 1);
	} else if (is_file) {
		import_count(&x->removed.files, 1);
		import_count(&x->removed.bytes, (uint64_t)source->st.st_size);
	} else {
		import_count(S_ISLNK(source->st.st_mode) ? &x->removed.symlinks : &x->removed.special, 1);
	}
}

void import_remove_dir(struct import *x, struct import_dir *dir)
{
	const char *slash = strrchr(dir->path, '/'), *name = slash ? slash + 1 : dir->path;
	bool known;
	struct stat st;

	if (!dir->parent)
		return; /* SOURCE itself stays */
	pthread_mutex_lock(&x->say);
	known = import_set_has(x->verified, key_of(dir->path, &dir->source.st), NULL);
	pthread_mutex_unlock(&x->say);
	if (fstatat(dir->parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dir->source.st.st_dev ||
	    st.st_ino != dir->source.st.st_ino)
		return; /* moved away: what was in it was removed there */
	if (!known)
		import_tell(x, IMPORT_STAYS, dir->path, "it was not found equal");
	else if (unlinkat(dir->parent->fd, name, AT_REMOVEDIR) == 0)
		import_count(&x->removed.directories, 1);
	else if (errno != ENOTEMPTY && errno != EEXIST)
		import_tell(x, IMPORT_STAYS, dir->path, "%s", xtsfs_strerror(errno));
}
