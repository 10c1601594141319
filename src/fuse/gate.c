/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each thread says in its place that it is serving, and then looks at the state; who changes the state sets it, and
 * then looks at the places. Both in one order for all (seq_cst), so either the thread sees the new state or the other
 * sees the thread. An open gate costs a request that one store, and no lock.
 *
 * Behind a gate that is not open requests are kept as they were read, and handed in later, so no thread waits with
 * them. A caller that is killed gets away: the kernel's INTERRUPT takes its request out. What is kept may be plaintext,
 * for a program that has a file open can go on writing to the kernel's cache whatever is locked here; it is wiped.
 *
 * Pages. The kernel drops pages of a file on notification, but waits for pages that are being read. A read that is kept
 * here would never end. So while a file's pages are dropped its reads pass, and it is begun anew if one did; those that
 * were kept before are left out, their pages are empty. A file that is read all the time gets through, since its reader
 * is soon kept as a whole.
 *
 * Threads wipe what is theirs themselves: a thread that waits in read() may be given a request at any instant. A signal
 * gets it out of there. It may come a moment before the read begins, so it is sent until the thread has answered.
 */
#include "fuse/gate.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/secret.h"
#include "core/volume.h"
#include "fuse/ops.h"
#include "fuse/places.h"

#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (128U * 1024)

struct kept {
	struct kept *next;
	size_t bytes;
	uint64_t unique, ino;
	uint32_t opcode;
	unsigned char data[];
};

static struct {
	atomic_int state;      /* enum xtsfs_gate */
	atomic_uint wipe;      /* threads that have another number in their place are to wipe */
	pthread_mutex_t mutex; /* the rest; a leaf, held over nothing */
	enum xtsfs_held held;
	struct kept *first, **last;
	size_t count;
	uint64_t drop_ino; /* its reads pass; 0: none */
	bool drop_again;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .last = &gate.first};

/* ---- requests ---- */

#define OPCODE_STATX 52 /* not in all headers; libfuse does not have it, and the kernel takes GETATTR then */

/* ACLs are stored as they are. */
static bool asks_for_acl(const void *buffer, size_t bytes)
{
	static const char prefix[] = "system.posix_acl_";
	const size_t at = sizeof(struct fuse_in_header) + sizeof(struct fuse_getxattr_in);

	return bytes > at + strlen(prefix) && memcmp((const char *)buffer + at, prefix, strlen(prefix)) == 0;
}

/* What needs no key. The root's attributes: without them nobody could so much as unmount, or list its parent. */
static bool needs_no_key(const struct fuse_in_header *header, const void *buffer, size_t bytes)
{
	switch (header->opcode) {
	case FUSE_GETATTR:
	case FUSE_OPENDIR: /* df opens what it is asked about */
		return header->nodeid == FUSE_ROOT_ID;
	case FUSE_GETXATTR:
		return header->nodeid == FUSE_ROOT_ID && asks_for_acl(buffer, bytes);
	case OPCODE_STATX:
	case FUSE_INIT:
	case FUSE_DESTROY:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_STATFS:
	case FUSE_FLUSH:
	case FUSE_NOTIFY_REPLY:
		return true;
	default:
		return false;
	}
}

/* What the kernel may need an answer to before it can drop pages: it writes them, or holds writing up until then. */
static bool writes_out(const struct fuse_in_header *header)
{
	return header->opcode == FUSE_WRITE || header->opcode == FUSE_SETATTR || header->opcode == FUSE_FALLOCATE ||
	       header->opcode == FUSE_FSYNC || header->opcode == FUSE_FSYNCDIR;
}

static void reply_error(int fd, uint64_t unique, int error)
{
	struct fuse_out_header out = {.len = sizeof(out), .error = error, .unique = unique};

	if (write(fd, &out, sizeof(out)) < 0 && errno != ENOENT)
		xtsfs_debug("cannot answer a request: %s", xtsfs_strerror(errno));
}

static void free_kept(struct kept *kept)
{
	xtsfs_wipe(kept, sizeof(*kept) + kept->bytes);
	free(kept);
}

/* Take out the first that fits; gate.mutex held. */
static struct kept *take(bool (*fits)(const struct kept *kept, uint64_t what), uint64_t what)
{
	for (struct kept **at = &gate.first; *at; at = &(*at)->next) {
		struct kept *kept = *at;

		if (!fits(kept, what))
			continue;
		*at = kept->next;
		if (gate.last == &kept->next)
			gate.last = at;
		gate.count--;
		return kept;
	}
	return NULL;
}

static bool any(const struct kept *kept, uint64_t what)
{
	(void)kept;
	(void)what;
	return true;
}

static bool has_unique(const struct kept *kept, uint64_t what)
{
	return kept->unique == what;
}

