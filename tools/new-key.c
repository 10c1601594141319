/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New keyslots, for init, passwd and slot add.
 *
 * The costs of Argon2id: with --kdf-time nothing is measured, and memory and lanes are as given or as measuring would
 * at most choose. Otherwise the machine is measured for the target time, within the memory and lanes given.
 * A keyfile has no costs; options for them are then of no effect.
 */
#include "new-key.h"

#include "core/keyslot.h"
#include "format/recovery.h"
#include "token/fido2.h"
#include "token/tpm2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MEMORY_KIB (1024U * 1024)
#define DEFAULT_PARALLEL   4

static uint32_t memory_kib(const struct cli_new_key *new)
{
	return (uint32_t)(new->kdf_memory >> 10);
}

/* What is chosen without measuring; as the calibration of the crypto layer does. */
static struct xtsfs_argon2 given_cost(const struct cli_new_key *new)
{
	struct xtsfs_argon2 params = {
		.time = (uint32_t) new->kdf_time,
		.memory_kib = memory_kib(new),
		.parallel = (uint32_t) new->kdf_parallel,
	};
	long processors = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_AVPHYS_PAGES);
	long page_kib = sysconf(_SC_PAGESIZE) >> 10;

	if (params.parallel == 0)
		params.parallel = processors < 1		  ? 1
				  : processors > DEFAULT_PARALLEL ? DEFAULT_PARALLEL
								  : (uint32_t)processors;
	if (params.memory_kib == 0) {
		uint64_t half_kib = pages > 0 ? (uint64_t)pages * (uint64_t)page_kib / 2 : 0;

		params.memory_kib = half_kib < DEFAULT_MEMORY_KIB ? (uint32_t)half_kib : DEFAULT_MEMORY_KIB;
		if (params.memory_kib < 8 * params.parallel)
			params.memory_kib = 8 * params.parallel;
	}
	return params;
}

static int check_tpm(const struct cli_verb *verb, struct cli_new_key *new)
{
	const char *list = new->tpm_pcrs ? new->tpm_pcrs : "7";

	if (!new->tpm)
		return new->tpm_pcrs ? cli_fail_usage(verb, "--tpm-pcrs is of use with --new-tpm only") : 0;
	if (new->source.keyfile || new->recovery)
		return cli_fail_usage(verb,
				      "a keyslot of a TPM can have a PIN, but neither a keyfile nor a recovery key");
	new->pcr_mask = 0;
	for (const char *at = list; strcmp(list, "none") != 0; at++) {
		char *end;
		unsigned long pcr = strtoul(at, &end, 10);

		if (*at < '0' || *at > '9' || pcr >= XTSFS_TPM2_PCRS || (*end && *end != ','))
			return cli_fail_usage(verb, "--tpm-pcrs '%s' is not numbers from 0 to %u with commas, or none",
					      list, XTSFS_TPM2_PCRS - 1);
		new->pcr_mask |= 1U << pcr;
		at = end;
		if (!*at)
			break;
	}
	return 0;
}

/* Is it yes, no, or not given? */
static bool is_answer(const char *text)
{
	return !text || strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
}

static bool is_yes(const char *text, bool otherwise)
{
	return text ? strcmp(text, "yes") == 0 : otherwise;
}

static int check_fido2(const struct cli_verb *verb, const struct cli_new_key *new)
{
	if (!new->fido2)
		return new->fido2_pin || new->fido2_touch || new->fido2_built_in
			       ? cli_fail_usage(verb, "--fido2-pin, --fido2-touch and --fido2-verify are of use with "
						      "--new-fido2 only")
			       : 0;
	if (new->tpm || new->source.keyfile || new->recovery || new->with_passphrase)
		return cli_fail_usage(verb, "a keyslot of an authenticator can have its PIN, but nothing else");
	if (!is_answer(new->fido2_pin) || !is_answer(new->fido2_touch) || !is_answer(new->fido2_built_in))
		return cli_fail_usage(verb, "--fido2-pin, --fido2-touch and --fido2-verify are yes or no");
	if (is_yes(new->fido2_pin, false) && is_yes(new->fido2_built_in, false))
		return cli_fail_usage(verb, "the user is verified by the PIN or by --fido2-verify, not by both");
	return 0;
}

int cli_new_key_check(const struct cli_verb *verb, struct cli_new_key *new)
{
	struct xtsfs_argon2 params = given_cost(new);

	if (new->recovery && (xtsfs_source_count(&new->source) > 0 || new->with_passphrase))
		return cli_fail_usage(verb, "--recovery makes the key itself; give no source of a new one");
	if (xtsfs_source_passphrases(&new->source) > 1)
		return cli_fail_usage(verb, "give one source of the new passphrase");
	if (new->with_passphrase && ((!new->source.keyfile && !new->tpm) || xtsfs_source_passphrases(&new->source) > 0))
		return cli_fail_usage(verb,
				      "--with-passphrase asks for a passphrase to go with a keyfile; give that, and "
				      "no other source");
	if (new->slot_name && strlen(new->slot_name) > XTSFS_SLOT_NAME_MAX)
		return cli_fail_usage(verb, "the keyslot's name has more than %u bytes", XTSFS_SLOT_NAME_MAX);
	if (params.time == 0)
		params.time = 1;
	if (xtsfs_argon2_check(&params) < 0)
		return cli_fail_usage(verb,
				      "Argon2id cannot have these costs together: memory is at least 8 KiB for each "
				      "lane, and passes times memory at most 256 GiB");
	if (check_tpm(verb, new) || check_fido2(verb, new))
		return verb->usage_exit ? verb->usage_exit : XTSFS_EXIT_USAGE;
	return cli_source_check(verb, &new->source);
}

