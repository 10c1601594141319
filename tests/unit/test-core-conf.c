/* SPDX-License-Identifier: Apache-2.0 */
/* xtsfs.conf in a volume: slots open and refuse, edits are found, what a reader would refuse is not saved. */
#undef NDEBUG
#include "unit.h"

#include "core/conf.h"
#include "core/keyslot.h"
#include "format/ondisk.h"

#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBLEM_BYTES 256

static const struct xtsfs_argon2 cheap = {.time = 1, .memory_kib = 8, .parallel = 1};

/* An empty directory for each test. */
struct place {
	char dir[64];
	struct xtsfs_store *store;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	strcpy(place->dir, "/tmp/xtsfs-test-conf-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	assert_int_equal(xtsfs_store_posix_new(place->dir, &place->store), 0);
	/* What is tested is not the limit on locked memory. */
	xtsfs_secret_allow_swap(true);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	DIR *dir = opendir(place->dir);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	closedir(dir);
	assert_int_equal(rmdir(place->dir), 0);
	xtsfs_store_free(place->store);
	free(place);
	return 0;
}

static struct xtsfs_secret *secret_of(const void *data, size_t bytes)
{
	struct xtsfs_secret *secret;

	assert_int_equal(xtsfs_secret_new(bytes, &secret), 0);
	memcpy(secret->data, data, bytes);
	return secret;
}

static struct xtsfs_secret *secret_text(const char *text)
{
	return secret_of(text, strlen(text));
}

static char *read_file(const struct place *place, const char *name, size_t *ret_bytes)
{
	char path[128], *text = malloc(XTSFS_CONFIG_MAX_BYTES + 1);
	ssize_t n;
	int fd;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/%s", place->dir, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, text, XTSFS_CONFIG_MAX_BYTES);
	assert_true(n >= 0);
	close(fd);
	text[n] = '\0';
	*ret_bytes = (size_t)n;
	return text;
}

static void write_file(const struct place *place, const char *name, const char *text, size_t bytes)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", place->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, bytes), bytes);
	close(fd);
}

static unsigned count_entries(const struct place *place, const char *prefix)
{
	DIR *dir = opendir(place->dir);
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	closedir(dir);
	return count;
}

static struct xtsfs_conf *load(const struct place *place)
{
	char problem[PROBLEM_BYTES];
	struct xtsfs_conf *conf;

	assert_int_equal(xtsfs_conf_load(place->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), 0);
	return conf;
}

/* 0 with the key that is wanted, or the error. */
static int try(const struct xtsfs_conf *conf, const char *passphrase, int only, int *ret_slot)
{
	struct xtsfs_secret *secret = secret_text(passphrase), *volume_key = NULL;
	const struct xtsfs_unlock unlock = {.passphrase = secret, .slot = only};
	int r = xtsfs_conf_unlock(conf, &unlock, &volume_key, ret_slot);

	assert_true((r == 0) == (volume_key != NULL));
	xtsfs_secret_free(volume_key);
	xtsfs_secret_free(secret);
	return r;
}

/* A volume whose slots open with "zero" and "one". */
static struct xtsfs_secret *make_volume(const struct place *place)
{
	struct xtsfs_secret *volume_key = secret_of("0123456789abcdef0123456789ABCDEF", 32);
	static const char *const words[] = {"zero", "one"};
	struct xtsfs_conf *conf;

	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY_AES_GMAC, 4, &conf), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
		struct xtsfs_secret *secret = secret_text(words[i]);
		const struct xtsfs_unlock with = {.passphrase = secret, .slot = -1};
		unsigned slot;

		assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, &cheap, words[i], &slot), 0);
		assert_int_equal(slot, i);
		xtsfs_secret_free(secret);
	}
	assert_int_equal(xtsfs_conf_save(place->store, conf, volume_key, /* exclusive= */ true), 0);
	xtsfs_conf_free(conf);
	return volume_key;
}

static json_object *member(json_object *object, const char *name)
{
	json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, name, &value));
	return value;
}

