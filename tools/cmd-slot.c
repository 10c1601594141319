/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl slot list, add, test, remove.
 *
 * Removing needs the passphrase or keyfile of a slot that stays: it shows that somebody can still open the volume
 * afterwards. That falls out of the order here, the slot is taken out of the config in memory and what is left is
 * unlocked. With --force any slot will do, the removed one too. The last slot is removed by force only: without one
 * nobody can open the volume but by a copy of an older xtsfs.conf, which is how to make its data unreadable.
 *
 * What remains of a removed slot are copies of the old xtsfs.conf: in backups, in snapshots, in free blocks of the
 * disk. Removing protects only against those who have none.
 */
#include "commands.h"
#include "describe.h"
#include "new-key.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PROMPT_BYTES 320

static int cmd_slot_list(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_volume volume = CLI_VOLUME_NONE;
	bool json = false;
	const struct cli_option options[] = {
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_READ, &volume);
	if (exit_code == 0 && json)
		exit_code = cli_print_json(cli_json_slots(volume.conf->config));
	else if (exit_code == 0)
		cli_describe_slots(volume.conf->config, "");
	cli_volume_done(&volume);
	return exit_code;
}

/*
 * The key is shown before the slot is saved: one that nobody could read is of no use, and one that was not saved does
 * no harm. In JSON it is the last member of the slot.
 */
static int add_recovery(struct cli_volume *volume, const struct cli_new_key *new, bool json, unsigned *ret_slot)
{
	static const char open[] = ",\"recovery_key\":\"";
	xtsfs_auto_secret *text = NULL;
	json_object *object = NULL;
	const char *printed = "";
	size_t bytes = 0;
	int r = 0, exit_code = cli_new_recovery(volume->conf, volume->volume_key, new->slot_name ? new->slot_name : "",
						ret_slot, &text);

	if (exit_code)
		return exit_code;
	if (json) {
		object = cli_json_slot(cli_find_slot(volume->conf->config, *ret_slot));
		printed = object ? json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &bytes) : NULL;
		if (!printed || bytes < 2) {
			json_object_put(object);
			return cli_fail(-ENOMEM, "cannot print");
		}
		r = cli_write_secret(printed, bytes - 1);
		if (r == 0)
			r = cli_write_secret(open, sizeof(open) - 1);
	}
	if (r == 0)
		r = cli_write_secret(text->data, text->bytes);
	if (r == 0)
		r = json ? cli_write_secret("\"}\n", 3) : cli_write_secret("\n", 1);
	json_object_put(object);
	if (r < 0)
		return cli_fail_exit(XTSFS_EXIT_IO, "cannot write the recovery key to standard output, refusing: %s",
				     xtsfs_strerror(r));
	return cli_volume_save(volume);
}

static int add_slot(struct cli_volume *volume, const struct cli_new_key *new, bool json, unsigned *ret_slot)
{
	char prompt[PROMPT_BYTES];
	int exit_code;

	if (volume->conf->config->slot_count == XTSFS_CONFIG_SLOTS)
		return cli_fail_exit(XTSFS_EXIT_SLOT, "all %u keyslots of '%s' are in use", XTSFS_CONFIG_SLOTS,
				     volume->dir);
	if (new->recovery)
		return add_recovery(volume, new, json, ret_slot);
	snprintf(prompt, sizeof(prompt), "New passphrase for '%s'", volume->dir);
	exit_code = cli_new_key_add(new, prompt, volume->conf, volume->volume_key, new->slot_name ? new->slot_name : "",
				    ret_slot);
	return exit_code ? exit_code : cli_volume_save(volume);
}

static int cmd_slot_add(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct cli_new_key new = CLI_NEW_KEY_NONE;
	struct cli_volume volume = CLI_VOLUME_NONE;
	bool quiet = false, json = false;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_NEW_SOURCE_OPTIONS(new),
		CLI_TPM_OPTIONS(new),
		CLI_FIDO2_OPTIONS(new),
		CLI_WITH_PASSPHRASE_OPTION(new),
		{.name = "recovery",
		 .type = CLI_FLAG,
		 .value = &new.recovery,
		 .help = "make a recovery key, and print it: to be written down"},
		CLI_SLOT_NAME_OPTION(new),
		CLI_KDF_OPTIONS(new),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	char **arguments, text[CLI_DESCRIPTION_BYTES];
	unsigned slot = 0;
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
		exit_code = add_slot(&volume, &new, json, &slot);
	if (exit_code == 0 && json && !new.recovery)
		exit_code = cli_print_json(cli_json_slot(cli_find_slot(volume.conf->config, slot)));
	else if (exit_code == 0 && !quiet && !json)
		cli_say("Added keyslot %u to '%s': %s.", slot, volume.dir,
			cli_describe_slot(cli_find_slot(volume.conf->config, slot), text));
	cli_volume_done(&volume);
	return exit_code;
}

