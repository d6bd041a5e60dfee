/* SPDX-License-Identifier: MIT */
/* props.c - GET /props and /slots, as llama-server has them */
#include <string.h>

#include "serve/api.h"
#include "serve/call.h"

enum { DEFAULT_BATCH = 64 };

/* The model that the query names, or the first that is open. The lock is held. */
static const struct slot *shown(struct serve *s, const char *query)
{
	const struct slot *named = NULL;

	if (query && strncmp(query, "model=", 6) == 0)
		return models_find(s, query + 6);
	for (size_t i = 0; i < s->models.n && !(named && named->live); i++)
		if (!s->models.slot[i]->gone && (!named || s->models.slot[i]->live))
			named = s->models.slot[i];
	return named;
}

static size_t slots_of(const struct slot *t)
{
	size_t n = t && t->live ? t->live->m.batch.max_sessions : 0;

	return n ? n : DEFAULT_BATCH;
}

void api_props(struct exchange *x)
{
	struct serve *s = x->serve;
	const struct slot *t;
	struct request r;
	struct buf b = { 0 };

	request_init(&r);
	pthread_mutex_lock(&s->models.lock);
	t = shown(s, x->query);
	buf_printf(&b,
	           "{\"default_generation_settings\":{\"n_ctx\":%zu,\"params\":{\"temperature\":1,"
	           "\"top_k\":%zu,\"top_p\":",
	           !t ? (size_t)0 : t->live ? t->live->context : t->facts.context, r.top_k);
	json_add_f64(&b, r.top_p);
	buf_add_text(&b, ",\"min_p\":");
	json_add_f64(&b, r.min_p);
	buf_printf(&b, ",\"seed\":-1}},\"total_slots\":%zu,\"model_path\":", slots_of(t));
	json_add_string(&b, bytes_of(t ? t->name : ""));
	buf_add_text(&b, ",\"chat_template\":");
	json_add_string(&b, t && t->live && t->live->m.chat ?
	                            template_text(chat_template_of(t->live->m.chat, false)) :
	                            (struct bytes){ 0 });
	pthread_mutex_unlock(&s->models.lock);
	buf_printf(&b, ",\"build_info\":\"clm %s\"}", s->o.version ? s->o.version : "");
	request_release(&r);
	respond_json(x, &b);
	buf_release(&b);
}

struct telling { struct engine *g; struct buf b; size_t n; };

static void tell_call(struct telling *t, const struct call *c)
{
	for (size_t i = 0; i < c->n_choices; i++) {
		const struct choice *k = &c->choice[i];

		if (!k->session || !session_seq(k->session))
			continue;
		buf_printf(&t->b, "%s{\"id\":%zu,\"id_task\":\"%s\",\"model\":", t->n ? "," : "", t->n,
		           c->x->id);
		json_add_string(&t->b, bytes_of(c->model->m.name));
		buf_printf(&t->b,
		           ",\"n_ctx\":%zu,\"is_processing\":true,\"n_prompt_tokens\":%zu,"
		           "\"n_decoded\":%zu,\"paused\":%s}",
		           c->model->context, session_prompt_tokens(k->session),
		           session_made_tokens(k->session), c->paused ? "true" : "false");
		t->n++;
	}
}

static void tell(void *arg)
{
	struct telling *t = arg;

	buf_add_byte(&t->b, '[');
	for (const struct call *c = engine_calls(t->g); c; c = c->next)
		tell_call(t, c);
	buf_add_byte(&t->b, ']');
}

/* ?fail_on_no_slot=1: 503 when none is free. */
void api_slots(struct exchange *x)
{
	struct serve *s = x->serve;
	struct telling t = { .g = s->engine };
	struct fault f;
	size_t most;

	pthread_mutex_lock(&s->models.lock);
	most = slots_of(shown(s, NULL));
	pthread_mutex_unlock(&s->models.lock);
	if (engine_run(s->engine, tell, &t, &f)) {
		respond_fault(x, &f);
	} else if (t.n >= most && x->query && strcmp(x->query, "fail_on_no_slot=1") == 0) {
		fault_set(&f, 503, "queue_full", "no slot is free");
		respond_fault(x, &f);
	} else {
		respond_json(x, &t.b);
	}
	buf_release(&t.b);
}
