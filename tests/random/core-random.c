/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations through the core against a model, in the manner of fsx.
 *
 *   core-random [--seed N] [--ops N] [--seconds S] [--integrity NAME] [--content-keys N] [--kills] [--crash]
 *               [--power] [--faults] [--directory DIR] [--reference XTSFSREF.PY]
 *
 * Without --seconds one run of --ops operations with --seed; with it, runs with seeds from there on for so long. A run
 * that fails prints its operations, made as few as still fail. --directory: on a directory and not in memory.
 * --kills: go on after a kill between two operations. --crash: look at every point at which each operation could have
 * been killed. --power: at what losses of power may leave. --faults: calls of the store fail. --reference: each run is
 * on a directory, and the independent decoder must find what was written, in its final state.
 */
#undef NDEBUG
#include "crash-check.h"
#include "fault-check.h"
#include "power-check.h"

#include "base/log.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct options {
	uint64_t seed;
	unsigned ops, content_keys;
	double seconds;
	bool one_integrity, kills, crash, power, faults;
	enum xtsfs_integrity integrity;
	const char *directory, *reference;
} options = {.seed = 1, .ops = 1000, .content_keys = 1};
static unsigned long points, unreadable; /* of --crash and --power */

/* The fault that goes with an operation follows from its seed, so that a shorter sequence has the same ones. */
static int faulty_op(struct run *run, struct history *files, const struct op *op)
{
	const struct xtsfs_fault fault = {
		.kinds = op->seed % 3 ? XTSFS_FAULT_CHANGES : XTSFS_FAULT_ANY,
		.nth = (unsigned)(op->seed / 3 % 12),
		.error = op->seed % 2 ? ENOSPC : EIO,
		.cut = op->seed % 5 == 0,
		.forever = op->seed % 7 == 0,
	};

	unsigned other = (op->file + 1) % MODEL_FILES;
	int r;

	for (unsigned file = 0; run->core.waiting_bytes && file < MODEL_FILES; file++) {
		const struct op sync = {.kind = OP_FSYNC, .file = file};

		if (files[file].count > HISTORY_MAX / 2 && run_op(run, &sync) == 0)
			history_clear(&files[file]);
		history_add(&files[file], run->files[file].data, run->files[file].bytes);
	}
	r = fault_fits(op) ? fault_op(run, op, &fault, run->core.waiting_bytes ? files : NULL) : run_op(run, op);
	if (op->kind == OP_EXCHANGE && run->error == 0) {
		const struct history swap = files[op->file];

		files[op->file] = files[other];
		files[other] = swap;
	}
	return r;
}

static void begin_faults(struct run *run, uint64_t seed)
{
	run->core.waiting_bytes = seed % 2 ? 1U << 20 : 0;
	run_make_faulty(run);
}

static int any_op(struct run *run, struct crash *crash, struct power *power, struct history *files, const struct op *op)
{
	if (options.faults)
		return faulty_op(run, files, op);
	if (options.power && power->run)
		return power_fits(op) ? power_op(power, op) : 0;
	return options.crash && crash->run ? crash_op(crash, op) : run_op(run, op);
}

/* One of the logged operations after the other. The index of the one that fails, @count for the end, -1 for none. */
static long replay(const struct op *ops, size_t count, uint64_t seed, enum xtsfs_integrity integrity, char ret_why[256])
{
	struct history files[MODEL_FILES] = {0}; /* of --faults */
	struct crash crash = {0};
	struct power power = {0};
	struct run run;
	long failed = -1;

	run_begin(&run, integrity, options.content_keys, NULL);
	if (options.faults)
		begin_faults(&run, seed);
	else if (options.power)
		power_begin(&power, &run, seed);
	else
		crash_begin(&crash, &run);
	power.cuts *= 20; /* the choices are others, now that the calls are */
	for (size_t i = 0; i < count && failed < 0; i++)
		if (any_op(&run, &crash, &power, files, &ops[i]) < 0)
			failed = (long)i;
	if (crash.run)
		crash_end(&crash);
	if (power.run)
		power_end(&power);
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_clear(&files[file]);
	if (failed < 0 && run_end(&run) < 0)
		failed = (long)count;
	memcpy(ret_why, run.why, sizeof(run.why));
	run_free(&run);
	return failed;
}

/* Leaves out ever smaller parts as long as something still fails. */
static size_t shrink(struct op *ops, size_t count, uint64_t seed, enum xtsfs_integrity integrity)
{
	struct op *fewer = malloc((count + 1) * sizeof(*fewer));
	char why[256];

	assert(fewer);
	for (size_t part = count / 2; part >= 1; part /= 2) {
		for (size_t from = 0; from < count;) {
			size_t out = from + part < count ? part : count - from;
			long failed;

			memcpy(fewer, ops, from * sizeof(*ops));
			memcpy(fewer + from, ops + from + out, (count - from - out) * sizeof(*ops));
			failed = replay(fewer, count - out, seed, integrity, why);
			if (failed < 0) {
				from += part;
				continue;
			}
			count = (size_t)failed < count - out ? (size_t)failed + 1 : count - out;
			memcpy(ops, fewer, count * sizeof(*ops));
		}
	}
	free(fewer);
	return count;
}

