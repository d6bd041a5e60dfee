/* SPDX-License-Identifier: MIT */
/* npz_check.c - archives made by hand, so that their directory may lie */
#include "format/fixture.h"

Suite *npz_suite(void);

struct entry {
	const char *name;
	struct bytes data; /* as it lies */
	unsigned method;
	uint32_t crc, n; /* of what it unpacks to */
	size_t at;       /* not 0: where its local header is already */
};

struct archive {
	struct buf b, directory;
	unsigned n;
};

static uint32_t crc_of(struct bytes b)
{
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < b.n; i++) {
		c ^= b.p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
	}
	return ~c;
}

static void add_u16(struct buf *b, unsigned v)
{
	buf_add_byte(b, (unsigned char)v);
	buf_add_byte(b, (unsigned char)(v >> 8));
}

static void add_u32(struct buf *b, uint32_t v)
{
	add_u16(b, v & 0xffff);
	add_u16(b, v >> 16);
}

/* From the version needed to the length of the extra field. */
static void add_common(struct buf *b, const struct entry *t)
{
	add_u16(b, 20);
	add_u16(b, 0);
	add_u16(b, t->method);
	add_u32(b, 0x00210000);
	add_u32(b, t->crc);
	add_u32(b, (uint32_t)t->data.n);
	add_u32(b, t->n);
	add_u16(b, (unsigned)strlen(t->name));
	add_u16(b, 0);
}

static void add_local(struct buf *b, const struct entry *t)
{
	add_u32(b, 0x04034b50);
	add_common(b, t);
	buf_add_text(b, t->name);
	buf_add(b, t->data.p, t->data.n);
}

static void add_entry(struct archive *z, const struct entry *t)
{
	size_t at = t->at ? t->at : z->b.n;

	if (!t->at)
		add_local(&z->b, t);
	add_u32(&z->directory, 0x02014b50);
	add_u16(&z->directory, 3 << 8 | 20);
	add_common(&z->directory, t);
	add_u16(&z->directory, 0);
	add_u16(&z->directory, 0);
	add_u16(&z->directory, 0);
	add_u32(&z->directory, 0);
	add_u32(&z->directory, (uint32_t)at);
	buf_add_text(&z->directory, t->name);
	z->n++;
}

static void finish(struct archive *z, const char *path)
{
	size_t at = z->b.n;

	buf_add(&z->b, z->directory.p, z->directory.n);
	add_u32(&z->b, 0x06054b50);
	add_u32(&z->b, 0);
	add_u16(&z->b, z->n);
	add_u16(&z->b, z->n);
	add_u32(&z->b, (uint32_t)z->directory.n);
	add_u32(&z->b, (uint32_t)at);
	add_u16(&z->b, 0);
	put(path, z->b.p, z->b.n);
	buf_release(&z->b);
	buf_release(&z->directory);
	*z = (struct archive){ { 0 }, { 0 }, 0 };
}

/* A u8 array that says it has n bytes and brings `n_data` of them. */
static struct bytes array(unsigned char *out, size_t n, size_t n_data)
{
	int n_head = snprintf((char *)out + 10, 100,
	                      "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu,), }\n", n);

	memcpy(out, "\x93NUMPY\1\0", 8);
	out[8] = (unsigned char)n_head;
	out[9] = 0;
	for (size_t i = 0; i < n_data; i++)
		out[10 + n_head + (int)i] = (unsigned char)i;
	return (struct bytes){ out, 10 + (size_t)n_head + n_data };
}

/* Deflate without packing: one stored block. */
static struct bytes deflated(unsigned char *out, struct bytes b)
{
	out[0] = 1;
	out[1] = (unsigned char)b.n;
	out[2] = (unsigned char)(b.n >> 8);
	out[3] = (unsigned char)~out[1];
	out[4] = (unsigned char)~out[2];
	memcpy(out + 5, b.p, b.n);
	return (struct bytes){ out, b.n + 5 };
}

static struct entry stored(const char *name, struct bytes b)
{
	return (struct entry){ name, b, 0, crc_of(b), (uint32_t)b.n, 0 };
}

/* Opens and reads everything. */
static int read_all(struct err *e)
{
	struct source *s;
	struct arena a = { 0 };
	struct bytes b;
	int failed = source_open(&s, "x.npz", e);

	if (failed)
		return -1;
	for (size_t i = 0; i < source_count(s) && !failed; i++)
		failed = source_data(s, source_tensor(s, i), &b, &a, e);
	arena_release(&a);
	source_close(s);
	return failed;
}

static unsigned char raw[4096], packed[4096];

START_TEST(what_is_right_is_read)
{
	struct archive z = { 0 };
	struct entry t = stored("a.npy", array(raw, 100, 100)), d = t;
	struct source *s;
	struct err e = { 0 };
	struct bytes b;
	struct arena a = { 0 };

	d.name = "b.x.npy";
	d.method = 8;
	d.data = deflated(packed, t.data);
	add_entry(&z, &t);
	add_entry(&z, &d);
	t.name = "README";
	add_entry(&z, &t);
	t.name = ".npy";
	add_entry(&z, &t);
	finish(&z, "x.npz");
	ok(source_open(&s, "x.npz", &e), &e);
	ck_assert_uint_eq(source_count(s), 2);
	ok(source_data(s, source_find(s, "a"), &b, &a, &e), &e);
	ck_assert(b.n == 100 && b.p[99] == 99 && a.n_bytes == 0);
	ck_assert_ptr_eq(source_find(s, "a")->data.p, b.p);
	ok(source_data(s, source_find(s, "b.x"), &b, &a, &e), &e);
	ck_assert(b.n == 100 && b.p[99] == 99 && a.n_bytes >= 100);
	arena_release(&a);
	source_close(s);
}
END_TEST

