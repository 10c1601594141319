/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/reverse.h"

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

int xtsfs_reverse_prepare(struct xtsfs_options *options, struct xtsfs_store *store, struct xtsfs_store **ret_conf_store,
			  struct xtsfs_reverse_params *ret_params)
{
	const char *config = options->config ? options->config : options->source;
	int r = xtsfs_store_aside_new(config, ret_conf_store);

	if (r < 0) {
		xtsfs_error("cannot open '%s': %s", config, xtsfs_strerror(r));
		return XTSFS_EXIT_NOT_VOLUME;
	}
	r = read_patterns(options, store);
	if (r < 0) {
		xtsfs_error("cannot read what is to be left out of the view, '%s/" XTSFS_NAME_IGNORE
			    "': %s, refusing to "
			    "show everything",
			    options->source, xtsfs_strerror(r));
		return (int)xtsfs_exit_code(r);
	}
	*ret_params = (struct xtsfs_reverse_params){
		.conf_store = *ret_conf_store,
		.ignore = xtsfs_ignore_is_empty(options->ignore) ? NULL : options->ignore,
		.one_file_system = options->one_file_system,
	};
	return 0;
}

void xtsfs_reverse_explain(const struct xtsfs_options *options)
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