static struct xtsfs_secret *secret_hex(const char *hex)
{
	uint8_t data[256];

	return secret_of(data, unit_unhex(hex, data, sizeof(data)));
}

/* Each vector's slot opens by itself, with all its parts of the config, and by the whole file with its HMAC. */
static void test_vectors(void **state)
{
	const char *dir = getenv("XTSFS_VECTORS");
	json_object *vectors, *slots, *confs;
	char path[4096], problem[PROBLEM_BYTES];

	(void)state;
	if (!dir)
		skip();
	snprintf(path, sizeof(path), "%s/format-v1.json", dir);
	vectors = json_object_from_file(path);
	assert_non_null(vectors);
	slots = member(vectors, "slots");
	confs = member(vectors, "conf");
	for (size_t i = 0; i < json_object_array_length(confs); i++) {
		json_object *text = member(json_object_array_get_idx(confs, i), "text");
		struct xtsfs_conf *conf;

		assert_int_equal(xtsfs_conf_parse(json_object_get_string(text),
						  (size_t)json_object_get_string_len(text), &conf, problem,
						  sizeof(problem)),
				 0);
		for (size_t j = 0; j < json_object_array_length(slots); j++) {
			json_object *vector = json_object_array_get_idx(slots, j), *slot = member(vector, "slot");
			struct xtsfs_secret *secret = secret_hex(json_object_get_string(member(vector, "secret_hex")));
			bool keyfile = strcmp(json_object_get_string(member(slot, "kind")), "keyfile") == 0;
			const struct xtsfs_unlock unlock = {.passphrase = keyfile ? NULL : secret,
							    .keyfile = keyfile ? secret : NULL,
							    .slot = json_object_get_int(member(slot, "id"))};
			struct xtsfs_secret *volume_key = NULL;
			int opened;

			assert_int_equal(xtsfs_conf_unlock(conf, &unlock, &volume_key, &opened), 0);
			assert_int_equal(opened, unlock.slot);
			assert_int_equal(volume_key->bytes, 32);
			unit_assert_hex(volume_key->data, json_object_get_string(member(vectors, "volume_key")));
			xtsfs_secret_free(volume_key);
			xtsfs_secret_free(secret);
		}
		xtsfs_conf_free(conf);
	}
	json_object_put(vectors);
}

