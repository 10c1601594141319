/* SPDX-License-Identifier: Apache-2.0 */
/* Keyslots of the kinds that came after passphrases and keyfiles, in xtsfs.conf. */
#undef NDEBUG
#include "unit.h"

#include "format/config.h"

#include <json-c/json.h>

#define PROBLEM_BYTES 256

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

/* Kinds that came later, in the vectors: read, printed and read again; what a TPM's slot keeps is bounded. */
static void test_more_kinds(void **state)
{
	static const char *const spoilt[][2] = {
		{"\"pcrs\": [", "\"pcrs\": [24, "},
		{"\"pcrs\": [", "\"pcrs\": [-1, "},
		{"\"pcrs\": [", "\"pcrs\": [\"x\", "},
		{"\"pcrs\"", "\"pcr\""},
		{"\"parent\": \"", "\"parent\": \"AAAA"},
		{"\"public\": \"", "\"public\": \"!"},
		{"\"private\"", "\"privat\""},
		{"\"tpm2\": {", "\"tpm\": {"},
		{"\"fido2\": {", "\"fido\": {"},
		{"\"credential\": \"", "\"credential\": \"!"},
		{"\"credential\": \"", "\"credential\": \"\", \"x\": \""},
		{"\"credential\": \"", "\"credential\": \"AAA"},
		{"\"credential\"", "\"credentia\""},
		{"\"touch\": true", "\"touch\": 1"},
		{"\"touch\": true", "\"touch\": \"yes\""},
		{"\"touch\"", "\"tuch\""},
		{"\"user\": \"pin\"", "\"user\": \"\""},
		{"\"user\": \"pin\"", "\"user\": \"PIN\""},
		{"\"user\": \"pin\"", "\"user\": null"},
	};
	json_object *vectors = load_vectors(), *vector = member(vectors, "more_conf");
	const char *text = json_object_get_string(vector);
	struct xtsfs_config *config, *again;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	char problem[PROBLEM_BYTES], *edited, blob[1500];
	size_t authenticated_bytes;

	(void)state;
	assert_int_equal(
		xtsfs_config_parse(text, strlen(text), &config, &authenticated_bytes, hmac, problem, sizeof(problem)),
		0);
	check_round_trip(config, hmac, &again);
	assert_int_equal(again->slot_count, config->slot_count);
	for (unsigned i = 0; i < config->slot_count; i++) {
		assert_int_not_equal(config->slots[i].kind, XTSFS_SLOT_UNKNOWN);
		assert_int_equal(again->slots[i].kind, config->slots[i].kind);
		assert_int_equal(again->slots[i].argon2, config->slots[i].argon2);
		assert_memory_equal(&again->slots[i].tpm2, &config->slots[i].tpm2, sizeof(config->slots[i].tpm2));
		assert_memory_equal(&again->slots[i].fido2, &config->slots[i].fido2, sizeof(config->slots[i].fido2));
	}
	assert_int_equal(config->slots[2].kind, XTSFS_SLOT_TPM2);
	assert_int_equal(config->slots[2].tpm2.pcr_mask, 1 | 1 << 7);
	assert_int_equal(config->slots[2].tpm2.private_bytes, 200);
	assert_int_equal(config->slots[4].kind, XTSFS_SLOT_FIDO2);
	assert_int_equal(config->slots[4].fido2.credential_bytes, 64);
	assert_int_equal(config->slots[4].fido2.user, XTSFS_FIDO2_USER_PIN);
	assert_true(config->slots[4].fido2.touch);
	xtsfs_config_free(config);
	xtsfs_config_free(again);
	for (size_t i = 0; i < ARRAY_COUNT(spoilt); i++) {
		edited = edit(text, spoilt[i][0], spoilt[i][1]);
		assert_int_equal(parse(edited, strlen(edited), &config, problem), -EUCLEAN);
		free(edited);
	}
	/* One byte too many: 513 are 684 characters; with the 107 that are there. */
	memset(blob, 'A', sizeof(blob));
	memcpy(blob, "\"public\": \"", 11);
	blob[11 + 684 - 107] = '\0';
	edited = edit(text, "\"public\": \"", blob);
	assert_int_equal(parse(edited, strlen(edited), &config, problem), -EUCLEAN);
	assert_non_null(strstr(problem, "1 to 512 bytes"));
	free(edited);
	json_object_put(vectors);
}

/* A credential's id has 1 to 1023 bytes, which are 1364 characters; with the 86 that are there. The salt has 32. */
static void test_fido2_bounds(void **state)
{
	static const struct {
		const char *member;
		size_t characters;
		bool good;
	} table[] = {
		{"\"credential\": \"", 1364 - 86, true},
		{"\"credential\": \"", 1366 - 86, false},
		{"\"salt\": \"", 1, false},
	};
	json_object *vectors = load_vectors(), *vector = member(vectors, "more_conf");
	const char *text = json_object_get_string(vector), *slot = strstr(text, "\"fido2\": {");
	char problem[PROBLEM_BYTES], blob[1500];
	struct xtsfs_config *config;

	(void)state;
	assert_non_null(slot);
	for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
		size_t name_bytes = strlen(table[i].member);
		const char *at = strstr(slot, table[i].member);
		char *edited;
		int r;

		assert_non_null(at);
		memset(blob, 'A', sizeof(blob));
		blob[table[i].characters] = '\0';
		at += name_bytes;
		assert_int_not_equal(asprintf(&edited, "%.*s%s%s", (int)(at - text), text, blob, at), -1);
		r = parse(edited, strlen(edited), &config, problem);
		assert_int_equal(r, table[i].good ? 0 : -EUCLEAN);
		if (r == 0) {
			assert_int_equal(config->slots[4].fido2.credential_bytes, 1023);
			xtsfs_config_free(config);
		}
		free(edited);
	}
	json_object_put(vectors);
}

/* What an older program does with this kind is what this one does with the next: the slot is kept, whatever is in it.
 */
static void test_unknown_kind(void **state)
{
	json_object *vectors = load_vectors(), *vector = member(vectors, "more_conf");
	const char *text = json_object_get_string(vector);
	char problem[PROBLEM_BYTES], *other = edit(text, "\"fido2\",", "\"fido3\","), *edited;
	struct xtsfs_config *config, *again;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES] = {0};

	(void)state;
	edited = edit(other, "\"user\": \"pin\"", "\"user\": 3");
	assert_int_equal(parse(edited, strlen(edited), &config, problem), 0);
	assert_int_equal(config->slots[4].kind, XTSFS_SLOT_UNKNOWN);
	check_round_trip(config, hmac, &again);
	assert_int_equal(again->slots[4].kind, XTSFS_SLOT_UNKNOWN);
	assert_string_equal(json_object_to_json_string(again->slots[4].unknown),
			    json_object_to_json_string(config->slots[4].unknown));
	xtsfs_config_free(config);
	xtsfs_config_free(again);
	free(edited);
	free(other);
	json_object_put(vectors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_kinds),
		cmocka_unit_test(test_fido2_bounds),
		cmocka_unit_test(test_unknown_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
