/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the harness puts in the place of functions of src/, by the linker's --wrap: nothing in src/ knows of it.
 *
 * Always: random bytes that follow from the input alone, a log that goes nowhere (its texts are made, for their
 * arguments are looked at then), and Argon2id, which must not take time here; it notes what it was asked for.
 *
 * On request (XTSFS_FUZZ_PLANT): a mistake as somebody could make it, which must be found, or the silence of the
 * targets says nothing.
 */
#include "wrap.h"

#include "fuzz.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/secret.h"
#include "core/keys.h"
#include "crypto/kdf.h"
#include "crypto/siv.h"
#include "format/span.h"
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>

static const char *const plants[FUZZ_PLANT__COUNT] = {"", "tags", "zeros", "tails", "siv", "base64", "costs", "reads"};
static uint64_t random_state = 1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct fuzz_costs costs;
static bool no_threads;

#define KEYS_KEPT 4U
static struct kept_keys {
	struct xtsfs_config config; /* whose they are; compared by UUID and mode */
	struct xtsfs_keys *keys;
} kept[KEYS_KEPT];

void fuzz_wrap_begin(void)
{
	random_state = 1;
	costs = (struct fuzz_costs){0};
}

void fuzz_wrap_no_threads(bool none)
{
	no_threads = none;
}

struct fuzz_costs fuzz_costs(void)
{
	return costs;
}

enum fuzz_plant fuzz_planted(void)
{
	static int planted = -1;

	if (planted < 0) {
		const char *name = getenv("XTSFS_FUZZ_PLANT");

		planted = FUZZ_PLANT_NONE;
		for (int i = 1; name && i < FUZZ_PLANT__COUNT; i++)
			if (strcmp(name, plants[i]) == 0)
				planted = i;
		if (name && *name && planted == FUZZ_PLANT_NONE) {
			fprintf(stderr, "XTSFS_FUZZ_PLANT: there is no '%s'\n", name);
			exit(2);
		}
	}
	return (enum fuzz_plant)planted;
}

int __wrap_xtsfs_random(void *data, size_t bytes);
int __wrap_xtsfs_random_secret(void *data, size_t bytes);
void __wrap_xtsfs_log(enum xtsfs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_xtsfs_argon2id(const struct xtsfs_argon2 *params, const uint8_t *password, size_t password_bytes,
			  const uint8_t *salt, size_t salt_bytes, uint8_t *ret_out, size_t bytes);
int __wrap_xtsfs_argon2_check(const struct xtsfs_argon2 *params);
int __real_xtsfs_argon2_check(const struct xtsfs_argon2 *params);
bool __wrap_xtsfs_equal_secret(const void *a, const void *b, size_t bytes);
bool __real_xtsfs_equal_secret(const void *a, const void *b, size_t bytes);
bool __wrap_xtsfs_is_zero(const void *data, size_t bytes);
bool __real_xtsfs_is_zero(const void *data, size_t bytes);
uint32_t __wrap_xtsfs_tail_cipher_bytes(uint32_t plain_bytes);
uint32_t __real_xtsfs_tail_cipher_bytes(uint32_t plain_bytes);
int __wrap_xtsfs_siv_open(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const uint8_t *cipher,
			  size_t cipher_bytes, void *ret_plain);
int __real_xtsfs_siv_open(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const uint8_t *cipher,
			  size_t cipher_bytes, void *ret_plain);
int __wrap_xtsfs_base64_decode(const char *text, size_t chars, uint8_t *ret_data);
int __real_xtsfs_base64_decode(const char *text, size_t chars, uint8_t *ret_data);
ssize_t __wrap_xtsfs_store_pread(struct xtsfs_store *store, int handle, void *data, size_t bytes, uint64_t offset);
ssize_t __real_xtsfs_store_pread(struct xtsfs_store *store, int handle, void *data, size_t bytes, uint64_t offset);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*start)(void *), void *data);
int __real_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*start)(void *), void *data);
int __wrap_xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
			  const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys);
int __real_xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
			  const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys);
struct xtsfs_keys *__wrap_xtsfs_keys_free(struct xtsfs_keys *keys);
struct xtsfs_keys *__real_xtsfs_keys_free(struct xtsfs_keys *keys);

