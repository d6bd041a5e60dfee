/* SPDX-License-Identifier: MIT */
/* quantize.c - convert with an eye on what is lost
 *
 * Calibrate, share out the bits, convert, compare; then say how each weight
 * and the whole fared. */
#include "convert/allocate.h"
#include "convert/judge.h"
#include "util/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct run {
	struct quantize_result *out;
	const struct quantize_options *o;
	struct convert_options convert;
	struct arena arena;
	struct buf rows;        /* of the JSON */
	struct source *source;
	struct moment_set *moments;
	struct ids ids;         /* of the calibration */
	struct err *e;
};

static int tokens_of(struct ids *out, struct source *s, struct bytes text, struct err *e)
{
	struct tokenizer *t;
	int rc;

	if (tokenizer_open(&t, s, e))
		return err_in(e, "%s", source_path(s));
	rc = tokenizer_encode(t, text, ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, out, e);
	tokenizer_close(t);
	if (rc == 0 && out->n < 2)
		return err_set(e, ERR_INPUT, "a text of %zu tokens, expected at least 2", out->n);
	return rc;
}

static int calibrate(struct run *r)
{
	if (!r->o->calibrate.p)
		return 0;
	if (tokens_of(&r->ids, r->source, r->o->calibrate, r->e) ||
	    moment_set_open(&r->moments, r->source, r->ids.id, r->ids.n, r->o->window,
	                    r->convert.threads, r->e))
		return err_in(r->e, "calibrating");
	r->convert.moments = r->moments;
	return 0;
}

static int allocate(struct run *r)
{
	struct allocation a = {
		.source = r->source, .moments = r->moments, .id = r->ids.id, .n_ids = r->ids.n,
		.bits_per_weight = r->o->bits_per_weight, .window = r->o->window,
		.threads = r->convert.threads,
	};
	size_t most = r->o->tokens ? r->o->tokens : 512;

	if (!(r->o->bits_per_weight > 0))
		return 0;
	if (!r->moments)
		return err_set(r->e, ERR_MISUSE, "a size needs a text to calibrate by");
	a.n_ids = a.n_ids < most ? a.n_ids : most;
	a.dtype = r->convert.dtype;
	if (allocate_bits(&r->convert.rule, &r->convert.n_rules, &a, &r->arena, r->e))
		return err_in(r->e, "sharing out bits");
	return 0;
}

/* ---- the report */

static void on_outcome(void *arg, const struct outcome *o)
{
	struct run *r = arg;
	double bits = o->n_values ? 8 * (double)o->n_bytes / (double)o->n_values : 0;

	r->out->n_values += o->n_values;
	r->out->n_bytes += o->n_bytes;
	if (!o->coded)
		return;
	buf_printf(&r->out->table, "%s\t%s\t%s\t%.9g\t%.9g\n", o->name, o->from, o->to, bits, o->error);
	buf_printf(&r->rows, "%s{\"name\": ", r->rows.n ? ", " : "");
	json_add_string(&r->rows, bytes_of(o->name));
	buf_printf(&r->rows, ", \"from\": \"%s\", \"to\": \"%s\", \"weights\": %zu, \"bytes\": %zu, "
	           "\"bits_per_weight\": ", o->from, o->to, o->n_values, o->n_bytes);
	json_add_f64(&r->rows, bits);
	buf_printf(&r->rows, ", \"error\": ");
	json_add_f64(&r->rows, o->error);
	buf_printf(&r->rows, "}");
}

static void add_total(struct run *r, const char *name, double v)
{
	struct quantize_result *q = r->out;

	buf_printf(&q->table, "%s\t%.9g\n", name, v);
	buf_printf(&q->json, "%s\"%s\": ", q->json.n > 1 ? ", " : "", name);
	json_add_f64(&q->json, v);
}

static int report(struct run *r)
{
	struct quantize_result *q = r->out;

	buf_printf(&q->table, "\ntotal\tvalue\n");
	buf_printf(&q->json, "{");
	add_total(r, "bytes", (double)q->n_bytes);
	add_total(r, "weights", (double)q->n_values);
	add_total(r, "bits_per_weight", 8 * (double)q->n_bytes / (double)(q->n_values + !q->n_values));
	if (q->n_tokens) {
		add_total(r, "evaluated_tokens", (double)q->n_tokens);
		add_total(r, "source_perplexity", q->ppl_source);
		add_total(r, "perplexity", q->ppl);
		add_total(r, "kl", q->kl);
		add_total(r, "top1_agreement", q->agree);
	}
	buf_printf(&q->json, ", \"layers\": [");
	buf_add(&q->json, r->rows.p, r->rows.n);
	buf_printf(&q->json, "]}\n");
	return buf_check(&q->table, r->e) || buf_check(&q->json, r->e) || buf_check(&r->rows, r->e);
}

/* ---- output beside source */

static int compare(struct run *r, struct source *made, struct ids *ids)
{
	struct judge a = { 0 }, b = { 0 };
	struct verdict v;
	int rc = -1;
	size_t window = r->o->window;
	int threads = r->convert.threads;

	if (judge_open(&a, r->source, r->o->device, NULL, window, threads, r->e) == 0 &&
	    judge_open(&b, made, r->o->device, NULL, window, threads, r->e) == 0)
		rc = judge_compare(&v, &a, &b, ids->id, ids->n, r->e);
	judge_close(&b);
	judge_close(&a);
	if (rc || !v.n)
		return rc;
	r->out->n_tokens = v.n;
	r->out->ppl_source = exp(v.nll_a / (double)v.n);
	r->out->ppl = exp(v.nll_b / (double)v.n);
	r->out->kl = v.kl / (double)v.n;
	r->out->agree = (double)v.agree / (double)v.n;
	return 0;
}

static int evaluate(struct run *r, const char *to)
{
	struct ids ids = { 0 };
	struct source *made = NULL;
	int rc = -1;

	if (!r->o->evaluate.p)
		return 0;
	if (tokens_of(&ids, r->source, r->o->evaluate, r->e) == 0 &&
	    source_open(&made, to, r->e) == 0)
		rc = compare(r, made, &ids);
	source_close(made);
	ids_release(&ids);
	return rc ? err_in(r->e, "evaluating") : 0;
}

static int steps(struct run *r, const char *in, const char *to)
{
	if (source_open(&r->source, in, r->e) || calibrate(r) || allocate(r))
		return -1;
	if (r->moments)
			buf_printf(&r->out->table, "name\tfrom\tto\tbits_per_weight\terror\n");
	if (convert_model(in, to, &r->convert, r->e) || evaluate(r, to))
		return -1;
	return report(r);
}

int quantize_model(struct quantize_result *out, const char *in, const char *to,
                   const struct quantize_options *o, struct err *e)
{
	struct run r = { .out = out, .o = o, .convert = o->convert, .e = e };
	int rc;

	*out = (struct quantize_result){ 0 };
	r.convert.outcome = on_outcome;
	r.convert.outcome_arg = &r;
	rc = steps(&r, in, to);
	moment_set_close(r.moments);
	source_close(r.source);
	ids_release(&r.ids);
	buf_release(&r.rows);
	arena_release(&r.arena);
	return rc;
}
