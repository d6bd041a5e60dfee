/* SPDX-License-Identifier: MIT */
#include "tensor/tensor.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *dtype_suite(void);

static float bits_to_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

/* A half's value from its fields. */
static double half_value(unsigned h)
{
	int e = h >> 10 & 31, m = h & 1023;
	double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);

	return h & 0x8000 ? -v : v;
}

START_TEST(halves_to_floats)
{
	for (unsigned h = 0; h < 65536; h++) {
		double want = half_value(h);
		float have = f16_to_f32((uint16_t)h);

		if (isnan(want))
			ck_assert_msg(isnan(have), "%04x", h);
		else
			ck_assert_msg(have == want && !signbit(have) == !signbit(want), "%04x: %a",
			              h, have);
	}
}
END_TEST

/* Many at once, from an odd address, and some left over: the same bits. */
START_TEST(halves_to_floats_in_rows)
{
	static const enum dtype types[] = { DT_F16, DT_BF16 };
	unsigned char raw[2 * 259 + 1];
	float row[259];

	for (size_t t = 0; t < 2; t++)
		for (unsigned first = 0; first < 65536; first += 256) {
			for (unsigned i = 0; i < 259; i++) {
				uint16_t h = (uint16_t)(first + i);

				memcpy(raw + 1 + 2 * i, &h, sizeof h);
			}
			ck_assert(dtype_to_f32(types[t], row, raw + 1, 259));
			for (unsigned i = 0; i < 259; i++) {
				uint16_t h = (uint16_t)(first + i);
				float want = t ? bf16_to_f32(h) : f16_to_f32(h);

				ck_assert_msg(!memcmp(&row[i], &want, sizeof want), "%04x", (unsigned)h);
			}
		}
}
END_TEST

/* Each half, the middle between it and the next (to even), and both sides. */
START_TEST(floats_to_halves)
{
	for (unsigned h = 0; h < 0x7c00; h++) {
		float low = (float)half_value(h);
		double high = h == 0x7bff ? 65536 : half_value(h + 1);
		float middle = (float)((low + high) / 2);
		unsigned even = h & 1 ? h + 1 : h;

		ck_assert_uint_eq(f16_from_f32(low), h);
		ck_assert_uint_eq(f16_from_f32(-low), h | 0x8000);
		ck_assert_uint_eq(f16_from_f32(middle), even);
		ck_assert_uint_eq(f16_from_f32(nextafterf(middle, 0)), h);
		ck_assert_uint_eq(f16_from_f32(nextafterf(middle, INFINITY)), h + 1);
	}
	ck_assert_uint_eq(f16_from_f32(INFINITY), 0x7c00);
	ck_assert_uint_eq(f16_from_f32(-1e30f), 0xfc00);
	ck_assert_uint_eq(f16_from_f32(NAN) & 0x7fff, 0x7e00);
}
END_TEST

START_TEST(bfloats)
{
	for (unsigned h = 0; h < 65536; h++) {
		float f = bf16_to_f32((uint16_t)h);
		bool nan = (h & 0x7fff) > 0x7f80;

		ck_assert(isnan(f) ? nan : f == bits_to_float((uint32_t)h << 16));
		ck_assert_uint_eq(bf16_from_f32(f), nan ? h | 64 : h);
	}
	ck_assert_uint_eq(bf16_from_f32(bits_to_float(0x3f808000)), 0x3f80); /* ties to even */
	ck_assert_uint_eq(bf16_from_f32(bits_to_float(0x3f818000)), 0x3f82);
	ck_assert_uint_eq(bf16_from_f32(bits_to_float(0x3f808001)), 0x3f81);
	ck_assert_uint_eq(bf16_from_f32(bits_to_float(0x7f7fffff)), 0x7f80);
	ck_assert_uint_eq(bf16_from_f32(bits_to_float(0x7f800001)), 0x7fc0);
}
END_TEST

START_TEST(eight_bit_floats)
{
	for (unsigned i = 0; i < 256; i++) {
		unsigned char c = (unsigned char)i;
		int e = i >> 3 & 15, m = i & 7;
		double want = e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
		float f;

		ck_assert(dtype_to_f32(DT_F8_E4M3, &f, &c, 1));
		ck_assert((i & 127) == 127 ? isnan(f) : f == (i & 128 ? -want : want));
		ck_assert(dtype_to_f32(DT_F8_E5M2, &f, &c, 1));
		ck_assert(isnan(half_value(i << 8)) ? isnan(f) : f == half_value(i << 8));
		ck_assert(dtype_to_f32(DT_F8_E8M0, &f, &c, 1));
		ck_assert(i == 255 ? isnan(f) : f == ldexp(1, (int)i - 127));
	}
}
END_TEST

