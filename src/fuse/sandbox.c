/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox of a daemon that serves.
 *
 * The daemon reads what others may have written: the backing directory. Somebody who got hold of it through an error
 * there has the keys in any case; the sandbox keeps him from everything else. Programs cannot be started, no socket be
 * made, no other file be opened. What a daemon does need at its end, or about its callers, a process of its own does
 * for it (helper.c).
 *
 * - Landlock first: beneath the backing directory everything but starting programs, elsewhere nothing. It decides when
 * a file is opened, made, removed or renamed; what is open already is not asked about, and changing modes, owners,
 * times and extended attributes by path is nothing that Landlock knows. Its first version forbids to rename between
 *   directories, so a mount for writing goes without it there.
 * - Then the filter. What is not allowed gives ENOSYS, and the kernel's audit log has it: libraries have a way around
 *   a call that the kernel does not know, and killing a daemon because a library was replaced by one with another way
 *   would cost what was written and not yet stored. A call by the rules of another architecture can only be an attack:
 *   that kills.
 *
 * Both are made while there is one thread, so that all have them.
 */
#include "fuse/sandbox.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if XTSFS_ENABLE_SANDBOX && defined(__NR_landlock_create_ruleset)

/* The kernel's structures and bits, by their version: headers of build machines know fewer than kernels. */
struct landlock_ruleset {
	uint64_t handled_fs;
	uint64_t handled_net; /* 4 */
	uint64_t scoped;      /* 6 */
};
struct landlock_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

#define LANDLOCK_GET_VERSION  1U
#define LANDLOCK_RULE_BENEATH 1U
enum {
	FS_EXECUTE = 1 << 0,
	FS_READ = 1 << 2 | 1 << 3, /* files, directories */
	FS_FIRST = (1 << 13) - 1,  /* all that version 1 has */
	FS_REFER = 1 << 13,	   /* 2: renaming and linking between directories */
	FS_TRUNCATE = 1 << 14,	   /* 3 */
	FS_IOCTL_DEV = 1 << 15,	   /* 5 */
	NET_TCP = 1 << 0 | 1 << 1, /* 4: bind, connect */
	SCOPED = 1 << 0 | 1 << 1,  /* 6: abstract sockets, signals */
};

/* The version that is now in force, or -errno; -EXDEV where it would forbid what is needed. */
static int allow_beneath(int ruleset, int directory, uint64_t allowed)
{
	const struct landlock_beneath beneath = {.allowed = allowed, .parent_fd = directory};

	return (int)syscall(__NR_landlock_add_rule, ruleset, LANDLOCK_RULE_BENEATH, &beneath, 0U);
}

static int restrict_files(int backing, int beside, bool read_only)
{
	int version = (int)syscall(__NR_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_GET_VERSION);
	struct landlock_ruleset ruleset = {.handled_fs = FS_FIRST};
	uint64_t allowed;
	size_t bytes = version < 4 ? 8 : version < 6 ? 16 : 24;
	xtsfs_auto_fd fd = -1;

	if (version < 0)
		return -errno;
	if (version < 2 && !read_only)
		return -EXDEV;
	ruleset.handled_fs |= (version >= 2 ? FS_REFER : 0U) | (version >= 3 ? FS_TRUNCATE : 0U) |
			      (version >= 5 ? FS_IOCTL_DEV : 0U);
	ruleset.handled_net = NET_TCP;
	ruleset.scoped = SCOPED;
	allowed = read_only ? FS_READ : ruleset.handled_fs & ~(uint64_t)(FS_EXECUTE | FS_IOCTL_DEV);
	fd = (int)syscall(__NR_landlock_create_ruleset, &ruleset, bytes, 0U);
	if (fd < 0 || allow_beneath(fd, backing, allowed) < 0 ||
	    (beside >= 0 && allow_beneath(fd, beside, FS_READ) < 0) || syscall(__NR_landlock_restrict_self, fd, 0U) < 0)
		return -errno;
	return version;
}

#else

static int restrict_files(int backing, int beside, bool read_only)
{
	(void)backing;
	(void)beside;
	(void)read_only;
	return -ENOSYS;
}

#endif

