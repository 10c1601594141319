/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts of a config, for people and as JSON.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_DESCRIBE_H
#define XTSFS_TOOLS_DESCRIBE_H

#include "cli.h"
#include "format/config.h"

/** A line for each slot on stdout, each begun with @indent. */
void cli_describe_slots(const struct xtsfs_config *config, const char *indent);
/** An array of objects; NULL for want of memory. */
json_object *cli_json_slots(const struct xtsfs_config *config);
json_object *cli_json_slot(const struct xtsfs_slot *slot);
#define CLI_DESCRIPTION_BYTES 192
/** "passphrase, Argon2id 1 GiB, 4 passes, 4 lanes" in @ret_text. Returns it. */
const char *cli_describe_slot(const struct xtsfs_slot *slot, char ret_text[static CLI_DESCRIPTION_BYTES]);
/** The slot of that number, or NULL. */
const struct xtsfs_slot *cli_find_slot(const struct xtsfs_config *config, unsigned id);

#endif
