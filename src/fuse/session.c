/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the kernel at the start, and why:
 *
 * - writeback cache: small writes are gathered in whole pages, which for us are whole sectors; the kernel owns size and
 * times meanwhile.
 * - POSIX ACLs and default_permissions: the kernel checks permissions as for a local filesystem, and passes the umask
 * on.
 * - no automatic invalidation, long timeouts: one writer has the volume. With "shared" no cache at all.
 * - requests of 1 MiB; readdirplus where it pays; symlink targets cached.
 * - setuid and setgid bits are ours to take away (wire.c, suid.c), so that writes do not ask for capabilities.
 * - FLUSH is not implemented, so the kernel stops sending it; write errors still come out at close, from its own
 * write-back.
 */
#include "fuse/session.h"

#include "base/cleanup.h"
#include "base/control.h"
#include "base/log.h"
#include "fuse/explain.h"
#include "fuse/flusher.h"
#include "fuse/idle.h"
#include "fuse/mounts.h"
#include "fuse/ops.h"
#include "fuse/places.h"
#include "fuse/seek.h"
#include "fuse/server.h"
#include "fuse/stop.h"
#include "fuse/watch.h"
#include "fuse/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct xtsfs_session {
	struct fuse_session *se;
	struct xtsfs_mount mount;
	unsigned watchdog_s;
	struct xtsfs_idle_params idle;
	bool read_only, mounted, told_to_end;
	struct xtsfs_stopper *stopper;
	struct xtsfs_server *server; /* while the loop runs */
	int listening;		     /* the control socket; -1: none */
	struct xtsfs_control_name control;
	struct xtsfs_mount_facts facts;
	struct xtsfs_store *store;
};

/* Newer libraries have 64 flags behind functions, and the field for the sake of older callers. */
static void want(struct fuse_conn_info *conn, unsigned flag)
{
#if XTSFS_HAVE_FUSE_FEATURE_FLAGS
	(void)fuse_set_feature_flag(conn, flag); /* false: the kernel does not have it */
#else
	if (conn->capable & flag)
		conn->want |= flag;
#endif
}

static void do_without(struct fuse_conn_info *conn, unsigned flag)
{
#if XTSFS_HAVE_FUSE_FEATURE_FLAGS
	fuse_unset_feature_flag(conn, flag);
#else
	conn->want &= ~flag;
#endif
}

void xtsfs_op_init(void *userdata, struct fuse_conn_info *conn)
{
	static const unsigned wanted[] = {FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_POSIX_ACL,	       FUSE_CAP_DONT_MASK,
					  FUSE_CAP_READDIRPLUS,	    FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_CACHE_SYMLINKS,
					  FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ASYNC_READ,       FUSE_CAP_ASYNC_DIO};
	static const unsigned unwanted[] = {
		FUSE_CAP_AUTO_INVAL_DATA,    FUSE_CAP_SPLICE_READ,    FUSE_CAP_SPLICE_WRITE,
		FUSE_CAP_SPLICE_MOVE,	     FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_HANDLE_KILLPRIV,
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
		FUSE_CAP_HANDLE_KILLPRIV_V2,
#endif
	};

	static const unsigned caches[] = {FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO,
					  FUSE_CAP_CACHE_SYMLINKS};
	struct xtsfs_mount *mount = userdata;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		want(conn, wanted[i]);
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		do_without(conn, unwanted[i]);
	/* Others write too: the kernel is to keep nothing. */
	for (size_t i = 0; mount->shared && i < sizeof(caches) / sizeof(caches[0]); i++)
		do_without(conn, caches[i]);
	if (mount->no_xattr)
		do_without(conn, FUSE_CAP_POSIX_ACL);
	if (mount->is_reverse) { /* what would rest on nobody else changing anything */
		do_without(conn, FUSE_CAP_WRITEBACK_CACHE);
		do_without(conn, FUSE_CAP_CACHE_SYMLINKS);
	}
	conn->max_write = XTSFS_REPLY_BYTES;
	conn->max_readahead = XTSFS_REPLY_BYTES;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
	mount->has_cache = conn->want & FUSE_CAP_WRITEBACK_CACHE;
	mount->writes_once = conn->proto_major > 7 || (conn->proto_major == 7 && conn->proto_minor >= 44);
}

