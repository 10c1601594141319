/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfs.conf from text (spec 4).
 *
 * When this runs nothing is authenticated: the HMAC needs the volume key, the volume key needs a slot, and the slot is
 * in this text. So every member that is used is checked for its type and its range here, above all the costs that
 * Argon2id would be asked to pay, and nothing is allocated by a number in the text.
 *
 * Order: the ending (the file's last bytes have one form, so what the HMAC covers is known before anything else), the
 * strict scan, json-c, duplicates, then the version and the features before all other members, for a file of a later
 * version should be refused as that and not for what changed in it.
 *
 * A slot of a kind or KDF that is not known is kept: its id, name and time are checked, for those are shown, and the
 * rest is left alone. Members that are not known are not looked at. Both stay in the tree for config-print.c.
 *
 * Problems are told as "slot 3: 'time' is 5000, not 1 to 1024"; text from the file is escaped in them.
 */
#include "format/config-internal.h"
#include "format/config.h"

#include "base/base64.h"
#include "base/text.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bounds of spec 4; the crypto layer has its own check of them. */
#define TIME_MAX	1024
#define MEMORY_MAX_KIB	4194304
#define PARALLEL_MAX	16
#define MEMORY_LANE_KIB 8
#define WORK_MAX	(INT64_C(1) << 28)

#define TIME_TEXT_MIN 20 /* 2026-01-31T12:00:00Z */
#define SHOWN_BYTES   64 /* of a text from the file, in a problem */
#define TEXT_MAX      XTSFS_CONFIG_MAX_BYTES

struct parse {
	char *problem;
	size_t problem_bytes;
	char where[24]; /* "" or "slot 3: " */
};

__attribute__((format(printf, 3, 4))) static int refuse(struct parse *parse, int error, const char *format, ...)
{
	int n = snprintf(parse->problem, parse->problem_bytes, "%s", parse->where);
	va_list args;

	if (n >= 0 && (size_t)n < parse->problem_bytes) {
		va_start(args, format);
		vsnprintf(parse->problem + n, parse->problem_bytes - (size_t)n, format, args);
		va_end(args);
	}
	return -error;
}

/* Text from the file as a message may show it. */
struct shown {
	char text[SHOWN_BYTES * XTSFS_ESCAPE_FACTOR + sizeof("...")];
};

static struct shown show(const char *text)
{
	size_t bytes = strlen(text);
	struct shown shown;
	size_t n;

	n = xtsfs_text_escape(text, bytes < SHOWN_BYTES ? bytes : SHOWN_BYTES, /* backslash= */ true, shown.text);
	strcpy(shown.text + n, bytes > SHOWN_BYTES ? "..." : "");
	return shown;
}

static int get_member(struct parse *parse, json_object *object, const char *name, json_type type,
		      json_object **ret_member)
{
	json_object *member;

	if (!json_object_object_get_ex(object, name, &member))
		return refuse(parse, XTSFS_EDAMAGED, "'%s' is missing", name);
	if (!json_object_is_type(member, type))
		return refuse(parse, XTSFS_EDAMAGED, "'%s' is not of type %s", name, json_type_to_name(type));
	*ret_member = member;
	return 0;
}

static int get_integer(struct parse *parse, json_object *object, const char *name, int64_t min, int64_t max, int error,
		       int64_t *ret_value)
{
	json_object *member;
	int64_t value;
	int r = get_member(parse, object, name, json_type_int, &member);

	if (r < 0)
		return r;
	value = json_object_get_int64(member);
	if (value < min || value > max)
		return refuse(parse, error, "'%s' is %lld, not %lld to %lld", name, (long long)value, (long long)min,
			      (long long)max);
	*ret_value = value;
	return 0;
}

/* The scan refused NULs, so strings end where C says. */
static int get_text(struct parse *parse, json_object *object, const char *name, size_t max_bytes, const char **ret_text)
{
	json_object *member;
	int r = get_member(parse, object, name, json_type_string, &member);

	if (r < 0)
		return r;
	if ((size_t)json_object_get_string_len(member) > max_bytes)
		return refuse(parse, XTSFS_EDAMAGED, "'%s' has more than %zu bytes", name, max_bytes);
	*ret_text = json_object_get_string(member);
	return 0;
}

static int get_bytes(struct parse *parse, json_object *object, const char *name, uint8_t *ret_data, size_t bytes)
{
	const char *text;
	int r = get_text(parse, object, name, TEXT_MAX, &text);

	if (r < 0)
		return r;
	if (strlen(text) != xtsfs_base64_chars(bytes) || xtsfs_base64_decode(text, strlen(text), ret_data) < 0)
		return refuse(parse, XTSFS_EDAMAGED, "'%s' is not %zu bytes in base64url", name, bytes);
	return 0;
}

/* RFC 3339 in UTC, with or without a fraction: the form is checked, not the calendar; it is for people only. */
static int get_time(struct parse *parse, json_object *object, const char *name, char *ret_text, size_t room)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	const char *text, *p;
	int r = get_text(parse, object, name, room - 1, &text);
	bool good = true;

	if (r < 0)
		return r;
	good = strlen(text) >= TIME_TEXT_MIN;
	for (size_t i = 0; good && i < sizeof(form) - 1; i++)
		good = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
	if (good) {
		p = text + sizeof(form) - 1;
		if (*p == '.') {
			size_t digits = strspn(p + 1, "0123456789");

			good = digits > 0;
			p += 1 + digits;
		}
		good = good && strcmp(p, "Z") == 0;
	}
	if (!good)
		return refuse(parse, XTSFS_EDAMAGED, "'%s' is not a time such as 2026-01-31T12:00:00Z", name);
	strcpy(ret_text, text);
	return 0;
}

