/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl bench: how fast this machine encrypts, authenticates and derives keys.
 *
 * Measured is what the daemon does: sectors of 4 KiB through the OP handles of one pool, by 1, 2 and as many threads as
 * there are processors, one sector a call and 32 (a request of 128 KiB); tags over what a sector's tag covers; and
 * Argon2id with the parameters that init would choose. Each thread works in memory of its own that fits a processor's
 * cache, for a fixed time, and counts. No file and no mount is part of it: the filesystem is slower than this, and the
 * figures say by how much encryption is to blame.
 *
 * An engine that this machine does not offer is a row that says why. Figures of less than half a second each wander by
 * some percent.
 */
#include "bench-load.h"
#include "commands.h"
#include "new-key.h"

#include "base/parse.h"
#include "crypto/engine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MS 500U
#define WHY_BYTES  256

static const size_t run_sectors[] = {1, 32};
#define RUNS (sizeof(run_sectors) / sizeof(run_sectors[0]))

struct bench {
	unsigned duration_ms;
	unsigned thread_counts[3], thread_count_rows;
	const char *engine_name; /* NULL: all */
	struct cli_new_key new;
	json_object *json; /* NULL: text */
};

static unsigned processors(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : count > 256 ? 256 : (unsigned)count;
}

/* 1, 2 and all, each once. */
static void choose_threads(struct bench *bench)
{
	const unsigned wanted[] = {1, 2, processors()};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		bool there = false;

		for (unsigned j = 0; j < bench->thread_count_rows; j++)
			there |= bench->thread_counts[j] == wanted[i];
		if (!there)
			bench->thread_counts[bench->thread_count_rows++] = wanted[i];
	}
}

/* The array of that name in the result, made if need be; NULL for want of memory, or without JSON. */
static json_object *result_array(const struct bench *bench, const char *name)
{
	json_object *array = NULL;

	if (!bench->json || json_object_object_get_ex(bench->json, name, &array))
		return array;
	array = json_object_new_array();
	return cli_json_add(bench->json, name, array) ? array : NULL;
}

static int append_result(const struct bench *bench, const char *name, json_object *row, bool good)
{
	json_object *array = result_array(bench, name);

	if (good && array && json_object_array_add(array, row) == 0)
		return 0;
	json_object_put(row);
	return cli_fail(-ENOMEM, "cannot note a result");
}

static double mib_per_s(double sectors_per_s)
{
	return sectors_per_s * BENCH_SECTOR_BYTES / (1 << 20);
}

static int report_engine(const struct bench *bench, const char *engine, unsigned threads, size_t sectors,
			 double encrypt, double decrypt)
{
	json_object *row;
	bool good;

	if (!bench->json) {
		cli_say("%-7s %7u %7zu KiB %12.0f /s %7.0f MiB/s %12.0f /s %7.0f MiB/s", engine, threads,
			sectors * BENCH_SECTOR_BYTES >> 10, encrypt, mib_per_s(encrypt), decrypt, mib_per_s(decrypt));
		fflush(stdout);
		return 0;
	}
	row = json_object_new_object();
	good = cli_json_add(row, "engine", json_object_new_string(engine));
	good = good && cli_json_add(row, "threads", json_object_new_int64(threads));
	good = good && cli_json_add(row, "sectors_per_call", json_object_new_int64((int64_t)sectors));
	good = good && cli_json_add(row, "encrypt_sectors_per_s", json_object_new_int64((int64_t)encrypt));
	good = good && cli_json_add(row, "decrypt_sectors_per_s", json_object_new_int64((int64_t)decrypt));
	return append_result(bench, "engines", row, good);
}

static int bench_engine_run(const struct bench *bench, const struct xtsfs_engine *engine, unsigned threads,
			    size_t sectors)
{
	double per_s[2] = {0};

	for (int direction = XTSFS_ENCRYPT; direction <= XTSFS_DECRYPT; direction++) {
		int r = bench_sectors(engine, (enum xtsfs_direction)direction, threads, sectors, bench->duration_ms,
				      &per_s[direction]);

		if (r < 0)
			return cli_fail(r, "cannot measure the %s engine", engine->name);
	}
	return report_engine(bench, engine->name, threads, sectors, per_s[XTSFS_ENCRYPT], per_s[XTSFS_DECRYPT]);
}

