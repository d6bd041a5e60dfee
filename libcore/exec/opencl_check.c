/* SPDX-License-Identifier: MIT */
/* Every kernel row of the OpenCL backend but attention's against ref, at odd
 * sizes, with the error's bound beside each; and what must be equal to the
 * bit. */
#include "exec/cl_world.h"

Suite *opencl_suite(void);

/* Runs the script on both devices over MAX_ROWS rows and in smaller pieces:
 * near ref, and the pieces equal to the whole. */
static void both(script *say, const void *arg, unsigned flags, size_t n, const float *bound,
                 const char *what)
{
	static const size_t piece[] = { 1, 2, 3, 8, 9, 17, 33 };
	struct world cl, ref;
	struct step all = rows_of(0, MAX_ROWS);
	float *whole = take(MAX_ROWS * n * sizeof *whole);

	world_device(&cl, "opencl", flags);
	world_record(&cl, say, arg);
	memcpy(whole, world_run(&cl, &all), MAX_ROWS * n * sizeof *whole);
	for (size_t i = 0; i < sizeof piece / sizeof *piece; i++)
		for (size_t at = 0; at < MAX_ROWS; at += piece[i]) {
			size_t rows = piece[i] < MAX_ROWS - at ? piece[i] : MAX_ROWS - at;
			struct step s = rows_of(at, rows);

			if (i > 0 && at > piece[i])
				break;
			ck_assert_msg(!memcmp(world_run(&cl, &s), whole + at * n, rows * n * sizeof *whole),
			              "%s: %zu rows from %zu differ from %d at once", what, rows, at,
			              MAX_ROWS);
		}
	world_close(&cl);
	world_device(&ref, "ref", flags);
	world_record(&ref, say, arg);
	compare(whole, world_run(&ref, &all), bound, MAX_ROWS * n, what);
	world_close(&ref);
}

/* ---- products: x = row of a table in the form, y = W x with W that table */
struct form_case {
	struct weight_desc d;
	const char *what;
	unsigned flags;
};

static void record_form(struct world *w, const void *arg)
{
	const struct form_case *c = arg;
	struct weight *m = give(w, &c->d);
	struct slot *x = record_slot(w->r, "x", c->d.n_in), *y = record_slot(w->r, "y", c->d.n_out);

	op_embed(w->r, x, m);
	op_matmul(w->r, &(struct op_product){ y, m, NULL }, 1, x, false);
	finish(w, y, c->d.n_out);
}

static void record_embed(struct world *w, const void *arg)
{
	const struct form_case *c = arg;
	struct slot *x = record_slot(w->r, "x", c->d.n_in);

	op_embed(w->r, x, give(w, &c->d));
	finish(w, x, c->d.n_in);
}

/* Sizes of the terms of each weight, and its value: for affine forms |scale|
 * code + |bias|. */
static void terms_of(float *size, float *value, const struct weight_desc *d, size_t row)
{
	size_t elem = dtype_info(d->dtype)->block_bytes, groups = d->group ? d->n_in / d->group : 0;
	const unsigned char *data = (const unsigned char *)d->data + row * weight_row_bytes(d);
	float s, b;

	if (d->form == FORM_FLOAT) {
		dtype_to_f32(d->dtype, value, data, d->n_in);
		for (size_t i = 0; i < d->n_in; i++)
			size[i] = fabsf(value[i]);
		return;
	}
	for (size_t i = 0; i < d->n_in; i++) {
		size_t at = (row * groups + i / d->group) * elem;

		dtype_to_f32(d->dtype, &s, (const unsigned char *)d->scales + at, 1);
		dtype_to_f32(d->dtype, &b, (const unsigned char *)d->biases + at, 1);
		value[i] = s * (float)affine_code(data, i, d->bits) + b;
		size[i] = fabsf(s) * (float)affine_code(data, i, d->bits) + fabsf(b);
	}
}

/* What 16-bit inputs may add, half a step of the largest input of a group of
 * columns: the CPU rows read affine forms so. */
static float input_bound(const struct weight_desc *d, const float *size, const float *x)
{
	float sum = 0;

	for (size_t g = 0; d->form == FORM_AFFINE && g < d->n_in; g += d->group) {
		float most = 0, total = 0;

		for (size_t i = g; i < g + d->group; i++) {
			most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
			total += size[i];
		}
		sum += most / 65534 * total;
	}
	return sum;
}

