/* SPDX-License-Identifier: MIT */
#include "format/fixture.h"

#include "format/gguf.h"

Suite *gguf_suite(void);

static struct buf b;
static struct arena arena;

static void num(uint64_t v, size_t n)
{
	buf_add(&b, &v, n);
}

static void text(const char *s)
{
	num(strlen(s), 8);
	buf_add_text(&b, s);
}

static void begin(unsigned version, uint64_t n_tensors, uint64_t n_meta)
{
	buf_clear(&b);
	num(GGUF_MAGIC, 4);
	num(version, 4);
	num(n_tensors, 8);
	num(n_meta, 8);
}

static void tensor(const char *name, unsigned rank, const uint64_t *ne, unsigned type,
                   uint64_t offset)
{
	text(name);
	num(rank, 4);
	for (unsigned i = 0; i < rank; i++)
		num(ne[i], 8);
	num(type, 4);
	num(offset, 8);
}

static void data(size_t alignment, size_t n)
{
	buf_add_zeros(&b, (alignment - b.n % alignment) % alignment);
	for (size_t i = 0; i < n; i++)
		buf_add_byte(&b, (unsigned char)i);
}

static int parse(struct parsed *p, struct err *e)
{
	arena_release(&arena);
	return gguf_parse(p, buf_bytes(&b), &arena, e);
}

static void fails(const char *why)
{
	struct parsed p;
	struct err e = { 0 };

	refused(parse(&p, &e), &e, why);
}

START_TEST(tensors_and_order)
{
	static const uint64_t two[] = { 32, 3 }, four[] = { 4, 1, 2, 1 };
	struct shape want = shape_of(2, (size_t)3, (size_t)32);
	struct shape deep = shape_of(4, (size_t)1, (size_t)2, (size_t)1, (size_t)4);
	struct parsed p;
	struct err e = { 0 };

	begin(3, 2, 0);
	tensor("late", 2, two, 8, 32);
	tensor("early", 4, four, 0, 0);
	data(32, 32 + 102); /* no padding at the end */
	ok(parse(&p, &e), &e);
	ck_assert_uint_eq(p.n_tensors, 2);
	ck_assert_str_eq(p.tensor[0].name, "early");
	ck_assert(p.tensor[0].dtype == DT_F32 && shape_equal(&p.tensor[0].shape, &deep));
	ck_assert(p.tensor[1].dtype == DT_Q8_0 && shape_equal(&p.tensor[1].shape, &want));
	ck_assert(p.tensor[1].data.n == 102 && p.tensor[1].data.p[0] == 32);
	begin(2, 0, 0); /* a vocabulary alone has no padding either */
	ok(parse(&p, &e), &e);
}
END_TEST

START_TEST(alignments)
{
	static const uint64_t one[] = { 8 };
	static const struct {
		unsigned type;
		uint64_t v;
		size_t n;
		bool good;
	} rows[] = {
		{ META_U32, 1, 1, true },
		{ META_U32, 64, 64, true },
		{ META_U32, 1 << 20, 1 << 20, true },
		{ META_U64, 8, 8, true },
		{ META_I32, 16, 16, true },
		{ META_U32, 0, 1, false },
		{ META_U32, 24, 8, false },
		{ META_U32, 1 << 21, 8, false },
		{ META_I32, UINT32_MAX, 8, false },
		{ META_F32, 0x7fc00000, 8, false },
		{ META_U64, UINT64_MAX, 8, false },
	};
	static const size_t size[] = {
		[META_U32] = 4, [META_I32] = 4, [META_F32] = 4, [META_U64] = 8
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct parsed p;
		struct err e = { 0 };

		begin(3, 1, 1);
		text("general.alignment");
		num(rows[i].type, 4);
		num(rows[i].v, size[rows[i].type]);
		tensor("t", 1, one, 24, 0);
		data(rows[i].n, 8);
		if (rows[i].good) {
			ok(parse(&p, &e), &e);
			ck_assert(p.tensor[0].data.p[7] == 7);
		} else {
			fails("general.alignment: expected a power of two");
		}
	}
	begin(3, 0, 1);
	text("general.alignment");
	num(META_STRING, 4);
	text("32");
	fails("general.alignment: expected a number");
}
END_TEST