/* Kinds that came later: each slot opens with what is given for it, and with no part of that alone. */
static void test_more_vectors(void **state)
{
	const char *dir = getenv("XTSFS_VECTORS");
	char path[4096], problem[PROBLEM_BYTES];
	json_object *vectors, *slots, *text;
	struct xtsfs_conf *conf;

	(void)state;
	if (!dir)
		skip();
	snprintf(path, sizeof(path), "%s/format-v1.json", dir);
	vectors = json_object_from_file(path);
	assert_non_null(vectors);
	slots = member(vectors, "more_slots");
	text = member(vectors, "more_conf");
	assert_int_equal(xtsfs_conf_parse(json_object_get_string(text), (size_t)json_object_get_string_len(text), &conf,
					  problem, sizeof(problem)),
			 0);
	assert_true(json_object_array_length(slots) > 0);
	for (size_t i = 0; i < json_object_array_length(slots); i++) {
		json_object *vector = json_object_array_get_idx(slots, i), *hex;
		struct xtsfs_secret *passphrase = NULL, *keyfile = NULL, *volume_key = NULL, *token = NULL,
				    *hmac = NULL;
		struct xtsfs_secret *stretched = NULL, *auth = NULL;
		struct xtsfs_unlock unlock = {.slot = json_object_get_int(member(member(vector, "slot"), "id"))};
		struct xtsfs_unlock part = unlock;

		if (json_object_object_get_ex(vector, "passphrase_hex", &hex))
			unlock.passphrase = passphrase = secret_hex(json_object_get_string(hex));
		if (json_object_object_get_ex(vector, "keyfile_hex", &hex))
			unlock.keyfile = keyfile = secret_hex(json_object_get_string(hex));
		if (json_object_object_get_ex(vector, "token_hex", &hex))
			unlock.token = token = secret_hex(json_object_get_string(hex));
		if (json_object_object_get_ex(vector, "hmac_hex", &hex)) {
			hmac = secret_hex(json_object_get_string(hex));
			/* Each device for its own kind only, and each bit counts. */
			part.token = hmac;
			assert_int_equal(xtsfs_conf_unlock(conf, &part, &volume_key, NULL), -EKEYREJECTED);
			part.token = NULL;
			part.hmac = hmac;
			hmac->data[31] ^= 1;
			assert_int_equal(xtsfs_conf_unlock(conf, &part, &volume_key, NULL), -EKEYREJECTED);
			hmac->data[31] ^= 1;
			unlock.hmac = hmac;
		}
		if (json_object_object_get_ex(vector, "pin_hex", &hex)) {
			struct xtsfs_secret *pin = secret_hex(json_object_get_string(hex));
			const struct xtsfs_slot *slot = &conf->config->slots[i];

			assert_int_equal(xtsfs_conf_unlock(conf, &unlock, &volume_key, NULL), -EKEYREJECTED);
			assert_int_equal(xtsfs_keyslot_stretch(slot, pin, &stretched, &auth), 0);
			unlock.stretched = stretched;
			xtsfs_secret_free(pin);
		}
		assert_int_equal(xtsfs_conf_unlock(conf, &unlock, &volume_key, NULL), 0);
		unit_assert_hex(volume_key->data, json_object_get_string(member(vectors, "volume_key")));
		volume_key = xtsfs_secret_free(volume_key);
		for (unsigned both = 0; passphrase && keyfile && both < 2; both++) {
			part.passphrase = both ? passphrase : NULL;
			part.keyfile = both ? NULL : keyfile;
			assert_int_equal(xtsfs_conf_unlock(conf, &part, &volume_key, NULL), -EKEYREJECTED);
		}
		xtsfs_secret_free(token);
		xtsfs_secret_free(hmac);
		xtsfs_secret_free(stretched);
		xtsfs_secret_free(auth);
		xtsfs_secret_free(passphrase);
		xtsfs_secret_free(keyfile);
	}
	xtsfs_conf_free(conf);
	json_object_put(vectors);
}

/* A slot of a passphrase and a keyfile: made, saved, read, opened; a changed byte of either does not open it. */
static void test_two_factors(void **state)
{
	struct xtsfs_secret *volume_key = make_volume(*state), *word = secret_text("word"), *opened = NULL;
	struct xtsfs_secret *keyfile = secret_of("0123456789abcdef0123456789abcdefX", 33);
	const struct xtsfs_unlock with = {.passphrase = word, .keyfile = keyfile, .slot = -1};
	struct place *place = *state;
	struct xtsfs_conf *conf = load(place);
	unsigned slot;
	int by;

	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, NULL, "", &slot), -EINVAL);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, &cheap, "", &slot), 0);
	assert_int_equal(xtsfs_conf_save(place->store, conf, volume_key, /* exclusive= */ false), 0);
	xtsfs_conf_free(conf);
	conf = load(place);
	assert_int_equal(conf->config->slots[2].kind, XTSFS_SLOT_BOTH);
	assert_int_equal(xtsfs_conf_unlock(conf, &with, &opened, &by), 0);
	assert_int_equal(by, 2);
	assert_memory_equal(opened->data, volume_key->data, volume_key->bytes);
	opened = xtsfs_secret_free(opened);
	for (unsigned i = 0; i < 2; i++) {
		struct xtsfs_secret *spoilt = i ? keyfile : word;

		spoilt->data[spoilt->bytes - 1] ^= 1;
		assert_int_equal(xtsfs_conf_unlock(conf, &with, &opened, &by), -EKEYREJECTED);
		spoilt->data[spoilt->bytes - 1] ^= 1;
	}
	keyfile->bytes = 31;
	assert_int_equal(xtsfs_conf_unlock(conf, &with, &opened, &by), -EKEYREJECTED);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, &cheap, "", &slot), -EINVAL);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(keyfile);
	xtsfs_secret_free(word);
	xtsfs_secret_free(volume_key);
}

