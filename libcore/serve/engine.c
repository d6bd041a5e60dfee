/* SPDX-License-Identifier: MIT */
/* engine.c - the thread that runs the models
 *
 * Calls come from the desks; each of their choices is a session of its
 * model's batch. Between two passes new calls are taken, those whose peer
 * left are cancelled, and those whose peer reads slowly are held back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/bell.h"
#include "serve/engine.h"
#include "serve/metrics.h"

enum { NAP_MS = 5 };

/* ---- what the batches tell */

static void fork_others(struct choice *k, struct session *s);
static void note_admitted(struct engine *g, struct call *c, double when);

int engine_token(void *arg, struct session *s, void *user, const struct token_event *t)
{
	struct engine *g = arg;
	struct choice *k = user;
	struct call *c = k->call;
	double now = http_seconds();

	if (c->first == 0) {
		c->first = now;
		if (c->admitted == 0)
			note_admitted(g, c, g->pass_began);
	}
	if (k->n_made == 0) {
		metrics_first(g->serve, now - c->came);
		fork_others(k, s);
	} else {
		metrics_next(g->serve, now - c->last_token);
	}
	c->last_token = now;
	return choice_token(k, t);
}

int engine_place(void *arg, struct session *s, void *user, const struct place_event *p)
{
	(void)arg;
	(void)s;
	return choice_place(user, p);
}

void engine_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	struct choice *k = user;

	(void)arg;
	choice_end(k, s, r, text, err);
}

/* ---- calls */

static void add_choice(struct choice *k, struct kv_seq *seq)
{
	struct call *c = k->call;
	const struct ids *p = &c->prompt[k->prompt];
	struct err e;

	k->added = true;
	if (k->r.score_first && choice_prompt(k)) {
		choice_end(k, NULL, END_CANCELLED, (struct bytes){ 0 }, NULL);
		return;
	}
	if (batch_add(c->model->batch, &k->session, p->id, seq ? 0 : p->n, &k->r, seq, k, &e))
		choice_end(k, NULL, END_ERROR, (struct bytes){ 0 }, &e);
}

/* The other choices of a prompt begin where its first one has computed it. */
static void fork_others(struct choice *k, struct session *s)
{
	struct call *c = k->call;

	if (k->index % c->n)
		return;
	for (size_t i = 1; i < c->n; i++) {
		struct kv_seq *seq = NULL;
		struct err e;

		if (c->choice[k->index + i].added)
			continue;
		if (k->r.score_first && choice_share(&c->choice[k->index + i], k))
			continue;
		if (session_seq(s) && kv_fork(&seq, session_seq(s), &e))
			seq = NULL;
		c->choice[k->index + i].r.score_first = 0;
		add_choice(&c->choice[k->index + i], seq);
	}
}

static void begin(struct engine *g, struct call *c)
{
	c->next = g->calls;
	g->calls = c;
	for (size_t i = 0; i < c->n_choices; i += c->n)
		add_choice(&c->choice[i], NULL);
}

/* A choice that ended before it told its first token left the others of its
 * prompt unborn. */
static void begin_rest(struct call *c)
{
	for (size_t i = 0; i < c->n_choices; i++)
		if (!c->choice[i].added && c->choice[i - i % c->n].ended) {
			if (c->cancelled || c->fault.status) {
				c->choice[i].added = true;
				choice_end(&c->choice[i], NULL, END_CANCELLED, (struct bytes){ 0 }, NULL);
			} else {
				add_choice(&c->choice[i], NULL);
			}
		}
}

static void cancel(struct call *c)
{
	for (size_t i = 0; i < c->n_choices; i++)
		if (c->choice[i].session)
			batch_cancel(c->model->batch, c->choice[i].session);
}

/* A slow reader's sessions wait, its own and nobody else's. */
static void hold_back(struct call *c)
{
	bool full = c->stream && respond_pending(c->x) > STALL_BYTES;

	if (full == c->paused)
		return;
	c->paused = full;
	for (size_t i = 0; i < c->n_choices; i++)
		if (c->choice[i].session)
			batch_pause(c->model->batch, c->choice[i].session, full);
}

static void note_admitted(struct engine *g, struct call *c, double when)
{
	c->admitted = when;
	pthread_mutex_lock(&g->lock);
	g->waiting--;
	g->n_running++;
	pthread_mutex_unlock(&g->lock);
}

/* Has a choice of it left the queue? */
static bool begun(const struct call *c)
{
	for (size_t i = 0; i < c->n_choices; i++)
		if (c->choice[i].n_made || c->choice[i].ended ||
		    (c->choice[i].session && session_seq(c->choice[i].session)))
			return true;
	return false;
}

static void finish(struct engine *g, struct call *c)
{
	pthread_mutex_lock(&g->lock);
	if (c->admitted > 0)
		g->n_running--;
	else
		g->waiting--;
	pthread_mutex_unlock(&g->lock);
	metrics_call(g->serve, c);
	call_finish(c);
}

