/* SPDX-License-Identifier: Apache-2.0 */
/* xtsfs.conf: the vectors, what must be refused and with which error, and that rewriting keeps what is unknown. */
#undef NDEBUG
#include "unit.h"

#include "base/base64.h"
#include "format/config.h"

#include <json-c/json.h>

#define PROBLEM_BYTES 256

/* A good file with one slot of each kind and unknown members at every level, for tests to spoil. */
static const char good[] =
	"{\n"
	"  \"xtsfs\": 1,\n"
	"  \"uuid\": \"00112233-4455-6677-8899-aabbccddeeff\",\n"
	"  \"created\": \"2024-01-02T03:04:05Z\",\n"
	"  \"writer\": \"somebody 7\",\n"
	"  \"features\": {\"incompatible\": [], \"compatible\": [\"colour\"], \"later\": [1]},\n"
	"  \"sector_bytes\": 4096,\n"
	"  \"integrity\": \"hmac-sha256\",\n"
	"  \"content_keys\": 8,\n"
	"  \"slots\": [\n"
	"    {\"id\": 0, \"name\": \"first\", \"kind\": \"passphrase\", \"created\": \"2024-01-02T03:04:05.25Z\",\n"
	"     \"kdf\": {\"type\": \"argon2id\", \"salt\": \"YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8\",\n"
	"             \"time\": 3, \"memory_kib\": 256, \"parallel\": 4, \"tempo\": -5},\n"
	"     \"wrap\": {\"nonce\": \"gIGCg4SFhoeIiYqL\", \"key\": \"VtunTfY2Xr44rWkj7VfK_xyeKE03dnMv0No9IzAOLyk\",\n"
	"              \"tag\": \"AUopB5xPsWy7PonCzU7-3w\", \"paper\": \"gift\"}, \"note\": \"\\u00e9\\ud83d\\ude00 "
	"\303\251\"},\n"
	"    {\"id\": 3, \"name\": \"usb\", \"kind\": \"keyfile\", \"created\": \"2024-01-02T03:04:05Z\",\n"
	"     \"kdf\": {\"type\": \"hkdf-sha512\", \"salt\": \"YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8\"},\n"
	"     \"wrap\": {\"nonce\": \"gIGCg4SFhoeIiYqL\", \"key\": \"XW1khBYoz0peMuh1msGEGkFOWKtf41JbvlgJWvgZH4Y\",\n"
	"              \"tag\": \"qgobmDSbv3_fzvicXPPfxg\"}},\n"
	"    {\"id\": 15, \"name\": \"token\", \"kind\": \"fido2\", \"created\": \"2024-01-02T03:04:05Z\",\n"
	"     \"kdf\": {\"type\": \"hmac-secret\", \"credential\": [1, {\"x\": null}]}}\n"
	"  ],\n"
	"  \"unknown\": {\"b\": [true, false, null, \"a/b\", 9223372036854775807, -9223372036854775808], \"a\": {}},\n"
	"  \"hmac\": \"jFYVLKPAa0YZxPCLf0ev8UvefV78Z7R4E6vvai5JHRA\"\n"
	"}\n";

static int parse(const char *text, size_t bytes, struct xtsfs_config **ret_config, char *ret_problem)
{
	/* Exactly as long as it is said to be, so that reading past the end is seen. */
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	char *copy = malloc(bytes ? bytes : 1);
	size_t authenticated_bytes;
	int r;

	assert_non_null(copy);
	memcpy(copy, text, bytes);
	ret_problem[0] = '\0';
	r = xtsfs_config_parse(copy, bytes, ret_config, &authenticated_bytes, hmac, ret_problem, PROBLEM_BYTES);
	free(copy);
	if (r < 0 && r != -ENOMEM)
		assert_int_not_equal(ret_problem[0], '\0');
	return r;
}

