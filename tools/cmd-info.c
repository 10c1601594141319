/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl info: what can be known of a volume.
 *
 * Without --verify nothing vouches for it: these are the words of a file that anybody who can write to the directory
 * may have edited. With --verify a passphrase or keyfile opens a slot and the HMAC is checked; the facts are shown only
 * if it is right.
 */
#include "cli-volume.h"
#include "commands.h"
#include "describe.h"
#include "header-note.h"

#include <stdio.h>
#include <string.h>

struct facts {
	const struct xtsfs_config *config;
	const char *dir;
	struct cli_holder holder;
	bool unclean, verified;
	const char *copy; /* of xtsfs.conf: "same", "differs", "missing", "used" */
	struct header_note backup;
};

static json_object *features(const struct xtsfs_config *config)
{
	json_object *object = NULL;

	json_object_object_get_ex(config->document, "features", &object);
	return object;
}

static void say_features(const struct xtsfs_config *config, const char *name)
{
	json_object *array = NULL;

	json_object_object_get_ex(features(config), name, &array);
	for (size_t i = 0; array && i < json_object_array_length(array); i++)
		cli_say("  feature:       %s (%s)", json_object_get_string(json_object_array_get_idx(array, i)), name);
}

static const char *copy_sentence(const struct facts *facts)
{
	if (strcmp(facts->copy, "same") == 0)
		return "good";
	if (strcmp(facts->copy, "used") == 0)
		return "USED, xtsfs.conf is missing or damaged; run xtsfsctl header repair";
	if (strcmp(facts->copy, "missing") == 0)
		return "missing; xtsfsctl header repair makes one";
	return "DIFFERS, it may open with removed passphrases; run xtsfsctl header repair";
}

/* null, or an object */
static bool add_backup(json_object *object, const struct header_note *note)
{
	json_object *backup = NULL;

	if (!note->known)
		return json_object_object_add(object, "header_backup", NULL) == 0;
	backup = json_object_new_object();
	if (cli_json_add(backup, "created", json_object_new_string(note->created)) &&
	    cli_json_add(backup, "current", json_object_new_boolean(note->current)))
		return cli_json_add(object, "header_backup", backup);
	json_object_put(backup);
	return false;
}

static int print_text(const struct facts *facts)
{
	const struct xtsfs_config *config = facts->config;
	char uuid[XTSFS_UUID_CHARS + 1];

	xtsfs_uuid_format(config->uuid, uuid);
	cli_say("Volume in '%s'", facts->dir);
	cli_say("  UUID:          %s", uuid);
	cli_say("  format:        %u", XTSFS_FORMAT_VERSION);
	cli_say("  created:       %s", config->created);
	cli_say("  written by:    %s", config->writer);
	cli_say("  integrity:     %s", xtsfs_integrity_name(config->integrity));
	cli_say("  content keys:  %u", config->content_keys);
	if (config->reencrypting)
		cli_say("  re-encryption: begun and not at its end; xtsfsctl reencrypt goes on with it");
	else if (config->key_generation)
		cli_say("  re-encryption: done; this is key %u after the first", config->key_generation);
	say_features(config, "incompatible");
	say_features(config, "compatible");
	cli_say("  shut down:     %s",
		facts->unclean ? (facts->holder.in_use ? "not yet" : "uncleanly, run xtsfsctl fsck") : "cleanly");
	if (facts->holder.in_use)
		cli_say("  in use:        %s%s%s", facts->holder.read_only ? "read-only" : "yes",
			facts->holder.text[0] ? ", by " : "", facts->holder.text);
	else
		cli_say("  in use:        no");
	cli_say("  configuration: %s", facts->verified ? "authentic" : "not checked (--verify checks it)");
	cli_say("  second copy:   %s", copy_sentence(facts));
	cli_say("  header backup: %s%s", facts->backup.known ? facts->backup.created : "none known",
		facts->backup.current ? ""
		: facts->backup.known ? "; KEYSLOTS WERE CHANGED SINCE, make another"
				      : ", make one");
	cli_say("  keyslots:      %u of %u", config->slot_count, XTSFS_CONFIG_SLOTS);
	cli_describe_slots(config, "    ");
	return 0;
}

