/* SPDX-License-Identifier: MIT */
/* ask.c - a request to a server that runs, by the address that it listens at */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/serve.h"

enum { ANSWER_BYTES = 16 << 20, SECONDS = 10 };

static int to_local(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof a.sun_path)
		return err_set(e, ERR_MISUSE, "a socket's path has at most %zu bytes, found %zu",
		               sizeof a.sun_path - 1, strlen(path));
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a)) {
		err_errno(e, "no server at %s", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int to_address(const char *text, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	char host[128];
	int fd, rc;

	if (!colon || n >= sizeof host)
		return err_set(e, ERR_MISUSE, "expected HOST:PORT or a socket's path, found \"%s\"",
		               text);
	snprintf(host, sizeof host, "%.*s", n ? (int)n : 9, n ? text : "127.0.0.1");
	rc = getaddrinfo(host, colon + 1, &hints, &found);
	if (rc)
		return err_set(e, ERR_MISUSE, "%s: %s", text, gai_strerror(rc));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? -1 : connect(fd, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (rc == 0)
		return fd;
	err_errno(e, "no server at %s", text);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int exchange(int fd, const struct buf *q, struct buf *out, struct err *e)
{
	struct timeval t = { .tv_sec = SECONDS };
	unsigned char piece[4096];
	ssize_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	for (size_t at = 0; at < q->n; at += (size_t)n) {
		n = send(fd, q->p + at, q->n - at, MSG_NOSIGNAL);
		if (n <= 0)
			return err_errno(e, "the server does not listen");
	}
	while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
		buf_add(out, piece, (size_t)n);
	return n < 0 ? err_errno(e, "the server does not answer") : buf_check(out, e);
}

/* The body of a plain HTTP/1.0 answer stays in b. */
static int take_body(struct buf *b, int *status, struct err *e)
{
	const unsigned char *end = b->p ? memmem(b->p, b->n, "\r\n\r\n", 4) : NULL;

	if (!end || sscanf((const char *)b->p, "HTTP/1.%*d %d", status) != 1)
		return err_set(e, ERR_MACHINE, "no answer in HTTP");
	b->n -= (size_t)(end + 4 - b->p);
	memmove(b->p, end + 4, b->n + 1);
	return 0;
}

int serve_ask(const char *address, const char *path, const char *key, struct buf *out, int *status,
              struct err *e)
{
	struct buf q = { 0 };
	int fd, rc;

	fd = strncmp(address, "unix:", 5) == 0 ? to_local(address + 5, e) :
	     strchr(address, '/')              ? to_local(address, e) :
	                                         to_address(address, e);
	if (fd < 0)
		return -1;
	buf_printf(&q, "GET %s HTTP/1.0\r\nHost: localhost\r\n", path);
	if (key)
		buf_printf(&q, "Authorization: Bearer %s\r\n", key);
	buf_add_text(&q, "\r\n");
	buf_init(out, ANSWER_BYTES);
	rc = buf_check(&q, e);
	if (rc == 0)
		rc = exchange(fd, &q, out, e);
	close(fd);
	buf_release(&q);
	return rc ? -1 : take_body(out, status, e);
}
