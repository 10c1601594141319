/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options, as mount(8), fstab and people give them.
 *
 *     xtsfs [-f] [-d] [--log-level LEVEL] [-o OPTION[,OPTION…]]… SOURCE MOUNTPOINT
 *
 * mount(8) calls a helper with "SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o …]". A comma inside a value is written
 * "\,", as libfuse and libmount do, or the value is in double quotes, as mount(8) has it. What only mount, systemd or
 * people read from fstab (noauto, x-…, comment=…) is passed over; what the kernel does for any filesystem (nosuid,
 * noexec, …) goes to it; the rest must be known.
 */
#include "fuse/options.h"

#include "base/cleanup.h"
#include "base/exit-codes.h"
#include "base/ignore.h"
#include "base/parse.h"
#include "fuse/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* What mount, systemd or people read from fstab, and what is so anyway. */
static const char *const for_others[] = {
	"noauto",  "auto",  "user",    "nouser",  "users",    "nousers", "owner",
	"noowner", "group", "nogroup", "_netdev", "defaults", "comment", "default_permissions"};
static const char *const for_others_starts[] = {"x-", "X-", "comment=", "user=", "helper=", "uhelper="};
/* What mount(8) takes from mountinfo for a remount of what is not in fstab. */
static const char *const of_mountinfo[] = {"user_id=", "group_id=", "rootmode=", "max_read=", "blksize=", "seclabel"};

#define ELEMENTS(list) (sizeof(list) / sizeof((list)[0]))

static bool is_in(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

static bool starts(const char *word, const char *prefix)
{
	return strncmp(word, prefix, strlen(prefix)) == 0;
}

static bool starts_one_of(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (starts(word, list[i]))
			return true;
	return false;
}

static int set_string(char **place, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*place);
	*place = copy;
	return 0;
}

static int set_const_string(const char **place, const char *value)
{
	char *copy = NULL;
	int r = set_string(&copy, value);

	if (r == 0) {
		free((char *)(uintptr_t)*place);
		*place = copy;
	}
	return r;
}

/* Files of patterns are read here and now: the daemon cannot open them later. */
static int add_exclusion(struct xtsfs_options *options, bool is_file, const char *value)
{
	int r = options->ignore ? 0 : xtsfs_ignore_new(&options->ignore);

	if (r == 0)
		r = is_file ? xtsfs_ignore_add_file(options->ignore, AT_FDCWD, value)
			    : xtsfs_ignore_add(options->ignore, value, strlen(value));
	return r;
}

/* One of ours with a value. 1 if it is none of them. */
static int set_value(struct xtsfs_options *options, const char *name, const char *value)
{
	uint64_t number;
	int r = 0;

	if (strcmp(name, "passfile") == 0)
		return set_const_string(&options->passphrase.passfile, value);
	if (strcmp(name, "passcmd") == 0)
		return set_const_string(&options->passphrase.passcmd, value);
	if (strcmp(name, "keyring") == 0)
		return set_const_string(&options->passphrase.keyring, value);
	if (strcmp(name, "credential") == 0)
		return set_const_string(&options->passphrase.credential, value);
	if (strcmp(name, "ask") == 0)
		return xtsfs_ask_parse(value, &options->passphrase.ask);
	if (strcmp(name, "tpm") == 0)
		return set_const_string(&options->passphrase.tpm, value);
	if (strcmp(name, "fido2") == 0)
		return set_const_string(&options->passphrase.fido2, value);
	if (strcmp(name, "keyfile") == 0)
		return set_const_string(&options->passphrase.keyfile, value);
	if (strcmp(name, "pidfile") == 0)
		return set_string(&options->pidfile, value);
	if (strcmp(name, "fsname") == 0)
		return set_string(&options->fsname, value);
	if (strcmp(name, "config") == 0)
		return set_string(&options->config, value);
	if (strcmp(name, "exclude") == 0 || strcmp(name, "exclude_from") == 0)
		return add_exclusion(options, name[sizeof("exclude") - 1] != '\0', value);
	if (strcmp(name, "engine") == 0)
		return xtsfs_engine_parse(value, &options->engine);
	if (strcmp(name, "log_level") == 0)
		return xtsfs_log_parse_level(value, &options->log_level);
	if (strcmp(name, "passfd") == 0) {
		r = xtsfs_parse_u64(value, 0, INT_MAX, &number);
		options->passphrase.passfd = r == 0 ? (int)number : -1;
	} else if (strcmp(name, "slot") == 0) {
		r = xtsfs_parse_u64(value, 0, 15, &number);
		options->slot = r == 0 ? (int)number : -1;
	} else if (strcmp(name, "threads") == 0) {
		r = xtsfs_parse_u64(value, 1, 256, &number);
		options->threads = r == 0 ? (unsigned)number : 0;
	} else if (strcmp(name, "idle") == 0) {
		r = xtsfs_parse_seconds(value, 0, 366 * 86400, &number);
		options->idle_s = r == 0 ? (unsigned)number : 0;
	} else if (strcmp(name, "watchdog") == 0) {
		r = xtsfs_parse_u64(value, 0, 86400, &number);
		options->watchdog_s = r == 0 ? (unsigned)number : 0;
	} else {
		return 1;
	}
	return r;
}