/* @text with the first @from replaced by @to; caller frees. */
static char *edit(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *edited;

	if (!at)
		fail_msg("not in the text: %s", from);
	assert_int_not_equal(asprintf(&edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)), -1);
	return edited;
}

static json_object *load_vectors(void)
{
	const char *dir = getenv("XTSFS_VECTORS");
	json_object *vectors;
	char path[4096];

	if (!dir)
		skip();
	snprintf(path, sizeof(path), "%s/format-v1.json", dir);
	vectors = json_object_from_file(path);
	assert_non_null(vectors);
	return vectors;
}

static json_object *member(json_object *object, const char *name)
{
	json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, name, &value));
	return value;
}

static void check_round_trip(const struct xtsfs_config *config, const uint8_t *hmac, struct xtsfs_config **ret_again)
{
	uint8_t hmac_again[XTSFS_CONFIG_HMAC_BYTES];
	size_t bytes, file_bytes, authenticated_bytes;
	char problem[PROBLEM_BYTES];
	char *text, *file;

	assert_int_equal(xtsfs_config_print(config, &text, &bytes), 0);
	assert_int_equal(xtsfs_config_finish(text, bytes, hmac, &file, &file_bytes), 0);
	assert_memory_equal(file, text, bytes);
	assert_int_equal(xtsfs_config_parse(file, file_bytes, ret_again, &authenticated_bytes, hmac_again, problem,
					    sizeof(problem)),
			 0);
	assert_int_equal(authenticated_bytes, bytes);
	assert_memory_equal(hmac_again, hmac, sizeof(hmac_again));
	free(text);
	free(file);
}

static void test_vectors(void **state)
{
	json_object *vectors = load_vectors(), *confs = member(vectors, "conf");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(confs); i++) {
		json_object *vector = json_object_array_get_idx(confs, i), *text = member(vector, "text");
		uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
		struct xtsfs_config *config, *again;
		char problem[PROBLEM_BYTES], uuid[XTSFS_UUID_CHARS + 1];
		size_t authenticated_bytes;

		assert_int_equal(xtsfs_config_parse(json_object_get_string(text),
						    (size_t)json_object_get_string_len(text), &config,
						    &authenticated_bytes, hmac, problem, sizeof(problem)),
				 0);
		assert_int_equal(authenticated_bytes, json_object_get_int64(member(vector, "covered_bytes")));
		unit_assert_hex(hmac, json_object_get_string(member(vector, "hmac_hex")));
		xtsfs_uuid_format(config->uuid, uuid);
		assert_string_equal(uuid, json_object_get_string(member(vectors, "uuid")));
		assert_string_equal(xtsfs_integrity_name(config->integrity),
				    json_object_get_string(member(vector, "integrity")));
		assert_int_equal(config->content_keys, json_object_get_int64(member(vector, "content_keys")));
		check_round_trip(config, hmac, &again);
		assert_true(json_object_equal(config->document, again->document));
		xtsfs_config_free(again);
		xtsfs_config_free(config);
	}
	json_object_put(vectors);
}

static void test_good(void **state)
{
	char problem[PROBLEM_BYTES];
	struct xtsfs_config *config;
	const struct xtsfs_slot *slots;

	(void)state;
	assert_int_equal(parse(good, strlen(good), &config, problem), 0);
	slots = config->slots;
	assert_string_equal(config->created, "2024-01-02T03:04:05Z");
	assert_string_equal(config->writer, "somebody 7");
	assert_int_equal(config->integrity, XTSFS_INTEGRITY_HMAC_SHA256);
	assert_int_equal(config->content_keys, 8);
	assert_int_equal(config->slot_count, 3);
	assert_int_equal(slots[0].id, 0);
	assert_int_equal(slots[0].kind, XTSFS_SLOT_PASSPHRASE);
	assert_string_equal(slots[0].name, "first");
	assert_string_equal(slots[0].created, "2024-01-02T03:04:05.25Z");
	assert_int_equal(slots[0].argon2_time, 3);
	assert_int_equal(slots[0].argon2_memory_kib, 256);
	assert_int_equal(slots[0].argon2_parallel, 4);
	unit_assert_hex(slots[0].salt, "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f");
	unit_assert_hex(slots[0].nonce, "808182838485868788898a8b");
	assert_int_equal(slots[1].id, 3);
	assert_int_equal(slots[1].kind, XTSFS_SLOT_KEYFILE);
	assert_int_equal(slots[2].id, 15);
	assert_int_equal(slots[2].kind, XTSFS_SLOT_UNKNOWN);
	xtsfs_config_free(config);
}

