/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify, F_NOTIFY, poll, epoll; io_uring.
 */
#include "parity.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static void events(int fd)
{
	static const char *const names[] = {"ACCESS",	   "MODIFY",	 "ATTRIB",   "CLOSE_WRITE", "CLOSE_NOWRITE",
					    "OPEN",	   "MOVED_FROM", "MOVED_TO", "CREATE",	    "DELETE",
					    "DELETE_SELF", "MOVE_SELF",	 NULL,	     "UNMOUNT",	    "OVERFLOW",
					    "IGNORED"};
	static _Alignas(struct inotify_event) char room[8192];
	ssize_t n = read(fd, room, sizeof(room));
	char text[3000] = "";
	size_t used = 0;

	for (ssize_t at = 0; n > 0 && at < n;) {
		const struct inotify_event *e = (const struct inotify_event *)(const void *)(room + at);

		for (int i = 0; i < 16; i++)
			if (e->mask & (1U << i))
				used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s%s%s ",
							 names[i] ? names[i] : "?", e->mask & IN_ISDIR ? ":dir" : "",
							 e->len ? ":" : "", e->len ? e->name : "",
							 e->wd == 1 ? "" : "@2");
		at += (ssize_t)sizeof(*e) + e->len;
	}
	say("events", "[%s]", text);
}

static int watch(const char *path)
{
	int fd = inotify_init1(IN_NONBLOCK);

	R(inotify_add_watch(fd, path, IN_ALL_EVENTS));
	return fd;
}

SEQ(event, names, "inotify")
{
	int w;

	mkd("d", 0755);
	mk("out", 1);
	w = watch("d");
	mk("d/a", 10);
	events(w);
	N(mkdir("d/b", 0755));
	N(symlink("x", "d/l"));
	N(link("d/a", "d/c"));
	N(mkfifo("d/p", 0600));
	events(w);
	N(rename("d/a", "d/r"));
	N(rename("out", "d/in"));
	N(rename("d/c", "out"));
	N(rename("d/in", "d/r"));
	events(w);
	N(renameat2(AT_FDCWD, "d/r", AT_FDCWD, "d/b", RENAME_EXCHANGE));
	events(w);
	N(unlink("d/l"));
	N(rmdir("d/r"));
	N(unlink("d/b"));
	events(w);
	L("d");
	events(w);
	N(unlink("d/p"));
	N(rmdir("d"));
	events(w);
}

SEQ(event, of_a_file, "inotify")
{
	int w, fd;
	char *p;

	mk("f", 10000);
	w = watch("f");
	fd = op("f", O_RDWR);
	N(pread(fd, big, 10, 0));
	N(pwrite(fd, "x", 1, 0));
	events(w);
	N(ftruncate(fd, 100));
	N(fchmod(fd, 0600));
	N(fchown(fd, 1, 1));
	N(futimens(fd, NULL));
	N(fsetxattr(fd, "user.a", "1", 1, 0));
	N(fallocate(fd, 0, 0, 5000));
	events(w);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[0] = 'x';
	munmap(p, 4096);
	close(fd);
	events(w);
	N(link("f", "g"));
	N(unlink("f"));
	N(rename("g", "h"));
	events(w);
	mk("over", 1);
	N(rename("over", "h"));
	events(w);
}

SEQ(event, unlinked_while_open, "inotify unlink")
{
	int w, fd;

	mk("f", 10);
	fd = op("f", O_RDWR);
	w = watch("f");
	N(unlink("f"));
	events(w);
	N(write(fd, "x", 1));
	close(fd);
	events(w);
}

static volatile sig_atomic_t seen;

static void on_signal(int number)
{
	(void)number;
	seen++;
}