START_TEST(sums_are_checked)
{
	struct archive z = { 0 };
	struct entry t = stored("a.npy", array(raw, 100, 100));
	struct err e = { 0 };

	t.crc ^= 1;
	add_entry(&z, &t);
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "x.npz: a.npy: unpacking: CRC error");
	t.method = 8;
	t.data = deflated(packed, t.data);
	add_entry(&z, &t);
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "x.npz: a.npy: unpacking: CRC error");
}
END_TEST

/* The directory says less, or more, than the stream gives. */
START_TEST(lengths_are_checked)
{
	struct archive z = { 0 };
	struct bytes longer = array(raw, 10, 2000);
	struct entry t = { "a.npy", deflated(packed, longer), 8, crc_of(longer), 0, 0 };
	struct err e = { 0 };

	t.n = (uint32_t)(longer.n - 1990);
	add_entry(&z, &t);
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "more bytes than the directory says");
	longer = array(raw, 2000, 1000);
	t.crc = crc_of(longer);
	t.data = deflated(packed, longer);
	t.n = (uint32_t)longer.n + 1000;
	add_entry(&z, &t);
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "ends 1000 bytes early");
}
END_TEST

START_TEST(bombs_are_refused)
{
	struct archive z = { 0 };
	struct bytes one = array(raw, 100000000, 100);
	struct entry t = { "a.npy", deflated(packed, one), 8, crc_of(one), 100000000, 0 };
	char names[16][8];
	struct err e = { 0 };

	add_entry(&z, &t);
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "a.npy: unpacks to 100000000 bytes; at most 335");
	/* and many together */
	one = array(raw, 10000000, 100);
	t.data = deflated(packed, one);
	t.n = (uint32_t)one.n - 100 + 10000000;
	for (int i = 0; i < 16; i++) {
		snprintf(names[i], sizeof names[i], "%d.npy", i);
		t.name = names[i];
		add_entry(&z, &t);
	}
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "3.npy: unpacks to");
}
END_TEST

/* A member inside another's bytes. */
START_TEST(overlaps_are_refused)
{
	struct archive z = { 0 };
	struct entry inner = stored("b.npy", array(packed, 50, 50)), outer;
	struct buf local = { 0 };
	struct bytes head;
	struct err e = { 0 };

	add_local(&local, &inner);
	head = array(raw, local.n, 0);
	memcpy(raw + head.n, local.p, local.n);
	outer = stored("a.npy", (struct bytes){ raw, head.n + local.n });
	add_entry(&z, &outer);
	inner.at = z.b.n - local.n;
	add_entry(&z, &inner);
	finish(&z, "x.npz");
	buf_release(&local);
	refused(read_all(&e), &e, "b.npy: its data at byte");
}
END_TEST

START_TEST(names_are_checked)
{
	static const struct {
		const char *name, *why;
	} rows[] = {
		{ "/a.npy", "a name that is none" },
		{ "../a.npy", "a name that is none" },
		{ "clm/../a.npy", "a name that is none" },
		{ "clm/a/b.npy", "expected a plain file name" },
		{ "clm/.hidden.npy", "expected a plain file name" },
		{ "archive/data.pkl", "(a PyTorch pickle)" },
		{ "a.txt", "expected .npy members, found none" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct archive z = { 0 };
		struct entry t = stored(rows[i].name, array(raw, 3, 3));
		struct err e = { 0 };

		add_entry(&z, &t);
		finish(&z, "x.npz");
		refused(read_all(&e), &e, rows[i].why);
	}
}
END_TEST

/* Many members open without their data being read. */
START_TEST(order_is_kept)
{
	struct archive z = { 0 };
	struct entry t = stored("clm/config.json.npy", array(raw, 2, 2));
	struct err e = { 0 };
	struct source *s;
	char name[16];

	for (int i = 0; i < 200; i++) {
		t.name = name;
		snprintf(name, sizeof name, "t%d.npy", 199 - i);
		add_entry(&z, &t);
	}
	t.name = "clm/config.json.npy";
	add_entry(&z, &t);
	finish(&z, "x.npz");
	ok(source_open(&s, "x.npz", &e), &e);
	ck_assert_uint_eq(source_count(s), 200);
	for (size_t i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "t%zu", 199 - i);
		ck_assert_str_eq(source_tensor(s, i)->name, name);
	}
	source_close(s);
	/* a tensor after the siblings would be taken for one */
	add_entry(&z, &t);
	t.name = "late.npy";
	add_entry(&z, &t);
	finish(&z, "x.npz");
	refused(read_all(&e), &e, "late: expected clm/ members last");
}
END_TEST

Suite *npz_suite(void)
{
	Suite *s = suite_create("npz");
	TCase *t = tcase_create("npz");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_add_test(t, what_is_right_is_read);
	tcase_add_test(t, sums_are_checked);
	tcase_add_test(t, lengths_are_checked);
	tcase_add_test(t, bombs_are_refused);
	tcase_add_test(t, overlaps_are_refused);
	tcase_add_test(t, names_are_checked);
	tcase_add_test(t, order_is_kept);
	suite_add_tcase(s, t);
	return s;
}
