/* SPDX-License-Identifier: MIT */
/* records.c - JSONL: a line to a job, a job to a line */
#include "records.h"

#include <string.h>

#include "cli.h"

/* ---- in */

/* The id goes back as it was written, digit for digit. */
int record_take_id(struct buf *out, struct bytes line, struct err *e)
{
	struct json_pull pull;
	struct bytes raw;
	int rc = 0;
	enum json_token t;

	json_pull_init(&pull, line);
	t = json_next(&pull, e); /* the object */
	while (rc == 0 && (t = json_next(&pull, e)) == JSON_KEY) {
		if (!bytes_is(pull.string, "id")) {
			rc = json_skip(&pull, e);
			continue;
		}
		rc = json_raw(&pull, &raw, e);
		buf_clear(out);
		if (rc == 0)
			buf_add(out, raw.p, raw.n);
	}
	json_pull_release(&pull);
	return rc || t == JSON_ERROR ? -1 : buf_check(out, e);
}

static const struct request_option *option_of(const char *key)
{
	for (size_t i = 0; i < n_request_options; i++)
		if (!strcmp(request_options[i].name, key))
			return &request_options[i];
	return NULL;
}

static int set_ids(struct job *j, const cJSON *v, struct err *e)
{
	const cJSON *item;

	if (!cJSON_IsArray(v))
		return err_set(e, ERR_INPUT, "ids: expected an array of token ids, found %s", json_kind(v));
	cJSON_ArrayForEach(item, v) {
		double d = item->valuedouble;

		if (!cJSON_IsNumber(item) || !(d >= 0 && d <= INT32_MAX) || d != (double)(int32_t)d)
			return err_set(e, ERR_INPUT, "ids: expected token ids, found %s", json_kind(item));
		if (ids_add(&j->prompt, (int32_t)d, e))
			return -1;
	}
	return 0;
}

static int set_prompt(const struct record_rules *r, struct job *j, const cJSON *v, struct err *e)
{
	struct bytes text;

	if (!cJSON_IsString(v))
		return err_set(e, ERR_INPUT, "prompt: expected a string, found %s", json_kind(v));
	if (r->talk)
		return answer_begin(j, r->talk, NULL, v->valuestring, e);
	text = bytes_of(v->valuestring);
	buf_add(&j->text, text.p, text.n);
	return tokenizer_encode(r->tokenizer, text, ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL,
	                        &j->prompt, e);
}

/* What belongs to a conversation, besides its messages. */
static bool is_talk_key(const struct record_rules *r, const char *key)
{
	static const char *const keys[] = { "tools", "documents", "chat_template_kwargs" };

	for (size_t i = 0; r->talk && i < sizeof keys / sizeof *keys; i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

static int set_keys(const struct record_rules *r, struct job *j, const cJSON *record, struct err *e)
{
	const cJSON *v, *prompt = NULL;

	cJSON_ArrayForEach(v, record) {
		const struct request_option *o = option_of(v->string);
		bool is_prompt = !strcmp(v->string, "prompt") || !strcmp(v->string, "ids") ||
		                 (r->talk && !strcmp(v->string, "messages"));

		if (!strcmp(v->string, "id") || is_talk_key(r, v->string))
			continue;
		if (is_prompt && prompt)
			return err_set(e, ERR_INPUT, "%s and %s: expected one of them, found both",
			               prompt->string, v->string);
		if (is_prompt)
			prompt = v;
		else if (!o)
			return err_set(e, ERR_INPUT, "%s: no such option", v->string);
		else if (request_set_json(&j->request, o, v, e))
			return -1;
	}
	if (!prompt)
		return err_set(e, ERR_INPUT, r->talk ? "messages or prompt: missing" :
		                                       "prompt or ids: missing");
	if (!strcmp(prompt->string, "messages"))
		return answer_begin(j, r->talk, record, NULL, e);
	return !strcmp(prompt->string, "ids") ? set_ids(j, prompt, e) : set_prompt(r, j, prompt, e);
}

static void refuse(struct job *j, const struct err *why)
{
	j->ended = true;
	j->reason = END_ERROR;
	j->err = *why;
}

static struct job *new_job(const struct record_rules *r, size_t number, struct err *e)
{
	struct job *j = job_new(r->request, e);

	/* a record without an id is known by its line */
	if (j)
		buf_printf(&j->id, "%zu", number);
	return j;
}

struct job *record_job(const struct record_rules *r, size_t number, struct bytes line,
                       struct err *e)
{
	struct job *j = new_job(r, number, e);
	struct err why = { 0 };
	cJSON *record;

	if (!j)
		return NULL;
	record = json_parse(line, &why);
	if (record && !cJSON_IsObject(record))
		err_set(&why, ERR_INPUT, "expected an object, found %s", json_kind(record));
	else if (record && record_take_id(&j->id, line, &why) == 0 && set_keys(r, j, record, &why) == 0)
		why.kind = ERR_NONE;
	cJSON_Delete(record);
	if (why.kind != ERR_NONE)
		refuse(j, &why);
	return j;
}

struct job *record_refused(const struct record_rules *r, size_t number, const struct err *why,
                           struct err *e)
{
	struct job *j = new_job(r, number, e);

	if (j)
		refuse(j, why);
	return j;
}

/* ---- out */

static const char *kind_name(enum err_kind k)
{
	return k == ERR_MACHINE ? "machine" : k == ERR_INTERRUPTED ? "interrupted" : "input";
}

static void add_ids(struct buf *b, const char *comma, const struct ids *v)
{
	for (size_t i = 0; i < v->n; i++, comma = ", ")
		buf_printf(b, "%s%d", comma, (int)v->id[i]);
}

static void add_result(struct buf *b, const struct record_rules *r, const struct job *j)
{
	struct buf text = { 0 };

	if (r->echo)
		buf_add(&text, j->text.p, j->text.n);
	buf_add(&text, j->out.p, j->out.n);
	buf_add_text(b, ", \"text\": ");
	json_add_string(b, buf_bytes(&text));
	b->failed |= text.failed;
	buf_release(&text);
	answer_record(b, j);
	if (r->with_ids) {
		buf_add_text(b, ", \"ids\": [");
		if (r->echo)
			add_ids(b, "", &j->prompt);
		add_ids(b, r->echo && j->prompt.n ? ", " : "", &j->made);
		buf_add_byte(b, ']');
	}
	buf_printf(b, ", \"finish_reason\": \"%s\", \"prompt_tokens\": %zu, \"completion_tokens\": %zu",
	           j->calls.n && j->reason == END_STOP ? "tool_calls" : end_reason_text(j->reason),
	           j->n_prompt, j->n_made);
	if (j->request.logprobs) {
		buf_add_text(b, ", \"logprobs\": [");
		buf_add(b, j->logprobs.p, j->logprobs.n);
		buf_add_byte(b, ']');
	}
}

void record_add_error(struct buf *b, const struct err *why)
{
	buf_printf(b, ", \"error\": {\"type\": \"%s\", \"message\": ", kind_name(why->kind));
	json_add_string(b, bytes_of(why->text));
	buf_add_byte(b, '}');
}

void record_put(const struct record_rules *r, struct job *j)
{
	struct buf b = { 0 };
	struct err e;

	buf_add_text(&b, "{\"id\": ");
	buf_add(&b, j->id.p, j->id.n);
	if (j->reason == END_ERROR)
		record_add_error(&b, &j->err);
	else
		add_result(&b, r, j);
	buf_add_text(&b, "}\n");
	if (buf_check(&b, &e))
		cli_die(&e);
	cli_put(b.p, b.n);
	cli_flush();
	buf_release(&b);
}
