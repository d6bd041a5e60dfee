/* SPDX-License-Identifier: MIT */
/* cpu_run.c - the list of ops, walked once a step. What is too little work
 * to share out stays with the caller. */
#include <string.h>

#include "exec/cpu.h"
#include "exec/route.h"

enum {
	ALONE = 16384,         /* elements that one thread does faster alone */
	ROW_TILE = 8,          /* rows that share a pass over their keys */
	BUSY = 2,              /* items a thread that make splitting a context needless */
};

struct job {
	const struct cpu_run *run;
	const struct op *op;
	size_t n;              /* of what the op counts */
	size_t n_spans;
};

/* n items of `size` elements each. */
static void share(struct job *j, size_t n, size_t size,
                  void (*work)(void *arg, size_t begin, size_t end, int thread))
{
	const struct cpu *d = j->run->d;

	if (n)
		pool_for(d->pool, n, n * size <= ALONE ? n : cpu_grain(d, n), work, j);
}

static void embed_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct weight_desc *w = &j->op->w->d;
	size_t row = weight_row_bytes(w), scale = weight_scale_bytes(w);

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		size_t token = (size_t)(j->op->by_position ? j->run->s->pos : j->run->s->token)[i];
		const unsigned char *p = (const unsigned char *)w->data + token * row;
		float *out = cpu_slot(j->run->d, j->op->dst) + i * w->n_in;

		if (w->form == FORM_AFFINE)
			affine_dequantize_row(out, p, (const unsigned char *)w->scales + token * scale,
			                      (const unsigned char *)w->biases + token * scale,
			                      w->dtype, w->n_in, w->bits, w->group);
		else
			dtype_to_f32(w->dtype, out, p, w->n_in);
	}
}

static void run_embed(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, run->s->n_rows, op->dst->n, embed_rows);
}

static void norm_runs(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		d->rows->norm_rms(i, cpu_slot(d, j->op->src), 0, cpu_slot(d, j->op->dst), 0,
		                  cpu_vector(j->op->w), 0, (int)j->op->w->d.n_in, j->op->eps);
}

static void run_norm_rms(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };
	size_t n = op->w->d.n_in;

	share(&j, slot_rows(op->dst, run->s) * (op->dst->n / n), n, norm_runs);
}

static void rope_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct op *op = j->op;
	const struct rope *rope = &j->run->r->rope[op->rope];

	(void)thread;
	for (size_t i = begin; i < end; i++)
		j->run->d->rows->rope(i, cpu_slot(j->run->d, op->dst), 0,
		                      j->run->angles[op->rope], 0, (int)op->n_heads,
		                      (int)op->head_dim, (int)rope->dims, rope->interleaved);
}

static void run_rope(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, run->s->n_rows, op->dst->n, rope_rows);
}

static void glu_blocks(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		d->rows->glu(i, cpu_slot(d, j->op->src), 0, cpu_slot(d, j->op->src2), 0,
		             cpu_slot(d, j->op->dst), 0, j->n, (int)j->op->act);
}

static void run_glu(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op, .n = slot_rows(op->dst, run->s) * op->dst->n };

	share(&j, (j.n + CPU_BLOCK - 1) / CPU_BLOCK, CPU_BLOCK, glu_blocks);
}

static void add_blocks(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		d->rows->add(i, cpu_slot(d, j->op->src), 0, cpu_slot(d, j->op->dst), 0, j->n);
}

static void run_add(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op, .n = slot_rows(op->dst, run->s) * op->dst->n };

	share(&j, (j.n + CPU_BLOCK - 1) / CPU_BLOCK, CPU_BLOCK, add_blocks);
}

static void scale_blocks(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		d->rows->scale(i, cpu_slot(d, j->op->dst), 0, j->n, j->op->scale, j->op->cap);
}

static void run_scale(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op, .n = slot_rows(op->dst, run->s) * op->dst->n };

	share(&j, (j.n + CPU_BLOCK - 1) / CPU_BLOCK, CPU_BLOCK, scale_blocks);
}

static void pick_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;
	size_t n = j->op->dst->n;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		memcpy(cpu_slot(d, j->op->dst) + i * n,
		       cpu_slot(d, j->op->src) + (size_t)j->run->s->out[i] * n, n * sizeof(float));
}

static void run_pick(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, run->s->n_out, op->dst->n, pick_rows);
}

static void gain_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;

	(void)thread;
	gain_rows(cpu_slot(j->run->d, j->op->dst), j->op, j->run->s, begin, end);
}

static void run_gain(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, slot_rows(op->dst, run->s), op->dst->n, gain_items);
}