static bool reads(const struct kept *kept, uint64_t what)
{
	return kept->opcode == FUSE_READ && kept->ino == what;
}

/* gate.mutex held. */
static int keep(const struct fuse_in_header *header, const void *buffer, size_t bytes)
{
	struct kept *kept = malloc(sizeof(*kept) + bytes);

	if (!kept)
		return -ENOMEM;
	*kept = (struct kept){
		.bytes = bytes, .unique = header->unique, .ino = header->nodeid, .opcode = header->opcode};
	memcpy(kept->data, buffer, bytes);
	*gate.last = kept;
	gate.last = &kept->next;
	gate.count++;
	return 0;
}

/* The gate is not open, or was not a moment ago. */
static bool decide(int fd, const struct fuse_in_header *header, void *buffer, size_t bytes)
{
	struct fuse_interrupt_in interrupt;
	struct kept *interrupted = NULL;
	int state, error = 0;
	bool pass;

	pthread_mutex_lock(&gate.mutex);
	state = atomic_load(&gate.state);
	pass = state == XTSFS_GATE_OPEN || needs_no_key(header, buffer, bytes) ||
	       (state == XTSFS_GATE_CLOSING && writes_out(header));
	if (!pass && header->opcode == FUSE_READ && gate.drop_ino && header->nodeid == gate.drop_ino)
		pass = gate.drop_again = true;
	if (!pass && header->opcode == FUSE_INTERRUPT) {
		if (bytes >= sizeof(*header) + sizeof(interrupt)) {
			memcpy(&interrupt, (const char *)buffer + sizeof(*header), sizeof(interrupt));
			interrupted = take(has_unique, interrupt.unique);
		}
		pass = !interrupted;
	} else if (!pass && header->opcode == FUSE_GETXATTR && header->nodeid == FUSE_ROOT_ID) {
		error = -ENODATA; /* ls -l of the parent asks for labels */
	} else if (!pass && (state == XTSFS_GATE_CLOSING || gate.held == XTSFS_HELD_WAIT)) {
		error = keep(header, buffer, bytes);
	} else if (!pass) {
		error = -ENOKEY;
	}
	pthread_mutex_unlock(&gate.mutex);
	if (interrupted) {
		reply_error(fd, interrupted->unique, -EINTR);
		free_kept(interrupted);
	}
	if (error)
		reply_error(fd, header->unique, error);
	return pass;
}

bool xtsfs_gate_pass(int fd, void *buffer, size_t bytes)
{
	struct xtsfs_place *place = xtsfs_place_own();
	struct fuse_in_header header;
	int cancel;
	bool pass;

	if (place)
		atomic_store(&place->serving, true);
	if (atomic_load(&gate.state) == XTSFS_GATE_OPEN)
		return true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	memcpy(&header, buffer, sizeof(header));
	pass = decide(fd, &header, buffer, bytes);
	if (!pass) {
		xtsfs_wipe(buffer, bytes);
		if (place)
			atomic_store(&place->serving, false);
	}
	pthread_setcancelstate(cancel, NULL);
	return pass;
}

size_t xtsfs_gate_kept(void)
{
	xtsfs_guard_mutex(&gate.mutex);

	return gate.count;
}

size_t xtsfs_gate_take(uint64_t ino, void **ret_data)
{
	struct kept *kept;
	size_t bytes;

	pthread_mutex_lock(&gate.mutex);
	kept = take(ino ? reads : any, ino);
	if (kept && ino == gate.drop_ino)
		gate.drop_again = true;
	pthread_mutex_unlock(&gate.mutex);
	if (!kept)
		return 0;
	/* What the caller gets begins where malloc() did, so that it can be freed. */
	bytes = kept->bytes;
	memmove(kept, kept->data, bytes);
	*ret_data = kept;
	return bytes;
}

void xtsfs_gate_fail_kept(int fd, int error)
{
	struct kept *kept;

	do {
		pthread_mutex_lock(&gate.mutex);
		kept = take(any, 0);
		pthread_mutex_unlock(&gate.mutex);
		if (kept) {
			reply_error(fd, kept->unique, error);
			free_kept(kept);
		}
	} while (kept);
}

size_t xtsfs_gate_done(void)
{
	size_t writes = 0;
	struct kept *kept;

	pthread_mutex_lock(&gate.mutex);
	while ((kept = take(any, 0))) {
		writes += kept->opcode == FUSE_WRITE;
		free_kept(kept);
	}
	pthread_mutex_unlock(&gate.mutex);
	return writes;
}

