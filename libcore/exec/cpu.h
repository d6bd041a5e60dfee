/* SPDX-License-Identifier: MIT */
/* cpu.h - what the files of the cpu backend share (private to exec/) */
#ifndef CLM_EXEC_CPU_H
#define CLM_EXEC_CPU_H

#include "exec/cpu_rows.h"
#include "exec/record.h"
#include "util/thread.h"

/* Memory that all records of a device use, as large as the largest needs. */
struct cpu_room {
	unsigned char *p;
	size_t n;
};

struct cpu {
	const struct cpu_rows *rows;
	struct pool *pool;
	struct cpu_room slots;     /* activations */
	struct cpu_room inputs;    /* prepared inputs of one product */
	struct cpu_room parts;     /* attention's states of spans */
	struct cpu_room own;       /* each thread's own */
	size_t n_own;              /* bytes a thread */
	uint64_t n_jobs;           /* products of one token so far */
	size_t last_cache;         /* bytes; 0: not known */
	size_t weight_bytes;       /* of all matrices */
	int fetch;                 /* flags of one token's products, by that */
	struct cpu_room probe;     /* what limits read; from the first measure on */
};

/* Pages of one layer, as kernels/cpu/cache.clh says. */
struct cpu_kv {
	unsigned char *keys, *values;
};

/* A step on its way through the list. */
struct cpu_run {
	struct cpu *d;
	struct record *r;
	const struct step *s;
	const float *const *angles;
};

static inline float *cpu_slot(const struct cpu *d, const struct slot *s)
{
	return (float *)(void *)(d->slots.p + s->offset);
}

/* What lies before a thread's own memory: the last job it prepared inputs for there. */
struct cpu_own {
	_Alignas(64) uint64_t job;
};

static inline struct cpu_own *cpu_own_head(const struct cpu *d, int thread)
{
	return (void *)(d->own.p + (size_t)thread * d->n_own);
}

static inline void *cpu_own(const struct cpu *d, int thread)
{
	return cpu_own_head(d, thread) + 1;
}

/* Room for n bytes at least; what was there is lost. */
NEED int cpu_room(struct exec *x, struct cpu_room *room, size_t n, struct err *e);
/* Room for n bytes of every thread. */
NEED int cpu_own_room(struct exec *x, size_t n, struct err *e);
/* A FLOAT vector as f32. */
const float *cpu_vector(const struct weight *w);
/* The type's name in the kernels. */
int cpu_stored(enum dtype t);
/* A chunk of work for each thread, several times over. */
size_t cpu_grain(const struct cpu *d, size_t n_items);

/* The rows for codes of this width and group. */
const struct cpu_affine *cpu_affine_rows(const struct cpu *d, const struct weight_desc *w);
NEED int cpu_matmul_plan(struct record *r, struct op *op, struct err *e);
void cpu_matmul(const struct cpu_run *run, const struct op *op);
NEED int cpu_experts_plan(struct record *r, struct op *op, struct err *e);
void cpu_experts(const struct cpu_run *run, const struct op *op);
NEED int cpu_attention_plan(struct record *r, struct op *op, struct err *e);
void cpu_attention(const struct cpu_run *run, const struct op *op);
NEED int cpu_encode_plan(struct record *r, struct err *e);
void cpu_encode(const struct cpu_run *run, const struct op *op);
void cpu_norm_layer(const struct cpu_run *run, const struct op *op);
void cpu_act(const struct cpu_run *run, const struct op *op);
void cpu_decay(const struct cpu_run *run, const struct op *op);
void cpu_delta(const struct cpu_run *run, const struct op *op);
void cpu_conv(const struct cpu_run *run, const struct op *op);
NEED int cpu_plan(struct record *r, struct err *e);
NEED int cpu_run(struct record *r, const struct step *s, const float *const *angles,
                 struct err *e);

/* The cache's part of the backend's table. */
NEED int cpu_kv_open(struct exec_kv *k, struct err *e);
void cpu_kv_close(struct exec_kv *k);
NEED int cpu_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e);
NEED int cpu_kv_move(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first,
                     size_t n, void *keys, void *values, struct err *e);

NEED int cpu_limit(struct exec *x, enum limit what, double *value, struct err *e);

#endif
