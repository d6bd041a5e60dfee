/* SPDX-License-Identifier: MIT */
/* diff.c - a model beside another, or beside itself under adapters
 *
 * The weights are there once: every scale of the adapters is a set of the one
 * model, and rows of all sets share a pass. */
#include "diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gen/gen.h"
#include "records.h"
#include "tasks.h"

enum { SCALES_MAX = 32, CEILING = 1 << 30, WINDOW = 2048, ROWS = 16 };

struct diff {
	const struct diff_options *o;
	struct opened base, other;
	double scale[SCALES_MAX];
	size_t n_scales, window;
	struct adapter_use use[SCALES_MAX][CLI_TEXTS_MAX];
	struct adapter_set set[SCALES_MAX];
	struct view view[SCALES_MAX + 1];
	struct view_sum sum[SCALES_MAX + 1];
	size_t n_views, n_failed;
};

static void parse_scales(struct diff *d)
{
	const char *p = d->o->scales ? d->o->scales : "1";

	do {
		char *end;
		double v = strtod(p, &end);

		if (end == p || (*end && *end != ',') || !isfinite(v) || fabs(v) > 1000)
			cli_misuse("--scale: expected numbers from -1000 to 1000 with commas between, "
			           "found \"%s\"", d->o->scales);
		if (d->n_scales == SCALES_MAX)
			cli_misuse("--scale: at most %d", SCALES_MAX);
		d->scale[d->n_scales++] = v;
		p = *end ? end + 1 : end;
	} while (*p);
}

/* ---- opening */

static int window_of(struct diff *d, const struct opened *o, struct err *e)
{
	struct config c;

	if (config_read(&c, o->source, e))
		return err_in(e, "%s", source_path(o->source));
	if (!d->window || c.max_pos < d->window)
		d->window = d->o->window || c.max_pos < WINDOW ? c.max_pos : WINDOW;
	config_release(&c);
	return 0;
}

static void make_sets(struct diff *d)
{
	const struct adapters *a = &d->base.adapters;

	for (size_t i = 0; i < d->n_scales; i++) {
		d->set[i] = (struct adapter_set){ d->use[i], a->set.n };
		for (size_t k = 0; k < a->set.n; k++)
			d->use[i][k] = (struct adapter_use){ a->use[k].adapter,
				                             a->use[k].scale * d->scale[i] };
	}
}

static int open_one(struct diff *d, struct opened *o, size_t n_sets, struct err *e)
{
	struct model_options m = { .sets = n_sets ? d->set : NULL, .n_sets = n_sets };

	m.kv_tokens = (n_sets + 1) * (d->window + 2 * PAGE_POSITIONS);
	m.max_out = ROWS * (n_sets + 1) > 64 ? ROWS * (n_sets + 1) : 64;
	return open_weights(o, &m, d->o->quiet, e);
}

static int open_all(struct diff *d, struct err *e)
{
	struct open_options other = *d->o->open;
	bool two = d->o->against != NULL;

	other.model = d->o->against;
	d->window = d->o->window;
	if (open_files(&d->base, d->o->open, e) ||
	    ((!d->o->ids || d->o->jsonl) && open_tokenizer(&d->base, e)) ||
	    window_of(d, &d->base, e) ||
	    (two && (open_files(&d->other, &other, e) || window_of(d, &d->other, e))) ||
	    open_device(&d->base, d->o->open, d->o->verbose, e))
		return -1;
	if (two && open_device(&d->other, &other, 0, e))
		return -1;
	make_sets(d);
	if (open_one(d, &d->base, two ? 0 : d->n_scales, e) || (two && open_one(d, &d->other, 0, e)))
		return -1;
	d->n_views = two ? 2 : d->n_scales + 1;
	for (size_t i = 0; i < d->n_views; i++)
		d->view[i] = (struct view){ d->base.model, (int32_t)i };
	if (two)
		d->view[1] = (struct view){ d->other.model, 0 };
	return 0;
}

/* ---- the table */

static const char *const names[] = { "scale", "tokens", "ppl_base", "ppl", "kl", "kl_reverse", "js",
	                             "kl_most", "top1" };
enum { COLUMNS = sizeof names / sizeof *names };

static void show_head(const struct diff *d)
{
	for (size_t k = 0; k < COLUMNS && !d->o->records; k++)
		cli_printf("%s%c", names[k], k + 1 < COLUMNS ? '\t' : '\n');
}

