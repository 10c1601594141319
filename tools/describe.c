/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyslots as people and scripts see them.
 *
 * The names of the JSON members are those of xtsfs.conf, so one description serves both. Salts and wrapped keys are
 * left out: they are no secrets, but nobody can use them, and what is not shown is not pasted into a bug report.
 */
#include "describe.h"

#include "base/parse.h"

#include <stdio.h>

static const char *const words[XTSFS_SLOT_UNKNOWN] = {
	[XTSFS_SLOT_PASSPHRASE] = "passphrase",
	[XTSFS_SLOT_KEYFILE] = "keyfile",
	[XTSFS_SLOT_BOTH] = "passphrase and keyfile",
	[XTSFS_SLOT_RECOVERY] = "recovery key",
	[XTSFS_SLOT_TPM2] = "TPM 2.0",
	[XTSFS_SLOT_FIDO2] = "FIDO2",
};

/* "TPM 2.0 with a PIN, PCRs 0,7", "FIDO2 with PIN and touch" */
static const char *describe_kind(const struct xtsfs_slot *slot, char *ret_text, size_t room)
{
	static const char *const users[XTSFS_FIDO2_USER__COUNT] = {
		[XTSFS_FIDO2_USER_ANY] = "",
		[XTSFS_FIDO2_USER_PIN] = "PIN",
		[XTSFS_FIDO2_USER_BUILT_IN] = "verification",
	};
	int used = snprintf(ret_text, room, "%s", words[slot->kind]);

	if (slot->kind == XTSFS_SLOT_FIDO2) {
		const char *user = users[slot->fido2.user], *touch = slot->fido2.touch ? "touch" : "";

		snprintf(ret_text + used, room - (size_t)used, " with %s%s%s%s", user, *user && *touch ? " and " : "",
			 touch, *user || *touch ? "" : "neither PIN nor touch");
		return ret_text;
	}

	if (slot->kind != XTSFS_SLOT_TPM2)
		return ret_text;
	used += snprintf(ret_text + used, room - (size_t)used, "%s, %s", slot->argon2 ? " with a PIN" : "",
			 slot->tpm2.pcr_mask ? "PCRs" : "no PCRs");
	for (unsigned i = 0, count = 0; i < XTSFS_TPM2_PCRS; i++)
		if (slot->tpm2.pcr_mask & 1U << i)
			used += snprintf(ret_text + used, room - (size_t)used, "%s%u", count++ ? "," : " ", i);
	return ret_text;
}

const char *cli_describe_slot(const struct xtsfs_slot *slot, char ret_text[static CLI_DESCRIPTION_BYTES])
{
	char size[16], kind[96];

	if (slot->kind == XTSFS_SLOT_UNKNOWN)
		snprintf(ret_text, CLI_DESCRIPTION_BYTES, "of a kind this program does not know");
	else if (slot->argon2)
		snprintf(ret_text, CLI_DESCRIPTION_BYTES, "%s, Argon2id %s, %u pass%s, %u lane%s",
			 describe_kind(slot, kind, sizeof(kind)),
			 xtsfs_format_size((uint64_t)slot->argon2_memory_kib << 10, size), slot->argon2_time,
			 slot->argon2_time == 1 ? "" : "es", slot->argon2_parallel,
			 slot->argon2_parallel == 1 ? "" : "s");
	else
		snprintf(ret_text, CLI_DESCRIPTION_BYTES, "%s, HKDF-SHA-512", describe_kind(slot, kind, sizeof(kind)));
	return ret_text;
}

void cli_describe_slots(const struct xtsfs_config *config, const char *indent)
{
	char text[CLI_DESCRIPTION_BYTES];

	for (unsigned i = 0; i < config->slot_count; i++) {
		const struct xtsfs_slot *slot = &config->slots[i];

		cli_say("%s%2u: %s, made %s%s%s%s", indent, slot->id, cli_describe_slot(slot, text), slot->created,
			slot->name[0] ? ", '" : "", slot->name, slot->name[0] ? "'" : "");
	}
}

static bool add_kdf(json_object *object, const struct xtsfs_slot *slot)
{
	json_object *kdf = json_object_new_object();
	bool good;

	good = cli_json_add(kdf, "type", json_object_new_string(slot->argon2 ? "argon2id" : "hkdf-sha512"));
	if (slot->argon2) {
		good = good && cli_json_add(kdf, "time", json_object_new_int64(slot->argon2_time));
		good = good && cli_json_add(kdf, "memory_kib", json_object_new_int64(slot->argon2_memory_kib));
		good = good && cli_json_add(kdf, "parallel", json_object_new_int64(slot->argon2_parallel));
	}
	if (!good) {
		json_object_put(kdf);
		return false;
	}
	return cli_json_add(object, "kdf", kdf);
}

static bool add_tpm2(json_object *object, const struct xtsfs_slot_tpm2 *tpm2)
{
	json_object *device = json_object_new_object(), *pcrs = json_object_new_array();
	bool good = pcrs != NULL;

	for (unsigned i = 0; good && i < XTSFS_TPM2_PCRS; i++)
		if (tpm2->pcr_mask & 1U << i)
			good = json_object_array_add(pcrs, json_object_new_int64(i)) == 0;
	if (!good) {
		json_object_put(device);
		json_object_put(pcrs);
		return false;
	}
	if (!cli_json_add(device, "pcrs", pcrs)) {
		json_object_put(device);
		return false;
	}
	return cli_json_add(object, "tpm2", device);
}

static bool add_fido2(json_object *object, const struct xtsfs_slot_fido2 *fido2)
{
	json_object *device = json_object_new_object();

	if (!cli_json_add(device, "touch", json_object_new_boolean(fido2->touch)) ||
	    !cli_json_add(device, "user", json_object_new_string(xtsfs_fido2_user_name(fido2->user)))) {
		json_object_put(device);
		return false;
	}
	return cli_json_add(object, "fido2", device);
}

json_object *cli_json_slot(const struct xtsfs_slot *slot)
{
	json_object *object = json_object_new_object();
	bool good = cli_json_add(object, "id", json_object_new_int64(slot->id));

	good = good && cli_json_add(object, "name", json_object_new_string(slot->name));
	good = good && cli_json_add(object, "kind", json_object_new_string(xtsfs_slot_kind_name(slot->kind)));
	good = good && cli_json_add(object, "created", json_object_new_string(slot->created));
	if (slot->kind != XTSFS_SLOT_UNKNOWN)
		good = good && add_kdf(object, slot);
	if (slot->kind == XTSFS_SLOT_TPM2)
		good = good && add_tpm2(object, &slot->tpm2);
	if (slot->kind == XTSFS_SLOT_FIDO2)
		good = good && add_fido2(object, &slot->fido2);
	if (!good) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

json_object *cli_json_slots(const struct xtsfs_config *config)
{
	json_object *array = json_object_new_array();

	for (unsigned i = 0; array && i < config->slot_count; i++) {
		json_object *slot = cli_json_slot(&config->slots[i]);

		if (!slot || json_object_array_add(array, slot) < 0) {
			json_object_put(slot);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

const struct xtsfs_slot *cli_find_slot(const struct xtsfs_config *config, unsigned id)
{
	for (unsigned i = 0; i < config->slot_count; i++)
		if (config->slots[i].id == id)
			return &config->slots[i];
	return NULL;
}
