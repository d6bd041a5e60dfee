/* SPDX-License-Identifier: MIT */
/* door.c - connections up to their first head
 *
 * The HTTP library answers a head that it does not like in words of its own,
 * so a connection is given to it only once its head is whole and sound. Until
 * then the bytes stay in the socket, where they are only looked at. What is
 * not sound is answered here, and what never comes to an end is closed. */
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "serve/metrics.h"
#include "serve/server.h"

enum { EVENTS = 64, DOOR_MS = 250, LINGER_SECONDS = 1 };

struct caller {
	int fd;                    /* of a listener: its socket */
	struct listener *l;
	bool listens, answered;    /* answered: only its end is waited for */
	double by;                 /* when it is closed */
	struct sockaddr_storage from;
	socklen_t n_from;
	struct caller *next, **at;
};

struct door {
	struct serve *s;
	int epoll;
	struct caller *callers;
	size_t n_callers;
	struct caller listener[SERVE_LISTEN_MAX];
	size_t n_listeners;
	_Atomic bool shut, ends;
	pthread_t thread;
	bool runs;
	char head[HEAD_BYTES + 2];
};

/* ---- answers past the library */

void door_answer(struct serve *s, int fd, const char *id, enum dialect d, const struct fault *f)
{
	struct buf body = { 0 }, all = { 0 };
	time_t now = time(NULL);
	char date[64] = "";
	struct tm t;

	if (gmtime_r(&now, &t))
		strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &t);
	fault_body(&body, f, d, id);
	buf_add_byte(&body, '\n');
	buf_printf(&all,
	           "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: "
	           "application/json\r\nServer: %s\r\nX-Request-Id: %s\r\nContent-Length: %zu\r\n\r\n",
	           f->status, MHD_get_reason_phrase_for((unsigned)f->status), date, server_name(s), id,
	           body.n);
	buf_add(&all, body.p, body.n);
	/* it is short, and its peer has had nothing yet: it fits the socket */
	if (!body.failed && !all.failed)
		(void)!send(fd, all.p, all.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_release(&body);
	buf_release(&all);
}

/* ---- callers */

static void forget(struct door *d, struct caller *c)
{
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	d->n_callers--;
	free(c);
}

static void hang_up(struct door *d, struct caller *c)
{
	close(c->fd);
	forget(d, c);
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->ss_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr);
}

/* Nobody fills the door alone. */
static bool crowds(const struct door *d, const struct sockaddr_storage *from)
{
	size_t n = 0;

	for (const struct caller *c = d->callers; c; c = c->next)
		n += !c->answered && same_host(&c->from, from);
	return n >= d->s->limits.per_address;
}

static void greet(struct door *d, struct listener *l, int fd, const struct sockaddr_storage *from,
                  socklen_t n)
{
	const struct limits *most = &d->s->limits;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	bool room = d->n_callers < most->connections && !crowds(d, from);
	struct caller *c = room ? calloc(1, sizeof *c) : NULL;

	if (!c) {
		close(fd);
		return;
	}
	*c = (struct caller){ .fd = fd, .l = l, .by = http_seconds() + (double)most->head_seconds,
		              .from = *from, .n_from = n, .next = d->callers, .at = &d->callers };
	if (c->next)
		c->next->at = &c->next;
	d->callers = c;
	d->n_callers++;
	ev.data.ptr = c;
	if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev))
		hang_up(d, c);
}

static void admit(struct door *d, struct caller *at)
{
	for (;;) {
		struct sockaddr_storage from = { 0 };
		socklen_t n = sizeof from;
		int fd = accept4(at->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0)
			return;
		greet(d, at->l, fd, &from, n);
	}
}

/* To the library, which closes it in any case. */
static void hand_over(struct door *d, struct caller *c)
{
	epoll_ctl(d->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	(void)!MHD_add_connection(c->l->daemon, c->fd, (struct sockaddr *)&c->from, c->n_from);
	forget(d, c);
}

static void refuse(struct door *d, struct caller *c, const struct fault *f)
{
	const char *target = strchr(d->head, ' ');
	char id[REQUEST_ID], uri[64] = "";

	if (target)
		snprintf(uri, sizeof uri, "%.*s", (int)strcspn(target + 1, " ?\r\n"), target + 1);
	fresh_id(id);
	door_answer(d->s, c->fd, id, route_dialect(uri), f);
	metrics_request(d->s, "other", f->status);
	server_log(d->s, "%s - other %d", id, f->status);
	/* what is still to come is read, or its peer would lose the answer */
	shutdown(c->fd, SHUT_WR);
	c->answered = true;
	c->by = http_seconds() + LINGER_SECONDS;
}

static void drain(struct door *d, struct caller *c)
{
	ssize_t n;

	do
		n = recv(c->fd, d->head, sizeof d->head, MSG_DONTWAIT);
	while (n > 0);
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		hang_up(d, c);
}

static void look_at(struct door *d, struct caller *c, uint32_t events)
{
	struct fault f;
	ssize_t n;
	int rc;

	if (c->answered) {
		drain(d, c);
		return;
	}
	n = recv(c->fd, d->head, HEAD_BYTES + 1, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			hang_up(d, c);
		return;
	}
	d->head[n] = '\0';
	rc = head_sound(d->head, (size_t)n, &f);
	if (rc > 0)
		hand_over(d, c);
	else if (rc < 0)
		refuse(d, c, &f);
	else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		hang_up(d, c); /* the rest will never come */
}

/* ---- the thread */

static void look_around(struct door *d)
{
	double now = http_seconds();
	struct caller *next;

	for (struct caller *c = d->callers; c; c = next) {
		next = c->next;
		if (now > c->by)
			hang_up(d, c);
	}
}

static void shut(struct door *d)
{
	while (d->n_listeners)
		close(d->listener[--d->n_listeners].fd);
}

static void *keep(void *arg)
{
	struct door *d = arg;
	struct epoll_event ev[EVENTS];

	while (!d->ends) {
		int n = epoll_wait(d->epoll, ev, EVENTS, DOOR_MS);

		if (d->shut)
			shut(d);
		for (int i = 0; i < n; i++) {
			struct caller *c = ev[i].data.ptr;

			if (!c->listens)
				look_at(d, c, ev[i].events);
			else if (!d->shut)
				admit(d, c);
		}
		look_around(d);
	}
	return NULL;
}

int door_open(struct serve *s, struct err *e)
{
	struct door *d = calloc(1, sizeof *d);

	s->door = d;
	if (!d)
		return err_memory(e, sizeof *d);
	d->s = s;
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll < 0)
		return err_errno(e, "epoll");
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct caller *c = &d->listener[i];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		*c = (struct caller){ .fd = s->listener[i].fd, .l = &s->listener[i], .listens = true };
		s->listener[i].fd = -1;
		d->n_listeners++;
		if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, c->fd, &ev))
			return err_errno(e, "epoll");
	}
	if (pthread_create(&d->thread, NULL, keep, d))
		return err_errno(e, "cannot start a thread");
	d->runs = true;
	return 0;
}

void door_shut(struct door *d)
{
	if (d)
		d->shut = true;
}

void door_close(struct door *d)
{
	if (!d)
		return;
	d->ends = true;
	if (d->runs)
		pthread_join(d->thread, NULL);
	shut(d);
	while (d->callers)
		hang_up(d, d->callers);
	if (d->epoll >= 0)
		close(d->epoll);
	free(d);
}