static int parse_argon2(struct parse *parse, json_object *kdf, struct xtsfs_slot *slot)
{
	int64_t time_passes, memory_kib, parallel;
	int r;

	r = get_integer(parse, kdf, "parallel", 1, PARALLEL_MAX, ERANGE, &parallel);
	if (r < 0)
		return r;
	r = get_integer(parse, kdf, "time", 1, TIME_MAX, ERANGE, &time_passes);
	if (r < 0)
		return r;
	r = get_integer(parse, kdf, "memory_kib", MEMORY_LANE_KIB * parallel, MEMORY_MAX_KIB, ERANGE, &memory_kib);
	if (r < 0)
		return r;
	if (time_passes * memory_kib > WORK_MAX)
		return refuse(parse, ERANGE, "'time' times 'memory_kib' is %lld, more than %lld",
			      (long long)(time_passes * memory_kib), (long long)WORK_MAX);
	slot->argon2_time = (uint32_t)time_passes;
	slot->argon2_memory_kib = (uint32_t)memory_kib;
	slot->argon2_parallel = (uint32_t)parallel;
	return 0;
}

/* 1 to @max_bytes bytes. */
static int get_blob(struct parse *parse, json_object *object, const char *name, uint8_t *ret_data, size_t max_bytes,
		    unsigned *ret_bytes)
{
	const char *text;
	size_t bytes;
	int r = get_text(parse, object, name, TEXT_MAX, &text);

	if (r < 0)
		return r;
	bytes = xtsfs_base64_bytes(strlen(text));
	if (bytes < 1 || bytes > max_bytes || xtsfs_base64_decode(text, strlen(text), ret_data) < 0)
		return refuse(parse, XTSFS_EDAMAGED, "'%s' is not 1 to %zu bytes in base64url", name, max_bytes);
	*ret_bytes = (unsigned)bytes;
	return 0;
}

