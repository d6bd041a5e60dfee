/* SPDX-License-Identifier: MIT */
/* step.c - a step's table checked, and its angles in double. */
#include "exec/step.h"

#include <math.h>

static int check_pages(const struct record *r, const struct step *s, size_t row, size_t group,
                       struct err *e)
{
	size_t i = group * s->n_seqs + (size_t)s->seq[row], pos = (size_t)s->pos[row];
	size_t window = r->window[group], first = 0;

	if (window && pos >= window)
		first = pos + 1 - window;
	/* the row before of the same sequence has seen what lies before it */
	if (row && s->seq[row - 1] == s->seq[row] && (size_t)s->pos[row - 1] > first)
		first = (size_t)s->pos[row - 1];
	if (pos / PAGE_POSITIONS >= s->n_pages[i])
		return err_set(e, ERR_INPUT, "row %zu: position %zu, and %zu pages", row, pos,
		               s->n_pages[i]);
	for (size_t p = first / PAGE_POSITIONS; p <= pos / PAGE_POSITIONS; p++)
		if (s->pages[i][p] < 0 || (size_t)s->pages[i][p] >= r->kv->n_pages[group])
			return err_set(e, ERR_INPUT, "row %zu: page %d of %zu", row,
			               (int)s->pages[i][p], r->kv->n_pages[group]);
	return 0;
}

size_t step_run(const struct step *s, size_t row)
{
	size_t end = row + 1;

	if (row && s->seq[row - 1] == s->seq[row])
		return 0;
	while (end < s->n_rows && s->seq[end] == s->seq[row])
		end++;
	return end - row;
}

int32_t step_page(const struct step *s, unsigned group, size_t row, size_t pos)
{
	return s->pages[group * s->n_seqs + (size_t)s->seq[row]][pos / PAGE_POSITIONS];
}

bool step_keeps(const struct step *s, unsigned group, size_t row)
{
	size_t pos = (size_t)s->pos[row];

	return row + 1 == s->n_rows || s->seq[row + 1] != s->seq[row] ||
	       (pos % PAGE_POSITIONS == PAGE_POSITIONS - 1 &&
	        step_page(s, group, row, pos) != step_page(s, group, row, pos + 1));
}

/* States go from row to row: the rows of a sequence are one run. */
static int check_runs(const struct step *s, struct err *e)
{
	for (size_t i = 1; i < s->n_rows; i++) {
		if (s->seq[i] == s->seq[i - 1] && s->pos[i] != s->pos[i - 1] + 1)
			return err_set(e, ERR_INPUT, "row %zu: expected position %d, found %d", i,
			               (int)s->pos[i - 1] + 1, (int)s->pos[i]);
		if (s->seq[i] == s->seq[i - 1])
			continue;
		for (size_t k = 0; k < i; k++)
			if (s->seq[k] == s->seq[i])
				return err_set(e, ERR_INPUT, "row %zu: sequence %d goes on", i,
				               (int)s->seq[i]);
	}
	return 0;
}

static int check_row(const struct record *r, const struct step *s, size_t row, struct err *e)
{
	if (s->token[row] < 0 || (size_t)s->token[row] >= r->n_tokens)
		return err_set(e, ERR_INPUT, "row %zu: token %d, and a vocabulary of %zu", row,
		               (int)s->token[row], r->n_tokens);
	if (s->pos[row] < 0)
		return err_set(e, ERR_INPUT, "row %zu: position %d", row, (int)s->pos[row]);
	if (s->adapter && (s->adapter[row] < 0 || (size_t)s->adapter[row] >= r->n_adapters))
		return err_set(e, ERR_INPUT, "row %zu: adapter %d of %zu", row,
		               (int)s->adapter[row], r->n_adapters);
	if ((size_t)s->pos[row] >= r->n_positions)
		return err_set(e, ERR_INPUT, "row %zu: position %d, and a table of %zu", row,
		               (int)s->pos[row], r->n_positions);
	if (!r->kv)
		return 0;
	if (s->seq[row] < 0 || (size_t)s->seq[row] >= s->n_seqs)
		return err_set(e, ERR_INPUT, "row %zu: sequence %d of %zu", row, (int)s->seq[row],
		               s->n_seqs);
	for (size_t g = 0; g < r->kv->n_groups; g++)
		if (check_pages(r, s, row, g, e) != 0)
			return -1;
	return 0;
}

int step_check(const struct record *r, const struct step *s, struct err *e)
{
	if (s->n_rows > r->max_rows || s->n_out > r->max_out)
		return err_set(e, ERR_INPUT, "%zu rows and %zu outputs, at most %zu and %zu",
		               s->n_rows, s->n_out, r->max_rows, r->max_out);
	for (size_t i = 0; i < s->n_rows; i++)
		if (check_row(r, s, i, e) != 0)
			return -1;
	if (r->recurs && check_runs(s, e) != 0)
		return -1;
	for (size_t i = 0; i < s->n_out; i++)
		if (s->out[i] < 0 || (size_t)s->out[i] >= s->n_rows)
			return err_set(e, ERR_INPUT, "output %zu: row %d of %zu", i,
			               (int)s->out[i], s->n_rows);
	return 0;
}

/* Past the trained length the base grows with the position. */
static double dynamic_inv_freq(const struct rope *rope, size_t pair, double pos)
{
	double d = (double)rope->dims, f = rope->dynamic_factor;
	double grown = f * (pos + 1) / (double)rope->dynamic_max_pos - (f - 1);
	double base = rope->dynamic_base * pow(grown, d / (d - 2));

	return pow(base, -2.0 * (double)pair / d);
}

static void fill(float *out, const struct rope *rope, int32_t at)
{
	const double *inv_freq = rope->far && (size_t)at >= rope->far ? rope->far_inv_freq :
	                                                               rope->inv_freq;
	bool grown = rope->dynamic_max_pos && (size_t)at >= rope->dynamic_max_pos;
	size_t half = rope->dims / 2;
	double pos = (double)at, scale = (double)rope->scale;

	for (size_t i = 0; i < half; i++) {
		double f = grown ? dynamic_inv_freq(rope, i, pos) : inv_freq[i];

		out[i] = (float)(cos(pos * f) * scale);
		out[half + i] = (float)(sin(pos * f) * scale);
	}
}

void step_angles(struct record *r, const struct step *s)
{
	float *at = r->x->angle_room;

	for (size_t k = 0; k < r->n_ropes; k++) {
		r->angles[k] = at;
		for (size_t i = 0; i < s->n_rows; i++, at += r->rope[k].dims)
			fill(at, &r->rope[k], s->pos[i]);
	}
}
