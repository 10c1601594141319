/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's keyrings, by system calls: add_key(2), keyctl(2).
 *
 * Type "user": its bytes can be read again by who may, which is what the daemon does. A key of type "logon" can be used
 * by the kernel only, and the slot key is derived here.
 *
 * A session without a keyring of its own uses the user's default session keyring. add_key() on the session keyring
 * would then make a new one that ends with this process, and the key with it; so the keyring is first asked for by
 * KEYCTL_GET_KEYRING_ID, which makes none, and used by its number.
 *
 * A key is possessed by who reaches it from the keyrings of his process, and by default only that gives the right to
 * read it. The session's keyring need not lead to the user's (below systemd it does not). So the search puts what it
 * finds into this process' keyring, reads it there, and takes it out again.
 *
 * Of a key that is not there, keyctl(2) says the same as of one that an empty keyring does not have: ENOKEY. One that
 * has expired or was revoked is told as that, as long as the kernel has not collected it.
 *
 * The payload may become longer between being asked for its length and being read; then it is asked again.
 */
#include "base/keyring.h"

#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEY_TYPE "user"

typedef int32_t key_number; /* the kernel's key_serial_t */

static const key_number specials[XTSFS_KEYRING__COUNT] = {
	[XTSFS_KEYRING_SESSION] = KEY_SPEC_SESSION_KEYRING,
	[XTSFS_KEYRING_USER] = KEY_SPEC_USER_KEYRING,
};

static long call_keyctl(int operation, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	long r = syscall(SYS_keyctl, operation, a, b, c, d);

	return r < 0 ? -errno : r;
}

/* Numbers of keyrings may be negative: those of the kernel's special ones are. */
static unsigned long number(key_number key)
{
	return (unsigned long)(long)key;
}

static unsigned long pointer(const void *data)
{
	return (unsigned long)(uintptr_t)data;
}

static int check_description(const char *description)
{
	return description[0] && strlen(description) < 4096 ? 0 : -EINVAL;
}

/* EPERM is how containers forbid the calls; of memory that cannot be locked it says something else. */
static int of_call(long r)
{
	return r == -EPERM ? -ENOSYS : (int)r;
}

static int get_keyring(enum xtsfs_keyring keyring, key_number *ret_keyring)
{
	/* Not made where there is none. */
	long r = call_keyctl(KEYCTL_GET_KEYRING_ID, number(specials[keyring]), 0, 0, 0);

	if (r < 0)
		return of_call(r);
	*ret_keyring = (key_number)r;
	return 0;
}

/* @link_to: where to put what is found, or 0. */
static int search(enum xtsfs_keyring keyring, const char *description, key_number link_to, key_number *ret_key)
{
	long r = call_keyctl(KEYCTL_SEARCH, number(specials[keyring]), pointer(KEY_TYPE), pointer(description),
			     number(link_to));

	if (r < 0)
		return of_call(r);
	*ret_key = (key_number)r;
	return 0;
}

static int read_key(key_number key, struct xtsfs_secret **ret_secret)
{
	for (;;) {
		xtsfs_auto_secret *secret = NULL;
		long bytes = call_keyctl(KEYCTL_READ, number(key), 0, 0, 0);
		int r;

		if (bytes <= 0)
			return bytes < 0 ? (int)bytes : -ENOKEY;
		if (bytes > (long)XTSFS_KEYRING_KEY_MAX_BYTES)
			return -EFBIG;
		r = xtsfs_secret_new((size_t)bytes, &secret);
		if (r < 0)
			return r;
		bytes = call_keyctl(KEYCTL_READ, number(key), pointer(secret->data), secret->bytes, 0);
		if (bytes <= 0)
			return bytes < 0 ? (int)bytes : -ENOKEY;
		if ((size_t)bytes > secret->bytes)
			continue;
		secret->bytes = (size_t)bytes;
		*ret_secret = secret;
		secret = NULL;
		return 0;
	}
}

static int read_from(enum xtsfs_keyring keyring, const char *description, struct xtsfs_secret **ret_secret)
{
	key_number key;
	int r = search(keyring, description, KEY_SPEC_PROCESS_KEYRING, &key);

	if (r < 0)
		return r;
	r = read_key(key, ret_secret);
	/* If that fails it goes with the process. */
	(void)call_keyctl(KEYCTL_UNLINK, number(key), number(KEY_SPEC_PROCESS_KEYRING), 0, 0);
	return r;
}

int xtsfs_keyring_read(const char *description, struct xtsfs_secret **ret_secret)
{
	int r = check_description(description), second;

	if (r == 0)
		r = read_from(XTSFS_KEYRING_SESSION, description, ret_secret);
	if (r != -ENOKEY && r != -EACCES && r != -EKEYEXPIRED && r != -EKEYREVOKED)
		return r;
	second = read_from(XTSFS_KEYRING_USER, description, ret_secret);
	/* What is wrong with a key that is there says more than that there is none. */
	return second == -ENOKEY ? r : second;
}

int xtsfs_keyring_add(enum xtsfs_keyring keyring, const char *description, const struct xtsfs_secret *secret,
		      unsigned timeout_s, bool *ret_of_user)
{
	key_number ring, of_user = 0;
	long key, r = check_description(description);

	if (r == 0 && secret->bytes > XTSFS_KEYRING_KEY_MAX_BYTES)
		r = -EFBIG;
	if (r == 0)
		r = get_keyring(keyring, &ring);
	if (r < 0)
		return (int)r;
	key = syscall(SYS_add_key, KEY_TYPE, description, secret->data, secret->bytes, ring);
	if (key < 0)
		return of_call(-errno);
	if (timeout_s)
		r = call_keyctl(KEYCTL_SET_TIMEOUT, (unsigned long)key, timeout_s, 0, 0);
	if (r < 0) {
		(void)call_keyctl(KEYCTL_REVOKE, (unsigned long)key, 0, 0, 0);
		(void)call_keyctl(KEYCTL_UNLINK, (unsigned long)key, number(ring), 0, 0);
		return (int)r;
	}
	if (keyring == XTSFS_KEYRING_SESSION)
		of_user = (key_number)call_keyctl(KEYCTL_GET_KEYRING_ID, number(KEY_SPEC_USER_SESSION_KEYRING), 0, 0,
						  0);
	if (ret_of_user)
		*ret_of_user = of_user == ring;
	return 0;
}

int xtsfs_keyring_drop(enum xtsfs_keyring keyring, const char *description)
{
	key_number ring, key;
	long r = check_description(description);

	if (r == 0)
		r = get_keyring(keyring, &ring);
	if (r == 0)
		r = search(keyring, description, KEY_SPEC_PROCESS_KEYRING, &key);
	if (r < 0)
		return (int)r;
	r = call_keyctl(KEYCTL_REVOKE, number(key), 0, 0, 0);
	/* It may be in a keyring that is linked to this one; revoked it is collected by the kernel in any case. */
	(void)call_keyctl(KEYCTL_UNLINK, number(key), number(ring), 0, 0);
	(void)call_keyctl(KEYCTL_UNLINK, number(key), number(KEY_SPEC_PROCESS_KEYRING), 0, 0);
	return (int)r;
}