/* What is told is what opened, and how long that took: where costs were chosen on another machine, people ask. */
static int report_test(const struct cli_volume *volume, uint64_t ms, bool json)
{
	const struct xtsfs_slot *slot = cli_find_slot(volume->conf->config, (unsigned)volume->slot);
	char text[CLI_DESCRIPTION_BYTES];
	json_object *object;

	if (!json) {
		cli_say("Keyslot %u opens '%s': %s%s%s%s, in %llu.%03llu s.", slot->id, volume->dir,
			cli_describe_slot(slot, text), slot->name[0] ? ", '" : "", slot->name, slot->name[0] ? "'" : "",
			(unsigned long long)ms / 1000, (unsigned long long)ms % 1000);
		return 0;
	}
	object = cli_json_slot(slot);
	if (!cli_json_add(object, "ms", json_object_new_int64((int64_t)ms))) {
		json_object_put(object);
		object = NULL;
	}
	return cli_print_json(object);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int cmd_slot_test(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct cli_volume volume = CLI_VOLUME_NONE;
	bool quiet = false, json = false;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	uint64_t begin_ms;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code)
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_READ, &volume);
	begin_ms = now_ms();
	if (exit_code == 0)
		exit_code = cli_volume_unlock(&volume, &unlock);
	if (exit_code == 0 && (json || !quiet))
		exit_code = report_test(&volume, now_ms() - begin_ms, json);
	cli_volume_done(&volume);
	return exit_code;
}

/* Slots that somebody could open the volume with, other than @id. */
static unsigned count_others(const struct xtsfs_config *config, unsigned id)
{
	unsigned count = 0;

	for (unsigned i = 0; i < config->slot_count; i++)
		count += config->slots[i].id != id && config->slots[i].kind != XTSFS_SLOT_UNKNOWN;
	return count;
}

static int check_removal(const struct cli_volume *volume, unsigned id, bool force)
{
	const struct xtsfs_config *config = volume->conf->config;

	if (!cli_find_slot(config, id))
		return cli_fail_exit(XTSFS_EXIT_SLOT, "'%s' has no keyslot %u", volume->dir, id);
	if (config->slot_count == 1 && !force)
		return cli_fail_exit(
			XTSFS_EXIT_SLOT,
			"keyslot %u is the last one of '%s', refusing: nobody could open it again; add another "
			"first, or give --force to make the data unreadable for ever",
			id, volume->dir);
	if (config->slot_count > 1 && count_others(config, id) == 0 && !force)
		return cli_fail_exit(XTSFS_EXIT_SLOT,
				     "keyslot %u is the last one of '%s' that this program can open, refusing; "
				     "with --force only a newer program can open the volume afterwards",
				     id, volume->dir);
	return 0;
}

static int remove_slot(struct cli_volume *volume, const struct cli_unlock *unlock, unsigned id, bool force)
{
	int r, exit_code = check_removal(volume, id, force);

	/* With --force before it is taken out, without it after: what is unlocked then is what stays. */
	if (exit_code == 0 && force)
		exit_code = cli_volume_unlock(volume, unlock);
	if (exit_code)
		return exit_code;
	r = xtsfs_conf_remove_slot(volume->conf, id);
	if (r < 0)
		return cli_fail(r, "cannot remove keyslot %u", id);
	if (!force)
		exit_code = cli_volume_unlock(volume, unlock);
	if (exit_code == XTSFS_EXIT_PASS && !force)
		cli_fail_exit(0,
			      "it takes the passphrase or keyfile of a keyslot that stays; with --force that of "
			      "keyslot %u will do, and you vouch that somebody has one for another",
			      id);
	return exit_code ? exit_code : cli_volume_save(volume);
}

static int cmd_slot_remove(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct cli_volume volume = CLI_VOLUME_NONE;
	uint64_t slot = CLI_UNSET;
	bool quiet = false, force = false;
	const struct cli_option options[] = {
		{.name = "slot",
		 .argument = "N",
		 .type = CLI_NUMBER,
		 .value = &slot,
		 .min = 0,
		 .max = XTSFS_CONFIG_SLOTS - 1,
		 .help = "the keyslot to remove"},
		CLI_SOURCE_OPTIONS(unlock),
		{.name = "force",
		 .type = CLI_FLAG,
		 .value = &force,
		 .help = "take the passphrase of the keyslot that is removed, too, and\nremove the last one; nobody "
			 "may be able to open the "
			 "volume afterwards"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && slot == CLI_UNSET)
		exit_code = cli_fail_usage(verb, "--slot N is missing: which one?");
	if (exit_code)
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_CHANGE, &volume);
	if (exit_code == 0)
		exit_code = remove_slot(&volume, &unlock, (unsigned)slot, force);
	if (exit_code == 0 && !quiet)
		cli_say("Removed keyslot %u of '%s'; copies of the old xtsfs.conf, such as header backups, still have "
			"it.",
			(unsigned)slot, volume.dir);
	if (exit_code == 0 && volume.conf->config->slot_count == 0)
		cli_fail_exit(0, "'%s' has no keyslots any more: without such a copy nobody can ever read it",
			      volume.dir);
	cli_volume_done(&volume);
	return exit_code;
}

const struct cli_verb cli_slot_verbs[] = {
	{"slot list", cmd_slot_list, "List the keyslots", "[OPTION]... DIR"},
	{"slot add", cmd_slot_add, "Add a keyslot with a new passphrase or keyfile", "[OPTION]... DIR"},
	{"slot test", cmd_slot_test, "Try a keyslot, without mounting", "[OPTION]... DIR"},
	{"slot remove", cmd_slot_remove, "Remove a keyslot", "--slot N [OPTION]... DIR"},
	{.name = NULL},
};
