/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each kind of change may bring about, counting, and the table. docs/threat-model.md names the attacks in its
 * rows; tools/dev/check-docs compares both.
 */
#undef NDEBUG
#include "attack.h"

#include "base/log.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAD (REFUSED | PARTLY)
/* What may happen, and what must at least once; then the same without tags. */
const struct attack attacks[] = {
	{"bit of a header", REFUSED, REFUSED, REFUSED, REFUSED},
	{"bit of inline content", REFUSED, REFUSED, REFUSED, REFUSED},
	{"bit of a meta block", REFUSED, REFUSED, 0, 0},
	{"bit of a sector", REFUSED, REFUSED, GARBLED, GARBLED},
	{"bit of a hole", REFUSED, REFUSED, GARBLED, GARBLED},
	{"bit of filler", SAME, SAME, SAME, SAME},
	{"bit, judged by fsck too", BAD, BAD, BAD | GARBLED, GARBLED},
	{"bit after a crash", BAD | ZEROS | OLDER | LENGTH, BAD, BAD | ZEROS | OLDER | LENGTH | GARBLED, BAD | GARBLED},
	{"bit of a name", HIDDEN, HIDDEN, HIDDEN, HIDDEN},
	{"bit of a .name file", UNLISTED, UNLISTED, UNLISTED, UNLISTED},
	{"bit of a dirid", REFUSED, REFUSED, REFUSED, REFUSED},
	{"bit of a symlink target", REFUSED, REFUSED, REFUSED, REFUSED},
	{"bit of an attribute value", REFUSED | UNLISTED, REFUSED, REFUSED | UNLISTED, REFUSED},
	{"bit of an attribute name", HIDDEN, HIDDEN, HIDDEN, HIDDEN},
	{"bit of the unclean marker", REFUSED, REFUSED, REFUSED, REFUSED},
	{"block over a sector", BAD, BAD, GARBLED | OTHERS | ZEROS, GARBLED},
	{"block over a meta block", BAD, BAD, 0, 0},
	{"block over a header", BAD, BAD, BAD | GARBLED, BAD},
	{"file over another file", REFUSED | OTHERS, OTHERS, REFUSED | OTHERS, OTHERS},
	{"sectors exchanged", BAD, BAD, GARBLED | OTHERS | ZEROS, GARBLED},
	{"blocks exchanged", BAD, BAD, BAD | GARBLED | OTHERS | ZEROS, BAD},
	{"header spliced", BAD, BAD, BAD | GARBLED, BAD},
	{"sector zeroed", BAD, BAD, GARBLED | ZEROS, GARBLED},
	{"meta block zeroed", BAD, BAD, 0, 0},
	{"header zeroed", REFUSED, REFUSED, REFUSED, REFUSED},
	{"sector put back", BAD, BAD, OLDER, OLDER},
	{"meta block put back", BAD, BAD, 0, 0},
	{"header put back", BAD, BAD, BAD | OLDER | GARBLED, BAD},
	{"group put back", OLDER, OLDER, 0, 0},
	{"file put back", OLDER, OLDER, OLDER, OLDER},
	{"group zeroed", ZEROS, ZEROS, ZEROS | GARBLED, 0},
	{"group zeroed, file without holes", BAD, BAD, GARBLED, GARBLED},
	{"file cut", BAD, REFUSED, BAD, REFUSED},
	{"file cut to nothing", EMPTY, EMPTY, EMPTY, EMPTY},
	{"file extended", BAD, REFUSED, BAD, REFUSED},
	{"empty file extended", REFUSED, REFUSED, REFUSED, REFUSED},
	{"cut, with a block 0 without CLEAN", LENGTH | EMPTY | OLDER, LENGTH, LENGTH | EMPTY | OLDER, LENGTH},
	{"with an old marker", BAD | LENGTH | ZEROS | EMPTY | OLDER | OTHERS, LENGTH | EMPTY,
	 BAD | LENGTH | ZEROS | EMPTY | OLDER | OTHERS | GARBLED, LENGTH | EMPTY},
	{"entries of a directory exchanged", OTHERS | OUTSIDE | HIDDEN | OLDER | EMPTY, OTHERS,
	 OTHERS | OUTSIDE | HIDDEN | OLDER | EMPTY, OTHERS},
	{"entries of two directories exchanged", OTHERS | OUTSIDE | HIDDEN | OLDER | EMPTY, OTHERS,
	 OTHERS | OUTSIDE | HIDDEN | OLDER | EMPTY, OTHERS},
	{"symlinks exchanged", OTHERS, OTHERS, OTHERS, OTHERS},
	{"entry removed", HIDDEN | OUTSIDE, HIDDEN, HIDDEN | OUTSIDE, HIDDEN},
	{"removed entry put back", OLDER, OLDER, OLDER, OLDER},
	{"entry moved to another directory", HIDDEN, HIDDEN, HIDDEN, HIDDEN},
	{"hard link under a name of no directory", OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE},
	{"hard link under another's name", OTHERS | OUTSIDE | EMPTY | HIDDEN, OTHERS, OTHERS | OUTSIDE | EMPTY | HIDDEN,
	 OTHERS},
	{"name made up", OUTSIDE, 0, OUTSIDE, 0},
	{".name file changed", UNLISTED, UNLISTED, UNLISTED, UNLISTED},
	{"dirid cut, extended or removed", REFUSED | HIDDEN, REFUSED, REFUSED | HIDDEN, REFUSED},
	{"dirid of another directory", HIDDEN, HIDDEN, HIDDEN, HIDDEN},
	{"symlink made up", REFUSED | OUTSIDE, REFUSED, REFUSED | OUTSIDE, REFUSED},
	{"attribute removed", HIDDEN, HIDDEN, HIDDEN, HIDDEN},
	{"attribute cut", REFUSED | UNLISTED, REFUSED, REFUSED | UNLISTED, REFUSED},
	{"attribute values exchanged", REFUSED | UNLISTED, REFUSED, REFUSED | UNLISTED, REFUSED},
	{"attribute copied from another file", OTHERS | OLDER, OTHERS, OTHERS | OLDER, OTHERS},
	{"owner and mode changed", OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE},
	{"another type in a file's place", OUTSIDE | EMPTY | REFUSED | HIDDEN, OUTSIDE,
	 OUTSIDE | EMPTY | REFUSED | HIDDEN, OUTSIDE},
	{"sector put back while it is written", OLDER, OLDER, OLDER, OLDER},
	{"sector put back after a sync", REFUSED, REFUSED, OLDER, OLDER},
	{"changed file written", BAD | HIDDEN, BAD, BAD | HIDDEN, REFUSED},
	{"file changed while it is written", BAD | EMPTY | HIDDEN | LENGTH, BAD,
	 BAD | EMPTY | HIDDEN | LENGTH | GARBLED, BAD},
	{"lock file changed", SAME, SAME, SAME, SAME},
	{"copy of xtsfs.conf, or the note of a backup, changed", SAME, SAME, SAME, SAME},
	{"unclean marker made up", REFUSED, REFUSED, REFUSED, REFUSED},
	{"unclean marker put back", LENGTH, LENGTH, LENGTH, LENGTH},
	{"unclean marker removed", BAD | OLDER, 0, BAD | OLDER | GARBLED, 0},
	{"bit of xtsfs.conf", REFUSED, REFUSED, REFUSED, REFUSED},
	{"xtsfs.conf cut or extended", REFUSED, REFUSED, REFUSED, REFUSED},
	{"xtsfs.conf spliced", REFUSED, REFUSED, REFUSED, REFUSED},
	{"xtsfs.conf put back", OLDER, OLDER, OLDER, OLDER},
	{"xtsfs.conf of another volume", REFUSED, REFUSED, REFUSED, REFUSED},
};
const unsigned attack_count = sizeof(attacks) / sizeof(attacks[0]);

