/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread, which no other waits for. A connection is one request and one reply, each a message: what is longer than
 * a request can be is none, and a reply fits what the kernel buffers, so sending it never waits. Whoever connects and
 * does not ask costs one of a few places for a few seconds; when they are taken the one that has been there for longest
 * has to go.
 *
 * Permissions of the directory keep others out; the kernel is asked who has connected all the same.
 */
#include "fuse/server.h"

#include "base/cleanup.h"
#include "base/control.h"
#include "base/exit-codes.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS	   4U
#define PATIENCE_S 10

struct client {
	int fd; /* -1: none */
	time_t since_s;
};

struct xtsfs_server {
	struct xtsfs_server_params params;
	pthread_t thread;
	int stop[2]; /* a pipe: closing the writing end is the sign */
	struct client clients[CLIENTS];
};

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void drop(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static void reply_error(FILE *out, int code, const char *text)
{
	fprintf(out, "error %d %s\n", code, text);
}

static void answer(struct xtsfs_server *server, const char *request, FILE *out)
{
	if (strcmp(request, "status") == 0) {
		fprintf(out, "ok\n");
		xtsfs_status_print(out, &server->params.facts, server->params.volume);
	} else {
		reply_error(out, XTSFS_EXIT_USAGE, "this daemon does not know the request");
	}
}

/* The message that has come is the request. Its words go to no log: nothing vouches for them. */
static void serve(struct xtsfs_server *server, struct client *client)
{
	char request[XTSFS_CONTROL_REQUEST_BYTES + 2], *reply = NULL;
	ssize_t n = recv(client->fd, request, sizeof(request) - 1, MSG_DONTWAIT);
	size_t bytes = 0;
	FILE *out;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && n <= XTSFS_CONTROL_REQUEST_BYTES && (out = open_memstream(&reply, &bytes))) {
		request[n] = '\0';
		if (strlen(request) == (size_t)n)
			answer(server, request, out);
		else
			reply_error(out, XTSFS_EXIT_USAGE, "not a request");
		if (fclose(out) == 0)
			(void)send(client->fd, reply, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		free(reply);
	}
	drop(client);
}

static void welcome(struct xtsfs_server *server)
{
	struct client *place = &server->clients[0];
	int fd = accept4(server->params.listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid;
	pid_t pid;
	int r;

	if (fd < 0)
		return;
	r = xtsfs_control_peer(fd, &uid, &pid);
	if (r < 0 || (uid != 0 && uid != geteuid())) {
		xtsfs_warning("control socket: %s, refusing",
			      r < 0 ? "cannot tell who connects" : "not our user connects");
		close(fd);
		return;
	}
	for (unsigned i = 0; i < CLIENTS && place->fd >= 0; i++)
		if (server->clients[i].fd < 0 || server->clients[i].since_s < place->since_s)
			place = &server->clients[i];
	drop(place);
	*place = (struct client){.fd = fd, .since_s = now_s()};
}

static void *run(void *data)
{
	struct xtsfs_server *server = data;

	for (;;) {
		struct pollfd fds[2 + CLIENTS] = {{.fd = server->stop[0], .events = POLLIN},
						  {.fd = server->params.listening, .events = POLLIN}};
		bool has_clients = false;

		for (unsigned i = 0; i < CLIENTS; i++) {
			struct client *client = &server->clients[i];

			if (client->fd >= 0 && now_s() - client->since_s > PATIENCE_S)
				drop(client);
			fds[2 + i] = (struct pollfd){.fd = client->fd, .events = POLLIN};
			has_clients |= client->fd >= 0;
		}
		if (poll(fds, 2 + CLIENTS, has_clients ? 1000 : -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		for (unsigned i = 0; i < CLIENTS; i++)
			if (fds[2 + i].fd >= 0 && fds[2 + i].revents)
				serve(server, &server->clients[i]);
		if (fds[1].revents)
			welcome(server);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		drop(&server->clients[i]);
	return NULL;
}

int xtsfs_server_start(const struct xtsfs_server_params *params, struct xtsfs_server **ret_server)
{
	struct xtsfs_server *server = calloc(1, sizeof(*server));
	sigset_t all, before;
	int r;

	if (!server)
		return -ENOMEM;
	server->params = *params;
	for (unsigned i = 0; i < CLIENTS; i++)
		server->clients[i].fd = -1;
	if (pipe2(server->stop, O_CLOEXEC) < 0) {
		r = -errno;
		free(server);
		return r;
	}
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&server->thread, NULL, run, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		close(server->stop[0]);
		close(server->stop[1]);
		free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void xtsfs_server_stop(struct xtsfs_server *server)
{
	if (!server)
		return;
	close(server->stop[1]);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	free(server);
}