static void copy_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct copy *c = &j->op->copy;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		for (size_t h = 0; h < c->n_runs; h++)
			memcpy(cpu_slot(j->run->d, j->op->dst) + i * j->op->dst->n + h * c->to_step + c->to,
			       cpu_slot(j->run->d, j->op->src) + i * j->op->src->n +
			               h * c->from_step + c->from,
			       c->n * sizeof(float));
}

static void run_copy(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, slot_rows(op->dst, run->s), op->copy.n * op->copy.n_runs, copy_rows);
}

/* ---- experts */
static void route_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct op *op = j->op;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		route_row(cpu_slot(j->run->d, op->dst) + i * op->dst->n,
		          cpu_slot(j->run->d, op->src) + i * op->src->n,
		          op->w ? cpu_vector(op->w) : NULL, op->src->n, &op->routing);
}

static void run_route(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, slot_rows(op->dst, run->s), op->src->n * op->routing.k, route_rows);
}

/* Item: a row; sums in the order of the runs. */
static void mix_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct op *op = j->op;
	size_t n = op->dst->n;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		const float *x = cpu_slot(j->run->d, op->src) + i * op->src->n;
		const float *weight = cpu_slot(j->run->d, op->src2) + i * op->src2->n + op->n_used;
		float *y = cpu_slot(j->run->d, op->dst) + i * n;

		for (size_t u = 0; u < op->n_used; u++, x += n)
			for (size_t k = 0; k < n; k++)
				y[k] += weight[u] * x[k];
	}
}

static void run_mix(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };

	share(&j, slot_rows(op->dst, run->s), op->src->n, mix_rows);
}

/* ---- the cache: kernels are given the table of one sequence, stride 0 */
static const int32_t *table_of(const struct cpu_run *run, const struct exec_kv_layer *l, size_t row)
{
	const struct step *s = run->s;

	return s->pages[l->group * s->n_seqs + (size_t)s->seq[row]];
}

static void kv_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu_run *run = j->run;
	const struct exec_kv *kv = run->r->kv;
	const struct exec_kv_layer *l = &kv->layer[j->op->layer];
	const struct cpu_kv *pages = (const struct cpu_kv *)kv->device + j->op->layer;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		run->d->rows->kv_write(i, cpu_slot(run->d, j->op->src), 0,
		                       cpu_slot(run->d, j->op->src2), 0, pages->keys, 0,
		                       pages->values, 0, cpu_stored(kv->dtype), run->s->pos,
		                       run->s->seq, table_of(run, l, i / l->n_heads), 0,
		                       (int)l->n_heads, (int)l->k_dim,
		                       l->v_in_k ? 0 : (int)l->v_dim);
}

static void run_kv_write(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };
	const struct exec_kv_layer *l = &run->r->kv->layer[op->layer];

	share(&j, run->s->n_rows * l->n_heads, l->k_dim + l->v_dim, kv_rows);
}

static size_t state_floats(const struct exec_kv_layer *l)
{
	return CPU_STATE_HEAD + (l->v_dim + 15) / 16 * 16;
}

/* Spans that a row at this position sees. */
static size_t count_spans(size_t pos, size_t window)
{
	size_t first = window && pos >= window ? pos - window + 1 : 0;

	return pos / CPU_SPAN - first / CPU_SPAN + 1;
}

int cpu_attention_plan(struct record *r, struct op *op, struct err *e)
{
	struct cpu *d = r->x->device;
	const struct exec_kv_layer *l = &r->kv->layer[op->layer];
	size_t group = op->n_heads / l->n_heads, state = state_floats(l) * sizeof(float);
	size_t most = count_spans(r->kv->n_pages[l->group] * PAGE_POSITIONS, op->att.window) + 1;
	size_t items = (size_t)pool_threads(d->pool) * BUSY;

	if (cpu_own_room(r->x, ROW_TILE * group * 2 * state, e) != 0)
		return -1;
	return cpu_room(r->x, &d->parts, (items + l->n_heads) * group * most * state, e);
}

static const float *sinks_of(const struct op *op)
{
	return op->att.sinks ? cpu_vector(op->att.sinks) : NULL;
}

static void attention_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu_run *run = j->run;
	const struct op *op = j->op;
	const struct exec_kv *kv = run->r->kv;
	const struct exec_kv_layer *l = &kv->layer[op->layer];
	const struct cpu_kv *pages = (const struct cpu_kv *)kv->device + op->layer;

	for (size_t i = begin; i < end; i++) {
		size_t row = i / (j->n_spans ? j->n_spans : 1) / l->n_heads * j->n;

		run->d->rows->attention(i, cpu_slot(run->d, op->src), 0, cpu_slot(run->d, op->dst),
		                        0, pages->keys, 0, l->v_in_k ? NULL : pages->values, 0,
		                        cpu_stored(kv->dtype),
		                        run->s->pos, run->s->seq, table_of(run, l, row), 0,
		                        (int)run->s->n_rows, (int)op->n_heads, (int)l->n_heads,
		                        (int)l->k_dim, (int)l->v_dim, op->att.scale,
		                        op->att.softcap, (int)op->att.window, (int)j->n, (int)j->n_spans,
		                        (float *)(void *)run->d->parts.p, 0, sinks_of(op),
		                        cpu_own(run->d, thread));
	}
}