/* What f16 inputs may add, and sums of 1024 + code that the bias takes back:
 * the rows for repacked weights. */
static float tile_bound(const struct weight_desc *d, const float *size, const float *x, size_t row)
{
	size_t groups = d->group ? d->n_in / d->group : 0, elem = dtype_info(d->dtype)->block_bytes;
	float sum = 0, s = 0;

	if (d->n_in % 128 || d->dtype == DT_F32 || (d->form == FORM_AFFINE && d->bits != 4 &&
	                                            d->bits != 8))
		return 0;
	for (size_t i = 0; i < d->n_in; i++) {
		if (groups)
			dtype_to_f32(d->dtype, &s, (const unsigned char *)d->scales +
			             (row * groups + i / d->group) * elem, 1);
		sum += fabsf(x[i]) * (size[i] * 0x1p-11f + 2048 * fabsf(s) * 0x1p-20f);
	}
	return sum;
}

/* A sum of n terms in chains of n / 32 (CPU rows: n / 4 at most), then a tree:
 * each term sees at most chain + 16 roundings of 2^-24; ref's own and the
 * inputs' double that. */
static void check_form(const struct form_case *c)
{
	size_t k = c->d.n_in, n = c->d.n_out;
	float *size = take(n * k * sizeof *size), *value = take(n * k * sizeof *value);
	float *bound = take(MAX_ROWS * (n > k ? n : k) * sizeof *bound);
	float unit = ldexpf((float)(k / (portable_rows() ? 32 : 4) + 16), -23);
	bool inputs = !portable_rows() && !(c->flags & EXEC_EXACT);

	for (size_t o = 0; o < n; o++)
		terms_of(size + o * k, value + o * k, &c->d, o);
	for (size_t i = 0; i < MAX_ROWS * k; i++)
		bound[i] = c->d.form == FORM_FLOAT ? 0 : ldexpf(size[i % (n * k)], -23);
	both(record_embed, c, c->flags, k, bound, c->what);
	for (size_t t = 0; t < MAX_ROWS; t++)
		for (size_t o = 0; o < n; o++) {
			float *b = &bound[t * n + o], *x = value + t % n * k, *x_size = size + t % n * k;

			*b = 1e-30f + (inputs ? input_bound(&c->d, size + o * k, x) +
			                        tile_bound(&c->d, size + o * k, x, o) : 0);
			for (size_t i = 0; i < k; i++)
				*b += unit * size[o * k + i] * x_size[i];
		}
	both(record_form, c, c->flags, n, bound, c->what);
}

static const struct { enum dtype t; size_t n_in; } float_forms[] = {
	{ DT_F32, 77 }, { DT_F16, 301 }, { DT_F16, 264 }, { DT_BF16, 45 }, { DT_BF16, 328 },
	{ DT_F8_E4M3, 93 }, { DT_F8_E5M2, 264 }, { DT_F16, 384 }, { DT_BF16, 2304 },
};

START_TEST(float_forms_match_ref)
{
	struct form_case c = { .d = { .name = "w", .form = FORM_FLOAT, .dtype = float_forms[_i].t,
	                              .n_out = VOCAB, .n_in = float_forms[_i].n_in } };
	void *data = random_as(c.d.dtype, c.d.n_out * c.d.n_in);

	if (!here)
		return;
	c.d.data = data;
	c.what = dtype_info(c.d.dtype)->name;
	check_form(&c);
}
END_TEST

static const struct {
	unsigned bits, group;
	enum dtype scale;
	size_t n_in;
	unsigned flags;
} affine_forms[] = {
	{ 2, 16, DT_F32, 48, 0 },   { 3, 32, DT_F16, 96, 0 },   { 4, 64, DT_BF16, 320, 0 },
	{ 4, 32, DT_F16, 544, 0 },  { 5, 128, DT_F16, 384, 0 }, { 6, 16, DT_BF16, 112, 0 },
	{ 8, 64, DT_F32, 192, 0 },  { 4, 64, DT_BF16, 320, EXEC_EXACT },
	{ 4, 32, DT_F16, 384, 0 },  { 4, 64, DT_F16, 2304, 0 },  { 4, 128, DT_BF16, 256, 0 },
	{ 8, 32, DT_BF16, 256, 0 }, { 8, 64, DT_F16, 384, 0 },  { 8, 128, DT_F16, 2176, 0 },
};

