/* SPDX-License-Identifier: MIT */
/* ref.h - what the files of the ref backend share (private to exec/) */
#ifndef CLM_EXEC_REF_H
#define CLM_EXEC_REF_H

#include "exec/record.h"

struct ref {
	float *scratch;        /* the slots of the record that runs */
	size_t n_scratch;      /* bytes */
	float *row;            /* one row of a weight; then scores */
	size_t n_row;
};
struct ref_kv {            /* a layer's pages */
	unsigned char *keys, *values;
};

/* A row's place in a slot. */
float *ref_at(const struct record *r, const struct slot *s, size_t row);
/* A row of a weight as f32. */
void ref_row(float *out, const struct weight *w, size_t row);
double ref_activate(enum activation act, double x);

/* Ops of other files than ref.c. */
void ref_norm_layer(const struct record *r, const struct op *op, const struct step *s);
void ref_glu(const struct record *r, const struct op *op, const struct step *s);
void ref_act(const struct record *r, const struct op *op, const struct step *s);
void ref_encode(const struct record *r, const struct op *op, const struct step *s);
void ref_copy(const struct record *r, const struct op *op, const struct step *s);
void ref_route(const struct record *r, const struct op *op, const struct step *s);
void ref_experts(const struct record *r, const struct op *op, const struct step *s);
void ref_mix(const struct record *r, const struct op *op, const struct step *s);
void ref_decay(const struct record *r, const struct op *op, const struct step *s);
void ref_delta(const struct record *r, const struct op *op, const struct step *s);
void ref_conv(const struct record *r, const struct op *op, const struct step *s);

#endif
