/* SPDX-License-Identifier: MIT */
/* gain_check.c - op_gain() on every backend against its plain meaning, at odd
 * widths, for rows and for outputs that stand in another order */
#include "exec/exec.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *gain_suite(void);

enum { VOCAB = 19, ROWS = 37, OUTS = 11, ADAPTERS = 3, WIDEST = 301 };

static const char *const devices[] = { "ref", "cpu", "opencl" };
static const size_t widths[] = { 1, 7, 77, WIDEST };
enum { N_DEVICES = 3, N_WIDTHS = 4 };

static float table[VOCAB * WIDEST], row_gain[ADAPTERS * WIDEST], row_shift[ADAPTERS * WIDEST],
	out_gain[ADAPTERS * WIDEST];
static int32_t token[ROWS], adapter[ROWS], zero[ROWS], out[OUTS];

static void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static void fill(float *x, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
	}
}

static struct weight *give(struct exec *x, const float *data, size_t n_out, size_t n_in)
{
	struct weight_desc d = { .name = "w", .dtype = DT_F32, .n_out = n_out, .n_in = n_in,
		                 .data = data };
	struct weight *w;
	struct err e;

	ok(weight_open(&w, x, &d, &e), &e);
	return w;
}

/* ref's two roundings; a device may round a product and a sum at once */
static void near(const float *have, size_t n, const char *what)
{
	for (size_t i = 0; i < OUTS * n; i++) {
		size_t r = (size_t)out[i / n], k = i % n, at = (size_t)adapter[r] * n + k;
		double v = (double)table[(size_t)token[r] * n + k] * (double)row_gain[at];
		double want = (v + (double)row_shift[at]) * (double)out_gain[at];

		ck_assert_msg(fabs((double)have[i] - want) <= 4 * 0x1p-23,
		              "%s, width %zu: output %zu, %zu: %g, not %g", what, n, i / n, k,
		              (double)have[i], want);
	}
}

static void run(const char *device, size_t n)
{
	struct exec_options o = { .device = device, .threads = 2, .cache_dir = "" };
	struct step s = { .n_rows = ROWS, .n_out = OUTS, .n_seqs = 1, .token = token, .pos = zero,
		          .seq = zero, .out = out, .adapter = adapter };
	struct weight *w[4];
	struct slot *x, *last;
	struct record *r;
	struct exec *d;
	struct err e;

	if (exec_open(&d, &o, &e))
		return;
	w[0] = give(d, table, VOCAB, n);
	w[1] = give(d, row_gain, 1, ADAPTERS * n);
	w[2] = give(d, row_shift, 1, ADAPTERS * n);
	w[3] = give(d, out_gain, 1, ADAPTERS * n);
	ok(record_open(&r, d, ROWS, OUTS, NULL, &e), &e);
	x = record_slot(r, "x", n);
	last = record_slot_out(r, "last", n);
	op_embed(r, x, w[0]);
	op_gain(r, x, w[1], w[2]);
	op_pick(r, last, x);
	op_gain(r, last, w[3], NULL);
	record_result(r, last);
	ok(record_end(r, &e), &e);
	ok(record_run(r, &s, &e), &e);
	near(record_output(r), n, device);
	adapter[4] = ADAPTERS; /* nobody has gains for it */
	ck_assert_int_eq(record_run(r, &s, &e), -1);
	adapter[4] = 4 % ADAPTERS;
	record_close(r);
	for (int i = 0; i < 4; i++)
		weight_close(w[i]);
	exec_close(d);
}

START_TEST(near_ref)
{
	fill(table, VOCAB * WIDEST, 1);
	fill(row_gain, ADAPTERS * WIDEST, 2);
	fill(row_shift, ADAPTERS * WIDEST, 3);
	fill(out_gain, ADAPTERS * WIDEST, 4);
	for (int32_t i = 0; i < ROWS; i++) {
		token[i] = i * 7 % VOCAB;
		adapter[i] = i % ADAPTERS;
	}
	for (int32_t i = 0; i < OUTS; i++)
		out[i] = (i * 17 + 5) % ROWS;
	for (size_t i = 0; i < N_WIDTHS; i++)
		run(devices[_i], widths[i]);
}
END_TEST

Suite *gain_suite(void)
{
	Suite *s = suite_create("gain");
	TCase *t = tcase_create("gains");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, near_ref, 0, N_DEVICES);
	suite_add_tcase(s, t);
	return s;
}
