/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread of libfuse's loop reads a request and serves it, so what was read last is what is being served. The layout
 * of messages is that of <linux/fuse.h>, whose structures only grow at their ends.
 */
#define FUSE_USE_VERSION 314
#include "fuse/wire.h"

#include "fuse/gate.h"
#include "fuse/places.h"
#include "fuse/readers.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local uint32_t write_flags;
/*
 * What libfuse 3.14 does not ask the kernel for: it does not know the one, and of the other it keeps for itself that it
 * is wanted. Lookups and listings of one directory then need not wait for each other; the core takes no lock for them.
 */
#define WANTED (FUSE_HANDLE_KILLPRIV_V2 | FUSE_PARALLEL_DIROPS)

static _Atomic uint64_t init_unique; /* of the INIT that is not answered yet; 0: none */
static _Atomic uint32_t init_flags;  /* what of WANTED the kernel offers in it */
/* Linux 6.6: files that are opened without cache can be mapped. Among the bits that are in a second field. */
#define DIRECT_IO_ALLOW_MMAP (1U << 4)
static _Atomic uint32_t init_flags2;
static bool is_shared;

/* What libfuse does not tell of a request. */
static void note(const void *buffer, size_t bytes)
{
	struct fuse_in_header header;
	struct fuse_init_in init;
	struct fuse_write_in write;

	write_flags = 0;
	memcpy(&header, buffer, sizeof(header));
	if (header.opcode == FUSE_WRITE && bytes >= sizeof(header) + sizeof(write)) {
		memcpy(&write, (const char *)buffer + sizeof(header), sizeof(write));
		write_flags = write.write_flags;
	} else if (header.opcode == FUSE_INIT && bytes >= sizeof(header) + offsetof(struct fuse_init_in, flags2)) {
		memcpy(&init, (const char *)buffer + sizeof(header), offsetof(struct fuse_init_in, flags2));
		init_flags = init.flags & WANTED;
		if (is_shared && (init.flags & FUSE_INIT_EXT) &&
		    bytes >= sizeof(header) + offsetof(struct fuse_init_in, unused)) {
			memcpy(&init, (const char *)buffer + sizeof(header), offsetof(struct fuse_init_in, unused));
			init_flags2 = init.flags2 & DIRECT_IO_ALLOW_MMAP;
		}
		init_unique = header.unique;
	}
}

static ssize_t wire_read(int fd, void *buffer, size_t room, void *userdata)
{
	ssize_t n;

	(void)userdata;
	do {
		do
			xtsfs_gate_idle(buffer, room);
		while (!xtsfs_readers_enter());
		n = read(fd, buffer, room);
		xtsfs_readers_leave(n > 0);
		if (n < (ssize_t)sizeof(struct fuse_in_header))
			return n; /* EINTR brings the thread back here */
	} while (!xtsfs_gate_pass(fd, buffer, (size_t)n));
	note(buffer, (size_t)n);
	return n;
}

void xtsfs_wire_serve(struct fuse_session *se, void *data, size_t bytes)
{
	const struct fuse_buf buffer = {.mem = data, .size = bytes};

	note(data, bytes);
	fuse_session_process_buf(se, &buffer);
}

/* The answer to INIT, with what libfuse has not asked for. */
static ssize_t write_init(int fd, struct iovec *parts, int count)
{
	struct fuse_init_out init;
	struct iovec changed[2];

	if (count != 2 || parts[1].iov_len < offsetof(struct fuse_init_out, max_background) ||
	    parts[1].iov_len > sizeof(init))
		return writev(fd, parts, count);
	memcpy(&init, parts[1].iov_base, parts[1].iov_len);
	init.flags |= init_flags;
	if (init_flags2 && parts[1].iov_len >= offsetof(struct fuse_init_out, unused)) {
		init.flags |= FUSE_INIT_EXT;
		init.flags2 |= init_flags2;
	}
	changed[0] = parts[0];
	changed[1] = (struct iovec){.iov_base = &init, .iov_len = parts[1].iov_len};
	return writev(fd, changed, 2);
}

static ssize_t wire_writev(int fd, struct iovec *parts, int count, void *userdata)
{
	struct fuse_out_header header;
	uint64_t unique = init_unique;

	(void)userdata;
	if (parts[0].iov_len != sizeof(header))
		return writev(fd, parts, count);
	memcpy(&header, parts[0].iov_base, sizeof(header));
	if (header.error && header.unique) /* notifications have none */
		xtsfs_count_error(header.error);
	if (unique) {
		if (header.unique == unique && header.error == 0) {
			init_unique = 0;
			return write_init(fd, parts, count);
		}
	}
	return writev(fd, parts, count);
}

int xtsfs_wire_attach(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {.read = wire_read, .writev = wire_writev};
	int r = xtsfs_readers_init();

	return r < 0 ? r : fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

bool xtsfs_wire_kills_suid(void)
{
	return write_flags & FUSE_WRITE_KILL_SUIDGID;
}

void xtsfs_wire_share(bool shared)
{
	is_shared = shared;
}
