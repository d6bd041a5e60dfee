/* SPDX-License-Identifier: MIT */
/* call.c - from a request's body to sessions, and from tokens to an answer */
#include "serve/call.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ---- open, close */

/* By its name: no client says where one lies. */
static int set_adapter(struct call *c, struct fault *f)
{
	const char *name = NULL;

	if (param_text(c->body, "adapter", &name, f) < 0)
		return -1;
	if (!name)
		return 0;
	c->x->adapter = models_adapter(c->x->serve, c->model->m.name, name);
	return c->x->adapter ? 0 :
	                       fault_param(f, "adapter", "invalid_value",
	                                   "adapter: \"%.100s\" has none of that name",
	                                   c->model->m.name);
}

static int find_model(struct call *c, struct fault *f)
{
	const char *name = NULL;
	int rc = param_text(c->body, "model", &name, f);

	if (rc == 0 && c->x->dialect == DIALECT_OLLAMA)
		rc = param_text(c->body, "name", &name, f);
	if (rc < 0)
		return -1;
	if (!name && !c->x->serve->o.any_model)
		return fault_param(f, "model", "missing_required_parameter", "model is required");
	c->model = server_model(c->x, name, f);
	if (!c->model)
		return -1;
	if (model_config(c->model->m.model)->encoder)
		return fault_param(f, "model", "invalid_value", "\"%.200s\" does not support generate",
		                   c->model->m.name);
	if (set_adapter(c, f))
		return -1;
	c->context = c->model->context;
	c->name = strdup(name ? name : c->model->m.name);
	c->x->model = c->model->m.name;
	return c->name ? 0 : fault_memory(f);
}

/* What the interfaces have in common. */
static void set_defaults(struct call *c)
{
	request_init(&c->r);
	c->r.plain_logprobs = true;
	c->r.presence_context = c->r.frequency_context = 0;
	c->r.repetition_context = 64;
	c->n = c->n_prompts = 1;
}

struct call *call_open(struct exchange *x, const struct voice *v)
{
	struct call *c = calloc(1, sizeof *c);
	unsigned char r[12] = { 0 };
	struct fault f;

	if (!c) {
		fault_memory(&f);
		respond_fault(x, &f);
		return NULL;
	}
	c->x = exchange_hold(x);
	c->voice = v;
	set_defaults(c);
	c->created = (int64_t)time(NULL);
	c->came = http_seconds();
	if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		memset(r, 0, sizeof r);
	for (size_t i = 0; i < sizeof r; i++)
		snprintf(c->id + 2 * i, 3, "%02x", r[i]);
	c->body = body_parse(x, &f);
	if (!c->body || find_model(c, &f)) {
		call_refuse(c, &f);
		return NULL;
	}
	buf_release(&x->body);
	return c;
}

static void choice_release(struct choice *k)
{
	buf_release(&k->text);
	buf_release(&k->reasoning);
	for (size_t i = 0; i < k->n_tools; i++) {
		free(k->tool[i].id);
		free(k->tool[i].name);
		free(k->tool[i].arguments);
	}
	free(k->tool);
	free(k->likely);
	reply_close(k->reply);
	request_release(&k->r);
}

void call_forget(struct call *c)
{
	for (size_t i = 0; i < c->n_choices; i++)
		choice_release(&c->choice[i]);
	for (size_t i = 0; i < PROMPTS_MAX; i++) {
		ids_release(&c->prompt[i]);
		buf_release(&c->prompt_text[i]);
	}
	free(c->choice);
	c->choice = NULL;
	c->n_choices = 0;
	if (c->talk)
		chat_prompt_release(c->talk);
	free(c->talk);
	c->talk = NULL;
	cJSON_Delete(c->messages);
	cJSON_Delete(c->tools);
	cJSON_Delete(c->callable);
	c->messages = c->tools = c->callable = NULL;
	request_release(&c->r);
	set_defaults(c);
}

void call_close(struct call *c)
{
	if (!c)
		return;
	call_forget(c);
	if (c->release_own && c->own)
		c->release_own(c->own);
	free(c->name);
	buf_release(&c->out);
	buf_release(&c->head);
	request_release(&c->r);
	cJSON_Delete(c->body);
	exchange_drop(c->x);
	free(c);
}

void call_refuse(struct call *c, const struct fault *f)
{
	respond_fault(c->x, f);
	call_close(c);
}

