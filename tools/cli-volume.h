/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as the verbs see it: its store, its config, and the volume key once unlocked.
 *
 * Layer:   tools.
 * Secrets: the volume key is in locked memory and wiped by cli_volume_done().
 */
#ifndef XTSFS_TOOLS_CLI_VOLUME_H
#define XTSFS_TOOLS_CLI_VOLUME_H

#include "cli.h"

#include "base/passphrase.h"
#include "core/conf.h"
#include "format/ondisk.h"

enum cli_access {
	CLI_READ,   /* nothing is opened for writing */
	CLI_REPAIR, /* as CLI_CHANGE, and what is changed may be that there is a copy of xtsfs.conf only */
	CLI_CHANGE, /* xtsfs.conf is locked against other programs that change it, until cli_volume_done() */
};

struct cli_volume {
	const char *dir;
	struct xtsfs_store *store;
	struct xtsfs_conf *conf;
	struct xtsfs_secret *volume_key; /* NULL until unlocked */
	int slot;			 /* which opened; -1 until then */
	int lock_handle;		 /* CLI_CHANGE, else -1 */
	bool is_reverse;		 /* it is the configuration of a reverse view, aside of a plain directory */
	int why_copy;			 /* conf is the copy: the error of xtsfs.conf; else 0 */
};
#define CLI_VOLUME_NONE ((struct cli_volume){.slot = -1, .lock_handle = -1})

/** Open the directory and load xtsfs.conf. An exit code; cli_volume_done() is due in any case. */
xtsfs_must_check int cli_volume_open(const char *dir, enum cli_access access, struct cli_volume *volume);
void cli_volume_done(struct cli_volume *volume);
/** For verbs that look at what is encrypted. An exit code. */
xtsfs_must_check int cli_volume_refuse_reverse(const struct cli_volume *volume);
/** The store in which xtsfs.conf is: of a volume, or aside of a plain directory (@path, or the file itself). */
xtsfs_must_check int cli_store_open(const char *path, struct xtsfs_store **ret_store, bool *ret_reverse);

/**
 * Wait for the lock on what is xtsfs.conf now. *@ret_handle is to be closed, after saving; it is not written where
 * there is no xtsfs.conf or no locking. 0 or -errno.
 */
xtsfs_must_check int cli_conf_lock(struct xtsfs_store *store, const char *dir, int *ret_handle);

/* What unlocks: options of most verbs. */
struct cli_unlock {
	struct xtsfs_source source;
	uint64_t slot; /* CLI_UNSET: any */
	bool allow_swap;
	struct xtsfs_secret **ret_slot_key; /* NULL, or where the key of the slot that opened goes */
};
#define CLI_UNLOCK_NONE ((struct cli_unlock){.source = {.passfd = -1}, .slot = CLI_UNSET})

/* For the option table of a verb; @u is a struct cli_unlock. */
#define CLI_SOURCE_OPTIONS(u)                                                                             \
	{.name = "passfile",                                                                              \
	 .argument = "FILE",                                                                              \
	 .type = CLI_TEXT,                                                                                \
	 .value = &(u).source.passfile,                                                                   \
	 .help = "read the passphrase from FILE, less one line feed\nat its end; '-' is standard input"}, \
		{.name = "passfd",                                                                        \
		 .argument = "N",                                                                         \
		 .type = CLI_FD,                                                                          \
		 .value = &(u).source.passfd,                                                             \
		 .help = "read the passphrase from the open descriptor N"},                               \
		{.name = "passcmd",                                                                       \
		 .argument = "COMMAND",                                                                   \
		 .type = CLI_TEXT,                                                                        \
		 .value = &(u).source.passcmd,                                                            \
		 .help = "the passphrase is what COMMAND writes"},                                        \
		{.name = "keyring",                                                                       \
		 .argument = "DESC",                                                                      \
		 .type = CLI_TEXT,                                                                        \
		 .value = &(u).source.keyring,                                                            \
		 .help = "use the key DESC of the kernel's keyrings"},                                    \
		{.name = "tpm",                                                                           \
		 .argument = "TCTI",                                                                      \
		 .type = CLI_TEXT,                                                                        \
		 .value = &(u).source.tpm,                                                                \
		 .help = "have a TPM 2.0 give the key out: auto, or how\ntpm2-tss reaches it"},           \
		{.name = "fido2",                                                                         \
		 .argument = "DEVICE",                                                                    \
		 .type = CLI_TEXT,                                                                        \
		 .value = &(u).source.fido2,                                                              \
		 .help = "have a FIDO2 authenticator give the key out: auto,\nor /dev/hidrawN"},          \
		{.name = "keyfile",                                                                       \
		 .argument = "FILE",                                                                      \
		 .type = CLI_TEXT,                                                                        \
		 .value = &(u).source.keyfile,                                                            \
		 .help = "use the bytes of FILE; together with a passphrase for\na keyslot of both"},     \
	{                                                                                                 \
		.name = "allow-swap", .type = CLI_FLAG, .value = &(u).allow_swap,                         \
		.help = "go on where memory for keys cannot be locked"                                    \
	}
#define CLI_SLOT_OPTION(u)                                                                         \
	{                                                                                          \
		.name = "slot", .argument = "N", .type = CLI_NUMBER, .value = &(u).slot, .min = 0, \
		.max = XTSFS_CONFIG_SLOTS - 1, .help = "try keyslot N only"                        \
	}

/** At most one source, and --allow-swap takes effect. An exit code. */
xtsfs_must_check int cli_unlock_check(const struct cli_verb *verb, const struct cli_unlock *unlock);
/** Is a descriptor that is named open? To be asked before files are opened. An exit code: XTSFS_EXIT_SOURCE, or that of
 * a wrong command line for a verb with codes of its own. */
xtsfs_must_check int cli_source_check(const struct cli_verb *verb, const struct xtsfs_source *source);
/** Read from the source; asked at the terminal with @prompt. An exit code. */
xtsfs_must_check int cli_source_read(const struct xtsfs_source *source, const char *prompt, bool confirm,
				     struct xtsfs_secret **ret_secret, bool *ret_is_keyfile);
/** Read from the source, unlock, check the HMAC; three tries at the terminal. An exit code. */
xtsfs_must_check int cli_volume_unlock(struct cli_volume *volume, const struct cli_unlock *unlock);
/** The same for a config that is not in its place, called @what in messages. */
xtsfs_must_check int cli_conf_unlock(const struct xtsfs_conf *conf, const char *what, const struct cli_unlock *unlock,
				     struct xtsfs_secret **ret_volume_key, int *ret_slot);
/** Ask the user to touch an authenticator, on standard error; for struct xtsfs_unlock_way. */
void cli_prompt_touch(void *context, const char *text);
/** Save the changed config. An exit code. */
xtsfs_must_check int cli_volume_save(struct cli_volume *volume);

/** cli_fail(), but where locked memory was refused it says what to do, and its exit code is that of memory. */
__attribute__((format(printf, 2, 3))) int cli_fail_keys(int error, const char *format, ...);
/** The sentence for a config that cannot be used. @what: "'dir/xtsfs.conf'". */
int cli_fail_conf(int error, const char *what, const char *problem);

/* Who has the volume. */
struct cli_holder {
	bool in_use, read_only;
	char text[256]; /* of xtsfs.lock, may be empty */
};
/** Tries the lock and gives it back at once. 0 or -errno. */
xtsfs_must_check int cli_volume_holder(struct xtsfs_store *store, struct cli_holder *ret_holder);

#endif
