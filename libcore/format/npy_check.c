/* SPDX-License-Identifier: MIT */
#include "format/fixture.h"

Suite *npy_suite(void);

/* An array with the given header text; version 1, 2 or 3. */
static struct bytes array(unsigned char *out, int version, const char *head, const void *data,
                          size_t n)
{
	size_t n_head = strlen(head), at = 0;

	memcpy(out, "\x93NUMPY", 6);
	out[6] = (unsigned char)version;
	out[7] = 0;
	out[8] = (unsigned char)n_head;
	out[9] = (unsigned char)(n_head >> 8);
	at = 10;
	if (version > 1) {
		out[10] = out[11] = 0;
		at = 12;
	}
	memcpy(out + at, head, n_head);
	if (n)
		memcpy(out + at + n_head, data, n);
	return (struct bytes){ out, at + n_head + n };
}

START_TEST(headers_of_all_kinds)
{
	static const char *const heads[] = {
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }    \n",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, )}\n", /* MLX's */
		"{'shape':(2,3),'descr':'<f4','fortran_order':False}",
		"{ \"fortran_order\" : False , \"descr\" : \"=f4\" , \"shape\" : ( 2 , 3 , ) , } ",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L)}\n",
	};
	float data[6] = { 1, 2, 3, 4, 5, 6 };

	for (int version = 1; version <= 3; version++)
		for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
			unsigned char file[512];
			struct tensor t;
			struct arena a = { 0 };
			struct err e = { 0 };
			struct shape want = shape_of(2, (size_t)2, (size_t)3);

			ok(npy_parse(&t, array(file, version, heads[i], data, sizeof data), &a, &e),
			   &e);
			ck_assert(t.dtype == DT_F32 && shape_equal(&t.shape, &want));
			ck_assert(t.data.n == sizeof data && !memcmp(t.data.p, data, sizeof data));
			ck_assert_uint_eq(a.n_bytes, 0); /* used where it lies */
			arena_release(&a);
		}
}
END_TEST

START_TEST(headers_refused)
{
	static const struct {
		const char *head, *why;
	} rows[] = {
		{ "", "byte 10: expected '{', found its end" },
		{ "{", "expected a key in quotes" },
		{ "{'descr': '<f4'}", "expected descr, fortran_order and shape" },
		{ "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
		  "twice" },
		{ "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", "expected True or False" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': 3}", "in parentheses" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
		  "a count, found '-'" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}",
		  "',' or ')', found '.'" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
		  "a count" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
		  "at most 8" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", "found 'x'" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", "blanks to its end" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': ()", "',' or '}'" },
		{ "{'descr': '<f3', 'fortran_order': False, 'shape': ()}", "found '<f3'" },
		{ "{'descr': 'f4', 'fortran_order': False, 'shape': ()}", "found 'f4'" },
		{ "{'descr': '', 'fortran_order': False, 'shape': ()}", "found ''" },
		{ "{'descr': '<U3', 'fortran_order': False, 'shape': ()}", "found '<U3'" },
		{ "{'descr': '|O8', 'fortran_order': False, 'shape': ()}", "(pickled objects)" },
		{ "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}",
		  "no structures" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
		  "expected 8 bytes for [2] f32, found 4" },
		{ "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
		  "overflows" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, 16)}",
		  "overflows" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned char file[512];
		struct tensor t;
		struct arena a = { 0 };
		struct err e = { 0 };

		refused(npy_parse(&t, array(file, 1, rows[i].head, "abcd", 4), &a, &e), &e,
		        rows[i].why);
		ck_assert_uint_eq(a.n_bytes, 0);
	}
}
END_TEST

/* 136 bytes may not ask for a gigabyte. */
START_TEST(a_header_too_long)
{
	unsigned char file[136] = "\x93NUMPY\2\0\0\0\0\x40";
	struct tensor t;
	struct arena a = { 0 };
	struct err e = { 0 };

	refused(npy_parse(&t, (struct bytes){ file, sizeof file }, &a, &e), &e,
	        "1073741824 bytes announced, at most 65536");
}
END_TEST

