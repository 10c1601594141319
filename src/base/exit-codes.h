/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exit codes of the programs: docs/cli-contract.md in C. Numbers are never changed or used again.
 *
 * Layer:   base.
 */
#ifndef XTSFS_BASE_EXIT_CODES_H
#define XTSFS_BASE_EXIT_CODES_H

/* xtsfs and xtsfsctl under their own names. */
enum xtsfs_exit {
	XTSFS_EXIT_OK = 0,
	XTSFS_EXIT_OTHER = 1,	      /* an error without a number of its own */
	XTSFS_EXIT_USAGE = 2,	      /* the command line is not understood */
	XTSFS_EXIT_PASS = 3,	      /* no keyslot opens with this passphrase or keyfile */
	XTSFS_EXIT_NOT_VOLUME = 4,    /* not a volume, or its directory cannot be opened */
	XTSFS_EXIT_CONFIG = 5,	      /* xtsfs.conf, or what it authenticates, is damaged or was edited */
	XTSFS_EXIT_FEATURE = 6,	      /* a format version or feature that this program does not know */
	XTSFS_EXIT_BUSY = 7,	      /* somebody else has the volume */
	XTSFS_EXIT_EXISTS = 8,	      /* the destination exists or is not empty */
	XTSFS_EXIT_ENGINE = 9,	      /* no engine, or it gave wrong answers */
	XTSFS_EXIT_MOUNT = 10,	      /* FUSE could not mount, or the mount point is no directory */
	XTSFS_EXIT_MEMORY = 11,	      /* out of memory, or KDF costs refused */
	XTSFS_EXIT_SOURCE = 12,	      /* no source gave a passphrase or keyfile */
	XTSFS_EXIT_IO = 13,	      /* no space, read-only, or an I/O error */
	XTSFS_EXIT_SLOT = 14,	      /* the keyslot asked for is not there, the last one, or none is free */
	XTSFS_EXIT_OTHER_VOLUME = 15, /* a header backup of another volume */
	XTSFS_EXIT_NOT_MOUNTED = 16,  /* nothing is mounted there, or its daemon does not answer */
	XTSFS_EXIT_NOT_KEPT = 17,     /* all content was had, but not everything of it could be kept */
	XTSFS_EXIT_DAMAGED = 18	      /* verify: something is damaged or changed from outside; import: differs */
};

/* fsck.xtsfs, and xtsfsctl fsck: the bits of fsck(8). */
enum xtsfs_fsck_exit {
	XTSFS_FSCK_OK = 0,
	XTSFS_FSCK_CORRECTED = 1,
	XTSFS_FSCK_REBOOT = 2, /* never given */
	XTSFS_FSCK_UNCORRECTED = 4,
	XTSFS_FSCK_OPERATIONAL = 8,
	XTSFS_FSCK_USAGE = 16,
	XTSFS_FSCK_CANCELLED = 32,
	XTSFS_FSCK_LIBRARY = 128 /* never given */
};

/* mkfs.xtsfs: mkfs(8). */
enum xtsfs_mkfs_exit { XTSFS_MKFS_OK = 0, XTSFS_MKFS_FAILED = 1 };

/* mount.xtsfs and mount.fuse.xtsfs: mount(8). */
enum xtsfs_mount_exit {
	XTSFS_MOUNT_OK = 0,
	XTSFS_MOUNT_USAGE = 1,
	XTSFS_MOUNT_SYSTEM = 2, /* out of memory, cannot fork and the like */
	XTSFS_MOUNT_BUG = 4,	/* never given */
	XTSFS_MOUNT_INTERRUPTED = 8,
	XTSFS_MOUNT_MTAB = 16, /* never given */
	XTSFS_MOUNT_FAILED = 32
};

/** For an error (0, or an errno of either sign) of opening or using a volume. Never XTSFS_EXIT_USAGE. */
enum xtsfs_exit xtsfs_exit_code(int error);
/** What the program says as a mount helper where it would say @code under its own name. */
enum xtsfs_mount_exit xtsfs_exit_code_mount(enum xtsfs_exit code);

#endif
