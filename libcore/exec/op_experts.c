/* SPDX-License-Identifier: MIT */
/* op_experts.c - copies of runs, and experts: shapes checked, put on the list. */
#include "exec/shapes.h"

static bool runs_fit(size_t n, size_t at, size_t step, size_t n_runs, size_t width)
{
	return n && n_runs && n_runs <= width && (step >= n || n_runs == 1) && step <= width &&
	       n <= width && at <= width && (n_runs - 1) * step + at + n <= width;
}

void op_copy(struct record *r, struct slot *dst, struct slot *src, const struct copy *c)
{
	struct op *op = op_new(r, OP_COPY);

	if (!op || !op_reads(r, src) || !op_writes(r, dst) || !op_same_rows(r, dst, src))
		return;
	if (dst == src || !runs_fit(c->n, c->to, c->to_step, c->n_runs, dst->n) ||
	    !runs_fit(c->n, c->from, c->from_step, c->n_runs, src->n)) {
		record_fail(r, "%zu runs of %zu do not fit from slot %s into %s", c->n_runs, c->n,
		            src->name, dst->name);
		return;
	}
	op->dst = dst;
	op->src = src;
	op->copy = *c;
	r->n_ops++;
}

/* ---- experts */
void op_route(struct record *r, struct slot *dst, struct slot *logits, const struct weight *bias,
              const struct routing *how)
{
	struct op *op = op_new(r, OP_ROUTE);

	if (!op || !op_reads(r, logits) || !op_writes(r, dst) || !op_same_rows(r, dst, logits) ||
	    !op_has_width(r, dst, 2 * how->k) || (bias && !op_is_vector(r, bias, logits->n)))
		return;
	if (!how->k || how->k > logits->n || how->k > MOST_USED || logits->n > MOST_EXPERTS) {
		record_fail(r, "%zu of %zu experts, expected at most %d of %d", how->k, logits->n,
		            MOST_USED, MOST_EXPERTS);
		return;
	}
	if (how->n_groups > 1 && (logits->n % how->n_groups || logits->n / how->n_groups < 2 ||
	                          !how->top_groups || how->top_groups > how->n_groups)) {
		record_fail(r, "%zu of %zu groups of %zu experts", how->top_groups, how->n_groups,
		            logits->n);
		return;
	}
	op->dst = dst;
	op->src = logits;
	op->w = bias;
	op->routing = *how;
	r->n_ops++;
}

static bool add_stack(struct record *r, const struct op_product *p, const struct slot *src,
                      const struct slot *chosen, size_t n_used)
{
	const struct weight_desc *d = &p->w->d;

	if (p->dst == src)
		return record_fail(r, "slot %s is multiplied into itself", src->name), false;
	if (!op_writes(r, p->dst) || !op_same_rows(r, p->dst, src))
		return false;
	if (!d->n_stack || (!chosen && d->n_stack != n_used) ||
	    d->n_out / d->n_stack * n_used != p->dst->n ||
	    (d->n_in != src->n && d->n_in * n_used != src->n))
		return record_fail(r, "%s: %zu of %zu matrices [%zu,%zu] from slot %s to %s", d->name,
		                   n_used, d->n_stack, d->n_stack ? d->n_out / d->n_stack : d->n_out,
		                   d->n_in, src->name, p->dst->name), false;
	return !p->b || op_is_vector(r, p->b, d->n_out);
}

void op_experts(struct record *r, const struct op_product *part, size_t n_parts,
                struct slot *src, struct slot *chosen, size_t n_used)
{
	struct op *op = op_new(r, OP_EXPERTS);

	if (!op || !op_reads(r, src) ||
	    (chosen && (!op_reads(r, chosen) || !op_same_rows(r, src, chosen) ||
	                !op_has_width(r, chosen, 2 * n_used))))
		return;
	if (!n_parts || n_parts > OP_PARTS || !n_used) {
		record_fail(r, "%zu products, expected 1 to %d", n_parts, OP_PARTS);
		return;
	}
	for (size_t i = 0; i < n_parts; i++) {
		if (!part[i].w || !part[i].dst)
			return record_fail(r, "no stack of matrices");
		if (!add_stack(r, &part[i], src, chosen, n_used))
			return;
		op->part[i] = part[i];
	}
	op->n_parts = n_parts;
	op->src = src;
	op->src2 = chosen;
	op->n_used = n_used;
	r->n_ops++;
}

void op_mix(struct record *r, struct slot *dst, struct slot *src, struct slot *chosen)
{
	struct op *op = op_new(r, OP_MIX);

	if (!op || !op_reads(r, src) || !op_reads(r, chosen) || !op_reads(r, dst) ||
	    !op_same_rows(r, dst, src) || !op_same_rows(r, src, chosen) ||
	    !op_has_width(r, src, chosen->n / 2 * dst->n))
		return;
	op->dst = dst;
	op->src = src;
	op->src2 = chosen;
	op->n_used = chosen->n / 2;
	r->n_ops++;
}
