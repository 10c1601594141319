/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfs.conf and its keyslots (spec 4): from any text, what is parsed is within its bounds, comes back when it is
 * printed and parsed again, and costs no memory or time that the text asks for.
 *
 * Input: a byte of mode, and either the text itself, or edits of a valid one. An edit is a byte: below 100 that value
 * becomes a number of 4 bytes, below 200 a text (its length, its bytes), else two bytes say where, one how many bytes
 * go, one how many come. Then the ending that the format wants may be put behind it, with an HMAC that is right.
 */
#include "fuzz.h"

#include "base/base64.h"
#include "core/conf.h"
#include "core/keyslot.h"
#include "format/config.h"
#include "store/memory.h"

enum mode {
	MODE_EDITS = 1,	 /* of a valid text, else the text */
	MODE_ENDING = 2, /* with the ending put behind it */
	MODE_SLOTS = 4,	 /* and slots changed and saved */
	MODE_PASSPHRASE = 8
};

static const char *const base_text =
	"{\n  \"xtsfs\": 1,\n  \"uuid\": \"00112233-4455-6677-8899-aabbccddeeff\",\n"
	"  \"created\": \"2026-01-31T12:00:00Z\",\n  \"writer\": \"xtsfs\",\n"
	"  \"features\": { \"incompatible\": [ ], \"compatible\": [ \"later\" ] },\n"
	"  \"sector_bytes\": 4096,\n  \"integrity\": \"aes-gmac\",\n  \"content_keys\": 1,\n  \"more\": [ 1, { \"a\": "
	"null } ],\n"
	"  \"slots\": [\n"
	"    { \"id\": 0, \"name\": \"one\", \"kind\": \"keyfile\", \"created\": \"2026-01-31T12:00:00Z\",\n"
	"      \"kdf\": { \"type\": \"hkdf-sha512\", \"salt\": \"@SALT\" },\n"
	"      \"wrap\": { \"nonce\": \"@NONCE\", \"key\": \"@KEY\", \"tag\": \"@TAG\" } },\n"
	"    { \"id\": 1, \"name\": \"\", \"kind\": \"passphrase\", \"created\": \"2026-01-31T12:00:00.25Z\",\n"
	"      \"kdf\": { \"type\": \"argon2id\", \"salt\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\n"
	"        \"time\": 4, \"memory_kib\": 32768, \"parallel\": 4 },\n"
	"      \"wrap\": { \"nonce\": \"AAAAAAAAAAAAAAAA\", \"key\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\n"
	"        \"tag\": \"AAAAAAAAAAAAAAAAAAAAAA\", \"extra\": \"\\u00e9\" } },\n"
	"    { \"id\": 15, \"name\": \"t\", \"kind\": \"token\", \"created\": \"2026-01-31T12:00:00Z\",\n"
	"      \"kdf\": { \"type\": \"other\", \"time\": 9999999 } },\n"
	"    { \"id\": 7, \"name\": \"m\", \"kind\": \"keyfile\", \"created\": \"2026-01-31T12:00:00Z\",\n"
	"      \"kdf\": { \"type\": \"argon2id\", \"memory_kib\": -1 } }\n"
	"  ],\n  ";

static struct xtsfs_secret *volume_key, *keyfile;
static char *valid; /* base_text with a slot that the keyfile opens */

static char *replaced(char *text, const char *what, const uint8_t *data, size_t bytes)
{
	char *at = strstr(text, what), *out = malloc(strlen(text) + 128);

	memcpy(out, text, (size_t)(at - text));
	xtsfs_base64_encode(data, bytes, out + (at - text));
	strcat(out, at + strlen(what));
	free(text);
	return out;
}

