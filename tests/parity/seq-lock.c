/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flock, POSIX and OFD locks, leases.
 */
#include "parity.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static int lock(int fd, int command, short type, off_t start, off_t bytes)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = bytes};

	return fcntl(fd, command, &fl);
}

/* Who would be in the way: type, start, length, and whether a process is named. */
static void conflict(int fd, int command, short type, off_t start, off_t bytes)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = bytes};

	if (fcntl(fd, command, &fl) < 0)
		say("conflict", "error");
	else if (fl.l_type == F_UNLCK)
		say("conflict", "none");
	else
		say("conflict", "%s %lld %lld %s", fl.l_type == F_RDLCK ? "read" : "write", (long long)fl.l_start,
		    (long long)fl.l_len, fl.l_pid > 0 ? "process" : "descriptor");
}

SEQ(lock, flock_between_opens, "flock")
{
	int a, b, c;

	mk("f", 10);
	a = op("f", O_RDONLY);
	b = op("f", O_RDWR);
	c = dup(a);
	R(flock(a, LOCK_EX));
	R(flock(b, LOCK_SH | LOCK_NB));
	R(flock(b, LOCK_EX | LOCK_NB));
	R(flock(c, LOCK_SH | LOCK_NB));
	R(flock(b, LOCK_SH | LOCK_NB));
	R(flock(a, LOCK_EX | LOCK_NB));
	R(flock(b, LOCK_UN));
	R(flock(c, LOCK_EX | LOCK_NB));
	close(a);
	R(flock(b, LOCK_SH | LOCK_NB));
	close(c);
	R(flock(b, LOCK_EX | LOCK_NB));
	R(flock(b, 99));
}

SEQ(lock, flock_between_processes, "flock fork")
{
	int a;

	mk("f", 10);
	a = op("f", O_RDONLY);
	R(flock(a, LOCK_EX));
	CHILD
	{
		int b = op("f", O_RDONLY);

		R(flock(b, LOCK_SH | LOCK_NB));
		R(flock(a, LOCK_EX | LOCK_NB)); /* inherited: the same lock */
		R(flock(a, LOCK_UN));
		R(flock(b, LOCK_EX | LOCK_NB));
	}
	R(flock(a, LOCK_EX | LOCK_NB)); /* the child's went with it */
	CHILD
	{
		close(a);
		R(flock(op("f", O_RDONLY), LOCK_EX | LOCK_NB)); /* closing a copy gives nothing free */
	}
}

SEQ(lock, flock_of_directory_and_fifo, "flock")
{
	int d, e;

	mkd("d", 0755);
	d = op("d", O_RDONLY);
	e = op("d", O_RDONLY);
	R(flock(d, LOCK_EX));
	R(flock(e, LOCK_SH | LOCK_NB));
	R(flock(op("d", O_PATH), LOCK_SH | LOCK_NB));
}

SEQ(lock, posix_between_processes, "fcntl:SETLK fcntl:GETLK")
{
	int a;

	mk("f", 1000);
	a = op("f", O_RDWR);
	R(lock(a, F_SETLK, F_WRLCK, 100, 100));
	R(lock(a, F_SETLK, F_RDLCK, 300, 0));
	CHILD
	{
		int b = op("f", O_RDWR);

		conflict(b, F_GETLK, F_RDLCK, 0, 0);
		conflict(b, F_GETLK, F_WRLCK, 150, 1);
		conflict(b, F_GETLK, F_RDLCK, 500, 1);
		conflict(b, F_GETLK, F_WRLCK, 500, 1);
		conflict(b, F_GETLK, F_WRLCK, 0, 100);
		R(lock(b, F_SETLK, F_WRLCK, 0, 100));
		R(lock(b, F_SETLK, F_WRLCK, 0, 101));
		R(lock(b, F_SETLK, F_RDLCK, 100000, 1));
		R(lock(b, F_SETLK, F_WRLCK, 100000, 1));
		R(lock(b, F_SETLK, F_WRLCK, 200, 100));
	}
	R(lock(a, F_SETLK, F_UNLCK, 120, 20));
	CHILD
	{
		int b = op("f", O_RDWR);

		conflict(b, F_GETLK, F_WRLCK, 0, 0);
		R(lock(b, F_SETLK, F_WRLCK, 120, 20));
		R(lock(b, F_SETLK, F_WRLCK, 119, 20));
		conflict(b, F_GETLK, F_WRLCK, 140, 100);
	}
}