static int parse_tpm2(struct parse *parse, json_object *object, struct xtsfs_slot_tpm2 *tpm2)
{
	json_object *device, *pcrs;
	int r = get_member(parse, object, "tpm2", json_type_object, &device);

	if (r == 0)
		r = get_member(parse, device, "pcrs", json_type_array, &pcrs);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(pcrs); i++) {
		json_object *pcr = json_object_array_get_idx(pcrs, i);
		int64_t number = json_object_get_int64(pcr);

		if (!json_object_is_type(pcr, json_type_int) || number < 0 || number >= XTSFS_TPM2_PCRS)
			return refuse(parse, XTSFS_EDAMAGED, "'pcrs' has an item that is not 0 to %u",
				      XTSFS_TPM2_PCRS - 1);
		tpm2->pcr_mask |= 1U << number;
	}
	r = get_bytes(parse, device, "parent", tpm2->parent, sizeof(tpm2->parent));
	if (r == 0)
		r = get_blob(parse, device, "public", tpm2->public, sizeof(tpm2->public), &tpm2->public_bytes);
	if (r == 0)
		r = get_blob(parse, device, "private", tpm2->private, sizeof(tpm2->private), &tpm2->private_bytes);
	return r;
}

static int parse_fido2(struct parse *parse, json_object *object, struct xtsfs_slot_fido2 *fido2)
{
	json_object *device, *touch;
	const char *user;
	int r = get_member(parse, object, "fido2", json_type_object, &device);

	if (r == 0)
		r = get_blob(parse, device, "credential", fido2->credential, sizeof(fido2->credential),
			     &fido2->credential_bytes);
	if (r == 0)
		r = get_bytes(parse, device, "salt", fido2->salt, sizeof(fido2->salt));
	if (r == 0)
		r = get_member(parse, device, "touch", json_type_boolean, &touch);
	if (r == 0)
		r = get_text(parse, device, "user", TEXT_MAX, &user);
	if (r < 0)
		return r;
	fido2->touch = json_object_get_boolean(touch);
	for (unsigned i = 0; i < XTSFS_FIDO2_USER__COUNT; i++)
		if (strcmp(user, xtsfs_fido2_user_name((enum xtsfs_fido2_user)i)) == 0) {
			fido2->user = (enum xtsfs_fido2_user)i;
			return 0;
		}
	return refuse(parse, XTSFS_EDAMAGED, "'user' is '%s', not one of the known", show(user).text);
}

/* What only slots have that we can open. */
static int parse_slot_keys(struct parse *parse, json_object *object, json_object *kdf, struct xtsfs_slot *slot)
{
	json_object *wrap;
	int r;

	r = get_bytes(parse, kdf, "salt", slot->salt, sizeof(slot->salt));
	if (r == 0 && slot->argon2)
		r = parse_argon2(parse, kdf, slot);
	if (r == 0 && slot->kind == XTSFS_SLOT_TPM2)
		r = parse_tpm2(parse, object, &slot->tpm2);
	if (r == 0 && slot->kind == XTSFS_SLOT_FIDO2)
		r = parse_fido2(parse, object, &slot->fido2);
	if (r == 0)
		r = get_member(parse, object, "wrap", json_type_object, &wrap);
	if (r == 0)
		r = get_bytes(parse, wrap, "nonce", slot->nonce, sizeof(slot->nonce));
	if (r == 0)
		r = get_bytes(parse, wrap, "key", slot->wrapped_key, sizeof(slot->wrapped_key));
	if (r == 0)
		r = get_bytes(parse, wrap, "tag", slot->tag, sizeof(slot->tag));
	return r;
}

