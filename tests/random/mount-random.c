/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations through a mount against a model, by system calls, in one process or in several.
 *
 *   mount-random [--seed N] [--ops N] [--seconds S] [--processes N] [--integrity MODE] [--content-keys N]
 *                [--engine NAME] [--threads N] [--options OPTIONS] [--dir DIR] [--work DIR] [--programs DIR]
 *                [--replay FILE] [--save FILE] [--tries N] [--shrink-seconds S] [--no-shrink] [--keep] [--old-seeks]
 *                [--verbose]
 *
 * Without --seconds one run of --ops operations of each process with --seed; with it, runs with seeds from there on for
 * so long. Without --integrity the modes take turns with the seeds. Each run is on a fresh volume, made in --work
 * ($TMPDIR) with the programs in --programs (those of the build), and ends with an unmount and fsck. --dir: in a
 * directory, and no volume at all: to see whether this program itself is right, on a filesystem that is.
 *
 * A run that fails prints why, and its operations, made as few as still fail (each attempt on a fresh volume, with
 * several processes up to --tries times), which also go to a file for --replay (--save; mount-random.replay). --keep:
 * the volumes of runs that failed stay. --old-seeks: SEEK_DATA and SEEK_HOLE may be EINVAL, as those of files that are
 * open for writing are on kernels with a FUSE before 7.44. --verbose: every operation as it is done. Exit status 1:
 * something failed.
 *
 * Every process has a directory of its own with a model of its own, names of its own in a common directory, and bytes
 * of its own in shared files.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 120.0 /* seconds without any progress are a hang */

struct options options = {
	.seed = 1,
	.ops = 1000,
	.processes = 1,
	.content_keys = 1,
	.tries = 4,
	.shrink_seconds = 300,
	.save = "mount-random.replay",
};
struct figures figures;
static const char *const modes[] = {"aes-gmac", "hmac-sha256", "none"};
volatile sig_atomic_t stopped;

struct worker {
	pid_t pid; /* 0: ended */
	int socket;
	char wish; /* 0: works */
	struct control *control;
	size_t control_bytes;
};

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void begin_worker(struct worker *worker, unsigned who, const struct op *list, size_t count, const char *top,
			 const struct worker *others)
{
	size_t room = list ? count : options.ops;
	int sockets[2];

	*worker = (struct worker){.control_bytes = sizeof(struct control) + (room + 1) * sizeof(struct op)};
	worker->control = mmap(NULL, worker->control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(worker->control != MAP_FAILED);
	for (size_t i = 0; list && i < count; i++)
		if (list[i].who == who)
			worker->control->ops[worker->control->count++] = list[i];
	if (list && worker->control->count == 0) /* nothing to do is not the same as free to choose */
		worker->control->ops[worker->control->count++] = (struct op){.who = (uint8_t)who, .kind = K_CLOSE};
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
	worker->socket = sockets[0];
	worker->pid = fork();
	assert(worker->pid >= 0);
	if (worker->pid == 0) {
		for (unsigned i = 0; i < who; i++)
			close(others[i].socket);
		close(sockets[0]);
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_DFL);
		work(who, worker->control, sockets[1], top);
	}
	close(sockets[1]);
}

