/* SPDX-License-Identifier: MIT */
/* tasks.c - texts, pairs and prompts to score: a line or a record to a task */
#include "tasks.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "feed.h"
#include "records.h"

const char *task_op_name(enum task_op op)
{
	static const char *const names[] = { "rolling_logprob", "logprob_of", "next_token_dist" };

	return names[op];
}

void task_free(struct task *t)
{
	if (!t)
		return;
	buf_release(&t->id);
	ids_release(&t->ids);
	free(t->text.logprob);
	free(t->text.top_id);
	free(t->text.top_logprob);
	free(t);
}

static struct task *new_task(size_t number, struct err *e)
{
	struct task *t = calloc(1, sizeof *t);

	if (!t) {
		err_memory(e, sizeof *t);
		return NULL;
	}
	t->number = number;
	t->began = cli_seconds();
	/* a record without an id is known by its line */
	buf_printf(&t->id, "%zu", number);
	return t;
}

struct task *task_refused(size_t number, const struct err *why, struct err *e)
{
	struct task *t = new_task(number, e);

	if (t) {
		t->err = *why;
		t->ended = true;
	}
	return t;
}

int task_prepare(struct task *t, const struct task_rules *r, struct err *e)
{
	struct score_text *x = &t->text;

	if (t->op != TASK_ROLLING && t->ids.n > r->o.window)
		return err_set(e, ERR_INPUT, "prompt and text: at most the window's %zu tokens, found %zu",
		               r->o.window, t->ids.n);
	x->id = t->ids.id;
	x->n = t->ids.n;
	x->user = t;
	x->logprob = malloc((x->n + 1) * sizeof *x->logprob);
	x->top_id = malloc((x->o.top + 1) * sizeof *x->top_id);
	x->top_logprob = malloc((x->o.top + 1) * sizeof *x->top_logprob);
	if (!x->logprob || !x->top_id || !x->top_logprob)
		return err_memory(e, x->n * sizeof *x->logprob);
	return 0;
}

/* ---- prompt and completion */

static int take_pair(const struct task_rules *r, struct task *t, struct score_pair *p,
                     struct err *e)
{
	p->flags = ENCODE_PARSE_SPECIAL | (r->no_special ? 0u : ENCODE_ADD_SPECIAL);
	return score_join(r->tokenizer, p, &t->ids, &t->text.o.first, e);
}

/* ---- a text */

static int fill_text(const struct task_rules *r, struct task *t, struct bytes text, struct err *e)
{
	unsigned flags = ENCODE_PARSE_SPECIAL | (r->no_special ? 0u : ENCODE_ADD_SPECIAL);
	struct score_pair p = { r->prompt, text, true, r->boundary == BOUNDARY_TOKENS, flags };

	t->tokens = r->tokens;
	t->op = r->prompt.p ? TASK_COMPLETION : r->o.top ? TASK_NEXT : TASK_ROLLING;
	if (r->prompt.p ? take_pair(r, t, &p, e) :
	    r->ids      ? feed_ids(&t->ids, text, e) :
	                  tokenizer_encode(r->tokenizer, text, flags, &t->ids, e))
		return -1;
	if (t->op == TASK_NEXT)
		t->text.o.first = t->ids.n;
	return t->op == TASK_NEXT && !t->ids.n ? err_set(e, ERR_INPUT, "no tokens") : 0;
}

static struct task *finish(struct task *t, const struct task_rules *r, int failed)
{
	if (failed || task_prepare(t, r, &t->err))
		t->ended = true;
	return t;
}

struct task *task_of_text(const struct task_rules *r, size_t number, struct bytes text,
                          struct err *e)
{
	struct task *t = new_task(number, e);

	if (!t)
		return NULL;
	t->text.o = r->o;
	return finish(t, r, fill_text(r, t, text, &t->err));
}

/* ---- a record */

enum member { M_TEXT, M_IDS, M_PROMPT, M_PROMPT_IDS, M_COMPLETION, M_COMPLETION_IDS, MEMBERS };
static const char *const members[] = { "text", "ids", "prompt", "prompt_ids", "completion",
	                               "completion_ids" };

static int add_ids(struct ids *out, const char *name, const cJSON *v, struct err *e)
{
	const cJSON *item;

	if (!cJSON_IsArray(v))
		return err_set(e, ERR_INPUT, "%s: expected an array of token ids, found %s", name,
		               json_kind(v));
	cJSON_ArrayForEach(item, v) {
		double d = item->valuedouble;

		if (!cJSON_IsNumber(item) || !(d >= 0 && d <= INT32_MAX) || d != (double)(int32_t)d)
			return err_set(e, ERR_INPUT, "%s: expected token ids, found %s", name,
			               json_kind(item));
		if (ids_add(out, (int32_t)d, e))
			return -1;
	}
	return 0;
}

static int take_option(struct task *t, int *boundary, const cJSON *record, const cJSON *v,
                       struct err *e)
{
	const char *word = "";

