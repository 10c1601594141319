/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory ids: checking them, and finding a lost one again (spec 5).
 *
 * Without its id a directory's names cannot be read. But every file in it remembers in its header the id of the
 * directory it was made in, and every subdirectory that of its parent; both are authentic or not used. What they say
 * are candidates only, since an object may have been renamed into here since. Decryption decides: names are encrypted
 * with the id as associated data, so an id under which one of them decrypts is right, whoever proposed it. That is why
 * the remains of a damaged xtsfs.dirid may be asked as well.
 *
 * A directory without encrypted names has nothing to lose and gets a fresh id. One with names and without a candidate
 * that fits is left as it is: whoever has a copy of its xtsfs.dirid (for the root: a header backup) can still put it
 * back. Who has none asks for --salvage or --zero: then all its entries get other names, and then it a fresh id. It is
 * what a loss of power leaves of a directory that was never synced, on filesystems that log names before data.
 */
#include "core/fsck-internal.h"

#include "core/file.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MOST   1024U
#define NAMES_MOST 256U

void xtsfs_fsck_candidates_clear(struct xtsfs_fsck_candidates *candidates)
{
	free(candidates->ids);
	free(candidates->names);
	*candidates = (struct xtsfs_fsck_candidates){0};
}

static int add_id(struct xtsfs_fsck_candidates *list, const uint8_t id[XTSFS_ID_BYTES])
{
	if (xtsfs_is_zero(id, XTSFS_ID_BYTES) || list->count == IDS_MOST)
		return 0;
	for (size_t i = 0; i < list->count; i++)
		if (memcmp(list->ids[i], id, XTSFS_ID_BYTES) == 0)
			return 0;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		void *ids = realloc(list->ids, room * sizeof(*list->ids));

		if (!ids)
			return -ENOMEM;
		list->ids = ids;
		list->room = room;
	}
	memcpy(list->ids[list->count++], id, XTSFS_ID_BYTES);
	return 0;
}

/* The parent id that a subdirectory remembers, if it is authentic. */
static int parent_hint(struct xtsfs_fsck *fsck, int dir, const char *backing_name, uint8_t ret_id[XTSFS_ID_BYTES])
{
	struct xtsfs_store *store = fsck->store;
	int handle = store->ops->open(store, dir, backing_name, O_PATH | O_DIRECTORY, 0, NULL), r;
	struct xtsfs_disk_dirid disk;

	if (handle < 0)
		return handle;
	r = xtsfs_dirid_read(store, fsck->volume->keys, handle, &disk, NULL);
	store->ops->close(store, handle);
	if (r == 0)
		memcpy(ret_id, disk.parent_id, XTSFS_ID_BYTES);
	return r;
}

struct collecting {
	struct xtsfs_fsck *fsck;
	struct xtsfs_fsck_candidates *list;
};

static int collect(void *data, int handle, const char *backing_name)
{
	struct collecting *collecting = data;
	struct xtsfs_fsck *fsck = collecting->fsck;
	struct xtsfs_fsck_candidates *list = collecting->list;
	enum xtsfs_name_kind kind = xtsfs_name_classify(backing_name, false);
	uint8_t id[XTSFS_ID_BYTES];
	struct stat st;
	int r = -ENOENT;

	if (kind != XTSFS_NAME_KIND_SHORT && kind != XTSFS_NAME_KIND_LONG)
		return 0;
	list->has_names = true;
	if (list->name_count < NAMES_MOST)
		strcpy(list->names[list->name_count++], backing_name);
	if (fsck->store->ops->stat(fsck->store, handle, backing_name, &st) < 0)
		return 0;
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		r = xtsfs_fsck_file_hint(fsck, handle, backing_name, id);
	else if (S_ISDIR(st.st_mode))
		r = parent_hint(fsck, handle, backing_name, id);
	return r == 0 ? add_id(list, id) : 0;
}

