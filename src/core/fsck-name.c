/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a directory by their names (spec 2 and 6).
 *
 * An encrypted name that does not decrypt has one of these reasons, tried in this order:
 *
 * - the .name file of a long one is gone or damaged: the name is lost, its hash remains and gives a new one;
 * - it was moved here from another directory behind xtsfs' back: it decrypts under an id that something in this
 *   directory remembers, and is encrypted anew under this directory's;
 * - it is no name of this volume: moved to xtsfs.lost+found. But only where the directory's own id has been shown to be
 *   the right one. If not one name decrypts it may be the id that is wrong, and then every entry stays where it is.
 *
 * Names with a dot that are not ours, and names that cannot be encrypted ones, go to xtsfs.lost+found too. Debris,
 * which is temporary objects and .name files without an entry, is removed; a temporary directory only if the mount
 * would call it empty.
 */
#include "core/fsck-internal.h"

#include <stdio.h>
#include <string.h>

#define RECOVERED_PREFIX "xtsfs-recovered-"
#define RECOVERED_CHARS	 10

static bool is_long(const char *backing_name)
{
	return strncmp(backing_name, XTSFS_NAME_LONG, sizeof(XTSFS_NAME_LONG) - 1) == 0;
}

/* Quarantine (in a run with repair) and tell. With the .name file of a long name. */
static void move_away(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle, const char *code,
		      const char *detail)
{
	char moved[XTSFS_NAME_MAX + 1], action[XTSFS_NAME_MAX + 64], file[XTSFS_NAME_MAX + 8];
	int r = 0;

	snprintf(action, sizeof(action), "moved to " XTSFS_NAME_LOST);
	if (fsck->options.repair) {
		r = xtsfs_fsck_quarantine(fsck, handle, place->backing_name, moved);
		if (r == 0)
			snprintf(action, sizeof(action), "moved to " XTSFS_NAME_LOST "/%s", moved);
		if (r == 0 && is_long(place->backing_name)) {
			snprintf(file, sizeof(file), "%s" XTSFS_NAME_LONG_SUFFIX, place->backing_name);
			r = xtsfs_fsck_quarantine(fsck, handle, file, moved);
			r = r == -ENOENT ? 0 : r;
		}
	}
	xtsfs_fsck_report(fsck, place, XTSFS_FSCK_ERROR, code, xtsfs_fsck_outcome_of(fsck, r), r, action, "%s", detail);
}

int xtsfs_fsck_give_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
			 struct xtsfs_fsck_entry *entry, const char *detail)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = entry->backing};
	const char *hash = entry->backing + (is_long(entry->backing) ? sizeof(XTSFS_NAME_LONG) - 1 : 0);
	char name[XTSFS_NAME_MAX + 1], action[XTSFS_NAME_MAX + 64], backing[XTSFS_NAME_MAX + 1];
	int r = 0;

	snprintf(name, sizeof(name), RECOVERED_PREFIX "%.*s", RECOVERED_CHARS, hash);
	if (fsck->options.repair) {
		r = xtsfs_fsck_rename(fsck, dir, handle, entry->backing, name, backing);
		for (unsigned n = 2; r == -EEXIST && n < 1000; n++) {
			snprintf(name, sizeof(name), RECOVERED_PREFIX "%.*s-%u", RECOVERED_CHARS, hash, n);
			r = xtsfs_fsck_rename(fsck, dir, handle, entry->backing, name, backing);
		}
	}
	snprintf(action, sizeof(action), "named %s", name);
	xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "name-lost", xtsfs_fsck_outcome_of(fsck, r), r, action, "%s",
			  detail);
	strcpy(entry->name, "?");
	if (fsck->options.repair && r == 0) {
		strcpy(entry->name, name);
		strcpy(entry->backing, backing);
	}
	return r;
}

/* A long name whose .name file is of no use. */
static bool name_long(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, struct xtsfs_fsck_entry *entry)
{
	char detail[XTSFS_NAME_MAX + 80];

	snprintf(detail, sizeof(detail),
		 "the file with its long name (%s" XTSFS_NAME_LONG_SUFFIX ") is missing or damaged", entry->backing);
	(void)xtsfs_fsck_give_name(fsck, dir, handle, entry, detail);
	return true;
}

/* Encrypted under an id of another directory, and decrypted with it. */
static bool take_over_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
			   struct xtsfs_fsck_entry *entry)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = entry->name, .backing_name = entry->backing};
	char backing[XTSFS_NAME_MAX + 1];
	int r = 0;

	if (fsck->options.repair)
		r = xtsfs_fsck_rename(fsck, dir, handle, entry->backing, entry->name, backing);
	if (r == -EEXIST) {
		move_away(fsck, &place, handle, "name-of-other-directory",
			  "it was moved here from another directory in the volume's own directory, and its name is "
			  "taken");
		return false;
	}
	xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "name-of-other-directory", xtsfs_fsck_outcome_of(fsck, r), r,
			  "its name encrypted for this directory",
			  "it was moved here from another directory in the volume's own directory, so its name does "
			  "not decrypt");
	if (fsck->options.repair && r == 0)
		strcpy(entry->backing, backing);
	return true;
}

