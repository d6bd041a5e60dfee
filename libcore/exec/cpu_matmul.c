/* SPDX-License-Identifier: MIT */
/* cpu_matmul.c - products that share one input, on all threads at once.
 *
 * The input is prepared once for each way in which the parts read it; then
 * the rows of all parts are shared out as one range. */
#include <string.h>

#include "exec/cpu.h"

enum {
	VEC_ROWS = 16,         /* weight rows of an item, one token */
	FEW_ROWS = 16,         /* few tokens */
	TILE_ROWS = 32,        /* many tokens */
	TILE_TOKENS = 128,
	CODES_FROM = 32,       /* tokens that the matrix unit takes as codes */
	ALONE = 16384,         /* inputs that are prepared faster than shared out */
};

/* How a part reads the input. */
struct input {
	const struct cpu_affine *rows;   /* NULL: floats */
	bool exact;
	bool split;            /* as pairs of bf16 */
	bool fast;             /* in 8 bits */
	size_t n_tiles;        /* of panels, that an item has */
	size_t chunk;          /* inputs of a chunk */
	size_t n_chunks;
	size_t token_bytes;    /* prepared */
	size_t chunk_bytes;    /* of a token's chunk */
	size_t first;          /* bytes before it in the room, a token */
};
struct part {
	struct input in;
	const struct weight *w;
	struct slot *dst;
	const float *bias;
	int flags;
};
struct plan {
	struct part part[OP_PARTS];
	bool own;              /* one token: each thread prepares the input for itself */
};

struct job {
	const struct cpu_run *run;
	const struct plan *plan;
	size_t n_parts, n_rows, few;
	size_t n_room;         /* rows that the prepared inputs have room for */
	uint64_t own;          /* the job's number; 0: the threads share prepared inputs */
	const float *x;
	size_t end[OP_PARTS];  /* items of the parts so far */
};

const struct cpu_affine *cpu_affine_rows(const struct cpu *d, const struct weight_desc *w)
{
	static const int bits_row[] = { [2] = 0, [3] = 1, [4] = 2, [5] = 3, [6] = 4, [8] = 5 };
	size_t group = 0;

	for (unsigned g = 16; g < w->group; g *= 2)
		group++;
	return &d->rows->affine[bits_row[w->bits]][group];
}

/* ---- many tokens: lanes are tokens, as kernels/cpu/panel.cl says */
static struct cpu_panel panel_of(const struct cpu *d, const struct input *in,
                                 const struct weight_desc *w)
{
	return (struct cpu_panel){ (size_t)d->rows->width, w->n_in, w->n_out,
	                           in->rows ? w->group : 0, in->fast ? 4 : 2 };
}

static void choose_input(struct input *in, const struct exec *x, const struct weight_desc *w)
{
	const struct cpu *d = x->device;
	size_t width = (size_t)d->rows->width, vectors;
	struct cpu_panel panel;

	in->rows = w->form == FORM_AFFINE ? cpu_affine_rows(d, w) : NULL;
	in->exact = in->rows && (x->flags & EXEC_EXACT);
	in->split = d->rows->split_tile && w->form == FORM_FLOAT && w->dtype != DT_F32 &&
	            !(x->flags & EXEC_EXACT);
	in->chunk = in->rows ? w->group * width : in->split ? CPU_SPLIT_STEP : CPU_FLOAT_CHUNK;
	in->n_chunks = (w->n_in + in->chunk - 1) / in->chunk;
	vectors = !in->rows ? in->chunk / width : in->exact ? w->group : w->group / 2 + 2;
	/* one more: the vectors of a lane of a panel are made odd */
	in->token_bytes = (in->n_chunks * vectors + 1) * width * sizeof(float);
	in->chunk_bytes = vectors * width * sizeof(float);
	in->fast = in->rows && (x->flags & EXEC_FAST) && !in->exact && !d->rows->codes_tile &&
	           w->bits <= d->rows->fast_bits;
	panel = panel_of(d, in, w);
	in->n_tiles = cpu_panel_tiles(&panel, (size_t)pool_threads(d->pool));
}

/* Weights of one form read alike; floats do whatever their type, but in the
 * matrix unit as pairs. */
static bool same_input(const struct input *a, const struct input *b)
{
	return a->rows == b->rows && a->exact == b->exact && a->split == b->split &&
	       a->fast == b->fast;
}

