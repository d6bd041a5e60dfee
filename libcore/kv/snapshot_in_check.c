/* SPDX-License-Identifier: MIT */
/* snapshot_in_check.c - prompt-cache files as mlx_lm writes them, now and
 * before 0.32.2, and files of strangers; all made with our own writer */
#include "kv/check.h"
#include "kv/snapshot.h"

#include "format/format.h"

#include <stdio.h>
#include <unistd.h>

/* A file of two layers, KVCache and RotatingKVCache, and what differs. */
struct made {
	bool old;
	const char *class[3];
	size_t n, stored[2]; /* positions; rows of layers 0 and 1 */
	size_t heads, dim;   /* of layer 0 */
	enum dtype dtype;
	int32_t scalar[2][6]; /* [SCALAR_...] */
	const char *ids, *digest;
	size_t n_extra;   /* more tensors than belong there */
	const char *skip; /* a tensor left out */
	float fill;       /* in place of every number, unless 0 */
};

static struct made plain(size_t n)
{
	return (struct made){
		.class = { CLASS_PLAIN, CLASS_RING },
		.n = n,
		.stored = { n, n },
		.heads = 2,
		.dim = DIM,
		.dtype = DT_F32,
		.scalar = { { 0, 0, (int32_t)n }, { 0, 0, (int32_t)n, 0, WINDOW, (int32_t)n } },
	};
}

static const char *path(void)
{
	static char name[64];

	snprintf(name, sizeof name, "/tmp/clm-cache-%ld.safetensors", (long)getpid());
	return name;
}

/* ---- making one */

static bool skipped(const struct made *m, size_t layer, size_t part)
{
	return m->skip && m->skip[0] == '0' + (int)layer && m->skip[2] == '0' + (int)part;
}

static void meta(struct writer *w, const char *before, size_t i, const char *after,
                 const char *text)
{
	char key[64];
	struct err e;

	snprintf(key, sizeof key, "%s%zu%s", before, i, after);
	ck_assert_msg(!writer_meta_text(w, key, bytes_of(text), &e), "%s", e.text);
}

static void declare_scalars(struct writer *w, const struct made *m, size_t l, size_t *k)
{
	static const unsigned old_place[] = {
		[SCALAR_KEEP] = 0,
		[SCALAR_SIZE] = 1,
		[SCALAR_OFFSET] = 2,
		[SCALAR_INDEX] = 3,
	};
	struct shape none = shape_of(0);
	char name[32], number[16];
	struct err e;

	for (unsigned i = SCALAR_OFFSET; i <= (l ? SCALAR_INDEX : SCALAR_OFFSET); i++) {
		if (skipped(m, l, i))
			continue;
		if (m->old) {
			snprintf(name, sizeof name, ".%u", old_place[i]);
			snprintf(number, sizeof number, "%d", (int)m->scalar[l][i]);
			meta(w, "0.", l, name, number);
			continue;
		}
		snprintf(name, sizeof name, "%zu.%u", l, i);
		ck_assert(!writer_declare(w, name, DT_I32, &none, &e));
		meta(w, "2.", ++*k, ".0", name);
		meta(w, "2.", *k, ".1", "scalar");
	}
}

static void declare(struct writer *w, const struct made *m)
{
	struct shape none = shape_of(0);
	char name[32];
	struct err e;
	size_t k = 0;

	if (!m->old)
		meta(w, "2.", 0, "", "");
	for (size_t l = 0; l < 3 && m->class[l]; l++)
		meta(w, m->old ? "2." : "1.", l, "", m->class[l]);
	if (m->ids)
		meta(w, "", m->old, ".clm.ids", m->ids);
	if (m->digest)
		meta(w, "", m->old, ".clm.model", m->digest);
	for (size_t l = 0; l < N_LAYERS; l++) {
		for (size_t side = 0; side < 2; side++) {
			size_t dim = side ? check_layers[l].v_dim : check_layers[l].k_dim;
			struct shape s = shape_of(4, (size_t)1, l ? (size_t)1 : m->heads,
			                          m->stored[l], l ? dim : m->dim);

			snprintf(name, sizeof name, "%zu.%zu", l, side);
			if (!skipped(m, l, side))
				ck_assert(!writer_declare(w, name, m->dtype, &s, &e));
		}
		declare_scalars(w, m, l, &k);
	}
	for (size_t i = 0; i < m->n_extra; i++) {
		snprintf(name, sizeof name, "extra%zu", i);
		ck_assert(!writer_declare(w, name, DT_I32, &none, &e));
	}
}

