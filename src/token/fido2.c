/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIDO2 authenticators, by libfido2.
 *
 * The credential is not kept in the authenticator: its id, in the slot, is all it needs to know it again, so the
 * number of volumes is not limited, and nothing in the authenticator tells of them. What it signs is not looked at: the
 * proof that it is the right one is that the volume key comes out.
 *
 * The relying party is a constant. Browsers let a page use the credentials of its own domain only, and no domain can
 * have this name: there is no such top level. Programs on this machine can, which is what touch and PIN are for.
 *
 * Whether the user was verified, by PIN or else, changes what hmac-secret gives out from CTAP 2.1 on. So a slot says
 * what it was made with. That a touch is wanted is for the authenticator to insist on; some can be asked without.
 *
 * Whether an authenticator knows the credential is asked first, without touch: nobody should type a PIN, and use up a
 * try, at the wrong one. Some do not say; then they are taken as they are.
 */
#include "token/fido2.h"

#include <stdio.h>
#include <string.h>

#if XTSFS_HAVE_FIDO2

#include <fcntl.h>
#include <fido.h>
#include <time.h>
#include <unistd.h>

#define RELYING_PARTY "io.xtsfs"
#define HMAC_SECRET   "hmac-secret"
#define DEVICES_MAX   16U
#define TIMEOUT_MS    60000
#define PIN_MIN	      4U
#define PIN_MAX	      63U

struct token {
	fido_dev_t *dev;
	const char *path;
	struct timespec begin;
	bool touch; /* is waited for */
	char *problem;
	size_t problem_bytes;
};

/* Nobody checks the signature, so what is signed does not matter. */
static const uint8_t client_data[32];

#define say(token, error, ...) (snprintf((token)->problem, (token)->problem_bytes, __VA_ARGS__), (error))

static int explain_pin(struct token *token)
{
	int left = 0;

	if (fido_dev_get_retry_count(token->dev, &left) != FIDO_OK)
		return say(token, -XTSFS_EPASS, "the authenticator does not accept this PIN");
	return say(token, -XTSFS_EPASS, "the authenticator does not accept this PIN; %d %s left", left,
		   left == 1 ? "try is" : "tries are");
}

/* Its node may be there for a while when the device is not; opening it tells. */
static bool is_gone(const char *path)
{
	int fd;

	if (path[0] != '/')
		return false;
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return true;
	close(fd);
	return false;
}

/* No answer, or none that makes sense. */
static int explain_silence(struct token *token, int error)
{
	struct timespec now;

	if (is_gone(token->path))
		return say(token, -ENODEV, "the authenticator was removed");
	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - token->begin.tv_sec) * 1000 >= TIMEOUT_MS - 1000)
		return say(token, -ETIMEDOUT, "the authenticator did not answer within %d s", TIMEOUT_MS / 1000);
	return say(token, -EIO, "the authenticator at '%s' does not answer as one: %s", token->path,
		   fido_strerr(error));
}

