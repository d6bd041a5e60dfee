/* SPDX-License-Identifier: MIT */
/* session.c - one timeline: from logits to a token, its text, and the end
 *
 * Which rows run when is left to the batch. */
#include "gen/session.h"

#include <stdlib.h>
#include <string.h>

const char *end_reason_text(enum end_reason r)
{
	static const char *const text[] = {
		[END_NONE] = "none",   [END_STOP] = "stop",           [END_LENGTH] = "length",
		[END_ERROR] = "error", [END_CANCELLED] = "cancelled",
	};

	return text[r];
}

size_t session_prompt_tokens(const struct session *s)
{
	return s->n_prompt;
}

size_t session_reused_tokens(const struct session *s)
{
	return s->n_reused;
}

size_t session_made_tokens(const struct session *s)
{
	return s->n_made;
}

int session_stop(const struct session *s)
{
	return s->stop.hit;
}

struct kv_seq *session_seq(const struct session *s)
{
	return s->seq;
}

size_t session_pending(const struct session *s)
{
	return s->n - (s->seq ? kv_computed(s->seq) : 0);
}

/* ---- what sessions share */

enum { LOGPROBS = 128 };

static int find_eos(struct talk *t, struct err *e)
{
	const struct config *c = model_config(t->model);
	int32_t own = t->tokenizer ? tokenizer_eos(t->tokenizer) : -1;

	for (size_t i = 0; i < c->n_eos; i++)
		t->eos[t->n_eos++] = c->eos[i];
	if (!t->n_eos && own >= 0)
		t->eos[t->n_eos++] = own;
	if (t->tokenizer && tokenizer_encode(t->tokenizer, bytes_of("\n"), 0, &t->exempt, e))
		return -1;
	for (size_t i = 0; i < t->n_eos; i++)
		if (ids_add(&t->exempt, t->eos[i], e))
			return -1;
	return 0;
}

int sessions_open(struct talk *t, struct model *m, const struct tokenizer *tokenizer,
                     const struct batch_options *o, const struct batch_events *ev, struct err *e)
{
	t->model = m;
	t->tokenizer = tokenizer;
	t->events = *ev;
	t->keep_special = o->keep_special;
	t->vocab = model_config(m)->vocab;
	t->context = o->context ? o->context : model_config(m)->max_pos;
	t->top_id = malloc(LOGPROBS * sizeof *t->top_id);
	t->top_logprob = malloc(LOGPROBS * sizeof *t->top_logprob);
	if (!t->top_id || !t->top_logprob)
		return err_memory(e, LOGPROBS * sizeof *t->top_id);
	return sampler_room_open(&t->room, t->vocab, e) || find_eos(t, e) ? -1 : 0;
}

void sessions_close(struct talk *t)
{
	sampler_room_close(t->room);
	ids_release(&t->exempt);
	buf_release(&t->piece);
	free(t->top_id);
	free(t->top_logprob);
}

/* ---- open, close */

static int know(struct session *s, const int32_t *id, size_t n, struct err *e)
{
	size_t room = s->room ? s->room : 64;
	int32_t *more;

	while (room < s->n + n)
		room *= 2;
	if (room > s->room) {
		more = realloc(s->id, room * sizeof *more);
		if (!more)
			return err_memory(e, room * sizeof *more);
		s->id = more;
		s->room = room;
	}
	if (n)
		memcpy(s->id + s->n, id, n * sizeof *id);
	s->n += n;
	return 0;
}

/* What a given cache holds comes first. Without new ids its last one is
 * computed again, for the logits. */
static int know_seq(struct session *s, size_t n_new, struct err *e)
{
	size_t len = kv_len(s->seq);

	if (kv_computed(s->seq) != len)
		return err_set(e, ERR_MISUSE, "the given cache: %zu of %zu positions computed",
		               kv_computed(s->seq), len);
	if (know(s, kv_ids(s->seq), len, e))
		return -1;
	for (size_t i = 0; i < len; i++)
		s->fixed |= s->id[i] < 0;
	s->n_reused = len;
	if (n_new || !len || !s->r.max_tokens)
		return 0;
	if (s->id[len - 1] < 0)
		return err_set(e, ERR_INPUT,
		               "the prompt is empty, and the cache has no ids to go on from");
	s->n_reused = kv_rewind(s->seq, len - 1);
	if (s->n_reused < len - 1 && s->fixed)
		return err_set(e, ERR_INPUT,
		               "the prompt is empty, and the cache cannot go back a position");
	return 0;
}

