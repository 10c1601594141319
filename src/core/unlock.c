/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources and slots.
 *
 * What a source gives is tried once: a file does not become right by being read again. At the terminal there are three
 * tries.
 *
 * A key of the kernel's keyring is bytes that do not say what they are: they are tried as a keyfile, which costs
 * nothing, and then as a passphrase.
 */
#include "core/unlock.h"

#include "core/keyslot.h"

#include <stdio.h>
#include <string.h>

#define TRIES 3

struct attempt {
	const struct xtsfs_conf *conf;
	const struct xtsfs_unlock_way *way;
	struct xtsfs_unlock with;
	struct xtsfs_unlock_report *report;
	struct xtsfs_secret **ret_volume_key;
	int *ret_slot;
};

static const struct xtsfs_slot *find_slot(const struct xtsfs_conf *conf, int id)
{
	for (unsigned i = 0; i < conf->config->slot_count; i++)
		if (conf->config->slots[i].id == (unsigned)id)
			return &conf->config->slots[i];
	return NULL;
}

static int try(struct attempt *attempt, const char *with)
{
	const struct xtsfs_config *config = attempt->conf->config;

	snprintf(attempt->report->with, sizeof(attempt->report->with), "%s", with);
	for (unsigned i = 0; i < config->slot_count; i++)
		if (xtsfs_keyslot_fits(&config->slots[i], &attempt->with) &&
		    config->slots[i].argon2_memory_kib > attempt->report->most_kib)
			attempt->report->most_kib = config->slots[i].argon2_memory_kib;
	return xtsfs_conf_unlock(attempt->conf, &attempt->with, attempt->ret_volume_key, attempt->ret_slot);
}

static int read_source(struct attempt *attempt, const struct xtsfs_source *source, struct xtsfs_secret **ret_secret)
{
	struct xtsfs_unlock_report *report = attempt->report;
	bool is_keyfile;
	int r = xtsfs_source_read(source, attempt->way->prompt, /* confirm= */ false, ret_secret, &is_keyfile,
				  report->text, sizeof(report->text));

	report->of_source = r < 0;
	if (r == 0)
		report->text[0] = '\0';
	return r;
}

static int try_source(struct attempt *attempt)
{
	const struct xtsfs_source *source = attempt->way->source;
	xtsfs_auto_secret *secret = NULL;
	int r = read_source(attempt, source, &secret);

	if (r < 0)
		return r;
	attempt->with.keyfile = source->keyfile ? secret : NULL;
	attempt->with.passphrase = source->keyfile ? NULL : secret;
	if (source->keyring) {
		attempt->with.keyfile = secret;
		attempt->with.passphrase = NULL;
		r = try(attempt, "key");
		if (r != -XTSFS_EPASS)
			return r;
		attempt->with.keyfile = NULL;
		attempt->with.passphrase = secret;
	}
	return try(attempt, source->keyfile ? "keyfile" : source->keyring ? "key" : "passphrase");
}

static int try_terminal(struct attempt *attempt)
{
	const struct xtsfs_source none = XTSFS_SOURCE_NONE;
	int r = -XTSFS_EPASS;

	for (unsigned i = 0; r == -XTSFS_EPASS && i < TRIES; i++) {
		xtsfs_auto_secret *secret = NULL;

		if (i > 0 && attempt->way->tell)
			attempt->way->tell(attempt->way->context, r, attempt->report);
		r = read_source(attempt, &none, &secret);
		if (r < 0)
			return r;
		attempt->with.passphrase = secret;
		r = try(attempt, "passphrase");
	}
	return r;
}

int xtsfs_unlock_volume(const struct xtsfs_conf *conf, const struct xtsfs_unlock_way *way,
			struct xtsfs_secret **ret_volume_key, int *ret_slot, struct xtsfs_unlock_report *ret_report)
{
	struct attempt attempt = {
		.conf = conf,
		.way = way,
		.with = {.slot = way->slot},
		.report = ret_report,
		.ret_volume_key = ret_volume_key,
		.ret_slot = ret_slot,
	};

	*ret_report = (struct xtsfs_unlock_report){.with = "passphrase"};
	if (way->slot >= 0 && !find_slot(conf, way->slot))
		return -ENOENT;
	return xtsfs_source_count(way->source) == 0 ? try_terminal(&attempt) : try_source(&attempt);
}
