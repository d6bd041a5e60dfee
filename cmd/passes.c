/* SPDX-License-Identifier: MIT */
/* passes.c - a model's whole passes, timed: prompts and decode at depths
 * and batch sizes, time to the first token, memory */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "depth.h"

enum { ROWS = 512, MEMORY_PART = 2 };

struct passes {
	struct bench *b;
	struct model *m;
	struct kv_seq *seq[BENCH_BATCH];
	struct model_work work[BENCH_BATCH];
	struct ask ask[BENCH_BATCH];
	size_t n_seqs;         /* open */
	int32_t id[ROWS];
	struct depth before;
	/* the run being timed */
	size_t depth, batch, n;
	const float *logits;
};

/* ---- a run's sequences */

static void close_seqs(struct passes *p)
{
	while (p->n_seqs)
		kv_seq_close(p->seq[--p->n_seqs]);
}

/* `batch` sequences of `depth` positions each, whatever a run left. */
static int settle(struct passes *p, struct err *e)
{
	while (p->n_seqs > p->batch)
		kv_seq_close(p->seq[--p->n_seqs]);
	for (size_t i = 0; i < p->batch; i++) {
		if (i == p->n_seqs) {
			if (kv_seq_open(&p->seq[i], model_pool(p->m), e))
				return -1;
			p->n_seqs++;
		}
		if (kv_len(p->seq[i]) > p->depth)
			kv_rewind(p->seq[i], p->depth);
		if (depth_fill(&p->before, p->seq[i], p->depth, e))
			return -1;
	}
	return 0;
}

/* ---- runs */

static int32_t most_likely(const float *logits, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return (int32_t)best;
}

/* A prompt of n, and the first token after it. */
static int prompt_run(void *arg, double *seconds, struct err *e)
{
	struct passes *p = arg;
	size_t most = model_max_rows(p->m), step;
	double begin;

	if (settle(p, e))
		return -1;
	begin = cli_seconds();
	for (size_t done = 0; done < p->n; done += step) {
		struct model_work w = { .seq = p->seq[0] };

		step = p->n - done < most ? p->n - done : most;
		step = step < ROWS ? step : ROWS;
		for (size_t i = 0; i < step; i++)
			p->id[i] = depth_id(&p->before);
		w.n = step;
		w.want = done + step == p->n ? WANT_LAST : WANT_NONE;
		if (kv_append(p->seq[0], p->id, step, e) || model_run(p->m, &w, 1, &p->logits, e))
			return -1;
	}
	p->id[0] = most_likely(p->logits, model_config(p->m)->vocab);
	*seconds = cli_seconds() - begin;
	return 0;
}

/* n tokens of every sequence, all in one pass each time. */
static int decode_run(void *arg, double *seconds, struct err *e)
{
	struct passes *p = arg;
	const struct answer *best;
	double begin;

	if (settle(p, e))
		return -1;
	begin = cli_seconds();
	for (size_t i = 0; i < p->n; i++) {
		for (size_t k = 0; k < p->batch; k++) {
			int32_t id = depth_id(&p->before);

			p->work[k] = (struct model_work){ p->seq[k], 1, WANT_LAST };
			p->ask[k] = (struct ask){ .what = ASK_BEST };
			if (kv_append(p->seq[k], &id, 1, e))
				return -1;
		}
		if (model_run_asked(p->m, p->work, p->batch, p->ask, &best, e))
			return -1;
	}
	*seconds = cli_seconds() - begin;
	return 0;
}

/* ---- lines */

static struct bench_work prompt_work(const struct passes *p)
{
	struct model_cost first, last, c;
	double n = (double)p->n, chunks = ceil(n / ROWS);

	model_cost(&first, p->m, p->depth);
	model_cost(&last, p->m, p->depth + p->n - 1);
	model_cost(&c, p->m, p->depth + p->n / 2);
	return (struct bench_work){
		.bytes = chunks * ((double)c.weight_bytes + (double)c.cache_bytes),
		.flop = n * (first.flop + last.flop) / 2 + c.out_flop,
		.peak = bench_peak(p->b, c.coded),
		.count = n,
		.unit = "tok/s",
	};
}

static struct bench_work decode_work(const struct passes *p)
{
	struct model_cost c;
	double n = (double)p->n, batch = (double)p->batch;

	model_cost(&c, p->m, p->depth + p->n / 2);
	return (struct bench_work){
		.bytes = n * ((double)c.weight_bytes + batch * (double)c.cache_bytes),
		.flop = n * batch * (c.flop + c.out_flop),
		.peak = bench_peak(p->b, c.coded),
		.count = n * batch,
		.unit = "tok/s",
	};
}

static int put_prompt(struct passes *p, struct err *e)
{
	struct bench *b = p->b;
	struct bench_work w = prompt_work(p);
	char test[48];
	struct line l = line_of(&b->who, test);
	double seconds[BENCH_RUNS];

	l.depth = p->depth;
	l.batch = 1;
	snprintf(test, sizeof test, "pp%zu", p->n);
	if (bench_trial(b, &l, &w, prompt_run, p, seconds, e))
		return -1;
	lines_put(b->format, &l);
	snprintf(test, sizeof test, "ttft%zu", p->n);
	l = line_of(&b->who, test);
	l.depth = p->depth;
	l.batch = 1;
	l.runs = b->runs;
	l.unit = "s";
	l.median = bench_median(seconds, b->runs);
	l.least = seconds[0];
	l.most = seconds[b->runs - 1];
	lines_put(b->format, &l);
	return 0;
}

