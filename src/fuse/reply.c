/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies: errors, entries, and the buffer a thread answers reads from.
 */
#include "fuse/ops.h"

#include "base/log.h"
#include "core/reverse.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

int xtsfs_reply_errno(int error)
{
	switch (-error) {
	case XTSFS_EAUTH: /* EBADMSG is for people who know tags */
	case XTSFS_EFEATURE:
		return EIO;
	case ENOSYS:
		return EOPNOTSUPP; /* ENOSYS would switch the operation off for the whole mount */
	default:
		return -error;
	}
}

void xtsfs_reply_status(fuse_req_t req, int error)
{
	fuse_reply_err(req, error < 0 ? xtsfs_reply_errno(error) : 0);
}

static double attr_timeout_s(const struct xtsfs_node *node, const struct stat *st)
{
	if (!S_ISDIR(st->st_mode) && xtsfs_node_links_changed(node, XTSFS_LINKS_CHANGED_S))
		return 0;
	return S_ISDIR(st->st_mode) || st->st_nlink > 1 ? XTSFS_SHARED_TIMEOUT_S : XTSFS_TIMEOUT_S;
}

/* Other files' attributes are asked for again after a while. Long before the names' time is over they had better be
 * listed once more than looked up one by one. */
static double told_for_s(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct stat *st)
{
	double timeout_s = xtsfs_volume_is_shared(volume) ? 0 : attr_timeout_s(node, st);

	if (S_ISREG(st->st_mode))
		xtsfs_node_told(node, timeout_s == XTSFS_TIMEOUT_S ? (uint32_t)XTSFS_TIMEOUT_S / 2 : 0);
	return timeout_s;
}

static double entry_timeout_s(const struct xtsfs_volume *volume)
{
	return xtsfs_volume_is_shared(volume) ? 0 : XTSFS_TIMEOUT_S;
}

static double reverse_timeout_s(const struct stat *st)
{
	return S_ISREG(st->st_mode) ? 0 : XTSFS_REVERSE_TIMEOUT_S;
}

void xtsfs_reply_attr(fuse_req_t req, struct xtsfs_node *node, const struct stat *st)
{
	struct xtsfs_volume *volume = xtsfs_req_volume(req);

	fuse_reply_attr(req, st, xtsfs_is_reverse(volume) ? reverse_timeout_s(st) : told_for_s(volume, node, st));
}

struct fuse_entry_param xtsfs_entry(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct stat *st)
{
	bool reverse = xtsfs_is_reverse(volume);
	struct fuse_entry_param entry = {.attr_timeout = reverse ? reverse_timeout_s(st) : told_for_s(volume, node, st),
					 .entry_timeout = reverse ? XTSFS_REVERSE_TIMEOUT_S : entry_timeout_s(volume)};

	entry.ino = node == xtsfs_root(volume) ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
	entry.generation = entry.ino == FUSE_ROOT_ID ? 0 : xtsfs_node_generation(node);
	entry.attr = *st;
	return entry;
}

void xtsfs_reply_entry(fuse_req_t req, int error, struct xtsfs_node *node, const struct stat *st, bool negative)
{
	struct xtsfs_volume *volume = xtsfs_req_volume(req);
	struct fuse_entry_param entry;

	if (error == -ENOENT && negative && !xtsfs_is_reverse(volume)) {
		memset(&entry, 0, sizeof(entry));
		entry.entry_timeout = entry_timeout_s(volume);
		fuse_reply_entry(req, &entry);
		return;
	}
	if (error < 0) {
		xtsfs_reply_status(req, error);
		return;
	}
	entry = xtsfs_entry(volume, node, st);
	if (fuse_reply_entry(req, &entry) == -ENOENT)
		xtsfs_forget(volume, node, 1); /* the request was given up: the kernel has no reference */
}

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static int buffer_error;

static void buffer_free(void *buffer)
{
	explicit_bzero(buffer, XTSFS_REPLY_BYTES);
	free(buffer);
}

static void buffer_init(void)
{
	buffer_error = pthread_key_create(&buffer_key, buffer_free);
}

char *xtsfs_reply_buffer(void)
{
	void *buffer;

	pthread_once(&buffer_once, buffer_init);
	if (buffer_error)
		return NULL;
	buffer = pthread_getspecific(buffer_key);
	if (!buffer && posix_memalign(&buffer, 4096, XTSFS_REPLY_BYTES) == 0 &&
	    pthread_setspecific(buffer_key, buffer) != 0) {
		free(buffer);
		buffer = NULL;
	}
	return buffer;
}

void xtsfs_reply_buffer_wipe(void)
{
	void *buffer = NULL;

	pthread_once(&buffer_once, buffer_init);
	if (!buffer_error)
		buffer = pthread_getspecific(buffer_key);
	if (buffer)
		explicit_bzero(buffer, XTSFS_REPLY_BYTES);
}