/* Before and after each pass. */
static void look_after(struct engine *g)
{
	for (struct call **at = &g->calls; *at;) {
		struct call *c = *at;

		if (c->admitted == 0 && begun(c))
			note_admitted(g, c, g->pass_began);
		if (c->cancelled || c->fault.status)
			cancel(c);
		else
			hold_back(c);
		begin_rest(c);
		if (c->n_ended < c->n_choices) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		finish(g, c);
	}
}

static void fail_all(struct engine *g, const struct served *d, const struct err *e)
{
	for (struct call *c = g->calls; c; c = c->next)
		if (c->model == d && !c->fault.status)
			fault_err(&c->fault, e);
}

/* ---- the thread */

static void step(struct engine *g)
{
	for (struct served *d = g->models; d; d = d->beside) {
		double began;
		struct err e;

		if (!d->batch || !batch_active(d->batch))
			continue;
		began = g->pass_began = http_seconds();
		if (batch_step(d->batch, &e)) {
			server_log(g->serve, "model %s: %s", d->m.name, e.text);
			fail_all(g, d, &e);
			metrics_failed(g->serve);
		}
		bell_ring(g->serve->bell);
		metrics_step(g->serve, http_seconds() - began, batch_rows(d->batch));
	}
}

static bool active(const struct engine *g, size_t *rows)
{
	bool any = false;

	*rows = 0;
	for (const struct served *d = g->models; d; d = d->beside)
		if (d->batch && batch_active(d->batch)) {
			any = true;
			*rows += batch_rows(d->batch);
		}
	return any;
}

/* Waits for news: for ever where nothing runs, a little where all that runs
 * is held back. The lock is held. */
static void rest(struct engine *g)
{
	struct timespec t;
	size_t rows;
	bool any = active(g, &rows);

	if (g->arrived || g->tasks || g->woken || (any && rows))
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += NAP_MS * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	if (any || g->calls || g->stop_by > 0)
		pthread_cond_timedwait(&g->news, &g->lock, &t);
	else if (!g->stop)
		pthread_cond_wait(&g->news, &g->lock);
}

static struct call *arrivals(struct engine *g)
{
	struct call *c = g->arrived;

	g->arrived = NULL;
	g->arrived_end = &g->arrived;
	g->woken = false;
	return c;
}

/* One task a pass, so that streams go on beside many. */
static void run_task(struct engine *g)
{
	struct task *t;

	pthread_mutex_lock(&g->lock);
	t = g->tasks;
	if (t && !(g->tasks = t->next))
		g->tasks_end = &g->tasks;
	pthread_mutex_unlock(&g->lock);
	if (!t)
		return;
	t->work(t->arg);
	pthread_mutex_lock(&g->lock);
	t->done = true;
	pthread_cond_broadcast(&g->task_done);
	pthread_mutex_unlock(&g->lock);
}

/* What waits is refused as soon as the server drains, what runs when the time
 * is over. */
static void cut_off(struct engine *g, bool all)
{
	for (struct call *c = g->calls; c; c = c->next)
		if (!c->fault.status && (all || c->admitted == 0))
			fault_set(&c->fault, 503, "shutting_down", "the server is shutting down");
}

static void *run(void *arg)
{
	struct engine *g = arg;

	for (;;) {
		struct call *c, *next;
		bool over, drains;

		pthread_mutex_lock(&g->lock);
		rest(g);
		c = arrivals(g);
		drains = g->stop_by > 0;
		over = drains && http_seconds() >= g->stop_by;
		if (g->stop && !c && !g->calls && !g->tasks) {
			pthread_mutex_unlock(&g->lock);
			return NULL;
		}
		pthread_mutex_unlock(&g->lock);
		for (; c; c = next) {
			next = c->next;
			begin(g, c);
		}
		if (drains)
			cut_off(g, over);
		run_task(g);
		look_after(g);
		step(g);
		look_after(g);
		bell_ring(g->serve->bell);
		for (struct served *d = g->models; d; d = d->beside)
			if (d->batch)
				metrics_pages(g->serve, d);
	}
}

/* ---- from outside */

int engine_open(struct engine **out, struct serve *s, struct err *e)
{
	struct engine *g = calloc(1, sizeof *g);

	*out = g;
	if (!g)
		return err_memory(e, sizeof *g);
	g->serve = s;
	g->arrived_end = &g->arrived;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->news, NULL);
	pthread_cond_init(&g->task_done, NULL);
	g->tasks_end = &g->tasks;
	return 0;
}

int engine_start(struct engine *g, struct err *e)
{
	if (pthread_create(&g->thread, NULL, run, g))
		return err_errno(e, "cannot start a thread");
	g->started = true;
	return 0;
}

void engine_drain(struct engine *g, double seconds)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->refuse = true;
	g->stop_by = http_seconds() + seconds;
	g->stop = true;
	pthread_cond_signal(&g->news);
	pthread_mutex_unlock(&g->lock);
	if (g->started)
		pthread_join(g->thread, NULL);
	g->started = false;
}

void engine_close(struct engine *g)
{
	if (!g)
		return;
	engine_drain(g, 0);
	for (struct served *d = g->models; d; d = d->beside)
		batch_close(d->batch);
	pthread_cond_destroy(&g->news);
	pthread_cond_destroy(&g->task_done);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