static int explain(struct token *token, int error, const char *what)
{
	switch (error) {
	case FIDO_ERR_NO_CREDENTIALS:
	case FIDO_ERR_INVALID_CREDENTIAL:
		return say(token, -EXDEV,
			   "the authenticator does not know the keyslot's credential: the keyslot was made with "
			   "another one, or this one has been reset since");
	case FIDO_ERR_PIN_INVALID:
		return explain_pin(token);
	case FIDO_ERR_PIN_AUTH_BLOCKED:
		return say(token, -EBUSY,
			   "the authenticator takes no more PINs until it has been taken out and put in again");
	case FIDO_ERR_PIN_BLOCKED:
		return say(token, -EBUSY,
			   "the authenticator's PIN is blocked after too many wrong ones: it can only be reset, and "
			   "then opens none of its keyslots any more");
	case FIDO_ERR_PIN_NOT_SET:
		return say(token, -EOPNOTSUPP, "the authenticator has no PIN any more");
	case FIDO_ERR_PIN_REQUIRED:
		return say(token, -EOPNOTSUPP, "the authenticator wants its PIN, and the keyslot was made without");
	case FIDO_ERR_UV_INVALID:
	case FIDO_ERR_UV_BLOCKED:
		return say(token, -EACCES, "the authenticator does not recognise its user");
	case FIDO_ERR_USER_ACTION_TIMEOUT:
	case FIDO_ERR_ACTION_TIMEOUT:
		return say(token, -ETIMEDOUT, "nobody touched the authenticator in time");
	case FIDO_ERR_OPERATION_DENIED:
		return say(token, -ECANCELED, "it was denied at the authenticator");
	case FIDO_ERR_UNSUPPORTED_OPTION:
	case FIDO_ERR_UP_REQUIRED:
		return say(token, -EOPNOTSUPP, "the authenticator cannot %s in this way%s", what,
			   token->touch ? "" : ": it does not work without being touched");
	case FIDO_ERR_TX:
	case FIDO_ERR_RX:
	case FIDO_ERR_INTERNAL:
		return explain_silence(token, error);
	default:
		return say(token, -EIO, "the authenticator cannot %s: %s", what, fido_strerr(error));
	}
}

static void done(struct token *token)
{
	if (token->dev)
		(void)fido_dev_close(token->dev);
	fido_dev_free(&token->dev);
}

static int begin(struct token *token, const char *path)
{
	int error;

	fido_init(0);
	token->path = path;
	clock_gettime(CLOCK_MONOTONIC, &token->begin);
	if (path[0] == '/' && access(path, R_OK | W_OK) < 0)
		return errno == EACCES || errno == EPERM
			       ? say(token, -EACCES, "no permission to use the authenticator at '%s'", path)
			       : say(token, -ENODEV, "there is no authenticator at '%s'", path);
	token->dev = fido_dev_new();
	if (!token->dev)
		return say(token, -ENOMEM, "not enough memory for the authenticator");
	error = fido_dev_open(token->dev, path);
	if (error != FIDO_OK)
		return explain_silence(token, error);
	(void)fido_dev_set_timeout(token->dev, TIMEOUT_MS);
	return 0;
}

static bool has_hmac_secret(struct token *token)
{
	fido_cbor_info_t *info = fido_cbor_info_new();
	bool has = false;

	if (info && fido_dev_get_cbor_info(token->dev, info) == FIDO_OK)
		for (size_t i = 0; i < fido_cbor_info_extensions_len(info); i++)
			has = has || strcmp(fido_cbor_info_extensions_ptr(info)[i], HMAC_SECRET) == 0;
	fido_cbor_info_free(&info);
	return has;
}

/* A question about the credential, for the caller to ask; NULL for want of memory. */
static fido_assert_t *new_assertion(const struct xtsfs_slot_fido2 *fido2)
{
	fido_assert_t *assert = fido_assert_new();

	if (assert && (fido_assert_set_rp(assert, RELYING_PARTY) != FIDO_OK ||
		       fido_assert_set_clientdata_hash(assert, client_data, sizeof(client_data)) != FIDO_OK ||
		       fido_assert_allow_cred(assert, fido2->credential, fido2->credential_bytes) != FIDO_OK))
		fido_assert_free(&assert);
	return assert;
}

/* 0; 1: it does not say; -EXDEV: it does not know the credential; -ENODEV: it was removed. */
static int ask_for_credential(struct token *token, const struct xtsfs_slot_fido2 *fido2)
{
	fido_assert_t *assert = new_assertion(fido2);
	int error = assert ? fido_assert_set_up(assert, FIDO_OPT_FALSE) : FIDO_ERR_INTERNAL;
	int r = 0;

	if (error == FIDO_OK)
		error = fido_dev_get_assert(token->dev, assert, NULL);
	fido_assert_free(&assert);
	if (error != FIDO_OK)
		r = explain(token, error, "be asked");
	return r == 0 || r == -EXDEV || r == -ENODEV ? r : 1;
}

