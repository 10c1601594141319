/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating objects under a caller's identity.
 *
 * The daemon of an allow_other mount runs as root; a file that a user makes must be the user's from its first instant
 * (a later chown would leave a window, and quotas would be charged wrongly). So around the one creating system call the
 * thread takes the caller's fsuid and fsgid and its umask:
 *
 * - fsuid and fsgid are per thread. SECBIT_NO_SETUID_FIXUP (per thread too) keeps the thread's capabilities over the
 * switch: the kernel has already checked the caller's permission on the mount (default_permissions), and the directory
 * on the backing side may be open to the caller only through a supplementary group that the daemon would have to look
 * up. Group inheritance in setgid directories, and the loss of a setgid bit, the mount's kernel has applied to the mode
 * already.
 * - the umask is per process unless the thread unshares CLONE_FS, which is done once for each thread. It must reach the
 * system call because the backing filesystem ignores it where the directory has a default ACL. Where unshare is not
 * allowed, a mutex serialises the creation.
 *
 * A caller who is the daemon's own user costs nothing but the umask.
 */
#include "store/posix.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static pthread_mutex_t umask_mutex =
	PTHREAD_MUTEX_INITIALIZER; /* rank: leaf; guards the process's umask where it is shared */

static _Thread_local enum { THREAD_FRESH, THREAD_OWN_FS, THREAD_SHARED_FS } thread_fs;
static _Thread_local bool thread_keeps_caps;

struct identity {
	bool switched;
	bool locked;
	mode_t old_umask;
	uid_t old_uid;
	gid_t old_gid;
};

static int identity_take(const struct xtsfs_cred *cred, struct identity *ret)
{
	static const struct xtsfs_cred self_umask0 = {.uid = (uid_t)-1, .gid = (gid_t)-1, .umask = 0};

	*ret = (struct identity){.old_uid = geteuid(), .old_gid = getegid()};
	if (!cred)
		cred = &self_umask0;
	if (thread_fs == THREAD_FRESH)
		thread_fs = unshare(CLONE_FS) == 0 ? THREAD_OWN_FS : THREAD_SHARED_FS;
	if (thread_fs == THREAD_SHARED_FS) {
		pthread_mutex_lock(&umask_mutex);
		ret->locked = true;
	}
	ret->old_umask = umask(cred->umask);

	if (cred->uid == (uid_t)-1 || (cred->uid == ret->old_uid && cred->gid == ret->old_gid) || ret->old_uid != 0)
		return 0;
	if (!thread_keeps_caps) {
		if (prctl(PR_SET_SECUREBITS,
			  (unsigned long)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
			return -errno;
		thread_keeps_caps = true;
	}
	ret->switched = true;
	syscall(SYS_setfsgid, cred->gid);
	syscall(SYS_setfsuid, cred->uid);
	/* setfs*id report no errors; an id that cannot be set gives the old value back. */
	if (syscall(SYS_setfsuid, -1) != (long)cred->uid || syscall(SYS_setfsgid, -1) != (long)cred->gid)
		return -EOVERFLOW;
	return 0;
}

static void identity_drop(const struct identity *identity)
{
	int saved = errno;

	if (identity->switched) {
		syscall(SYS_setfsuid, identity->old_uid);
		syscall(SYS_setfsgid, identity->old_gid);
	}
	umask(identity->old_umask);
	if (identity->locked)
		pthread_mutex_unlock(&umask_mutex);
	errno = saved;
}

/*
 * What exists already. A plain open of a fifo that somebody has put there would wait for its other end, for ever; this
 * one does not wait, and the caller looks at what it got. For regular files the flag has no meaning, but that one on
 * which another process holds a lease is refused with EWOULDBLOCK: the kernel ends that wait after its
 * lease-break-time, and what is waited for is surely a file, since it is pinned.
 */
static int open_existing(int dir, const char *name, int flags)
{
	int fd = XTSFS_CALL(openat(dir, name, flags | O_NONBLOCK));
	char path[40];
	struct stat st;

	if (fd != -EWOULDBLOCK)
		return fd;
	xtsfs_auto_fd pinned = XTSFS_CALL(openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (pinned < 0)
		return pinned;
	if (fstat(pinned, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EWOULDBLOCK;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pinned);
	return XTSFS_CALL(open(path, flags & ~(O_NOFOLLOW | O_NONBLOCK)));
}

int xtsfs_posix_open(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		     const struct xtsfs_cred *cred)
{
	struct identity identity;
	int r;

	(void)store;
	flags |= O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
	if (!(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE)
		return open_existing(dir, name, flags);
	r = identity_take(cred, &identity);
	if (r == 0)
		r = XTSFS_CALL(openat(dir, name, flags, mode));
	identity_drop(&identity);
	return r;
}

int xtsfs_posix_mkdir(struct xtsfs_store *store, int dir, const char *name, mode_t mode, const struct xtsfs_cred *cred)
{
	struct identity identity;
	int r = identity_take(cred, &identity);

	(void)store;
	if (r == 0)
		r = XTSFS_CALL(mkdirat(dir, name, mode));
	identity_drop(&identity);
	return r;
}

int xtsfs_posix_mknod(struct xtsfs_store *store, int dir, const char *name, mode_t mode, dev_t rdev,
		      const struct xtsfs_cred *cred)
{
	struct identity identity;
	int r = identity_take(cred, &identity);

	(void)store;
	if (r == 0)
		r = XTSFS_CALL(mknodat(dir, name, mode, rdev));
	identity_drop(&identity);
	return r;
}

int xtsfs_posix_symlink(struct xtsfs_store *store, const char *target, int dir, const char *name,
			const struct xtsfs_cred *cred)
{
	struct identity identity;
	int r = identity_take(cred, &identity);

	(void)store;
	if (r == 0)
		r = XTSFS_CALL(symlinkat(target, dir, name));
	identity_drop(&identity);
	return r;
}
