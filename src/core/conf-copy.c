/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second copy of xtsfs.conf (spec 4.4): xtsfs.conf.bak, the same bytes.
 *
 * A passphrase that was removed must open neither of the two, and a crash must leave at least one. So the copy is
 * removed before xtsfs.conf is replaced (once what replaces it is written), and made again after that; each step is
 * durable before the next begins. Then
 * at any instant the copy is missing or the same: it is never the older of the two, and needs no number to tell.
 * Only where xtsfs.conf cannot be read is the copy all there is, and stays until there is a new xtsfs.conf.
 *
 * What a reader does not find in xtsfs.conf it may take from the copy without a question, as long as nothing in
 * xtsfs.conf can be read. One that can, and does not verify, was edited or is damaged: then a person decides
 * (xtsfsctl header repair), because a copy that is not the same may be an old one, of a program that knew nothing of
 * copies, or put there by somebody.
 */
#include "core/conf.h"

#include "base/log.h"
#include "core/replace.h"
#include "format/ondisk.h"

#include <string.h>

#define PROBLEM_BYTES 512

int xtsfs_conf_load_any(struct xtsfs_store *store, struct xtsfs_conf **ret_conf, int *ret_why_copy, char *ret_problem,
			size_t problem_bytes)
{
	char problem[PROBLEM_BYTES];
	int why = xtsfs_conf_load(store, XTSFS_NAME_CONF, ret_conf, ret_problem, problem_bytes);

	if (why == 0) {
		*ret_why_copy = 0;
		return 0;
	}
	if (why != -ENOENT && why != -ELOOP && why != -XTSFS_EDAMAGED)
		return why;
	if (xtsfs_conf_load(store, XTSFS_NAME_CONF_COPY, ret_conf, problem, sizeof(problem)) < 0)
		return why;
	xtsfs_warning("%s is %s, using its copy %s; put it back with 'xtsfsctl header repair'", XTSFS_NAME_CONF,
		      why == -ENOENT ? "missing" : "damaged", XTSFS_NAME_CONF_COPY);
	*ret_why_copy = why;
	return 0;
}

int xtsfs_conf_copy_is_same(struct xtsfs_store *store, const struct xtsfs_conf *conf)
{
	char problem[PROBLEM_BYTES];
	struct xtsfs_conf *copy = NULL;
	int r = xtsfs_conf_load(store, XTSFS_NAME_CONF_COPY, &copy, problem, sizeof(problem));

	if (r == -ELOOP || r == -XTSFS_EDAMAGED || r == -XTSFS_EFEATURE || r == -ERANGE)
		return 0;
	if (r < 0)
		return r;
	r = copy->text_bytes == conf->text_bytes && memcmp(copy->text, conf->text, conf->text_bytes) == 0;
	xtsfs_conf_free(copy);
	return r;
}

static int write_copy(struct xtsfs_store *store, const char *text, size_t bytes)
{
	return xtsfs_file_replace_like(store, XTSFS_NAME_CONF_COPY, XTSFS_NAME_CONF, text, bytes);
}

int xtsfs_conf_put_copy(struct xtsfs_store *store, const struct xtsfs_conf *conf)
{
	return write_copy(store, conf->text, conf->text_bytes);
}

static int remove_copy(struct xtsfs_store *store)
{
	int r = store->ops->unlink(store, store->root, XTSFS_NAME_CONF_COPY, 0);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : store->ops->sync(store, store->root, /* data_only= */ false);
}

static bool has_copy(struct xtsfs_store *store)
{
	struct stat st;

	return store->ops->stat(store, store->root, XTSFS_NAME_CONF_COPY, &st) == 0;
}

static bool is_in_place(struct xtsfs_store *store, const struct xtsfs_conf *conf)
{
	char problem[PROBLEM_BYTES];
	struct xtsfs_conf *now = NULL;
	bool same;

	if (xtsfs_conf_load(store, XTSFS_NAME_CONF, &now, problem, sizeof(problem)) < 0)
		return false;
	same = now->text_bytes == conf->text_bytes && memcmp(now->text, conf->text, conf->text_bytes) == 0;
	xtsfs_conf_free(now);
	return same;
}

int xtsfs_conf_put(struct xtsfs_store *store, const char *text, size_t bytes, bool exclusive)
{
	char problem[PROBLEM_BYTES];
	struct xtsfs_conf *old = NULL;
	int r, copied = 0;

	/* The copy goes when the new one is there in full: a full disk costs neither. */
	if (!exclusive && xtsfs_conf_load(store, XTSFS_NAME_CONF, &old, problem, sizeof(problem)) == 0)
		r = xtsfs_file_replace_after(store, XTSFS_NAME_CONF, text, bytes, remove_copy);
	else
		r = xtsfs_file_replace(store, XTSFS_NAME_CONF, text, bytes, exclusive);
	/* After an error either may be in place: a copy of the old one only where that certainly is. */
	if (r == 0)
		copied = write_copy(store, text, bytes);
	else if (old && !has_copy(store) && is_in_place(store, old))
		copied = write_copy(store, old->text, old->text_bytes);
	xtsfs_conf_free(old);
	if (copied < 0)
		xtsfs_warning("cannot write %s: %s; 'xtsfsctl header repair' writes it again", XTSFS_NAME_CONF_COPY,
			      xtsfs_strerror(copied));
	return r;
}