static int parse_slot(struct parse *parse, json_object *object, struct xtsfs_slot *slot)
{
	const char *name, *kind, *kdf_type;
	json_object *kdf;
	int64_t id;
	int r;

	if (!json_object_is_type(object, json_type_object))
		return refuse(parse, XTSFS_EDAMAGED, "it is not of type object");
	r = get_integer(parse, object, "id", 0, XTSFS_CONFIG_SLOTS - 1, XTSFS_EDAMAGED, &id);
	if (r < 0)
		return r;
	slot->id = (unsigned)id;
	snprintf(parse->where, sizeof(parse->where), "slot %u: ", slot->id);

	r = get_text(parse, object, "name", XTSFS_SLOT_NAME_MAX, &name);
	if (r < 0)
		return r;
	strcpy(slot->name, name);
	r = get_time(parse, object, "created", slot->created, sizeof(slot->created));
	if (r < 0)
		return r;
	r = get_text(parse, object, "kind", TEXT_MAX, &kind);
	if (r < 0)
		return r;
	r = get_member(parse, object, "kdf", json_type_object, &kdf);
	if (r < 0)
		return r;
	r = get_text(parse, kdf, "type", TEXT_MAX, &kdf_type);
	if (r < 0)
		return r;
	slot->kind = xtsfs_slot_kind_parse(kind, kdf_type, &slot->argon2);
	slot->unknown = object;
	return slot->kind == XTSFS_SLOT_UNKNOWN ? 0 : parse_slot_keys(parse, object, kdf, slot);
}

static int parse_slots(struct parse *parse, json_object *root, struct xtsfs_config *config)
{
	unsigned used = 0;
	json_object *slots;
	size_t count;
	int r = get_member(parse, root, "slots", json_type_array, &slots);

	if (r < 0)
		return r;
	count = json_object_array_length(slots);
	if (count > XTSFS_CONFIG_SLOTS)
		return refuse(parse, XTSFS_EDAMAGED, "there are %zu slots, not 0 to %u", count, XTSFS_CONFIG_SLOTS);
	for (size_t i = 0; i < count; i++) {
		struct xtsfs_slot *slot = &config->slots[i];

		snprintf(parse->where, sizeof(parse->where), "'slots'[%zu]: ", i);
		r = parse_slot(parse, json_object_array_get_idx(slots, i), slot);
		if (r < 0)
			return r;
		parse->where[0] = '\0';
		if (used & 1U << slot->id)
			return refuse(parse, XTSFS_EDAMAGED, "there are two slots %u", slot->id);
		used |= 1U << slot->id;
		config->slot_count++;
	}
	return 0;
}

/* An array of strings. */
static int check_names(struct parse *parse, json_object *features, const char *name, json_object **ret_array)
{
	json_object *array;
	int r = get_member(parse, features, name, json_type_array, &array);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(array); i++)
		if (!json_object_is_type(json_object_array_get_idx(array, i), json_type_string))
			return refuse(parse, XTSFS_EDAMAGED, "'%s' has an item that is not of type string", name);
	*ret_array = array;
	return 0;
}

/* May this program read the rest? */
static int parse_version(struct parse *parse, json_object *root, bool *ret_reencrypting)
{
	json_object *version, *features, *names;
	int r;

	r = get_member(parse, root, "xtsfs", json_type_int, &version);
	if (r < 0)
		return r;
	if (json_object_get_int64(version) != XTSFS_CONFIG_VERSION)
		return refuse(parse, XTSFS_EFEATURE, "format version %lld is not known, only %d",
			      (long long)json_object_get_int64(version), XTSFS_CONFIG_VERSION);
	r = get_member(parse, root, "features", json_type_object, &features);
	if (r == 0)
		r = check_names(parse, features, "compatible", &names);
	if (r == 0)
		r = check_names(parse, features, "incompatible", &names);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));

		if (strcmp(name, XTSFS_CONFIG_REENCRYPT) != 0)
			return refuse(parse, XTSFS_EFEATURE, "incompatible feature '%s' is not known", show(name).text);
		*ret_reencrypting = true;
	}
	return 0;
}