static int report_unavailable(const struct bench *bench, const char *engine, const char *why)
{
	json_object *row;
	bool good;

	if (!bench->json) {
		cli_say("%-7s not available: %s", engine, why);
		return 0;
	}
	row = json_object_new_object();
	good = cli_json_add(row, "engine", json_object_new_string(engine));
	good = good && cli_json_add(row, "unavailable", json_object_new_string(why));
	return append_result(bench, "engines", row, good);
}

static int bench_engine(const struct bench *bench, const char *name, enum xtsfs_engine_choice choice)
{
	const struct xtsfs_engine *engine = NULL;
	char why[WHY_BYTES] = "";
	int r, exit_code = 0;

	if (bench->engine_name && strcmp(bench->engine_name, name) != 0)
		return 0;
	r = xtsfs_engine_choose(choice, &engine, why, sizeof(why));
	if (r < 0) {
		exit_code = report_unavailable(bench, name, why[0] ? why : xtsfs_strerror(r));
		/* Asked for by name, its absence is an answer that a script should see. */
		return exit_code					       ? exit_code
		       : bench->engine_name || !xtsfs_engine_is_unavailable(r) ? XTSFS_EXIT_ENGINE
									       : 0;
	}
	for (unsigned i = 0; exit_code == 0 && i < bench->thread_count_rows; i++)
		for (size_t j = 0; exit_code == 0 && j < RUNS; j++)
			exit_code = bench_engine_run(bench, engine, bench->thread_counts[i], run_sectors[j]);
	return exit_code;
}

static int bench_engines(const struct bench *bench)
{
	int kernel, user;

	if (!bench->json)
		cli_say("%-7s %7s %11s %26s %26s", "engine", "threads", "each call", "sectors encrypted",
			"sectors decrypted");
	kernel = bench_engine(bench, "kernel", XTSFS_ENGINE_KERNEL);
	user = bench_engine(bench, "user", XTSFS_ENGINE_USER);
	return kernel ? kernel : user;
}

static int bench_mac(const struct bench *bench, const char *name, enum xtsfs_mac_kind kind, unsigned threads)
{
	json_object *row;
	double per_s;
	bool good;
	int r = bench_tags(kind, threads, bench->duration_ms, &per_s);

	if (r < 0)
		return cli_fail(r, "cannot measure %s", name);
	if (!bench->json) {
		cli_say("%-11s %3u %22.0f /s %7.0f MiB/s", name, threads, per_s, mib_per_s(per_s));
		fflush(stdout);
		return 0;
	}
	row = json_object_new_object();
	good = cli_json_add(row, "integrity", json_object_new_string(name));
	good = good && cli_json_add(row, "threads", json_object_new_int64(threads));
	good = good && cli_json_add(row, "tags_per_s", json_object_new_int64((int64_t)per_s));
	return append_result(bench, "macs", row, good);
}

static int bench_macs(const struct bench *bench)
{
	int exit_code = 0;

	if (!bench->json) {
		cli_say("%s", "");
		cli_say("%-7s %7s %36s", "tags", "threads", "sectors authenticated");
	}
	for (unsigned i = 0; exit_code == 0 && i < bench->thread_count_rows; i++)
		exit_code = bench_mac(bench, "aes-gmac", XTSFS_MAC_AES_GMAC, bench->thread_counts[i]);
	for (unsigned i = 0; exit_code == 0 && i < bench->thread_count_rows; i++)
		exit_code = bench_mac(bench, "hmac-sha256", XTSFS_MAC_HMAC_SHA256, bench->thread_counts[i]);
	return exit_code;
}