/* null, or an object */
static bool add_holder(json_object *object, const struct cli_holder *holder)
{
	json_object *use = json_object_new_object();
	bool good;

	if (!holder->in_use) {
		json_object_put(use);
		return json_object_object_add(object, "in_use", NULL) == 0;
	}
	good = cli_json_add(use, "read_only", json_object_new_boolean(holder->read_only));
	good = good && cli_json_add(use, "holder", json_object_new_string(holder->text));
	if (!good) {
		json_object_put(use);
		return false;
	}
	return cli_json_add(object, "in_use", use);
}

static int print_json(const struct facts *facts)
{
	const struct xtsfs_config *config = facts->config;
	json_object *object = json_object_new_object();
	char uuid[XTSFS_UUID_CHARS + 1];
	bool good;

	xtsfs_uuid_format(config->uuid, uuid);
	good = cli_json_add(object, "dir", json_object_new_string(facts->dir));
	good = good && cli_json_add(object, "uuid", json_object_new_string(uuid));
	good = good && cli_json_add(object, "format_version", json_object_new_int64(XTSFS_FORMAT_VERSION));
	good = good && cli_json_add(object, "created", json_object_new_string(config->created));
	good = good && cli_json_add(object, "writer", json_object_new_string(config->writer));
	good = good &&
	       cli_json_add(object, "integrity", json_object_new_string(xtsfs_integrity_name(config->integrity)));
	good = good && cli_json_add(object, "content_keys", json_object_new_int64(config->content_keys));
	good = good && cli_json_add(object, "sector_bytes", json_object_new_int64(XTSFS_BLOCK_BYTES));
	good = good && cli_json_add(object, "features", json_object_get(features(config)));
	good = good && cli_json_add(object, "key_generation", json_object_new_int64(config->key_generation));
	good = good && cli_json_add(object, "reencrypting", json_object_new_boolean(config->reencrypting));
	good = good && cli_json_add(object, "unclean", json_object_new_boolean(facts->unclean));
	good = good && add_holder(object, &facts->holder);
	good = good && cli_json_add(object, "verified", json_object_new_boolean(facts->verified));
	good = good && cli_json_add(object, "conf_copy", json_object_new_string(facts->copy));
	good = good && add_backup(object, &facts->backup);
	good = good && cli_json_add(object, "slots", cli_json_slots(config));
	if (!good) {
		json_object_put(object);
		object = NULL;
	}
	return cli_print_json(object);
}

static int look_around(struct cli_volume *volume, struct facts *facts)
{
	struct stat status;
	int r = volume->store->ops->stat(volume->store, volume->store->root, XTSFS_NAME_UNCLEAN, &status);

	if (r < 0 && r != -ENOENT)
		return cli_fail(r, "cannot look at '%s/%s'", volume->dir, XTSFS_NAME_UNCLEAN);
	facts->unclean = r == 0;
	header_note_read(volume->store, volume->conf, &facts->backup);
	r = volume->why_copy ? 1 : xtsfs_conf_copy_is_same(volume->store, volume->conf);
	if (r < 0 && r != -ENOENT)
		return cli_fail(r, "cannot read '%s/%s'", volume->dir, XTSFS_NAME_CONF_COPY);
	facts->copy = volume->why_copy ? "used" : r == 1 ? "same" : r == 0 ? "differs" : "missing";
	r = cli_volume_holder(volume->store, &facts->holder);
	return r < 0 ? cli_fail(r, "cannot try the lock '%s/%s'", volume->dir, XTSFS_NAME_LOCK) : 0;
}

int cmd_info(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	struct cli_volume volume = CLI_VOLUME_NONE;
	struct facts facts = {0};
	bool json = false, verify = false;
	const struct cli_option options[] = {
		{.name = "verify",
		 .type = CLI_FLAG,
		 .value = &verify,
		 .help = "unlock, and check that nobody edited xtsfs.conf"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code == 0 && !verify && (xtsfs_source_count(&unlock.source) > 0 || unlock.slot != CLI_UNSET))
		exit_code = cli_fail_usage(verb, "a passphrase or keyslot is of use with --verify only");
	if (exit_code)
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_READ, &volume);
	if (exit_code == 0 && verify)
		exit_code = cli_volume_unlock(&volume, &unlock);
	if (exit_code == 0)
		exit_code = look_around(&volume, &facts);
	if (exit_code == 0) {
		facts.config = volume.conf->config;
		facts.dir = volume.dir;
		facts.verified = verify;
		exit_code = json ? print_json(&facts) : print_text(&facts);
	}
	cli_volume_done(&volume);
	return exit_code;
}
