/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config file of a volume.
 *
 * Trust: the text is parsed and bounded by the format layer without a key. Then a slot gives the volume key, the volume
 * key gives the config key, and the HMAC under that covers every byte in front of it. Only then may anybody act on
 * integrity mode, content keys and the like; the KDF costs had to be acted on before, which is why they are bounded.
 * So xtsfs_conf_unlock() does not return a key for a file that was edited.
 *
 * The HMAC is checked against the text as it was read and not against the structure, so the two ways in which a writer
 * may format the same members never matter, and slots that were changed in memory since do not either: a tool may
 * take a slot away first and then ask for a passphrase that opens one of those which stay.
 *
 * Saving makes a new text: the members known, the members unknown, the HMAC, and then reads it back with the parser
 * that everybody will use. What that would refuse never replaces a file that was good. The rest is replace.c's.
 *
 * What this does not do: it takes no lock. Two programs that change slots at the same time would each save what they
 * know; the tools lock xtsfs.conf from load to save.
 */
#include "core/conf.h"

#include "base/cleanup.h"
#include "core/keyslot.h"
#include "core/replace.h"
#include "format/ondisk.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONFIG_KEY_LABEL "xtsfs v1 config"
#define CONFIG_KEY_BYTES 32
#define WRITER		 "xtsfs " XTSFS_VERSION

struct xtsfs_conf *xtsfs_conf_free(struct xtsfs_conf *conf)
{
	if (!conf)
		return NULL;
	xtsfs_config_free(conf->config);
	free(conf->text);
	free(conf);
	return NULL;
}

__attribute__((format(printf, 4, 5))) static int fail(int error, char *ret_problem, size_t problem_bytes,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_problem, problem_bytes, format, args);
	va_end(args);
	return error;
}

int xtsfs_conf_parse(const char *text, size_t bytes, struct xtsfs_conf **ret_conf, char *ret_problem,
		     size_t problem_bytes)
{
	struct xtsfs_conf *conf = calloc(1, sizeof(*conf));
	int r;

	if (conf)
		conf->text = malloc(bytes + 1);
	if (!conf || !conf->text) {
		xtsfs_conf_free(conf);
		return fail(-ENOMEM, ret_problem, problem_bytes, "%s", xtsfs_strerror(ENOMEM));
	}
	memcpy(conf->text, text, bytes);
	conf->text[bytes] = '\0';
	conf->text_bytes = bytes;
	fail(0, ret_problem, problem_bytes, "%s", xtsfs_strerror(ENOMEM)); /* where the parser has no sentence */
	r = xtsfs_config_parse(conf->text, bytes, &conf->config, &conf->authenticated_bytes, conf->hmac, ret_problem,
			       problem_bytes);
	if (r < 0) {
		xtsfs_conf_free(conf);
		return r;
	}
	*ret_conf = conf;
	return 0;
}

/* One byte more than the longest file that is allowed, so that a longer one shows. */
static ssize_t read_text(struct xtsfs_store *store, int handle, char *ret_text, size_t room)
{
	struct stat status;
	int r = store->ops->fstat(store, handle, &status);

	if (r < 0)
		return r;
	if (!S_ISREG(status.st_mode))
		return -XTSFS_EDAMAGED;
	return xtsfs_store_pread(store, handle, ret_text, room, 0);
}

int xtsfs_conf_load(struct xtsfs_store *store, const char *name, struct xtsfs_conf **ret_conf, char *ret_problem,
		    size_t problem_bytes)
{
	const size_t room = XTSFS_CONFIG_MAX_BYTES + 1;
	xtsfs_auto_free char *text = malloc(room);
	ssize_t n;
	int handle;

	if (!text)
		return fail(-ENOMEM, ret_problem, problem_bytes, "%s", xtsfs_strerror(ENOMEM));
	/* O_NONBLOCK: a fifo put in its place must not make us wait. */
	handle = store->ops->open(store, store->root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, /* cred= */ NULL);
	if (handle < 0)
		return fail(handle, ret_problem, problem_bytes, "%s", xtsfs_strerror(handle));
	n = read_text(store, handle, text, room);
	store->ops->close(store, handle);
	if (n == -XTSFS_EDAMAGED)
		return fail((int)n, ret_problem, problem_bytes, "it is not a regular file");
	if (n < 0)
		return fail((int)n, ret_problem, problem_bytes, "%s", xtsfs_strerror((int)n));
	return xtsfs_conf_parse(text, (size_t)n, ret_conf, ret_problem, problem_bytes);
}

