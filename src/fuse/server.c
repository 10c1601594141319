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
#include "base/notify.h"
#include "base/passphrase.h"
#include "fuse/reencrypt.h"

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
	struct xtsfs_secret *secret; /* for unlock and reencrypt: what is to follow, and how much of it has */
	size_t got;
	bool is_keyfile;
	int slot;
	bool reencrypts, drop_slots; /* what the secret is for */
	uint64_t rate;
};

struct xtsfs_server {
	struct xtsfs_server_params params;
	struct xtsfs_reencrypter *reencrypter;
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
	client->secret = xtsfs_secret_free(client->secret);
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static void reply_error(FILE *out, int code, const char *text)
{
	fprintf(out, "error %d %s\n", code, text);
}

static void lock(struct xtsfs_server *server, enum xtsfs_held held, FILE *out)
{
	size_t left;
	int r;

	xtsfs_reencrypter_stop(server->reencrypter); /* it has keys, and is not behind the gate */
	r = xtsfs_lock(&server->params.locker, held, &left);

	if (r < 0) {
		xtsfs_warning("cannot lock: %s, going on", xtsfs_strerror(r));
		reply_error(out, r == -ESHUTDOWN ? XTSFS_EXIT_NOT_MOUNTED : (int)xtsfs_exit_code(r),
			    r == -ESHUTDOWN ? "the mount is ending" : xtsfs_strerror(r));
		return;
	}
	xtsfs_notify(NULL, "Locked; xtsfsctl unlock opens it");
	xtsfs_notice("locked; requests %s", held == XTSFS_HELD_WAIT ? "wait" : "fail");
	fprintf(out, "ok\ncached_files %zu\n", left);
}

static void unlock(struct xtsfs_server *server, const struct client *client, FILE *out)
{
	const struct xtsfs_unlock with = {.passphrase = client->is_keyfile ? NULL : client->secret,
					  .keyfile = client->is_keyfile ? client->secret : NULL,
					  .slot = client->slot};
	int r = xtsfs_unlock(&server->params.locker, &with, &server->params.facts);

	if (r == 0) {
		xtsfs_notify(NULL, "Unlocked");
		xtsfs_notice("unlocked by keyslot %d", server->params.facts.slot);
		fprintf(out, "ok\nslot.id %d\n", server->params.facts.slot);
	} else if (r == -EALREADY) {
		reply_error(out, XTSFS_EXIT_BUSY, "the mount is not locked");
	} else {
		xtsfs_warning("cannot unlock: %s, it stays locked", xtsfs_strerror(r));
		reply_error(
			out, (int)xtsfs_exit_code(r),
			r == -XTSFS_EPASS   ? "no keyslot opens with this passphrase or keyfile; the mount stays locked"
			: r == -XTSFS_EAUTH ? "xtsfs.conf was edited, or is another volume's; the mount stays locked"
					    : xtsfs_strerror(r));
	}
}

static void reencrypt(struct xtsfs_server *server, const struct client *client, FILE *out)
{
	const struct xtsfs_reencrypt_request request = {
		.with = {.passphrase = client->is_keyfile ? NULL : client->secret,
			 .keyfile = client->is_keyfile ? client->secret : NULL,
			 .slot = client->slot},
		.drop_slots = client->drop_slots,
		.rate = client->rate};
	char problem[256];
	int r = xtsfs_reencrypter_start(server->reencrypter, &request, &server->params.facts, problem, sizeof(problem));

	if (r < 0) {
		xtsfs_warning("re-encryption: %s, going on without", problem);
		reply_error(out,
			    r == -EALREADY || r == -EBUSY ? XTSFS_EXIT_BUSY
			    : r == -ENOTUNIQ		  ? XTSFS_EXIT_SLOT
							  : (int)xtsfs_exit_code(r),
			    problem);
		return;
	}
	fprintf(out, "ok\nslot.id %d\n", server->params.facts.slot);
}

static bool begin_secret(struct xtsfs_server *server, struct client *client, size_t bytes, bool is_keyfile, int slot,
			 FILE *out)
{
	int r;

	for (unsigned i = 0; i < CLIENTS; i++) /* memory for one at a time */
		server->clients[i].secret = xtsfs_secret_free(server->clients[i].secret);
	r = xtsfs_secret_new(bytes, &client->secret);
	if (r < 0) {
		reply_error(out, XTSFS_EXIT_MEMORY, xtsfs_strerror(r));
		return false;
	}
	client->got = 0;
	client->is_keyfile = is_keyfile;
	client->slot = slot;
	return true;
}

static bool is_secret(const char *kind, unsigned long bytes)
{
	bool is_keyfile = strcmp(kind, "keyfile") == 0;

	return (is_keyfile || strcmp(kind, "passphrase") == 0) && bytes > 0 &&
	       bytes <= (is_keyfile ? XTSFS_SOURCE_KEYFILE_MAX_BYTES : XTSFS_SOURCE_PASSPHRASE_MAX_BYTES);
}

/* "passphrase 12 any keep 0" or "keyfile 64 3 drop 1000000": slot, other slots, bytes a second. false: it is answered.
 */
static bool begin_reencrypt(struct xtsfs_server *server, struct client *client, const char *words, FILE *out)
{
	char kind[16], slot_word[8], drop[8], rest, *end;
	unsigned long bytes, slot = 0;
	unsigned long long rate;
	/* NOLINTNEXTLINE(cert-err34-c): so few digits fit, and what is negative becomes too large */
	int n = sscanf(words, "%15s %8lu %7s %7s %19llu%c", kind, &bytes, slot_word, drop, &rate, &rest);
	bool any = n == 5 && strcmp(slot_word, "any") == 0;

	if (n == 5 && !any)
		slot = strtoul(slot_word, &end, 10);
	if (n != 5 || !is_secret(kind, bytes) || (!any && (*end || slot >= XTSFS_CONFIG_SLOTS)) ||
	    (strcmp(drop, "drop") != 0 && strcmp(drop, "keep") != 0)) {
		reply_error(out, XTSFS_EXIT_USAGE, "not a request");
		return false;
	}
	if (!begin_secret(server, client, bytes, strcmp(kind, "keyfile") == 0, any ? -1 : (int)slot, out))
		return false;
	client->reencrypts = true;
	client->drop_slots = strcmp(drop, "drop") == 0;
	client->rate = rate;
	return true;
}

/* "passphrase 12" or "keyfile 64 slot 3"; then so many bytes follow. false: it is answered. */
static bool begin_unlock(struct xtsfs_server *server, struct client *client, const char *words, FILE *out)
{
	char kind[16], slot_word[8], rest;
	unsigned long bytes, slot = 0;
	/* NOLINTNEXTLINE(cert-err34-c): so few digits fit, and what is negative becomes too large */
	int n = sscanf(words, "%15s %8lu %7s %2lu%c", kind, &bytes, slot_word, &slot, &rest);

	if ((n != 2 && n != 4) || !is_secret(kind, bytes) ||
	    (n == 4 && (strcmp(slot_word, "slot") != 0 || slot >= XTSFS_CONFIG_SLOTS))) {
		reply_error(out, XTSFS_EXIT_USAGE, "not a request");
		return false;
	}
	if (!server->params.locker.locked) {
		reply_error(out, XTSFS_EXIT_BUSY, "the mount is not locked");
		return false;
	}
	return begin_secret(server, client, bytes, strcmp(kind, "keyfile") == 0, n == 4 ? (int)slot : -1, out);
}

static void status(struct xtsfs_server *server, FILE *out)
{
	const struct xtsfs_locker *locker = &server->params.locker;

	fprintf(out, "ok\nlocked %s\n", !locker->locked ? "no" : locker->held == XTSFS_HELD_WAIT ? "wait" : "fail");
	fprintf(out, "held_requests %zu\n", xtsfs_gate_kept());
	xtsfs_status_print(out, &server->params.facts, locker->mount->volume);
	xtsfs_reencrypter_print(server->reencrypter, out);
}

static void stop(struct xtsfs_server *server, FILE *out)
{
	xtsfs_reencrypter_stop(server->reencrypter);
	fprintf(out, "ok\n");
}

/* false: more is to come. */
static bool answer(struct xtsfs_server *server, struct client *client, const char *request, FILE *out)
{
	if (strcmp(request, "status") == 0)
		status(server, out);
	else if (strcmp(request, "lock wait") == 0)
		lock(server, XTSFS_HELD_WAIT, out);
	else if (strcmp(request, "lock fail") == 0)
		lock(server, XTSFS_HELD_FAIL, out);
	else if (strncmp(request, "unlock ", strlen("unlock ")) == 0)
		return !begin_unlock(server, client, request + strlen("unlock "), out);
	else if (strcmp(request, "reencrypt stop") == 0)
		stop(server, out);
	else if (strncmp(request, "reencrypt ", strlen("reencrypt ")) == 0)
		return !begin_reencrypt(server, client, request + strlen("reencrypt "), out);
	else
		reply_error(out, XTSFS_EXIT_USAGE, "this daemon does not know the request");
	return true;
}

/* A piece of a secret goes where it belongs and nowhere else. false: not all of it is there. */
static bool take_piece(struct client *client)
{
	size_t left = client->secret->bytes - client->got;
	ssize_t n = recv(client->fd, client->secret->data + client->got, left, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0 || (size_t)n > left) {
		drop(client);
		return false;
	}
	client->got += (size_t)n;
	return client->got == client->secret->bytes;
}

/* The message that has come is the request. Its words go to no log: nothing vouches for them. */
static bool take_request(struct xtsfs_server *server, struct client *client, FILE *out)
{
	char request[XTSFS_CONTROL_REQUEST_BYTES + 2];
	ssize_t n = recv(client->fd, request, sizeof(request) - 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0 || n > XTSFS_CONTROL_REQUEST_BYTES) {
		drop(client);
		return false;
	}
	request[n] = '\0';
	if (strlen(request) == (size_t)n)
		return answer(server, client, request, out);
	reply_error(out, XTSFS_EXIT_USAGE, "not a request");
	return true;
}

static void serve(struct xtsfs_server *server, struct client *client)
{
	char *reply = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&reply, &bytes);
	bool has_secret = client->secret, is_answered;

