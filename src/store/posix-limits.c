/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of the backing filesystem, for a daemon that serves others.
 *
 * What users write is written by the daemon, and root is above limits: CAP_SYS_RESOURCE ignores the hard limits of
 * ext4's quotas and takes the blocks it keeps in reserve, and so does an fsuid of 0 (-o resuid=). Quotas are charged to
 * the owner of the file, which is right here already (posix-create.c). So the capability is given up for good, and
 * around each call that may allocate the thread takes an fsuid that nobody has, where that is the question: on ext2,
 * ext3 and ext4. Elsewhere an fsuid that nobody has may mean something worse, to an NFS server for one.
 *
 * Callers who are root then are held to the limits as well: a page that the kernel writes back does not tell whose it
 * is.
 */
#include "store/posix.h"

#include "base/cleanup.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define NO_UID ((long)(uid_t)-2)

static bool spares_reserve; /* set while there is one thread */

int xtsfs_store_posix_obey_limits(struct xtsfs_store *store)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct statfs st;

	if (fstatfs(store->root, &st) < 0 || syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].effective &= ~(1U << CAP_SYS_RESOURCE);
	data[0].permitted &= ~(1U << CAP_SYS_RESOURCE);
	if (syscall(SYS_capset, &header, data) < 0)
		return -errno;
	if (geteuid() != 0 || st.f_type != EXT4_SUPER_MAGIC)
		return 0;
	/* Threads to come have it from this one: the switch below leaves the other capabilities alone. */
	if (prctl(PR_SET_SECUREBITS, (unsigned long)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) | SECBIT_NO_SETUID_FIXUP, 0, 0,
		  0) < 0)
		return -errno;
	spares_reserve = true;
	return 0;
}

void xtsfs_posix_allocation_begin(void)
{
	if (spares_reserve)
		syscall(SYS_setfsuid, NO_UID);
}

void xtsfs_posix_allocation_end(void)
{
	int saved = errno;

	if (spares_reserve)
		syscall(SYS_setfsuid, (long)geteuid());
	errno = saved;
}