/* As ask_for_credential(), and the errors of xtsfs_fido2_find(). */
static int look_at(const char *path, const struct xtsfs_slot_fido2 *fido2, struct xtsfs_fido2_device *ret_device,
		   char *ret_problem, size_t problem_bytes)
{
	struct token token = {.problem = ret_problem, .problem_bytes = problem_bytes};
	int r = begin(&token, path);

	if (r == 0 && (!fido_dev_is_fido2(token.dev) || !has_hmac_secret(&token)))
		r = say(&token, -EOPNOTSUPP, "the authenticator at '%s' has no " HMAC_SECRET, path);
	if (r == 0 && fido2)
		r = ask_for_credential(&token, fido2);
	if (r >= 0) {
		snprintf(ret_device->path, sizeof(ret_device->path), "%s", path);
		ret_device->has_pin = fido_dev_has_pin(token.dev);
		ret_device->has_built_in = fido_dev_has_uv(token.dev);
	}
	done(&token);
	return r;
}

static int fail_several(const fido_dev_info_t *list, size_t count, char *ret_problem, size_t problem_bytes)
{
	int used = snprintf(ret_problem, problem_bytes, "there are several authenticators, name one of them:");

	for (size_t i = 0; i < count && used >= 0 && (size_t)used < problem_bytes; i++) {
		const fido_dev_info_t *info = fido_dev_info_ptr(list, i);
		const char *name = fido_dev_info_product_string(info);

		used += snprintf(ret_problem + used, problem_bytes - (size_t)used, "%s %s%s%s%s", i > 0 ? "," : "",
				 fido_dev_info_path(info), *name ? " (" : "", name, *name ? ")" : "");
	}
	return -ENOTUNIQ;
}

static int find_one(const fido_dev_info_t *list, size_t count, const struct xtsfs_slot_fido2 *fido2,
		    struct xtsfs_fido2_device *ret_device, char *ret_problem, size_t problem_bytes)
{
	struct token none = {.problem = ret_problem, .problem_bytes = problem_bytes};
	struct xtsfs_fido2_device silent;
	size_t strangers = 0, silents = 0;

	if (count == 0)
		return say(&none, -ENODEV,
			   "there is no FIDO2 authenticator here, or no permission to use it (/dev/hidraw*)");
	if (count == 1)
		return look_at(fido_dev_info_path(fido_dev_info_ptr(list, 0)), fido2, ret_device, ret_problem,
			       problem_bytes);
	for (size_t i = 0; fido2 && i < count; i++) {
		int r = look_at(fido_dev_info_path(fido_dev_info_ptr(list, i)), fido2, ret_device, ret_problem,
				problem_bytes);

		if (r == 0)
			return 0;
		if (r == 1)
			silent = *ret_device;
		silents += r == 1;
		strangers += r == -EXDEV || r == -EOPNOTSUPP;
	}
	if (silents == 1 && strangers == count - 1) {
		*ret_device = silent;
		return 0;
	}
	if (strangers == count)
		return say(&none, -EXDEV, "none of the %zu authenticators here knows the keyslot's credential", count);
	return fail_several(list, count, ret_problem, problem_bytes);
}

int xtsfs_fido2_find(const char *where, const struct xtsfs_slot_fido2 *fido2, struct xtsfs_fido2_device *ret_device,
		     char *ret_problem, size_t problem_bytes)
{
	struct xtsfs_fido2_device device = {.path = ""};
	fido_dev_info_t *list;
	size_t count = 0;
	int r;

	if (strcmp(where, XTSFS_FIDO2_AUTO) != 0) {
		r = look_at(where, fido2, &device, ret_problem, problem_bytes);
	} else {
		fido_init(0);
		list = fido_dev_info_new(DEVICES_MAX);
		if (!list)
			return -ENOMEM;
		if (fido_dev_info_manifest(list, DEVICES_MAX, &count) != FIDO_OK)
			count = 0;
		r = find_one(list, count, fido2, &device, ret_problem, problem_bytes);
		fido_dev_info_free(&list, DEVICES_MAX);
	}
	if (r < 0)
		return r;
	*ret_device = device;
	return 0;
}