static void test_unlock(void **state)
{
	struct xtsfs_secret *volume_key = make_volume(*state);
	struct xtsfs_conf *conf = load(*state);
	const struct xtsfs_unlock nothing = {.slot = -1};
	const struct xtsfs_unlock both = {.passphrase = volume_key, .keyfile = volume_key, .slot = -1};
	const struct xtsfs_unlock keyfile = {.keyfile = volume_key, .slot = -1};
	struct xtsfs_secret *opened = NULL;
	int slot = -7;

	assert_int_equal(try(conf, "zero", -1, &slot), 0);
	assert_int_equal(slot, 0);
	assert_int_equal(try(conf, "one", -1, &slot), 0);
	assert_int_equal(slot, 1);
	assert_int_equal(try(conf, "one", 1, NULL), 0);
	assert_int_equal(try(conf, "one", 0, NULL), -EKEYREJECTED);
	assert_int_equal(try(conf, "one", 2, NULL), -EKEYREJECTED);
	assert_int_equal(try(conf, "two", -1, NULL), -EKEYREJECTED);
	assert_int_equal(try(conf, "zero ", -1, NULL), -EKEYREJECTED);
	assert_int_equal(xtsfs_conf_unlock(conf, &nothing, &opened, NULL), -EKEYREJECTED);
	assert_int_equal(xtsfs_conf_unlock(conf, &both, &opened, NULL), -EKEYREJECTED);
	assert_int_equal(xtsfs_conf_unlock(conf, &keyfile, &opened, NULL), -EKEYREJECTED);
	assert_null(opened);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(volume_key);
}

/* Every change of the text that the parser lets pass is found: by the slot, or by the HMAC. */
static void test_edited(void **state)
{
	struct xtsfs_secret *volume_key = make_volume(*state);
	char problem[PROBLEM_BYTES], *text;
	unsigned parsed = 0;
	size_t bytes;

	text = read_file(*state, XTSFS_NAME_CONF, &bytes);
	for (size_t i = 0; i < bytes; i++) {
		struct xtsfs_conf *conf;
		char before = text[i];
		int r;

		text[i] = before == 'a' ? 'b' : before >= '1' && before <= '7' ? (char)(before + 1) : 'a';
		if (xtsfs_conf_parse(text, bytes, &conf, problem, sizeof(problem)) == 0) {
			parsed++;
			r = try(conf, "zero", 0, NULL);
			assert_true(r == -EBADMSG || r == -EKEYREJECTED);
			xtsfs_conf_free(conf);
		}
		text[i] = before;
	}
	assert_true(parsed > 100);
	free(text);
	xtsfs_secret_free(volume_key);
}

static void test_slots(void **state)
{
	struct xtsfs_secret *volume_key = make_volume(*state), *secret = secret_text("more");
	uint8_t key[XTSFS_KEYFILE_MIN_BYTES] = {1};
	struct xtsfs_secret *keyfile = secret_of(key, sizeof(key)), *opened = NULL;
	const struct xtsfs_unlock with = {.passphrase = secret, .slot = -1};
	const struct xtsfs_unlock with_keyfile = {.keyfile = keyfile, .slot = -1};
	struct xtsfs_conf *conf = load(*state);
	unsigned slot;
	int used;

	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with_keyfile, NULL, "file", &slot), 0);
	assert_int_equal(slot, 2);
	for (unsigned i = 3; i < 16; i++) {
		assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, &cheap, "", &slot), 0);
		assert_int_equal(slot, i);
	}
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, &cheap, "", &slot), -ENOSPC);
	assert_int_equal(xtsfs_conf_remove_slot(conf, 0), 0);
	assert_int_equal(xtsfs_conf_remove_slot(conf, 0), -ENOENT);
	assert_int_equal(xtsfs_conf_remove_slot(conf, 16), -ENOENT);
	assert_int_equal(xtsfs_conf_remove_slot(conf, 9), 0);
	/* Before it is saved: what stays can be unlocked, and the HMAC is that of the file as it was read. */
	assert_int_equal(try(conf, "zero", -1, NULL), -EKEYREJECTED);
	assert_int_equal(try(conf, "one", -1, &used), 0);
	assert_int_equal(used, 1);
	assert_int_equal(xtsfs_conf_save(((struct place *)*state)->store, conf, volume_key, false), 0);
	xtsfs_conf_free(conf);

	conf = load(*state);
	assert_int_equal(conf->config->slot_count, 14);
	assert_int_equal(try(conf, "zero", -1, NULL), -EKEYREJECTED);
	assert_int_equal(try(conf, "one", -1, NULL), 0);
	assert_int_equal(try(conf, "more", 15, NULL), 0);
	assert_int_equal(xtsfs_conf_unlock(conf, &with_keyfile, &opened, &used), 0);
	assert_int_equal(used, 2);
	assert_memory_equal(opened->data, volume_key->data, 32);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with, &cheap, "", &slot), 0);
	assert_int_equal(slot, 0);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(opened);
	xtsfs_secret_free(keyfile);
	xtsfs_secret_free(secret);
	xtsfs_secret_free(volume_key);
}