static bool set_flag(struct xtsfs_options *options, const char *name)
{
	if (strcmp(name, "ro") == 0)
		options->read_only = true;
	else if (strcmp(name, "rw") == 0)
		options->read_only = false;
	else if (strcmp(name, "salvage") == 0)
		options->salvage = options->read_only = true;
	else if (strcmp(name, "shared") == 0)
		options->shared = true;
	else if (strcmp(name, "reverse") == 0)
		options->reverse = true;
	else if (strcmp(name, "one_file_system") == 0)
		options->one_file_system = true;
	else if (strcmp(name, "allow_other") == 0)
		options->allow_other = true;
	else if (strcmp(name, "allow_suid") == 0)
		options->allow_suid = true;
	else if (strcmp(name, "allow_dev") == 0)
		options->allow_dev = true;
	else if (strcmp(name, "noxattr") == 0)
		options->no_xattr = true;
	else if (strcmp(name, "allow_swap") == 0)
		options->allow_swap = true;
	else if (strcmp(name, "log_names") == 0)
		options->log_names = true;
	else if (strcmp(name, "nosandbox") == 0)
		options->no_sandbox = true;
	else if (strcmp(name, "nofail") == 0)
		options->no_fail = true;
	else if (strcmp(name, "remount") == 0)
		options->remount = true;
	else if (strcmp(name, "nonempty") != 0)
		return false;
	return true;
}

static int set_option(struct xtsfs_options *options, char *word, char *ret_problem, size_t problem_bytes)
{
	char *value = strchr(word, '=');
	int r;

	if (!*word || is_in(word, for_others, ELEMENTS(for_others)) ||
	    starts_one_of(word, for_others_starts, ELEMENTS(for_others_starts)) ||
	    xtsfs_flags_option(&options->flags, word))
		return 0;
	if (options->remount && starts_one_of(word, of_mountinfo, ELEMENTS(of_mountinfo)))
		return 0;
	if (!value) {
		if (set_flag(options, word) || options->sloppy)
			return 0;
		snprintf(ret_problem, problem_bytes, "unknown option '%s', or it lacks a value; see --help", word);
		return -EINVAL;
	}
	*value++ = '\0';
	r = set_value(options, word, value);
	if (r == 1 && options->sloppy)
		return 0;
	if (r == 1)
		snprintf(ret_problem, problem_bytes, "unknown option '%s'; see --help", word);
	else if (r < 0 && r != -ENOMEM)
		snprintf(ret_problem, problem_bytes, "option %s: '%s' is not a possible value; see --help", word,
			 value);
	return r == -ENOMEM || r == 0 ? r : -EINVAL;
}

/*
 * Where the value that begins at @value, behind a "=", ends if it is put in double quotes, as mount(8) has it; NULL if
 * it is not, or if the quotes are not around all of it.
 */
