/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sequence is written in.
 *
 * A sequence is a function that runs in a process of its own, as root, umask 022, in a fresh directory of mode 0777
 * that is its current one. Each step prints one line: the sequence, the step, and what was seen. Lines must not depend
 * on paths, times, inode numbers or the machine, so that the output on two filesystems can be compared.
 */
#ifndef PARITY_H
#define PARITY_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct sequence {
	const char *area, *name;
	void (*run)(int variant);
	const char *const *variants; /* names, NULL at the end; NULL: there is one, without a name */
	const char *operations;	     /* what it is about: the rows of the table */
};

/* SEQ(area, name, "operation operation") { body } */
#define SEQ(area_, name_, ops_) SEQV(area_, name_, ops_, NULL)
/* The same for each of a list of variants; the body has the index as v. */
#define SEQV(area_, name_, ops_, variants_)                                                                            \
	static void seq_##area_##_##name_(int v);                                                                      \
	static const struct sequence def_##area_##_##name_ = {#area_, #name_, seq_##area_##_##name_, variants_, ops_}; \
	static const struct sequence *const ptr_##area_##_##name_                                                      \
		__attribute__((used, section("sequences"))) = &def_##area_##_##name_;                                  \
	static void seq_##area_##_##name_(int v __attribute__((unused)))

/* ---- steps ---- */
long report(const char *step, long result);
#define R(call) report(#call, (errno = 0, (long)(call))) /* result, or the name of errno for -1 */
int report_fd(const char *step, int fd);
#define FD(call) report_fd(#call, (errno = 0, (call))) /* "ok", or the name of errno; gives the descriptor */
void *report_pointer(const char *step, void *pointer);
#define P(call) report_pointer(#call, (errno = 0, (call))) /* of mmap */
void value(const char *what, long long number);
#define V(expression) value(#expression, (long long)(expression))
void say(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- facts ---- */
void stat_of(const char *path, const struct stat *st, int error);
void S(const char *path);		 /* lstat: type, mode, links, owner, size (not of directories) */
void SF(int fd);			 /* fstat */
void C(const char *path);		 /* content: bytes and a hash */
void CF(int fd);			 /* the same through a descriptor, from the start */
void L(const char *path);		 /* names with d_type, sorted; says if an inode number is not that of stat */
void X(const char *path);		 /* extended attributes and their values, of the link itself */
void A(const char *path);		 /* ACLs and mode */
void same(const char *a, const char *b); /* one inode? */
void blocks(const char *path);		 /* zero or not, after fsync */
/* Times: mark() some objects, act, changed() prints which of a, m, c moved on each; "!" behind one that is not of now.
 */
void mark(const char *path);
void changed(void);
void tick(void); /* wait until the clock of timestamps has moved */
#define T(call, ...)                                                \
	do {                                                        \
		mark_all((const char *const[]){__VA_ARGS__, NULL}); \
		R(call);                                            \
		changed();                                          \
	} while (0)
void mark_all(const char *const *paths);

/* ---- preparing: silent, or the sequence ends with a line ---- */
void mk(const char *path, size_t bytes);		   /* a file of a pattern, mode 0644 */
void mkm(const char *path, mode_t mode, int uid, int gid); /* 10 bytes, with mode and owner */
void mkd(const char *path, mode_t mode);
int op(const char *path, int flags); /* open, mode 0644 */
void fill(void *buffer, size_t bytes, unsigned seed);
void need(bool is_true, const char *what);
#define N(call) need((long)(call) != -1, #call)
extern char big[1 << 20]; /* scratch */
void *nowhere(void);	  /* an address that is not there */

/* ---- who ---- */
enum who { ROOT, OWNER, MEMBER, SUPP, OTHER, WHO_COUNT };
#define UID_OWNER 10001
#define GID_GROUP 20001
#define UID_OTHER 10004
#define GID_OTHER 20004
/* A block in a child process as somebody else (ROOT: another process, nothing else changed). */
#define AS_(who, in)	 for (bool in = as_begin(who); in; in = false, as_end())
#define AS__(who, line)	 AS_(who, in_child_##line)
#define AS___(who, line) AS__(who, line)
#define AS(who)		 AS___(who, __LINE__)
#define CHILD		 AS(ROOT)
bool as_begin(enum who who);
_Noreturn void as_end(void);
extern const char *const who_names[];

/* ---- ACLs: "u::rwx,u:10004:r--,g::r-x,m::rwx,o::---" ---- */
size_t acl_make(const char *text, void *ret);
int set_acl(const char *path, const char *text);
int set_default_acl(const char *path, const char *text);
#define ACCESS_ACL  "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

#endif