/* Bytes of a thread's own memory for a block of the part. */
static size_t own_bytes(const struct cpu *d, const struct part *p, size_t rows)
{
	const struct input *in = &p->in;
	size_t width = (size_t)d->rows->width * sizeof(float), n, codes = 0, panels;
	struct cpu_panel panel = panel_of(d, in, &p->w->d);

	if (in->split)
		return 32 * (CPU_SPLIT_CHUNK + rows + 32) * sizeof(uint32_t);
	n = TILE_ROWS * (in->chunk_bytes + TILE_TOKENS * width);
	if (in->rows && d->rows->codes_tile)
		codes = (16 * p->w->d.n_in + 128 * p->w->d.n_in / p->w->d.group + 16384) *
		        sizeof(int);
	panels = cpu_panel_bytes(&panel, in->n_tiles);
	if (!in->exact && panels > n)
		n = panels;
	return n > codes ? n : codes;
}

/* Prepared inputs may be tiles of tokens. */
static size_t room_rows(size_t rows)
{
	return (rows + CPU_SIDE - 1) / CPU_SIDE * CPU_SIDE;
}

/* One token's input is so little work that each thread does it sooner than the lines
 * come that another wrote. */
static bool by_thread(const struct plan *plan, size_t n_parts)
{
	for (size_t i = 0; i < n_parts; i++) {
		const struct input *in = &plan->part[i].in;

		if (in->exact || in->split || in->n_chunks * in->chunk > ALONE)
			return false;
	}
	return true;
}

int cpu_matmul_plan(struct record *r, struct op *op, struct err *e)
{
	struct plan *plan = arena_new(&r->arena, 1, sizeof *plan, e);
	size_t rows = op->src->out ? r->max_out : r->max_rows, total = 0;

	if (!plan)
		return -1;
	op->plan = plan;
	for (size_t i = 0; i < op->n_parts; i++) {
		struct part *p = &plan->part[i];
		size_t k = 0;

		p->w = op->part[i].w;
		p->dst = op->part[i].dst;
		p->bias = op->part[i].b ? cpu_vector(op->part[i].b) : NULL;
		p->flags = (op->add ? CPU_ADD : 0) | (p->bias ? CPU_BIAS : 0);
		choose_input(&p->in, r->x, &p->w->d);
		while (k < i && !same_input(&plan->part[k].in, &p->in))
			k++;
		p->in.first = k < i ? plan->part[k].in.first : total;
		total += k < i ? 0 : p->in.token_bytes;
		if (cpu_own_room(r->x, own_bytes(r->x->device, p, rows), e) != 0)
			return -1;
	}
	plan->own = by_thread(plan, op->n_parts);
	if (plan->own && cpu_own_room(r->x, total, e) != 0)
		return -1;
	return cpu_room(r->x, &((struct cpu *)r->x->device)->inputs, total * room_rows(rows), e);
}

static void *prepared(const struct job *j, const struct input *in, void *own)
{
	unsigned char *from = j->own ? own : j->run->d->inputs.p;

	return from + in->first * j->n_room;
}

/* Whether the matrix unit takes the codes of this product. */
static bool by_codes(const struct job *j, const struct input *in)
{
	return in->rows && !in->exact && j->run->d->rows->codes_tile && j->n_rows >= CODES_FROM;
}

/* Whether rows are read again for each few tokens: faster than met by many. */
static bool by_few(const struct job *j, const struct input *in)
{
	return in->rows && !in->exact && !by_codes(j, in) && j->n_rows > 1 &&
	       j->n_rows <= j->run->d->rows->few_most;
}

/* Whether lanes are tokens: where few of them stay empty, as the other tile is
 * slower by less than that for codes, by more for floats. 8-bit inputs have
 * no other tile. */
static bool by_panels(const struct job *j, const struct input *in)
{
	size_t width = (size_t)j->run->d->rows->width;
	size_t full = (j->n_rows + width - 1) / width * width;

	if (in->exact || in->split || by_codes(j, in) || by_few(j, in))
		return false;
	if (in->rows && !in->fast && j->n_rows < j->run->d->rows->panels_from)
		return false;
	return j->n_rows > j->few && j->n_rows * 8 >= full * (in->rows ? 7 : 6);
}

struct prepare_job {
	const struct job *job;
	const struct part *part;
	void *q;
};

/* Item i of all, where each few tokens are prepared by themselves. */
static void prepare_few(const struct job *j, const struct input *in, size_t i, int *q, int n_in,
                        int most)
{
	size_t block = j->few * in->n_chunks, first = i / block * j->few;
	size_t n = j->n_rows - first < j->few ? j->n_rows - first : j->few;

	in->rows->prepare(i % block, j->x, first * (size_t)n_in, q,
	                  first * in->n_chunks * in->chunk_bytes / sizeof *q, (int)n, n_in, most);
}