SEQ(event, dnotify, "fcntl:NOTIFY")
{
	int fd;

	mkd("d", 0755);
	signal(SIGIO, on_signal);
	fd = op("d", O_RDONLY);
	R(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MODIFY | DN_DELETE | DN_RENAME | DN_ATTRIB | DN_MULTISHOT));
	mk("d/a", 0);
	V(seen);
	mk("d/a", 10);
	V(seen > 1);
	seen = 0;
	N(chmod("d/a", 0600));
	V(seen);
	N(rename("d/a", "d/b"));
	V(seen);
	N(unlink("d/b"));
	V(seen);
}

SEQ(event, poll, "poll epoll")
{
	struct epoll_event e = {.events = EPOLLIN};
	struct pollfd p[2] = {{.events = POLLIN | POLLOUT | POLLPRI}, {.events = POLLIN}};

	mk("f", 10);
	mkd("d", 0755);
	p[0].fd = op("f", O_RDWR);
	p[1].fd = op("d", O_RDONLY);
	R(poll(p, 2, 0));
	V(p[0].revents);
	V(p[1].revents);
	R(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, p[0].fd, &e));
	R(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, p[1].fd, &e));
}

/* One request at a time through a ring. */
struct ring {
	int fd;
	unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static bool ring_open(struct ring *ring)
{
	struct io_uring_params params = {0};
	char *sq, *cq;

	ring->fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (ring->fd < 0)
		return false;
	sq = mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		  IORING_OFF_SQ_RING);
	cq = mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
		  MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
			  ring->fd, IORING_OFF_SQES);
	need(sq != MAP_FAILED && cq != MAP_FAILED && ring->sqes != MAP_FAILED, "map the ring");
	ring->sq_tail = (unsigned *)(void *)(sq + params.sq_off.tail);
	ring->sq_mask = (unsigned *)(void *)(sq + params.sq_off.ring_mask);
	ring->sq_array = (unsigned *)(void *)(sq + params.sq_off.array);
	ring->cq_head = (unsigned *)(void *)(cq + params.cq_off.head);
	ring->cq_mask = (unsigned *)(void *)(cq + params.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(void *)(cq + params.cq_off.cqes);
	return true;
}

static void ring_do(struct ring *ring, const char *what, struct io_uring_sqe sqe)
{
	unsigned at = *ring->sq_tail & *ring->sq_mask;
	int result;

	ring->sqes[at] = sqe;
	ring->sq_array[at] = at;
	__atomic_store_n(ring->sq_tail, *ring->sq_tail + 1, __ATOMIC_RELEASE);
	need(syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1, "io_uring_enter");
	result = ring->cqes[*ring->cq_head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
	if (result < 0)
		say(what, "%s", strerrorname_np(-result));
	else
		say(what, "%d", result);
}

SEQ(event, io_uring, "io_uring read write fsync fallocate")
{
	struct ring ring;
	int fd;

	mk("f", 10000);
	fd = op("f", O_RDWR);
	if (!ring_open(&ring)) {
		/* The machine forbids it, on every filesystem. */
		say("io_uring", "%s", strerrorname_np(errno));
		return;
	}
	fill(big, 5000, 3);
#define DO(what, ...) ring_do(&ring, what, (struct io_uring_sqe){__VA_ARGS__})
	DO("write", .opcode = IORING_OP_WRITE, .fd = fd, .addr = (uintptr_t)big, .len = 5000, .off = 8000);
	DO("read", .opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)big, .len = 20000, .off = 100);
	DO("read at end", .opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)big, .len = 10, .off = 13000);
	DO("fsync", .opcode = IORING_OP_FSYNC, .fd = fd);
	DO("fallocate", .opcode = IORING_OP_FALLOCATE, .fd = fd, .addr = 20000);
	DO("unlinkat none", .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t) "none");
	DO("mkdirat", .opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = (uintptr_t) "d", .len = 0755);
	DO("read of a directory", .opcode = IORING_OP_READ, .fd = op("d", O_RDONLY), .addr = (uintptr_t)big, .len = 10);
	CF(fd);
	S("d");
}
