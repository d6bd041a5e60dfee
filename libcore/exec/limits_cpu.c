/* SPDX-License-Identifier: MIT */
/* limits_cpu.c - what all threads of a CPU do at most: reading from memory,
 * products of the rows' instruction set, and sharing out no work at all. */
#include <string.h>

#include "exec/cpu.h"
#include "exec/limits.h"

enum { CHUNK = 4 << 20, MEMORY = 256 << 20, LOOPS = 400000, EMPTY = 100, OUTS = 4096 };

/* The kernels of kernels/cpu/limits.cl for an instruction set. */
typedef void read_kernel(size_t item, const unsigned char *p, uint64_t n, float *out);
typedef void work_kernel(size_t item, int zero, int n, float *out);
struct limit_rows {
	const char *isa;
	read_kernel *read;
	work_kernel *fma, *dot16, *dot8;
};
#define DECLARE(isa) \
	extern read_kernel limit_read_##isa; \
	extern work_kernel limit_fma_##isa, limit_dot16_##isa, limit_dot8_##isa
#define ROWS(name, isa) \
	{ name, limit_read_##isa, limit_fma_##isa, limit_dot16_##isa, limit_dot8_##isa }

DECLARE(plain);
#if defined(__x86_64__)
DECLARE(v2);
DECLARE(v3);
DECLARE(v4);
DECLARE(v4vnni);
#endif

/* by the names of cpu_rows.c; the last serves all others */
static const struct limit_rows rows[] = {
#if defined(__x86_64__)
	ROWS("v2", v2),
	ROWS("v3", v3),
	ROWS("v4", v4),
	ROWS("v4vnni", v4vnni),
	ROWS("v4amx", v4vnni),
#endif
	ROWS("plain", plain),
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const struct limit_rows *find(const char *isa)
{
	size_t i = 0;

	while (i + 1 < N_ROWS && strcmp(rows[i].isa, isa))
		i++;
	return &rows[i];
}

struct probe {
	struct cpu *d;
	size_t n_items;
	work_kernel *work;     /* NULL: read */
	read_kernel *read;
	float out[OUTS];
};

static void work_items(void *arg, size_t begin, size_t end, int thread)
{
	struct probe *p = arg;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		if (p->work)
			p->work(i, 0, LOOPS, p->out);
		else
			p->read(i, p->d->probe.p, CHUNK, p->out);
}

static int pass(void *arg, struct err *e)
{
	struct probe *p = arg;

	(void)e;
	pool_for(p->d->pool, p->n_items, 1, work_items, p);
	return 0;
}

static void nothing(void *arg, size_t begin, size_t end, int thread)
{
	(void)arg;
	(void)begin;
	(void)end;
	(void)thread;
}

static int empty_pass(void *arg, struct err *e)
{
	struct probe *p = arg;

	(void)e;
	for (int i = 0; i < EMPTY; i++)
		pool_for(p->d->pool, p->n_items, 1, nothing, p);
	return 0;
}

/* More than the last cache holds, and each page there is. */
static int open_probe(struct exec *x, struct err *e)
{
	struct cpu *d = x->device;
	size_t n = MEMORY;

	if (d->probe.p)
		return 0;
	if (d->last_cache > n / 4)
		n = d->last_cache * 4;
	if (n > (size_t)CHUNK * OUTS)
		n = (size_t)CHUNK * OUTS;
	if (x->info.memory && n > x->info.memory / 8)
		n = x->info.memory / 8;
	n = n / CHUNK * CHUNK + !(n / CHUNK) * CHUNK;
	if (cpu_room(x, &d->probe, n, e) != 0)
		return -1;
	memset(d->probe.p, 1, n);
	return 0;
}

/* Operations of a pass. */
static double operations(const struct probe *p, enum limit what)
{
	double lanes = (double)p->d->rows->width * CPU_LIMIT_CHAINS * LOOPS * (double)p->n_items;

	return lanes * (what == LIMIT_FMA ? 2 : what == LIMIT_DOT16 ? 4 : 8);
}

int cpu_limit(struct exec *x, enum limit what, double *value, struct err *e)
{
	struct cpu *d = x->device;
	const struct limit_rows *k = find(d->rows->name);
	struct probe p = { .d = d, .n_items = (size_t)pool_threads(d->pool), .read = k->read };
	double t;

	switch (what) {
	case LIMIT_READ:
		if (open_probe(x, e) != 0)
			return -1;
		p.n_items = d->probe.n / CHUNK;
		if (limit_time(&t, pass, &p, e) != 0)
			return -1;
		*value = (double)d->probe.n / t;
		return 0;
	case LIMIT_FMA:
		p.work = k->fma;
		break;
	case LIMIT_DOT16:
		p.work = k->dot16;
		break;
	case LIMIT_DOT8:
		p.work = k->dot8;
		break;
	case LIMIT_LAUNCH:
		if (limit_time(&t, empty_pass, &p, e) != 0)
			return -1;
		*value = t / EMPTY;
		return 0;
	default:
		return 0;
	}
	if (p.n_items > OUTS)
		p.n_items = OUTS;
	if (limit_time(&t, pass, &p, e) != 0)
		return -1;
	*value = operations(&p, what) / t;
	return 0;
}