/* The position in stored row i of a layer; rings have turned once they hold
 * less than there was. Room behind the last position is anything. */
static size_t position(const struct made *m, size_t layer, size_t i)
{
	size_t index = (size_t)m->scalar[layer][SCALAR_INDEX], stored = m->stored[layer];

	if (m->n <= stored)
		return i < m->n ? i : 0;
	return i < index ? m->n - index + i : m->n - index - stored + i;
}

static void give_rows(struct writer *w, const struct made *m, size_t l, bool keys,
                      const int32_t *id)
{
	size_t heads = l ? 1 : m->heads, dim = keys ? check_layers[l].k_dim : check_layers[l].v_dim;
	struct err e;

	dim = l ? dim : m->dim;
	for (size_t h = 0; h < heads; h++)
		for (size_t i = 0; i < m->stored[l]; i++) {
			uint32_t hash = hash_of(id, position(m, l, i));

			for (size_t j = 0; j < dim; j++) {
				float v = value(hash, l, h, keys, j);
				char out[4];

				v = m->fill != 0 ? m->fill : v;
				memcpy(out, &v, sizeof v);
				ck_assert(!writer_data(w, out, dtype_info(m->dtype)->block_bytes,
				                       &e));
			}
		}
}

static void make(const struct made *m, const int32_t *id)
{
	struct writer_options o = { .container = CONTAINER_SAFETENSORS };
	struct writer *w;
	struct err e;

	ck_assert_msg(!writer_open(&w, path(), false, &o, &e), "%s", e.text);
	declare(w, m);
	for (size_t l = 0; l < N_LAYERS; l++) {
		for (size_t side = 0; side < 2; side++)
			if (!skipped(m, l, side))
				give_rows(w, m, l, !side, id);
		for (unsigned i = SCALAR_OFFSET; i <= (l ? SCALAR_INDEX : SCALAR_OFFSET) && !m->old;
		     i++)
			if (!skipped(m, l, i))
				ck_assert(!writer_data(w, &m->scalar[l][i], 4, &e));
	}
	for (size_t i = 0; i < m->n_extra; i++)
		ck_assert(!writer_data(w, id, 4, &e));
	ck_assert_msg(!writer_commit(w, &e), "%s", e.text);
}

/* ---- those that load */

static void loads(const struct made *m)
{
	struct kv_seq *s;
	int32_t id[300];
	bool has_ids;
	struct err e;

	open_pool(1024, 0, WINDOW, 0);
	count_up(id, 300, 0);
	make(m, id);
	s = open_seq();
	ck_assert_msg(!kv_load(s, path(), "abc", &has_ids, &e), "%s", e.text);
	ck_assert_int_eq(has_ids, m->ids != NULL);
	for (size_t i = 0; i < m->n; i++)
		ck_assert_int_eq(kv_ids(s)[i], m->ids ? (int32_t)i : -1);
	verify_rows(s, id, m->n, 0);
	kv_seq_close(s);
	unlink(path());
	close_pool();
}

START_TEST(files_of_mlx_load)
{
	struct made m = plain(30);

	loads(&m);
	m.old = true;
	loads(&m);
	m = plain(30); /* keys keep their room in new files */
	m.stored[0] = m.stored[1] = 256;
	loads(&m);
	m = plain(100); /* a ring that turned: the oldest at 13 */
	m.stored[1] = WINDOW;
	m.scalar[1][SCALAR_INDEX] = 13;
	loads(&m);
	m.old = true;
	loads(&m);
	m.scalar[1][SCALAR_INDEX] = WINDOW;
	loads(&m);
	m = plain(100); /* after a chunk the ring holds more than the window */
	m.stored[1] = 70;
	m.scalar[1][SCALAR_INDEX] = 70;
	loads(&m);
	m = plain(100); /* a plain cache where ours slides */
	m.class[1] = CLASS_PLAIN;
	loads(&m);
	m = plain(12);
	m.ids = "0 1 2 3 4 5 6 7 8 9 10 11";
	m.digest = "abc";
	loads(&m);
}
END_TEST

/* ---- those that do not */

