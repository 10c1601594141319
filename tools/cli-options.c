/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the verbs, and the choice of the verb.
 *
 * A verb's options are one table: getopt_long's tables and the text of --help are made from it, so they cannot differ.
 * Values are parsed by the strict parsers of base/parse.h. Options may stand before and behind arguments; "--" ends
 * them.
 */
#include "cli.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_BASE     0x100 /* getopt_long's value of option i is LONG_BASE + i */
#define HELP_COLUMN   30
#define COMMAND_BYTES 64

static unsigned count_options(const struct cli_option *options)
{
	unsigned count = 0;

	while (options[count].name)
		count++;
	return count;
}

static void print_option(char letter, const char *name, const char *argument, const char *help)
{
	int column = printf("  %c%c%s --%s%s%s", letter ? '-' : ' ', letter ? letter : ' ', letter ? "," : " ", name,
			    argument ? " " : "", argument ? argument : "");

	while (*help) {
		int length = (int)strcspn(help, "\n");

		if (column >= HELP_COLUMN) {
			putchar('\n');
			column = 0;
		}
		printf("%*s%.*s\n", HELP_COLUMN - column, "", length, help);
		column = 0;
		help += length;
		help += *help == '\n';
	}
}

static void print_help(const struct cli_verb *verb, const struct cli_option *options)
{
	char command[COMMAND_BYTES];

	printf("Usage: %s %s\n%s.\n\nOptions:\n", cli_command(verb, command, sizeof(command)), verb->usage,
	       verb->summary);
	for (; options->name; options++)
		print_option(options->letter, options->name, options->argument, options->help);
	print_option('h', "help", NULL, "show this");
	if (verb->notes)
		printf("\n%s", verb->notes);
}

static int store_value(const struct cli_verb *verb, const struct cli_option *option, const char *text)
{
	uint64_t value = 0;
	int r = 0;

	switch (option->type) {
	case CLI_FLAG:
		*(bool *)option->value = true;
		return 0;
	case CLI_TEXT:
		*(const char **)option->value = text;
		return 0;
	case CLI_NUMBER:
		r = xtsfs_parse_u64(text, option->min, option->max, &value);
		break;
	case CLI_SIZE:
		r = xtsfs_parse_size(text, option->min, option->max, &value);
		break;
	case CLI_FD:
		r = xtsfs_parse_u64(text, 0, INT_MAX, &value);
		break;
	}
	if (r == -ERANGE && option->type == CLI_SIZE) {
		char min[16], max[16];

		return cli_fail_usage(verb, "--%s %s is out of range, %s to %s", option->name, text,
				      xtsfs_format_size(option->min, min), xtsfs_format_size(option->max, max));
	}
	if (r == -ERANGE && option->type == CLI_NUMBER)
		return cli_fail_usage(verb, "--%s %s is out of range, %llu to %llu", option->name, text,
				      (unsigned long long)option->min, (unsigned long long)option->max);
	if (r < 0)
		return cli_fail_usage(verb, "--%s '%s' is not a %s", option->name, text,
				      option->type == CLI_SIZE ? "size" : "number");
	if (option->type == CLI_FD)
		*(int *)option->value = (int)value;
	else
		*(uint64_t *)option->value = value;
	return 0;
}

/* What getopt_long returned for an option of the table, or -1. */
static int option_index(const struct cli_option *options, unsigned count, int value)
{
	if (value >= LONG_BASE)
		return value - LONG_BASE;
	for (unsigned i = 0; i < count; i++)
		if (options[i].letter == value)
			return (int)i;
	return -1;
}

struct tables {
	struct option *longs;
	char *shorts;
};

/* The leading ':' of the short options makes getopt tell a missing argument from an unknown option. */
static int make_tables(const struct cli_option *options, unsigned count, struct tables *tables)
{
	char *p;

	tables->longs = calloc(count + 2, sizeof(*tables->longs));
	tables->shorts = malloc(2 * (size_t)count + sizeof(":h"));
	if (!tables->longs || !tables->shorts) {
		free(tables->longs);
		free(tables->shorts);
		return -ENOMEM;
	}
	p = stpcpy(tables->shorts, ":h");
	for (unsigned i = 0; i < count; i++) {
		int has_argument = options[i].type == CLI_FLAG ? no_argument : required_argument;

		tables->longs[i] = (struct option){options[i].name, has_argument, NULL, LONG_BASE + (int)i};
		if (options[i].letter)
			*p++ = options[i].letter;
		if (options[i].letter && has_argument == required_argument)
			*p++ = ':';
	}
	*p = '\0';
	tables->longs[count] = (struct option){"help", no_argument, NULL, 'h'};
	return 0;
}

bool cli_parse(const struct cli_verb *verb, int argc, char **argv, const struct cli_option *options, int min, int max,
	       char ***ret_arguments, int *ret_exit)
{
	unsigned count = count_options(options);
	struct tables tables;
	bool help = false;
	int value, r = make_tables(options, count, &tables);

	if (r < 0) {
		*ret_exit = cli_fail(r, "cannot read the options");
		return false;
	}
	opterr = 0;
	optind = 0; /* glibc: begin anew */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
	while (r == 0 && !help && (value = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1) {
		int index = option_index(options, count, value);

		if (value == 'h')
			help = true;
		else if (value == ':')
			r = cli_fail_usage(verb, "option '%s' needs an argument", argv[optind - 1]);
		else if (index < 0)
			r = cli_fail_usage(verb, "option '%s' is not known, not complete, or takes no argument",
					   argv[optind - 1]);
		else
			r = store_value(verb, &options[index], optarg);
	}
	free(tables.longs);
	free(tables.shorts);
	if (help)
		print_help(verb, options);
	else if (r == 0 && argc - optind < min)
		r = cli_fail_usage(verb, "an argument is missing: %s", verb->usage);
	else if (r == 0 && argc - optind > max)
		r = cli_fail_usage(verb, "'%s' is one argument too many", argv[optind + max]);
	*ret_exit = r;
	*ret_arguments = argv + optind;
	return r == 0 && !help;
}

/* "add" of "slot add" */
static const char *last_word(const char *name)
{
	const char *space = strrchr(name, ' ');

	return space ? space + 1 : name;
}

static void print_verbs(const struct cli_verb *verb)
{
	char command[COMMAND_BYTES];

	cli_command(verb, command, sizeof(command));
	printf("Usage: %s VERB ...\n%s.\n\nVerbs:\n", command, verb->summary);
	for (const struct cli_verb *sub = verb->verbs; sub->name; sub++)
		printf("  %-13s %s\n", last_word(sub->name), sub->summary);
	printf("\n'%s VERB --help' tells more.\n", command);
}

int cli_dispatch(const struct cli_verb *verb, int argc, char **argv)
{
	if (argc < 2)
		return cli_fail_usage(verb, "a verb is missing");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_verbs(verb);
		return XTSFS_EXIT_OK;
	}
	for (const struct cli_verb *sub = verb->verbs; sub->name; sub++)
		if (strcmp(argv[1], last_word(sub->name)) == 0)
			return sub->run(sub, argc - 1, argv + 1);
	return cli_fail_usage(verb, "'%s' is not a verb", argv[1]);
}
