/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs: each in its cmd-*.c, with its row in xtsfsctl.c.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_COMMANDS_H
#define XTSFS_TOOLS_COMMANDS_H

#include "cli.h"

int cmd_bench(const struct cli_verb *verb, int argc, char **argv);
int cmd_cat(const struct cli_verb *verb, int argc, char **argv);
int cmd_extract(const struct cli_verb *verb, int argc, char **argv);
int cmd_find(const struct cli_verb *verb, int argc, char **argv);
int cmd_fsck(const struct cli_verb *verb, int argc, char **argv);
int cmd_import(const struct cli_verb *verb, int argc, char **argv);
int cmd_info(const struct cli_verb *verb, int argc, char **argv);
int cmd_init(const struct cli_verb *verb, int argc, char **argv);
int cmd_manifest(const struct cli_verb *verb, int argc, char **argv);
int cmd_changed_since(const struct cli_verb *verb, int argc, char **argv);
int cmd_lock(const struct cli_verb *verb, int argc, char **argv);
int cmd_ls(const struct cli_verb *verb, int argc, char **argv);
int cmd_passwd(const struct cli_verb *verb, int argc, char **argv);
int cmd_path(const struct cli_verb *verb, int argc, char **argv);
int cmd_reencrypt(const struct cli_verb *verb, int argc, char **argv);
int cmd_status(const struct cli_verb *verb, int argc, char **argv);
int cmd_unlock(const struct cli_verb *verb, int argc, char **argv);
int cmd_stat(const struct cli_verb *verb, int argc, char **argv);
int cmd_verify(const struct cli_verb *verb, int argc, char **argv);
int cmd_version(const struct cli_verb *verb, int argc, char **argv);

extern const struct cli_verb cli_header_verbs[];
extern const struct cli_verb cli_key_verbs[];
extern const struct cli_verb cli_slot_verbs[];
#if XTSFS_HAVE_ARCHIVE
extern const struct cli_verb cli_tar_verbs[];
#endif

#endif