static const struct {
	const char *descr;
	enum dtype t;
	size_t n;
} types[] = {
	{ "b1", DT_BOOL, 1 }, { "i1", DT_I8, 1 },  { "u1", DT_U8, 1 },   { "i2", DT_I16, 2 },
	{ "u2", DT_U16, 2 },  { "f2", DT_F16, 2 }, { "V2", DT_BF16, 2 }, { "i4", DT_I32, 4 },
	{ "u4", DT_U32, 4 },  { "f4", DT_F32, 4 }, { "i8", DT_I64, 8 },  { "u8", DT_U64, 8 },
	{ "f8", DT_F64, 8 },  { "c8", DT_C64, 8 },
};

static const struct {
	const char *text;
	struct shape s;
} shapes[] = {
	{ "()", { 0, { 0 } } },
	{ "(7,)", { 1, { 7 } } },
	{ "(3, 5)", { 2, { 3, 5 } } },
	{ "(1, 9)", { 2, { 1, 9 } } },
	{ "(40, 70)", { 2, { 40, 70 } } },
	{ "(2, 3, 4)", { 3, { 2, 3, 4 } } },
	{ "(5, 1, 2, 3)", { 4, { 5, 1, 2, 3 } } },
	{ "(2, 3, 2, 3, 2)", { 5, { 2, 3, 2, 3, 2 } } },
	{ "(0, 3)", { 2, { 0, 3 } } },
};
enum { N_ORDERS = sizeof shapes / sizeof *shapes };

/* Byte k of the element with row-major index i. */
static unsigned char element_byte(size_t i, size_t k)
{
	return (unsigned char)(i * 13 + k * 101 + (i >> 8));
}

/* The array as a file of the given order and endianness has it. */
static void lay_out(unsigned char *out, const struct shape *s, size_t n, bool fortran, char order,
                    size_t part)
{
	size_t count = 1;

	for (unsigned k = 0; k < s->rank; k++)
		count *= s->dim[k];
	for (size_t i = 0; i < count; i++) {
		size_t rest = i, place = 0, index[SHAPE_MAX_RANK], step = 1;

		for (unsigned k = s->rank; k-- > 0; rest /= s->dim[k])
			index[k] = rest % s->dim[k];
		for (unsigned k = 0; k < s->rank; k++) {
			place += index[k] * step;
			step *= s->dim[k];
		}
		if (!fortran)
			place = i;
		for (size_t k = 0; k < n; k++) {
			size_t to = order == '>' ? k / part * part + (part - 1 - k % part) : k;
			out[place * n + to] = element_byte(i, k);
		}
	}
}

START_TEST(every_order_of_every_type)
{
	size_t t = (size_t)_i;

	for (size_t s = 0; s < N_ORDERS; s++)
		for (int fortran = 0; fortran < 2; fortran++)
			for (const char *order = "<>|="; *order; order++) {
				static unsigned char data[8 * 2800], file[8 * 2800 + 512];
				size_t part = types[t].t == DT_C64  ? 4 :
				              types[t].t == DT_BF16 ? 1 :
				                                      types[t].n;
				size_t n_bytes;
				char head[256];
				struct tensor have;
				struct arena a = { 0 };
				struct err e = { 0 };

				ck_assert(shape_bytes(&n_bytes, types[t].t, &shapes[s].s));
				lay_out(data, &shapes[s].s, types[t].n, fortran, *order, part);
				snprintf(head, sizeof head,
				         "{'descr': '%c%s', 'fortran_order': %s, 'shape': %s}",
				         *order, types[t].descr, fortran ? "True" : "False",
				         shapes[s].text);
				ok(npy_parse(&have, array(file, 1, head, data, n_bytes), &a, &e),
				   &e);
				ck_assert(have.dtype == types[t].t &&
				          shape_equal(&have.shape, &shapes[s].s));
				ck_assert_uint_eq(have.data.n, n_bytes);
				for (size_t i = 0; i < n_bytes; i++)
					ck_assert_msg(have.data.p[i] ==
					                      element_byte(i / types[t].n,
					                                   i % types[t].n),
					              "%s: byte %zu", head, i);
				arena_release(&a);
			}
}
END_TEST

Suite *npy_suite(void)
{
	Suite *s = suite_create("npy");
	TCase *t = tcase_create("npy");

	tcase_add_test(t, headers_of_all_kinds);
	tcase_add_test(t, headers_refused);
	tcase_add_test(t, a_header_too_long);
	tcase_add_loop_test(t, every_order_of_every_type, 0, sizeof types / sizeof *types);
	suite_add_tcase(s, t);
	return s;
}