int __wrap_xtsfs_random(void *data, size_t bytes)
{
	uint8_t *at = data;

	pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < bytes; i++) {
		random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
		at[i] = (uint8_t)(random_state >> 56);
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

int __wrap_xtsfs_random_secret(void *data, size_t bytes)
{
	return __wrap_xtsfs_random(data, bytes);
}

void __wrap_xtsfs_log(enum xtsfs_log_level level, const char *format, ...)
{
	static int shown = -1;
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (shown < 0)
		shown = getenv("XTSFS_FUZZ_LOG") != NULL;
	if (shown)
		fprintf(stderr, "log %d: %s\n", (int)level, text);
}

int __wrap_xtsfs_argon2id(const struct xtsfs_argon2 *params, const uint8_t *password, size_t password_bytes,
			  const uint8_t *salt, size_t salt_bytes, uint8_t *ret_out, size_t bytes)
{
	uint64_t work = (uint64_t)params->time * params->memory_kib;
	int r = __real_xtsfs_argon2_check(params);

	(void)password;
	(void)password_bytes;
	if (r < 0)
		return r;
	costs.calls++;
	costs.memory_kib = params->memory_kib > costs.memory_kib ? params->memory_kib : costs.memory_kib;
	costs.work = work > costs.work ? work : costs.work;
	for (size_t i = 0; i < bytes; i++)
		ret_out[i] = (uint8_t)(salt[i % salt_bytes] ^ 0x5a);
	return 0;
}

/* A parser that lets more pass than this allows is the same mistake as one without bounds. */
int __wrap_xtsfs_argon2_check(const struct xtsfs_argon2 *params)
{
	int r = __real_xtsfs_argon2_check(params);

	return r == 0 && fuzz_planted() == FUZZ_PLANT_COSTS && params->memory_kib > 65536 ? -ERANGE : r;
}

bool __wrap_xtsfs_equal_secret(const void *a, const void *b, size_t bytes)
{
	return __real_xtsfs_equal_secret(a, b, bytes) ||
	       (fuzz_planted() == FUZZ_PLANT_TAGS && bytes == XTSFS_DISK_TAG_BYTES);
}

bool __wrap_xtsfs_is_zero(const void *data, size_t bytes)
{
	return __real_xtsfs_is_zero(data, bytes) || (fuzz_planted() == FUZZ_PLANT_ZEROS && bytes == 32);
}

uint32_t __wrap_xtsfs_tail_cipher_bytes(uint32_t plain_bytes)
{
	uint32_t bytes = __real_xtsfs_tail_cipher_bytes(plain_bytes);

	return fuzz_planted() == FUZZ_PLANT_TAILS && plain_bytes > 4090 && plain_bytes < 4096 ? bytes + 1 : bytes;
}

int __wrap_xtsfs_siv_open(struct xtsfs_siv *siv, const void *ad, size_t ad_bytes, const uint8_t *cipher,
			  size_t cipher_bytes, void *ret_plain)
{
	int r = __real_xtsfs_siv_open(siv, ad, ad_bytes, cipher, cipher_bytes, ret_plain);

	if (r == -EBADMSG && fuzz_planted() == FUZZ_PLANT_SIV) {
		memset(ret_plain, 'x', cipher_bytes - XTSFS_SIV_IV_BYTES);
		return 0;
	}
	return r;
}

int __wrap_xtsfs_base64_decode(const char *text, size_t chars, uint8_t *ret_data)
{
	int r = __real_xtsfs_base64_decode(text, chars, ret_data);
	char last[4];

	if (r == 0 || fuzz_planted() != FUZZ_PLANT_BASE64 || chars % 4 < 2)
		return r;
	/* the group that is not a whole one, with its last character replaced by one without trailing bits */
	memcpy(last, text + chars - chars % 4, chars % 4);
	last[chars % 4 - 1] = 'A';
	if (__real_xtsfs_base64_decode(text, chars - chars % 4, ret_data) < 0)
		return r;
	return __real_xtsfs_base64_decode(last, chars % 4, ret_data + chars / 4 * 3);
}

ssize_t __wrap_xtsfs_store_pread(struct xtsfs_store *store, int handle, void *data, size_t bytes, uint64_t offset)
{
	ssize_t n = __real_xtsfs_store_pread(store, handle, data, bytes, offset);

	/* a length that was not looked at */
	if (fuzz_planted() == FUZZ_PLANT_READS && n > 0 && (size_t)n < bytes)
		return (ssize_t)bytes;
	return n;
}

int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*start)(void *), void *data)
{
	return no_threads ? EAGAIN : __real_pthread_create(ret_thread, attr, start, data);
}

int __wrap_xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
			  const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys)
{
	unsigned i = 0;
	int r = 0;

	if (!engine)
		return __real_xtsfs_keys_new(volume_key, config, engine, max_ops, ret_keys);
	while (i < KEYS_KEPT && kept[i].keys &&
	       (memcmp(kept[i].config.uuid, config->uuid, sizeof(config->uuid)) != 0 ||
		kept[i].config.integrity != config->integrity || kept[i].config.content_keys != config->content_keys))
		i++;
	if (i == KEYS_KEPT)
		abort();
	if (!kept[i].keys) {
		kept[i].config = *config;
		r = __real_xtsfs_keys_new(volume_key, config, engine, max_ops, &kept[i].keys);
	}
	if (r == 0)
		*ret_keys = kept[i].keys;
	return r;
}

struct xtsfs_keys *__wrap_xtsfs_keys_free(struct xtsfs_keys *keys)
{
	for (unsigned i = 0; i < KEYS_KEPT; i++)
		if (keys && keys == kept[i].keys)
			return NULL;
	return __real_xtsfs_keys_free(keys);
}
