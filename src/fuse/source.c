/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening what is to be mounted. The patterns of what a reverse view leaves out are read here, once: the sandbox comes
 * later, and a view is of one set of them.
 */
#include "fuse/source.h"

#include "base/cleanup.h"
#include "base/exit-codes.h"
#include "format/ondisk.h"
#include "store/aside.h"

#include <stdio.h>

/* The patterns of the source itself come first, so that those of the command line can take them back. */
static int read_patterns(struct xtsfs_options *options, struct xtsfs_store *store)
{
	struct xtsfs_ignore *own = NULL;
	int r = xtsfs_ignore_new(&own);

	if (r == 0) {
		r = xtsfs_ignore_add_file(own, store->root, XTSFS_NAME_IGNORE);
		if (r == -ENOENT)
			r = 0;
	}
	if (r == 0 && !options->ignore)
		r = xtsfs_ignore_new(&options->ignore);
	if (r == 0)
		r = xtsfs_ignore_prepend(options->ignore, own);
	xtsfs_ignore_free(own);
	return r;
}

static int prepare_reverse(struct xtsfs_options *options, struct xtsfs_mount_source *source)
{
	const char *config = options->config ? options->config : options->source;
	int r = xtsfs_store_aside_new(config, &source->aside);

	if (r < 0) {
		xtsfs_error("cannot open '%s': %s", config, xtsfs_strerror(r));
		return XTSFS_EXIT_NOT_VOLUME;
	}
	r = read_patterns(options, source->store);
	if (r < 0) {
		xtsfs_error("cannot read what is to be left out of the view, '%s/" XTSFS_NAME_IGNORE
			    "': %s, refusing to "
			    "show everything",
			    options->source, xtsfs_strerror(r));
		return (int)xtsfs_exit_code(r);
	}
	source->reverse = (struct xtsfs_reverse_params){
		.conf_store = source->aside,
		.ignore = xtsfs_ignore_is_empty(options->ignore) ? NULL : options->ignore,
		.one_file_system = options->one_file_system,
	};
	return 0;
}

static void explain_missing(const struct xtsfs_options *options)
{
	xtsfs_auto_free char *conf = NULL;

	if (options->config) {
		xtsfs_error("there is no '%s'; make it with xtsfsctl init --reverse --config", options->config);
		return;
	}
	if (asprintf(&conf, "%s/" XTSFS_NAME_CONF, options->source) < 0)
		conf = NULL;
	if (conf && access(conf, F_OK) == 0)
		xtsfs_error("'%s' is an encrypted volume and not a plain directory; copy it as it is, or mount it "
			    "without reverse",
			    options->source);
	else
		xtsfs_error("'%s' has no configuration for a reverse view; make one with xtsfsctl init --reverse",
			    options->source);
}

int xtsfs_mount_source_open(struct xtsfs_options *options, struct xtsfs_mount_source *source,
			    struct xtsfs_conf **ret_conf)
{
	char problem[512] = "";
	int why_copy, code, r = xtsfs_store_posix_new(options->source, &source->store);

	if (r < 0) {
		xtsfs_error("cannot open '%s': %s", options->source, xtsfs_strerror(r));
		return XTSFS_EXIT_NOT_VOLUME;
	}
	code = options->reverse ? prepare_reverse(options, source) : 0;
	if (code)
		return code;
	r = xtsfs_conf_load_any(xtsfs_mount_source_conf(source), ret_conf, &why_copy, problem, sizeof(problem));
	if (r == -ENOENT && options->reverse) {
		explain_missing(options);
		return XTSFS_EXIT_NOT_VOLUME;
	}
	if (r == -ENOENT) {
		xtsfs_error("'%s' is not an xtsfs volume: it has no " XTSFS_NAME_CONF "; make one with xtsfsctl init",
			    options->source);
		return XTSFS_EXIT_NOT_VOLUME;
	}
	if (r < 0) {
		xtsfs_error("'%s/" XTSFS_NAME_CONF "': %s", options->source, problem[0] ? problem : xtsfs_strerror(r));
		return (int)xtsfs_exit_code(r);
	}
	return 0;
}

struct xtsfs_store *xtsfs_mount_source_conf(const struct xtsfs_mount_source *source)
{
	return source->aside ? source->aside : source->store;
}

void xtsfs_mount_source_close(struct xtsfs_mount_source *source)
{
	source->aside = xtsfs_store_free(source->aside);
	source->store = xtsfs_store_free(source->store);
}