START_TEST(integers_and_doubles)
{
	int8_t i8 = -5;
	int16_t i16 = -300;
	int32_t i32 = -70000;
	int64_t i64 = -5000000000;
	uint16_t u16 = 65535;
	uint32_t u32 = 4000000000u;
	uint64_t u64 = 1ull << 63;
	uint8_t u8 = 255, truth = 1;
	double f64 = 0.1;
	const struct {
		enum dtype t;
		const void *p;
		float want;
	} rows[] = {
		{ DT_I8, &i8, -5 },      { DT_I16, &i16, -300 },    { DT_I32, &i32, -70000 },
		{ DT_I64, &i64, -5e9f }, { DT_U8, &u8, 255 },       { DT_U16, &u16, 65535 },
		{ DT_U32, &u32, 4e9f },  { DT_U64, &u64, 0x1p63f }, { DT_BOOL, &truth, 1 },
		{ DT_F64, &f64, 0.1f },
	};
	float f;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ck_assert(dtype_to_f32(rows[i].t, &f, rows[i].p, 1));
		ck_assert_msg(f == rows[i].want, "%s: %g", dtype_info(rows[i].t)->name, f);
	}
	ck_assert(!dtype_to_f32(DT_C64, &f, &u64, 1));
	ck_assert(!dtype_from_f32(DT_I8, &i8, &f, 1));
}
END_TEST

/* Odd counts, unaligned bytes: to each plain float and back. */
START_TEST(round_trips)
{
	static const enum dtype types[] = { DT_F16, DT_BF16, DT_F32, DT_F64 };
	float in[37], out[37];
	unsigned char bytes[37 * 8 + 1];

	for (int i = 0; i < 37; i++)
		in[i] = (float)(i - 18) / 8;
	for (size_t t = 0; t < 4; t++) {
		memset(out, 0, sizeof out);
		ck_assert(dtype_from_f32(types[t], bytes + 1, in, 37));
		ck_assert(dtype_to_f32(types[t], out, bytes + 1, 37));
		ck_assert_mem_eq(in, out, sizeof in);
	}
}
END_TEST

START_TEST(every_type_has_a_row)
{
	for (unsigned t = 0; t < DT_COUNT; t++) {
		const struct dtype_info *d = dtype_info((enum dtype)t);

		ck_assert_ptr_nonnull(d->name);
		ck_assert(d->block && d->block_bytes);
		for (unsigned o = 0; o < t; o++)
			ck_assert_str_ne(d->name, dtype_info((enum dtype)o)->name);
	}
}
END_TEST

START_TEST(shapes)
{
	struct shape a = shape_of(2, (size_t)2048, (size_t)1024), b = a, scalar = shape_of(0);
	struct shape big = shape_of(3, SIZE_MAX / 2, (size_t)3, (size_t)0);
	char text[64];
	size_t n = 7;

	ck_assert_str_eq(shape_text(text, sizeof text, DT_F16, &a), "[2048,1024] f16");
	ck_assert_str_eq(shape_text(text, sizeof text, DT_Q4_0, &scalar), "[] q4_0");
	ck_assert_str_eq(shape_text(text, 8, DT_F16, &a), "[2048,1");
	ck_assert(shape_equal(&a, &b));
	b.dim[1] = 1;
	ck_assert(!shape_equal(&a, &b) && !shape_equal(&a, &scalar));
	ck_assert(shape_count(&n, &scalar) && n == 1);
	ck_assert(shape_count(&n, &a) && n == 2048 * 1024);
	ck_assert(!shape_count(&n, &big)); /* an axis of none hides nothing */
	ck_assert(shape_bytes(&n, DT_Q4_K, &a) && n == 2048 * 4 * 144);
	a.dim[1] = 1000;
	ck_assert(!shape_bytes(&n, DT_Q4_K, &a));
	ck_assert(shape_bytes(&n, DT_F32, &a) && n == 2048 * 4000);
	a = shape_of(2, (size_t)0, (size_t)32);
	ck_assert(shape_bytes(&n, DT_Q8_0, &a) && n == 0);
	a = shape_of(1, SIZE_MAX / 2);
	ck_assert(shape_count(&n, &a) && !shape_bytes(&n, DT_F32, &a));
}
END_TEST

Suite *dtype_suite(void)
{
	Suite *s = suite_create("dtype");
	TCase *t = tcase_create("dtype");

	tcase_add_test(t, halves_to_floats);
	tcase_add_test(t, halves_to_floats_in_rows);
	tcase_add_test(t, floats_to_halves);
	tcase_add_test(t, bfloats);
	tcase_add_test(t, eight_bit_floats);
	tcase_add_test(t, integers_and_doubles);
	tcase_add_test(t, round_trips);
	tcase_add_test(t, every_type_has_a_row);
	tcase_add_test(t, shapes);
	suite_add_tcase(s, t);
	return s;
}