static const char *closing_quote(const char *value)
{
	if (*value != '"')
		return NULL;
	for (value++; *value; value++) {
		if (*value == '\\' && value[1])
			value++;
		else if (*value == '"' && (value[1] == ',' || value[1] == '\0'))
			return value;
	}
	return NULL;
}

/* Splits at commas that have no backslash before them and are not in quotes, and takes both away, in place. */
static int set_options(struct xtsfs_options *options, char *list, char *ret_problem, size_t problem_bytes)
{
	char *read = list, *write = list, *word = list;
	const char *quote = NULL;
	bool in_value = false;

	for (;; read++) {
		if (*read == '\\' && read[1]) {
			*write++ = *++read;
		} else if (quote && read == quote) {
			quote = NULL;
		} else if ((*read == ',' && !quote) || *read == '\0') {
			bool end = *read == '\0';
			int r;

			*write++ = '\0';
			r = set_option(options, word, ret_problem, problem_bytes);
			if (r < 0 || end)
				return r;
			word = write;
			in_value = false;
		} else {
			*write++ = *read;
			if (*read == '=' && !in_value) {
				in_value = true;
				quote = closing_quote(read + 1);
				read += quote ? 1 : 0;
			}
		}
	}
}

static int absolute(const char *path, bool must_be_directory, char **ret_path, char *ret_problem, size_t problem_bytes)
{
	char *real = realpath(path, NULL);
	struct stat st;

	if (!real || (must_be_directory && stat(real, &st) == 0 && !S_ISDIR(st.st_mode))) {
		int r = real ? -ENOTDIR : -errno;

		snprintf(ret_problem, problem_bytes, "cannot use '%s': %s", path, xtsfs_strerror(r));
		free(real);
		return r;
	}
	*ret_path = real;
	return 0;
}

/* The daemon goes to "/" and removes the file at its end. It need not exist, so realpath() is no use. */
static int make_absolute(char **path)
{
	xtsfs_auto_free char *directory = NULL;
	char *longer;

	if (!*path || **path == '/')
		return 0;
	directory = getcwd(NULL, 0);
	if (!directory)
		return -errno;
	if (asprintf(&longer, "%s/%s", directory, *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = longer;
	return 0;
}

static int parse_arguments(int argc, char **argv, struct xtsfs_options *options, const char *positional[2],
			   char *ret_problem, size_t problem_bytes)
{
	xtsfs_auto_free const char **lists = calloc((size_t)argc + 1, sizeof(*lists));
	unsigned count = 0, list_count = 0;
	bool only_positional = false;
	const char *level = NULL;

	if (!lists)
		return -ENOMEM;
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (only_positional || arg[0] != '-' || !arg[1]) {
			if (count == 2) {
				snprintf(ret_problem, problem_bytes, "too many arguments: '%s'; see --help", arg);
				return -EINVAL;
			}
			positional[count++] = arg;
		} else if (strcmp(arg, "--") == 0) {
			only_positional = true;
		} else if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
			options->help = true;
		} else if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
			options->version = true;
		} else if (strcmp(arg, "--log-level") == 0 && i + 1 < argc) {
			level = argv[++i];
		} else if (starts(arg, "--log-level=")) {
			level = arg + strlen("--log-level=");
		} else if (strcmp(arg, "-f") == 0 && !options->mount_helper) {
			options->foreground = true;
		} else if (strcmp(arg, "-d") == 0) {
			options->foreground = options->fuse_debug = true;
		} else if (options->mount_helper && strspn(arg + 1, "sfnvw") == strlen(arg + 1)) {
			/* mount(8)'s flags for helpers */
			options->fake |= strchr(arg, 'f') != NULL;
			options->sloppy |= strchr(arg, 's') != NULL;
		} else if (options->mount_helper && strcmp(arg, "-N") == 0 && i + 1 < argc) {
			options->namespace = argv[++i];
		} else if (strcmp(arg, "-r") == 0) {
			options->read_only = true;
		} else if (strcmp(arg, "--reverse") == 0) {
			options->reverse = true;
		} else if (strcmp(arg, "-t") == 0 && i + 1 < argc) {
			i++;
		} else if (strncmp(arg, "-o", 2) == 0) {
			if (!arg[2] && i + 1 == argc) {
				snprintf(ret_problem, problem_bytes, "-o needs options; see --help");
				return -EINVAL;
			}
			lists[list_count++] = arg[2] ? arg + 2 : argv[++i];
		} else {
			snprintf(ret_problem, problem_bytes, "unknown argument '%s'; see --help", arg);
			return -EINVAL;
		}
	}
	for (unsigned i = 0; i < list_count; i++) {
		xtsfs_auto_free char *copy = strdup(lists[i]);
		int r = copy ? set_options(options, copy, ret_problem, problem_bytes) : -ENOMEM;

		if (r < 0)
			return r;
	}
	if (level && xtsfs_log_parse_level(level, &options->log_level) < 0) {
		snprintf(ret_problem, problem_bytes, "--log-level '%s' is not a level; see --help", level);
		return -EINVAL;
	}
	/* mount(8) does not hand on suid and dev from fstab. Their opposites come from user, too, and prevail. */
	options->flags.given |= (options->allow_suid ? MS_NOSUID : 0) | (options->allow_dev ? MS_NODEV : 0);
	if (!options->help && !options->version && count < 2) {
		snprintf(ret_problem, problem_bytes, "SOURCE and MOUNTPOINT are needed; see --help");
		return -EINVAL;
	}
	return 0;
}

