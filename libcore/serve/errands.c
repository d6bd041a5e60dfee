/* SPDX-License-Identifier: MIT */
/* errands.c - what other threads ask of the engine: to take a call, to run
 * something between two passes, to let a model come or go */
#include "serve/engine.h"

int engine_reserve(struct engine *g, struct fault *f)
{
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	if (g->refuse)
		rc = fault_set(f, 503, "shutting_down", "the server is shutting down");
	else if (g->waiting >= g->serve->limits.queue)
		rc = fault_set(f, 503, "queue_full", "%zu requests wait already", g->waiting);
	else
		g->waiting++;
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void engine_add(struct engine *g, struct call *c)
{
	pthread_mutex_lock(&g->lock);
	c->next = NULL;
	*g->arrived_end = c;
	g->arrived_end = &c->next;
	pthread_cond_signal(&g->news);
	pthread_mutex_unlock(&g->lock);
}

int engine_run(struct engine *g, void (*work)(void *arg), void *arg, struct fault *f)
{
	struct task t = { .work = work, .arg = arg };

	pthread_mutex_lock(&g->lock);
	if (g->refuse) {
		pthread_mutex_unlock(&g->lock);
		return fault_set(f, 503, "shutting_down", "the server is shutting down");
	}
	*g->tasks_end = &t;
	g->tasks_end = &t.next;
	pthread_cond_signal(&g->news);
	while (!t.done)
		pthread_cond_wait(&g->task_done, &g->lock);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

/* ---- models that come and go */

struct change { struct engine *g; struct served *d; int rc; struct err *e; };

static void attach(void *arg)
{
	struct change *c = arg;
	const struct batch_events ev = { .arg = c->g, .token = engine_token, .end = engine_end,
		                         .place = engine_place };
	struct serve_model *m = &c->d->m;

	/* an encoder makes vectors, no text */
	if (!model_config(m->model)->encoder)
		c->rc = batch_open(&c->d->batch, m->model, m->tokenizer, &m->batch, &ev, c->e);
	if (c->rc)
		return;
	c->d->beside = c->g->models;
	c->g->models = c->d;
}

static void detach(void *arg)
{
	struct change *c = arg;
	struct served **at = &c->g->models;

	while (*at != c->d)
		at = &(*at)->beside;
	*at = c->d->beside;
	batch_close(c->d->batch);
	c->d->batch = NULL;
}

int engine_attach(struct engine *g, struct served *d, struct err *e)
{
	struct change c = { .g = g, .d = d, .e = e };
	struct fault f;

	if (engine_run(g, attach, &c, &f))
		return err_set(e, ERR_MACHINE, "%s", f.message);
	return c.rc;
}

int engine_detach(struct engine *g, struct served *d)
{
	struct change c = { .g = g, .d = d };
	struct fault f;

	return engine_run(g, detach, &c, &f);
}

void engine_wake(struct engine *g)
{
	pthread_mutex_lock(&g->lock);
	g->woken = true;
	pthread_cond_signal(&g->news);
	pthread_mutex_unlock(&g->lock);
}

const struct call *engine_calls(const struct engine *g)
{
	return g->calls;
}

void engine_state(struct engine *g, struct engine_state *out)
{
	pthread_mutex_lock(&g->lock);
	*out = (struct engine_state){ g->waiting, g->n_running };
	pthread_mutex_unlock(&g->lock);
}
