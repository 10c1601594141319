/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new passphrase or keyfile for a keyslot: its source, and what its derivation shall cost.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_NEW_KEY_H
#define XTSFS_TOOLS_NEW_KEY_H

#include "cli-volume.h"
#include "crypto/kdf.h"

struct cli_new_key {
	struct xtsfs_source source;
	const char *tpm, *tpm_pcrs;				    /* seal to a TPM, and to these PCRs */
	uint32_t pcr_mask;					    /* of tpm_pcrs */
	const char *fido2;					    /* an authenticator that makes a credential */
	const char *fido2_pin, *fido2_touch, *fido2_built_in;	    /* yes, no, or NULL */
	bool recovery;						    /* a recovery key is made and shown */
	bool with_passphrase;					    /* ask for one to go with the keyfile */
	const char *slot_name;					    /* NULL: not given */
	uint64_t kdf_time, kdf_memory, kdf_parallel, kdf_target_ms; /* 0: not given; memory in bytes */
};
#define CLI_NEW_KEY_NONE  ((struct cli_new_key){.source = {.passfd = -1}})
#define CLI_KDF_TARGET_MS 2000U

/* For the option table of a verb; @n is a struct cli_new_key. */
#define CLI_KDF_OPTIONS(n)                                                                                            \
	{.name = "kdf-time",                                                                                          \
	 .argument = "N",                                                                                             \
	 .type = CLI_NUMBER,                                                                                          \
	 .value = &(n).kdf_time,                                                                                      \
	 .min = 1,                                                                                                    \
	 .max = XTSFS_ARGON2_MAX_TIME,                                                                                \
	 .help = "passes of Argon2id, instead of measuring"},                                                         \
		{.name = "kdf-memory",                                                                                \
		 .argument = "SIZE",                                                                                  \
		 .type = CLI_SIZE,                                                                                    \
		 .value = &(n).kdf_memory,                                                                            \
		 .min = 8U << 10,                                                                                     \
		 .max = (uint64_t)XTSFS_ARGON2_MAX_MEMORY_KIB << 10,                                                  \
		 .help = "its memory, such as 256M; the most that measuring\nmay choose"},                            \
		{.name = "kdf-parallel",                                                                              \
		 .argument = "N",                                                                                     \
		 .type = CLI_NUMBER,                                                                                  \
		 .value = &(n).kdf_parallel,                                                                          \
		 .min = 1,                                                                                            \
		 .max = XTSFS_ARGON2_MAX_PARALLEL,                                                                    \
		 .help = "its lanes"},                                                                                \
	{                                                                                                             \
		.name = "kdf-target-ms", .argument = "MS", .type = CLI_NUMBER, .value = &(n).kdf_target_ms, .min = 1, \
		.max = 60000, .help = "measure for a derivation of MS milliseconds\n(2000)"                           \
	}
#define CLI_TPM_OPTIONS(n)                                                                        \
	{.name = "new-tpm",                                                                       \
	 .argument = "TCTI",                                                                      \
	 .type = CLI_TEXT,                                                                        \
	 .value = &(n).tpm,                                                                       \
	 .help = "seal the new key to a TPM 2.0: auto, or a TCTI; a new\npassphrase is its PIN"}, \
	{                                                                                         \
		.name = "tpm-pcrs", .argument = "LIST", .type = CLI_TEXT, .value = &(n).tpm_pcrs, \
		.help = "and to these PCRs, such as 0,2,7, or none\n(default: 7)"                 \
	}