/* What is unknown stays, and with it everything else, since nothing was changed. */
static void test_keeps_unknown(void **state)
{
	const uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES] = {1, 2, 3};
	char problem[PROBLEM_BYTES];
	struct xtsfs_config *config, *again, *third;

	(void)state;
	assert_int_equal(parse(good, strlen(good), &config, problem), 0);
	check_round_trip(config, hmac, &again);
	json_object_object_del(config->document, "hmac");
	json_object_object_del(again->document, "hmac");
	assert_true(json_object_equal(config->document, again->document));

	/* Changes show, their neighbours stay, and a slot that goes takes its unknown members along. */
	strcpy(again->writer, "xtsfs 0");
	strcpy(again->slots[0].name, "renamed \"\\\n");
	again->slots[1] = again->slots[2];
	again->slot_count = 2;
	check_round_trip(again, hmac, &third);
	assert_string_equal(third->writer, "xtsfs 0");
	assert_string_equal(third->slots[0].name, "renamed \"\\\n");
	assert_int_equal(third->slot_count, 2);
	assert_int_equal(third->slots[1].id, 15);
	assert_true(json_object_equal(member(third->document, "unknown"), member(config->document, "unknown")));
	assert_true(json_object_equal(member(third->document, "features"), member(config->document, "features")));
	assert_true(json_object_equal(third->slots[1].unknown, config->slots[2].unknown));
	assert_true(
		json_object_equal(member(third->slots[0].unknown, "wrap"), member(config->slots[0].unknown, "wrap")));
	assert_true(
		json_object_equal(member(third->slots[0].unknown, "note"), member(config->slots[0].unknown, "note")));
	xtsfs_config_free(third);
	xtsfs_config_free(again);
	xtsfs_config_free(config);
}

static void test_new(void **state)
{
	const uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES] = {0xff};
	struct xtsfs_config config = {.created = "2026-01-02T03:04:05Z",
				      .writer = "w",
				      .integrity = XTSFS_INTEGRITY_NONE,
				      .content_keys = 256};
	struct xtsfs_config *again;

	(void)state;
	config.slot_count = 1;
	config.slots[0] = (struct xtsfs_slot){
		.id = 7, .kind = XTSFS_SLOT_PASSPHRASE, .argon2 = true, .created = "2026-01-02T03:04:05Z"};
	config.slots[0].argon2_time = 1;
	config.slots[0].argon2_memory_kib = 4194304;
	config.slots[0].argon2_parallel = 16;
	check_round_trip(&config, hmac, &again);
	assert_int_equal(again->slots[0].argon2_memory_kib, 4194304);
	assert_int_equal(again->content_keys, 256);
	xtsfs_config_free(again);
}

/* The volume key is being replaced: written, read, and taken out again, but for the count. */
static void test_reencrypting(void **state)
{
	const uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES] = {0xff};
	struct xtsfs_config config = {.created = "2026-01-02T03:04:05Z",
				      .writer = "w",
				      .content_keys = 1,
				      .key_generation = XTSFS_KEY_GENERATION_MAX,
				      .reencrypting = true};
	struct xtsfs_config *again, *ended;

	(void)state;
	memset(&config.old_key, 0xa5, sizeof(config.old_key));
	check_round_trip(&config, hmac, &again);
	assert_true(again->reencrypting && again->key_generation == XTSFS_KEY_GENERATION_MAX);
	assert_memory_equal(&again->old_key, &config.old_key, sizeof(config.old_key));
	again->reencrypting = false;
	memset(&again->old_key, 0, sizeof(again->old_key));
	check_round_trip(again, hmac, &ended);
	assert_false(ended->reencrypting);
	assert_int_equal(ended->key_generation, XTSFS_KEY_GENERATION_MAX);
	xtsfs_config_free(again);
	xtsfs_config_free(ended);
}

