/* SPDX-License-Identifier: MIT */
/* cl_persist.c - a record as the phases of one launch, where that can be
 *
 * Given the ops of a decoder: norms before products, queries, keys and
 * values before attention, gates after products; gives the table of phases
 * that kernels/nvidia/step.cl walks, the kernel and its arguments. A record
 * with anything else in it, or weights that are not tiles of one form, has
 * no persistent step and keeps its launches. What stands before the phases
 * (the embedding) is launched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/persist.h"

enum { MOST_INPUTS = 16384, MOST_NORMED = 8192, ROWS_MOST = 8 };

static const struct kernel_row rows[] = {
	{ .text = "nvidia/step.cl", .entry = "step", .options = "-DROWS=1", .lanes = 512 },
	{ .text = "nvidia/step.cl", .entry = "step", .options = "-DROWS=8", .lanes = 512 },
};

const struct op *op_at(const struct walk *w, size_t i)
{
	static const struct op none = { .kind = OP_COUNT };

	return i < w->r->n_ops ? &w->r->op[i] : &none;
}

/* Ops that write their dst without reading it first. */
static bool writes_all(enum op_kind kind)
{
	return kind == OP_EMBED || kind == OP_NORM_RMS || kind == OP_ATTENTION || kind == OP_GLU ||
	       kind == OP_PICK || kind == OP_ROUTE;
}

bool done_with(const struct walk *w, const struct slot *s, size_t i)
{
	for (; i < w->r->n_ops; i++) {
		const struct op *op = &w->r->op[i];
		bool writes = op->dst == s && writes_all(op->kind);

		if (op->src == s || op->src2 == s || (op->dst == s && !writes))
			return false;
		for (size_t k = 0; k < op->n_parts; k++) {
			if (op->part[k].dst == s && op->add)
				return false;
			writes = writes || op->part[k].dst == s;
		}
		if (writes)
			return true;
	}
	return s != w->r->result;
}

size_t floats_at(const struct slot *s)
{
	return s->offset / sizeof(float);
}

static bool put_place(const struct walk *w, struct place *p, cl_mem m)
{
	size_t slab, at;

	if (!part_find(w->d, m, &slab, &at))
		return false;
	*p = (struct place){ .at = at, .slab = (int)slab, .given = 1 };
	return true;
}

bool put_vector(const struct walk *w, struct place *p, const struct weight *v)
{
	const struct cl_weight *c = v->device;

	return put_place(w, p, c->chunk[0].data);
}

static bool same_form(struct walk *w, const struct weight *m)
{
	char form[sizeof w->form];

	form_options(form, sizeof form, m);
	if (!*w->form)
		memcpy(w->form, form, sizeof form);
	return !strcmp(form, w->form);
}

bool put_chunks(const struct walk *w, struct phase *p, const struct op_product *part)
{
	const struct cl_weight *c = part->w->device;

	for (size_t i = 0; i < c->n_chunks; i++) {
		const struct chunk *k = &c->chunk[i];
		struct phase_part *q = &p->part[p->parts];

		if (p->parts == PHASE_PARTS || !put_place(w, &q->w, k->data) ||
		    (k->scales && !put_place(w, &q->s, k->scales)) ||
		    (part->b && !put_vector(w, &q->b, part->b)))
			return false;
		q->y = floats_at(part->dst);
		q->n = (int)k->n;
		q->first = (int)k->first;
		q->width = (int)part->dst->n;
		p->tiles += (int)((k->n + TILE_ROWS - 1) / TILE_ROWS);
		q->end = p->tiles;
		p->parts++;
	}
	return true;
}

bool put_part(struct walk *w, struct phase *p, const struct op_product *part)
{
	const struct cl_weight *c = part->w->device;

	return c->tiled && same_form(w, part->w) && put_chunks(w, p, part);
}

/* Gate and up in pairs of tiles. */
static bool take_gate(struct walk *w, struct phase *p, const struct op *m)
{
	const struct op *g = op_at(w, w->i);

	if (g->kind != OP_GLU || m->n_parts != 2 || m->add || p->parts != 2 ||
	    g->src != m->part[0].dst || g->src2 != m->part[1].dst || g->src == g->src2)
		return true;
	if (m->part[0].dst->n != m->part[1].dst->n || (w->gated && w->act != g->act) ||
	    (g->dst != g->src && !done_with(w, g->src, w->i + 1)) ||
	    (g->dst != g->src2 && !done_with(w, g->src2, w->i + 1)))
		return false;
	w->gated = true;
	w->act = g->act;
	p->pairs = 1;
	p->part[0].y = p->part[1].y = floats_at(g->dst);
	w->mixed = g->dst;
	w->i++;
	return true;
}

