/* SPDX-License-Identifier: MIT */
/* tokens.c - one text's ids as a line, a number, a table or a record */
#include "tokens.h"

#include <stdio.h>
#include <string.h>

#include "records.h"
#include "util/json.h"

int tokens_begin(struct tokens *k, const struct tokens_options *o, const struct tokenizer *t,
                 struct err *e)
{
	struct ids v = { 0 };
	int32_t bos = tokenizer_bos(t);

	if (tokenizer_encode(t, (struct bytes){ 0 }, ENCODE_ADD_SPECIAL, &v, e))
		return -1;
	*k = (struct tokens){ .o = o, .t = t, .adds_bos = bos >= 0 && v.n && v.id[0] == bos };
	ids_release(&v);
	if (o->bos && bos < 0)
		return err_set(e, ERR_INPUT, "--bos: the tokenizer has no BOS token");
	return 0;
}

static int encode(const struct tokens *k, struct bytes text, struct ids *ids, struct err *e)
{
	const struct tokens_options *o = k->o;
	unsigned flags = (o->no_special ? 0u : ENCODE_ADD_SPECIAL) |
	                 (o->special ? ENCODE_PARSE_SPECIAL : 0u);
	bool has_bos = k->adds_bos && !o->no_special;

	if (o->bos && !has_bos && ids_add(ids, tokenizer_bos(k->t), e))
		return -1;
	if (tokenizer_encode(k->t, text, flags, ids, e))
		return -1;
	if (o->no_bos && has_bos)
		memmove(ids->id, ids->id + 1, --ids->n * sizeof *ids->id);
	return 0;
}

/* What a conversation's prompt is, its text where that is wanted. */
static int take_prompt(const struct tokens *k, struct chat_prompt *take_p, struct ids *ids,
                       struct buf *text, struct err *e)
{
	struct chat_prompt *p = take_p;
	int rc = ids_reserve(ids, p->ids.n, e);

	if (!rc && p->ids.n)
		memcpy(ids->id, p->ids.id, p->ids.n * sizeof *ids->id);
	ids->n = rc ? 0 : p->ids.n;
	if (k->o->prompt)
		buf_add(text, p->text.p, p->text.n);
	if (p->n_loose && !k->talk->quiet)
		cli_warn("%zu special tokens in the messages could not be told from the template's",
		         p->n_loose);
	chat_prompt_release(p);
	return rc ? -1 : buf_check(text, e);
}

/* ---- showing them */

static void put_ids(struct buf *out, const struct ids *ids, const char *between)
{
	char digits[16];

	for (size_t i = 0; i < ids->n; i++) {
		int n = snprintf(digits, sizeof digits, "%d", ids->id[i]);

		if (i)
			buf_add_text(out, between);
		buf_add(out, digits, (size_t)n);
	}
}

static void put_row(struct buf *out, const struct tokens *k, int32_t id, size_t at)
{
	buf_printf(out, "%d\t", id);
	json_add_string(out, tokenizer_piece(k->t, id));
	buf_printf(out, "\t%zu\n", at);
}

static void put_object(struct buf *out, const struct tokens *k, int32_t id, size_t at)
{
	buf_printf(out, "{\"id\": %d, \"piece\": ", id);
	json_add_string(out, tokenizer_piece(k->t, id));
	buf_printf(out, ", \"offset\": %zu}", at);
}

/* id, bytes and where they begin in the decoded text */
static int put_pieces(struct buf *out, const struct tokens *k, const struct ids *ids,
                      struct err *e)
{
	struct buf shown = { 0 };
	struct detok d;
	int rc = 0;

	detok_init(&d, k->t);
	d.raw = d.keep_special = true;
	for (size_t i = 0; !rc && i < ids->n; i++) {
		size_t at = shown.n;

		rc = detok_add(&d, ids->id[i], &shown, e);
		if (k->o->jsonl && i)
			buf_add_text(out, ", ");
		(k->o->jsonl ? put_object : put_row)(out, k, ids->id[i], at);
	}
	buf_release(&shown);
	return rc;
}

int tokens_line(const struct tokens *k, struct bytes text, struct ids *ids, struct buf *out,
                struct err *e)
{
	struct chat_prompt p = { 0 };

	ids->n = 0;
	if (k->talk) {
		if (talk_prompt_text(k->talk, text, &p, e) || take_prompt(k, &p, ids, out, e))
			return -1;
	} else if (k->o->decode ? feed_ids(ids, text, e) : encode(k, text, ids, e))
		return -1;
	if (k->o->prompt) {
		buf_add(out, k->mark.p, k->mark.n);
	} else if (k->o->pieces) {
		buf_add_text(out, "id\tpiece\toffset\n");
		if (put_pieces(out, k, ids, e))
			return -1;
	} else if (k->o->count) {
		buf_printf(out, "%zu\n", ids->n);
	} else {
		put_ids(out, ids, " ");
		buf_add_byte(out, '\n');
	}
	return buf_check(out, e);
}

