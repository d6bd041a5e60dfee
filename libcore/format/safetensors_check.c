/* SPDX-License-Identifier: MIT */
#include "format/fixture.h"

Suite *safetensors_suite(void);

static unsigned char file[4096];

/* Header text and n bytes of data, as a file. */
static struct bytes make(const char *head, size_t n)
{
	uint64_t n_head = strlen(head);

	memcpy(file, &n_head, 8);
	memcpy(file + 8, head, n_head);
	memset(file + 8 + n_head, 'd', n);
	return (struct bytes){ file, 8 + n_head + n };
}

static struct arena arena;

static int parse(struct parsed *p, const char *head, size_t n, struct err *e)
{
	arena_release(&arena);
	return safetensors_parse(p, make(head, n), &arena, e);
}

START_TEST(accepted)
{
	struct parsed p;
	struct err e = { 0 };

	ok(parse(&p, "{}", 0, &e), &e);
	ck_assert(p.n_tensors == 0 && p.n_meta == 0);
	ok(parse(&p, "{\"__metadata__\":null}        ", 0, &e), &e);
	ck_assert(p.n_tensors == 0 && p.n_meta == 0);
	ok(parse(&p, "{\"__metadata__\":{\"format\":\"pt\",\"\\u00e9\":\"\"}}\n", 0, &e), &e);
	ck_assert(p.n_meta == 2 && !strcmp(p.meta[1].key, "\xc3\xa9"));
	ck_assert(p.meta[0].type == META_STRING && bytes_is(p.meta[0].raw, "pt"));
	/* in any order, fields unknown to us among them, a scalar, an empty one */
	ok(parse(&p,
	         "{\"b\":{\"data_offsets\":[2,6],\"x\":[{}],\"shape\":[],\"dtype\":\"F32\"},"
	         "\"z\":{\"dtype\":\"I64\",\"shape\":[0,9],\"data_offsets\":[2,2]},"
	         "\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,2],\"data_offsets\":[0,2]}}",
	         6, &e),
	   &e);
	ck_assert_uint_eq(p.n_tensors, 3);
	ck_assert(!strcmp(p.tensor[0].name, "a") && p.tensor[0].dtype == DT_F8_E4M3);
	ck_assert(!strcmp(p.tensor[1].name, "z") && p.tensor[1].data.n == 0);
	ck_assert(!strcmp(p.tensor[2].name, "b") && p.tensor[2].shape.rank == 0);
	ck_assert(p.tensor[2].data.p == p.tensor[0].data.p + 2 && p.tensor[2].data.n == 4);
	arena_release(&arena);
}
END_TEST

#define ONE "\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]"

static const struct {
	const char *head;
	size_t n;
	const char *why;
} bad[] = {
	{ "[]", 0, "header: expected '{' at byte 8, found byte 5b" },
	{ "{} x", 0, "header: byte 3" },
	{ "{\"a\":1}", 0, "a: expected an object with dtype, shape and data_offsets" },
	{ "{\"a\":{}}", 0, "a: dtype missing" },
	{ "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0, "a: shape missing" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0, "a: data_offsets missing" },
	{ "{\"a\":{" ONE ",\"dtype\":\"U8\"}}", 4, "a: a field appears twice" },
	{ "{\"a\":{" ONE "},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}", 5,
	  "a: appears twice" },
	{ "{\"a\":{" ONE "},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}", 4,
	  "a: appears twice" },
	{ "{\"a\":{" ONE "}}", 5, "data: expected 4 bytes, found 5" },
	{ "{\"a\":{" ONE "}}", 3, "data: expected 4 bytes, found 3" },
	{ "{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2, "found \"F4\"" },
	{ "{\"a\":{\"dtype\":4,\"shape\":[4],\"data_offsets\":[0,2]}}", 2,
	  "a: expected a dtype name" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4,
	  "a: expected 3 bytes for [3] u8, found data_offsets [0,4]" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,0]}}", 4, "[4,0]" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0]}}", 0, "found 1" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}", 1, "found 1e0" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,1]}}", 1,
	  "found 18446744073709551616" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
	  "more than 8 numbers" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[[1]],\"data_offsets\":[0,1]}}", 1,
	  "a: expected a shape" },
	{ "{\"__metadata__\":null,\"__metadata__\":null}", 0, "__metadata__ appears twice" },
	{ "{\"__metadata__\":[]}", 0, "__metadata__: expected an object or null" },
	{ "{\"__metadata__\":{\"a\":{}}}", 0, "__metadata__: expected strings" },
	{ "{\"a\":{" ONE "}", 4, "header: byte" },
	{ "{\"\\u0000\":{" ONE "}}", 4, "header: byte" },
};

START_TEST(refusals)
{
	struct parsed p;
	struct err e = { 0 };

	refused(parse(&p, bad[_i].head, bad[_i].n, &e), &e, bad[_i].why);
	arena_release(&arena);
}
END_TEST

START_TEST(lengths)
{
	struct parsed p;
	struct err e = { 0 };
	uint64_t n = 100000001;

	refused(safetensors_parse(&p, (struct bytes){ file, 7 }, &arena, &e), &e, "found 7");
	memcpy(file, &n, 8);
	refused(safetensors_parse(&p, (struct bytes){ file, sizeof file }, &arena, &e), &e,
	        "header length: expected 1 to 100000000, found 100000001");
	n = sizeof file - 7;
	memcpy(file, &n, 8);
	refused(safetensors_parse(&p, (struct bytes){ file, sizeof file }, &arena, &e), &e,
	        "header: expected 4089 bytes, found 4088");
}
END_TEST

Suite *safetensors_suite(void)
{
	Suite *s = suite_create("safetensors");
	TCase *t = tcase_create("safetensors");

	tcase_add_test(t, accepted);
	tcase_add_loop_test(t, refusals, 0, sizeof bad / sizeof *bad);
	tcase_add_test(t, lengths);
	suite_add_tcase(s, t);
	return s;
}