static int check(const struct session *s, struct err *e)
{
	const struct talk *t = s->talk;
	size_t most = t->context - (s->r.max_tokens > 0),
	       fits = kv_pool_tokens(model_pool(t->model));

	if (!s->n)
		return err_set(e, ERR_INPUT, "the prompt is empty");
	if (s->n > most)
		return err_set(e, ERR_INPUT,
		               "the prompt: expected at most %zu tokens (context %zu), found %zu",
		               most, t->context, s->n);
	if (s->n > fits)
		return err_set(e, ERR_MACHINE,
		               "the prompt: the cache has room for %zu tokens, found %zu", fits,
		               s->n);
	for (size_t i = 0; i < s->n; i++)
		if (s->id[i] < -1 || (s->id[i] >= 0 && (size_t)s->id[i] >= t->vocab))
			return err_set(
				e, ERR_INPUT,
				"the prompt: token %zu: expected an id from 0 to %zu, found %d", i,
				t->vocab - 1, (int)s->id[i]);
	if (s->r.n_stop && !t->tokenizer)
		return err_set(e, ERR_INPUT, "stop: the model has no tokenizer to match text with");
	return 0;
}

static int set_up(struct session *s, const int32_t *id, size_t n, const struct request *r,
                  struct err *e)
{
	struct talk *t = s->talk;