/* Where the product's input comes from: the op before it, or a slot. */
static bool take_input(struct walk *w, struct phase *p, const struct slot **src)
{
	const struct op *op = op_at(w, w->i), *norm = op;
	const struct slot *picked = NULL;

	p->input = INPUT_F32;
	if (op->kind == OP_PICK) {
		picked = op->dst;
		p->picked = 1;
		p->x = floats_at(op->src);
		norm = op_at(w, ++w->i);
		if (norm->kind != OP_NORM_RMS || norm->src != picked ||
		    (norm->dst != picked && !done_with(w, picked, w->i + 1)))
			return false;
	}
	if (norm->kind == OP_NORM_RMS) {
		if (norm->w->d.n_in != norm->src->n || norm->src->n > MOST_NORMED ||
		    !put_vector(w, &p->g, norm->w))
			return false;
		p->input = INPUT_NORM;
		w->normed = norm->src->n > w->normed ? norm->src->n : w->normed;
		p->eps = norm->eps;
		if (!picked)
			p->x = floats_at(norm->src);
		*src = norm->dst;
		w->i++;
	}
	return true;
}

/* Of several rows the norm is a phase of its own, whose result is f16: else
 * each group would read all of their f32, and twice. */
static struct phase *norm_apart(struct walk *w, struct phase *p, const struct slot *dst)
{
	struct phase *q = &w->phase[w->n++];

	p->kind = PHASE_NORM;
	p->n_in = (int)dst->n;
	p->out = dst->out;
	p->out_at = (int)((struct cl_plan *)w->r->plan)->out_at;
	p->y = q->x = floats_at(dst);
	q->kind = PHASE_PRODUCT;
	q->input = INPUT_HALF;
	return q;
}

static bool take_product(struct walk *w)
{
	struct phase *p = &w->phase[w->n++];
	const struct slot *src = NULL;
	const struct op *m;

	p->kind = PHASE_PRODUCT;
	if (!take_input(w, p, &src))
		return false;
	if (src && w->apart && floats_at(src) != p->x)
		p = norm_apart(w, p, src);
	m = op_at(w, w->i++);
	if (m->kind != OP_MATMUL || (src && (m->src != src || !done_with(w, src, w->i))) ||
	    m->src->n > MOST_INPUTS)
		return false;
	if (!src) {
		p->x = floats_at(m->src);
		if (w->o->half && m->src == w->mixed)
			p->input = INPUT_HALF;
		if (m->src == w->mixed && !done_with(w, m->src, w->i))
			return false;
	}
	p->n_in = (int)m->src->n;
	p->add = m->add;
	p->out = m->src->out;
	p->out_at = (int)((struct cl_plan *)w->r->plan)->out_at;
	for (size_t i = 0; i < m->n_parts; i++)
		if (!put_part(w, p, &m->part[i]))
			return false;
	w->halves = w->halves && p->input == INPUT_HALF;
	return take_gate(w, p, m);
}

static bool take_head_norm(struct walk *w, struct phase *p, struct place *at,
                           const struct slot *s)
{
	const struct op *op = op_at(w, w->i);

	if (op->kind != OP_NORM_RMS || op->src != s)
		return true;
	if (op->dst != s || op->w->d.n_in != w->attention->head_dim ||
	    ((p->q_norm.given || p->k_norm.given) && op->eps != p->eps))
		return false;
	p->eps = op->eps;
	w->head_norms = true;
	w->i++;
	return put_vector(w, at, op->w);
}

static bool take_rope(struct walk *w, struct phase *p, const struct slot *s)
{
	const struct op *op = op_at(w, w->i++);

	if (op->kind != OP_ROPE || op->dst != s || op->head_dim != w->attention->head_dim ||
	    (w->rope && op->rope != w->rope->rope))
		return false;
	w->rope = op;
	p->angle_at = (int)((struct cl_plan *)w->r->plan)->angle_at[op->rope];
	return true;
}

