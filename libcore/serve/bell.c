/* SPDX-License-Identifier: MIT */
/* bell.c - wakes the connections that a pass has news for
 *
 * To wake one costs a lock that the thread at the sockets holds for long, and
 * a write to its pipe. Where a pass has tokens for many, the engine leaves that to a
 * thread of its own and goes on to the next pass. */
#include "serve/bell.h"

#include <stdlib.h>

#include "serve/server.h"

enum { WOKEN_HERE = 4 }; /* that are woken sooner than a thread is */

struct bell {
	pthread_mutex_t lock; /* of the next four */
	pthread_cond_t news;
	struct exchange *rung, **rung_end;
	bool stop;
	struct exchange *held, **held_end; /* the engine's */
	size_t n_held;
	pthread_t thread;
};

static void wake_all(struct exchange *x)
{
	while (x) {
		struct exchange *next = x->in_bell;

		http_wake(x);
		x = next;
	}
}

static void *run(void *arg)
{
	struct bell *b = arg;

	pthread_mutex_lock(&b->lock);
	while (b->rung || !b->stop) {
		struct exchange *x = b->rung;

		if (!x) {
			pthread_cond_wait(&b->news, &b->lock);
			continue;
		}
		b->rung = NULL;
		b->rung_end = &b->rung;
		pthread_mutex_unlock(&b->lock);
		wake_all(x);
		pthread_mutex_lock(&b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

int bell_open(struct bell **out, struct err *e)
{
	struct bell *b = calloc(1, sizeof *b);

	if (!b)
		return err_memory(e, sizeof *b);
	b->rung_end = &b->rung;
	b->held_end = &b->held;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->news, NULL);
	if (pthread_create(&b->thread, NULL, run, b)) {
		pthread_cond_destroy(&b->news);
		pthread_mutex_destroy(&b->lock);
		free(b);
		return err_errno(e, "cannot start a thread");
	}
	*out = b;
	return 0;
}

void bell_close(struct bell *b)
{
	if (!b)
		return;
	bell_ring(b);
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_signal(&b->news);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	pthread_cond_destroy(&b->news);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void bell_hold(struct bell *b, struct exchange *x)
{
	x->in_bell = NULL;
	*b->held_end = x;
	b->held_end = &x->in_bell;
	b->n_held++;
}

void bell_ring(struct bell *b)
{
	struct exchange *x = b->held;

	if (!x)
		return;
	if (b->n_held > WOKEN_HERE) {
		pthread_mutex_lock(&b->lock);
		*b->rung_end = x;
		b->rung_end = b->held_end;
		pthread_cond_signal(&b->news);
		pthread_mutex_unlock(&b->lock);
		x = NULL;
	}
	b->held = NULL;
	b->held_end = &b->held;
	b->n_held = 0;
	wake_all(x);
}