/* Rows of all scales; records begin with `id`, if there is one. */
static void show(const struct diff *d, const struct buf *id)
{
	for (size_t i = 1; i < d->n_views; i++) {
		const struct view_sum *s = &d->sum[i];
		double n = s->n ? (double)s->n : (double)NAN, v[COLUMNS] = {
			d->o->against ? 1 : d->scale[i - 1], (double)s->n,
			exp(d->sum[0].nll / n), exp(s->nll / n),
			s->kl / n, s->reverse / n, s->js / n, s->most, (double)s->agree / n };

		if (d->o->records)
			cli_printf(id ? "{\"id\": %.*s" : "{", id ? (int)id->n : 0,
			           id ? (char *)id->p : "");
		for (size_t k = 0; k < COLUMNS; k++)
			if (!d->o->records)
				cli_printf("%.9g%c", v[k], k + 1 < COLUMNS ? '\t' : '\n');
			else if (isfinite(v[k]))
				cli_printf("%s\"%s\": %.9g", k || id ? ", " : "", names[k], v[k]);
			else
				cli_printf("%s\"%s\": null", k || id ? ", " : "", names[k]);
		if (d->o->records)
			cli_printf("}\n");
	}
}

/* ---- records */

static void show_refused(const struct task *t)
{
	struct buf b = { 0 };
	struct err e;

	buf_printf(&b, "{\"id\": %.*s", (int)t->id.n, (char *)t->id.p);
	record_add_error(&b, &t->err);
	buf_add_text(&b, "}\n");
	if (buf_check(&b, &e))
		cli_die(&e);
	cli_put(b.p, b.n);
	buf_release(&b);
}

/* A record has rows of its own; one that is refused says why. */
static int one_record(struct diff *d, size_t number, struct bytes line, struct err *e)
{
	struct task_rules rules = { .tokenizer = d->base.tokenizer, .no_special = d->o->no_special,
		                    .boundary = d->o->boundary,
		                    .o = { .window = d->window, .first = 1, .bos = -1 } };
	struct task *t;

	if (strspn((const char *)line.p, " \t\r") >= line.n)
		return 0;
	t = task_of_record(&rules, number, line, e);
	if (!t)
		return -1;
	memset(d->sum, 0, sizeof d->sum);
	if (!t->ended && (t->op == TASK_NEXT || t->tokens || t->text.o.top))
		t->ended = err_set(&t->err, ERR_INPUT, "diff takes a text or a completion, and tells "
		                   "no tokens");
	if (!t->ended && compare_views(d->sum, d->view, d->n_views,
	                               &(struct view_text){ t->ids.id, t->ids.n, t->text.o.first,
	                                                    d->window }, &t->err)) {
		if (t->err.kind == ERR_MACHINE || t->err.kind == ERR_INTERRUPTED) {
			*e = t->err;
			task_free(t);
			return -1;
		}
		t->ended = true;
	}
	d->n_failed += t->ended;
	if (t->ended)
		show_refused(t);
	else
		show(d, &t->id);
	cli_flush();
	task_free(t);
	return 0;
}

/* ---- texts */

static int one_text(struct diff *d, struct ids *ids, struct bytes text, struct err *e)
{
	unsigned flags = ENCODE_PARSE_SPECIAL | (d->o->no_special ? 0u : ENCODE_ADD_SPECIAL);

	ids->n = 0;
	if (d->o->ids ? feed_ids(ids, text, e) :
	                tokenizer_encode(d->base.tokenizer, text, flags, ids, e))
		return -1;
	return compare_views(d->sum, d->view, d->n_views,
	                     &(struct view_text){ ids->id, ids->n, 0, d->window }, e);
}

static int all_texts(struct diff *d, char **files, struct err *e)
{
	enum feed_cut cut = d->o->ids || d->o->jsonl ? FEED_LINES : feed_cut(&d->o->feed);
	enum feed_result r = FEED_ERROR;
	struct feed *f = NULL;
	struct ids ids = { 0 };
	struct bytes text;

	if (feed_open(&f, files, cut, CEILING, e) == 0)
		while ((r = feed_next(f, true, &text, e)) == FEED_TEXT)
			if (d->o->jsonl ? one_record(d, feed_number(f), text, e) :
			                  one_text(d, &ids, text, e)) {
				r = err_in(e, "%s: text %zu", feed_file(f), feed_number(f));
				break;
			}
	if (r == FEED_LONG)
		r = err_set(e, ERR_INPUT, "%s: text %zu: over %d bytes", feed_file(f), feed_number(f),
		            CEILING);
	ids_release(&ids);
	feed_close(f);
	return r == FEED_ERROR ? -1 : 0;
}

int diff_texts(const struct diff_options *o, char **files, size_t *n_failed, struct err *e)
{
	static struct diff all; /* misuse ends the command, with nothing to free */
	struct diff *d = &all;
	int rc;

	d->o = o;
	if ((o->against != NULL) == (o->open->adapters.n > 0))
		cli_misuse("diff: expected --adapter, or --against with another model, found %s",
		           o->against ? "both" : "neither");
	if (o->against && o->scales)
		cli_misuse("--scale goes with --adapter");
	parse_scales(d);
	rc = open_all(d, e) || all_texts(d, files, e) ? -1 : 0;
	if (rc == 0 && !o->jsonl) {
		show_head(d);
		show(d, NULL);
	}
	*n_failed = d->n_failed;
	open_release(&d->other);
	open_release(&d->base);
	return rc;
}