static void test_add_refused(void **state)
{
	struct xtsfs_secret *volume_key = make_volume(*state), *secret = secret_text("word"), *empty = secret_text("x");
	struct xtsfs_secret *short_key = secret_text("31 bytes, which is one too few.");
	const struct xtsfs_argon2 dear = {.time = 1025, .memory_kib = 8, .parallel = 1};
	const struct xtsfs_unlock passphrase = {.passphrase = secret}, nothing = {.slot = 0};
	const struct xtsfs_unlock with_empty = {.passphrase = empty}, with_short = {.keyfile = short_key};
	struct xtsfs_conf *conf = load(*state);
	char name[66];

	empty->bytes = 0;
	memset(name, 'n', 65);
	name[65] = '\0';
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with_empty, &cheap, "", NULL), -EINVAL);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &nothing, &cheap, "", NULL), -EINVAL);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &with_short, &cheap, "", NULL), -EINVAL);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &passphrase, NULL, "", NULL), -EINVAL);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &passphrase, &dear, "", NULL), -ERANGE);
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &passphrase, &cheap, name, NULL), -EINVAL);
	assert_int_equal(conf->config->slot_count, 2);
	name[64] = '\0';
	assert_int_equal(xtsfs_conf_add_slot(conf, volume_key, &passphrase, &cheap, name, NULL), 0);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(short_key);
	xtsfs_secret_free(empty);
	xtsfs_secret_free(secret);
	xtsfs_secret_free(volume_key);
}

static void test_new(void **state)
{
	struct xtsfs_conf *conf, *other;

	(void)state;
	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY_NONE, 3, &conf), -EINVAL);
	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY_NONE, 0, &conf), -EINVAL);
	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY_NONE, 512, &conf), -EINVAL);
	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY__COUNT, 1, &conf), -EINVAL);
	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY_NONE, 256, &conf), 0);
	assert_int_equal(xtsfs_conf_new(XTSFS_INTEGRITY_NONE, 256, &other), 0);
	assert_memory_not_equal(conf->config->uuid, other->config->uuid, XTSFS_UUID_BYTES);
	assert_int_equal(conf->config->uuid[6] >> 4, 4);
	assert_int_equal(conf->config->uuid[8] >> 6, 2);
	xtsfs_conf_free(other);
	xtsfs_conf_free(conf);
}

/* What a reader would refuse is not written. */
static void test_save_refused(void **state)
{
	struct place *place = *state;
	struct xtsfs_secret *volume_key = make_volume(place);
	struct xtsfs_conf *conf = load(place);
	size_t bytes, bytes_after;
	char *before = read_file(place, XTSFS_NAME_CONF, &bytes), *after;

	strcpy(conf->config->slots[0].name, "\377");
	assert_int_equal(xtsfs_conf_save(place->store, conf, volume_key, false), -EINVAL);
	strcpy(conf->config->slots[0].name, "");
	conf->config->slots[1].id = 0;
	assert_int_equal(xtsfs_conf_save(place->store, conf, volume_key, false), -EINVAL);
	after = read_file(place, XTSFS_NAME_CONF, &bytes_after);
	assert_int_equal(bytes_after, bytes);
	assert_memory_equal(after, before, bytes);
	free(before);
	free(after);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(volume_key);
}