static int check_reverse(struct xtsfs_options *options, char *ret_problem, size_t problem_bytes)
{
	const char *wrong = options->config	       ? "config"
			    : options->ignore	       ? "exclude"
			    : options->one_file_system ? "one_file_system"
						       : NULL;

	if (options->reverse && (options->salvage || options->shared)) {
		snprintf(ret_problem, problem_bytes, "reverse and %s exclude each other",
			 options->salvage ? "salvage" : "shared");
		return -EINVAL;
	}
	if (!options->reverse && wrong) {
		snprintf(ret_problem, problem_bytes, "option %s is for a reverse view only; see --help", wrong);
		return -EINVAL;
	}
	options->read_only |= options->reverse;
	return 0;
}

int xtsfs_options_parse(int argc, char **argv, struct xtsfs_options *ret_options, char *ret_problem,
			size_t problem_bytes)
{
	const char *program = argc > 0 ? strrchr(argv[0], '/') : NULL, *positional[2] = {NULL, NULL};
	struct xtsfs_options *options = ret_options;
	int r;

	ret_problem[0] = '\0';
	*options = (struct xtsfs_options){
		.passphrase = XTSFS_SOURCE_NONE, .slot = -1, .watchdog_s = 60, .log_level = XTSFS_LOG_NOTICE};
	options->passphrase.ask = XTSFS_ASK_AUTO;
	program = program ? program + 1 : argc > 0 ? argv[0] : "";
	options->mount_helper = starts(program, "mount.");
	r = parse_arguments(argc, argv, options, positional, ret_problem, problem_bytes);
	if (r < 0 || options->help || options->version)
		return r;
	if (xtsfs_source_passphrases(&options->passphrase) > 1) {
		snprintf(ret_problem, problem_bytes,
			 "passfile, passfd, passcmd, keyring and credential exclude each other");
		return -EINVAL;
	}
	r = check_reverse(options, ret_problem, problem_bytes);
	if (r < 0)
		return r;
	if (options->passphrase.credential && !xtsfs_credential_is_name(options->passphrase.credential)) {
		snprintf(
			ret_problem, problem_bytes,
			"option credential: '%s' cannot be the name of a credential: that is a file's, without a slash",
			options->passphrase.credential);
		return -EINVAL;
	}
	r = options->namespace ? xtsfs_mounts_enter(options->namespace) : 0;
	if (r < 0) {
		snprintf(ret_problem, problem_bytes, "cannot enter the mount namespace '%s': %s", options->namespace,
			 xtsfs_strerror(r));
		r = -ESRCH; /* ENOENT is what nofail means */
	}
	/* The source of a remount may be what fsname says, and is not used. */
	if (r == 0 && !options->remount)
		r = absolute(positional[0], true, &options->source, ret_problem, problem_bytes);
	if (r == 0)
		r = absolute(positional[1], true, &options->mountpoint, ret_problem, problem_bytes);
	if (r == 0)
		r = make_absolute(&options->pidfile);
	if (r == 0)
		r = make_absolute(&options->config);
	if (r < 0 || options->remount)
		return r;
	size_t bytes = strlen(options->source);

	if (strncmp(options->mountpoint, options->source, bytes) == 0 &&
	    (options->mountpoint[bytes] == '/' || options->mountpoint[bytes] == '\0' || bytes == 1)) {
		snprintf(ret_problem, problem_bytes,
			 "the mount point '%s' is inside the volume's directory; use another", options->mountpoint);
		return -EINVAL;
	}
	options->passphrase.ask_id = options->source;
	return options->fsname ? 0 : set_string(&options->fsname, options->source);
}

