/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl key add, drop: passphrases and keyfiles in the kernel's keyrings, for mounting with -o keyring=DESC.
 *
 * A key in the session's keyring is for what that login session starts; one in the user's is for all processes of the
 * user, also those of other sessions and of services. Without a keyring of its own a session uses the user's default
 * one, so that the key is not for it alone: then it is said.
 *
 * Nothing here knows a volume: whether the key opens one is seen when it is used (xtsfsctl info --verify --keyring).
 */
#include "base/keyring.h"
#include "cli-volume.h"
#include "commands.h"

#include <stdio.h>
#include <string.h>

#define PROMPT_BYTES 320
#define TIMEOUT_MAX  (10ULL * 366 * 86400)

static const char *const names[XTSFS_KEYRING__COUNT] = {
	[XTSFS_KEYRING_SESSION] = "session",
	[XTSFS_KEYRING_USER] = "user",
};

#define IN_OPTION(place, text)                                                                                \
	{                                                                                                     \
		.name = "in", .argument = "session|user", .type = CLI_TEXT, .value = &(place), .help = (text) \
	}

static int parse_keyring(const struct cli_verb *verb, const char *text, enum xtsfs_keyring *ret_keyring)
{
	for (unsigned i = 0; i < XTSFS_KEYRING__COUNT; i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_keyring = (enum xtsfs_keyring)i;
			return 0;
		}
	return cli_fail_usage(verb, "--in '%s' is not session or user", text);
}

static int fail_key(int error, const char *action, const char *description)
{
	switch (-error) {
	case ENOSYS:
		return cli_fail_exit(XTSFS_EXIT_SOURCE, "%s", XTSFS_KEYRING_MISSING);
	case EDQUOT:
		return cli_fail_exit(XTSFS_EXIT_SOURCE,
				     "cannot %s key '%s': the user's quota of keys is used up "
				     "(/proc/key-users, /proc/sys/kernel/keys/maxbytes)",
				     action, description);
	case EFBIG:
		return cli_fail_exit(XTSFS_EXIT_SOURCE, "cannot %s key '%s': a key has at most %u bytes", action,
				     description, XTSFS_KEYRING_KEY_MAX_BYTES);
	default:
		return cli_fail_exit(XTSFS_EXIT_SOURCE, "cannot %s key '%s': %s", action, description,
				     xtsfs_strerror(error));
	}
}

static int cmd_key_add(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	xtsfs_auto_secret *secret = NULL;
	const char *in = names[XTSFS_KEYRING_SESSION];
	enum xtsfs_keyring keyring = XTSFS_KEYRING_SESSION;
	bool quiet = false, is_keyfile, of_user;
	uint64_t timeout_s = 0;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(unlock),
		IN_OPTION(in, "for this login session, or all processes of the\nuser (default: session)"),
		{.name = "timeout",
		 .argument = "SECONDS",
		 .type = CLI_NUMBER,
		 .value = &timeout_s,
		 .min = 1,
		 .max = TIMEOUT_MAX,
		 .help = "wipe it after so long"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		CLI_END,
	};
	char **arguments, prompt[PROMPT_BYTES];
	int exit_code, r;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0)
		exit_code = parse_keyring(verb, in, &keyring);
	if (exit_code)
		return exit_code;
	snprintf(prompt, sizeof(prompt), "Passphrase for key '%s'", arguments[0]);
	exit_code = cli_source_read(&unlock.source, prompt, /* confirm= */ true, &secret, &is_keyfile);
	if (exit_code)
		return exit_code;
	r = xtsfs_keyring_add(keyring, arguments[0], secret, (unsigned)timeout_s, &of_user);
	if (r < 0)
		return fail_key(r, "add", arguments[0]);
	if (of_user)
		cli_fail_exit(0, "this session has no keyring of its own: the key is in that of the user's default "
				 "session, which other processes of the user can read");
	if (!quiet && timeout_s)
		cli_say("Added key '%s' to the %s's keyring, for %llu seconds.", arguments[0], names[keyring],
			(unsigned long long)timeout_s);
	else if (!quiet)
		cli_say("Added key '%s' to the %s's keyring.", arguments[0], names[keyring]);
	return 0;
}

static int cmd_key_drop(const struct cli_verb *verb, int argc, char **argv)
{
	const char *in = NULL;
	enum xtsfs_keyring keyring = XTSFS_KEYRING__COUNT;
	bool quiet = false;
	const struct cli_option options[] = {
		IN_OPTION(in, "from this keyring only"),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		CLI_END,
	};
	int exit_code, result = -ENOKEY;
	char **arguments;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = in ? parse_keyring(verb, in, &keyring) : 0;
	if (exit_code)
		return exit_code;
	for (unsigned i = 0; i < XTSFS_KEYRING__COUNT; i++) {
		int r;

		if (in && i != (unsigned)keyring)
			continue;
		r = xtsfs_keyring_drop((enum xtsfs_keyring)i, arguments[0]);
		if (r == 0 && !quiet)
			cli_say("Dropped key '%s' from the %s's keyring.", arguments[0], names[i]);
		if (r == 0 || (result != 0 && r != -ENOKEY))
			result = r;
	}
	if (result == -ENOKEY)
		return cli_fail_exit(XTSFS_EXIT_SOURCE, "there is no key '%s' in the keyrings of this session and user",
				     arguments[0]);
	return result < 0 ? fail_key(result, "drop", arguments[0]) : 0;
}

const struct cli_verb cli_key_verbs[] = {
	{"key add", cmd_key_add, "Put a passphrase or keyfile into a keyring of the kernel", "[OPTION]... DESC"},
	{"key drop", cmd_key_drop, "Wipe it there", "[OPTION]... DESC"},
	{.name = NULL},
};