static int put_decode(struct passes *p, struct err *e)
{
	struct bench *b = p->b;
	struct bench_work w = decode_work(p);
	char test[48];
	struct line l = line_of(&b->who, test);
	size_t n = p->n;
	double ignored;

	l.depth = p->depth;
	l.batch = p->batch;
	snprintf(test, sizeof test, "tg%zu", n);
	p->n = 1;
	if (decode_run(p, &ignored, e))
		return -1;
	p->n = n;
	if (bench_trial(b, &l, &w, decode_run, p, NULL, e))
		return -1;
	lines_put(b->format, &l);
	return 0;
}

static void put_one(struct bench *b, const char *test, double v, const char *unit)
{
	struct line l = line_of(&b->who, test);

	l.runs = 1;
	l.median = l.least = l.most = v;
	l.unit = unit;
	lines_put(b->format, &l);
}

/* ---- what fits */

static size_t positions(const struct bench *b, size_t depth, size_t batch)
{
	size_t more = 1, need;

	for (size_t i = 0; i < b->prompt.n; i++)
		more = batch == 1 && b->prompt.at[i] > more ? b->prompt.at[i] : more;
	for (size_t i = 0; i < b->make.n; i++)
		more = b->make.at[i] > more ? b->make.at[i] : more;
	need = (depth + more + PAGE_POSITIONS - 1) / PAGE_POSITIONS + 1;
	return batch * need * PAGE_POSITIONS;
}

static size_t most_positions(const struct bench *b, const struct config *c)
{
	struct exec_info info;
	size_t value = b->exact ? sizeof(float) : sizeof(uint16_t);

	exec_describe(b->exec, &info);
	if (!info.memory)
		return SIZE_MAX;
	return info.memory / MEMORY_PART / config_cache_bytes(c, value);
}

size_t bench_positions(struct bench *b, const struct config *c)
{
	size_t room = most_positions(b, c), most = 0;

	for (size_t d = 0; d < b->depth.n; d++) {
		size_t one = positions(b, b->depth.at[d], 1);

		if (b->prompt.n && one <= room && one > most)
			most = one;
		for (size_t i = 0; i < b->batch.n; i++) {
			size_t n = positions(b, b->depth.at[d], b->batch.at[i]);

			most = n <= room && n > most ? n : most;
			if (n <= room)
				continue;
			b->skipped = true;
			if (b->common->quiet)
				continue;
			cli_warn("depth %zu, batch %zu: left out: the cache has room for %zu positions, "
			         "not for %zu", b->depth.at[d], b->batch.at[i], room, n);
		}
	}
	return most ? most : PAGE_POSITIONS;
}

/* ---- all of them */

static int at_depth(struct passes *p, size_t room, struct err *e)
{
	struct bench *b = p->b;

	for (size_t i = 0; i < b->prompt.n; i++) {
		p->batch = 1;
		p->n = b->prompt.at[i];
		if (p->n && positions(b, p->depth, 1) <= room && put_prompt(p, e))
			return -1;
	}
	for (size_t i = 0; i < b->make.n; i++)
		for (size_t k = 0; k < b->batch.n; k++) {
			p->batch = b->batch.at[k];
			p->n = b->make.at[i];
			if (p->n && positions(b, p->depth, p->batch) <= room && put_decode(p, e))
				return -1;
		}
	close_seqs(p);
	return 0;
}

/* The first prompt finds nothing warm: with what came before it, it is what
 * a command waits for. */
static int begin_cold(struct passes *p, double load_seconds, struct err *e)
{
	struct bench *b = p->b;
	char test[48];
	double t;

	p->depth = 0;
	p->batch = 1;
	p->n = b->prompt.n && b->prompt.at[0] ? b->prompt.at[0] : 1;
	if (prompt_run(p, &t, e))
		return -1;
	close_seqs(p);
	if (isnan(load_seconds))
		return 0;
	put_one(b, "load", load_seconds, "s");
	snprintf(test, sizeof test, "start%zu", p->n);
	put_one(b, test, b->device_seconds + load_seconds + t, "s");
	return 0;
}

int bench_passes(struct bench *b, struct model *m, double load_seconds, struct err *e)
{
	struct passes *p = calloc(1, sizeof *p);
	size_t room = most_positions(b, model_config(m));
	int bad;

	if (!p)
		return err_memory(e, sizeof *p);
	*p = (struct passes){ .b = b, .m = m };
	bad = depth_open(&p->before, m, e) || begin_cold(p, load_seconds, e);
	for (size_t i = 0; !bad && i < b->depth.n; i++) {
		p->depth = b->depth.at[i];
		bad = at_depth(p, room, e);
	}
	if (!bad) {
		put_one(b, "memory", (double)bench_memory(b), "B");
		put_one(b, "memory-device", (double)(exec_bytes(b->exec) - b->probe_device), "B");
	}
	close_seqs(p);
	depth_close(&p->before);
	free(p);
	return bad ? -1 : 0;
}