/* 0, or -1 and why it failed. */
static int reap_worker(struct worker *worker, unsigned who, char why[600])
{
	struct rusage used;
	int status;

	assert(wait4(worker->pid, &status, 0, &used) == worker->pid);
	worker->pid = 0;
	worker->wish = 0;
	figures.self_cpu += (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			    (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (why[0])
		return -1; /* the first one counts */
	if (worker->control->failed)
		snprintf(why, 600, "process %u, operation %u of %u: %.540s", who, worker->control->done,
			 worker->control->count, worker->control->why);
	else
		snprintf(why, 600, "process %u, operation %u: ended with status %#x (%.400s)", who,
			 worker->control->done + 1, (unsigned)status, worker->control->why);
	return -1;
}

/* Those who wait go on when all do. */
static int let_go_on(struct volume *v, struct worker *workers, char why[600])
{
	bool mount = false;

	for (unsigned i = 0; i < options.processes; i++) {
		if (workers[i].pid && !workers[i].wish)
			return 0;
		mount |= workers[i].wish == 'R';
	}
	if (mount) {
		if (volume_unmount(v) < 0 || volume_mount(v) < 0) {
			snprintf(why, 600, "remounting failed");
			return -1;
		}
		figures.remounts++;
	}
	for (unsigned i = 0; i < options.processes; i++) {
		if (workers[i].wish && send(workers[i].socket, "G", 1, MSG_NOSIGNAL) != 1 && errno != EPIPE)
			return -1;
		workers[i].wish = 0;
	}
	return 0;
}

static int supervise(struct volume *v, struct worker *workers, char why[600])
{
	double last = now();
	unsigned long before = 0;
	int r = 0;

	while (r == 0) {
		struct pollfd polls[PROCESSES];
		unsigned long done = 0;
		unsigned running = 0;

		for (unsigned i = 0; i < options.processes; i++) {
			polls[i] = (struct pollfd){.fd = workers[i].pid ? workers[i].socket : -1, .events = POLLIN};
			done += __atomic_load_n(&workers[i].control->done, __ATOMIC_RELAXED);
			running += workers[i].pid != 0;
		}
		if (running == 0)
			return 0;
		if (done != before || poll(polls, options.processes, 1000) > 0)
			last = now();
		before = done;
		if (poll(polls, options.processes, 100) < 0 && errno != EINTR)
			return -1;
		if (stopped || now() - last > PATIENCE) {
			snprintf(why, 600, stopped ? "stopped by a signal" : "nothing went on for %.0f s", PATIENCE);
			return -1;
		}
		for (unsigned i = 0; r == 0 && i < options.processes; i++)
			if (workers[i].pid && polls[i].revents && recv(workers[i].socket, &workers[i].wish, 1, 0) != 1)
				r = reap_worker(&workers[i], i, why);
		if (r == 0)
			r = let_go_on(v, workers, why);
	}
	return r;
}

static void collect(struct worker *workers, struct op **ret_ops, size_t *ret_count)
{
	*ret_count = 0;
	*ret_ops = NULL;
	for (unsigned i = 0; i < options.processes; i++) {
		const struct control *control = workers[i].control;

		*ret_ops = realloc(*ret_ops, (*ret_count + control->count + 1) * sizeof(**ret_ops));
		assert(*ret_ops);
		memcpy(*ret_ops + *ret_count, control->ops, control->count * sizeof(**ret_ops));
		*ret_count += control->count;
	}
}

int run_once(uint64_t seed, const struct op *list, size_t count, struct op **ret_ops, size_t *ret_count, char why[600])
{
	struct worker workers[PROCESSES];
	char common[400];
	struct volume v;
	int r;

	why[0] = 0;
	options.seed = seed;
	if (volume_make(&v) < 0) {
		snprintf(why, 600, "no volume");
		return 1;
	}
	snprintf(common, sizeof(common), "%s/common", v.top);
	assert(mkdir(common, 0777) == 0 && chmod(common, 0777) == 0);
	shared_make(v.top);
	for (unsigned i = 0; i < options.processes; i++)
		begin_worker(&workers[i], i, list, count, v.top, workers);
	r = supervise(&v, workers, why);
	for (unsigned i = 0; i < options.processes; i++)
		if (workers[i].pid)
			kill(workers[i].pid, SIGKILL);
	if (r < 0 && !stopped && strstr(why, "nothing went on"))
		volume_kill(&v); /* or those who wait for it cannot even be killed */
	for (unsigned i = 0; i < options.processes; i++) {
		if (workers[i].pid)
			(void)reap_worker(&workers[i], i, why);
		close(workers[i].socket);
		figures.ops += workers[i].control->done;
		figures.skipped += workers[i].control->skipped;
		figures.bytes += workers[i].control->bytes;
	}
	if (ret_ops && ret_count)
		collect(workers, ret_ops, ret_count);
	for (unsigned i = 0; i < options.processes; i++)
		munmap(workers[i].control, workers[i].control_bytes);
	if (volume_finish(&v, r == 0) < 0 && r == 0) {
		r = -1;
		snprintf(why, 600, "at the end: see above");
	}
	figures.runs++;
	return r < 0;
}

static void save(const struct op *ops, size_t count, const char *why)
{
	FILE *out = fopen(options.save, "we");

	if (!out) {
		fprintf(stderr, "cannot write %s\n", options.save);
		return;
	}
	fprintf(out, "# --seed %llu --processes %u --integrity %s --content-keys %u\n# %s\n",
		(unsigned long long)options.seed, options.processes, options.integrity, options.content_keys, why);
	for (size_t i = 0; i < count; i++)
		op_print(out, &ops[i]);
	fclose(out);
	fprintf(stderr, "they are in %s, for --replay\n", options.save);
}

static int one_seed(uint64_t seed, const struct op *list, size_t list_count)
{
	struct op *ops = NULL;
	size_t count = 0;
	char why[600];

	if (run_once(seed, list, list_count, &ops, &count, why) == 0) {
		free(ops);
		return 0;
	}
	fprintf(stderr, "FAILED: seed %llu, integrity %s, %u processes, %zu operations: %s\n", (unsigned long long)seed,
		options.integrity, options.processes, count, why);
	if (!stopped) {
		save(ops, count, why);
		if (!options.no_shrink) {
			count = shrink(ops, count, seed, why);
			fprintf(stderr, "%zu operations are enough: %s\n", count, why);
			for (size_t i = 0; i < count; i++)
				op_print(stderr, &ops[i]);
			save(ops, count, why);
		}
	}
	free(ops);
	return 1;
}

static struct op *load(size_t *ret_count)
{
	FILE *in = fopen(options.replay, "re");
	struct op *ops = NULL;
	char line[400];

	*ret_count = 0;
	while (in && fgets(line, sizeof(line), in)) {
		struct op *more = realloc(ops, (*ret_count + 1) * sizeof(*ops));

		assert(more);
		ops = more;
		if (op_parse(line, &ops[*ret_count])) {
			if (ops[*ret_count].who >= options.processes)
				options.processes = ops[*ret_count].who + 1U;
			++*ret_count;
		} else if (line[0] != '#') {
			fprintf(stderr, "not understood: %s", line);
			exit(2);
		}
	}
	if (*ret_count == 0) {
		fprintf(stderr, "no operations in %s\n", options.replay);
		exit(2);
	}
	fclose(in);
	return ops;
}

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

enum {
	O_SEED = 1,
	O_OPS,
	O_SECONDS,
	O_PROCESSES,
	O_INTEGRITY,
	O_KEYS,
	O_ENGINE,
	O_THREADS,
	O_OPTIONS,
	O_DIR,
	O_WORK,
	O_PROGRAMS,
	O_REPLAY,
	O_SAVE,
	O_TRIES,
	O_SHRINK,
	O_NO_SHRINK,
	O_KEEP,
	O_OLD_SEEKS,
	O_VERBOSE
};

static void parse(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"seed", 1, NULL, O_SEED},	     {"ops", 1, NULL, O_OPS},
		{"seconds", 1, NULL, O_SECONDS},     {"processes", 1, NULL, O_PROCESSES},
		{"integrity", 1, NULL, O_INTEGRITY}, {"content-keys", 1, NULL, O_KEYS},
		{"engine", 1, NULL, O_ENGINE},	     {"threads", 1, NULL, O_THREADS},
		{"options", 1, NULL, O_OPTIONS},     {"dir", 1, NULL, O_DIR},
		{"work", 1, NULL, O_WORK},	     {"programs", 1, NULL, O_PROGRAMS},
		{"replay", 1, NULL, O_REPLAY},	     {"save", 1, NULL, O_SAVE},
		{"tries", 1, NULL, O_TRIES},	     {"shrink-seconds", 1, NULL, O_SHRINK},
		{"no-shrink", 0, NULL, O_NO_SHRINK}, {"keep", 0, NULL, O_KEEP},

		{"old-seeks", 0, NULL, O_OLD_SEEKS},

		{"verbose", 0, NULL, O_VERBOSE},     {0}};
	const char **texts[] = {[O_INTEGRITY] = &options.integrity,
				[O_ENGINE] = &options.engine,
				[O_OPTIONS] = &options.mount_options,
				[O_DIR] = &options.dir,
				[O_WORK] = &options.work,
				[O_PROGRAMS] = &options.programs,
				[O_REPLAY] = &options.replay,
				[O_SAVE] = &options.save};
	unsigned *numbers[] = {[O_OPS] = &options.ops,
			       [O_PROCESSES] = &options.processes,
			       [O_KEYS] = &options.content_keys,
			       [O_THREADS] = &options.threads,
			       [O_TRIES] = &options.tries};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == '?')
			exit(2);
		else if (c == O_SEED)
			options.seed = strtoull(optarg, NULL, 0);
		else if (c == O_SECONDS)
			options.seconds = strtod(optarg, NULL);
		else if (c == O_SHRINK)
			options.shrink_seconds = strtod(optarg, NULL);
		else if (c == O_NO_SHRINK)
			options.no_shrink = true;
		else if (c == O_OLD_SEEKS)
			options.old_seeks = true;
		else if (c == O_KEEP)
			options.keep = true;
		else if (c == O_VERBOSE)
			options.verbose = true;
		else if ((size_t)c < sizeof(texts) / sizeof(texts[0]) && texts[c])
			*texts[c] = optarg;
		else
			*numbers[c] = (unsigned)strtoul(optarg, NULL, 0);
	}
	if (optind < argc || !options.processes || options.processes > PROCESSES || !options.ops) {
		fprintf(stderr, "usage: at the head of mount-random.c\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const struct sigaction on_stop = {.sa_handler = stop, .sa_flags = SA_RESTART};
	bool any_mode;
	char self[256];
	struct op *list = NULL;
	size_t count = 0;
	double start = now();
	uint64_t seed;
	struct rusage used;
	int r = 0;

	parse(argc, argv);
	any_mode = !options.integrity;
	if (!options.programs) {
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

		assert(n > 0);
		self[n] = 0;
		options.programs = dirname(dirname(dirname(self)));
	}
	if (!options.work)
		options.work = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
	if (options.replay)
		list = load(&count);
	/* Or a mount namespace that somebody makes meanwhile would keep a copy of a mount, and so its daemon. */
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
		(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	sigaction(SIGINT, &on_stop, NULL);
	sigaction(SIGTERM, &on_stop, NULL);
	for (seed = options.seed; r == 0 && !stopped; seed++) {
		if (any_mode)
			options.integrity = modes[seed % 3];
		r = one_seed(seed, list, count);
		if (now() - start >= options.seconds)
			break;
	}
	getrusage(RUSAGE_SELF, &used);
	figures.self_cpu += (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
	printf("%lu runs, last seed %llu, %lu operations, %lu without effect, %.1f MiB, %lu remounts, CPU seconds %.1f "
	       "here and %.1f in daemons, %.1f s\n",
	       figures.runs, (unsigned long long)options.seed, figures.ops, figures.skipped,
	       (double)figures.bytes / 1048576, figures.remounts, figures.self_cpu, figures.daemon_cpu, now() - start);
	free(list);
	return r;
}