struct options options = {.stride = 1};

static struct {
	unsigned long mutations, of[OUTCOMES], forbidden;
	unsigned seen;
} counts[sizeof(attacks) / sizeof(attacks[0])];
static unsigned long failures;
static FILE *out; /* stderr is the core's log, which nobody reads here */

static unsigned index_of(const char *name)
{
	for (unsigned i = 0; i < attack_count; i++)
		if (strcmp(attacks[i].name, name) == 0)
			return i;
	fprintf(out, "there is no attack '%s'\n", name);
	exit(2);
}

static const char *const outcome_names[OUTCOMES] = {"same",    "refused", "partly", "hidden", "unlisted",
						    "older",   "others",  "zeros",  "empty",  "length",
						    "outside", "garbled", "FORGED"};

static void print_outcomes(unsigned outcome)
{
	for (unsigned i = 0; i < OUTCOMES; i++)
		if (outcome & 1U << i)
			fprintf(out, " %s", outcome_names[i]);
}

void count_mutation(const struct specimen *specimen, const char *attack, unsigned outcome, const char *format, ...)
{
	unsigned at = index_of(attack);
	unsigned may = specimen->none ? attacks[at].may_none : attacks[at].may;
	bool forbidden = outcome & ~(may | SAME);
	va_list args;

	counts[at].mutations++;
	counts[at].seen |= outcome;
	for (unsigned i = 0; i < OUTCOMES; i++)
		counts[at].of[i] += outcome >> i & 1;
	counts[at].forbidden += forbidden;
	failures += forbidden;
	if (options.verbose || (forbidden && counts[at].forbidden <= 5)) {
		fprintf(out, "%s: %s: ", forbidden ? "FAILED" : "note", attack);
		va_start(args, format);
		vfprintf(out, format, args);
		va_end(args);
		fprintf(out, ":");
		print_outcomes(outcome);
		fprintf(out, "\n");
	}
}

