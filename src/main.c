/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfs: parse, unlock, open the volume, mount, serve, close.
 */
#include "base/cleanup.h"
#include "base/exit-codes.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/secret.h"
#include "core/conf.h"
#include "core/unlock.h"
#include "core/volume.h"
#include "fuse/daemon.h"
#include "fuse/mounts.h"
#include "fuse/options.h"
#include "fuse/remount.h"
#include "fuse/session.h"
#include "fuse/source.h"
#include "fuse/umount.h"

#include "format/ondisk.h"
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

/* What did not work, and the exit code of it. */
static int fail_unlock(const struct xtsfs_options *options, int r, const struct xtsfs_unlock_report *report)
{
	bool of_memory = r == -EPERM || r == -EAGAIN || r == -ENOMEM; /* what mlock() says of a limit */

	if (report->of_source) {
		if (!report->told)
			xtsfs_error("%s%s", report->text,
				    of_memory ? "; raise the limit (ulimit -l) or use -o allow_swap" : "");
		return of_memory ? XTSFS_EXIT_MEMORY : r == -XTSFS_EPASS ? XTSFS_EXIT_PASS : XTSFS_EXIT_SOURCE;
	}
	if (r == -ENOENT) {
		if (report->no_slots)
			xtsfs_error("'%s' has no keyslots; xtsfsctl header restore can put a backup in place",
				    options->source);
		else
			xtsfs_error("'%s' has no keyslot %d", options->source, options->slot);
		return XTSFS_EXIT_SLOT;
	}
	if (r == -XTSFS_EPASS)
		xtsfs_error("no keyslot of '%s' opens with this %s%s", options->source, report->with, report->text);
	else if (r == -XTSFS_EAUTH)
		xtsfs_error("'%s/" XTSFS_NAME_CONF
			    "' was edited: its HMAC does not verify; see xtsfsctl header repair, restore",
			    options->source);
	else
		xtsfs_error("cannot unlock '%s': %s", options->source, xtsfs_strerror(r));
	return r == -XTSFS_EAUTH ? XTSFS_EXIT_CONFIG : (int)xtsfs_exit_code(r);
}

static void tell_unlock(void *context, int r, const struct xtsfs_unlock_report *report)
{
	(void)fail_unlock(context, r, report);
}

/* From the passphrase to the volume key. An exit code. */
static int unlock(struct xtsfs_options *options, const struct xtsfs_conf *conf, struct xtsfs_secret **ret_key,
		  struct xtsfs_mount_facts *ret_facts)
{
	struct xtsfs_unlock_report report;
	char prompt[4200];
	const struct xtsfs_unlock_way way = {.source = &options->passphrase,
					     .slot = options->slot,
					     .prompt = prompt,
					     .tell = tell_unlock,
					     .context = options};
	int slot, r;

	snprintf(prompt, sizeof(prompt), "Passphrase for '%s'", options->source);
	xtsfs_notify(NULL, "Unlocking '%s'", options->source);
	r = xtsfs_unlock_volume(conf, &way, ret_key, &slot, &report);
	if (r < 0)
		return fail_unlock(options, r, &report);
	xtsfs_mount_facts_slot(ret_facts, xtsfs_config_slot(conf->config, slot));
	xtsfs_info("keyslot %d opened the volume", slot);
	return 0;
}

static int serve(const struct xtsfs_options *options, struct xtsfs_daemon *daemon,
		 const struct xtsfs_mount_source *source, struct xtsfs_volume *volume,
		 const struct xtsfs_mount_facts *facts)
{
	struct xtsfs_session *session;
	int r = xtsfs_session_new(options, volume, daemon->helper, &session);

	if (r < 0)
		return XTSFS_EXIT_MOUNT;
	r = options->pidfile ? xtsfs_daemon_pidfile(options->pidfile) : 0;
	if (r < 0)
		xtsfs_error("cannot write '%s': %s", options->pidfile, xtsfs_strerror(r));
	if (r == 0) {
		xtsfs_session_control(session, options, xtsfs_mount_source_conf(source), facts);
		r = xtsfs_daemon_ready(daemon, options, source->store->root, source->aside ? source->aside->root : -1,
				       strcmp(facts->engine, "kernel") == 0);
		if (r < 0)
			xtsfs_error("cannot go into the background: %s", xtsfs_strerror(r));
	}
	if (r == 0) {
		r = xtsfs_session_loop(session, facts->threads);
		if (r < 0)
			xtsfs_error("the mount at '%s' ended: %s", options->mountpoint, xtsfs_strerror(r));
	}
	xtsfs_session_free(session);
	if (daemon->helper)
		xtsfs_helper_remove_pidfile(daemon->helper);
	else if (options->pidfile)
		(void)unlink(options->pidfile);
	return r < 0 ? XTSFS_EXIT_MOUNT : 0;
}