static void init(void)
{
	static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	struct xtsfs_unlock with = {.slot = -1};
	struct xtsfs_slot slot = {0};

	if (valid)
		return;
	FUZZ_CHECK(xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &volume_key) == 0 && xtsfs_secret_new(32, &keyfile) == 0,
		   "memory");
	memset(volume_key->data, 7, volume_key->bytes);
	memset(keyfile->data, 'k', keyfile->bytes);
	with.keyfile = keyfile;
	FUZZ_CHECK(xtsfs_keyslot_seal(&slot, uuid, &with, NULL, volume_key) == 0, "sealing");
	valid = replaced(strdup(base_text), "@SALT", slot.salt, sizeof(slot.salt));
	valid = replaced(valid, "@NONCE", slot.nonce, sizeof(slot.nonce));
	valid = replaced(valid, "@KEY", slot.wrapped_key, sizeof(slot.wrapped_key));
	valid = replaced(valid, "@TAG", slot.tag, sizeof(slot.tag));
}

/* Where the value behind colon or bracket number @which of the text is, and how long: to the end of its line or the
 * next comma. */
static size_t value_at(const char *text, size_t bytes, unsigned which, size_t *ret_bytes)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < bytes; i++)
		count += text[i] == ':' || text[i] == '[';
	which = count ? which % (unsigned)count : 0;
	for (unsigned seen = 0; at < bytes; at++)
		if ((text[at] == ':' || text[at] == '[') && seen++ == which)
			break;
	at = at + 2 > bytes ? bytes : at + 2;
	*ret_bytes = 0;
	while (at + *ret_bytes < bytes && !strchr(",\n}]", text[at + *ret_bytes]))
		++*ret_bytes;
	return at;
}

static char *edited(struct fuzz_input *input, size_t *ret_bytes)
{
	size_t bytes = strlen(valid), room = bytes + input->left + 2000;
	char *text = malloc(room + 1);

	memcpy(text, valid, bytes + 1);
	for (unsigned edits = 0; input->left && edits < 64; edits++) {
		uint8_t kind = fuzz_byte(input);
		size_t where, gone, come;
		const uint8_t *data;
		char number[24];

		if (kind < 200) {
			where = value_at(text, bytes, kind % 100, &gone);
		} else {
			where = (size_t)fuzz_number(input, 2) % (bytes + 1);
			gone = fuzz_byte(input);
		}
		if (kind < 100) {
			come = (size_t)snprintf(number, sizeof(number), "%lld",
						(long long)(int32_t)fuzz_number(input, 4));
			data = (const uint8_t *)number;
		} else {
			data = fuzz_take(input, fuzz_byte(input), &come);
		}
		if (bytes + come > room)
			break;
		if (gone > bytes - where)
			gone = bytes - where;
		memmove(text + where + come, text + where + gone, bytes - where - gone);
		memcpy(text + where, data, come);
		bytes += come - gone;
	}
	*ret_bytes = bytes;
	return text;
}

/* With the HMAC that the test key gives, if the text is one that can be parsed. */
static char *with_ending(char *text, size_t *bytes)
{
	static const uint8_t none[XTSFS_CONFIG_HMAC_BYTES];
	struct xtsfs_config *config = NULL;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES], key[32], ignored[XTSFS_CONFIG_HMAC_BYTES];
	size_t authenticated_bytes, file_bytes, prefix_bytes = *bytes;
	char problem[64], *file;

	if (xtsfs_config_finish(text, *bytes, none, &file, &file_bytes) < 0)
		return text;
	if (xtsfs_config_parse(file, file_bytes, &config, &authenticated_bytes, ignored, problem, sizeof(problem)) ==
	    0) {
		FUZZ_CHECK(authenticated_bytes == prefix_bytes, "%zu bytes are authenticated", authenticated_bytes);
		FUZZ_CHECK(xtsfs_hkdf_sha512(volume_key->data, volume_key->bytes, config->uuid, 16, "xtsfs v1 config",
					     key, sizeof(key)) == 0 &&
				   xtsfs_hmac_sha256(key, sizeof(key), text, *bytes, hmac) == 0,
			   "the HMAC");
		free(file);
		if (xtsfs_config_finish(text, *bytes, hmac, &file, &file_bytes) < 0)
			file = NULL;
		FUZZ_CHECK(file, "finishing it again");
	}
	xtsfs_config_free(config);
	free(text);
	*bytes = file_bytes;
	return file;
}