START_TEST(affine_forms_match_ref)
{
	struct form_case c = { .d = { .name = "w", .form = FORM_AFFINE,
	                              .dtype = affine_forms[_i].scale, .n_out = VOCAB,
	                              .n_in = affine_forms[_i].n_in, .bits = affine_forms[_i].bits,
	                              .group = affine_forms[_i].group } };
	size_t groups = c.d.n_out * c.d.n_in / c.d.group;
	void *data = random_as(DT_F32, c.d.n_out * c.d.n_in * c.d.bits / 32 + 1);
	void *scales = random_as(c.d.dtype, groups), *biases = random_as(c.d.dtype, groups);
	char what[64];

	if (!here)
		return;
	snprintf(what, sizeof what, "%u bits", c.d.bits);
	c.what = what;
	c.flags = affine_forms[_i].flags;
	c.d.data = data;
	c.d.scales = scales;
	c.d.biases = biases;
	check_form(&c);
}
END_TEST

/* Rows of a long step are those of short ones, where other kernels do them. */
enum { MANY = 150, MANY_OUT = 70, LITTLE = 48 << 10 };

/* On a device whose groups have so many bytes of their own at most. */
static void open_many(struct world *w, const struct form_case *c, size_t local_memory)
{
	struct err e = { 0 };
	struct opencl *d;

	world_device(w, "opencl", 0);
	d = w->x->device;
	d->local_memory = d->local_memory < local_memory ? d->local_memory : local_memory;
	ck_assert_int_eq(record_open(&w->r, w->x, MANY, MANY, NULL, &e), 0);
	record_form(w, c);
	ck_assert_int_eq(record_end(w->r, &e), 0);
}

START_TEST(many_rows_are_those_of_few)
{
	static const struct { enum form form; unsigned bits, group; size_t n_in; } forms[] = {
		{ FORM_FLOAT, 0, 0, 2432 },   { FORM_FLOAT, 0, 0, 256 },     { FORM_AFFINE, 4, 64, 2432 },
		{ FORM_AFFINE, 4, 32, 256 }, { FORM_AFFINE, 8, 64, 384 }, { FORM_AFFINE, 8, 128, 384 },
	};
	size_t k = forms[_i].n_in, groups = forms[_i].group ? MANY_OUT * k / forms[_i].group : 1;
	struct form_case c = { .d = { .name = "w", .form = forms[_i].form, .dtype = DT_F16,
	                              .n_out = MANY_OUT, .n_in = k, .bits = forms[_i].bits,
	                              .group = forms[_i].group } };
	int32_t token[MANY], count[MANY], zero[MANY] = { 0 };
	struct step all = { .n_rows = MANY, .n_out = MANY, .token = token, .pos = count,
	                    .seq = zero, .out = count };
	size_t n_bytes = MANY_OUT * sizeof(float);
	char *whole = take(MANY * n_bytes);
	struct world w;

	c.d.data = random_as(DT_F16, MANY_OUT * k);
	c.d.scales = random_as(DT_F16, groups);
	c.d.biases = random_as(DT_F16, groups);
	if (!here || portable_rows())
		return;
	for (int32_t i = 0; i < MANY; i++) {
		count[i] = i;
		token[i] = i % MANY_OUT;
	}
	open_many(&w, &c, SIZE_MAX);
	memcpy(whole, world_run(&w, &all), MANY * n_bytes);
	for (size_t at = 0; at < MANY; at += at < 67 ? 67 : 82) {
		struct step s = all;

		s.token += at;
		s.n_rows = s.n_out = at == 149 ? 1 : at ? 82 : 67;
		ck_assert_msg(!memcmp(world_run(&w, &s), whole + at * n_bytes, s.n_rows * n_bytes),
		              "rows from %zu differ (seed %llu)", at, (unsigned long long)seed());
	}
	world_close(&w);
	open_many(&w, &c, LITTLE);
	ck_assert_msg(!memcmp(world_run(&w, &all), whole, MANY * n_bytes), "little memory differs");
	world_close(&w);
}
END_TEST

/* ---- products that share an input, of two forms, with biases and addition,
 * over the rows and over the outputs */