#if XTSFS_ENABLE_SANDBOX && XTSFS_HAVE_SECCOMP

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_ALG
#define SOL_ALG 279
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* By name: not every architecture has every one, nor every version of the library. */
static const char *const allowed[] = {
	/* what libfuse, libkcapi, the log and the helper's socket do with what is open */
	"read", "write", "readv", "writev", "poll", "ppoll", "ppoll_time64", "send", "recv", "sendto", "recvfrom",
	"sendmsg", "recvmsg", "close", "close_range", "dup2", "dup3", "pipe", "pipe2", "accept", "accept4",
	/* src/store */
	"openat", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "ftruncate", "ftruncate64",
	"fallocate", "lseek", "_llseek", "fsync", "fdatasync", "syncfs", "sync_file_range", "sync_file_range2",
	"arm_sync_file_range", "flock", "newfstatat", "fstatat64", "fstat", "fstat64", "statx", "fstatfs", "fstatfs64",
	"mkdirat", "mknodat", "symlinkat", "linkat", "renameat", "renameat2", "unlinkat", "readlinkat", "getdents64",
	"chmod", "fchmod", "fchmodat", "fchownat", "utimensat", "utimensat_time64", "getxattr", "lgetxattr",
	"fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr", "llistxattr", "flistxattr", "removexattr",
	"lremovexattr", "fremovexattr", "umask", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "geteuid",
	"geteuid32", "getegid", "getegid32", "getuid", "getuid32", "getgid", "getgid32",
	/* memory */
	"brk", "mremap", "munmap", "madvise", "mlock", "mlock2", "munlock",
	/* threads, signals, time, random numbers */
	"set_robust_list", "rseq", "futex", "futex_time64", "membarrier", "sched_getaffinity", "sched_yield", "getcpu",
	"gettid", "getpid", "getppid", "exit", "exit_group", "wait4", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"sigreturn", "sigaltstack", "restart_syscall", "clock_gettime", "clock_gettime64", "clock_getres",
	"clock_getres_time64", "clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "gettimeofday", "time",
	"getrandom", "uname", "sysinfo", "getrlimit", "ugetrlimit",
#if defined(__s390__)
	"mmap", /* its arguments are in memory */
#endif
};

/* Allow the call @name where @count conditions hold. What this machine does not have is no error. */
static int allow(scmp_filter_ctx ctx, const char *name, unsigned count, const struct scmp_arg_cmp *conditions)
{
	int number = seccomp_syscall_resolve_name(name);
	int r = number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, number, count, conditions);

	return r == -EDOM ? 0 : r;
}

static int allow_if(scmp_filter_ctx ctx, const char *name, struct scmp_arg_cmp condition)
{
	return allow(ctx, name, 1, &condition);
}

static int allow_with_conditions(scmp_filter_ctx ctx)
{
	/* Threads, and not processes or namespaces. clone3() hides its flags: libraries go back to clone(). */
	const unsigned long thread = CLONE_VM | CLONE_THREAD, clones = thread | CLONE_NEWNS | CLONE_NEWCGROUP |
								       CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
								       CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE;
	const struct scmp_arg_cmp peer[] = {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_PEERCRED)};
	const struct scmp_arg_cmp own_limits[] = {SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0)};
	static const int prctls[] = {PR_GET_SECUREBITS, PR_SET_SECUREBITS, PR_SET_NAME, PR_SET_VMA};
	static const int fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_OFD_GETLK, F_OFD_SETLK};
	int r;

#if defined(__s390__)
	r = allow_if(ctx, "clone", SCMP_A1(SCMP_CMP_MASKED_EQ, clones, thread));
#else
	r = allow_if(ctx, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, clones, thread));
	/* Nothing that can be written is ever run. */
	if (r == 0)
		r = allow_if(ctx, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = allow_if(ctx, "mmap2", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
#endif
	if (r == 0)
		r = allow_if(ctx, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0) /* an umask for each thread */
		r = allow_if(ctx, "unshare", SCMP_A0(SCMP_CMP_EQ, CLONE_FS));
	if (r == 0)
		r = allow_if(ctx, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (r == 0)
		r = allow(ctx, "prlimit64", 2, own_limits);
	if (r == 0) /* who has connected to the control socket */
		r = allow(ctx, "getsockopt", 2, peer);
	for (size_t i = 0; r == 0 && i < sizeof(prctls) / sizeof(prctls[0]); i++)
		r = allow_if(ctx, "prctl", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prctls[i]));
	for (size_t i = 0; r == 0 && i < sizeof(fcntls) / sizeof(fcntls[0]); i++) {
		r = allow_if(ctx, "fcntl", SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i]));
		if (r == 0)
			r = allow_if(ctx, "fcntl64", SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i]));
	}
	return r;
}