/* ---- records */

static int take_ids(struct ids *ids, const char *name, const cJSON *v, struct err *e)
{
	const cJSON *item;

	if (!cJSON_IsArray(v))
		return err_set(e, ERR_INPUT, "%s: expected an array of token ids, found %s", name,
		               json_kind(v));
	cJSON_ArrayForEach(item, v) {
		double d = item->valuedouble;

		if (!cJSON_IsNumber(item) || !(d >= 0 && d <= INT32_MAX) || d != (int32_t)d)
			return err_set(e, ERR_INPUT, "%s: expected token ids, found %s", name,
			               json_kind(item));
		if (ids_add(ids, (int32_t)d, e))
			return -1;
	}
	return 0;
}

static int take_value(const struct tokens *k, const cJSON *record, struct ids *ids,
                      struct buf *text, struct err *e)
{
	struct chat_prompt p = { 0 };
	const char *name = k->o->field ? k->o->field : k->o->decode ? "ids" : "text";
	const cJSON *v = json_get(record, name);

	if (k->talk)
		return talk_prompt(k->talk, record, NULL, &p, e) ?
		               -1 :
		               take_prompt(k, &p, ids, text, e);
	if (!v)
		return err_set(e, ERR_INPUT, "%s: missing", name);
	if (k->o->decode)
		return take_ids(ids, name, v, e);
	if (!cJSON_IsString(v))
		return err_set(e, ERR_INPUT, "%s: expected a string, found %s", name, json_kind(v));
	return encode(k, bytes_of(v->valuestring), ids, e);
}

static int put_text(struct buf *out, const struct tokens *k, const struct ids *ids, struct err *e)
{
	struct buf text = { 0 };
	struct detok d;
	int rc = 0;

	detok_init(&d, k->t);
	d.keep_special = k->o->special;
	for (size_t i = 0; !rc && i < ids->n; i++)
		rc = detok_add(&d, ids->id[i], &text, e);
	rc = rc || detok_end(&d, &text, e) || buf_check(&text, e) ? -1 : 0;
	json_add_string(out, buf_bytes(&text));
	buf_release(&text);
	return rc;
}

static int put_value(struct buf *out, const struct tokens *k, const struct ids *ids,
                     const struct buf *text, struct err *e)
{
	int rc = 0;

	if (k->o->prompt) {
		buf_add_text(out, ", \"prompt\": ");
		json_add_string(out, buf_bytes(text));
	} else if (k->o->pieces) {
		buf_add_text(out, ", \"pieces\": [");
		rc = put_pieces(out, k, ids, e);
		buf_add_byte(out, ']');
	} else if (k->o->count) {
		buf_printf(out, ", \"count\": %zu", ids->n);
	} else if (k->o->decode) {
		buf_add_text(out, ", \"text\": ");
		rc = put_text(out, k, ids, e);
	} else {
		buf_add_text(out, ", \"ids\": [");
		put_ids(out, ids, ", ");
		buf_add_byte(out, ']');
	}
	return rc;
}

static int read_record(const struct tokens *k, struct bytes line, size_t number, struct ids *ids,
                       struct buf *text, struct buf *out, struct err *e)
{
	cJSON *record = json_parse(line, e);
	const cJSON *id = NULL;
	int rc = record ? 0 : -1;

	if (record && !cJSON_IsObject(record))
		rc = err_set(e, ERR_INPUT, "expected an object, found %s", json_kind(record));
	else if (record)
		id = cJSON_GetObjectItemCaseSensitive(record, "id");
	buf_add_text(out, "{\"id\": ");
	if (!id)
		buf_printf(out, "%zu", number);
	else if (json_write(out, id, 0, false, e))
		rc = -1;
	rc = rc || take_value(k, record, ids, text, e) ? -1 : 0;
	cJSON_Delete(record);
	return rc;
}

int tokens_record(const struct tokens *k, struct bytes line, size_t number, struct ids *ids,
                  struct buf *out, bool *failed, struct err *e)
{
	struct buf text = { 0 };
	size_t n_id;
	int rc;

	ids->n = 0;
	rc = read_record(k, line, number, ids, &text, out, e);
	n_id = out->n;
	if (!rc)
		rc = put_value(out, k, ids, &text, e);
	buf_release(&text);
	if (buf_check(out, e) || (rc && e->kind != ERR_INPUT))
		return -1;
	*failed = rc != 0;
	if (rc) {
		out->n = n_id;
		record_add_error(out, e);
	}
	buf_add_text(out, "}\n");
	return buf_check(out, e);
}