int cli_new_key_cost(const struct cli_new_key *new, struct xtsfs_argon2 *ret_params)
{
	uint32_t target_ms = new->kdf_target_ms ? (uint32_t) new->kdf_target_ms : CLI_KDF_TARGET_MS;
	int r;

	if (new->kdf_time) {
		*ret_params = given_cost(new);
		return 0;
	}
	r = xtsfs_argon2_calibrate(target_ms, memory_kib(new), (uint32_t) new->kdf_parallel, ret_params);
	return r < 0 ? cli_fail(r, "cannot measure the key derivation") : 0;
}

/* Each part on its own: together they are two factors of one slot. */
static int read_new(const struct cli_new_key *new, const char *prompt, struct xtsfs_secret **ret_passphrase,
		    struct xtsfs_secret **ret_keyfile)
{
	struct xtsfs_source part = new->source;
	bool is_keyfile;
	int exit_code;

	part.keyfile = NULL;
	if (new->with_passphrase || xtsfs_source_count(&part) > 0 || (!new->source.keyfile && !new->tpm)) {
		exit_code = cli_source_read(&part, prompt, /* confirm= */ true, ret_passphrase, &is_keyfile);
		if (exit_code)
			return exit_code;
	}
	if (!new->source.keyfile)
		return 0;
	part = XTSFS_SOURCE_NONE;
	part.keyfile = new->source.keyfile;
	return cli_source_read(&part, prompt, /* confirm= */ false, ret_keyfile, &is_keyfile);
}

static int add(struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key, const struct xtsfs_unlock *with,
	       const struct xtsfs_argon2 *params, const char *name, unsigned *ret_slot)
{
	int r = xtsfs_conf_add_slot(conf, volume_key, with, params, name, ret_slot);

	if (r == -ENOSPC)
		return cli_fail_exit(XTSFS_EXIT_SLOT, "all %u keyslots are in use", XTSFS_CONFIG_SLOTS);
	return r < 0 ? cli_fail_keys(r, "cannot make the keyslot") : 0;
}

/* The TPM's part is random and sealed; a PIN goes into the slot key as well, and what it makes is what the TPM asks
 * for. */
static int add_tpm(const struct cli_new_key *new, const struct xtsfs_secret *pin, const struct xtsfs_argon2 *params,
		   struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key, const char *name, unsigned *ret_slot)
{
	struct xtsfs_slot slot = {.argon2_time = params->time,
				  .argon2_memory_kib = params->memory_kib,
				  .argon2_parallel = params->parallel};
	struct xtsfs_slot_tpm2 tpm2 = {.pcr_mask = new->pcr_mask};
	struct xtsfs_unlock with = {.tpm2 = &tpm2, .slot = -1};
	xtsfs_auto_secret *token = NULL;
	xtsfs_auto_secret *stretched = NULL;
	xtsfs_auto_secret *auth = NULL;
	char problem[256];
	int r = xtsfs_secret_new(XTSFS_TPM2_SECRET_BYTES, &token);

	if (r == 0)
		r = xtsfs_random_secret(token->data, token->bytes);
	if (r == 0)
		r = xtsfs_random(slot.salt, sizeof(slot.salt));
	if (r == 0 && pin)
		r = xtsfs_keyslot_stretch(&slot, pin, &stretched, &auth);
	if (r < 0)
		return cli_fail_keys(r, "cannot make the keyslot");
	r = xtsfs_tpm2_seal(new->tpm, auth, token, &tpm2, problem, sizeof(problem));
	if (r < 0)
		return cli_fail_exit(XTSFS_EXIT_SOURCE, "%s", problem);
	with.token = token;
	with.stretched = stretched;
	with.salt = stretched ? slot.salt : NULL;
	return add(conf, volume_key, &with, params, name, ret_slot);
}

/* An authenticator with a PIN makes a credential for nobody who does not know it, even one to be used without. */
static int read_pin(const struct cli_new_key *new, const struct xtsfs_fido2_device *device,
		    struct xtsfs_secret **ret_pin)
{
	char prompt[320];
	bool is_keyfile;

	snprintf(prompt, sizeof(prompt), "PIN of the authenticator at '%s'", device->path);
	return cli_source_read(&new->source, prompt, /* confirm= */ false, ret_pin, &is_keyfile);
}