/* "-o" and one option, with commas and backslashes of its value escaped as libfuse wants it. */
static int add_option(struct fuse_args *args, const char *name, const char *value)
{
	char *options = NULL, *text;
	int r;

	if (asprintf(&text, "%s%s%s", name, value ? "=" : "", value ? value : "") < 0)
		return -ENOMEM;
	r = fuse_opt_add_opt_escaped(&options, text);
	if (r == 0)
		r = fuse_opt_add_arg(args, "-o");
	if (r == 0)
		r = fuse_opt_add_arg(args, options);
	free(options);
	free(text);
	return r < 0 ? -ENOMEM : 0;
}

static int make_args(const struct xtsfs_options *options, struct fuse_args *args)
{
	xtsfs_auto_free char *flags = NULL;
	int r = fuse_opt_add_arg(args, "xtsfs") < 0 ? -ENOMEM : 0;

	if (r == 0)
		r = add_option(args, "fsname", options->fsname);
	if (r == 0)
		r = add_option(args, "subtype", "xtsfs");
	if (r == 0)
		r = add_option(args, "default_permissions", NULL);
	if (r == 0 && options->allow_other)
		r = add_option(args, "allow_other", NULL);
	if (r == 0 && options->read_only)
		r = add_option(args, "ro", NULL);
	if (r == 0)
		r = xtsfs_flags_for_libfuse(&options->flags, &flags);
	if (r == 0 && flags)
		r = fuse_opt_add_arg(args, "-o") < 0 || fuse_opt_add_arg(args, flags) < 0 ? -ENOMEM : 0;
	if (r == 0 && options->fuse_debug)
		r = fuse_opt_add_arg(args, "-d") < 0 ? -ENOMEM : 0;
	return r;
}

static void wake_up(int number)
{
	(void)number;
}

/* Of libfuse, in our form and to where ours go: in the background nobody reads standard error. */
__attribute__((format(printf, 2, 0))) static void log_of_libfuse(enum fuse_log_level level, const char *format,
								 va_list args)
{
	char text[512];
	size_t bytes;

	if (level == FUSE_LOG_DEBUG) { /* -d: as it comes, in pieces of lines */
		(void)vfprintf(stderr, format, args);
		return;
	}
	(void)vsnprintf(text, sizeof(text), format, args);
	bytes = strlen(text);
	while (bytes > 0 && text[bytes - 1] == '\n')
		text[--bytes] = '\0';
	xtsfs_notice("libfuse: %s", strncmp(text, "fuse: ", strlen("fuse: ")) == 0 ? text + strlen("fuse: ") : text);
}

