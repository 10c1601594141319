/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume under test: made, mounted by a daemon that is a child of the driver (so that its end and its CPU time are
 * known), unmounted, checked. With --dir there is none, and the tree is in a directory of that.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST 60.0 /* seconds for a mount or an unmount */

static double cpu(const struct rusage *used)
{
	return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
	       (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6;
}

static pid_t start(const struct volume *v, const char *const argv[])
{
	pid_t pid = fork();

	assert(pid >= 0);
	if (pid == 0) {
		int log = open(v->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
		    null = open("/dev/null", O_RDONLY);
		char program[400], *words[32] = {NULL};

		for (size_t i = 0; argv[i]; i++)
			memcpy(&words[i], &argv[i], sizeof(words[i])); /* exec takes them without const */
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		umask(022);
		signal(SIGINT, SIG_IGN); /* a terminal's goes to all; the driver unmounts */
		snprintf(program, sizeof(program), "%s/%s", options.programs, argv[0]);
		execv(program, words);
		execvp(argv[0], words);
		_exit(127);
	}
	return pid;
}

static int run_program(const struct volume *v, const char *const argv[])
{
	pid_t pid = start(v, argv);
	int status;

	assert(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void show_log(const struct volume *v)
{
	char line[1000];
	FILE *log = fopen(v->log, "re");

	while (log && fgets(line, sizeof(line), log))
		fprintf(stderr, "log: %s", line);
	if (log)
		fclose(log);
}

/* The daemon's end: 0, or -1. */
static int reap(struct volume *v, bool wait)
{
	struct rusage used;
	int status;
	pid_t pid = wait4(v->daemon, &status, wait ? 0 : WNOHANG, &used);

	if (pid != v->daemon)
		return -1;
	v->daemon = 0;
	figures.daemon_cpu += cpu(&used);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "the daemon ended with status %#x\n", (unsigned)status);
	v->bad = true;
	return 0;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

int volume_mount(struct volume *v)
{
	char wanted[1200];
	double from = now();
	struct stat st;

	if (options.dir)
		return 0;
	snprintf(wanted, sizeof(wanted), "passfile=%s%s%s%s%s", v->pass, options.engine ? ",engine=" : "",
		 options.engine ? options.engine : "", options.mount_options ? "," : "",
		 options.mount_options ? options.mount_options : "");
	if (options.threads)
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), ",threads=%u", options.threads);
	assert(stat(v->mnt, &st) == 0);
	v->under = st.st_dev;
	v->daemon = start(v, (const char *const[]){"xtsfs", "-f", "-o", wanted, v->vol, v->mnt, NULL});
	while (stat(v->mnt, &st) < 0 || st.st_dev == v->under) {
		if (reap(v, false) == 0 || now() - from > LONGEST) {
			fprintf(stderr, "the volume cannot be mounted\n");
			show_log(v);
			return -1;
		}
		nap();
	}
	return 0;
}

int volume_unmount(struct volume *v)
{
	double from = now();

	if (options.dir || !v->daemon)
		return 0;
	for (;;) {
		int r = geteuid() == 0 ? umount2(v->mnt, 0)
				       : -run_program(v, (const char *const[]){"fusermount3", "-u", v->mnt, NULL});

		if (r == 0)
			break;
		if (now() - from > LONGEST) {
			fprintf(stderr, "cannot unmount %s: %s\n", v->mnt, strerror(errno));
			volume_kill(v);
			return -1;
		}
		nap();
	}
	while (reap(v, false) < 0) {
		if (now() - from > LONGEST) {
			fprintf(stderr, "the daemon %d does not end\n", v->daemon);
			volume_kill(v);
			return -1;
		}
		nap();
	}
	return 0;
}

/* Of a daemon that hangs: whoever waits for it gets an error. */
void volume_kill(struct volume *v)
{
	if (options.dir || !v->daemon)
		return;
	if (geteuid() == 0)
		(void)umount2(v->mnt, MNT_FORCE | MNT_DETACH); /* gives up what waits, also in the daemon */
	kill(v->daemon, SIGKILL);
	(void)reap(v, true);
	if (geteuid() != 0)
		(void)run_program(v, (const char *const[]){"fusermount3", "-uz", v->mnt, NULL});
}

int volume_make(struct volume *v)
{
	char keys[16];
	int fd;

	*v = (struct volume){0};
	snprintf(v->work, sizeof(v->work), "%s/mount-random-XXXXXX", options.dir ? options.dir : options.work);
	if (!mkdtemp(v->work)) {
		fprintf(stderr, "cannot make %s: %s\n", v->work, strerror(errno));
		return -1;
	}
	snprintf(v->vol, sizeof(v->vol), "%s/vol", v->work);
	snprintf(v->mnt, sizeof(v->mnt), "%s/mnt", v->work);
	snprintf(v->pass, sizeof(v->pass), "%s/pass", v->work);
	snprintf(v->log, sizeof(v->log), "%s/log", v->work);
	snprintf(v->top, sizeof(v->top), "%s", options.dir ? v->work : v->mnt);
	if (options.dir)
		return 0;
	assert(mkdir(v->vol, 0700) == 0 && mkdir(v->mnt, 0700) == 0);
	fd = open(v->pass, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert(fd >= 0 && write(fd, "random operations\n", 18) == 18);
	close(fd);
	snprintf(keys, sizeof(keys), "%u", options.content_keys);
	if (run_program(v, (const char *const[]){"xtsfsctl", "init", "--passfile", v->pass, "--integrity",
						 options.integrity, "--content-keys", keys, "--kdf-time", "1",
						 "--kdf-memory", "8M", "--kdf-parallel", "1", v->vol, NULL}) != 0) {
		fprintf(stderr, "the volume cannot be made\n");
		show_log(v);
		return -1;
	}
	return volume_mount(v);
}

static int scan_log(const struct volume *v)
{
	char line[1000];
	FILE *log = fopen(v->log, "re");
	int r = 0;

	while (log && fgets(line, sizeof(line), log))
		if (strstr(line, "error: ") || strstr(line, "warning: ")) {
			fprintf(stderr, "the daemon said: %s", line);
			r = -1;
		}
	if (log)
		fclose(log);
	return r;
}

int volume_finish(struct volume *v, bool good)
{
	int r = volume_unmount(v), status;

	if (!options.dir && r == 0) {
		r = scan_log(v) < 0 || v->bad ? -1 : 0;
		status = run_program(
			v, (const char *const[]){"xtsfsctl", "fsck", "-q", "--passfile", v->pass, v->vol, NULL});
		if (status != 0) {
			fprintf(stderr, "fsck gave %d\n", status);
			show_log(v);
			r = -1;
		}
	}
	if ((good && r == 0) || !options.keep)
		(void)run_program(v, (const char *const[]){"rm", "-rf", v->work, NULL});
	else
		fprintf(stderr, "all is kept in %s\n", v->work);
	return r;
}