struct call *call_ask(struct exchange *x, const struct voice *v,
                      int (*ask)(struct call *, struct fault *))
{
	struct call *c = call_open(x, v);
	struct fault f;

	if (!c || ask(c, &f) == 0)
		return c;
	call_refuse(c, &f);
	return NULL;
}

/* ---- to the engine */

/* A prompt must fit, and leave room for a token where one is wanted. */
static int check_fit(const struct call *c, struct fault *f)
{
	size_t most = c->context - (c->r.max_tokens > 0);

	for (size_t i = 0; i < c->n_prompts; i++) {
		size_t n = c->prompt[i].n;

		if (!n)
			return fault_param(f, "prompt", "invalid_value", "the prompt is empty");
		if (n <= most)
			continue;
		fault_param(f, json_get(c->body, "messages") ? "messages" : "prompt",
		            "context_length_exceeded",
		            "This model's maximum context length is %zu tokens. However, your messages "
		            "resulted in %zu tokens. Please reduce the length of the messages.",
		            c->context, n);
		f->n_prompt = n;
		f->n_ctx = c->context;
		return -1;
	}
	return 0;
}

int call_choices(struct call *c, struct fault *f)
{
	size_t n = c->n_prompts * c->n;
	struct err e;

	if (c->choice)
		return 0;
	if (promise_make(c, f))
		return -1;
	c->choice = calloc(n, sizeof *c->choice);
	if (!c->choice)
		return fault_memory(f);
	for (; c->n_choices < n; c->n_choices++) {
		struct choice *k = &c->choice[c->n_choices];

		if (request_copy(&k->r, &c->r, &e))
			return fault_err(f, &e);
		k->call = c;
		k->stop = -1;
		k->r.adapter = c->x->adapter + 1;
		k->index = c->n_choices;
		k->prompt = c->n_choices / c->n;
		if (k->r.has_seed)
			k->r.seed += c->n_choices % c->n;
	}
	return 0;
}

static void left(void *arg)
{
	struct call *c = arg;

	c->cancelled = true;
	engine_wake(c->model->engine);
}

static void flush(struct call *c)
{
	respond_later(c->x, buf_bytes(&c->out));
	buf_clear(&c->out);
}

/* The head goes out at once, also where the call has yet to wait. */
static void begin(struct call *c)
{
	c->voice->ping(c);
	respond_begin(c->x, c->voice->kind, buf_bytes(&c->out));
	buf_clear(&c->out);
	c->voice->begin(c);
	respond_add(c->x, buf_bytes(&c->out));
	buf_clear(&c->out);
}

/* No more is made than the context has room for. */
static void limit(struct call *c)
{
	for (size_t i = 0; i < c->n_choices; i++) {
		struct choice *k = &c->choice[i];
		size_t n = c->prompt[k->prompt].n,
		       left = c->context > n ? c->context - n : 0;

		if (k->r.max_tokens > left)
			k->r.max_tokens = left;
	}
}

void call_submit(struct call *c)
{
	struct fault f;

	if (check_fit(c, &f) || call_choices(c, &f) || engine_reserve(c->model->engine, &f)) {
		call_refuse(c, &f);
		return;
	}
	limit(c);
	for (size_t i = 0; i < c->n_prompts; i++)
		c->x->n_prompt += c->prompt[i].n;
	if (c->stream)
		begin(c);
	respond_watch(c->x, left, c);
	engine_add(c->model->engine, c);
}

/* ---- counting */

size_t call_prompt_tokens(const struct call *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_prompts; i++)
		n += c->prompt[i].n;
	return n;
}

size_t call_cached_tokens(const struct call *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_choices; i += c->n)
		n += c->choice[i].n_reused;
	return n;
}

size_t call_made_tokens(const struct call *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_choices; i++)
		n += c->choice[i].n_made;
	return n;
}

/* ---- from the engine */

static struct likely *add_likely(struct choice *k)
{
	if (k->n_likely == k->room_likely) {
		size_t room = k->room_likely ? 2 * k->room_likely : 16;
		void *more = realloc(k->likely, room * sizeof *k->likely);

		if (!more) {
			fault_set(&k->call->fault, 503, "out_of_memory", "no memory for the answer");
			return NULL;
		}
		k->likely = more;
		k->room_likely = room;
	}
	return &k->likely[k->n_likely++];
}