	if (!out) {
		drop(client);
		return;
	}
	is_answered = has_secret ? take_piece(client) : take_request(server, client, out);
	if (is_answered && has_secret && client->reencrypts)
		reencrypt(server, client, out);
	else if (is_answered && has_secret)
		unlock(server, client, out);
	if (fclose(out) == 0 && is_answered) {
		client->secret = xtsfs_secret_free(client->secret);
		(void)send(client->fd, reply, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		drop(client);
	}
	free(reply);
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
	r = xtsfs_reencrypter_new(&server->params.locker, &server->reencrypter);
	if (r < 0) {
		free(server);
		return r;
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		server->clients[i].fd = -1;
	if (pipe2(server->stop, O_CLOEXEC) < 0) {
		r = -errno;
		xtsfs_reencrypter_free(server->reencrypter);
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
		xtsfs_reencrypter_free(server->reencrypter);
		free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void xtsfs_server_end(struct xtsfs_server *server, struct xtsfs_locker *ret_locker)
{
	if (server->stop[1] >= 0) {
		close(server->stop[1]);
		pthread_join(server->thread, NULL);
		close(server->stop[0]);
		server->stop[0] = server->stop[1] = -1;
		xtsfs_reencrypter_stop(server->reencrypter);
	}
	if (ret_locker)
		*ret_locker = server->params.locker;
}

void xtsfs_server_stop(struct xtsfs_server *server)
{
	if (!server)
		return;
	xtsfs_server_end(server, NULL);
	xtsfs_reencrypter_free(server->reencrypter);
	free(server);
}