int xtsfs_session_new(const struct xtsfs_options *options, struct xtsfs_volume *volume, struct xtsfs_helper *helper,
		      struct xtsfs_session **ret_session)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = xtsfs_fuse_ops;
	struct xtsfs_session *session = calloc(1, sizeof(*session));
	int r = session ? make_args(options, &args) : -ENOMEM;
	char why[512] = "";

	if (r == 0) {
		session->listening = -1;
		session->mount.volume = volume;
		session->mount.helper = helper;
		session->mount.no_xattr = options->no_xattr;
		session->mount.shared = xtsfs_volume_is_shared(volume);
		xtsfs_wire_share(session->mount.shared);
		xtsfs_volume_on_wait(volume, xtsfs_place_is_given_up);
		session->mount.is_reverse = options->reverse;
		if (options->reverse)
			xtsfs_reverse_ops(&ops);
		session->watchdog_s = options->watchdog_s;
		session->idle = (struct xtsfs_idle_params){
			.limit_s = options->idle_s, .mountpoint = options->mountpoint, .helper = helper};
		session->read_only = options->read_only || options->salvage;
		if (options->no_xattr) { /* asked once each, the kernel hears that there is no such request */
			ops.getxattr = NULL;
			ops.setxattr = NULL;
			ops.listxattr = NULL;
			ops.removexattr = NULL;
		}
		fuse_set_log_func(log_of_libfuse);
		session->se = fuse_session_new(&args, &ops, sizeof(ops), &session->mount);
		r = session->se ? 0 : -EIO;
	}
	if (r == 0) {
		signal(SIGHUP, SIG_IGN);
		signal(SIGPIPE, SIG_IGN);
		(void)sigaction(SIGURG, &(struct sigaction){.sa_handler = wake_up}, NULL); /* gate.c, stop.c */
		r = xtsfs_stopper_new(&session->stopper);
	}
	if (r == 0) {
		r = fuse_session_mount(session->se, options->mountpoint) == 0 ? 0 : -EIO;
		session->mounted = r == 0;
		if (r < 0)
			xtsfs_explain_mount(options, why, sizeof(why));
	}
	if (r == 0) {
		r = xtsfs_flags_apply(&options->flags, options->mountpoint);
		if (r < 0)
			snprintf(why, sizeof(why), "its options cannot be set: %s%s", xtsfs_strerror(r),
				 r == -EPERM ? "; nosymfollow needs root" : "");
	}
	if (r == 0)
		r = xtsfs_wire_attach(session->se);
	fuse_opt_free_args(&args);
	if (r < 0) {
		xtsfs_error("cannot mount at '%s': %s", options->mountpoint, why[0] ? why : xtsfs_strerror(r));
		xtsfs_session_free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

void xtsfs_session_control(struct xtsfs_session *session, const struct xtsfs_options *options,
			   struct xtsfs_store *store, const struct xtsfs_mount_facts *facts)
{
	struct xtsfs_mounted mounted;
	struct timespec now;
	int r = xtsfs_mounts_at(options->mountpoint, &mounted), introduced = 0;

	session->store = store;
	session->facts = *facts;
	session->facts.read_only = session->read_only;
	session->facts.since_s = time(NULL);
	clock_gettime(CLOCK_BOOTTIME, &now);
	session->facts.since_boottime_s = now.tv_sec;
	if (r == 0) {
		session->control.device = session->idle.device = mounted.device;
		r = mounted.is_ours ? xtsfs_control_listen(geteuid(), mounted.device, &session->control) : -ENOENT;
		xtsfs_mounts_done(&mounted);
	}
	if (r >= 0)
		session->listening = r;
	if (session->mount.helper && session->control.device)
		introduced = xtsfs_helper_introduce(session->mount.helper, &session->control);
	if (introduced < 0)
		xtsfs_warning("cannot tell the helper of the mount: %s, going on", xtsfs_strerror(introduced));
	if (r < 0)
		xtsfs_notice("no control socket: %s; xtsfsctl cannot ask for the status of this mount",
			     xtsfs_strerror(r));
}

/* Its name goes first: so long as it listens no other socket can have its inode number. */
static void end_control(struct xtsfs_session *session)
{
	if (session->listening < 0)
		return;
	if (session->mount.helper)
		xtsfs_helper_remove_socket(session->mount.helper);
	else
		xtsfs_control_remove(&session->control);
	close(session->listening);
	session->listening = -1;
}

static struct xtsfs_server *start_server(struct xtsfs_session *session)
{
	const struct xtsfs_server_params params = {
		.listening = session->listening,
		.facts = session->facts,
		.locker = {.se = session->se, .mount = &session->mount, .store = session->store}};
	struct xtsfs_server *server = NULL;
	int r = session->listening < 0 ? 0 : xtsfs_server_start(&params, &server);

	if (r < 0)
		xtsfs_warning("no thread for the control socket: %s, going on", xtsfs_strerror(r));
	return server;
}

/* A program goes on using the mount although we are to end. Locking does what is needed: nothing new comes in, and what
 * is in the kernel's cache and ours is written. What waits ends with the connection. */
static int store_at_end(void *data)
{
	struct xtsfs_session *session = data;
	struct xtsfs_locker locker = {.se = session->se, .mount = &session->mount, .store = session->store};
	size_t left;

	session->told_to_end = true;
	if (session->server)
		xtsfs_server_end(session->server, &locker);
	return session->read_only || locker.locked ? 0 : xtsfs_lock(&locker, XTSFS_HELD_WAIT, &left);
}

int xtsfs_session_loop(struct xtsfs_session *session, unsigned threads)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct xtsfs_watchdog *watchdog = NULL;
	struct xtsfs_flusher *flusher = NULL;
	struct xtsfs_idle *idle = NULL;
	struct xtsfs_stop_params stop = {.mountpoint = session->idle.mountpoint,
					 .device = session->idle.device,
					 .helper = session->mount.helper,
					 .se = session->se,
					 .store = store_at_end,
					 .data = session};
	size_t lost;
	int r;

	if (!config)
		return -ENOMEM;
	r = xtsfs_seeker_start(session->se, &session->mount.seeker);
	if (r < 0)
		xtsfs_warning("no thread for finding holes in files that are being written: %s, telling of none there",
			      xtsfs_strerror(r));
	stop.seeker = session->mount.seeker;
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, threads);
	fuse_loop_cfg_set_idle_threads(config, threads);
	r = xtsfs_watchdog_start(session->watchdog_s, &watchdog);
	if (r < 0)
		xtsfs_warning("no watchdog: %s, going on", xtsfs_strerror(r));
	session->server = start_server(session);
	r = xtsfs_idle_start(&session->idle, &idle);
	if (r < 0)
		xtsfs_warning("no thread that unmounts what is idle: %s, going on", xtsfs_strerror(r));
	r = session->read_only ? 0 : xtsfs_flusher_start(session->mount.volume, &flusher);
	if (r == 0)
		r = xtsfs_stopper_start(session->stopper, &stop);
	if (r == 0)
		r = fuse_session_loop_mt(session->se, config);
	xtsfs_stopper_stop(session->stopper);
	xtsfs_idle_stop(idle);
	xtsfs_server_stop(session->server);
	session->server = NULL;
	lost = xtsfs_gate_done();
	if (lost && session->told_to_end)
		xtsfs_notice("%zu writes are lost: they came after the signal to end", lost);
	else if (lost)
		xtsfs_error("%zu writes are lost: they came while the mount was locked, and it was not unlocked", lost);
	end_control(session);
	xtsfs_flusher_stop(flusher);
	xtsfs_watchdog_stop(watchdog);
	fuse_loop_cfg_destroy(config);
	xtsfs_seeker_end(session->mount.seeker);
	session->mount.seeker = NULL;
	/* An unmount that comes while a request is on its way to us (the RELEASE after a close) ends in that, not in
	 * ENODEV. */
	if (r == -ECONNABORTED)
		r = 0;
	return r < 0 ? r : 0;
}

