/* SPDX-License-Identifier: MIT */
/* watch.c - peers that leave, fall silent, or never come to an end
 *
 * A suspended connection is not looked at by the HTTP library, so this
 * thread asks the kernel. A closed unix peer shows POLLHUP; a TCP peer that
 * closed and one that only said "no more requests" both show POLLRDHUP, and
 * only a write tells them apart: a stream gets its keep-alive at once and
 * again a little later. */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "serve/server.h"

enum { TICK_MS = 20, IDLE_MS = 250, WATCHED = 1024 };
#define AGAIN_S 0.02

struct watched {
	struct pollfd p[WATCHED];
	struct exchange *x[WATCHED]; /* held */
	size_t n;
};

static bool in_flight(const struct exchange *x)
{
	return x->ran && x->connection && !x->gone && !x->ended;
}

/* A slow peer is cut off; x is locked. */
static bool too_slow(const struct exchange *x, double now)
{
	const struct limits *l = &x->serve->limits;

	if (!x->connection || x->fresh)
		return false;
	if (!x->ran)
		return now > x->began + (double)l->body_seconds + (double)x->n_body / BODY_RATE;
	return x->streams && x->out.n > x->sent && now > x->taken_at + (double)l->stall_seconds;
}

static void ping(struct exchange *x)
{
	pthread_mutex_unlock(&x->lock);
	respond_add(x, buf_bytes(&x->ping));
	pthread_mutex_lock(&x->lock);
}

static void look_at(struct watched *w, struct exchange *x, double now)
{
	struct fault f;

	pthread_mutex_lock(&x->lock);
	if (too_slow(x, now)) {
		if (!x->ran && !x->status) {
			x->status = 408;
			fault_set(&f, 408, NULL, "the body comes too slowly");
			door_answer(x->serve, x->fd, x->id, x->dialect, &f);
		}
		x->late = x->ran;
		shutdown(x->fd, SHUT_RDWR);
	} else if (in_flight(x)) {
		if (x->streams && (now > x->last_out + PING_SECONDS ||
		                   (x->ping_at > 0 && now >= x->ping_at))) {
			x->ping_at = 0;
			ping(x);
		}
		if (!x->half_closed && w->n < WATCHED) {
			w->p[w->n] = (struct pollfd){ .fd = x->fd,
				                      .events = x->local ? 0 : POLLRDHUP };
			x->n_refs++;
			w->x[w->n++] = x;
		}
	}
	pthread_mutex_unlock(&x->lock);
}

static void collect(struct serve *s, struct watched *w)
{
	double now = http_seconds();

	w->n = 0;
	pthread_mutex_lock(&s->lock);
	for (struct exchange *x = s->exchanges; x; x = x->next)
		look_at(w, x, now);
	for (struct link *k = s->links; k; k = k->next)
		if (k->head_by > 0 && now > k->head_by) {
			k->head_by = 0;
			shutdown(k->fd, SHUT_RDWR);
		}
	pthread_mutex_unlock(&s->lock);
}

/* The peer has closed its side, or all of it. */
static void closed(struct exchange *x, short events)
{
	bool all = events & (POLLHUP | POLLERR | POLLNVAL);

	if (!(events & (POLLHUP | POLLERR | POLLNVAL | POLLRDHUP)))
		return;
	if (all || !x->streams) {
		http_left(x);
		return;
	}
	pthread_mutex_lock(&x->lock);
	x->half_closed = true;
	x->ping_at = http_seconds() + AGAIN_S;
	ping(x);
	pthread_mutex_unlock(&x->lock);
}

static void *watch(void *arg)
{
	struct serve *s = arg;
	struct watched *w = calloc(1, sizeof *w);

	while (w && !s->stopping) {
		collect(s, w);
		poll(w->p, w->n, w->n ? TICK_MS : IDLE_MS);
		for (size_t i = 0; i < w->n; i++) {
			closed(w->x[i], w->p[i].revents);
			exchange_drop(w->x[i]);
		}
	}
	free(w);
	return NULL;
}

int watch_open(struct serve *s, struct err *e)
{
	if (pthread_create(&s->watch_thread, NULL, watch, s))
		return err_errno(e, "cannot start a thread");
	s->watches = true;
	return 0;
}

void watch_close(struct serve *s)
{
	if (s->watches)
		pthread_join(s->watch_thread, NULL);
	s->watches = false;
}