	if (!strcmp(v->string, "tokens"))
		return json_get_bool(record, "tokens", &t->tokens, e) < 0 ? -1 : 0;
	if (!strcmp(v->string, "top"))
		return json_get_size(record, "top", &t->text.o.top, e) < 0 ? -1 : 0;
	if (strcmp(v->string, "boundary"))
		return err_set(e, ERR_INPUT, "%s: no such member", v->string);
	if (json_get_text(record, "boundary", &word, e) < 0)
		return -1;
	*boundary = !strcmp(word, "tokens") ? BOUNDARY_TOKENS : BOUNDARY_TEXT;
	return *boundary == BOUNDARY_TOKENS || !strcmp(word, "text") ? 0 :
	       err_set(e, ERR_INPUT, "boundary: expected text or tokens, found %s", word);
}

static int take_members(const cJSON *m[MEMBERS], struct task *t, int *boundary, const cJSON *record,
                        struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, record) {
		size_t i = 0;

		while (i < MEMBERS && strcmp(v->string, members[i]))
			i++;
		if (i < MEMBERS && i % 2 == 0 && !cJSON_IsString(v))
			return err_set(e, ERR_INPUT, "%s: expected a string, found %s", v->string,
			               json_kind(v));
		if (i < MEMBERS)
			m[i] = v;
		else if (strcmp(v->string, "id") && take_option(t, boundary, record, v, e))
			return -1;
	}
	return 0;
}

/* Which of them go together; what they make. */
static int op_of(struct task *t, const cJSON *const m[MEMBERS], struct err *e)
{
	bool text = m[M_TEXT] || m[M_IDS], prompt = m[M_PROMPT] || m[M_PROMPT_IDS];
	bool completion = m[M_COMPLETION] || m[M_COMPLETION_IDS];

	for (size_t i = 0; i < MEMBERS; i += 2)
		if (m[i] && m[i + 1])
			return err_set(e, ERR_INPUT, "%s and %s: expected one of them, found both",
			               members[i], members[i + 1]);
	if (text == prompt)
		return err_set(e, ERR_INPUT, "expected text, or prompt and completion, found %s",
		               text ? "both" : "neither");
	if (completion && (text || (m[M_PROMPT] && m[M_COMPLETION_IDS]) ||
	                   (m[M_PROMPT_IDS] && m[M_COMPLETION])))
		return err_set(e, ERR_INPUT, "completion: expected with a prompt, both text or both ids");
	t->op = text ? TASK_ROLLING : completion ? TASK_COMPLETION : TASK_NEXT;
	if (t->op == TASK_NEXT && !t->text.o.top)
		return err_set(e, ERR_INPUT, "completion: missing, or top for what comes next");
	if (t->op == TASK_COMPLETION)
		t->text.o.top = 0;
	if (t->op == TASK_ROLLING && t->text.o.top)
		t->op = TASK_NEXT;
	return 0;
}

static int take_ids(struct task *t, const cJSON *const m[MEMBERS], struct err *e)
{
	const cJSON *before = m[M_IDS] ? m[M_IDS] : m[M_PROMPT_IDS];

	if (add_ids(&t->ids, before->string, before, e))
		return -1;
	if (t->op != TASK_ROLLING)
		t->text.o.first = t->ids.n;
	if (t->op != TASK_ROLLING && !t->ids.n)
		return err_set(e, ERR_INPUT, "%s: no tokens", before->string);
	if (!m[M_COMPLETION_IDS])
		return 0;
	if (add_ids(&t->ids, "completion_ids", m[M_COMPLETION_IDS], e))
		return -1;
	return t->ids.n > t->text.o.first ? 0 : err_set(e, ERR_INPUT, "completion_ids: no tokens");
}

static int fill_record(const struct task_rules *r, struct task *t, const cJSON *record,
                       struct err *e)
{
	const cJSON *m[MEMBERS] = { NULL };
	int boundary = r->boundary;
	struct score_pair p = { 0 };
	struct task_rules plain = *r;

	if (take_members(m, t, &boundary, record, e) || op_of(t, m, e))
		return -1;
	if (m[M_IDS] || m[M_PROMPT_IDS])
		return take_ids(t, m, e);
	if (m[M_TEXT]) {
		bool tokens = t->tokens;
		int rc;

		plain.o.top = t->op == TASK_NEXT ? t->text.o.top : 0;
		rc = fill_text(&plain, t, bytes_of(m[M_TEXT]->valuestring), e);
		t->tokens = tokens;
		return rc;
	}
	p.by_tokens = boundary == BOUNDARY_TOKENS;
	p.prompt = bytes_of(m[M_PROMPT]->valuestring);
	p.has_completion = m[M_COMPLETION] != NULL;
	if (p.has_completion)
		p.completion = bytes_of(m[M_COMPLETION]->valuestring);
	return take_pair(r, t, &p, e);
}

struct task *task_of_record(const struct task_rules *r, size_t number, struct bytes line,
                            struct err *e)
{
	struct task *t = new_task(number, e);
	cJSON *record;
	int rc;

	if (!t)
		return NULL;
	t->text.o = r->o;
	t->tokens = r->tokens;
	record = json_parse(line, &t->err);
	rc = record && cJSON_IsObject(record) ? record_take_id(&t->id, line, &t->err) : -1;
	if (record && !cJSON_IsObject(record))
		err_set(&t->err, ERR_INPUT, "expected an object, found %s", json_kind(record));
	rc = rc || fill_record(r, t, record, &t->err);
	cJSON_Delete(record);
	return finish(t, r, rc);
}