static void fill_now(char *ret_text, size_t room)
{
	time_t now = time(NULL);
	struct tm utc;

	if (!gmtime_r(&now, &utc) || strftime(ret_text, room, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		snprintf(ret_text, room, "1970-01-01T00:00:00Z");
}

static void fill_writer(struct xtsfs_config *config)
{
	snprintf(config->writer, sizeof(config->writer), "%s", WRITER);
}

int xtsfs_conf_new(enum xtsfs_integrity integrity, unsigned content_keys, struct xtsfs_conf **ret_conf)
{
	struct xtsfs_conf *conf;
	int r;

	if ((unsigned)integrity >= XTSFS_INTEGRITY__COUNT || content_keys < 1 || content_keys > 256 ||
	    (content_keys & (content_keys - 1)) != 0)
		return -EINVAL;
	conf = calloc(1, sizeof(*conf));
	if (conf)
		conf->config = calloc(1, sizeof(*conf->config));
	if (!conf || !conf->config) {
		xtsfs_conf_free(conf);
		return -ENOMEM;
	}
	r = xtsfs_random(conf->config->uuid, XTSFS_UUID_BYTES);
	if (r < 0) {
		xtsfs_conf_free(conf);
		return r;
	}
	/* RFC 4122: version 4, random. */
	conf->config->uuid[6] = (uint8_t)((conf->config->uuid[6] & 0x0f) | 0x40);
	conf->config->uuid[8] = (uint8_t)((conf->config->uuid[8] & 0x3f) | 0x80);
	conf->config->integrity = integrity;
	conf->config->content_keys = content_keys;
	fill_now(conf->config->created, sizeof(conf->config->created));
	fill_writer(conf->config);
	*ret_conf = conf;
	return 0;
}

static int make_hmac(const struct xtsfs_config *config, const struct xtsfs_secret *volume_key, const char *text,
		     size_t bytes, uint8_t ret_hmac[static XTSFS_CONFIG_HMAC_BYTES])
{
	xtsfs_auto_secret *config_key = NULL;
	int r = xtsfs_secret_new(CONFIG_KEY_BYTES, &config_key);

	if (r == 0)
		r = xtsfs_hkdf_sha512(volume_key->data, volume_key->bytes, config->uuid, sizeof(config->uuid),
				      CONFIG_KEY_LABEL, config_key->data, config_key->bytes);
	if (r == 0)
		r = xtsfs_hmac_sha256(config_key->data, config_key->bytes, text, bytes, ret_hmac);
	return r;
}

static int check_hmac(const struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key)
{
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	int r = make_hmac(conf->config, volume_key, conf->text, conf->authenticated_bytes, hmac);

	if (r < 0)
		return r;
	return xtsfs_equal_secret(hmac, conf->hmac, sizeof(hmac)) ? 0 : -XTSFS_EAUTH;
}

int xtsfs_conf_verify(const struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key)
{
	return conf->text ? check_hmac(conf, volume_key) : -EINVAL;
}

int xtsfs_conf_unlock(const struct xtsfs_conf *conf, const struct xtsfs_unlock *unlock,
		      struct xtsfs_secret **ret_volume_key, int *ret_slot)
{
	xtsfs_auto_secret *volume_key = NULL;
	const struct xtsfs_slot *slot = NULL;
	int result = -XTSFS_EPASS, r;

	if (!conf->text)
		return -EINVAL;
	/* First those that cost nothing. */
	for (unsigned i = 0; i < 2 * conf->config->slot_count && !volume_key; i++) {
		bool costly = i >= conf->config->slot_count;

		slot = &conf->config->slots[costly ? i - conf->config->slot_count : i];
		if (slot->argon2 != costly || !xtsfs_keyslot_fits(slot, unlock))
			continue;
		r = xtsfs_keyslot_open(slot, conf->config->uuid, unlock, &volume_key);
		/* A slot that could not be tried, for want of memory say, does not keep the others from being. */
		if (r < 0 && r != -XTSFS_EPASS)
			result = r;
	}
	if (!volume_key)
		return result;
	r = check_hmac(conf, volume_key);
	if (r < 0)
		return r;
	if (ret_slot)
		*ret_slot = (int)slot->id;
	*ret_volume_key = volume_key;
	volume_key = NULL;
	return 0;
}

static int free_slot_id(const struct xtsfs_config *config)
{
	unsigned used = 0;

	for (unsigned i = 0; i < config->slot_count; i++)
		used |= 1U << config->slots[i].id;
	for (unsigned id = 0; id < XTSFS_CONFIG_SLOTS; id++)
		if (!(used & 1U << id))
			return (int)id;
	return -ENOSPC;
}

int xtsfs_conf_add_slot(struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key, const struct xtsfs_unlock *with,
			const struct xtsfs_argon2 *params, const char *name, unsigned *ret_slot)
{
	struct xtsfs_config *config = conf->config;
	struct xtsfs_slot slot = {0};
	int id = free_slot_id(config);
	int r;

	if (id < 0)
		return id;
	if (strlen(name) > XTSFS_SLOT_NAME_MAX)
		return -EINVAL;
	slot.id = (unsigned)id;
	strcpy(slot.name, name);
	fill_now(slot.created, sizeof(slot.created));
	r = xtsfs_keyslot_seal(&slot, config->uuid, with, params, volume_key);
	if (r < 0)
		return r;
	config->slots[config->slot_count++] = slot;
	fill_writer(config);
	if (ret_slot)
		*ret_slot = slot.id;
	return 0;
}

int xtsfs_conf_remove_slot(struct xtsfs_conf *conf, unsigned slot)
{
	struct xtsfs_config *config = conf->config;

	for (unsigned i = 0; i < config->slot_count; i++) {
		if (config->slots[i].id != slot)
			continue;
		config->slot_count--;
		memmove(&config->slots[i], &config->slots[i + 1], (config->slot_count - i) * sizeof(config->slots[0]));
		memset(&config->slots[config->slot_count], 0, sizeof(config->slots[0]));
		fill_writer(config);
		return 0;
	}
	return -ENOENT;
}

/* Would a reader take what we are about to write? -EINVAL if not: a name that is not UTF-8, no slots. */
static int check_readable(const char *file, size_t bytes)
{
	struct xtsfs_config *config = NULL;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	size_t authenticated_bytes;
	char problem[128];
	int r = xtsfs_config_parse(file, bytes, &config, &authenticated_bytes, hmac, problem, sizeof(problem));

	xtsfs_config_free(config);
	return r < 0 && r != -ENOMEM ? -EINVAL : r;
}

int xtsfs_conf_save(struct xtsfs_store *store, const struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key,
		    bool exclusive)
{
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
	xtsfs_auto_free char *text = NULL;
	xtsfs_auto_free char *file = NULL;
	size_t bytes, file_bytes;
	int r;

	r = xtsfs_config_print(conf->config, &text, &bytes);
	if (r < 0)
		return r;
	r = make_hmac(conf->config, volume_key, text, bytes, hmac);
	if (r < 0)
		return r;
	r = xtsfs_config_finish(text, bytes, hmac, &file, &file_bytes);
	if (r < 0)
		return r;
	r = check_readable(file, file_bytes);
	if (r < 0)
		return r;
	return xtsfs_conf_put(store, file, file_bytes, exclusive);
}