int xtsfs_options_refused(const struct xtsfs_options *options, int r, const char *problem)
{
	if (r == -ENOENT && options->mount_helper && options->no_fail && !options->source) {
		xtsfs_notice("%s; not mounted, and no error because of nofail", problem);
		return XTSFS_EXIT_OK;
	}
	xtsfs_error("%s", problem[0] ? problem : xtsfs_strerror(r));
	return r == -EINVAL	     ? XTSFS_EXIT_USAGE
	       : !options->source    ? XTSFS_EXIT_NOT_VOLUME
	       : options->mountpoint ? XTSFS_EXIT_OTHER
				     : XTSFS_EXIT_MOUNT;
}

void xtsfs_options_done(struct xtsfs_options *options)
{
	free((char *)(uintptr_t)options->passphrase.passfile);
	free((char *)(uintptr_t)options->passphrase.passcmd);
	free((char *)(uintptr_t)options->passphrase.keyring);
	free((char *)(uintptr_t)options->passphrase.credential);
	free((char *)(uintptr_t)options->passphrase.tpm);
	free((char *)(uintptr_t)options->passphrase.fido2);
	free((char *)(uintptr_t)options->passphrase.keyfile);
	free(options->source);
	free(options->mountpoint);
	free(options->pidfile);
	free(options->fsname);
	free(options->config);
	xtsfs_ignore_free(options->ignore);
	*options = (struct xtsfs_options){.passphrase = XTSFS_SOURCE_NONE};
}

void xtsfs_options_help(const char *program)
{
	static const struct {
		const char *name, *argument, *help;
	} list[] = {
#define ROW(name, argument, help) {name, argument, help},
		XTSFS_OPTIONS(ROW)
#undef ROW
	};

	printf("Usage: %s [-f] [-o OPTION[,OPTION...]] SOURCE MOUNTPOINT\n"
	       "Mount the encrypted directory SOURCE, made with xtsfsctl init, at MOUNTPOINT.\n"
	       "Unmount with umount or fusermount3 -u.\n\n"
	       "  -f, -d         stay in the foreground; -d also shows every request\n"
	       "  -r             the same as -o ro\n"
	       "      --reverse  the same as -o reverse\n"
	       "      --log-level error|warning|notice|info|debug\n"
	       "                 the same as -o log_level\n"
	       "  -h, --help     this text\n"
	       "  -V, --version  the version\n\nOptions for -o:\n",
	       program);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", list[i].name, list[i].argument ? "=" : "",
			 list[i].argument ? list[i].argument : "");
		printf("  %-24s %s\n", left, list[i].help);
	}
	printf("\nThe options of mount(8) for any filesystem (nosuid, noexec, noatime, ...) and those that are only "
	       "for\n"
	       "fstab (noauto, nofail, _netdev, x-systemd...) may be given too.\n"
	       "Without a source for it the passphrase is asked for at the terminal, or, without one, by systemd.\n");
}
