/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources and slots.
 *
 * What a source gives is tried once: a file does not become right by being read again. Who is asked has three
 * tries.
 *
 * A key of the kernel's keyring, or a credential, is bytes that do not say what they are: they are tried as a keyfile,
 * which costs nothing, and then as a passphrase, for which a line feed at the end of a credential does not count.
 *
 * Devices are asked first, a TPM and then an authenticator of FIDO2. If none gives the key out, what else is given or
 * can be asked for is tried: a machine whose firmware was changed should come up by its passphrase. What is given as a
 * passphrase is the PIN, for slots with one.
 *
 * A keyfile and a passphrase that are both given are two factors of one slot, and no other slot is tried. A keyfile
 * alone is tried first as what it is; if that fails and some slot takes a passphrase with it, that is asked for.
 */
#include "core/unlock.h"

#include "base/log.h"
#include "core/keyslot.h"
#include "format/recovery.h"
#include "token/fido2.h"
#include "token/tpm2.h"

#include <stdarg.h>
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
	bool named_fits; /* what was tried last is for the slot that was named */
};

/* A kind of device, and how to try one of its slots with the PIN, or NULL for one without. */
struct device {
	enum xtsfs_slot_kind kind;
	const char *name;
	int (*try)(struct attempt *attempt, const struct xtsfs_slot *slot, const struct xtsfs_secret *pin);
};

static const struct xtsfs_slot *find_slot(const struct xtsfs_conf *conf, int id)
{
	for (unsigned i = 0; i < conf->config->slot_count; i++)
		if (conf->config->slots[i].id == (unsigned)id)
			return &conf->config->slots[i];
	return NULL;
}