/* What replaces the volume key, or has (spec 14.1). */
static int parse_generation(struct parse *parse, json_object *root, struct xtsfs_config *config)
{
	json_object *member;
	int64_t generation = 0;
	int r = 0;

	if (json_object_object_get_ex(root, "key_generation", &member))
		r = get_integer(parse, root, "key_generation", 0, XTSFS_KEY_GENERATION_MAX, XTSFS_EDAMAGED,
				&generation);
	config->key_generation = (uint32_t)generation;
	if (r < 0 || !config->reencrypting) {
		if (r == 0 && json_object_object_get_ex(root, XTSFS_CONFIG_REENCRYPT, &member))
			return refuse(parse, XTSFS_EDAMAGED, "'%s' is there without its feature",
				      XTSFS_CONFIG_REENCRYPT);
		return r;
	}
	r = get_member(parse, root, XTSFS_CONFIG_REENCRYPT, json_type_object, &member);
	if (r == 0)
		r = get_bytes(parse, member, "nonce", config->old_key.nonce, sizeof(config->old_key.nonce));
	if (r == 0)
		r = get_bytes(parse, member, "key", config->old_key.wrapped_key, sizeof(config->old_key.wrapped_key));
	if (r == 0)
		r = get_bytes(parse, member, "tag", config->old_key.tag, sizeof(config->old_key.tag));
	return r;
}

/* Cut to what fits, between characters. */
static void copy_cut(char *ret_text, size_t room, const char *text)
{
	size_t bytes = strlen(text);

	if (bytes >= room)
		for (bytes = room - 1; bytes > 0 && ((uint8_t)text[bytes] & 0xc0) == 0x80;)
			bytes--;
	memcpy(ret_text, text, bytes);
	ret_text[bytes] = '\0';
}

static int parse_root(struct parse *parse, json_object *root, struct xtsfs_config *config)
{
	const char *uuid, *writer, *integrity;
	int64_t sector_bytes, content_keys;
	int r = parse_version(parse, root, &config->reencrypting);

	if (r < 0)
		return r;
	r = get_text(parse, root, "uuid", TEXT_MAX, &uuid);
	if (r < 0)
		return r;
	if (xtsfs_uuid_parse(uuid, config->uuid) < 0)
		return refuse(parse, XTSFS_EDAMAGED, "'uuid' is not a UUID in lower case");
	r = get_time(parse, root, "created", config->created, sizeof(config->created));
	if (r < 0)
		return r;
	r = get_text(parse, root, "writer", TEXT_MAX, &writer);
	if (r < 0)
		return r;
	copy_cut(config->writer, sizeof(config->writer), writer);
	r = get_integer(parse, root, "sector_bytes", 4096, 4096, XTSFS_EDAMAGED, &sector_bytes);
	if (r < 0)
		return r;
	r = get_text(parse, root, "integrity", TEXT_MAX, &integrity);
	if (r < 0)
		return r;
	if (xtsfs_integrity_parse(integrity, &config->integrity) < 0)
		return refuse(parse, XTSFS_EDAMAGED, "'integrity' is '%s', not one of the known", show(integrity).text);
	r = get_integer(parse, root, "content_keys", 1, 256, XTSFS_EDAMAGED, &content_keys);
	if (r < 0)
		return r;
	if ((content_keys & (content_keys - 1)) != 0)
		return refuse(parse, XTSFS_EDAMAGED, "'content_keys' is %lld, not a power of two",
			      (long long)content_keys);
	config->content_keys = (unsigned)content_keys;
	r = parse_generation(parse, root, config);
	if (r < 0)
		return r;
	return parse_slots(parse, root, config);
}

/* Members of all objects in the tree, which is at most XTSFS_CONFIG_DEPTH deep. */
static size_t count_members(json_object *value)
{
	size_t members = 0;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, name, member)
		{
			(void)name;
			members += 1 + count_members(member);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			members += count_members(json_object_array_get_idx(value, i));
	}
	return members;
}

