/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From errors to exit codes (docs/cli-contract.md).
 *
 * The errno alone decides, so a code means the same whichever verb gives it. Where one errno has two meanings
 * (ENOSPC: the disk, or the keyslots; ENOENT: the volume, or a passphrase file) the caller knows which it is and names
 * the code itself; what stands here is the meaning for the volume.
 */
#include "base/exit-codes.h"

#include "base/errors.h"

enum xtsfs_exit xtsfs_exit_code(int error)
{
	switch (error < 0 ? -error : error) {
	case 0:
		return XTSFS_EXIT_OK;
	case XTSFS_EPASS:
		return XTSFS_EXIT_PASS;
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ELOOP:
	case EACCES:
	case EPERM:
		return XTSFS_EXIT_NOT_VOLUME;
	case XTSFS_EAUTH:
	case XTSFS_EDAMAGED:
		return XTSFS_EXIT_CONFIG;
	case XTSFS_EFEATURE:
		return XTSFS_EXIT_FEATURE;
	case EBUSY:
	case EWOULDBLOCK:
		return XTSFS_EXIT_BUSY;
	case EEXIST:
	case ENOTEMPTY:
		return XTSFS_EXIT_EXISTS;
	case XTSFS_ESELFTEST:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return XTSFS_EXIT_ENGINE;
	case ENOMEM:
	case ERANGE:
		return XTSFS_EXIT_MEMORY;
	case ENOKEY:
		return XTSFS_EXIT_SOURCE;
	case EIO:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case EROFS:
		return XTSFS_EXIT_IO;
	default:
		return XTSFS_EXIT_OTHER;
	}
}

enum xtsfs_mount_exit xtsfs_exit_code_mount(enum xtsfs_exit code)
{
	switch (code) {
	case XTSFS_EXIT_OK:
		return XTSFS_MOUNT_OK;
	case XTSFS_EXIT_USAGE:
		return XTSFS_MOUNT_USAGE;
	case XTSFS_EXIT_MEMORY:
		return XTSFS_MOUNT_SYSTEM;
	default:
		return XTSFS_MOUNT_FAILED;
	}
}