/* Norms, rotation and cache before attention, which all its layers share. */
static bool same_shape(const struct walk *w, const struct op *a)
{
	const struct exec_kv_layer *l = &w->r->kv->layer[a->layer], *m = l;
	size_t share = a->n_heads / l->n_heads;

	if (w->attention) {
		m = &w->r->kv->layer[w->attention->layer];
		if (a->n_heads != w->attention->n_heads || l->n_heads != m->n_heads ||
		    l->k_dim != m->k_dim || l->v_dim != m->v_dim)
			return false;
	}
	return w->r->kv->dtype == DT_F16 && !a->att.softcap && !a->att.sinks && share <= 8 &&
	       l->n_heads <= 256 &&
	       !l->v_in_k && l->k_dim % 32 == 0 && l->k_dim <= 128 &&
	       l->v_dim % 8 == 0 && l->v_dim <= 128;
}

static bool take_attention(struct walk *w)
{
	struct phase *p = &w->phase[w->n++];
	const struct cl_plan *plan = w->r->plan;
	const struct op *write = NULL, *a = NULL;
	const struct cl_kv *c;

	for (size_t i = w->i; i < w->i + 6 && !a; i++) {
		if (op_at(w, i)->kind == OP_KV_WRITE)
			write = op_at(w, i);
		if (op_at(w, i)->kind == OP_ATTENTION)
			a = op_at(w, i);
	}
	if (!a || !write || a->layer != write->layer || !same_shape(w, a))
		return false;
	w->attention = a;
	if (!take_head_norm(w, p, &p->q_norm, a->src) ||
	    !take_head_norm(w, p, &p->k_norm, write->src) || !take_rope(w, p, a->src) ||
	    !take_rope(w, p, write->src) || op_at(w, w->i) != write || op_at(w, w->i + 1) != a)
		return false;
	w->i += 2;
	c = w->r->kv->device;
	if (!put_place(w, &p->keys, c->keys[a->layer]) ||
	    !put_place(w, &p->values, c->values[a->layer]) || !done_with(w, a->src, w->i) ||
	    !done_with(w, write->src, w->i) || !done_with(w, write->src2, w->i))
		return false;
	p->kind = PHASE_ATTENTION;
	p->x = floats_at(a->src);
	p->k = floats_at(write->src);
	p->v = floats_at(write->src2);
	p->y = floats_at(a->dst);
	w->mixed = a->dst;
	p->scale = a->att.scale * 1.44269504088896341f;
	p->window = (int)a->att.window;
	p->pos_at = (int)plan->pos_at;
	p->pages_at = (int)(plan->row_pages_at +
	                    w->r->kv->layer[a->layer].group * plan->row_pages_step);
	p->spans_at = plan->part_at;
	return true;
}

/* The ops from the first product on. */
static bool take_all(struct walk *w)
{
	struct record *r = w->r;

	w->halves = true;
	if (r->max_rows > ROWS_MOST || r->max_out > ROWS_MOST || !r->n_ops ||
	    r->op[0].kind != OP_EMBED)
		return false;
	for (w->i = 1; w->i < r->n_ops;) {
		enum op_kind kind = op_at(w, w->i)->kind, next = op_at(w, w->i + 1)->kind;
		bool heads = kind == OP_ROPE ||
		             (kind == OP_NORM_RMS && (next == OP_ROPE || next == OP_NORM_RMS));

		if (heads ? !take_attention(w) : is_mixture(w) ? !take_mixture(w) : !take_product(w))
			return false;
	}
	phases_share(w);
	phases_meet(w);
	return w->attention && *w->form;
}

static void name_options(const struct walk *w, char *out, size_t room)
{
	const struct op *a = w->attention;
	const struct exec_kv_layer *l = &w->r->kv->layer[a->layer];
	const struct rope *rope = &w->r->rope[w->rope->rope];
	char mixture[128];
	const char *act = w->gated ? act_options(&(struct op){ .act = w->act }) : "";

	snprintf(out, room, "%s%s%s -DHEADS=%zu -DKV_HEADS=%zu -DK_DIM=%zu -DV_DIM=%zu -DK_STEP=8 "
	         "-DDIMS=%zu -DNORMED=%zu%s%s %s%s", w->form, w->o->half ? " -DHALF_SLOTS" : "",
	         w->halves && w->r->max_rows > 1 ? " -DONLY_HALVES=1" : "",
	         a->n_heads, l->n_heads, l->k_dim, l->v_dim, rope->dims, w->normed ? w->normed : 8,
	         w->head_norms ? " -DHEAD_NORMS" : "", rope->interleaved ? " -DINTERLEAVED" : "", act,
	         mixture_options(w, mixture, sizeof mixture));
}

static bool has_mixture(const struct record *r)
{
	for (size_t i = 0; i < r->n_ops; i++)
		if (r->op[i].kind == OP_ROUTE)
			return true;
	return false;
}