static int parse_tree(struct parse *parse, const char *text, size_t bytes, json_object **ret_root)
{
	enum json_tokener_error error;
	json_tokener *tokener;
	json_object *root;
	size_t members;
	int r = xtsfs_config_scan(text, bytes, &members, parse->problem, parse->problem_bytes);

	if (r < 0)
		return r;
	tokener = json_tokener_new_ex(XTSFS_CONFIG_DEPTH + 1);
	if (!tokener)
		return -ENOMEM;
	/* The scan is strict. JSON_TOKENER_STRICT of json-c 0.18 refuses all that is not ASCII (json-c issue 875). */
	root = json_tokener_parse_ex(tokener, text, (int)bytes);
	error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	if (!root && error == json_tokener_success)
		return refuse(parse, XTSFS_EDAMAGED, "it is not an object");
	if (!root) /* the scan passed it: what is left is want of memory, which this version cannot tell apart */
		return refuse(parse, XTSFS_EDAMAGED, "%s", json_tokener_error_desc(error));

	if (!json_object_is_type(root, json_type_object))
		r = refuse(parse, XTSFS_EDAMAGED, "it is not an object");
	else if (count_members(root) != members)
		r = refuse(parse, XTSFS_EDAMAGED, "a member occurs twice");
	if (r < 0) {
		json_object_put(root);
		return r;
	}
	*ret_root = root;
	return 0;
}

static int parse_ending(struct parse *parse, const char *text, size_t bytes, uint8_t *ret_hmac)
{
	const size_t open_bytes = sizeof(XTSFS_CONFIG_HMAC_OPEN) - 1, close_bytes = sizeof(XTSFS_CONFIG_HMAC_CLOSE) - 1;
	const char *end = text + bytes - XTSFS_CONFIG_ENDING_BYTES;

	if (bytes < XTSFS_CONFIG_ENDING_BYTES || memcmp(end, XTSFS_CONFIG_HMAC_OPEN, open_bytes) != 0 ||
	    memcmp(end + open_bytes + XTSFS_CONFIG_HMAC_CHARS, XTSFS_CONFIG_HMAC_CLOSE, close_bytes) != 0 ||
	    xtsfs_base64_decode(end + open_bytes, XTSFS_CONFIG_HMAC_CHARS, ret_hmac) < 0)
		return refuse(parse, XTSFS_EDAMAGED, "it does not end with the member 'hmac', as if it were cut off");
	return 0;
}

/* Found at the end of the text; is it the member of that name, too, and not the end of another's? */
static int check_hmac_last(struct parse *parse, json_object *root)
{
	const char *last = "";

	json_object_object_foreach(root, name, member)
	{
		(void)member;
		last = name;
	}
	return strcmp(last, "hmac") == 0 ? 0 : refuse(parse, XTSFS_EDAMAGED, "'hmac' is not its last member");
}

int xtsfs_config_parse(const char *text, size_t bytes, struct xtsfs_config **ret_config,
		       size_t *ret_authenticated_bytes, uint8_t ret_hmac[static XTSFS_CONFIG_HMAC_BYTES],
		       char *ret_problem, size_t problem_bytes)
{
	struct parse parse = {.problem = ret_problem, .problem_bytes = problem_bytes};
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	struct xtsfs_config *config;
	json_object *root = NULL;
	int r;

	if (bytes == 0)
		return refuse(&parse, XTSFS_EDAMAGED, "it is empty");
	if (bytes > XTSFS_CONFIG_MAX_BYTES)
		return refuse(&parse, XTSFS_EDAMAGED, "it is longer than %u bytes", XTSFS_CONFIG_MAX_BYTES);
	r = parse_ending(&parse, text, bytes, hmac);
	if (r == 0)
		r = parse_tree(&parse, text, bytes, &root);
	if (r < 0)
		return r;

	config = calloc(1, sizeof(*config));
	if (!config) {
		json_object_put(root);
		return -ENOMEM;
	}
	config->document = root;
	r = check_hmac_last(&parse, root);
	if (r == 0)
		r = parse_root(&parse, root, config);
	if (r < 0) {
		xtsfs_config_free(config);
		return r;
	}
	*ret_config = config;
	*ret_authenticated_bytes = bytes - XTSFS_CONFIG_ENDING_BYTES;
	memcpy(ret_hmac, hmac, sizeof(hmac));
	return 0;
}