static void few_item(const struct job *j, const struct part *p, size_t item, void *own)
{
	const struct weight_desc *w = &p->w->d;
	size_t row = p->in.n_chunks * p->in.chunk_bytes / sizeof(int);
	float *y = cpu_slot(j->run->d, p->dst);

	for (size_t first = 0; first < j->n_rows; first += j->few) {
		size_t n = j->n_rows - first < j->few ? j->n_rows - first : j->few;

		p->in.rows->few(item, w->data, 0, w->scales, 0, w->biases, 0, cpu_stored(w->dtype),
		                prepared(j, &p->in, own), first * row, y, first * w->n_out, p->bias, 0,
		                p->flags, (int)n, (int)w->n_out, (int)w->n_in, FEW_ROWS, own);
	}
}

static void prepare_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct prepare_job *p = arg;
	const struct input *in = &p->part->in;
	const struct cpu_rows *rows = p->job->run->d->rows;
	const float *x = p->job->x;
	void *q = p->q;
	int n_rows = (int)p->job->n_rows, n_in = (int)p->part->w->d.n_in;
	int most = in->fast ? CPU_MOST_FAST : CPU_MOST;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		if (by_panels(p->job, in) && in->rows)
			rows->panel_prepare_codes(i, x, 0, q, 0, n_rows, n_in,
			                          (int)p->part->w->d.bits, (int)p->part->w->d.group,
			                          in->fast, most);
		else if (by_panels(p->job, in))
			rows->panel_prepare_float(i, x, 0, q, 0, n_rows, n_in);
		else if (in->split)
			rows->split_prepare(i, x, 0, q, 0, n_rows, n_in);
		else if (!in->rows)
			rows->float_prepare(i, x, 0, q, 0, n_rows, n_in);
		else if (by_codes(p->job, in))
			rows->codes_prepare(i, x, 0, q, 0, n_rows, n_in,
			                    (int)p->part->w->d.group);
		else if (in->exact)
			in->rows->prepare_exact(i, x, 0, q, 0, n_rows, n_in);
		else if (by_few(p->job, in))
			prepare_few(p->job, in, i, q, n_in, most);
		else if (n_rows == 1)
			in->rows->prepare_one(i, x, 0, q, 0, n_rows, n_in, most);
		else
			in->rows->prepare(i, x, 0, q, 0, n_rows, n_in, most);
}

/* Items that prepare the input. */
static size_t count_prepare(const struct job *j, const struct part *p)
{
	const struct input *in = &p->in;
	struct cpu_panel panel = panel_of(j->run->d, in, &p->w->d);

	if (by_panels(j, in))
		return cpu_panel_items(&panel, j->n_rows);
	return in->n_chunks * (in->split || by_codes(j, in) ? j->n_room / CPU_SIDE : j->n_rows);
}

/* By all threads, or all of it by one into its own memory. */
static void prepare(const struct job *j, void *own, int thread)
{
	const struct cpu *d = j->run->d;

	for (size_t i = 0; i < j->n_parts; i++) {
		const struct input *in = &j->plan->part[i].in;
		struct prepare_job p = { j, &j->plan->part[i], prepared(j, in, own) };
		size_t n = count_prepare(j, p.part), k = 0;
		bool alone = in->n_chunks * in->chunk * j->n_rows <= ALONE;

		while (!same_input(&j->plan->part[k].in, in))
			k++;
		if (k != i)
			continue;
		if (j->own)
			prepare_items(&p, 0, n, thread);
		else
			pool_for(d->pool, n, alone ? n : cpu_grain(d, n), prepare_items, &p);
	}
}

static void affine_item(const struct job *j, const struct part *p, size_t item, void *own)
{
	const struct weight_desc *w = &p->w->d;
	const struct cpu_affine *rows = p->in.rows;
	const int *q = prepared(j, &p->in, own);
	float *y = cpu_slot(j->run->d, p->dst);
	int n_out = (int)w->n_out, n_in = (int)w->n_in, n_rows = (int)j->n_rows;
	int type = cpu_stored(w->dtype);

	if (by_panels(j, &p->in))
		j->run->d->rows->panel_codes(item, w->data, 0, w->scales, 0, w->biases, 0, type, q, 0,
		                             y, 0, p->bias, 0, p->flags, n_rows, n_out, n_in,
		                             (int)w->bits, (int)w->group, p->in.fast,
		                             (int)p->in.n_tiles, own);
	else if (p->in.exact)
		rows->exact(item, w->data, 0, w->scales, 0, w->biases, 0, type, q, 0, y, 0, p->bias,
		            0, p->flags, n_rows, n_out, n_in, TILE_ROWS, TILE_TOKENS, own);
	else if (by_codes(j, &p->in))
		j->run->d->rows->codes_tile(item, w->data, 0, w->scales, 0, w->biases, 0, type, q, 0, y,
		                            0, p->bias, 0, p->flags, n_rows, n_out, n_in,
		                            (int)w->bits, (int)w->group, own);
	else if (n_rows == 1)
		rows->vec(item, w->data, 0, w->scales, 0, w->biases, 0, type, q, 0, y, 0, p->bias, 0,
		          p->flags | j->run->d->fetch, n_rows, n_out, n_in, VEC_ROWS);
	else if (by_few(j, &p->in))
		few_item(j, p, item, own);
	else
		rows->tile(item, w->data, 0, w->scales, 0, w->biases, 0, type, q, 0, y, 0, p->bias,
		           0, p->flags, n_rows, n_out, n_in, TILE_ROWS, TILE_TOKENS, own);
}