	if (request_copy(&s->r, r, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (id[i] < 0)
			return err_set(
				e, ERR_INPUT,
				"the prompt: token %zu: expected an id from 0 to %zu, found %d", i,
				t->vocab - 1, (int)id[i]);
	if ((s->seq && know_seq(s, n, e)) || know(s, id, n, e) || check(s, e))
		return -1;
	s->n_prompt = s->n;
	s->scored = s->r.score_first;
	if (sampler_open_in(&s->sampler, &s->r, t->room, t->exempt.id, t->exempt.n, e) ||
	    stop_init(&s->stop, &s->r, e))
		return -1;
	if (t->tokenizer) {
		detok_init(&s->detok, t->tokenizer);
		s->detok.keep_special = t->keep_special || s->r.keep_special;
		detok_skip(&s->detok, s->id, s->n);
	}
	return session_constrain(s, e);
}

int session_open(struct session **out, struct talk *talk, const int32_t *id, size_t n,
                 const struct request *r, struct kv_seq *take_seq, void *user, struct err *e)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s) {
		kv_seq_close(take_seq);
		return err_memory(e, sizeof *s);
	}
	s->talk = talk;
	s->seq = take_seq;
	s->user = user;
	if (set_up(s, id, n, r, e)) {
		session_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	kv_seq_close(s->seq);
	sampler_close(s->sampler);
	guard_release(&s->guard);
	buf_release(&s->owed);
	stop_release(&s->stop);
	request_release(&s->r);
	buf_release(&s->text);
	free(s->id);
	free(s);
}

/* ---- a token */

/* Adds the token's text; 1 when a stop string is complete. Ids past the
 * tokenizer's (a vocabulary that was padded) have no text. */
static int add_text(struct session *s, int32_t id, struct err *e)
{
	struct talk *t = s->talk;

	if (!t->tokenizer || (size_t)id >= tokenizer_size(t->tokenizer))
		return 0;
	buf_clear(&t->piece);
	if (session_stay(s, id, e) || detok_add(&s->detok, id, &t->piece, e) ||
	    session_said(s, buf_bytes(&t->piece), e))
		return -1;
	return stop_add(&s->stop, buf_bytes(&t->piece), &s->text, e);
}

/* Adds what was held; 1 when it completes a stop string after all. */
static int add_rest(struct session *s, struct err *e)
{
	struct talk *t = s->talk;
	int hit = 0;

	if (t->tokenizer) {
		buf_clear(&t->piece);
		if (detok_end(&s->detok, &t->piece, e))
			return -1;
		hit = stop_add(&s->stop, buf_bytes(&t->piece), &s->text, e);
	}
	return hit || !stop_end(&s->stop, &s->text, e) ? hit : -1;
}

static bool is_eos(const struct talk *t, int32_t id)
{
	for (size_t i = 0; i < t->n_eos; i++)
		if (t->eos[i] == id)
			return true;
	return false;
}

void session_end(struct session *s, enum end_reason reason, const struct err *err)
{
	struct err e;

	s->ended = true;
	if (add_rest(s, &e) > 0 && reason == END_LENGTH)
		reason = END_STOP;
	if (s->talk->events.end)
		s->talk->events.end(s->talk->events.arg, s, s->user, reason, buf_bytes(&s->text),
		                    reason == END_ERROR ? err : NULL);
	kv_seq_close(s->seq);
	s->seq = NULL;
}

static void fail(struct session *s, const struct err *e)
{
	session_end(s, END_ERROR, e);
}

/* Tells of the token; -1 when the listener wants no more. */
static int tell(struct session *s, int32_t id, float logprob, bool eos)
{
	struct talk *t = s->talk;
	struct token_event event = { .id = id, .eos = eos, .logprob = logprob };
	int more = 0;

	if (s->r.logprobs > 1) {
		event.n_top = sampler_top(s->sampler, s->r.logprobs - 1, t->top_id, t->top_logprob);
		event.top_id = t->top_id;
		event.top_logprob = t->top_logprob;
	}
	event.text = buf_bytes(&s->text);
	if (t->events.token)
		more = t->events.token(t->events.arg, s, s->user, &event);
	buf_clear(&s->text);
	return more;
}

void session_take(struct session *s, const float *logits)
{
	float logprob = 0;
	int32_t id;
	struct err e;
	int rc = session_draw_allowed(s, logits, &id, &e);

	if (rc < 0) {
		fail(s, &e);
		return;
	}
	if (rc == 0)
		id = sampler_draw(s->sampler, logits, s->id, s->n, s->r.logprobs ? &logprob : NULL);
	session_take_id(s, id, logprob);
}

void session_ask(const struct session *s, struct ask *out)
{
	sampler_ask(s->sampler, s->r.logprobs, out);
	if (s->guard.mask && out->what != ASK_BEST)
		out->what = 0; /* what is allowed may be any */
}

bool session_settle(struct session *s, const struct answer *a, int32_t *id, float *logprob)
{
	bool allowed;
	struct err e;

	if (s->guard.mask) {
		*id = a->best;
		*logprob = 0;
		return *id >= 0 && !session_allows(s, *id, a->max, &allowed, &e) && allowed;
	}
	return sampler_take(s->sampler, a, id, s->r.logprobs ? logprob : NULL);
}

void session_take_id(struct session *s, int32_t id, float logprob)
{
	struct err e;
	bool eos = !s->r.ignore_eos && id >= 0 && is_eos(s->talk, id);
	int hit = 0;

	if (id < 0) {
		err_set(&e, ERR_INPUT, s->guard.mask ? "token %zu: no token goes on in the grammar" :
		                                       "token %zu: no logit is a number",
		        s->n);
		fail(s, &e);
		return;
	}
	s->n_made++;
	if (know(s, &id, 1, &e) || (!eos && (hit = add_text(s, id, &e)) < 0)) {
		fail(s, &e);
		return;
	}
	if (tell(s, id, logprob, eos))
		session_end(s, END_CANCELLED, NULL);
	else if (eos || hit || (s->guard.mask && guard_is_whole(&s->guard)))
		session_end(s, END_STOP, NULL);
	else if (s->n_made == s->r.max_tokens || s->n == s->talk->context)
		session_end(s, END_LENGTH, NULL);
}