enum { JOIN_IN = 72, JOIN_OUT = 20 };
struct joined {
	float *table, *w[4], *b;
	uint16_t *half;
};

static void record_joined(struct world *w, const void *arg)
{
	const struct joined *j = arg;
	struct slot *x = record_slot(w->r, "x", JOIN_IN), *y[4];
	struct slot *picked = record_slot_out(w->r, "picked", JOIN_IN);
	struct slot *out = record_slot_out(w->r, "last", 7), *sum = record_slot(w->r, "sum", JOIN_IN);
	struct op_product part[4];

	op_embed(w->r, x, give_matrix(w, j->table, VOCAB, JOIN_IN));
	for (size_t i = 0; i < 4; i++) {
		y[i] = record_slot(w->r, "part", JOIN_OUT + i);
		part[i] = (struct op_product){ y[i], NULL, i == 1 ? NULL :
		                               give_vector(w, j->b, JOIN_OUT + i) };
		part[i].w = i == 2 ? give(w, &(struct weight_desc){ .dtype = DT_F16,
		                          .n_out = JOIN_OUT + i, .n_in = JOIN_IN, .data = j->half }) :
		                     give_matrix(w, j->w[i], JOIN_OUT + i, JOIN_IN);
	}
	op_matmul(w->r, part, 4, x, false);
	op_matmul(w->r, part, 4, x, true);
	op_embed(w->r, sum, give_matrix(w, j->table, VOCAB, JOIN_IN));
	for (size_t i = 0; i < 4; i++)
		op_matmul(w->r, &(struct op_product){ sum, give_matrix(w, j->w[i], JOIN_IN, JOIN_OUT + i),
		                                      NULL }, 1, y[i], true);
	op_pick(w->r, picked, sum);
	op_matmul(w->r, &(struct op_product){ out, give_matrix(w, j->w[0], 7, JOIN_IN), NULL }, 1,
	          picked, false);
	record_result(w->r, out);
}

/* Sums of at most 72 terms of products below 1 through three layers. */
START_TEST(joined_products_match_ref)
{
	struct joined j = { .table = random_floats(VOCAB * JOIN_IN), .b = random_floats(JOIN_IN),
	                    .half = random_as(DT_F16, JOIN_IN * (JOIN_OUT + 4)) };
	float bound[MAX_ROWS * 7];

	if (!here)
		return;
	for (size_t i = 0; i < 4; i++)
		j.w[i] = random_floats(JOIN_IN * (JOIN_OUT + 4));
	for (size_t i = 0; i < MAX_ROWS * 7; i++)
		bound[i] = 72.0f * 72 * ldexpf(40, -22);
	both(record_joined, &j, 0, 7, bound, "joined");
}
END_TEST

/* A weight cut into several buffers gives the bits of a whole one, where both
 * run on the portable rows. */
START_TEST(split_weights_are_equal)
{
	struct joined j = { .table = random_floats(VOCAB * JOIN_IN), .b = random_floats(JOIN_IN),
	                    .half = random_as(DT_F16, JOIN_IN * (JOIN_OUT + 4)) };
	struct step s = rows_of(0, MAX_ROWS);
	float whole[MAX_ROWS * 7];

	if (!here || !portable_rows())
		return;
	for (size_t i = 0; i < 4; i++)
		j.w[i] = random_floats(JOIN_IN * (JOIN_OUT + 4));
	for (int cut = 0; cut < 2; cut++) {
		struct world w;
		struct opencl *d;
		size_t most;

		world_device(&w, "opencl", 0);
		d = w.x->device;
		most = d->max_alloc;
		ck_assert_int_eq(record_open(&w.r, w.x, MAX_ROWS, MAX_ROWS, NULL, &(struct err){ 0 }), 0);
		if (cut)
			d->max_alloc = 5 * JOIN_IN * sizeof(float);
		record_joined(&w, &j);
		d->max_alloc = most;
		ck_assert_int_eq(record_end(w.r, &(struct err){ 0 }), 0);
		if (cut)
			ck_assert(!memcmp(whole, world_run(&w, &s), sizeof whole));
		else
			memcpy(whole, world_run(&w, &s), sizeof whole);
		world_close(&w);
	}
}
END_TEST

