/* SPDX-License-Identifier: MIT */
/* persist.h - the walk over a record's ops that makes phases of them (private
 * to exec/): cl_persist.c, cl_persist_meet.c, and for mixtures of experts
 * cl_persist_experts.c. */
#ifndef CLM_EXEC_PERSIST_H
#define CLM_EXEC_PERSIST_H

#include "exec/launch.h"
#include "exec/phase.h"

struct walk {
	struct record *r;
	struct opencl *d;
	struct persist *o;
	struct phase *phase;   /* room for one per op */
	size_t n;
	size_t i;              /* the op that is read next */
	const struct op *rope, *attention, *route; /* what all layers have alike */
	size_t n_experts;
	enum activation act;
	bool gated, head_norms;
	bool apart;            /* norms before products are phases */
	bool halves;           /* all products' inputs are f16 */
	bool router_eight;     /* routers of 8 bits where all else has 4 */
	size_t normed;         /* the longest input of a norm before a product */
	const struct slot *mixed; /* written by attention or a gate: f16 where slots are */
	char form[128];
};

const struct op *op_at(const struct walk *w, size_t i);
/* Whether nothing reads the slot from op i on before it is written anew. */
bool done_with(const struct walk *w, const struct slot *s, size_t i);
size_t floats_at(const struct slot *s);
bool put_vector(const struct walk *w, struct place *p, const struct weight *v);
/* Adds what a product reads and writes; false: more than a phase holds, or
 * weights of another form. */
bool put_part(struct walk *w, struct phase *p, const struct op_product *part);
/* The same for tiles of any form. */
bool put_chunks(const struct walk *w, struct phase *p, const struct op_product *part);

/* ---- cl_persist_meet.c: once all phases are there */
void phases_share(struct walk *w);
void phases_meet(struct walk *w);

/* ---- cl_persist_experts.c
 * Norm, router, choice, gates, and what they add to the residual. */
bool is_mixture(const struct walk *w);
bool take_mixture(struct walk *w);
/* What the kernel is told of it; "" where there is none. */
const char *mixture_options(const struct walk *w, char *out, size_t room);

#endif