static int decode(const char *directory, const struct core *core)
{
	char key_file[] = "/tmp/xtsfs-key-XXXXXX";
	int fd = mkstemp(key_file), status = -1;
	pid_t pid;

	assert(fd >= 0);
	for (size_t i = 0; i < core->key->bytes; i++)
		assert(dprintf(fd, "%02x", core->key->data[i]) == 2);
	close(fd);
	pid = fork();
	if (pid == 0) {
		execl("/usr/bin/python3", "python3", options.reference, "dump", "--require-final",
		      "--volume-key-hex-file", key_file, directory, NULL);
		_exit(127);
	}
	assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	unlink(key_file);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void remove_directory(const char *directory)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	if (system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", directory);
}

/* 0 or 1 */
static int one_run(uint64_t seed, enum xtsfs_integrity integrity)
{
	struct op *ops = calloc(options.ops, sizeof(*ops));
	char directory[256] = "", why[256];
	uint64_t rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	struct history files[MODEL_FILES] = {0}; /* of --faults */
	struct crash crash = {0};
	struct power power = {0};
	size_t count = 0;
	struct run run;
	int r = 0;

	assert(ops);
	if (options.directory || options.reference) {
		snprintf(directory, sizeof(directory), "%s/xtsfs-random-XXXXXX",
			 options.directory ? options.directory : "/tmp");
		assert(mkdtemp(directory));
	}
	run_begin(&run, integrity, options.content_keys, directory[0] ? directory : NULL);
	if (options.crash && !directory[0]) {
		crash_begin(&crash, &run);
		crash.every = 16;
	}
	if (options.power && !directory[0])
		power_begin(&power, &run, rng);
	if (options.faults && !directory[0])
		begin_faults(&run, seed);
	while (r == 0 && count < options.ops) {
		ops[count] = op_random(&rng, &run,
				       options.kills && !options.crash && !options.power && !options.faults &&
					       !directory[0]);
		r = any_op(&run, &crash, &power, files, &ops[count++]);
		r = r < 0 ? r : 0;
	}
	if (crash.run) {
		points += crash.points;
		crash_end(&crash);
	}
	if (power.run) {
		points += power.points;
		unreadable += power.unreadable;
		power_end(&power);
	}
	for (unsigned file = 0; file < MODEL_FILES; file++)
		history_clear(&files[file]);
	if (r == 0)
		r = run_end(&run);
	if (r == 0 && options.reference && decode(directory, &run.core) < 0) {
		r = -1;
		snprintf(run.why, sizeof(run.why), "the independent decoder has objections, see above");
	}
	if (r < 0) {
		fprintf(stderr, "FAILED: seed %llu, integrity %s, after %zu operations: %s\n", (unsigned long long)seed,
			xtsfs_integrity_name(integrity), count, run.why);
		if (directory[0])
			fprintf(stderr, "the volume is %s\n", directory);
	}
	run_free(&run);
	if (r < 0 && !directory[0]) {
		count = shrink(ops, count, seed, integrity);
		(void)replay(ops, count, seed, integrity, why);
		fprintf(stderr, "%zu operations are enough: %s\n", count, why);
		for (size_t i = 0; i < count; i++)
			op_print(&ops[i]);
	}
	if (r == 0 && directory[0])
		remove_directory(directory);
	free(ops);
	return r < 0;
}

static void parse(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"seed", 1, NULL, 's'},	     {"ops", 1, NULL, 'o'},	     {"seconds", 1, NULL, 't'},
		{"integrity", 1, NULL, 'i'}, {"kills", 0, NULL, 'k'},	     {"crash", 0, NULL, 'x'},
		{"power", 0, NULL, 'p'},     {"faults", 0, NULL, 'f'},	     {"directory", 1, NULL, 'd'},
		{"reference", 1, NULL, 'r'}, {"content-keys", 1, NULL, 'c'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 's')
			options.seed = strtoull(optarg, NULL, 0);
		else if (c == 'o')
			options.ops = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 't')
			options.seconds = strtod(optarg, NULL);
		else if (c == 'k')
			options.kills = true;
		else if (c == 'x')
			options.crash = true;
		else if (c == 'p')
			options.power = true;
		else if (c == 'f')
			options.faults = true;
		else if (c == 'd')
			options.directory = optarg;
		else if (c == 'r')
			options.reference = optarg;
		else if (c == 'c')
			options.content_keys = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'i' && xtsfs_integrity_parse(optarg, &options.integrity) == 0)
			options.one_integrity = true;
		else
			exit(2);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double start = now();
	uint64_t seed;
	unsigned runs = 0;

	parse(argc, argv);
	xtsfs_log_init("core-random");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	for (seed = options.seed; seed == options.seed || now() - start < options.seconds; seed++) {
		for (unsigned i = 0; i < 3; i++) {
			if (options.one_integrity && core_integrities[i] != options.integrity)
				continue;
			if (one_run(seed, core_integrities[i]))
				return 1;
			runs++;
		}
	}
	printf("%u runs of %u operations, seeds %llu to %llu, %lu points, %lu with unsynced parts unreadable, %.1f s\n",
	       runs, options.ops, (unsigned long long)options.seed, (unsigned long long)seed - 1, points, unreadable,
	       now() - start);
	return 0;
}