#define BAD_B64 "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8"

static const struct {
	const char *from, *to;
	int error;
	const char *problem; /* a part of it */
} edits[] = {
	/* versions and features, before anything else */
	{"\"xtsfs\": 1", "\"xtsfs\": 2", -EPROTO, "version 2"},
	{"\"xtsfs\": 1", "\"xtsfs\": 0", -EPROTO, "version 0"},
	{"\"xtsfs\": 1", "\"xtsfs\": -9223372036854775808", -EPROTO, "version -9223372036854775808"},
	{"\"xtsfs\": 1", "\"xtsfs\": \"1\"", -EUCLEAN, "'xtsfs' is not of type int"},
	{"\"xtsfs\": 1", "\"xtsfs\": true", -EUCLEAN, "'xtsfs'"},
	{"\"xtsfs\": 1,", "", -EUCLEAN, "'xtsfs' is missing"},
	{"\"incompatible\": []", "\"incompatible\": [\"squash\"]", -EPROTO, "'squash'"},
	{"\"incompatible\": []", "\"incompatible\": [\"a\\u001b[31m\\n\"]", -EPROTO, "'a\\x1b[31m\\x0a'"},
	{"\"incompatible\": []", "\"incompatible\": [7]", -EUCLEAN, "'incompatible'"},
	{"\"incompatible\": []", "\"incompatible\": [\"reencrypt\"]", -EUCLEAN, "'reencrypt' is missing"},
	{"\"incompatible\": []", "\"incompatible\": [\"reencrypt\", \"squash\"]", -EPROTO, "'squash'"},
	{"\"sector_bytes\": 4096", "\"reencrypt\": {}, \"sector_bytes\": 4096", -EUCLEAN, "without its feature"},
	{"\"sector_bytes\": 4096", "\"key_generation\": -1, \"sector_bytes\": 4096", -EUCLEAN,
	 "'key_generation' is -1"},
	{"\"sector_bytes\": 4096", "\"key_generation\": 2147483648, \"sector_bytes\": 4096", -EUCLEAN,
	 "'key_generation' is 2147483648"},
	{"\"sector_bytes\": 4096", "\"key_generation\": \"1\", \"sector_bytes\": 4096", -EUCLEAN, "'key_generation'"},
	{"\"incompatible\": []", "\"incompatible\": {}", -EUCLEAN, "'incompatible'"},
	{"\"incompatible\": [],", "", -EUCLEAN, "'incompatible' is missing"},
	{"\"colour\"", "null", -EUCLEAN, "'compatible'"},
	{"\"features\": {", "\"features\": [{", -EUCLEAN, ""},
	/* plain members */
	{"00112233-", "0011223-3", -EUCLEAN, "'uuid'"},
	{"aabbccddeeff", "AABBCCDDEEFF", -EUCLEAN, "'uuid'"},
	{"aabbccddeeff", "aabbccddeef", -EUCLEAN, "'uuid'"},
	{"aabbccddeeff", "aabbccddeefff", -EUCLEAN, "'uuid'"},
	{"aabbccddeeff", "aabbccddeefg", -EUCLEAN, "'uuid'"},
	{"2024-01-02T03:04:05Z", "2024-01-02 03:04:05Z", -EUCLEAN, "'created'"},
	{"2024-01-02T03:04:05Z", "2024-01-02T03:04:05", -EUCLEAN, "'created'"},
	{"2024-01-02T03:04:05Z", "2024-01-02T03:04:05+00:00", -EUCLEAN, "'created'"},
	{"2024-01-02T03:04:05Z", "2024-01-02T03:04:05.Z", -EUCLEAN, "'created'"},
	{"2024-01-02T03:04:05Z", "2024-01-02T03:04:05.000000000000Z", -EUCLEAN, "'created'"},
	{"2024-01-02T03:04:05Z", "", -EUCLEAN, "'created'"},
	{"\"somebody 7\"", "7", -EUCLEAN, "'writer'"},
	{"4096", "4095", -EUCLEAN, "'sector_bytes' is 4095"},
	{"4096", "512", -EUCLEAN, "'sector_bytes'"},
	{"hmac-sha256", "hmac-sha-256", -EUCLEAN, "'integrity' is 'hmac-sha-256'"},
	{"hmac-sha256", "None", -EUCLEAN, "'integrity'"},
	{"\"content_keys\": 8", "\"content_keys\": 0", -EUCLEAN, "'content_keys' is 0"},
	{"\"content_keys\": 8", "\"content_keys\": 3", -EUCLEAN, "power of two"},
	{"\"content_keys\": 8", "\"content_keys\": 512", -EUCLEAN, "'content_keys' is 512"},
	{"\"content_keys\": 8", "\"content_keys\": -1", -EUCLEAN, "'content_keys' is -1"},
	/* slots */
	{"\"slots\": [", "\"slots\": [3,", -EUCLEAN, "'slots'[0]"},
	{"\"id\": 0", "\"id\": 16", -EUCLEAN, "'id' is 16"},
	{"\"id\": 0", "\"id\": -1", -EUCLEAN, "'id' is -1"},
	{"\"id\": 0", "\"id\": 3", -EUCLEAN, "two slots 3"},
	{"\"id\": 15", "\"id\": 0", -EUCLEAN, "two slots 0"},
	{"\"first\"", "\"0123456789012345678901234567890123456789012345678901234567890123\303\251\"", -EUCLEAN,
	 "slot 0: 'name' has more than 64 bytes"},
	{"\"first\"", "null", -EUCLEAN, "slot 0: 'name'"},
	{"\"kind\": \"passphrase\",", "", -EUCLEAN, "slot 0: 'kind' is missing"},
	{"\"token\"", "1", -EUCLEAN, "slot 15: 'name'"},
	{"\"hmac-secret\"", "1", -EUCLEAN, "slot 15: 'type'"},
	{"2024-01-02T03:04:05.25Z", "yesterday", -EUCLEAN, "slot 0: 'created'"},
	/* costs */
	{"\"time\": 3", "\"time\": 0", -ERANGE, "slot 0: 'time' is 0"},
	{"\"time\": 3", "\"time\": 1025", -ERANGE, "'time' is 1025"},
	{"\"time\": 3", "\"time\": 4294967297", -ERANGE, "'time'"},
	{"\"time\": 3", "\"time\": \"3\"", -EUCLEAN, "'time'"},
	{"\"memory_kib\": 256", "\"memory_kib\": 31", -ERANGE, "'memory_kib' is 31, not 32 to 4194304"},
	{"\"memory_kib\": 256", "\"memory_kib\": 4194305", -ERANGE, "'memory_kib'"},
	{"\"memory_kib\": 256", "\"memory_kib\": -256", -ERANGE, "'memory_kib'"},
	{"\"parallel\": 4", "\"parallel\": 0", -ERANGE, "'parallel'"},
	{"\"parallel\": 4", "\"parallel\": 17", -ERANGE, "'parallel' is 17"},
	{"\"time\": 3, \"memory_kib\": 256", "\"time\": 65, \"memory_kib\": 4194304", -ERANGE, "times"},
	/* base64url of one length, in one spelling */
	{BAD_B64, "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn", -EUCLEAN, "'salt' is not 32 bytes"},
	{BAD_B64, "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8A", -EUCLEAN, "'salt'"},
	{BAD_B64, "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn9", -EUCLEAN, "'salt'"},
	{BAD_B64, "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=", -EUCLEAN, "'salt'"},
	{"gIGCg4SFhoeIiYqL", "gIGCg4SFhoeIiYq+", -EUCLEAN, "'nonce'"},
	{"\"key\": \"Vtun", "\"key\": \"V", -EUCLEAN, "'key'"},
	{"AUopB5xPsWy7PonCzU7-3w", "AUopB5xPsWy7PonCzU7-3x", -EUCLEAN, "'tag'"},
	{"\"wrap\"", "\"warp\"", -EUCLEAN, "slot 0: 'wrap' is missing"},
	/* the ending */
	{"\n}\n", "\n}", -EUCLEAN, "hmac"},
	{"\n}\n", "\n}\n\n", -EUCLEAN, "hmac"},
	{"\n}\n", "\n} \n", -EUCLEAN, "hmac"},
	{"\n}\n", "}\n", -EUCLEAN, "hmac"},
	{"\n}\n", "\r\n}\r\n", -EUCLEAN, "hmac"},
	{"\"hmac\": \"", "\"hmac\":  \"", -EUCLEAN, "hmac"},
	{"\"hmac\": \"", "\"hmac\":\"", -EUCLEAN, "hmac"},
	{"\"hmac\": \"", "\"HMAC\": \"", -EUCLEAN, "hmac"},
	{"JHRA\"", "JHRB\"", -EUCLEAN, "hmac"},
	{"JHRA\"", "JHR=\"", -EUCLEAN, "hmac"},
	{"JHRA\"", "JHRAA\"", -EUCLEAN, "hmac"},
	{"\"hmac\": \"", "\"x\\\"hmac\": \"", -EUCLEAN, "'hmac' is not its last member"},
	{"\"hmac\": \"", "{\"hmac\": \"", -EUCLEAN, "line"},
	/* once each */
	{"\"xtsfs\": 1,", "\"xtsfs\": 1, \"xtsfs\": 1,", -EUCLEAN, "twice"},
	{"\"xtsfs\": 1,", "\"xtsfs\": 1, \"\\u0078tsfs\": 1,", -EUCLEAN, "twice"},
	{"\"hmac\": \"", "\"hmac\": 1, \"hmac\": \"", -EUCLEAN, "twice"},
	{"\"time\": 3,", "\"time\": 3, \"time\": 3,", -EUCLEAN, "twice"},
	{"\"a\": {}", "\"a\": {}, \"a\": {}", -EUCLEAN, "twice"},
	{"\"a\": {}", "\"a\": {\"x\": {\"y\": 1}, \"x\": {\"y\": 1, \"z\": 2}}", -EUCLEAN, "twice"},
	{"{\"x\": null}", "{\"x\": null, \"x\": null}", -EUCLEAN, "twice"},
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(edits); i++) {
		char *text = edit(good, edits[i].from, edits[i].to), problem[PROBLEM_BYTES];
		struct xtsfs_config *config = (struct xtsfs_config *)state;
		int r = parse(text, strlen(text), &config, problem);

		if (r != edits[i].error || !strstr(problem, edits[i].problem))
			fail_msg("%s -> %s: %d (%s)", edits[i].from, edits[i].to, r, problem);
		assert_ptr_equal(config, state); /* outputs are untouched */
		free(text);
	}
}