START_TEST(bad_metadata)
{
	begin(3, 0, 1);
	text("");
	num(0, 8);
	fails("byte 24: a metadata key: expected 1 to 65535 bytes, found 0");
	begin(3, 0, 1);
	text("k");
	num(13, 4);
	num(0, 8);
	fails("k: value type: expected 0 to 12, found 13");
	begin(3, 0, 1);
	text("k");
	num(META_ARRAY, 4);
	num(META_ARRAY, 4);
	num(0, 8);
	fails("k: array items of type 9");
	begin(3, 0, 1);
	text("k");
	num(META_ARRAY, 4);
	num(META_U32, 4);
	num((uint64_t)1 << 62, 8);
	fails("k: 4611686018427387904 items announced, room for 0");
	begin(3, 0, 1);
	text("k");
	num(META_ARRAY, 4);
	num(META_STRING, 4);
	num(3, 8);
	buf_add_zeros(&b, 16);
	fails("k: 3 strings announced, room for 2");
	begin(3, 0, 1);
	text("k");
	num(META_ARRAY, 4);
	num(META_STRING, 4);
	num(2, 8);
	num(9, 8);
	num(0, 8);
	fails("k: ends early");
	begin(3, 0, 1);
	text("k");
	num(META_STRING, 4);
	num(UINT64_MAX, 8);
	fails("k: ends early, at byte");
	begin(3, 0, 1);
	num(3, 8);
	buf_add(&b, "a\0b", 3);
	num(META_U64, 4);
	num(0, 8);
	fails("a metadata key: expected UTF-8 text");
}
END_TEST

START_TEST(bad_tensors)
{
	static const uint64_t none[] = { 0, 8, 1, 1 }, odd[] = { 33 };
	struct parsed p;
	struct err e = { 0 };

	begin(3, 1, 0);
	tensor("t", 0, none, 0, 0);
	buf_add_zeros(&b, 16);
	fails("t: rank: expected 1 to 4, found 0");
	begin(3, 1, 0);
	tensor("t", 1, odd, 2, 0);
	fails("t: [33] q4_0 overflows or is no multiple of a block of 32");
	begin(3, 1, 0);
	tensor("t", 1, none + 1, 24, 16);
	data(32, 32);
	fails("t: offset 16: expected a multiple of 32");
	begin(3, 2, 0);
	tensor("a", 4, none, 0, 0); /* nothing, twice in one place */
	tensor("b", 4, none, 0, 0);
	ok(parse(&p, &e), &e);
	begin(3, 2, 0);
	tensor("a", 1, none + 1, 26, 0);
	tensor("b", 1, none + 1, 28, 32);
	data(32, 32 + 64);
	ok(parse(&p, &e), &e);
	begin(3, 2, 0);
	tensor("a", 1, none + 1, 28, 0);
	tensor("b", 1, none + 1, 28, 32);
	data(32, 32 + 64);
	fails("b: offset 32 lies inside the tensor before, to 64");
}
END_TEST

START_TEST(every_type_has_an_id)
{
	/* what only other containers have */
	static const enum dtype others[] = { DT_BOOL, DT_U8,      DT_U16,     DT_U32,    DT_U64,
		                             DT_C64,  DT_F8_E4M3, DT_F8_E5M2, DT_F8_E8M0 };
	unsigned id, n = 0, seen[64] = { 0 };

	for (unsigned t = 0; t < DT_COUNT; t++)
		if (gguf_type_id(&id, (enum dtype)t)) {
			ck_assert(id < 43 && !seen[id]++);
			n++;
		}
	ck_assert_uint_eq(n, 35);
	ck_assert_uint_eq(n + sizeof others / sizeof *others, DT_COUNT);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		ck_assert(!gguf_type_id(&id, others[i]));
}
END_TEST

static void empty(void)
{
	arena_release(&arena);
	buf_release(&b);
}

Suite *gguf_suite(void)
{
	Suite *s = suite_create("gguf");
	TCase *t = tcase_create("gguf");

	tcase_add_checked_fixture(t, NULL, empty);
	tcase_add_test(t, tensors_and_order);
	tcase_add_test(t, alignments);
	tcase_add_test(t, bad_metadata);
	tcase_add_test(t, bad_tensors);
	tcase_add_test(t, every_type_has_an_id);
	suite_add_tcase(s, t);
	return s;
}