static int bench_kdf(const struct bench *bench)
{
	struct xtsfs_argon2 params;
	json_object *object;
	char size[16];
	double ms;
	bool good;
	int r, exit_code = cli_new_key_cost(&bench->new, &params);

	if (exit_code)
		return exit_code;
	r = bench_derivation(&params, &ms);
	if (r < 0)
		return cli_fail(r, "cannot measure the key derivation");
	if (!bench->json) {
		cli_say("%s", "");
		cli_say("key derivation: %.0f ms for Argon2id with %s, %u passes, %u lanes", ms,
			xtsfs_format_size((uint64_t)params.memory_kib << 10, size), params.time, params.parallel);
		return 0;
	}
	object = json_object_new_object();
	good = cli_json_add(object, "type", json_object_new_string("argon2id"));
	good = good && cli_json_add(object, "time", json_object_new_int64(params.time));
	good = good && cli_json_add(object, "memory_kib", json_object_new_int64(params.memory_kib));
	good = good && cli_json_add(object, "parallel", json_object_new_int64(params.parallel));
	good = good && cli_json_add(object, "ms", json_object_new_int64((int64_t)ms));
	if (!good) {
		json_object_put(object);
		return cli_fail(-ENOMEM, "cannot note a result");
	}
	return cli_json_add(bench->json, "kdf", object) ? 0 : cli_fail(-ENOMEM, "cannot note a result");
}

static int run_bench(struct bench *bench)
{
	int engines = bench_engines(bench), exit_code = engines == XTSFS_EXIT_ENGINE ? 0 : engines;

	if (exit_code == 0)
		exit_code = bench_macs(bench);
	if (exit_code == 0)
		exit_code = bench_kdf(bench);
	return exit_code ? exit_code : engines;
}

/* "2" or "0.25" to milliseconds. */
static int parse_seconds(const char *text, unsigned *ret_ms)
{
	char whole[8], fraction[4] = "000";
	const char *point = strchr(text, '.');
	size_t length = point ? (size_t)(point - text) : strlen(text);
	uint64_t s, ms;

	if (length >= sizeof(whole) || (point && (strlen(point + 1) < 1 || strlen(point + 1) > 3)))
		return -EINVAL;
	memcpy(whole, text, length);
	whole[length] = '\0';
	if (point)
		memcpy(fraction, point + 1, strlen(point + 1));
	if (xtsfs_parse_u64(whole, 0, 3600, &s) < 0 || xtsfs_parse_u64(fraction, 0, 999, &ms) < 0 || s * 1000 + ms < 10)
		return -EINVAL;
	*ret_ms = (unsigned)(s * 1000 + ms);
	return 0;
}

int cmd_bench(const struct cli_verb *verb, int argc, char **argv)
{
	struct bench bench = {.duration_ms = DEFAULT_MS, .new = CLI_NEW_KEY_NONE};
	const char *seconds = NULL;
	bool json = false;
	const struct cli_option options[] = {
		{.name = "engine",
		 .argument = "kernel|user",
		 .type = CLI_TEXT,
		 .value = &bench.engine_name,
		 .help = "only this one"},
		{.name = "seconds",
		 .argument = "S",
		 .type = CLI_TEXT,
		 .value = &seconds,
		 .help = "how long to measure each figure, such as 2 or\n0.25 (0.5)"},
		CLI_KDF_OPTIONS(bench.new),
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 0, 0, &arguments, &exit_code))
		return exit_code;
	if (bench.engine_name && strcmp(bench.engine_name, "kernel") != 0 && strcmp(bench.engine_name, "user") != 0)
		return cli_fail_usage(verb, "--engine '%s' is not kernel or user", bench.engine_name);
	if (seconds && parse_seconds(seconds, &bench.duration_ms) < 0)
		return cli_fail_usage(verb, "--seconds '%s' is not a time from 0.01 to 3600", seconds);
	exit_code = cli_new_key_check(verb, &bench.new);
	if (exit_code)
		return exit_code;
	choose_threads(&bench);
	bench.json = json ? json_object_new_object() : NULL;
	if (json && !bench.json)
		return cli_fail(-ENOMEM, "cannot note results");
	exit_code = run_bench(&bench);
	if (json && (exit_code == 0 || exit_code == XTSFS_EXIT_ENGINE)) {
		int printed = cli_print_json(bench.json);

		return exit_code ? exit_code : printed;
	}
	json_object_put(bench.json);
	return exit_code;
}