static void refused(const struct made *m, enum err_kind kind, const char *want)
{
	struct kv_seq *s;
	int32_t id[300];
	bool has_ids;
	char full[1200];
	struct err e;

	open_pool(256, 0, WINDOW, 0);
	count_up(id, 300, 0);
	make(m, id);
	s = open_seq();
	ck_assert_msg(kv_load(s, path(), "abc", &has_ids, &e), "expected: %s", want);
	snprintf(full, sizeof full, "%s: %s", path(), want);
	ck_assert_str_eq(e.text, full);
	ck_assert_int_eq(e.kind, kind);
	ck_assert_uint_eq(kv_len(s), 0);
	ck_assert_uint_eq(kv_pool_room(pool), 256);
	kv_seq_close(s);
	unlink(path());
	close_pool();
}

/* clang-format off */
#define REFUSED(n, change, want) \
	do { struct made m = plain(n); change; refused(&m, ERR_INPUT, want); } while (0)

START_TEST(strangers_are_refused)
{
	struct made big = plain(257);

	REFUSED(9, m.class[1] = NULL, "layer 1: missing; the model has 2");
	REFUSED(9, m.class[2] = CLASS_PLAIN, "more layers than the model's 2");
	REFUSED(9, m.class[0] = "QuantizedKVCache",
	        "layer 0: expected KVCache or RotatingKVCache, found \"QuantizedKVCache\"");
	REFUSED(9, m.skip = "1.0", "1.0: missing");
	REFUSED(9, m.skip = "0.2", "0.2: expected an integer");
	REFUSED(9, m.heads = 3, "0.0: expected [1,2,n,4] f16, bf16 or f32, found [1,3,9,4] f32");
	REFUSED(9, m.dim = 5, "0.0: expected [1,2,n,4] f16, bf16 or f32, found [1,2,9,5] f32");
	REFUSED(9, m.dtype = DT_I32,
	        "0.0: expected [1,2,n,4] f16, bf16 or f32, found [1,2,9,4] i32");
	REFUSED(9, m.scalar[0][2] = 10, "layer 0: offset 10, 10 entries of 9");
	REFUSED(9, m.scalar[0][2] = 0, "layer 0: offset 0, 0 entries of 9");
	REFUSED(9, m.scalar[0][2] = -1, "0.2: expected a count, found -1");
	REFUSED(9, m.scalar[1][2] = m.scalar[1][5] = 7, "layer 1: expected 9 positions, found 7");
	REFUSED(9, m.scalar[1][3] = 4,
	        "layer 1: a rotating cache that keeps its first 4 positions");
	REFUSED(9, m.scalar[1][5] = 10, "layer 1: index 10 of 9 entries");
	REFUSED(100, m.stored[1] = 30; m.scalar[1][5] = 30,
	        "layer 1: holds the last 30 of 100 positions, 39 are needed");
	REFUSED(9, m.n_extra = 20, "expected at most 16 tensors, found 29");
	REFUSED(9, m.digest = "abd", "made with another model: expected abc, found abd");
	REFUSED(3, m.ids = "1 2", "metadata: clm.ids: expected 3 ids, after 2 found \"\"");
	REFUSED(3, m.ids = "1 2 3 4", "metadata: clm.ids: expected 3 ids, after 3 found \" 4\"");
	REFUSED(3, m.ids = "1 x 3", "metadata: clm.ids: expected 3 ids, after 1 found \"x 3\"");
	REFUSED(3, m.ids = "1 2147483648 3",
	        "metadata: clm.ids: expected 3 ids, after 1 found \"2147483648 3\"");
	REFUSED(3, m.ids = "1  2 3", "metadata: clm.ids: expected 3 ids, after 1 found \" 2 3\"");
	REFUSED(9, m.fill = 70000, "layer 0: 70000 does not fit the cache's f16");
	REFUSED(9, m.old = true; m.scalar[1][5] = -3,
	        "metadata: 0.1.3: expected a count, found \"-3\"");
	refused(&big, ERR_MACHINE, "the cache is full: room for 0 more positions, 1 wanted");
}
END_TEST
/* clang-format on */

Suite *snapshot_in_suite(void);
Suite *snapshot_in_suite(void)
{
	Suite *s = suite_create("snapshot_in");
	TCase *t = tcase_create("snapshot_in");

	tcase_add_test(t, files_of_mlx_load);
	tcase_add_test(t, strangers_are_refused);
	suite_add_tcase(s, t);
	return s;
}
