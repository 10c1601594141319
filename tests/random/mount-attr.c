/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on attributes: modes, owners, times, extended attributes.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static long found(const struct place *place)
{
	return place->error ? place->error : place->node ? 0 : -ENOENT;
}

/* As root every bit but the sticky one, with which the kernel has rules of its own; others need their own files. */
static mode_t some_mode(const struct world *w, const struct node *node, uint64_t seed)
{
	mode_t mode = (mode_t)(seed % 0777 + 1);

	if (!w->root)
		return mode | (node && node->type == T_DIR ? 0700 : 0600);
	if (seed / 1000 % 4 == 0)
		mode |= S_ISGID;
	if (seed / 1000 % 4 == 1 && node && node->type == T_FILE)
		mode |= S_ISUID;
	return mode;
}

static int do_chmod(struct world *w, const struct op *op)
{
	struct place place;
	mode_t mode;
	long want, got;
	int r;

	find(w, op->a, &place);
	if (place.node == w->common || (place.node && place.node->type == T_FIFO))
		return 0;
	mode = some_mode(w, place.node, op->seed);
	want = found(&place);
	if (want == 0 && place.node->type == T_LINK)
		want = -ENOENT; /* where it leads */
	got = result(chmod(place.path, mode));
	r = expect(w, "chmod", got, want);
	if (got == 0 && r == 0)
		place.node->mode = mode;
	return r;
}

static int do_chown(struct world *w, const struct op *op)
{
	static const unsigned ids[] = {0, 1, 1000, 65534};
	uid_t uid = w->root ? ids[op->seed % 4] : geteuid();
	gid_t gid = w->root ? ids[op->seed / 4 % 4] : getegid();
	struct place place;
	long got;
	int r;

	find(w, op->a, &place);
	if (place.node == w->common)
		return 0;
	if (op->how % 4 == 0)
		uid = (uid_t)-1;
	if (op->how % 4 == 1)
		gid = (gid_t)-1;
	got = result(lchown(place.path, uid, gid));
	r = expect(w, "chown", got, found(&place));
	if (got < 0 || r < 0)
		return r;
	if (uid != (uid_t)-1)
		place.node->uid = uid;
	if (gid != (gid_t)-1)
		place.node->gid = gid;
	if (place.node->type != T_DIR) {
		place.node->mode &= ~(mode_t)S_ISUID;
		if (place.node->mode & S_IXGRP)
			place.node->mode &= ~(mode_t)S_ISGID;
	}
	return 0;
}

/* Also before 1970. The new time is looked at at once, and with every stat until something changes it. */
static int do_times(struct world *w, const struct op *op)
{
	struct timespec times[2] = {
		{.tv_sec = (time_t)(op->offset * 1000), .tv_nsec = (long)(op->seed % 1000000000)},
		{.tv_sec = (time_t)(op->seed % 0x7fffffff) - (op->how % 16 ? 0 : 0x7ffffff0),
		 .tv_nsec = (long)(op->bytes % 1000000000)},
	};
	struct place place;
	struct stat st;
	long got;
	int r;

	find(w, op->a, &place);
	if (place.node == w->common)
		return 0;
	if (op->how % 8 == 1)
		times[1].tv_nsec = UTIME_OMIT;
	if (op->how % 8 == 2)
		times[1].tv_nsec = UTIME_NOW;
	got = result(utimensat(AT_FDCWD, place.path, times, AT_SYMLINK_NOFOLLOW));
	r = expect(w, "utimensat", got, found(&place));
	if (got < 0 || r < 0)
		return r;
	if (times[1].tv_nsec != UTIME_OMIT) {
		place.node->mtime_known = times[1].tv_nsec == UTIME_NOW ? TIME_SINCE : TIME_EXACT;
		place.node->mtime = times[1].tv_nsec == UTIME_NOW ? op_start : times[1];
	}
	if (expect(w, "stat", result(lstat(place.path, &st)), 0) < 0)
		return -1;
	if (st.st_atim.tv_sec != times[0].tv_sec || st.st_atim.tv_nsec != times[0].tv_nsec)
		return fail(w, "atime is %lld.%09ld, should be %lld.%09ld", (long long)st.st_atim.tv_sec,
			    st.st_atim.tv_nsec, (long long)times[0].tv_sec, times[0].tv_nsec);
	return check_stat(w, &st, place.node, place.path);
}

static long set_result(const struct place *place, const struct xattr *x, int flags)
{
	if (place->node->type == T_LINK || place->node->type == T_FIFO)
		return -EPERM;
	if (flags == XATTR_CREATE && x->value)
		return -EEXIST;
	return flags == XATTR_REPLACE && !x->value ? -ENODATA : 0;
}

static int do_xattr(struct world *w, const struct op *op)
{
	static const int all_flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	unsigned i = (unsigned)(op->how / 8 % XATTRS);
	int flags = all_flags[op->how % 4], r;
	size_t bytes = op->bytes % 200;
	char name[32], value[1024];
	struct place place;
	struct xattr *x;
	long want, got;

	find(w, op->a, &place);
	if (place.node == w->common)
		return 0;
	want = found(&place);
	x = want ? NULL : &place.node->xattrs[i];
	snprintf(name, sizeof(name), "user.test%u", i);
	switch (op->kind) {
	case K_SETXATTR:
		fill(op->seed, 0, (uint8_t *)value, bytes);
		got = result(lsetxattr(place.path, name, value, bytes, flags));
		r = expect(w, "setxattr", got, want ? want : set_result(&place, x, flags));
		if (r == 0 && got == 0) {
			free(x->value);
			x->value = malloc(bytes + 1);
			assert(x->value);
			memcpy(x->value, value, bytes);
			x->bytes = bytes;
		}
		return r;
	case K_REMOVEXATTR:
		got = result(lremovexattr(place.path, name));
		r = expect(w, "removexattr", got, want ? want : set_result(&place, x, XATTR_REPLACE));
		if (r == 0 && got == 0) {
			free(x->value);
			x->value = NULL;
		}
		return r;
	case K_GETXATTR:
		got = result(lgetxattr(place.path, name, value, bytes));
		if (want == 0)
			want = !x->value ? -ENODATA : bytes && bytes < x->bytes ? -ERANGE : (long)x->bytes;
		r = expect(w, "getxattr", got, want);
		if (r == 0 && got > 0 && bytes && memcmp(value, x->value, x->bytes) != 0)
			r = fail(w, "getxattr gave another value");
		return r;
	default:
		if (want == 0 && place.node->type != T_LINK && place.node->type != T_FIFO)
			return check_xattrs(w, place.node, place.path);
		return expect(w, "listxattr", result(llistxattr(place.path, value, sizeof(value))), want);
	}
}

int op_attr(struct world *w, const struct op *op)
{
	switch (op->kind) {
	case K_CHMOD:
		return do_chmod(w, op);
	case K_CHOWN:
		return do_chown(w, op);
	case K_TIMES:
		return do_times(w, op);
	default:
		return do_xattr(w, op);
	}
}