/* Values that are JSON for somebody and not for us, put in as an unknown member. */
static void test_not_json(void **state)
{
	static const char *const bad[] = {
		"1.0",
		"1e3",
		"-",
		"01",
		"-01",
		"+1",
		"0x1",
		"9223372036854775808",
		"-9223372036854775809",
		"NaN",
		"Infinity",
		"nul",
		"True",
		"'a'",
		"a",
		"[1,]",
		"[,1]",
		"[1 2]",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\" 1}",
		"{1:1}",
		"{\"a\"}",
		"\"a\tb\"",
		"\"a\nb\"",
		"\"\\x41\"",
		"\"\\u12g4\"",
		"\"\\u0000\"",
		"{\"a\\u0000b\": 1}",
		"\"\\ud800\"",
		"\"\\udc00\\ud800\"",
		"\"\\ud800\\u0041\"",
		"\"\\ud800x\"",
		"\"\377\"",
		"\"\300\200\"",
		"\"\355\240\200\"",
		"\"\364\220\200\200\"",
		"\"\342\202\"",
		"\"\360\200\200\200\"",
		"/* a */ 1",
		"1 // a",
		"",
		"\f1",
		/* 33 levels, of which the object of the file is one */
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	};
	static const char *const fine[] = {
		"0",
		"-0",
		"-1",
		" \t\r\n 1 \t\r\n ",
		"\"\"",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"\\uD83D\\uDE00\"",
		"[ ]",
		"{ }",
		"\"\364\217\277\277\"",
		"\"\177\"",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	};
	char problem[PROBLEM_BYTES], value[512], *text;
	struct xtsfs_config *config;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad) + ARRAY_COUNT(fine); i++) {
		bool is_bad = i < ARRAY_COUNT(bad);
		const char *json = is_bad ? bad[i] : fine[i - ARRAY_COUNT(bad)];
		int r;

		snprintf(value, sizeof(value), "\"content_keys\": 8, \"odd\": %s,", json);
		text = edit(good, "\"content_keys\": 8,", value);
		r = parse(text, strlen(text), &config, problem);
		if (r != (is_bad ? -EUCLEAN : 0) ||
		    (is_bad && strncmp(problem, "line 9: ", 8) != 0 && strncmp(problem, "line 10: ", 9) != 0))
			fail_msg("%s: %d (%s)", json, r, problem);
		if (!is_bad)
			xtsfs_config_free(config);
		free(text);
	}
}