/* The first slot of @kind that may be tried, or NULL. */
static const struct xtsfs_slot *find_kind(const struct attempt *attempt, enum xtsfs_slot_kind kind)
{
	const struct xtsfs_config *config = attempt->conf->config;

	for (unsigned i = 0; i < config->slot_count; i++)
		if (config->slots[i].kind == kind &&
		    (attempt->way->slot < 0 || config->slots[i].id == (unsigned)attempt->way->slot))
			return &config->slots[i];
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void hint(struct attempt *attempt, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(attempt->report->text, sizeof(attempt->report->text), format, args);
	va_end(args);
}

/* A recovery key with wrong groups is told as that: who typed 48 characters wants to know where to look. */
static void hint_recovery(struct attempt *attempt)
{
	uint8_t key[XTSFS_RECOVERY_BYTES];
	const struct xtsfs_secret *text = attempt->with.passphrase;
	char groups[64] = "";
	unsigned wrong, count = 0;
	size_t used = 0;

	if (!text || attempt->with.keyfile || !find_kind(attempt, XTSFS_SLOT_RECOVERY))
		return;
	if (xtsfs_recovery_parse(text->data, text->bytes, key, &wrong) == -EILSEQ) {
		for (unsigned i = 0; i < XTSFS_RECOVERY_GROUPS; i++)
			if (wrong & 1U << i)
				used += (size_t)snprintf(groups + used, sizeof(groups) - used, "%s%u",
							 count++ > 0 ? ", " : "", i + 1);
		hint(attempt, "; it looks like a recovery key with a mistake in group%s %s", count > 1 ? "s" : "",
		     groups);
	}
	xtsfs_wipe(key, sizeof(key));
}

static int try(struct attempt *attempt, const char *with)
{
	const struct xtsfs_config *config = attempt->conf->config;

	const struct xtsfs_slot *named = find_slot(attempt->conf, attempt->way->slot);
	int r;

	snprintf(attempt->report->with, sizeof(attempt->report->with), "%s", with);
	attempt->named_fits = named && xtsfs_keyslot_fits(named, &attempt->with);
	for (unsigned i = 0; i < config->slot_count; i++)
		if (xtsfs_keyslot_fits(&config->slots[i], &attempt->with) &&
		    config->slots[i].argon2_memory_kib > attempt->report->most_kib)
			attempt->report->most_kib = config->slots[i].argon2_memory_kib;
	r = xtsfs_conf_unlock(attempt->conf, &attempt->with, attempt->ret_volume_key, attempt->ret_slot);
	if (r == -XTSFS_EPASS)
		hint_recovery(attempt);
	return r;
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

/* Nothing given, but asked as the user of this volume is to be. */
static struct xtsfs_source asking(const struct attempt *attempt)
{
	struct xtsfs_source source = XTSFS_SOURCE_NONE;

	source.ask = attempt->way->source->ask;
	source.ask_id = attempt->way->source->ask_id;
	return source;
}

/* With the keyfile, if there is one already. */
static int try_asking(struct attempt *attempt)
{
	const struct xtsfs_source none = asking(attempt);
	int r = -XTSFS_EPASS;

	for (unsigned i = 0; r == -XTSFS_EPASS && i < TRIES; i++) {
		xtsfs_auto_secret *secret = NULL;

		if (i > 0 && attempt->way->tell)
			attempt->way->tell(attempt->way->context, r, attempt->report);
		r = read_source(attempt, &none, &secret);
		if (r < 0)
			return r;
		attempt->with.passphrase = secret;
		r = try(attempt, attempt->with.keyfile ? "passphrase and keyfile" : "passphrase");
	}
	return r;
}

static int try_keyfile(struct attempt *attempt)
{
	const struct xtsfs_slot *both = find_kind(attempt, XTSFS_SLOT_BOTH);
	int r = try(attempt, "keyfile");

	if (r != -XTSFS_EPASS || !both)
		return r;
	r = try_asking(attempt);
	if (r == -ENOKEY && attempt->report->of_source) {
		attempt->report->of_source = false;
		hint(attempt, "; keyslot %u takes a passphrase together with it, and it cannot be asked for", both->id);
		r = -XTSFS_EPASS;
	}
	return r;
}

/* Bytes that may be either; @line_feed: there was one at their end, which belongs to a keyfile. */
static int try_key(struct attempt *attempt, struct xtsfs_secret *key, bool line_feed)
{
	const char *with = attempt->way->source->credential ? "credential" : "key";
	int r;

	if (line_feed)
		key->data[key->bytes++] = '\n';
	attempt->with.keyfile = key;
	r = try(attempt, with);
	if (line_feed)
		(void)xtsfs_source_drop_line_feed(key);
	if (r != -XTSFS_EPASS)
		return r;
	attempt->with.keyfile = NULL;
	attempt->with.passphrase = key;
	return try(attempt, with);
}

static int fail_device(struct attempt *attempt, int r)
{
	attempt->report->of_source = true;
	return r;
}

static int try_tpm_slot(struct attempt *attempt, const struct xtsfs_slot *slot, const struct xtsfs_secret *pin)
{
	struct xtsfs_unlock_report *report = attempt->report;
	xtsfs_auto_secret *stretched = NULL;
	xtsfs_auto_secret *auth = NULL;
	xtsfs_auto_secret *token = NULL;
	int r = slot->argon2 ? xtsfs_keyslot_stretch(slot, pin, &stretched, &auth) : 0;

	if (r < 0) {
		report->of_source = false;
		return r;
	}
	r = xtsfs_tpm2_unseal(attempt->way->source->tpm, auth, &slot->tpm2, &token, report->text, sizeof(report->text));
	if (r < 0)
		return fail_device(attempt, r);
	attempt->with = (struct xtsfs_unlock){.token = token,
					      .stretched = stretched,
					      .slot = (int)slot->id,
					      .ret_slot_key = attempt->way->ret_slot_key};
	report->text[0] = '\0';
	report->of_source = false;
	r = try(attempt, "TPM's key");
	attempt->with = (struct xtsfs_unlock){.slot = attempt->way->slot, .ret_slot_key = attempt->way->ret_slot_key};
	return r;
}

/* Which authenticator it is was found out by try_fido2_slot(). */
static int try_fido2_key(struct attempt *attempt, const struct xtsfs_slot *slot, const char *path,
			 const struct xtsfs_secret *pin)
{
	struct xtsfs_unlock_report *report = attempt->report;
	const struct xtsfs_unlock_way *way = attempt->way;
	xtsfs_auto_secret *hmac = NULL;
	char text[320];
	int r;

	snprintf(text, sizeof(text), "touch the authenticator at '%s', for keyslot %u", path, slot->id);
	if (slot->fido2.touch && way->prompt_touch)
		way->prompt_touch(way->context, text);
	else if (slot->fido2.touch)
		xtsfs_notice("%s", text);
	r = xtsfs_fido2_get(path, pin, &slot->fido2, &hmac, report->text, sizeof(report->text));
	if (r < 0)
		return fail_device(attempt, r);
	attempt->with = (struct xtsfs_unlock){
		.hmac = hmac, .slot = (int)slot->id, .ret_slot_key = attempt->way->ret_slot_key};
	report->text[0] = '\0';
	report->of_source = false;
	r = try(attempt, "authenticator's key");
	attempt->with = (struct xtsfs_unlock){.slot = attempt->way->slot, .ret_slot_key = attempt->way->ret_slot_key};
	return r;
}

static int try_fido2_slot(struct attempt *attempt, const struct xtsfs_slot *slot, const struct xtsfs_secret *pin)
{
	struct xtsfs_unlock_report *report = attempt->report;
	struct xtsfs_fido2_device device;
	int r = xtsfs_fido2_find(attempt->way->source->fido2, &slot->fido2, &device, report->text,
				 sizeof(report->text));

	return r < 0 ? fail_device(attempt, r) : try_fido2_key(attempt, slot, device.path, pin);
}

static bool takes_pin(const struct xtsfs_slot *slot)
{
	return slot->kind == XTSFS_SLOT_FIDO2 ? slot->fido2.user == XTSFS_FIDO2_USER_PIN : slot->argon2;
}

/* Nobody is asked for the PIN of an authenticator that is not there. */
static int check_device(struct attempt *attempt, const struct xtsfs_slot *slot)
{
	struct xtsfs_unlock_report *report = attempt->report;
	struct xtsfs_fido2_device device;
	int r = 0;

	if (slot->kind == XTSFS_SLOT_FIDO2)
		r = xtsfs_fido2_find(attempt->way->source->fido2, &slot->fido2, &device, report->text,
				     sizeof(report->text));
	return r < 0 ? fail_device(attempt, r) : 0;
}

/* With the PIN that is given, or the one that is asked for. */
static int try_pin(struct attempt *attempt, const struct device *device, const struct xtsfs_slot *slot,
		   const struct xtsfs_secret *given)
{
	const struct xtsfs_source none = asking(attempt);
	struct xtsfs_unlock_way way = *attempt->way;
	const struct xtsfs_unlock_way *before = attempt->way;
	char prompt[256];
	int r;

	if (given || !takes_pin(slot))
		return device->try(attempt, slot, given);
	r = check_device(attempt, slot);
	if (r < 0)
		return r;
	r = -XTSFS_EPASS;
	snprintf(prompt, sizeof(prompt), "PIN of keyslot %u for the %s", slot->id, device->name);
	way.prompt = prompt;
	for (unsigned i = 0; r == -XTSFS_EPASS && i < TRIES; i++) {
		xtsfs_auto_secret *pin = NULL;

		if (i > 0 && way.tell)
			way.tell(way.context, r, attempt->report);
		attempt->way = &way;
		r = read_source(attempt, &none, &pin);
		attempt->way = before;
		if (r == 0)
			r = device->try(attempt, slot, pin);
	}
	return r;
}

/* First the slots without a PIN: nobody should be asked for what is not needed. The last error, if none opens; but that
 * a PIN cannot be asked for says less than one of the device. A PIN that an authenticator refused is not given to it
 * again: its tries are counted. */
static int try_device(struct attempt *attempt, const struct device *device, const struct xtsfs_secret *pin)
{
	const struct xtsfs_config *config = attempt->conf->config;
	int result = -XTSFS_EPASS;
	bool tried = false;

	hint(attempt, "there is no keyslot for a%s %s", device->name[0] == 'a' ? "n" : "", device->name);
	attempt->report->of_source = true;
	for (unsigned i = 0; i < 2 * config->slot_count; i++) {
		const struct xtsfs_slot *slot = &config->slots[i % config->slot_count];
		const struct xtsfs_unlock_report before = *attempt->report;
		int r;

		if (slot->kind != device->kind || takes_pin(slot) != (i >= config->slot_count) ||
		    (attempt->way->slot >= 0 && slot->id != (unsigned)attempt->way->slot))
			continue;
		r = try_pin(attempt, device, slot, pin);
		if (r == 0 || r == -XTSFS_EAUTH)
			return r;
		if (r == -ENOKEY && tried)
			*attempt->report = before;
		else if (r == -ENOKEY)
			hint(attempt, "keyslot %u takes a PIN for the %s, and it cannot be asked for", slot->id,
			     device->name);
		if (r != -ENOKEY || !tried)
			result = r;
		tried = true;
		if (slot->kind == XTSFS_SLOT_FIDO2 && takes_pin(slot) && r == -XTSFS_EPASS)
			break;
	}
	return result;
}

/* Nothing else is given: whoever can be asked. */
static int try_after_devices(struct attempt *attempt, int error)
{
	const struct xtsfs_unlock_report of_device = *attempt->report;
	int r;

	if (attempt->way->tell)
		attempt->way->tell(attempt->way->context, error, attempt->report);
	r = try_asking(attempt);
	if (r != -ENOKEY || !attempt->report->of_source)
		return r;
	*attempt->report = of_device;
	attempt->report->told = attempt->way->tell != NULL;
	return error;
}

static int try_devices(struct attempt *attempt, const struct xtsfs_secret *pin, bool *ret_tried)
{
	static const struct device devices[] = {
		{XTSFS_SLOT_TPM2, "TPM", try_tpm_slot},
		{XTSFS_SLOT_FIDO2, "authenticator", try_fido2_slot},
	};
	const struct xtsfs_source *source = attempt->way->source;
	const char *const given[] = {source->tpm, source->fido2};
	int r = -XTSFS_EPASS;

	*ret_tried = false;
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		if (!given[i])
			continue;
		if (*ret_tried && attempt->way->tell)
			attempt->way->tell(attempt->way->context, r, attempt->report);
		*ret_tried = true;
		r = try_device(attempt, &devices[i], pin);
		if (r == 0 || r == -XTSFS_EAUTH)
			return r;
	}
	return r;
}

static int try_sources(struct attempt *attempt)
{
	const struct xtsfs_source *source = attempt->way->source;
	struct xtsfs_source keyfile_part = XTSFS_SOURCE_NONE, passphrase_part = *source;
	xtsfs_auto_secret *passphrase = NULL;
	xtsfs_auto_secret *keyfile = NULL;
	bool line_feed = false, tried;
	int r = 0;

	keyfile_part.keyfile = source->keyfile;
	passphrase_part.keyfile = NULL;
	if (source->keyfile)
		r = read_source(attempt, &keyfile_part, &keyfile);
	if (r == 0 && xtsfs_source_passphrases(source) > 0)
		r = read_source(attempt, &passphrase_part, &passphrase);
	if (r < 0)
		return r;
	if (source->credential)
		line_feed = xtsfs_source_drop_line_feed(passphrase);
	r = try_devices(attempt, passphrase, &tried);
	if (tried) {
		if (r == 0 || r == -XTSFS_EAUTH)
			return r;
		if (!passphrase && !keyfile)
			return try_after_devices(attempt, r);
		if (attempt->way->tell)
			attempt->way->tell(attempt->way->context, r, attempt->report);
		attempt->report->of_source = false;
		attempt->report->text[0] = '\0';
	}
	attempt->with.keyfile = keyfile;
	if (!passphrase)
		return try_keyfile(attempt);
	if ((source->keyring || source->credential) && !keyfile)
		return try_key(attempt, passphrase, line_feed);
	attempt->with.passphrase = passphrase;
	return try(attempt, keyfile ? "passphrase and keyfile" : "passphrase");
}

/* What the user may have missed, behind a sentence that says that nothing opens. */
static void explain(struct attempt *attempt)
{
	const struct xtsfs_slot *named = find_slot(attempt->conf, attempt->way->slot);
	const struct xtsfs_slot *both = find_kind(attempt, XTSFS_SLOT_BOTH);

	if (attempt->report->text[0])
		return;
	if (named && named->kind == XTSFS_SLOT_UNKNOWN)
		hint(attempt, "; keyslot %u is of a kind that this program does not know", named->id);
	else if (named && !attempt->named_fits)
		hint(attempt, "; it is one of kind %s", xtsfs_slot_kind_name(named->kind));
	else if (both && !attempt->way->source->keyfile)
		hint(attempt, "; keyslot %u takes a keyfile together with a passphrase", both->id);
	else if (!both && attempt->way->source->keyfile && xtsfs_source_passphrases(attempt->way->source) > 0)
		hint(attempt, "; no keyslot takes both");
}

int xtsfs_unlock_volume(const struct xtsfs_conf *conf, const struct xtsfs_unlock_way *way,
			struct xtsfs_secret **ret_volume_key, int *ret_slot, struct xtsfs_unlock_report *ret_report)
{
	struct attempt attempt = {
		.conf = conf,
		.way = way,
		.with = {.slot = way->slot, .ret_slot_key = way->ret_slot_key},
		.report = ret_report,
		.ret_volume_key = ret_volume_key,
		.ret_slot = ret_slot,
	};
	int r;

	*ret_report = (struct xtsfs_unlock_report){.with = "passphrase"};
	ret_report->no_slots = conf->config->slot_count == 0;
	if (ret_report->no_slots || (way->slot >= 0 && !find_slot(conf, way->slot)))
		return -ENOENT;
	r = xtsfs_source_count(way->source) == 0 && !way->source->tpm && !way->source->fido2 ? try_asking(&attempt)
											     : try_sources(&attempt);
	if (r == -XTSFS_EPASS)
		explain(&attempt);
	return r;
}