static void print_table(const struct specimen *specimen, const char *mode)
{
	fprintf(out, "\n%-36s %9s", mode, "mutations");
	for (unsigned i = 0; i < OUTCOMES; i++)
		fprintf(out, " %8s", outcome_names[i]);
	fprintf(out, "\n");
	for (unsigned at = 0; at < attack_count; at++) {
		unsigned must = specimen->none ? attacks[at].must_none : attacks[at].must;

		if (!counts[at].mutations && (options.only || !must))
			continue;
		fprintf(out, "%-36s %9lu", attacks[at].name, counts[at].mutations);
		for (unsigned i = 0; i < OUTCOMES; i++)
			fprintf(out, counts[at].of[i] ? " %8lu" : " %8.0lu", counts[at].of[i]);
		fprintf(out, "\n");
		if (must && !(counts[at].seen & must)) {
			fprintf(out, "FAILED: %s: never seen:", attacks[at].name);
			print_outcomes(must);
			fprintf(out, "\n");
			failures++;
		}
	}
}

static void on_abort(int number)
{
	static const char text[] = "FAILED: aborted; --log shows why\n";

	(void)!write(fileno(out), text, sizeof(text) - 1);
	signal(number, SIG_DFL);
	raise(number);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void parse(int argc, char **argv, int *ret_mode)
{
	static const char *const modes[] = {"aes-gmac", "hmac-sha256", "none"};

	*ret_mode = -1;
	options.stride = 211;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--full") == 0) {
			options.full = true;
			options.stride = 1;
		} else if (strcmp(argv[i], "--verbose") == 0) {
			options.verbose = true;
		} else if (strcmp(argv[i], "--log") == 0) {
			options.log = true;
		} else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
			options.only = argv[++i];
		} else if (strcmp(argv[i], "--stride") == 0 && i + 1 < argc) {
			options.stride = (unsigned)strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--integrity") == 0 && i + 1 < argc) {
			i++;
			for (int k = 0; k < 3; k++)
				*ret_mode = strcmp(argv[i], modes[k]) == 0 ? k : *ret_mode;
		} else {
			fprintf(stderr, "core-attack [--full] [--integrity MODE] [--stride BITS] [--only PART-OF-NAME] "
					"[--verbose] [--log]\n");
			exit(2);
		}
	}
	options.stride = options.stride ? options.stride : 1;
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"aes-gmac", "hmac-sha256", "none"};
	static const struct {
		const char *name;
		void (*run)(struct specimen *);
	} runs[] = {
		{"bits", attack_bits},
		{"bits and fsck", attack_bits_checked},
		{"bits of names", attack_bits_of_names},
		{"blocks", attack_blocks},
		{"lengths", attack_lengths},
		{"entries", attack_entries},
		{"conf", attack_conf},
		{"writes", attack_writes},
	};
	int only_mode, null, keep;
	double start = now();
	unsigned long total = 0;

	parse(argc, argv, &only_mode);
	/* Every detection is logged, some millions of lines. */
	keep = dup(STDOUT_FILENO);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert(keep >= 0 && null >= 0);
	out = fdopen(keep, "w");
	assert(out && setvbuf(out, NULL, _IOLBF, 0) == 0);
	xtsfs_log_init("core-attack");
	xtsfs_log_set_level(XTSFS_LOG_ERROR);
	signal(SIGABRT, on_abort);
	assert(options.log || dup2(null, STDERR_FILENO) >= 0);
	for (int mode = 0; mode < 3; mode++) {
		struct specimen specimen;

		if (only_mode >= 0 && mode != only_mode)
			continue;
		memset(counts, 0, sizeof(counts));
		specimen_make(&specimen, core_integrities[mode]);
		for (unsigned i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
			if (!options.only || strcmp(runs[i].name, options.only) == 0)
				runs[i].run(&specimen);
		print_table(&specimen, modes[mode]);
		for (unsigned at = 0; at < attack_count; at++)
			total += counts[at].mutations;
		specimen_free(&specimen);
	}
	if (total == 0)
		failures++;
	fprintf(out, "\n%lu mutations, %lu failures, %.1f s\n", total, failures, now() - start);
	return failures ? 1 : 0;
}