static void float_item(const struct job *j, const struct part *p, size_t item, void *own)
{
	const struct weight_desc *w = &p->w->d;
	const struct cpu_rows *rows = j->run->d->rows;
	const float *q = prepared(j, &p->in, own);
	float *y = cpu_slot(j->run->d, p->dst);
	int n_out = (int)w->n_out, n_in = (int)w->n_in, n_rows = (int)j->n_rows;
	int type = cpu_stored(w->dtype);

	if (by_panels(j, &p->in))
		rows->panel_float(item, w->data, 0, type, q, 0, y, 0, p->bias, 0, p->flags, n_rows,
		                  n_out, n_in, (int)p->in.n_tiles, own);
	else if (p->in.split)
		rows->split_tile(item, w->data, 0, type, prepared(j, &p->in, own), 0, y, 0, p->bias, 0,
		                 p->flags, n_rows, n_out, n_in, own);
	else if (n_rows == 1)
		rows->float_vec(item, w->data, 0, type, q, 0, y, 0, p->bias, 0, p->flags, n_rows,
		                n_out, n_in, VEC_ROWS);
	else
		rows->float_tile(item, w->data, 0, type, q, 0, y, 0, p->bias, 0, p->flags, n_rows,
		                 n_out, n_in, TILE_ROWS, TILE_TOKENS, own);
}

static void product_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	struct cpu_own *head = cpu_own_head(j->run->d, thread);
	void *own = cpu_own(j->run->d, thread);
	size_t k = 0;

	if (j->own && head->job != j->own) {
		prepare(j, own, thread);
		head->job = j->own;
	}
	for (size_t i = begin; i < end; i++) {
		const struct part *p;

		while (i >= j->end[k])
			k++;
		p = &j->plan->part[k];
		if (p->in.rows)
			affine_item(j, p, i - (k ? j->end[k - 1] : 0), own);
		else
			float_item(j, p, i - (k ? j->end[k - 1] : 0), own);
	}
}

static size_t count_items(const struct job *j, const struct part *p)
{
	size_t block = TILE_ROWS, tokens = (j->n_rows + TILE_TOKENS - 1) / TILE_TOKENS;

	if (by_panels(j, &p->in)) {
		block = cpu_panel_rows((size_t)j->run->d->rows->width) * p->in.n_tiles;
		return (p->w->d.n_out + block - 1) / block;
	}
	if (p->in.split)
		return cpu_split_items(p->w->d.n_out, j->n_rows);
	if (by_codes(j, &p->in))
		return (p->w->d.n_out + CPU_CODES_ROWS - 1) / CPU_CODES_ROWS;
	if (j->n_rows == 1 && !p->in.exact)
		block = VEC_ROWS;
	else if (by_few(j, &p->in))
		block = FEW_ROWS;
	return (p->w->d.n_out + block - 1) / block * tokens;
}

void cpu_matmul(const struct cpu_run *run, const struct op *op)
{
	struct job j = {
		.run = run,
		.plan = op->plan,
		.n_parts = op->n_parts,
		.n_rows = slot_rows(op->src, run->s),
		.few = run->d->rows->width == 16 ? 8 : 4,
		.x = cpu_slot(run->d, op->src),
	};
	const struct exec_tap *tap = run->r->x->tap;
	size_t n = 0;

	if (!j.n_rows)
		return;
	if (j.n_rows == 1 && j.plan->own) {
		j.own = ++run->d->n_jobs;
		j.n_room = 1;
	} else {
		j.n_room = room_rows(j.n_rows);
		prepare(&j, NULL, 0);
	}
	for (size_t i = 0; i < op->n_parts; i++)
		j.end[i] = n += count_items(&j, &j.plan->part[i]);
	/* an item of panels is much work */
	pool_for(run->d->pool, n, by_panels(&j, &j.plan->part[0].in) ? 1 : cpu_grain(run->d, n),
	         product_items, &j);
	for (size_t i = 0; tap && i < op->n_parts; i++)
		tap->product(tap->arg, op->part[i].w->d.name, i, j.n_rows, j.x, op->src->n,
		             cpu_slot(run->d, op->part[i].dst), op->part[i].dst->n);
}