/* bf16 weights take more of their inputs than f16 holds. */
static bool halves(const struct record *r)
{
	for (size_t i = 0; i < r->n_ops; i++)
		if (r->op[i].kind == OP_MATMUL)
			return r->op[i].part[0].w->d.form == FORM_AFFINE ||
			       r->op[i].part[0].w->d.dtype == DT_F16;
	return false;
}

static int upload(struct walk *w, struct err *e)
{
	struct persist *o = w->o;
	bool edges = o->edges[0] || o->edges[1];
	size_t n = SYNC_WORDS + (edges ? EDGE_RINGS * EDGE_RING * EDGE_WORDS : 0);
	unsigned *words = malloc(n * sizeof *words);
	int status = -1;

	if (!words)
		return err_memory(e, n * sizeof *words);
	memset(words, 0, SYNC_WORDS * sizeof *words);
	for (size_t i = SYNC_WORDS; i < n; i++)
		words[i] = EDGE_DUE;
	o->phases = buffer_open(w->d, w->n * sizeof *w->phase, e);
	o->sync = o->phases ? buffer_open(w->d, n * sizeof *words, e) : NULL;
	if (o->sync)
		status = buffer_write(w->d, o->phases, 0, w->phase, w->n * sizeof *w->phase, e);
	if (status == 0)
		status = buffer_write(w->d, o->sync, 0, words, n * sizeof *words, e);
	o->n_phases = w->n;
	free(words);
	return status;
}

int persist_make(struct record *r, bool dry, struct err *e)
{
	struct cl_plan *p = r->plan;
	struct opencl *d = r->x->device;
	struct persist *o = &p->persist;
	struct walk w = { .r = r, .d = d, .o = o };
	const struct kernel_row *row = &rows[r->max_rows > 1];
	char options[512];
	struct program *program;
	int status = 0;

	if (!(d->can & NEED_NVIDIA) || d->no_persist || !r->kv)
		return 0;
	w.phase = calloc(r->n_ops + 1, sizeof *w.phase);
	if (!w.phase)
		return err_memory(e, r->n_ops * sizeof *w.phase);
	o->half = halves(r);
	w.apart = o->half && r->max_rows > 1 && !has_mixture(r);
	if (take_all(&w)) {
		name_options(&w, options, sizeof options);
		program = program_want(d, row, options, e);
		if (!program)
			status = -1;
		else if (!dry)
			status = (o->kernel = program_kernel(program, row->entry, e)) ? upload(&w, e) : -1;
	}
	free(w.phase);
	return status;
}

void persist_end(struct opencl *d, struct persist *o)
{
	if (o->kernel)
		clReleaseKernel(o->kernel);
	buffer_close(d, o->phases);
	buffer_close(d, o->sync);
	*o = (struct persist){ 0 };
}

int persist_bind(struct opencl *d, struct persist *o, struct err *e)
{
	cl_mem fixed[] = { d->table, d->scratch, o->sync, o->phases };
	cl_int status = 0;

	for (cl_uint i = 0; i < 4 && !status; i++)
		status = clSetKernelArg(o->kernel, i, sizeof fixed[i], &fixed[i]);
	if (!status)
		status = clSetKernelArg(o->kernel, 4, sizeof(cl_int), &(cl_int){ (cl_int)o->n_phases });
	for (cl_uint i = 0; i < MAX_SLABS && !status; i++) {
		cl_mem m = d->slab[i].m ? d->slab[i].m : d->scratch;

		status = clSetKernelArg(o->kernel, 7 + i, sizeof m, &m);
	}
	return status ? cl_fail(e, status, "kernel step") : 0;
}

int persist_run(struct opencl *d, struct persist *o, struct err *e)
{
	size_t local = rows[0].lanes, global = (size_t)d->x->info.units * local;
	cl_int status = clSetKernelArg(o->kernel, 5, sizeof(cl_uint), &(cl_uint){ o->met });
	cl_uint turn = o->turn[0] % EDGE_RING + (o->turn[1] % EDGE_RING) * EDGE_RING;

	if (!status)
		status = clSetKernelArg(o->kernel, 6, sizeof turn, &turn);
	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, o->kernel, 1, NULL, &global, &local, 0, NULL,
		                                NULL);
	o->met += (cl_uint)(o->meetings * (size_t)d->x->info.units);
	for (int i = 0; i < EDGE_RINGS; i++)
		o->turn[i] += o->edges[i];
	return status ? cl_fail(e, status, "kernel step") : 0;
}