static int choose_user(const struct cli_new_key *new, const struct xtsfs_fido2_device *device,
		       enum xtsfs_fido2_user *ret_user)
{
	if (is_yes(new->fido2_built_in, false)) {
		*ret_user = XTSFS_FIDO2_USER_BUILT_IN;
		return device->has_built_in
			       ? 0
			       : cli_fail_exit(
					 XTSFS_EXIT_SOURCE,
					 "the authenticator at '%s' cannot recognise its user, or nobody has been "
					 "enrolled; it has to be set up first (fido2-token -S -e)",
					 device->path);
	}
	*ret_user = is_yes(new->fido2_pin, true) ? XTSFS_FIDO2_USER_PIN : XTSFS_FIDO2_USER_ANY;
	return *ret_user == XTSFS_FIDO2_USER_ANY || device->has_pin
		       ? 0
		       : cli_fail_exit(XTSFS_EXIT_SOURCE,
				       "the authenticator at '%s' has no PIN; set one (fido2-token -S), or let whoever "
				       "has it use it, with --fido2-pin no",
				       device->path);
}

/* Made, and used at once: a keyslot that its authenticator does not open is of no use. */
static int add_fido2(const struct cli_new_key *new, struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key,
		     const char *name, unsigned *ret_slot)
{
	struct xtsfs_slot_fido2 fido2 = {.touch = is_yes(new->fido2_touch, true)};
	struct xtsfs_unlock with = {.fido2 = &fido2, .slot = -1};
	struct xtsfs_fido2_device device;
	xtsfs_auto_secret *pin = NULL;
	xtsfs_auto_secret *hmac = NULL;
	char problem[640];
	int exit_code, r = xtsfs_fido2_find(new->fido2, NULL, &device, problem, sizeof(problem));

	if (r < 0)
		return cli_fail_exit(XTSFS_EXIT_SOURCE, "%s", problem);
	exit_code = choose_user(new, &device, &fido2.user);
	if (exit_code == 0 && device.has_pin && fido2.user != XTSFS_FIDO2_USER_BUILT_IN)
		exit_code = read_pin(new, &device, &pin);
	if (exit_code)
		return exit_code;
	r = xtsfs_random(fido2.salt, sizeof(fido2.salt));
	if (r < 0)
		return cli_fail(r, "cannot make the keyslot");
	cli_prompt_touch(NULL, "touch the authenticator, to make a credential");
	r = xtsfs_fido2_make(device.path, pin, conf->config->uuid, &fido2, problem, sizeof(problem));
	if (r == 0 && fido2.touch)
		cli_prompt_touch(NULL, "touch it once more, to use the credential");
	if (r == 0)
		r = xtsfs_fido2_get(device.path, pin, &fido2, &hmac, problem, sizeof(problem));
	if (r < 0)
		return cli_fail_exit(r == -XTSFS_EPASS ? XTSFS_EXIT_PASS : XTSFS_EXIT_SOURCE, "%s", problem);
	with.hmac = hmac;
	return add(conf, volume_key, &with, NULL, name, ret_slot);
}

int cli_new_key_add(const struct cli_new_key *new, const char *prompt, struct xtsfs_conf *conf,
		    const struct xtsfs_secret *volume_key, const char *name, unsigned *ret_slot)
{
	xtsfs_auto_secret *passphrase = NULL;
	xtsfs_auto_secret *keyfile = NULL;
	struct xtsfs_unlock with = {.slot = -1};
	struct xtsfs_argon2 params = {0};
	int r;

	if (new->fido2)
		return add_fido2(new, conf, volume_key, name, ret_slot);
	r = read_new(new, prompt, &passphrase, &keyfile);
	if (r == 0 && passphrase)
		r = cli_new_key_cost(new, &params);
	if (r)
		return r;
	if (new->tpm)
		return add_tpm(new, passphrase, &params, conf, volume_key, name, ret_slot);
	with.passphrase = passphrase;
	with.keyfile = keyfile;
	return add(conf, volume_key, &with, &params, name, ret_slot);
}

int cli_new_recovery(struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key, const char *name,
		     unsigned *ret_slot, struct xtsfs_secret **ret_text)
{
	xtsfs_auto_secret *key = NULL;
	xtsfs_auto_secret *text = NULL;
	struct xtsfs_unlock with = {.slot = -1};
	int exit_code, r = xtsfs_secret_new(XTSFS_RECOVERY_BYTES, &key);

	if (r == 0)
		r = xtsfs_secret_new(XTSFS_RECOVERY_TEXT_CHARS + 1, &text);
	if (r == 0)
		r = xtsfs_random_secret(key->data, key->bytes);
	if (r < 0)
		return cli_fail_keys(r, "cannot make a recovery key");
	xtsfs_recovery_print(key->data, (char *)text->data);
	text->bytes = XTSFS_RECOVERY_TEXT_CHARS;
	with.recovery = key;
	exit_code = add(conf, volume_key, &with, NULL, name, ret_slot);
	if (exit_code)
		return exit_code;
	*ret_text = text;
	text = NULL;
	return 0;
}

/* Straight from locked memory: stdio would keep a copy. */
int cli_write_secret(const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t n = write(STDOUT_FILENO, at, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}