/* ---- the small ops */
enum { WIDTH = 210, HEAD = 70 };
struct small { const float *table, *other, *g; enum op_kind kind; int variant; };

static void record_small(struct world *w, const void *arg)
{
	const struct small *c = arg;
	struct slot *x = record_slot(w->r, "x", WIDTH), *y = record_slot(w->r, "y", WIDTH);
	struct rope rope = { .dims = c->variant == 2 ? 36 : HEAD, .interleaved = c->variant == 1,
	                     .scale = 1.25f };

	for (size_t i = 0; i < rope.dims / 2; i++)
		rope.inv_freq[i] = 1.0 / pow(500.0, (double)i / 35.0);
	op_embed(w->r, x, give_matrix(w, c->table, VOCAB, WIDTH));
	op_embed(w->r, y, give_matrix(w, c->other, VOCAB, WIDTH));
	switch (c->kind) {
	case OP_NORM_RMS:
		op_norm_rms(w->r, c->variant ? x : y, x,
		            give_vector(w, c->g, c->variant ? HEAD : WIDTH), 1e-5f);
		break;
	case OP_ROPE:
		op_rope(w->r, x, WIDTH / HEAD, HEAD, &rope);
		break;
	case OP_GLU:
		op_glu(w->r, c->variant == ACT_GELU ? y : x, x, y, (enum activation)c->variant);
		break;
	case OP_SCALE:
		op_scale(w->r, x, 3.5f, c->variant ? 0.7f : 0);
		break;
	default:
		op_add(w->r, x, y);
	}
	finish(w, c->kind == OP_NORM_RMS && !c->variant ? y : c->kind == OP_GLU &&
	       c->variant == ACT_GELU ? y : x, WIDTH);
}

static const struct { enum op_kind kind; int variant; float bound; const char *what; } smalls[] = {
	/* sums of 210 squares below 1, times factors below 2 */
	{ OP_NORM_RMS, 0, 2e-5f, "norm" },
	{ OP_NORM_RMS, 1, 2e-5f, "norm of heads" },
	/* two products below 1.25 each */
	{ OP_SCALE, 0, 1e-6f, "scale" },
	{ OP_SCALE, 1, 1e-6f, "softcap" },
	{ OP_ROPE, 0, 1e-6f, "rope" },
	{ OP_ROPE, 1, 1e-6f, "rope, interleaved" },
	{ OP_ROPE, 2, 1e-6f, "rope of part of a head" },
	/* values below 1; exp 3 units, erf 16, tanh 5 of the last place */
	{ OP_GLU, ACT_SILU, 1e-6f, "silu" },
	{ OP_GLU, ACT_GELU, 3e-6f, "gelu" },
	{ OP_GLU, ACT_GELU_TANH, 3e-6f, "gelu tanh" },
	{ OP_ADD, 0, 0, "add" },
};

START_TEST(small_ops_match_ref)
{
	float *table = random_floats(VOCAB * WIDTH), *other = random_floats(VOCAB * WIDTH);
	float *g = random_floats(WIDTH), *bound = take(MAX_ROWS * WIDTH * sizeof *bound);
	struct small c = { table, other, g, smalls[_i].kind, smalls[_i].variant };

	if (!here)
		return;
	for (size_t i = 0; i < MAX_ROWS * WIDTH; i++)
		bound[i] = smalls[_i].bound;
	both(record_small, &c, 0, WIDTH, bound, smalls[_i].what);
}
END_TEST

static void add_tests(Suite *s, const char *name, void (*begin)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, begin, finish_check);
	tcase_add_loop_test(t, float_forms_match_ref, 0, sizeof float_forms / sizeof *float_forms);
	tcase_add_loop_test(t, affine_forms_match_ref, 0,
	                    sizeof affine_forms / sizeof *affine_forms);
	tcase_add_loop_test(t, many_rows_are_those_of_few, 0, 6);
	tcase_add_test(t, joined_products_match_ref);
	tcase_add_test(t, split_weights_are_equal);
	tcase_add_loop_test(t, small_ops_match_ref, 0, sizeof smalls / sizeof *smalls);
	suite_add_tcase(s, t);
}

Suite *opencl_suite(void)
{
	Suite *s = suite_create("opencl");

	add_tests(s, "portable rows", start_portable);
	add_tests(s, "special rows", start_special);
	return s;
}