/* Does a name decrypt under this id? */
static bool fits(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_candidates *list, int handle,
		 const uint8_t id[XTSFS_ID_BYTES])
{
	char name[XTSFS_NAME_MAX + 1];

	for (size_t i = 0; i < list->name_count; i++)
		if (xtsfs_names_open(fsck->volume, id, handle, list->names[i], name) == 0)
			return true;
	return false;
}

int xtsfs_fsck_candidates(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle)
{
	struct xtsfs_fsck_candidates *list = &dir->candidates;
	struct collecting collecting = {.fsck = fsck, .list = list};
	int r;

	if (list->collected)
		return 0;
	list->names = calloc(NAMES_MOST, sizeof(*list->names));
	if (!list->names)
		return -ENOMEM;
	r = xtsfs_fsck_list(fsck, handle, ".", collect, &collecting);
	if (r < 0) {
		xtsfs_fsck_candidates_clear(list);
		return r;
	}
	list->collected = true;
	/* Whose id is it that the directory has? */
	if (dir->has_dirid && !dir->proven) {
		for (size_t i = 0; i < list->count && !dir->proven; i++)
			dir->proven = memcmp(list->ids[i], dir->dirid, XTSFS_ID_BYTES) == 0;
		dir->proven = dir->proven || fits(fsck, list, handle, dir->dirid);
	}
	return 0;
}

/* What a damaged xtsfs.dirid still says. */
static int add_remains(struct xtsfs_fsck *fsck, struct xtsfs_fsck_candidates *list, int handle)
{
	struct xtsfs_store *store = fsck->store;
	uint8_t id[XTSFS_ID_BYTES];
	struct stat st;
	int file, r = 0;

	if (store->ops->stat(store, handle, XTSFS_NAME_DIRID, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	file = xtsfs_fsck_open(fsck, handle, XTSFS_NAME_DIRID, O_RDONLY);
	if (file < 0)
		return 0;
	if (xtsfs_store_pread(store, file, id, sizeof(id), 0) == sizeof(id))
		r = add_id(list, id);
	store->ops->close(store, file);
	return r;
}

static int write_dirid(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
		       const uint8_t id[XTSFS_ID_BYTES])
{
	uint8_t parent_id[XTSFS_ID_BYTES] = {0}; /* of the root; and of a directory whose parent's is not known */

	if (dir->parent && dir->parent->has_dirid)
		memcpy(parent_id, dir->parent->dirid, sizeof(parent_id));
	return xtsfs_fsck_write_dirid(fsck, handle, id, parent_id);
}

struct naming {
	struct xtsfs_fsck *fsck;
	struct xtsfs_fsck_dir *dir;
};

static int name_anew(void *data, int handle, const char *backing_name)
{
	struct naming *naming = data;
	enum xtsfs_name_kind kind = xtsfs_name_classify(backing_name, false);
	struct xtsfs_fsck_entry entry;

	if (kind != XTSFS_NAME_KIND_SHORT && kind != XTSFS_NAME_KIND_LONG)
		return 0;
	if (xtsfs_names_open(naming->fsck->volume, naming->dir->dirid, handle, backing_name, entry.name) == 0)
		return 0; /* it has come again under its new name */
	strcpy(entry.backing, backing_name);
	return xtsfs_fsck_give_name(naming->fsck, naming->dir, handle, &entry,
				    "its name was encrypted with a directory id that is lost");
}

/* Names are lost, and that is accepted. The id comes last: a run that is killed leaves what the next finds again. */
static int start_anew(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const uint8_t id[XTSFS_ID_BYTES])
{
	struct naming naming = {.fsck = fsck, .dir = dir};
	int r;

	memcpy(dir->dirid, id, sizeof(dir->dirid));
	r = xtsfs_fsck_list(fsck, handle, ".", name_anew, &naming);
	return r == 0 && fsck->options.repair ? write_dirid(fsck, dir, handle, id) : r;
}

static void rebuild(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle)
{
	static const char detail[] = "the directory's id (" XTSFS_NAME_DIRID ") is missing or damaged";
	struct xtsfs_fsck_place place = {.dir = dir};
	struct xtsfs_fsck_candidates *list = &dir->candidates;
	const char *action;
	const uint8_t *found = NULL;
	uint8_t fresh[XTSFS_ID_BYTES];
	int r = xtsfs_fsck_candidates(fsck, dir, handle);

	if (r == 0)
		r = add_remains(fsck, list, handle);
	if (r == 0)
		r = xtsfs_random(fresh, sizeof(fresh));
	if (r < 0) {
		xtsfs_fsck_report_io(fsck, &place, r, "look for the directory's id");
		return;
	}
	for (size_t i = 0; i < list->count && !found; i++)
		if (fits(fsck, list, handle, list->ids[i]))
			found = list->ids[i];
	if (found || !list->has_names) {
		action = found ? "rebuilt from what is in the directory; names decrypt under it"
			       : "given a fresh id; no encrypted name is in the directory";
		if (fsck->options.repair)
			r = write_dirid(fsck, dir, handle, found ? found : fresh);
	} else if (dir->parent && fsck->options.damage != XTSFS_FSCK_DAMAGE_REPORT) {
		action = "given a fresh id, and all in it other names";
		r = start_anew(fsck, dir, handle, fresh);
	} else {
		xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "dirid-lost", XTSFS_FSCK_LEFT, 0,
				  dir->parent
					  ? "put xtsfs.dirid back from a copy of the volume, if there is one; files "
					    "in it stay checked, under names that are not known; --salvage or --zero "
					    "would give all in it other names"
					  : "'xtsfsctl header restore' can put it back from a header backup",
				  "%s, and nothing in it remembers the id", detail);
		return;
	}
	xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "dirid-lost", xtsfs_fsck_outcome_of(fsck, r), r, action, "%s",
			  detail);
	if (r < 0)
		return;
	memcpy(dir->dirid, found ? found : fresh, sizeof(dir->dirid));
	dir->has_dirid = dir->proven = true;
}

