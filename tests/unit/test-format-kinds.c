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
	};
	json_object *vectors = load_vectors(), *vector = member(vectors, "more_conf");
	const char *text = json_object_get_string(vector);
	struct xtsfs_config *config, *again;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	char problem[PROBLEM_BYTES], *edited, blob[900];
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
	}
	assert_int_equal(config->slots[2].kind, XTSFS_SLOT_TPM2);
	assert_int_equal(config->slots[2].tpm2.pcr_mask, 1 | 1 << 7);
	assert_int_equal(config->slots[2].tpm2.private_bytes, 200);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
