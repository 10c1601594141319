/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose mtime. With the writeback cache it is the kernel's, which takes it from us when it gets to know the file, and
 * sends it when it has another. It sends none where its clock has not moved since, as for a file that is made and
 * written at once; and one for each change, so that pages of a write(2) that takes longer come behind it. Such pages
 * move the mtime of the backing file, which would come up when the kernel has forgotten the file. When the last who
 * may write closes it the kernel has sent all it has to send: what it knew or sent last is the truth, and is put back.
 * Not before: after a crash, or where a mount was given up, content that is new must not look older.
 */
#include "core/file.h"

void xtsfs_mtime_opened(struct xtsfs_file *file, const struct timespec *mtime)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	file->mtime_is_final = false;
	if (file->mtime_has_moved) /* and has not been put back yet: others read the file */
		return;
	file->sent_mtime = *mtime;
	file->mtime_is_sent = true;
}

void xtsfs_mtime_sent(struct xtsfs_file *file, const struct timespec *mtime)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	file->mtime_is_final = false;
	file->sent_mtime = *mtime;
	file->mtime_is_sent = mtime->tv_nsec != UTIME_NOW;
	file->mtime_has_moved = false;
}

void xtsfs_mtime_written(struct xtsfs_file *file, bool cached)
{
	bool moved;

	{
		xtsfs_guard_mutex(&file->waiting.mutex);
		file->mtime_is_sent = file->mtime_is_sent && cached;
		file->mtime_is_final = false;
		moved = file->mtime_has_moved = file->mtime_is_sent;
	}
	if (moved)
		xtsfs_file_set_changed(file, true); /* so that it is settled */
}

void xtsfs_mtime_closed(struct xtsfs_file *file)
{
	xtsfs_guard_mutex(&file->waiting.mutex);

	file->mtime_is_final = true;
}

void xtsfs_mtime_put_back(const struct xtsfs_io *io)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct xtsfs_file *file = io->file;

	{
		xtsfs_guard_mutex(&file->waiting.mutex);
		if (!file->mtime_has_moved || !file->mtime_is_final)
			return;
		times[1] = file->sent_mtime;
		file->mtime_has_moved = false;
	}
	(void)io->volume->store->ops->utimens(io->volume->store, io->handle, NULL, times);
}
