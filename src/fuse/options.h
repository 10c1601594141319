/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and mount options of xtsfs: one list from which the parser, --help and the check against the manual
 * are made.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_OPTIONS_H
#define XTSFS_FUSE_OPTIONS_H

#include "base/ignore.h"
#include "base/log.h"
#include "base/passphrase.h"
#include "crypto/engine.h"
#include "fuse/flags.h"

#include <stdbool.h>

/* name, argument (NULL: a flag), help */
#define XTSFS_OPTIONS(X)                                                                                             \
	X("passfile", "FILE", "read the passphrase from FILE, less one line feed at its end; '-' is standard input") \
	X("passfd", "N", "read the passphrase from the open descriptor N")                                           \
	X("passcmd", "COMMAND", "the passphrase is what COMMAND (run by /bin/sh) writes")                            \
	X("keyring", "DESC", "use the key DESC of the kernel's keyrings, which xtsfsctl key add puts there")         \
	X("credential", "NAME",                                                                                      \
	  "use the credential NAME of the unit (LoadCredential= of systemd): passphrase or keyfile")                 \
	X("tpm", "TCTI", "have a TPM 2.0 give the key out: auto, or how tpm2-tss reaches it")                        \
	X("fido2", "DEVICE", "have a FIDO2 authenticator give the key out: auto, or /dev/hidrawN")                   \
	X("keyfile", "FILE", "use the bytes of FILE; together with a passphrase for a keyslot of both")              \
	X("ask", "auto|tty|systemd|never", "who asks for a passphrase where none is given (default: auto)")          \
	X("slot", "N", "try keyslot N only")                                                                         \
	X("engine", "auto|kernel|user", "who encrypts: the kernel crypto API or this process (default: auto)")       \
	X("threads", "N", "threads that serve requests (default: 8, or the processors if more)")                     \
	X("ro", NULL, "mount read-only; several readers may have the volume at once")                                \
	X("rw", NULL, "mount for reading and writing (the default)")                                                 \
	X("salvage", NULL, "mount read-only and give out what decrypts, authentic or not")                           \
	X("shared", NULL, "others may have the volume too, on other machines, with this option: nothing is cached")  \
	X("reverse", NULL, "show the plain directory SOURCE as an encrypted volume, read-only")                      \
	X("config", "FILE", "with reverse: FILE is the configuration (default: SOURCE/.xtsfs.reverse.conf)")         \
	X("exclude", "PATTERN", "with reverse: leave out what matches, as gitignore(5) has it; may be repeated")     \
	X("exclude_from", "FILE", "with reverse: leave out what the lines of FILE match; may be repeated")           \
	X("one_file_system", NULL, "with reverse: leave out what is on other filesystems")                           \
	X("allow_other", NULL, "other users may use the mount; as root, files belong to who makes them")             \
	X("allow_suid", NULL, "setuid programs work, which they do not by default (root only)")                      \
	X("allow_dev", NULL, "device nodes work, which they do not by default (root only)")                          \
	X("noxattr", NULL, "no extended attributes, no ACLs: fewer questions of the kernel for each file")           \
	X("nonempty", NULL, "accepted; a mount point may hold files, which are covered while mounted")               \
	X("allow_swap", NULL, "go on where memory for keys cannot be locked")                                        \
	X("log_level", "error|warning|notice|info|debug", "what is told (default: notice)")                          \
	X("watchdog", "SECONDS", "warn of requests that take longer; 0: never (default: 60)")                        \
	X("idle", "TIME", "unmount what has not been used for TIME, such as 30m or 8h (default: never)")             \
	X("log_names", NULL, "messages about damaged files may name them in plain")                                  \
	X("nosandbox", NULL, "leave out the limits that the daemon puts on itself before it serves")                 \
	X("pidfile", "FILE", "write the daemon's process id to FILE once the mount is usable")                       \
	X("fsname", "NAME", "the source shown in /proc/mounts (default: the volume's directory)")

struct xtsfs_options {
	char *source;	  /* absolute */
	char *mountpoint; /* absolute */
	bool foreground, help, version;
	bool mount_helper;     /* called as mount.xtsfs and the like: mount(8)'s exit codes */
	bool fake, sloppy;     /* as a helper: do everything but mount; pass over unknown options */
	bool no_fail;	       /* as a helper: no error if there is no SOURCE */
	bool remount;	       /* then there is no source, only a mount point */
	const char *namespace; /* of mounts, where to do it all; NULL: here */
	struct xtsfs_source passphrase;
	int slot; /* -1: any */
	enum xtsfs_engine_choice engine;
	unsigned threads; /* 0: default */
	unsigned watchdog_s, idle_s;
	bool reverse, one_file_system;
	char *config;		     /* absolute; NULL: in the source */
	struct xtsfs_ignore *ignore; /* what is to be left out; made with the first pattern, else NULL */
	bool read_only, shared, salvage, allow_other, allow_suid, allow_dev, allow_swap, log_names, no_sandbox,
		no_xattr, fuse_debug;
	enum xtsfs_log_level log_level;
	char *pidfile;
	char *fsname;
	struct xtsfs_flags flags; /* for the kernel */
};

/**
 * Parse everything. Returns 0, or -EINVAL (-ENOMEM) with a sentence in @ret_problem: an unknown option is named.
 * The caller frees with xtsfs_options_done() in both cases.
 */
int xtsfs_options_parse(int argc, char **argv, struct xtsfs_options *ret_options, char *ret_problem,
			size_t problem_bytes);
/** Say @problem, or what @r of xtsfs_options_parse() means without one. Returns the exit code. */
int xtsfs_options_refused(const struct xtsfs_options *options, int r, const char *problem);
void xtsfs_options_done(struct xtsfs_options *options);
void xtsfs_options_help(const char *program);

#endif
