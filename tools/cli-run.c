/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long runs: a signal is noted, so that what was found until then can be told, and state be kept.
 */
#include "cli-run.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <stdio.h>
#include <string.h>

volatile sig_atomic_t cli_interrupted;

static void note(int signal)
{
	cli_interrupted = signal;
}

void cli_catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
}

int cli_end_by_signal(int exit_code)
{
	if (!cli_interrupted)
		return exit_code;
	fflush(stdout);
	(void)signal(cli_interrupted, SIG_DFL);
	(void)raise(cli_interrupted);
	return 128 + cli_interrupted;
}

const char *cli_ask(const char *question, char ret_answer[static CLI_ANSWER_BYTES])
{
	printf("%s", question);
	fflush(stdout);
	if (!fgets(ret_answer, CLI_ANSWER_BYTES, stdin)) {
		ret_answer[0] = '\0';
		puts("");
	}
	ret_answer[strcspn(ret_answer, "\n")] = '\0';
	return ret_answer;
}

bool cli_is_yes(const char *answer)
{
	return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

double cli_seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

char *cli_format_now(char ret_text[static 32])
{
	time_t now = time(NULL);
	struct tm utc;

	if (!gmtime_r(&now, &utc) || strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		ret_text[0] = '\0';
	return ret_text;
}

bool cli_json_add_text(json_object *object, const char *name, const char *text)
{
	xtsfs_auto_free char *quoted = xtsfs_quote(text);

	return quoted && cli_json_add(object, name, json_object_new_string(quoted));
}

bool cli_json_add_count(json_object *object, const char *name, uint64_t count)
{
	return cli_json_add(object, name, json_object_new_int64((int64_t)count));
}