static void test_slot_counts(void **state)
{
	static const char slot[] = "{\"id\": %u, \"name\": \"\", \"kind\": \"odd\", \"created\": "
				   "\"2024-01-02T03:04:05Z\", \"kdf\": {\"type\": "
				   "\"odd\"}}";
	const char *begin = strstr(good, "\"slots\": ["), *end = strstr(good, "  ],\n");
	char problem[PROBLEM_BYTES], text[8192];
	struct xtsfs_config *config;

	(void)state;
	for (unsigned count = 0; count <= 18; count++) {
		int at = snprintf(text, sizeof(text), "%.*s\"slots\": [", (int)(begin - good), good), r;

		for (unsigned i = 0; i < count; i++) {
			at += snprintf(text + at, sizeof(text) - (size_t)at, "%s", i ? ", " : "");
			/* 16 and 17 are no ids; the count must be what is refused. */
			at += snprintf(text + at, sizeof(text) - (size_t)at, slot, i);
		}
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%s", end);
		r = parse(text, (size_t)at, &config, problem);
		assert_int_equal(r, count <= 16 ? 0 : -EUCLEAN);
		if (r == 0)
			xtsfs_config_free(config);
		else
			assert_non_null(strstr(problem, "not 0 to 16"));
	}
}

static void test_sizes(void **state)
{
	const size_t room = XTSFS_CONFIG_MAX_BYTES + 1;
	char problem[PROBLEM_BYTES], *text = malloc(room + 1);
	struct xtsfs_config *config;

	(void)state;
	assert_non_null(text);
	assert_int_equal(parse("", 0, &config, problem), -EUCLEAN);
	assert_int_equal(parse("\n", 1, &config, problem), -EUCLEAN);
	/* Space before the object, up to the limit and one over it. */
	memset(text, ' ', room);
	memcpy(text + room - strlen(good), good, strlen(good));
	assert_int_equal(parse(text + 1, room - 1, &config, problem), 0);
	xtsfs_config_free(config);
	assert_int_equal(parse(text, room, &config, problem), -EUCLEAN);
	assert_non_null(strstr(problem, "longer"));
	free(text);
}

