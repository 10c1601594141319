/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl status: what running mounts are and have done.
 *
 * The daemon answers with lines "group.name value". The JSON is made of them without knowing them, so a newer daemon's
 * are shown, too; the text shows what people look at.
 */
#include "commands.h"
#include "mount-client.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/* "a.b.c" becomes members of members. */
static bool add_line(json_object *object, char *name, const char *value)
{
	char *part = strsep(&name, ".");

	while (name) {
		json_object *inner = NULL;

		if (!json_object_object_get_ex(object, part, &inner)) {
			inner = json_object_new_object();
			if (!cli_json_add(object, part, inner))
				return false;
		}
		object = inner;
		part = strsep(&name, ".");
	}
	if (strcmp(part, "read_only") == 0 || strcmp(part, "shared") == 0)
		return cli_json_add(object, part, json_object_new_boolean(strcmp(value, "0") != 0));
	if (is_number(value) && strcmp(part, "name") != 0 && strcmp(part, "version") != 0)
		return cli_json_add(object, part, json_object_new_int64(strtoll(value, NULL, 10)));
	return cli_json_add(object, part, json_object_new_string(value));
}

static json_object *describe(const struct cli_mount *mount, const struct cli_reply *reply, const char *problem)
{
	xtsfs_auto_free char *lines = reply && reply->lines ? strdup(reply->lines) : NULL;
	json_object *object = json_object_new_object();
	char *position = lines, *name, *value;
	bool good;

	good = cli_json_add(object, "mountpoint", json_object_new_string(mount->mountpoint));
	good = good && cli_json_add(object, "source", json_object_new_string(mount->source));
	if (problem)
		good = good && cli_json_add(object, "problem", json_object_new_string(problem));
	while (good && position && cli_reply_next(&position, &name, &value))
		good = add_line(object, name, value);
	if (!good) {
		json_object_put(object);
		object = NULL;
	}
	return object;
}

static const char *member(json_object *object, const char *a, const char *b, const char *c)
{
	json_object *value = object;
	const char *const path[] = {a, b, c};

	for (unsigned i = 0; i < 3 && path[i]; i++)
		if (!json_object_object_get_ex(value, path[i], &value))
			return "?";
	return json_object_get_string(value);
}

static const char *size(json_object *object, const char *a, const char *b, char text[static 16])
{
	return xtsfs_format_size(strtoull(member(object, a, b, NULL), NULL, 10), text);
}

static const char *duration(const char *seconds, char text[static 32])
{
	unsigned long long s = strtoull(seconds, NULL, 10);

	if (s >= 86400)
		snprintf(text, 32, "%llu d %llu h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		snprintf(text, 32, "%llu h %llu min", s / 3600, s / 60 % 60);
	else
		snprintf(text, 32, "%llu min %llu s", s / 60, s % 60);
	return text;
}

static void say_requests(json_object *object)
{
	json_object *requests = NULL;
	char line[512] = "";
	size_t used = 0;

	if (!json_object_object_get_ex(object, "requests", &requests))
		return;
	json_object_object_foreach(requests, name, value)
	{
		if (json_object_get_int64(value) && used < sizeof(line) - 64)
			used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s %" PRId64, used ? ", " : "",
						 name, json_object_get_int64(value));
	}
	cli_say("  requests:    %s", used ? line : "none");
}

static void say(json_object *object)
{
	static const char *const classes[] = {"read", "write", "other"};
	char a[16], b[32];

	cli_say("'%s' at '%s'", member(object, "source", NULL, NULL), member(object, "mountpoint", NULL, NULL));
	cli_say("  daemon:      process %s, version %s, %s threads", member(object, "pid", NULL, NULL),
		member(object, "version", NULL, NULL), member(object, "threads", NULL, NULL));
	cli_say("  mounted:     for %s%s%s", duration(member(object, "mounted_s", NULL, NULL), b),
		strcmp(member(object, "read_only", NULL, NULL), "true") == 0 ? ", read-only" : "",
		strcmp(member(object, "shared", NULL, NULL), "true") == 0 ? ", shared" : "");
	cli_say("  encryption:  %s engine, integrity %s, content keys %s", member(object, "engine", NULL, NULL),
		member(object, "integrity", NULL, NULL), member(object, "content_keys", NULL, NULL));
	cli_say("  opened by:   keyslot %s '%s'", member(object, "slot", "id", NULL),
		member(object, "slot", "name", NULL));
	if (strcmp(member(object, "reencrypt", "state", NULL), "?") != 0)
		cli_say("  re-encrypts: %s, walk %s, %s rewritten, problems %s",
			member(object, "reencrypt", "state", NULL), member(object, "reencrypt", "walks", NULL),
			size(object, "reencrypt", "bytes", a), member(object, "reencrypt", "problems", NULL));
	say_requests(object);
	cli_say("  read:        %s", size(object, "bytes", "read", a));
	cli_say("  written:     %s", size(object, "bytes", "written", a));
	for (unsigned i = 0; i < 3; i++)
		cli_say("  %-5s in us:  50%% %s, 90%% %s, 99%% %s, 99.9%% %s", classes[i],
			member(object, "latency_us", classes[i], "p50"),
			member(object, "latency_us", classes[i], "p90"),
			member(object, "latency_us", classes[i], "p99"),
			member(object, "latency_us", classes[i], "p999"));
	cli_say("  errors:      I/O %s, other %s", member(object, "errors", "io", NULL),
		member(object, "errors", "other", NULL));
	cli_say("  caches:      nodes %s, descriptors %s of %s, unwritten %s", member(object, "caches", "nodes", NULL),
		member(object, "caches", "descriptors", NULL), member(object, "caches", "descriptors_max", NULL),
		size(object, "caches", "waiting_bytes", a));
}

/* @ret_object: NULL if it is left out. */
static int ask(const struct cli_mount *mount, bool must, bool json, json_object **ret_object)
{
	struct cli_reply reply = {0};
	int r = cli_mount_ask(mount, "status", NULL, &reply), exit_code = 0;

	*ret_object = NULL;
	if (r < 0 && (must || !json))
		exit_code = cli_mount_fail(mount, r);
	else if (r == 0 && reply.code)
		exit_code = cli_fail_exit(reply.code, "'%s': %s", mount->mountpoint, reply.error);
	else
		*ret_object = describe(mount, &reply, r < 0 ? xtsfs_strerror(r) : NULL);
	if (exit_code == 0 && !*ret_object)
		exit_code = cli_fail(-ENOMEM, "cannot tell");
	free(reply.text);
	return exit_code;
}

int cmd_status(const struct cli_verb *verb, int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	struct cli_mounts mounts;
	json_object *array = NULL;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 0, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_mounts_find(arguments[0], &mounts);
	if (exit_code == 0 && json && !arguments[0])
		array = json_object_new_array();
	for (size_t i = 0; (exit_code == 0 || !arguments[0]) && i < mounts.count; i++) {
		json_object *object;
		int code = ask(&mounts.list[i], arguments[0] != NULL, json, &object);

		if (code)
			exit_code = code;
		else if (array)
			json_object_array_add(array, object);
		else if (json)
			exit_code = cli_print_json(object);
		else
			say(object);
		if (!json)
			json_object_put(object);
	}
	if (array && exit_code == 0)
		exit_code = cli_print_json(array);
	else
		json_object_put(array);
	cli_mounts_done(&mounts);
	return exit_code;
}