/* ---- states ---- */

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void xtsfs_gate_set(enum xtsfs_gate state, enum xtsfs_held held)
{
	pthread_mutex_lock(&gate.mutex);
	gate.held = held;
	atomic_store(&gate.state, (int)state);
	pthread_mutex_unlock(&gate.mutex);
	for (unsigned i = 0; i < XTSFS_PLACES; i++) {
		struct xtsfs_place *place = xtsfs_place_at(i);
		unsigned serial = atomic_load(&place->serial);

		while (atomic_load(&place->taken) && atomic_load(&place->serving) &&
		       atomic_load(&place->serial) == serial)
			nap();
	}
}

/* ---- pages ---- */

static int compare_ranges(const void *a, const void *b)
{
	const struct xtsfs_gate_range *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

unsigned xtsfs_gate_drop_begin(uint64_t ino, struct xtsfs_gate_range ret_ranges[static XTSFS_GATE_RANGES])
{
	struct xtsfs_gate_range kept[XTSFS_GATE_RANGES];
	unsigned count = 0, ranges = 0;
	uint64_t at = 0;

	pthread_mutex_lock(&gate.mutex);
	gate.drop_ino = ino;
	gate.drop_again = false;
	for (const struct kept *k = gate.first; k; k = k->next) {
		struct fuse_read_in read;

		if (!reads(k, ino) || k->bytes < sizeof(struct fuse_in_header) + sizeof(read))
			continue;
		memcpy(&read, k->data + sizeof(struct fuse_in_header), sizeof(read));
		if (count == XTSFS_GATE_RANGES - 1) { /* so many: everything from the last on is left out */
			kept[count - 1].to = UINT64_MAX;
			break;
		}
		kept[count++] = (struct xtsfs_gate_range){read.offset, read.offset + read.size};
	}
	pthread_mutex_unlock(&gate.mutex);
	qsort(kept, count, sizeof(kept[0]), compare_ranges); /* cppcheck-suppress uninitvar ; but for the first count */
	for (unsigned i = 0; i < count; i++) {
		if (kept[i].from > at)
			ret_ranges[ranges++] = (struct xtsfs_gate_range){at, kept[i].from};
		at = kept[i].to > at ? kept[i].to : at;
	}
	if (at != UINT64_MAX)
		ret_ranges[ranges++] = (struct xtsfs_gate_range){at, UINT64_MAX};
	return ranges;
}

bool xtsfs_gate_drop_end(void)
{
	xtsfs_guard_mutex(&gate.mutex);

	gate.drop_ino = 0;
	return !gate.drop_again;
}

/* ---- what threads have in their memory ---- */

__attribute__((noinline)) static void wipe_stack(void)
{
	unsigned char below[STACK_BYTES];

	xtsfs_wipe(below, sizeof(below));
}

static void wipe_own(struct xtsfs_place *place, void *buffer, size_t room)
{
	unsigned number = atomic_load(&gate.wipe);

	if (buffer)
		xtsfs_wipe(buffer, room);
	xtsfs_reply_buffer_wipe();
	xtsfs_scratch_wipe();
	wipe_stack();
	if (place)
		atomic_store(&place->wiped, number);
}

void xtsfs_gate_idle(void *buffer, size_t room)
{
	struct xtsfs_place *place = xtsfs_place_own();

	if (!place)
		return;
	if (atomic_load_explicit(&place->serving, memory_order_relaxed)) {
		atomic_store_explicit(&place->serial, atomic_load_explicit(&place->serial, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		atomic_store_explicit(&place->serving, false, memory_order_release);
	} else if (!atomic_load(&place->reads)) {
		place->thread = (pid_t)syscall(SYS_gettid);
		atomic_store(&place->wiped, atomic_load(&gate.wipe));
		atomic_store(&place->reads, true);
	}
	if (atomic_load(&place->wiped) != atomic_load(&gate.wipe))
		wipe_own(place, buffer, room);
}

void xtsfs_gate_wipe_threads(void)
{
	unsigned number = atomic_fetch_add(&gate.wipe, 1) + 1;

	wipe_own(xtsfs_place_own(), NULL, 0);
	for (unsigned i = 0; i < XTSFS_PLACES; i++) {
		struct xtsfs_place *place = xtsfs_place_at(i);

		while (atomic_load(&place->taken) && atomic_load(&place->reads) &&
		       atomic_load(&place->wiped) != number) {
			(void)syscall(SYS_tgkill, getpid(), place->thread, SIGURG);
			nap();
		}
	}
}

void xtsfs_gate_after_others(void)
{
	static const long patience_ns = 5000000;
	const struct xtsfs_place *own = xtsfs_place_own();
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < XTSFS_PLACES; i++) {
		struct xtsfs_place *place = xtsfs_place_at(i);
		unsigned serial = atomic_load(&place->serial);

		while (place != own && atomic_load(&place->taken) && atomic_load(&place->serving) &&
		       atomic_load(&place->serial) == serial) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			if ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec > patience_ns)
				return;
			sched_yield();
		}
	}
}