/* The library wants a string. NULL without PIN. */
static int make_string(struct token *token, const struct xtsfs_secret *pin, struct xtsfs_secret **ret_string)
{
	int r;

	if (!pin)
		return 0;
	if (pin->bytes < PIN_MIN || pin->bytes > PIN_MAX || memchr(pin->data, 0, pin->bytes))
		return say(token, -EINVAL, "the PIN of an authenticator has %u to %u bytes", PIN_MIN, PIN_MAX);
	r = xtsfs_secret_new(pin->bytes + 1, ret_string);
	if (r < 0)
		return say(token, r, "cannot lock memory for the PIN: %s", xtsfs_strerror(r));
	memcpy((*ret_string)->data, pin->data, pin->bytes);
	return 0;
}

static const char *string_of(const struct xtsfs_secret *secret)
{
	return secret ? (const char *)secret->data : NULL;
}

static int set_up_credential(fido_cred_t *cred, const uint8_t *uuid, bool built_in)
{
	char text[XTSFS_UUID_CHARS + 1];
	int error = fido_cred_set_type(cred, COSE_ES256);

	xtsfs_uuid_format(uuid, text);
	if (error == FIDO_OK)
		error = fido_cred_set_clientdata_hash(cred, client_data, sizeof(client_data));
	if (error == FIDO_OK)
		error = fido_cred_set_rp(cred, RELYING_PARTY, "xtsfs");
	if (error == FIDO_OK)
		error = fido_cred_set_user(cred, uuid, XTSFS_UUID_BYTES, text, text, NULL);
	if (error == FIDO_OK)
		error = fido_cred_set_extensions(cred, FIDO_EXT_HMAC_SECRET);
	if (error == FIDO_OK && built_in)
		error = fido_cred_set_uv(cred, FIDO_OPT_TRUE);
	return error;
}

static int make(struct token *token, const struct xtsfs_secret *pin, const uint8_t *uuid,
		struct xtsfs_slot_fido2 *fido2)
{
	xtsfs_auto_secret *string = NULL;
	fido_cred_t *cred = NULL;
	int error, r = make_string(token, pin, &string);

	if (r < 0)
		return r;
	cred = fido_cred_new();
	error = cred ? set_up_credential(cred, uuid, fido2->user == XTSFS_FIDO2_USER_BUILT_IN) : FIDO_ERR_INTERNAL;
	token->touch = true;
	if (error == FIDO_OK)
		error = fido_dev_make_cred(token->dev, cred, string_of(string));
	if (error != FIDO_OK) {
		r = explain(token, error, "make a credential");
	} else if (fido_cred_id_len(cred) < 1 || fido_cred_id_len(cred) > sizeof(fido2->credential)) {
		r = say(token, -EIO, "the authenticator made a credential of %zu bytes, not 1 to %zu",
			fido_cred_id_len(cred), sizeof(fido2->credential));
	} else {
		fido2->credential_bytes = (unsigned)fido_cred_id_len(cred);
		memcpy(fido2->credential, fido_cred_id_ptr(cred), fido2->credential_bytes);
	}
	fido_cred_free(&cred);
	return r;
}

static int set_up_question(fido_assert_t *assert, const struct xtsfs_slot_fido2 *fido2)
{
	int error = fido_assert_set_extensions(assert, FIDO_EXT_HMAC_SECRET);

	if (error == FIDO_OK)
		error = fido_assert_set_hmac_salt(assert, fido2->salt, sizeof(fido2->salt));
	/* Touch is what is done if nothing is said. */
	if (error == FIDO_OK && !fido2->touch)
		error = fido_assert_set_up(assert, FIDO_OPT_FALSE);
	if (error == FIDO_OK && fido2->user == XTSFS_FIDO2_USER_BUILT_IN)
		error = fido_assert_set_uv(assert, FIDO_OPT_TRUE);
	return error;
}