static bool explain(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, struct xtsfs_fsck_entry *entry)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = entry->backing};
	int r = xtsfs_fsck_candidates(fsck, dir, handle);

	if (r < 0) {
		xtsfs_fsck_report_io(fsck, &place, r, "look for the directory it came from");
		strcpy(entry->name, "?");
		return true;
	}
	for (size_t i = 0; i < dir->candidates.count; i++)
		if (memcmp(dir->candidates.ids[i], dir->dirid, XTSFS_ID_BYTES) != 0 &&
		    xtsfs_names_open(fsck->volume, dir->candidates.ids[i], handle, entry->backing, entry->name) == 0)
			return take_over_name(fsck, dir, handle, entry);
	if (dir->proven) {
		move_away(fsck, &place, handle, "name-foreign", "its name does not decrypt in this directory");
		return false;
	}
	xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "name-foreign", XTSFS_FSCK_LEFT, 0,
			  "nothing shows that the directory has its own id, so the entry stays",
			  "its name does not decrypt in this directory, and no other name there does");
	strcpy(entry->name, "?");
	return true;
}

bool xtsfs_fsck_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, struct xtsfs_fsck_entry *entry)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = entry->backing};
	int r;

	if (!dir->has_dirid) {
		strcpy(entry->name, "?");
		return true;
	}
	r = xtsfs_names_open(fsck->volume, dir->dirid, handle, entry->backing, entry->name);
	if (r == 0) {
		dir->proven = true;
		return true;
	}
	if (r == -XTSFS_EDAMAGED && is_long(entry->backing))
		return name_long(fsck, dir, handle, entry);
	if (r == -XTSFS_EDAMAGED || r == -XTSFS_EAUTH)
		return explain(fsck, dir, handle, entry);
	xtsfs_fsck_report_io(fsck, &place, r, "read its name");
	strcpy(entry->name, "?");
	return true;
}

void xtsfs_fsck_foreign(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = backing_name};

	/* The ext filesystems keep that in their root. */
	if (!dir->parent && strcmp(backing_name, "lost+found") == 0)
		return;
	if (!dir->has_dirid) {
		xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "foreign", XTSFS_FSCK_LEFT, 0,
				  "stays while the directory's id is lost", "it is not of xtsfs");
		return;
	}
	move_away(fsck, &place, handle, "foreign", "it is not of xtsfs");
}

void xtsfs_fsck_long_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = backing_name};
	struct xtsfs_store *store = fsck->store;
	char entry[XTSFS_NAME_LONG_CHARS + 1];
	struct stat st;
	int r;

	snprintf(entry, sizeof(entry), "%s", backing_name);
	r = store->ops->stat(store, handle, entry, &st);
	if (r != -ENOENT)
		return; /* it is looked at with the entry */
	r = store->ops->stat(store, handle, backing_name, &st);
	if (r == -ENOENT)
		return; /* its entry got another name in this run, and it went with the old one */
	if (r == 0 && S_ISDIR(st.st_mode)) {
		move_away(fsck, &place, handle, "foreign", "it is a directory with the name of a file of xtsfs");
		return;
	}
	if (r == 0 && fsck->options.repair)
		r = store->ops->unlink(store, handle, backing_name, 0);
	xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_DEBRIS, "long-name-debris", xtsfs_fsck_outcome_of(fsck, r), r,
			  "removed", "it is the name of an entry that is not there");
}

void xtsfs_fsck_tmp(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = "?", .backing_name = backing_name};
	struct xtsfs_store *store = fsck->store;
	bool repair = fsck->options.repair;
	struct stat st;
	int r = store->ops->stat(store, handle, backing_name, &st);

	if (r == -ENOENT)
		return; /* of this run */
	if (r == 0 && S_ISDIR(st.st_mode)) {
		r = xtsfs_fsck_remove_tmp(fsck, handle, backing_name, !repair);
		if (r == -ENOTEMPTY) {
			move_away(fsck, &place, handle, "tmp-not-empty",
				  "a temporary directory has something in it that is not temporary");
			return;
		}
	} else if (r == 0 && repair) {
		r = store->ops->unlink(store, handle, backing_name, 0);
	}
	if (r < 0 && !repair) {
		xtsfs_fsck_report_io(fsck, &place, r, "look at it");
		return;
	}
	xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_DEBRIS, "tmp-debris", xtsfs_fsck_outcome_of(fsck, r), r, "removed",
			  "a temporary object of an operation that was interrupted");
}

static int count_one(void *data, int handle, const char *backing_name)
{
	(void)handle;
	(void)backing_name;
	++*(uint64_t *)data;
	return 0;
}

void xtsfs_fsck_own(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name)
{
	struct xtsfs_fsck_place place = {.dir = dir, .name = backing_name, .backing_name = backing_name};
	uint64_t count = 0;
	struct stat st;
	int r;

	if (strcmp(backing_name, XTSFS_NAME_LOST) == 0) {
		r = xtsfs_fsck_list(fsck, handle, backing_name, count_one, &count);
		if (r < 0)
			xtsfs_fsck_report_io(fsck, &place, r, "read the directory");
		else if (count)
			xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_INFO, "lost+found", XTSFS_FSCK_NOTED, 0, NULL,
					  "%llu objects that repairs moved out of the way", (unsigned long long)count);
		return;
	}
	if (strcmp(backing_name, XTSFS_NAME_DIRID) == 0)
		return; /* looked at already */
	r = fsck->store->ops->stat(fsck->store, handle, backing_name, &st);
	if (r == 0 && !S_ISREG(st.st_mode))
		xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "own-type", XTSFS_FSCK_LEFT, 0,
				  "put a regular file in its place", "it is not a regular file");
}