/* The id is authentic; what else there is to say about it. */
static void compare(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
		    const struct xtsfs_disk_dirid *disk)
{
	struct xtsfs_fsck_place place = {.dir = dir};
	uint64_t other;

	if (!dir->parent && !xtsfs_is_zero(disk->parent_id, sizeof(disk->parent_id))) {
		int r = fsck->options.repair ? write_dirid(fsck, dir, handle, disk->id) : 0;

		xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_ERROR, "dirid-root-parent", xtsfs_fsck_outcome_of(fsck, r),
				  r, "written again, without a parent",
				  "the root directory's id says that it has a parent");
	}
	if (fsck->options.verbose && dir->parent && dir->parent->has_dirid &&
	    memcmp(disk->parent_id, dir->parent->dirid, sizeof(disk->parent_id)) != 0)
		xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_INFO, "dirid-moved", XTSFS_FSCK_NOTED, 0, NULL,
				  "the directory was made in another one and moved here");
	if (xtsfs_idset_seen(&fsck->dirids, xtsfs_load_le(disk->id, 8), dir->node->ino, &other) &&
	    other != dir->node->ino)
		xtsfs_fsck_report(fsck, &place, XTSFS_FSCK_INFO, "dirid-duplicate", XTSFS_FSCK_NOTED, 0, NULL,
				  "it has the id of the directory with inode %llu: one is a copy that was made in the "
				  "volume's own directory, equal names in both look equal there",
				  (unsigned long long)other);
}

void xtsfs_fsck_dirid(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle)
{
	struct xtsfs_fsck_place place = {.dir = dir};
	struct xtsfs_disk_dirid disk;
	int r = xtsfs_dirid_read(fsck->store, fsck->volume->keys, handle, &disk, NULL);

	if (r == 0) {
		memcpy(dir->dirid, disk.id, sizeof(dir->dirid));
		dir->has_dirid = true;
		compare(fsck, dir, handle, &disk);
	} else if (r == -XTSFS_EDAMAGED) {
		rebuild(fsck, dir, handle);
	} else {
		xtsfs_fsck_report_io(fsck, &place, r, "read " XTSFS_NAME_DIRID);
	}
}
