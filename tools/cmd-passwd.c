/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl passwd: another passphrase or keyfile in the place of one.
 *
 * The slot that the old one opens is taken out, a new one gets its number and its name, and both happen by the one
 * replacement of xtsfs.conf: at no time can nobody, or both, open the volume. It works with all 16 slots in use, while
 * the volume is mounted, and without a terminal.
 *
 * The volume key stays, so a copy of the old xtsfs.conf together with the old passphrase still opens the data.
 */
#include "commands.h"
#include "describe.h"
#include "new-key.h"

#include <stdio.h>
#include <string.h>

#define PROMPT_BYTES 320

/* The slot added last, to place @index with number @id. */
static void move_last_slot(struct xtsfs_config *config, unsigned index, unsigned id)
{
	struct xtsfs_slot slot = config->slots[config->slot_count - 1];

	slot.id = id;
	memmove(&config->slots[index + 1], &config->slots[index],
		(config->slot_count - 1 - index) * sizeof(config->slots[0]));
	config->slots[index] = slot;
}

static int replace_slot(struct cli_volume *volume, const struct cli_new_key *new)
{
	struct xtsfs_config *config = volume->conf->config;
	const struct xtsfs_slot *old = cli_find_slot(config, (unsigned)volume->slot);
	char prompt[PROMPT_BYTES], name[XTSFS_SLOT_NAME_MAX + 1];
	unsigned id, index;
	int r, exit_code;

	if (!old)
		return cli_fail(-ENOENT, "cannot find keyslot %d", volume->slot);
	id = old->id;
	index = (unsigned)(old - config->slots);
	strcpy(name, new->slot_name ? new->slot_name : old->name);
	r = xtsfs_conf_remove_slot(volume->conf, id);
	if (r < 0)
		return cli_fail(r, "cannot take out keyslot %u", id);
	snprintf(prompt, sizeof(prompt), "New passphrase for '%s'", volume->dir);
	exit_code = cli_new_key_add(new, prompt, volume->conf, volume->volume_key, name, NULL);
	if (exit_code)
		return exit_code;
	move_last_slot(config, index, id);
	return cli_volume_save(volume);
}

int cmd_passwd(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct cli_new_key new = CLI_NEW_KEY_NONE;
	struct cli_volume volume = CLI_VOLUME_NONE;
	bool quiet = false;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_NEW_SOURCE_OPTIONS(new),
		CLI_TPM_OPTIONS(new),
		CLI_FIDO2_OPTIONS(new),
		CLI_WITH_PASSPHRASE_OPTION(new),
		CLI_SLOT_NAME_OPTION(new),
		CLI_KDF_OPTIONS(new),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		CLI_END,
	};
	char **arguments, text[CLI_DESCRIPTION_BYTES];
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0)
		exit_code = cli_new_key_check(verb, &new);
	if (exit_code)
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_CHANGE, &volume);
	if (exit_code == 0)
		exit_code = cli_volume_unlock(&volume, &unlock);
	if (exit_code == 0)
		exit_code = replace_slot(&volume, &new);
	if (exit_code == 0 && !quiet)
		cli_say("Changed keyslot %d of '%s': %s.", volume.slot, volume.dir,
			cli_describe_slot(cli_find_slot(volume.conf->config, (unsigned)volume.slot), text));
	cli_volume_done(&volume);
	return exit_code;
}
