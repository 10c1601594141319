/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process at work: its operations one after the other, chosen or given, and its word with the driver at barriers.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* All processes come here; with 'R' of any of them the driver mounts anew before it lets them go on. */
static int meet(struct world *w, char wish)
{
	char answer;

	if (wish == 'R') {
		for (unsigned slot = 0; slot < SLOTS; slot++)
			slot_close(w, slot);
		shared_close(w);
	}
	if (send(w->barrier, &wish, 1, MSG_NOSIGNAL) != 1 || recv(w->barrier, &answer, 1, 0) != 1 || answer != 'G')
		return fail(w, "told to stop");
	return 0;
}

static int remount(struct world *w)
{
	if (meet(w, 'R') < 0 || check_all(w) < 0 || shared_check(w) < 0)
		return -1;
	/* Nobody changes anything before all have looked. */
	return w->processes > 1 ? meet(w, 'B') : 0;
}

static int barrier(struct world *w, const struct op *op)
{
	char path[PATH_ROOM];

	if (op->how)
		return remount(w);
	if (meet(w, 'B') < 0 || shared_check(w) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s", w->common_path);
	if (check_list(w, w->common, path) < 0)
		return -1;
	return meet(w, 'B');
}

int run_op(struct world *w, const struct op *op)
{
	if (w->verbose)
		op_print(stderr, op);
	clock_gettime(CLOCK_REALTIME_COARSE, &op_start);
	switch (op->kind) {
	case K_REMOUNT:
		return remount(w);
	case K_BARRIER:
		return barrier(w, op);
	case K_SHARED:
		return op_shared(w, op);
	case K_CHMOD:
	case K_CHOWN:
	case K_TIMES:
	case K_SETXATTR:
	case K_GETXATTR:
	case K_REMOVEXATTR:
	case K_LISTXATTR:
		return op_attr(w, op);
	default:
		return op->kind <= K_FSTAT ? op_data(w, op) : op_names(w, op);
	}
}

/* What the filesystem under test can do. */
static void look_around(struct world *w, const char *top)
{
	char path[600], target[MOST_TARGET + 1] = "";
	struct stat st;
	int fd;

	assert(stat(w->top, &st) == 0);
	w->dir_links = st.st_nlink == 2;
	snprintf(path, sizeof(path), "%s/direct-%u", top, w->who);
	fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	assert(fd >= 0);
	w->direct_any = pwrite(fd, w->buffer + 1, 5, 3) == 5;
	close(fd);
	assert(unlink(path) == 0);
	memset(target, 't', MOST_TARGET);
	w->most_target = symlink(target, path) == 0 ? MOST_TARGET : 1000;
	(void)unlink(path);
}

static struct op barrier_op(unsigned who, unsigned index)
{
	struct op op = {.who = (uint8_t)who, .kind = K_BARRIER};
	uint64_t state = options.seed * 1000 + index;

	memset(op.a, NO_NAME, DEPTH);
	memset(op.b, NO_NAME, DEPTH);
	op.how = next_random(&state) % 4 == 0;
	return op;
}

static void *aligned(size_t bytes)
{
	void *p = NULL;

	assert(posix_memalign(&p, BLOCK, bytes) == 0);
	memset(p, 0, bytes);
	return p;
}

void work(unsigned who, struct control *control, int barrier, const char *top)
{
	struct world w = {.who = who,
			  .processes = options.processes,
			  .root = geteuid() == 0,
			  .verbose = options.verbose,
			  .control = control,
			  .barrier = barrier};
	bool chosen = control->count == 0;
	unsigned count = chosen ? options.ops : control->count;
	int r = 0;

	umask(0);
	clock_gettime(CLOCK_REALTIME_COARSE, &op_start);
	w.rng = options.seed * 64 + who;
	w.buffer = aligned(BUFFER_ROOM);
	w.other = aligned(BUFFER_ROOM);
	snprintf(w.top, sizeof(w.top), "%s/own-%u", top, who);
	snprintf(w.common_path, sizeof(w.common_path), "%s/common", top);
	w.tree = node_new(&w, T_DIR, 0755, NULL);
	w.common = node_new(&w, T_DIR, 0777, NULL);
	assert(mkdir(w.top, 0755) == 0);
	w.tree->mtime_known = TIME_ANY;
	look_around(&w, top);
	shared_begin(&w, top);
	for (unsigned i = 0; r == 0 && i < count; i++) {
		if (chosen) {
			control->ops[i] = w.processes > 1 && i % ROUND == ROUND - 1 ? barrier_op(who, i)
										    : op_choose(&w);
			control->count = i + 1;
		}
		r = run_op(&w, &control->ops[i]);
		__atomic_store_n(&control->done, i + 1, __ATOMIC_RELAXED);
	}
	if (r == 0)
		r = check_all(&w);
	if (r == 0)
		r = remount(&w);
	shared_close(&w);
	for (unsigned slot = 0; slot < SLOTS; slot++)
		slot_close(&w, slot);
	control->failed = r < 0;
	_exit(r < 0);
}