#define CLI_FIDO2_OPTIONS(n)                                                                                    \
	{.name = "new-fido2",                                                                                   \
	 .argument = "DEVICE",                                                                                  \
	 .type = CLI_TEXT,                                                                                      \
	 .value = &(n).fido2,                                                                                   \
	 .help = "a FIDO2 authenticator is the new key: auto, or\n/dev/hidrawN; a new passphrase is its PIN"},  \
		{.name = "fido2-pin",                                                                           \
		 .argument = "yes|no",                                                                          \
		 .type = CLI_TEXT,                                                                              \
		 .value = &(n).fido2_pin,                                                                       \
		 .help = "its PIN has to be given (default: yes)"},                                             \
		{.name = "fido2-touch",                                                                         \
		 .argument = "yes|no",                                                                          \
		 .type = CLI_TEXT,                                                                              \
		 .value = &(n).fido2_touch,                                                                     \
		 .help = "it has to be touched (default: yes)"},                                                \
	{                                                                                                       \
		.name = "fido2-verify", .argument = "yes|no", .type = CLI_TEXT, .value = &(n).fido2_built_in,   \
		.help = "it has to recognise its user, by a fingerprint say,\ninstead of the PIN (default: no)" \
	}
#define CLI_WITH_PASSPHRASE_OPTION(n)                                                              \
	{                                                                                          \
		.name = "with-passphrase", .type = CLI_FLAG, .value = &(n).with_passphrase,        \
		.help = "ask for a passphrase to go with the new keyfile or TPM:\nboth are needed" \
	}
#define CLI_SLOT_NAME_OPTION(n)                                                                     \
	{                                                                                           \
		.name = "slot-name", .argument = "NAME", .type = CLI_TEXT, .value = &(n).slot_name, \
		.help = "a name for the keyslot, for people"                                        \
	}
#define CLI_NEW_SOURCE_OPTIONS(n)                                                                          \
	{.name = "new-passfile",                                                                           \
	 .argument = "FILE",                                                                               \
	 .type = CLI_TEXT,                                                                                 \
	 .value = &(n).source.passfile,                                                                    \
	 .help = "the new passphrase, as --passfile"},                                                     \
		{.name = "new-passfd",                                                                     \
		 .argument = "N",                                                                          \
		 .type = CLI_FD,                                                                           \
		 .value = &(n).source.passfd,                                                              \
		 .help = "as --passfd"},                                                                   \
		{.name = "new-passcmd",                                                                    \
		 .argument = "COMMAND",                                                                    \
		 .type = CLI_TEXT,                                                                         \
		 .value = &(n).source.passcmd,                                                             \
		 .help = "as --passcmd"},                                                                  \
		{.name = "new-keyring",                                                                    \
		 .argument = "DESC",                                                                       \
		 .type = CLI_TEXT,                                                                         \
		 .value = &(n).source.keyring,                                                             \
		 .help = "as --keyring, for a passphrase"},                                                \
	{                                                                                                  \
		.name = "new-keyfile", .argument = "FILE", .type = CLI_TEXT, .value = &(n).source.keyfile, \
		.help = "as --keyfile"                                                                     \
	}

/** Make a recovery key, and put @volume_key into a new slot of @conf that it opens. @ret_text: the key as text. An exit
 * code. */
xtsfs_must_check int cli_new_recovery(struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key, const char *name,
				      unsigned *ret_slot, struct xtsfs_secret **ret_text);
/** At most one source, and names and costs that are possible. An exit code. */
xtsfs_must_check int cli_new_key_check(const struct cli_verb *verb, struct cli_new_key *new);
/** Argon2id parameters: those given, or measured. An exit code. */
xtsfs_must_check int cli_new_key_cost(const struct cli_new_key *new, struct xtsfs_argon2 *ret_params);
/**
 * Read the new secret (asked twice at the terminal with @prompt) and put @volume_key into a new slot of @conf called
 * @name. An exit code.
 */
xtsfs_must_check int cli_new_key_add(const struct cli_new_key *new, const char *prompt, struct xtsfs_conf *conf,
				     const struct xtsfs_secret *volume_key, const char *name, unsigned *ret_slot);

/** To standard output past stdio, which would keep a copy. 0 or -errno. */
xtsfs_must_check int cli_write_secret(const void *data, size_t bytes);

#endif