SEQ(lock, posix_and_close, "fcntl:SETLK close fork dup")
{
	int a, b;

	mk("f", 1000);
	a = op("f", O_RDWR);
	b = op("f", O_RDWR);
	R(lock(a, F_SETLK, F_WRLCK, 0, 0));
	R(lock(b, F_SETLK, F_WRLCK, 0, 0));
	CHILD
	{
		conflict(a, F_GETLK, F_WRLCK, 0, 0); /* not inherited */
		R(lock(a, F_SETLK, F_WRLCK, 0, 0));
	}
	close(b); /* any close of the file drops them all */
	CHILD
	{
		conflict(a, F_GETLK, F_WRLCK, 0, 0);
		R(lock(a, F_SETLK, F_WRLCK, 0, 0));
	}
	R(lock(a, F_SETLK, F_WRLCK, 0, 0));
}

SEQ(lock, posix_errors, "fcntl:SETLK")
{
	int r, w, d, p;

	mk("f", 10);
	mkd("d", 0755);
	r = op("f", O_RDONLY);
	w = op("f", O_WRONLY);
	d = op("d", O_RDONLY);
	p = op("f", O_PATH);
	R(lock(r, F_SETLK, F_WRLCK, 0, 0));
	R(lock(w, F_SETLK, F_RDLCK, 0, 0));
	R(lock(r, F_SETLK, F_RDLCK, 0, 0));
	R(lock(r, F_SETLK, 9, 0, 0));
	R(lock(r, F_SETLK, F_RDLCK, -1, 10));
	R(lock(r, F_SETLK, F_RDLCK, 10, -10));
	R(lock(r, F_SETLK, F_RDLCK, 5, -10));
	R(lock(r, F_SETLK, F_RDLCK, INT64_MAX, 2));
	R(lock(d, F_SETLK, F_RDLCK, 0, 0));
	R(lock(p, F_SETLK, F_RDLCK, 0, 0));
}

SEQ(lock, ofd, "fcntl:OFD_SETLK fcntl:OFD_GETLK")
{
	int a, b, c;

	mk("f", 1000);
	a = op("f", O_RDWR);
	b = op("f", O_RDWR);
	c = dup(a);
	R(lock(a, F_OFD_SETLK, F_WRLCK, 0, 100));
	R(lock(b, F_OFD_SETLK, F_RDLCK, 50, 10));
	R(lock(c, F_OFD_SETLK, F_RDLCK, 50, 10));
	conflict(b, F_OFD_GETLK, F_WRLCK, 0, 0);
	R(lock(b, F_SETLK, F_RDLCK, 0, 10));
	conflict(b, F_GETLK, F_RDLCK, 0, 10);
	CHILD
	{
		R(lock(a, F_OFD_SETLK, F_WRLCK, 200, 100)); /* inherited */
		R(lock(b, F_OFD_SETLK, F_WRLCK, 200, 100));
	}
	R(lock(b, F_OFD_SETLK, F_WRLCK, 200, 100));
	close(a);
	R(lock(b, F_OFD_SETLK, F_WRLCK, 0, 10));
	close(c);
	R(lock(b, F_OFD_SETLK, F_WRLCK, 0, 10));
}

SEQ(lock, kinds_do_not_meet, "flock fcntl:SETLK")
{
	int a;

	mk("f", 10);
	a = op("f", O_RDWR);
	R(flock(a, LOCK_EX));
	CHILD
	{
		int b = op("f", O_RDWR);

		R(lock(b, F_SETLK, F_WRLCK, 0, 0));
		R(flock(b, LOCK_EX | LOCK_NB));
	}
}

