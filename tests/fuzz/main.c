/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target without libFuzzer: each input of the folders and files named, once. For every build, with any compiler.
 *
 * Prints how many inputs there were. The name of the input that made it end stands on stderr then. With a planted
 * mistake (XTSFS_FUZZ_PLANT) it is the other way round: exit status 0 if a claim does not hold, 1 if all do.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (1U << 20)

static char current[4096];
static unsigned long inputs, folders;

static void say_current(int signal_no)
{
	static const char text[] = "the input is ";

	(void)!write(2, text, sizeof(text) - 1);
	(void)!write(2, current, strlen(current));
	(void)!write(2, "\n", 1);
	if (signal_no == SIGABRT && fuzz_planted() != FUZZ_PLANT_NONE)
		_exit(0);
	signal(signal_no, SIG_DFL);
	raise(signal_no);
}

static void run_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t bytes;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	bytes = fread(data, 1, sizeof(data), file);
	fclose(file);
	snprintf(current, sizeof(current), "%s", path);
	exact = malloc(bytes ? bytes : 1); /* so that reading past its end is one past an allocation */
	if (!exact)
		exit(2);
	memcpy(exact, data, bytes);
	LLVMFuzzerTestOneInput(exact, bytes);
	free(exact);
	inputs++;
}

static void run_path(const char *path)
{
	struct dirent **entries;
	char inner[4096];
	struct stat st;
	int count;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	if (!S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	folders++;
	count = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
			run_path(inner);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGALRM};

	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], say_current);
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%lu inputs of %lu folders\n", inputs, folders);
	if (fuzz_planted() != FUZZ_PLANT_NONE) {
		printf("the planted mistake was not found\n");
		return 1;
	}
	return inputs ? 0 : 2;
}