static void merge_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu_run *run = j->run;
	const struct op *op = j->op;

	for (size_t i = begin; i < end; i++)
		run->d->rows->attention_merge(i, (float *)(void *)run->d->parts.p, 0,
		                              cpu_slot(run->d, op->dst), 0, run->s->pos,
		                              (int)op->n_heads,
		                              (int)run->r->kv->layer[op->layer].v_dim,
		                              (int)op->att.window, (int)j->n_spans, sinks_of(op),
		                              cpu_own(run->d, thread));
}

/* Rows that can share a pass: the whole step is one sequence's. */
static size_t row_tile(const struct step *s)
{
	for (size_t i = 1; i < s->n_rows; i++)
		if (s->seq[i] != s->seq[0])
			return 1;
	return s->n_rows < ROW_TILE ? s->n_rows : ROW_TILE;
}

void cpu_attention(const struct cpu_run *run, const struct op *op)
{
	const struct exec_kv_layer *l = &run->r->kv->layer[op->layer];
	const struct step *s = run->s;
	struct job j = { .run = run, .op = op, .n = 1 };
	size_t spans = 0, seen = 0, items = s->n_rows * l->n_heads;
	size_t busy = (size_t)pool_threads(run->d->pool) * BUSY;

	for (size_t i = 0; i < s->n_rows; i++) {
		size_t n = count_spans((size_t)s->pos[i], op->att.window);

		spans = n > spans ? n : spans;
		seen += n;
	}
	if (items < busy && spans > 1) {
		j.n_spans = spans;
		share(&j, items * spans, ALONE, attention_items);
		share(&j, s->n_rows * op->n_heads, spans * l->v_dim, merge_items);
		return;
	}
	j.n = row_tile(s);
	items = (s->n_rows + j.n - 1) / j.n * l->n_heads;
	share(&j, items, seen * CPU_SPAN * l->k_dim / (s->n_rows + 1) * j.n, attention_items);
}

static void (*const ops[OP_COUNT])(const struct cpu_run *, const struct op *) = {
	[OP_EMBED] = run_embed,
	[OP_NORM_RMS] = run_norm_rms,
	[OP_MATMUL] = cpu_matmul,
	[OP_ROPE] = run_rope,
	[OP_KV_WRITE] = run_kv_write,
	[OP_ATTENTION] = cpu_attention,
	[OP_GLU] = run_glu,
	[OP_ADD] = run_add,
	[OP_SCALE] = run_scale,
	[OP_PICK] = run_pick,
	[OP_CONV] = cpu_conv,
	[OP_DECAY] = cpu_decay,
	[OP_DELTA] = cpu_delta,
	[OP_GAIN] = run_gain,
	[OP_NORM_LAYER] = cpu_norm_layer,
	[OP_ACT] = cpu_act,
	[OP_ENCODE] = cpu_encode,
	[OP_COPY] = run_copy,
	[OP_ROUTE] = run_route,
	[OP_EXPERTS] = cpu_experts,
	[OP_MIX] = run_mix,
};

int cpu_plan(struct record *r, struct err *e)
{
	struct cpu *d = r->x->device;

	for (size_t i = 0; i < r->n_ops; i++) {
		struct op *op = &r->op[i];

		if (op->kind == OP_MATMUL && cpu_matmul_plan(r, op, e) != 0)
			return -1;
		if (op->kind == OP_ENCODE && cpu_encode_plan(r, e) != 0)
			return -1;
		if (op->kind == OP_EXPERTS && cpu_experts_plan(r, op, e) != 0)
			return -1;
		if (op->kind == OP_ATTENTION && cpu_attention_plan(r, op, e) != 0)
			return -1;
	}
	return cpu_room(r->x, &d->slots, r->scratch_bytes, e);
}

int cpu_run(struct record *r, const struct step *s, const float *const *angles, struct err *e)
{
	struct cpu_run run = { .d = r->x->device, .r = r, .s = s, .angles = angles };

	(void)e;
	for (size_t i = 0; i < r->n_ops; i++)
		ops[r->op[i].kind](&run, &r->op[i]);
	return 0;
}
