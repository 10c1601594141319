/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a directory and a passphrase to the core's view of the volume.
 */
#include "cli-fs.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* A walk has a directory open for each level, and trees are deeper than the usual limit of descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_core(struct cli_fs *fs, struct xtsfs_volume_params *params)
{
	char problem[512], why[256];
	int r = xtsfs_engine_choose(XTSFS_ENGINE_AUTO, &params->engine, why, sizeof(why));

	if (r < 0)
		return cli_fail_exit(XTSFS_EXIT_ENGINE, "no engine: %s", why);
	r = xtsfs_volume_open(fs->volume.store, fs->volume.conf->config, fs->volume.volume_key, params, &fs->fs,
			      problem, sizeof(problem));
	if (r < 0)
		return cli_fail_exit(xtsfs_exit_code(r), "cannot open '%s': %s", fs->volume.dir,
				     problem[0] ? problem : xtsfs_strerror(r));
	return 0;
}

static int open_fs(const char *dir, const struct cli_unlock *unlock, struct xtsfs_volume_params *params,
		   struct cli_fs *ret_fs)
{
	int exit_code;

	*ret_fs = CLI_FS_NONE;
	raise_descriptor_limit();
	exit_code = cli_volume_open(dir, CLI_READ, &ret_fs->volume);
	if (exit_code == 0)
		exit_code = cli_volume_refuse_reverse(&ret_fs->volume);
	if (exit_code == 0)
		exit_code = cli_volume_unlock(&ret_fs->volume, unlock);
	if (exit_code)
		return exit_code;
	return open_core(ret_fs, params);
}

int cli_fs_open(const char *dir, const struct cli_unlock *unlock, bool peek, bool salvage, struct cli_fs *ret_fs)
{
	struct xtsfs_volume_params params = {
		.read_only = true, .may_share = true, .peek = peek, .salvage = salvage, .log_names = true};

	return open_fs(dir, unlock, &params, ret_fs);
}

int cli_fs_open_writable(const char *dir, const struct cli_unlock *unlock, struct cli_fs *ret_fs)
{
	char holder[160], host[65] = "";
	struct xtsfs_volume_params params = {.log_names = true, .holder = holder};

	(void)gethostname(host, sizeof(host) - 1);
	snprintf(holder, sizeof(holder), "%s, process %d on %s", cli_program(), (int)getpid(), host);
	return open_fs(dir, unlock, &params, ret_fs);
}

int cli_fs_close(struct cli_fs *fs)
{
	int r = fs->fs ? xtsfs_volume_close(fs->fs) : 0;

	fs->fs = NULL;
	return r < 0 ? cli_fail(r, "cannot make the changes of '%s' durable", fs->volume.dir) : 0;
}

int cli_fs_reopen(struct cli_fs *fs)
{
	struct xtsfs_volume_params params = {.read_only = true, .log_names = true};
	int exit_code = cli_fs_close(fs);

	return exit_code ? exit_code : open_core(fs, &params);
}

void cli_fs_done(struct cli_fs *fs)
{
	(void)xtsfs_volume_close(fs->fs); /* read-only, or given up: nothing to say */
	fs->fs = NULL;
	cli_volume_done(&fs->volume);
}

int cli_fail_inside(int error, const char *format, ...)
{
	xtsfs_auto_free char *text = NULL;
	va_list args;
	int n, exit_code;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		text = NULL;
	exit_code = cli_fail(error, "%s", text ? text : "cannot read");
	return exit_code == XTSFS_EXIT_NOT_VOLUME || exit_code == XTSFS_EXIT_MEMORY ? exit_code : XTSFS_EXIT_IO;
}