SEQ(lock, waits, "fcntl:SETLKW flock")
{
	int ready[2], a, status;
	pid_t pid;
	char c;

	mk("f", 10);
	N(pipe(ready));
	pid = fork();
	if (pid == 0) {
		int b = op("f", O_RDWR);

		need(lock(b, F_SETLK, F_WRLCK, 0, 0) == 0 && write(ready[1], "x", 1) == 1, "lock");
		usleep(30000); /* the other waits or is refused; how long does not matter */
		_exit(0);
	}
	N(read(ready[0], &c, 1));
	a = op("f", O_RDWR);
	R(lock(a, F_SETLKW, F_WRLCK, 0, 0));
	waitpid(pid, &status, 0);
	CHILD
	{
		conflict(op("f", O_RDWR), F_GETLK, F_RDLCK, 0, 0);
	}
}

static void nothing(int number)
{
	(void)number;
}

SEQ(lock, wait_is_interrupted, "fcntl:SETLKW flock")
{
	struct sigaction action = {.sa_handler = nothing};
	int a;

	mk("f", 10);
	a = op("f", O_RDWR);
	R(lock(a, F_SETLK, F_WRLCK, 0, 0));
	R(flock(a, LOCK_EX));
	CHILD
	{
		int b = op("f", O_RDWR);

		sigaction(SIGALRM, &action, NULL);
		ualarm(20000, 20000);
		R(lock(b, F_SETLKW, F_WRLCK, 0, 0));
		R(flock(b, LOCK_EX));
		ualarm(0, 0);
	}
}

SEQ(lock, deadlock, "fcntl:SETLKW")
{
	int ready[2], a, status;
	pid_t pid;
	char c;

	mk("f", 10);
	a = op("f", O_RDWR);
	N(pipe(ready));
	R(lock(a, F_SETLK, F_WRLCK, 0, 1));
	pid = fork();
	if (pid == 0) {
		int b = op("f", O_RDWR);

		need(lock(b, F_SETLK, F_WRLCK, 1, 1) == 0 && write(ready[1], "x", 1) == 1, "lock");
		_exit(lock(b, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : errno);
	}
	N(read(ready[0], &c, 1));
	/* One of the two is told; who depends on who comes second. */
	status = lock(a, F_SETLKW, F_WRLCK, 1, 1) == 0 ? 0 : errno;
	lock(a, F_SETLK, F_UNLCK, 0, 0);
	waitpid(pid, &v, 0);
	V((status == EDEADLK) + (WEXITSTATUS(v) == EDEADLK));
}

SEQ(lock, of_unlinked_and_renamed, "flock fcntl:SETLK unlink rename")
{
	int a, b;

	mk("f", 10);
	mk("g", 10);
	a = op("f", O_RDWR);
	R(flock(a, LOCK_EX));
	R(lock(a, F_SETLK, F_WRLCK, 0, 0));
	N(link("f", "h"));
	N(rename("g", "f"));
	b = op("f", O_RDWR);
	R(flock(b, LOCK_EX | LOCK_NB));
	CHILD
	{
		R(lock(op("h", O_RDWR), F_SETLK, F_WRLCK, 0, 0));
		R(lock(op("f", O_RDWR), F_SETLK, F_WRLCK, 0, 0));
		R(flock(op("h", O_RDWR), LOCK_EX | LOCK_NB));
	}
	N(unlink("h"));
	R(lock(a, F_SETLK, F_UNLCK, 0, 0));
	R(flock(a, LOCK_UN));
}

SEQ(lock, lease, "fcntl:SETLEASE")
{
	int r, w;

	mk("f", 10);
	r = op("f", O_RDONLY);
	R(fcntl(r, F_GETLEASE));
	R(fcntl(r, F_SETLEASE, F_RDLCK));
	R(fcntl(r, F_GETLEASE));
	FD(open("f", O_RDONLY));
	signal(SIGIO, SIG_IGN);
	FD(open("f", O_WRONLY | O_NONBLOCK));
	R(fcntl(r, F_SETLEASE, F_UNLCK));
	R(fcntl(r, F_SETLEASE, F_WRLCK));
	close(r);
	w = op("f", O_WRONLY);
	R(fcntl(w, F_SETLEASE, F_RDLCK));
	AS(OTHER)
	{
		R(fcntl(op("f", O_RDONLY), F_SETLEASE, F_RDLCK));
	}
}