static void check_bounds(const struct xtsfs_config *config)
{
	unsigned ids = 0;

	FUZZ_CHECK(config->slot_count <= XTSFS_CONFIG_SLOTS, "%u slots", config->slot_count);
	FUZZ_CHECK(config->content_keys >= 1 && config->content_keys <= 256 &&
			   (config->content_keys & (config->content_keys - 1)) == 0,
		   "%u content keys", config->content_keys);
	FUZZ_CHECK((unsigned)config->integrity < XTSFS_INTEGRITY__COUNT, "integrity %d", (int)config->integrity);
	for (unsigned i = 0; i < config->slot_count; i++) {
		const struct xtsfs_slot *slot = &config->slots[i];
		const struct xtsfs_argon2 params = {slot->argon2_time, slot->argon2_memory_kib, slot->argon2_parallel};

		FUZZ_CHECK(slot->id < XTSFS_CONFIG_SLOTS && !(ids & 1U << slot->id), "slot id %u", slot->id);
		ids |= 1U << slot->id;
		FUZZ_CHECK(strlen(slot->name) <= XTSFS_SLOT_NAME_MAX, "a name of %zu bytes", strlen(slot->name));
		FUZZ_CHECK(!slot->argon2 || xtsfs_argon2_check(&params) == 0, "costs %u, %u KiB, %u", params.time,
			   params.memory_kib, params.parallel);
	}
}

static void check_same(const struct xtsfs_config *a, const struct xtsfs_config *b)
{
	FUZZ_CHECK(memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 && strcmp(a->created, b->created) == 0 &&
			   strcmp(a->writer, b->writer) == 0 && a->integrity == b->integrity &&
			   a->content_keys == b->content_keys && a->slot_count == b->slot_count,
		   "the configuration differs");
	for (unsigned i = 0; i < a->slot_count; i++) {
		struct xtsfs_slot x = a->slots[i], y = b->slots[i];

		x.unknown = y.unknown = NULL;
		FUZZ_CHECK(x.id == y.id && x.kind == y.kind && strcmp(x.name, y.name) == 0 &&
				   strcmp(x.created, y.created) == 0 && memcmp(x.salt, y.salt, sizeof(x.salt)) == 0 &&
				   memcmp(&x.tpm2, &y.tpm2, sizeof(x.tpm2)) == 0 &&
				   memcmp(&x.fido2, &y.fido2, sizeof(x.fido2)) == 0 && x.argon2_time == y.argon2_time &&
				   x.argon2_memory_kib == y.argon2_memory_kib &&
				   x.argon2_parallel == y.argon2_parallel &&
				   memcmp(x.nonce, y.nonce, sizeof(x.nonce)) == 0 &&
				   memcmp(x.wrapped_key, y.wrapped_key, sizeof(x.wrapped_key)) == 0 &&
				   memcmp(x.tag, y.tag, sizeof(x.tag)) == 0,
			   "slot %u differs", x.id);
	}
}

static char *printed(const struct xtsfs_config *config, size_t *ret_bytes)
{
	static const uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES] = {1};
	char *text, *file;
	size_t bytes;
	int r;

	FUZZ_CHECK(xtsfs_config_print(config, &text, &bytes) == 0, "printing");
	r = xtsfs_config_finish(text, bytes, hmac, &file, ret_bytes);
	free(text);
	return r < 0 ? NULL : file; /* too long: blanks were added */
}

/* Printed, parsed, and printed again it is the same. */
static void check_round_trip(const struct xtsfs_config *config)
{
	struct xtsfs_config *again = NULL;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	size_t bytes, more_bytes, authenticated_bytes;
	char problem[256] = "", *file = printed(config, &bytes), *more;
	int r;

	if (!file)
		return;
	r = xtsfs_config_parse(file, bytes, &again, &authenticated_bytes, hmac, problem, sizeof(problem));
	FUZZ_CHECK(r == 0, "what was printed is refused: %s", problem);
	check_same(config, again);
	more = printed(again, &more_bytes);
	FUZZ_CHECK(more && more_bytes == bytes && memcmp(file, more, bytes) == 0, "printed again it differs");
	free(more);
	free(file);
	xtsfs_config_free(again);
}