static int get(struct token *token, const struct xtsfs_secret *pin, const struct xtsfs_slot_fido2 *fido2,
	       struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_secret *string = NULL;
	xtsfs_auto_secret *secret = NULL;
	fido_assert_t *assert = NULL;
	int error, r = make_string(token, pin, &string);

	if (r == 0 && (r = xtsfs_secret_new(XTSFS_FIDO2_SECRET_BYTES, &secret)) < 0)
		return say(token, r, "cannot lock memory for the key: %s", xtsfs_strerror(r));
	if (r < 0)
		return r;
	assert = new_assertion(fido2);
	error = assert ? set_up_question(assert, fido2) : FIDO_ERR_INTERNAL;
	token->touch = fido2->touch;
	if (error == FIDO_OK)
		error = fido_dev_get_assert(token->dev, assert, string_of(string));
	if (error != FIDO_OK)
		r = explain(token, error, "give out the key");
	else if (fido_assert_count(assert) != 1 || fido_assert_hmac_secret_len(assert, 0) != secret->bytes)
		r = say(token, -EOPNOTSUPP, "the authenticator at '%s' gives nothing out by " HMAC_SECRET, token->path);
	else
		memcpy(secret->data, fido_assert_hmac_secret_ptr(assert, 0), secret->bytes);
	fido_assert_free(&assert);
	if (r < 0)
		return r;
	*ret_secret = secret;
	secret = NULL;
	return 0;
}

int xtsfs_fido2_make(const char *path, const struct xtsfs_secret *pin, const uint8_t uuid[static XTSFS_UUID_BYTES],
		     struct xtsfs_slot_fido2 *fido2, char *ret_problem, size_t problem_bytes)
{
	struct token token = {.problem = ret_problem, .problem_bytes = problem_bytes};
	int r = begin(&token, path);

	if (r == 0)
		r = make(&token, pin, uuid, fido2);
	done(&token);
	return r;
}

int xtsfs_fido2_get(const char *path, const struct xtsfs_secret *pin, const struct xtsfs_slot_fido2 *fido2,
		    struct xtsfs_secret **ret_secret, char *ret_problem, size_t problem_bytes)
{
	struct token token = {.problem = ret_problem, .problem_bytes = problem_bytes};
	int r = begin(&token, path);

	if (r == 0)
		r = get(&token, fido2->user == XTSFS_FIDO2_USER_PIN ? pin : NULL, fido2, ret_secret);
	done(&token);
	return r;
}

#else

static int missing(char *ret_problem, size_t problem_bytes)
{
	snprintf(ret_problem, problem_bytes, "this build does not know FIDO2 authenticators (libfido2)");
	return -EOPNOTSUPP;
}

int xtsfs_fido2_find(const char *where, const struct xtsfs_slot_fido2 *fido2, struct xtsfs_fido2_device *ret_device,
		     char *ret_problem, size_t problem_bytes)
{
	(void)where;
	(void)fido2;
	(void)ret_device;
	return missing(ret_problem, problem_bytes);
}

int xtsfs_fido2_make(const char *path, const struct xtsfs_secret *pin, const uint8_t uuid[static XTSFS_UUID_BYTES],
		     struct xtsfs_slot_fido2 *fido2, char *ret_problem, size_t problem_bytes)
{
	(void)path;
	(void)pin;
	(void)uuid;
	(void)fido2;
	return missing(ret_problem, problem_bytes);
}

int xtsfs_fido2_get(const char *path, const struct xtsfs_secret *pin, const struct xtsfs_slot_fido2 *fido2,
		    struct xtsfs_secret **ret_secret, char *ret_problem, size_t problem_bytes)
{
	(void)path;
	(void)pin;
	(void)fido2;
	(void)ret_secret;
	return missing(ret_problem, problem_bytes);
}

#endif
