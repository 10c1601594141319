/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mistakes for the sanitizers: planted overflow|undefined|leak|race, in a process whose output goes nowhere, as a
 * daemon's. tests/sanitizers builds it as it builds the programs, and wants each of them found.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int counter;

static void *count(void *unused)
{
	(void)unused;
	counter++;
	return NULL;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int null = open("/dev/null", O_RDWR);
	char *volatile memory = malloc(16);
	volatile int number = INT_MAX;
	pthread_t threads[2];

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (strcmp(what, "overflow") == 0)
		memory[16] = 1;
	if (strcmp(what, "undefined") == 0)
		number = number + 1;
	if (strcmp(what, "race") == 0) {
		for (int i = 0; i < 2; i++)
			pthread_create(&threads[i], NULL, count, NULL);
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
	}
	if (strcmp(what, "leak") == 0)
		memory = NULL;
	free(memory);
	return 0;
}