static void check_slots(struct xtsfs_conf *conf)
{
	const struct xtsfs_unlock with = {.keyfile = keyfile, .slot = -1};
	struct xtsfs_store *store;
	struct xtsfs_conf *loaded = NULL;
	struct xtsfs_secret *key = NULL;
	char problem[256];
	unsigned slot = 99;
	int r;

	FUZZ_CHECK(xtsfs_store_memory_new(&store) == 0, "memory");
	r = xtsfs_conf_add_slot(conf, volume_key, &with, NULL, "new", &slot);
	FUZZ_CHECK(r == 0 || (r == -ENOSPC && conf->config->slot_count == XTSFS_CONFIG_SLOTS), "adding gave %d", r);
	r = xtsfs_conf_remove_slot(conf, 0);
	FUZZ_CHECK(r == 0 || r == -ENOENT, "removing gave %d", r);
	r = xtsfs_conf_save(store, conf, volume_key, true);
	FUZZ_CHECK(r == 0 || r == -EFBIG || r == -EINVAL, "saving gave %d", r);
	if (r == 0) {
		r = xtsfs_conf_load(store, "xtsfs.conf", &loaded, problem, sizeof(problem));
		FUZZ_CHECK(r == 0, "what was saved is refused: %s", problem);
		check_same(conf->config, loaded->config);
		r = xtsfs_conf_unlock(loaded, &with, &key, NULL);
		FUZZ_CHECK(r == 0 || slot == 99 || slot == 0, "what was saved does not open: %d", r);
		xtsfs_secret_free(key);
		xtsfs_conf_free(loaded);
	}
	xtsfs_store_free(store);
}

static void unlock(const struct xtsfs_conf *conf, uint8_t mode, bool ended)
{
	struct xtsfs_unlock with = {.slot = mode & 0x80 ? mode >> 4 & 7 : -1};
	struct xtsfs_secret *key = NULL;
	int r, slot = -1;

	FUZZ_CHECK(fuzz_costs().calls == 0, "parsing asked for Argon2id");
	*(mode & MODE_PASSPHRASE ? &with.passphrase : &with.keyfile) = keyfile;
	r = xtsfs_conf_unlock(conf, &with, &key, &slot);
	FUZZ_CHECK(r == 0 || r == -XTSFS_EPASS || r == -XTSFS_EAUTH || r == -EINVAL, "unlocking gave %d", r);
	FUZZ_CHECK(fuzz_costs().memory_kib <= 4194304 && fuzz_costs().work <= 1U << 28, "a cost out of bounds");
	FUZZ_CHECK(r != 0 || (ended && memcmp(key->data, volume_key->data, key->bytes) == 0 && slot >= 0),
		   "a text that nobody with the key wrote was opened");
	xtsfs_secret_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input input;
	struct xtsfs_conf *conf = NULL;
	char problem[256] = "", *text;
	size_t text_bytes;
	uint8_t mode;
	int r;

	init();
	input = fuzz_begin(data, bytes);
	mode = fuzz_byte(&input);
	if (mode & MODE_EDITS) {
		text = edited(&input, &text_bytes);
	} else {
		const uint8_t *at = fuzz_take(&input, SIZE_MAX, &text_bytes);

		text = malloc(text_bytes + 1);
		memcpy(text, at, text_bytes);
	}
	if (mode & MODE_ENDING)
		text = with_ending(text, &text_bytes);
	r = xtsfs_conf_parse(text, text_bytes, &conf, problem, sizeof(problem));
	FUZZ_CHECK(r == 0 || r == -XTSFS_EDAMAGED || r == -XTSFS_EFEATURE || r == -ERANGE, "parsing gave %d", r);
	FUZZ_CHECK(r == 0 || problem[0], "no word about the problem");
	for (const char *c = problem; *c; c++)
		FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 127, "a message with control characters");
	if (r == 0) {
		check_bounds(conf->config);
		check_round_trip(conf->config);
		unlock(conf, mode, mode & MODE_ENDING);
		if (mode & MODE_SLOTS)
			check_slots(conf);
	}
	xtsfs_conf_free(conf);
	free(text);
	return 0;
}
