/* SPDX-License-Identifier: MIT */
/* cl_persist_experts.c - a mixture of experts as phases of a persistent step
 * (kernels/nvidia/mixture.clh): the router's product, gate and up of the
 * chosen, down and the sum. A mixture with biases, groups of experts or
 * shared experts keeps its launches. */
#include "exec/persist.h"

#include <stdio.h>
#include <string.h>

/* as local memory has room for */
enum { MOST_CHOSEN = 16 };

bool is_mixture(const struct walk *w)
{
	return op_at(w, w->i)->kind == OP_NORM_RMS && op_at(w, w->i + 1)->kind == OP_MATMUL &&
	       op_at(w, w->i + 2)->kind == OP_ROUTE;
}

/* The choice is alike in all layers. */
static bool same_route(struct walk *w, const struct op *route)
{
	const struct routing *a = &route->routing, *b;

	if (!w->route) {
		w->route = route;
		w->n_experts = route->src->n;
	}
	b = &w->route->routing;
	return !route->w && a->n_groups <= 1 && a->score != SCORE_SIGMOID && a->k <= MOST_CHOSEN &&
	       a->k == b->k && a->score == b->score && a->normalize == b->normalize &&
	       a->scale == b->scale && w->n_experts == route->src->n;
}

static bool whole(const struct op_product *part)
{
	const struct weight_desc *d = &part->w->d;

	return !part->b && ((const struct cl_weight *)part->w->device)->n_chunks == 1 && d->n_stack;
}

/* A stack in a phase: n rows of each matrix, one after the other as if the
 * chosen were all there is. */
static bool put_stack(struct walk *w, struct phase *p, const struct op_product *part)
{
	struct phase_part *q = &p->part[p->parts];

	if (!whole(part) || !put_part(w, p, part))
		return false;
	q->n = (int)(part->w->d.n_out / part->w->d.n_stack);
	return true;
}

/* Whether a router has 8 bits and else the form of everything, which has 4. */
static bool is_eight(const struct walk *w, const struct weight *router)
{
	static const char four[] = "-DTILED -DW_AFFINE -DBITS=4";
	static const char eight[] = "-DTILED -DW_AFFINE -DBITS=8";
	char form[sizeof w->form];

	form_options(form, sizeof form, router);
	return !strncmp(form, eight, sizeof eight - 1) && !strncmp(w->form, four, sizeof four - 1) &&
	       !strcmp(form + sizeof eight - 1, w->form + sizeof four - 1);
}

/* The router: its norm is made again for the experts. */
static bool take_router(struct walk *w, const struct op *norm, const struct op *m,
                        const struct op *first)
{
	struct phase *p = &w->phase[w->n++];

	if (norm->w->d.n_in != norm->src->n || !put_vector(w, &p->g, norm->w) || m->add ||
	    m->n_parts != 1 || m->src != norm->dst || norm->dst == norm->src)
		return false;
	w->normed = norm->src->n > w->normed ? norm->src->n : w->normed;
	p->kind = PHASE_PRODUCT;
	p->input = INPUT_NORM;
	p->eps = norm->eps;
	p->x = floats_at(norm->src);
	p->n_in = (int)norm->src->n;
	if (!is_eight(w, m->part[0].w))
		return !w->router_eight && put_part(w, p, &m->part[0]);
	if ((w->route != first && !w->router_eight) || m->part[0].b)
		return false;
	w->router_eight = true;
	p->kind = PHASE_ROUTER;
	return put_chunks(w, p, &m->part[0]) && p->parts == 1;
}

static bool take_gates(struct walk *w, const struct phase *router, const struct op *m,
                       const struct op *glu)
{
	struct phase *p = &w->phase[w->n++];

	p->kind = PHASE_EXPERTS;
	p->input = INPUT_NORM;
	p->g = router->g;
	p->eps = router->eps;
	p->x = router->x;
	p->n_in = router->n_in;
	p->k = router->part[0].y;
	p->y = floats_at(glu->dst);
	if (m->n_parts != 2 || glu->src != m->part[0].dst || glu->src2 != m->part[1].dst ||
	    glu->src == glu->src2 || (w->gated && w->act != glu->act))
		return false;
	w->gated = true;
	w->act = glu->act;
	return put_stack(w, p, &m->part[0]) && put_stack(w, p, &m->part[1]) &&
	       p->part[0].n == p->part[1].n;
}

static bool take_sum(struct walk *w, const struct phase *router, const struct op *m,
                     const struct op *mix)
{
	struct phase *p = &w->phase[w->n++];

	p->kind = PHASE_MIX;
	p->k = router->part[0].y;
	p->input = w->o->half ? INPUT_HALF : INPUT_F32;
	p->x = floats_at(m->src);
	p->n_in = (int)m->part[0].w->d.n_in;
	if (m->n_parts != 1 || mix->src != m->part[0].dst || !put_stack(w, p, &m->part[0]))
		return false;
	p->y = floats_at(mix->dst);
	return m->src->n == (size_t)p->n_in * m->n_used;
}

bool take_mixture(struct walk *w)
{
	static const enum op_kind kinds[] = {
		OP_NORM_RMS, OP_MATMUL, OP_ROUTE, OP_EXPERTS, OP_GLU, OP_EXPERTS, OP_MIX,
	};
	enum { NORM, ROUTER, ROUTE, GATES, GLU, DOWN, MIX, N };
	const struct op *o[N];
	const struct phase *router = &w->phase[w->n];

	for (size_t i = 0; i < N; i++) {
		o[i] = op_at(w, w->i + i);
		if (o[i]->kind != kinds[i])
			return false;
	}
	w->i += N;
	if (o[ROUTE]->src != o[ROUTER]->part[0].dst || o[GATES]->src != o[NORM]->dst ||
	    o[GATES]->src2 != o[ROUTE]->dst || o[DOWN]->src2 != o[ROUTE]->dst ||
	    o[MIX]->src2 != o[ROUTE]->dst || o[DOWN]->src != o[GLU]->dst ||
	    o[MIX]->dst != o[NORM]->src || !same_route(w, o[ROUTE]))
		return false;
	for (size_t i = NORM; i < MIX; i++) {
		if (o[i]->dst && !done_with(w, o[i]->dst, w->i))
			return false;
		for (size_t k = 0; k < o[i]->n_parts; k++)
			if (!done_with(w, o[i]->part[k].dst, w->i))
				return false;
	}
	return take_router(w, o[NORM], o[ROUTER], o[ROUTE]) &&
	       take_gates(w, router, o[GATES], o[GLU]) && take_sum(w, router, o[DOWN], o[MIX]);
}

const char *mixture_options(const struct walk *w, char *out, size_t room)
{
	const struct routing *r;

	*out = 0;
	if (!w->route)
		return out;
	r = &w->route->routing;
	snprintf(out, room, " -DUSED=%zu -DN_EXPERTS=%zu -DSCALE=%af%s%s%s", r->k, w->n_experts,
	         (double)r->scale, r->normalize ? " -DNORMALIZE" : "",
	         r->score == SCORE_CHOSEN ? " -DCHOSEN_SCORE" : "",
	         w->router_eight ? " -DROUTER_EIGHT" : "");
	return out;
}
