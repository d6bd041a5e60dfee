/* SPDX-License-Identifier: MIT */
/* tell.c - what came of a task as rows of a table or as a record
 *
 * Numbers have nine digits. A table of tokens, or of what comes next, has a
 * row for each of these; the mass that the listed ids leave is the row
 * "tail": it is not there when all ids are, and -inf when there is none. */
#include "tell.h"

#include <math.h>

#include "cli.h"
#include "records.h"

/* What one token's -ln p differs from the mean by, and what that leaves
 * unsure of the perplexity. */
static double standard_error(const struct score_text *x, double ppl)
{
	double mean = x->nll / (double)x->n_scored, sum = 0;

	for (size_t i = 0; i < x->n; i++)
		if (!isnan(x->logprob[i]))
			sum += (-x->logprob[i] - mean) * (-x->logprob[i] - mean);
	return ppl * sqrt(sum / (double)(x->n_scored - 1) / (double)x->n_scored);
}

static double perplexity(const struct score_text *x)
{
	return x->n_scored ? exp(x->nll / (double)x->n_scored) : NAN;
}

void tell_head(const struct tell *o)
{
	if (o->records)
		return;
	cli_puts(o->ids ? "id\t" : o->top || (o->tokens && !o->ids) ? "text\t" : "");
	if (o->top)
		cli_puts("rank\tid\tlogprob\n");
	else if (o->tokens)
		cli_puts("place\tid\tlogprob\n");
	else if (o->definition)
		cli_puts("definition\ttokens\tscored\tnll\tppl\tstderr\n");
	else
		cli_puts("tokens\tscored\tnll\tppl\n");
}

/* ---- tables */

static void put_name(const struct tell *o, const struct task *t)
{
	if (o->ids)
		cli_printf("%.*s\t", (int)t->id.n, (const char *)t->id.p);
	else if (o->top || o->tokens)
		cli_printf("%zu\t", t->number);
}

static void put_next(const struct tell *o, const struct task *t)
{
	const struct score_text *x = &t->text;

	for (size_t i = 0; i < x->n_top; i++) {
		put_name(o, t);
		cli_printf("%zu\t%d\t%.9g\n", i + 1, (int)x->top_id[i], x->top_logprob[i]);
	}
	if (x->tail == TAIL_NONE)
		return;
	put_name(o, t);
	cli_printf("tail\t-\t%.9g\n", x->tail == TAIL_MASS ? x->tail_logprob : -INFINITY);
}

static void put_tokens(const struct tell *o, const struct task *t)
{
	const struct score_text *x = &t->text;

	for (size_t i = 0; i < x->n; i++) {
		if (isnan(x->logprob[i]))
			continue;
		put_name(o, t);
		cli_printf("%zu\t%d\t%.9g\n", i, (int)x->id[i], x->logprob[i]);
	}
}

static void put_row(const struct tell *o, const struct task *t)
{
	const struct score_text *x = &t->text;
	double ppl = perplexity(x);

	put_name(o, t);
	if (o->definition)
		cli_printf("%s\t", o->definition);
	cli_printf("%zu\t%zu\t%.9g\t%.9g", x->n, x->n_scored, x->nll, ppl);
	if (o->definition)
		cli_printf("\t%.9g", standard_error(x, ppl));
	cli_puts("\n");
}

/* ---- records */

static void add_number(struct buf *b, const char *key, double v)
{
	buf_printf(b, ", \"%s\": ", key);
	json_add_f64(b, v);
}

static void add_list(struct buf *b, const double *v, size_t n)
{
	const char *comma = "";

	buf_add_text(b, ", \"logprobs\": [");
	for (size_t i = 0; i < n; i++) {
		if (isnan(v[i]))
			continue;
		buf_add_text(b, comma);
		json_add_f64(b, v[i]);
		comma = ", ";
	}
	buf_add_byte(b, ']');
}

static void add_ids(struct buf *b, const int32_t *id, size_t n)
{
	buf_add_text(b, ", \"ids\": [");
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%d", i ? ", " : "", (int)id[i]);
	buf_add_byte(b, ']');
}

static void add_next(struct buf *b, const struct tell *o, const struct score_text *x)
{
	buf_printf(b, ", \"vocab_size\": %zu", o->vocab);
	add_ids(b, x->top_id, x->n_top);
	add_list(b, x->top_logprob, x->n_top);
	add_number(b, "tail_logprob", x->tail == TAIL_NONE ? NAN : x->tail_logprob);
}

static void add_scores(struct buf *b, const struct tell *o, const struct task *t)
{
	const struct score_text *x = &t->text;
	size_t from = t->op == TASK_COMPLETION ? x->o.first : 0;

	buf_printf(b, ", \"scored\": %zu", x->n_scored);
	add_number(b, "logprob", x->n_scored ? -x->nll : 0);
	add_number(b, "perplexity", perplexity(x));
	if (o->definition)
		buf_printf(b, ", \"definition\": \"%s\"", o->definition);
	if (o->definition)
		add_number(b, "stderr", standard_error(x, perplexity(x)));
	if (t->op == TASK_COMPLETION)
		buf_printf(b, ", \"greedy\": %s", x->greedy ? "true" : "false");
	if (!t->tokens)
		return;
	add_ids(b, x->id + from, x->n - from);
	add_list(b, x->logprob, x->n);
}

static void put_record(const struct tell *o, const struct task *t)
{
	struct buf b = { 0 };
	struct err e;

	buf_add_text(&b, "{\"id\": ");
	buf_add(&b, t->id.p, t->id.n);
	if (t->err.kind != ERR_NONE) {
		record_add_error(&b, &t->err);
	} else {
		buf_printf(&b, ", \"tokens\": %zu", t->text.n);
		if (t->op == TASK_NEXT)
			add_next(&b, o, &t->text);
		else
			add_scores(&b, o, t);
	}
	buf_add_text(&b, "}\n");
	if (buf_check(&b, &e))
		cli_die(&e);
	cli_put(b.p, b.n);
	buf_release(&b);
}

void tell_task(const struct tell *o, const struct task *t)
{
	if (o->records)
		put_record(o, t);
	else if (t->op == TASK_NEXT)
		put_next(o, t);
	else if (o->tokens)
		put_tokens(o, t);
	else
		put_row(o, t);
	cli_flush();
}
