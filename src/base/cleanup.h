/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guards: what leaves its scope is released; xtsfs_take_*() hands it on.
 *
 * Layer:   base.
 */
#ifndef XTSFS_BASE_CLEANUP_H
#define XTSFS_BASE_CLEANUP_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void xtsfs_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void xtsfs_cleanup_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline int xtsfs_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void *xtsfs_take_pointer_(void *pointer)
{
	void *taken = *(void **)pointer;

	*(void **)pointer = NULL;
	return taken;
}

static inline void xtsfs_cleanup_mutex(pthread_mutex_t **mutex)
{
	if (*mutex)
		pthread_mutex_unlock(*mutex);
}

static inline pthread_mutex_t *xtsfs_mutex_locked(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

static inline void xtsfs_cleanup_rwlock(pthread_rwlock_t **lock)
{
	if (*lock)
		pthread_rwlock_unlock(*lock);
}

static inline pthread_rwlock_t *xtsfs_rwlock_shared(pthread_rwlock_t *lock)
{
	pthread_rwlock_rdlock(lock);
	return lock;
}

static inline pthread_rwlock_t *xtsfs_rwlock_exclusive(pthread_rwlock_t *lock)
{
	pthread_rwlock_wrlock(lock);
	return lock;
}

#define xtsfs_auto_free __attribute__((cleanup(xtsfs_cleanup_free)))
#define xtsfs_auto_fd	__attribute__((cleanup(xtsfs_cleanup_fd))) int
#define xtsfs_take(p)	((__typeof__(p))xtsfs_take_pointer_(&(p)))

#define XTSFS_GUARD_NAME_(line) xtsfs_guard_##line
#define XTSFS_GUARD_NAME(line)	XTSFS_GUARD_NAME_(line)

/* Hold a lock to the end of the scope. NOLINTBEGIN(bugprone-macro-parentheses): they are declarations */
#define xtsfs_guard_mutex(m)                                                                     \
	__attribute__((cleanup(xtsfs_cleanup_mutex), unused)) pthread_mutex_t *XTSFS_GUARD_NAME( \
		__LINE__) = xtsfs_mutex_locked(m)
#define xtsfs_guard_shared(l)                                                                      \
	__attribute__((cleanup(xtsfs_cleanup_rwlock), unused)) pthread_rwlock_t *XTSFS_GUARD_NAME( \
		__LINE__) = xtsfs_rwlock_shared(l)
#define xtsfs_guard_exclusive(l)                                                                   \
	__attribute__((cleanup(xtsfs_cleanup_rwlock), unused)) pthread_rwlock_t *XTSFS_GUARD_NAME( \
		__LINE__) = xtsfs_rwlock_exclusive(l)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
