/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Print which engine xtsfs_engine_choose() takes here, and why; for tests of kernels that lack something.
 *
 *	test-engine-choose                     all three choices
 *	test-engine-choose CHOICE              one of auto, kernel, user
 *	test-engine-choose CHOICE EXPECTED     exit status 1 unless the result is EXPECTED
 *
 * A line reads "CHOICE: RESULT (WHY)"; RESULT is kernel, user, or the name of an error such as EAFNOSUPPORT.
 */
#include "crypto/engine.h"

#include <stdio.h>
#include <string.h>

static const char *choose(const char *text)
{
	const struct xtsfs_engine *engine = NULL;
	enum xtsfs_engine_choice choice;
	const char *result;
	char why[200] = "";
	int r = xtsfs_engine_parse(text, &choice);

	if (r < 0) {
		fprintf(stderr, "test-engine-choose: '%s' is not a choice\n", text);
		return "";
	}
	r = xtsfs_engine_choose(choice, &engine, why, sizeof(why));
	result = r == 0 ? engine->name : strerrorname_np(-r);
	printf("%s: %s (%s)\n", text, result, why);
	return result;
}

int main(int argc, char **argv)
{
	const char *result;

	if (argc == 1) {
		choose("auto");
		choose("kernel");
		choose("user");
		return 0;
	}
	result = choose(argv[1]);
	if (!*result)
		return 2;
	return argc > 2 && strcmp(result, argv[2]) != 0 ? 1 : 0;
}