static void test_exclusive(void **state)
{
	struct place *place = *state;
	struct xtsfs_secret *volume_key = make_volume(place);
	struct xtsfs_conf *conf = load(place);

	assert_int_equal(xtsfs_conf_save(place->store, conf, volume_key, true), -EEXIST);
	assert_int_equal(count_entries(place, "xtsfs."), 2); /* and its copy */
	xtsfs_conf_free(conf);
	xtsfs_secret_free(volume_key);
}

static void test_load(void **state)
{
	struct place *place = *state;
	char problem[PROBLEM_BYTES], path[128], *big = calloc(1, XTSFS_CONFIG_MAX_BYTES + 10);
	struct xtsfs_conf *conf;

	assert_non_null(big);
	snprintf(path, sizeof(path), "%s/%s", place->dir, XTSFS_NAME_CONF);
	assert_int_equal(xtsfs_conf_load(place->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), -ENOENT);
	write_file(place, XTSFS_NAME_CONF, "", 0);
	assert_int_equal(xtsfs_conf_load(place->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), -EUCLEAN);
	write_file(place, XTSFS_NAME_CONF, big, XTSFS_CONFIG_MAX_BYTES + 10);
	assert_int_equal(xtsfs_conf_load(place->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), -EUCLEAN);
	assert_non_null(strstr(problem, "longer"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
	assert_int_equal(xtsfs_conf_load(place->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), -EUCLEAN);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(xtsfs_conf_load(place->store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem)), -ELOOP);
	free(big);
}

/* A member of a later version survives a change of slots by this one, and is authenticated. */
static void test_unknown_member(void **state)
{
	struct place *place = *state;
	struct xtsfs_secret *volume_key = make_volume(place);
	struct xtsfs_conf *conf = load(place), *again;

	assert_int_equal(json_object_object_add(conf->config->document, "later", json_object_new_int(7)), 0);
	assert_int_equal(xtsfs_conf_save(place->store, conf, volume_key, false), 0);
	again = load(place);
	assert_int_equal(xtsfs_conf_remove_slot(again, 0), 0);
	assert_int_equal(xtsfs_conf_save(place->store, again, volume_key, false), 0);
	xtsfs_conf_free(again);
	again = load(place);
	assert_int_equal(json_object_get_int(member(again->config->document, "later")), 7);
	assert_int_equal(try(again, "one", -1, NULL), 0);
	xtsfs_conf_free(again);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(volume_key);
}

/* A slot copied into another volume does not open there. */
static void test_foreign_slot(void **state)
{
	struct xtsfs_secret *volume_key = make_volume(*state), *secret = secret_text("zero"), *opened = NULL;
	const struct xtsfs_unlock unlock = {.passphrase = secret, .slot = -1};
	struct xtsfs_conf *conf = load(*state);
	uint8_t uuid[XTSFS_UUID_BYTES];

	memcpy(uuid, conf->config->uuid, sizeof(uuid));
	assert_int_equal(xtsfs_keyslot_open(&conf->config->slots[0], uuid, &unlock, &opened), 0);
	xtsfs_secret_free(opened);
	opened = NULL;
	uuid[15] ^= 1;
	assert_int_equal(xtsfs_keyslot_open(&conf->config->slots[0], uuid, &unlock, &opened), -EKEYREJECTED);
	assert_null(opened);
	xtsfs_conf_free(conf);
	xtsfs_secret_free(secret);
	xtsfs_secret_free(volume_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_new),
		cmocka_unit_test_setup_teardown(test_more_vectors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_factors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unlock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_edited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_add_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_save_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exclusive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_load, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_member, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_slot, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