/* No cut and no changed byte does more than be refused, or be read as what it says. */
static void test_damage(void **state)
{
	static const uint8_t masks[] = {0x01, 0x02, 0x10, 0x20, 0x80, 0xff};
	char problem[PROBLEM_BYTES], *text = strdup(good);
	struct xtsfs_config *config;

	(void)state;
	assert_non_null(text);
	for (size_t bytes = 0; bytes < strlen(good); bytes++)
		assert_int_equal(parse(good, bytes, &config, problem), -EUCLEAN);
	for (size_t i = 0; i < strlen(good); i++)
		for (size_t j = 0; j < ARRAY_COUNT(masks); j++) {
			int r;

			text[i] = (char)((uint8_t)good[i] ^ masks[j]);
			r = parse(text, strlen(good), &config, problem);
			assert_true(r == 0 || r == -EUCLEAN || r == -ERANGE || r == -EPROTO);
			if (r == 0)
				xtsfs_config_free(config);
			text[i] = good[i];
		}
	free(text);
}

static void test_uuid(void **state)
{
	static const char *const bad[] = {"",
					  "00112233-4455-6677-8899-aabbccddeef",
					  "00112233-4455-6677-8899-aabbccddeeff0",
					  "00112233445566778899aabbccddeeff----",
					  "00112233-4455-6677-8899-aabbccddeefF",
					  "0011223-34455-6677-8899-aabbccddeeff",
					  " 0112233-4455-6677-8899-aabbccddeeff"};
	uint8_t uuid[XTSFS_UUID_BYTES] = {9}, before[XTSFS_UUID_BYTES] = {9};
	char text[XTSFS_UUID_CHARS + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(xtsfs_uuid_parse(bad[i], uuid), -EINVAL);
	assert_memory_equal(uuid, before, sizeof(uuid));
	assert_int_equal(xtsfs_uuid_parse("00112233-4455-6677-8899-aabbccddeeff", uuid), 0);
	unit_assert_hex(uuid, "00112233445566778899aabbccddeeff");
	xtsfs_uuid_format(uuid, text);
	assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
}

static void test_integrity(void **state)
{
	enum xtsfs_integrity integrity;

	(void)state;
	for (unsigned i = 0; i < XTSFS_INTEGRITY__COUNT; i++) {
		assert_int_equal(xtsfs_integrity_parse(xtsfs_integrity_name((enum xtsfs_integrity)i), &integrity), 0);
		assert_int_equal(integrity, i);
	}
	assert_int_equal(xtsfs_integrity_parse("", &integrity), -EINVAL);
	assert_int_equal(xtsfs_integrity_parse("AES-GMAC", &integrity), -EINVAL);
}

static void test_finish_limit(void **state)
{
	const uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES] = {0};
	size_t bytes;
	char *file, *text = calloc(1, XTSFS_CONFIG_MAX_BYTES);

	(void)state;
	assert_non_null(text);
	assert_int_equal(xtsfs_config_finish(text, XTSFS_CONFIG_MAX_BYTES - 55, hmac, &file, &bytes), -EFBIG);
	assert_int_equal(xtsfs_config_finish(text, XTSFS_CONFIG_MAX_BYTES - 56, hmac, &file, &bytes), 0);
	assert_int_equal(bytes, XTSFS_CONFIG_MAX_BYTES);
	free(file);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),	      cmocka_unit_test(test_good),
		cmocka_unit_test(test_keeps_unknown), cmocka_unit_test(test_new),
		cmocka_unit_test(test_reencrypting),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_json),      cmocka_unit_test(test_slot_counts),
		cmocka_unit_test(test_sizes),	      cmocka_unit_test(test_damage),
		cmocka_unit_test(test_uuid),	      cmocka_unit_test(test_integrity),
		cmocka_unit_test(test_finish_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