static int keep_likely(struct choice *k, const struct likely *w, const int32_t *id,
                       const float *logprob)
{
	struct likely *v = add_likely(k);

	if (!v)
		return -1;
	*v = *w;
	v->n_top = w->n_top < LOGPROBS_MAX ? w->n_top : LOGPROBS_MAX;
	for (size_t i = 0; i < v->n_top; i++) {
		v->top_id[i] = id[i];
		v->top_logprob[i] = logprob[i];
	}
	return 0;
}

int choice_prompt(struct choice *k)
{
	const struct ids *p = &k->call->prompt[k->prompt];
	struct likely v = { .id = p->id[k->r.score_first - 1], .logprob = NAN };

	return keep_likely(k, &v, NULL, NULL);
}

int choice_place(struct choice *k, const struct place_event *p)
{
	struct likely v = { .id = p->id, .best = p->best, .logprob = p->logprob, .n_top = p->n_top };

	return keep_likely(k, &v, p->top_id, p->top_logprob);
}

int choice_share(struct choice *to, const struct choice *from)
{
	for (size_t i = 0; i < from->n_likely; i++) {
		struct likely *v = add_likely(to);

		if (!v)
			return -1;
		*v = from->likely[i];
	}
	return 0;
}

/* Says what is new, where the call streams. */
static void speak(struct choice *k)
{
	struct call *c = k->call;

	if (!c->stream || (!k->text.n && !k->reasoning.n && k->n_told == k->n_tools &&
	                   !(k->ended && k->n_likely)))
		return;
	c->voice->more(k);
	k->spoke = true;
	k->n_told = k->n_tools;
	buf_clear(&k->text);
	buf_clear(&k->reasoning);
	k->n_likely = 0;
	flush(c);
}

static int take_text(struct choice *k, struct bytes text)
{
	struct err e;
	size_t reasoned = k->reasoning.n;

	if (!k->reply)
		buf_add(&k->text, text.p, text.n);
	else if (reply_add(k->reply, text, &e))
		return fault_err(&k->call->fault, &e);
	k->n_reasoned += k->reasoning.n > reasoned;
	if (k->text.failed || k->reasoning.failed)
		return fault_set(&k->call->fault, 503, "out_of_memory", "no memory for the answer");
	return 0;
}

int choice_token(struct choice *k, const struct token_event *t)
{
	struct likely v = { .id = t->id, .logprob = (double)t->logprob, .n_top = t->n_top };

	k->n_made++;
	if (take_text(k, t->text))
		return -1;
	k->sum_logprob += (double)t->logprob;
	if (k->r.logprobs && !t->eos && keep_likely(k, &v, t->top_id, t->top_logprob))
		return -1;
	speak(k);
	return 0;
}

void choice_end(struct choice *k, struct session *s, enum end_reason r, struct bytes text,
                const struct err *err)
{
	struct call *c = k->call;
	struct err e;

	k->ended = true;
	k->session = NULL;
	k->reason = r;
	c->n_ended++;
	if (s) {
		k->n_made = session_made_tokens(s);
		k->n_reused = session_reused_tokens(s);
		k->stop = session_stop(s);
	}
	if (r == END_ERROR && err && !c->fault.status)
		fault_err(&c->fault, err);
	if (c->fault.status || r == END_CANCELLED || take_text(k, text))
		return;
	if (k->reply && reply_end(k->reply, &e)) {
		fault_err(&c->fault, &e);
		return;
	}
	speak(k);
	if (c->stream) {
		c->voice->end(k);
		flush(c);
	}
}

static void tell(struct call *c)
{
	struct exchange *x = c->x;

	pthread_mutex_lock(&x->lock);
	x->n_cached = call_cached_tokens(c);
	x->n_made = call_made_tokens(c);
	x->queue_s = c->admitted > 0 ? c->admitted - c->came : c->done - c->came;
	x->prefill_s = c->first > 0 ? c->first - c->admitted : 0;
	x->decode_s = c->first > 0 ? c->done - c->first : 0;
	pthread_mutex_unlock(&x->lock);
}

void call_finish(struct call *c)
{
	respond_watch(c->x, NULL, NULL);
	c->done = http_seconds();
	tell(c);
	if (!c->stream && c->fault.status) {
		respond_fault(c->x, &c->fault);
	} else if (!c->stream) {
		c->voice->whole(c);
		respond_json(c->x, &c->out);
	} else {
		if (c->fault.status)
			c->voice->fault(c, &c->fault);
		else
			c->voice->finish(c);
		flush(c);
		respond_end(c->x);
	}
	call_close(c);
}