/*
 * libfuse would do it in this process, or start fusermount3. It leaves a mount alone whose descriptor is in error: that
 * is how it sees that somebody else has unmounted. So the descriptor becomes a pipe that nobody reads, which also ends
 * the connection: whoever waits in the mount would else hold the unmounting up.
 */
static void unmount_by_helper(struct xtsfs_session *session)
{
	struct pollfd fuse = {.fd = fuse_session_fd(session->se)};
	bool is_mounted = poll(&fuse, 1, 0) == 0 || !(fuse.revents & POLLERR);
	int r = 0, ends[2];

	if (pipe2(ends, O_CLOEXEC) == 0) {
		close(ends[0]);
		(void)dup3(ends[1], fuse.fd, O_CLOEXEC);
		close(ends[1]);
	}
	if (is_mounted)
		r = xtsfs_helper_unmount(session->mount.helper);
	if (r < 0)
		xtsfs_warning("cannot unmount: %s; umount -l will", xtsfs_strerror(r));
}

void xtsfs_session_free(struct xtsfs_session *session)
{
	if (!session)
		return;
	end_control(session);
	if (session->mounted && session->mount.helper)
		unmount_by_helper(session);
	if (session->mounted)
		fuse_session_unmount(session->se);
	if (session->se)
		fuse_session_destroy(session->se);
	xtsfs_stopper_free(session->stopper);
	free(session);
}
