/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl version: what this build is, for bug reports and scripts.
 */
#include "commands.h"

#include "crypto/engine.h"
#include "crypto/mac.h"
#include "format/ondisk.h"

#include <openssl/crypto.h>

int cmd_version(const struct cli_verb *verb, int argc, char **argv)
{
	bool json = false, good;
	const struct cli_option options[] = {
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	json_object *object;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 0, 0, &arguments, &exit_code))
		return exit_code;
	if (!json) {
		cli_say("xtsfs %s", XTSFS_VERSION);
		cli_say("on-disk format: %u", XTSFS_FORMAT_VERSION);
		cli_say("kernel engine: %s", XTSFS_HAVE_KCAPI ? "built in" : "not built in");
		cli_say("fastest here: AES-XTS by %s, GMAC by %s", xtsfs_engine_user_library(), xtsfs_gmac_library());
		cli_say("libraries: %s, json-c %s", OpenSSL_version(OPENSSL_VERSION), json_c_version());
		return XTSFS_EXIT_OK;
	}
	object = json_object_new_object();
	good = cli_json_add(object, "version", json_object_new_string(XTSFS_VERSION));
	good = good && cli_json_add(object, "format_version", json_object_new_int64(XTSFS_FORMAT_VERSION));
	good = good && cli_json_add(object, "kernel_engine", json_object_new_boolean(XTSFS_HAVE_KCAPI));
	good = good && cli_json_add(object, "xts_library", json_object_new_string(xtsfs_engine_user_library()));
	good = good && cli_json_add(object, "gmac_library", json_object_new_string(xtsfs_gmac_library()));
	good = good && cli_json_add(object, "openssl", json_object_new_string(OpenSSL_version(OPENSSL_VERSION)));
	good = good && cli_json_add(object, "json_c", json_object_new_string(json_c_version()));
	if (!good) {
		json_object_put(object);
		object = NULL;
	}
	return cli_print_json(object);
}