/* Everything from the config on, in the process that will serve. An exit code. */
static int run(struct xtsfs_options *options, struct xtsfs_daemon *daemon)
{
	struct xtsfs_mount_source source = {0};
	struct xtsfs_conf *conf = NULL;
	struct xtsfs_secret *key = NULL;
	struct xtsfs_volume *volume;
	char problem[512], holder[256], why[256];
	struct xtsfs_volume_params params = {
		.read_only = options->read_only,
		.salvage = options->salvage,
		.shared = options->shared,
		.tell_shared = true,
		.no_atime = options->flags.set & MS_NOATIME,
		.log_names = options->log_names,
		.waiting_bytes = 32U << 20,
	};
	struct xtsfs_mount_facts facts = {0};
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned tries = 0;
	int r, code;

	params.threads = options->threads ? options->threads : processors > 8 ? (unsigned)processors : 8;
	snprintf(holder, sizeof(holder), "xtsfs, process %ld, mounted at %.*s", (long)getpid(), XTSFS_HOLDER_PATH_BYTES,
		 options->mountpoint);
	params.holder = holder;
	code = xtsfs_mount_source_open(options, &source, &conf);
	params.reverse = options->reverse ? &source.reverse : NULL;
	if (code == 0)
		code = unlock(options, conf, &key, &facts);
	if (code == 0) {
		r = xtsfs_engine_choose(options->engine, &params.engine, why, sizeof(why));
		if (r < 0) {
			xtsfs_error("no engine: %s", why);
			code = XTSFS_EXIT_ENGINE;
		} else {
			xtsfs_notice("%s engine: %s", params.engine->name, why);
		}
	}
	if (code == 0) {
		do
			r = xtsfs_volume_open(source.store, conf->config, key, &params, &volume, problem,
					      sizeof(problem));
		while (r == -EBUSY && xtsfs_mounts_is_ending(options->source, &tries));
		key = xtsfs_secret_free(key);
		if (r < 0) {
			xtsfs_error("cannot open '%s': %s", options->source, problem[0] ? problem : xtsfs_strerror(r));
			code = (int)xtsfs_exit_code(r);
		} else {
			r = xtsfs_volume_warm(volume);
			if (r < 0)
				xtsfs_warning("fewer crypto handles than threads: %s, going on with those there are",
					      xtsfs_strerror(r));
			r = options->allow_other && !options->reverse ? xtsfs_store_posix_obey_limits(source.store) : 0;
			if (r < 0)
				xtsfs_warning("cannot hold users to quotas: %s, going on", xtsfs_strerror(r));
			facts.threads = params.threads;
			facts.engine = params.engine->name;
			code = serve(options, daemon, &source, volume, &facts);
			xtsfs_notify("STOPPING=1", "Writing everything out to '%s'", options->source);
			r = xtsfs_volume_close(volume);
			if (r < 0) {
				xtsfs_error("closing '%s': %s; run xtsfsctl fsck", options->source, xtsfs_strerror(r));
				code = XTSFS_EXIT_IO;
			}
		}
	}
	xtsfs_secret_free(key);
	xtsfs_conf_free(conf);
	xtsfs_mount_source_close(&source);
	return code;
}

int main(int argc, char **argv)
{
	struct xtsfs_daemon daemon = {.report_fd = -1, .argc = argc, .argv = argv};
	struct xtsfs_options options;
	char problem[4400];
	int r, code = 0, parsed;

	if (xtsfs_is_umount(argc, argv)) {
		xtsfs_log_init("umount.xtsfs");
		return xtsfs_umount(argc, argv);
	}
	parsed = xtsfs_options_parse(argc, argv, &options, problem, sizeof(problem));
	xtsfs_daemon_load_all();
	r = xtsfs_daemon_descriptors(options.passphrase.passfd);
	xtsfs_log_init("xtsfs");
	if (r < 0)
		xtsfs_warning("cannot put the standard descriptors in order: %s, going on", xtsfs_strerror(r));
	umask(0);
	r = xtsfs_process_harden();
	if (r < 0)
		xtsfs_warning("cannot keep keys out of core dumps: %s, going on", xtsfs_strerror(r));
	if (parsed < 0) {
		code = xtsfs_options_refused(&options, parsed, problem);
	} else if (options.help) {
		xtsfs_options_help("xtsfs");
	} else if (options.version) {
		printf("xtsfs %s\n", XTSFS_VERSION);
	} else if (options.remount) {
		code = xtsfs_remount(&options);
	} else if (!options.fake) {
		xtsfs_log_set_level(options.log_level);
		xtsfs_secret_allow_swap(options.allow_swap);
		r = xtsfs_daemon_begin(&daemon, options.foreground);
		if (r == 0)
			r = xtsfs_daemon_start_helper(&daemon, &options);
		if (r < 0)
			xtsfs_error("cannot fork: %s", xtsfs_strerror(r));
		code = r < 0 ? XTSFS_EXIT_OTHER : run(&options, &daemon);
		xtsfs_helper_end(daemon.helper);
	}
	if (options.mount_helper)
		code = (int)xtsfs_exit_code_mount((enum xtsfs_exit)code);
	xtsfs_options_done(&options);
	return code;
}