/*
 * A new OP handle in the place of one that failed, and a new TFM for a mount that was locked: libkcapi makes an AF_ALG
 * socket, gives it the key, and asks the kernel about the cipher by netlink. Only such sockets can be made, so only
 * such can be bound.
 */
static int allow_afalg(scmp_filter_ctx ctx)
{
	static const int pipes[] = {F_SETPIPE_SZ, F_GETPIPE_SZ};
	const struct scmp_arg_cmp netlink[] = {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, NETLINK_CRYPTO)};
	int r = allow_if(ctx, "socket", SCMP_A0(SCMP_CMP_EQ, AF_ALG));

	if (r == 0)
		r = allow(ctx, "socket", 2, netlink);
	if (r == 0)
		r = allow(ctx, "bind", 0, NULL);
	if (r == 0)
		r = allow(ctx, "getsockname", 0, NULL);
	if (r == 0)
		r = allow_if(ctx, "setsockopt", SCMP_A1(SCMP_CMP_EQ, SOL_ALG));
	for (size_t i = 0; r == 0 && i < sizeof(pipes) / sizeof(pipes[0]); i++) { /* each handle has one, and is given
										   * up without */
		r = allow_if(ctx, "fcntl", SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)pipes[i]));
		if (r == 0)
			r = allow_if(ctx, "fcntl64", SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)pipes[i]));
	}
	return r;
}

/*
 * glibc tries clone3() for every thread before it takes clone(). Whether a refusal is logged belongs to the filter that
 * refused: this one is silent, and the other allows it.
 */
static int refuse_clone3(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

static int restrict_calls(bool kernel_engine)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!ctx)
		return -ENOMEM;
	/* A library or kernel that cannot log, or sort the list into a tree, goes without. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = allow(ctx, allowed[i], 0, NULL);
	if (r == 0)
		r = allow_with_conditions(ctx);
	if (r == 0 && kernel_engine)
		r = allow_afalg(ctx);
	if (r == 0)
		r = allow(ctx, "clone3", 0, NULL);
	if (r == 0)
		r = refuse_clone3();
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

#else

static int restrict_calls(bool kernel_engine)
{
	(void)kernel_engine;
	return -ENOSYS;
}

#endif

static const char *reason(int error, const char *feature)
{
	static char text[128];

	if (error == -ENOSYS || error == -EOPNOTSUPP)
		return "not in this kernel or build";
	if (error == -EXDEV)
		return "too old in this kernel";
	snprintf(text, sizeof(text), "%s: %s", feature, xtsfs_strerror(error));
	return text;
}

unsigned xtsfs_sandbox_enter(int backing, int beside, bool read_only, bool kernel_engine)
{
	int files, calls;

	if (!XTSFS_ENABLE_SANDBOX) { /* a build for developers: sanitizers, coverage */
		xtsfs_info("sandbox: not in this build");
		return 0;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		xtsfs_warning("sandbox: cannot give up new privileges: %s, going on", xtsfs_strerror(errno));
	files = restrict_files(backing, beside, read_only);
	calls = restrict_calls(kernel_engine);
	if (files < 0)
		xtsfs_notice("sandbox: files are not restricted (Landlock): %s, going on", reason(files, "Landlock"));
	if (calls < 0)
		xtsfs_notice("sandbox: system calls are not restricted (seccomp): %s, going on",
			     reason(calls, "seccomp"));
	if (files >= 0 && calls >= 0)
		xtsfs_info("sandbox: Landlock version %d and a seccomp filter", files);
	return (files >= 0 ? XTSFS_SANDBOX_FILES : 0U) | (calls >= 0 ? XTSFS_SANDBOX_CALLS : 0U);
}
