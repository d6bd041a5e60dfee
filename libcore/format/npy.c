/* SPDX-License-Identifier: MIT */
/* npy.c - reads a .npy array: a Python dict literal of three known keys,
 * parsed by a grammar of our own and never evaluated, then the data. */
#include "format/container.h"

#include "util/num.h"

#include <string.h>

static const unsigned char magic[NPY_MAGIC] = { 0x93, 'N', 'U', 'M', 'P', 'Y' };

static const struct {
	const char *descr; /* without the byte order */
	enum dtype dtype;
} descrs
	[] = {
		{ "b1", DT_BOOL }, { "i1", DT_I8 },   { "i2", DT_I16 }, { "i4", DT_I32 },
		{ "i8", DT_I64 },  { "u1", DT_U8 },   { "u2", DT_U16 }, { "u4", DT_U32 },
		{ "u8", DT_U64 },  { "f2", DT_F16 },  { "f4", DT_F32 }, { "f8", DT_F64 },
		{ "c8", DT_C64 },  { "V2", DT_BF16 }, /* numpy's name for two bytes it knows nothing of */
	};

const char *npy_descr(enum dtype t)
{
	for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++)
		if (descrs[i].dtype == t)
			return descrs[i].descr;
	return NULL;
}

bool npy_is(struct bytes file)
{
	return file.n >= NPY_MAGIC && !memcmp(file.p, magic, NPY_MAGIC);
}

int npy_header_size(size_t *out, struct bytes prefix, struct err *e)
{
	struct reader r;
	unsigned major;
	size_t n;

	if (!npy_is(prefix))
		return err_set(e, ERR_INPUT, "expected \\x93NUMPY, found %s",
		               prefix.n < NPY_MAGIC ? "an early end" : "other bytes");
	reader_init(&r, prefix);
	read_skip(&r, NPY_MAGIC);
	major = read_u8(&r);
	read_u8(&r);
	if (!reader_failed(&r) && (major < 1 || major > 3))
		return err_set(e, ERR_INPUT, "npy version: expected 1 to 3, found %u", major);
	n = major == 1 ? read_u16(&r) : read_u32(&r);
	if (reader_failed(&r))
		return err_set(e, ERR_INPUT, "npy header: ends early, at byte %zu", r.pos);
	if (n > NPY_MAX_HEADER)
		return err_set(e, ERR_INPUT, "npy header: %zu bytes announced, at most %d", n,
		               NPY_MAX_HEADER);
	*out = r.pos + n;
	return 0;
}

/* ---- the dict literal */

struct text {
	const char *p;
	size_t n, pos, from; /* from: byte of the file where it begins */
};

static void blanks(struct text *t)
{
	while (t->pos < t->n && (t->p[t->pos] == ' ' || t->p[t->pos] == '\n' ||
	                         t->p[t->pos] == '\t' || t->p[t->pos] == '\r'))
		t->pos++;
}

/* Takes c, after blanks, if it comes next. */
static bool take(struct text *t, char c)
{
	blanks(t);
	if (t->pos == t->n || t->p[t->pos] != c)
		return false;
	t->pos++;
	return true;
}

static int expected(const struct text *t, const char *what, struct err *e)
{
	if (t->pos >= t->n)
		return err_set(e, ERR_INPUT, "npy header: byte %zu: expected %s, found its end",
		               t->from + t->pos, what);
	return err_set(e, ERR_INPUT, "npy header: byte %zu: expected %s, found '%c'",
	               t->from + t->pos, what, t->p[t->pos]);
}

static bool take_string(struct text *t, struct bytes *out)
{
	size_t begin, end;
	char quote;

	blanks(t);
	if (t->pos == t->n || (t->p[t->pos] != '\'' && t->p[t->pos] != '"'))
		return false;
	quote = t->p[t->pos];
	begin = end = t->pos + 1;
	while (end < t->n && t->p[end] != quote) {
		if (t->p[end] == '\\' || t->p[end] == '\n')
			return false;
		end++;
	}
	if (end == t->n)
		return false;
	*out = (struct bytes){ (const unsigned char *)t->p + begin, end - begin };
	t->pos = end + 1;
	return true;
}

static bool take_word(struct text *t, const char *word)
{
	size_t n = strlen(word);

	blanks(t);
	if (t->n - t->pos < n || memcmp(t->p + t->pos, word, n))
		return false;
	t->pos += n;
	return true;
}

static bool take_count(struct text *t, size_t *out)
{
	size_t v = 0, begin;

	blanks(t);
	begin = t->pos;
	for (; t->pos < t->n && t->p[t->pos] >= '0' && t->p[t->pos] <= '9'; t->pos++)
		if (!num_mul(&v, v, 10) || !num_add(&v, v, (size_t)(t->p[t->pos] - '0')))
			return false;
	if (t->pos == begin)
		return false;
	if (t->pos < t->n && t->p[t->pos] == 'L') /* Python 2's long */
		t->pos++;
	*out = v;
	return true;
}

static int read_descr(struct npy_header *h, struct text *t, struct err *e)
{
	struct bytes s;

	if (!take_string(t, &s))
		return expected(t, "a type in quotes (no structures)", e);
	if (s.n >= 2 && memchr("<>|=", s.p[0], 4))
		for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++)
			if (bytes_is((struct bytes){ s.p + 1, s.n - 1 }, descrs[i].descr)) {
				h->dtype = descrs[i].dtype;
				h->swapped = s.p[0] == '>' && h->dtype != DT_BF16 &&
				             dtype_info(h->dtype)->block_bytes > 1;
				return 0;
			}
	return err_set(e, ERR_INPUT,
	               "npy header: descr: expected a plain number type, found '%.*s'%s",
	               (int)(s.n > 40 ? 40 : s.n), (const char *)s.p,
	               s.n > 1 && s.p[1] == 'O' ? " (pickled objects)" : "");
}

static int read_shape(struct npy_header *h, struct text *t, struct err *e)
{
	h->shape.rank = 0;
	if (!take(t, '('))
		return expected(t, "a shape in parentheses", e);
	while (!take(t, ')')) {
		if (h->shape.rank == SHAPE_MAX_RANK)
			return err_set(e, ERR_INPUT, "npy header: shape: at most %d axes",
			               SHAPE_MAX_RANK);
		if (!take_count(t, &h->shape.dim[h->shape.rank]))
			return expected(t, "a count", e);
		h->shape.rank++;
		if (!take(t, ',')) {
			if (take(t, ')'))
				break;
			return expected(t, "',' or ')'", e);
		}
	}
	return 0;
}

static int read_pair(struct npy_header *h, struct text *t, unsigned *seen, struct err *e)
{
	struct bytes key;
	unsigned bit;
	int failed = 0;

	if (!take_string(t, &key))
		return expected(t, "a key in quotes", e);
	if (!take(t, ':'))
		return expected(t, "':'", e);
	if (bytes_is(key, "descr")) {
		bit = 1;
		failed = read_descr(h, t, e);
	} else if (bytes_is(key, "fortran_order")) {
		bit = 2;
		h->fortran = take_word(t, "True");
		if (!h->fortran && !take_word(t, "False"))
			return expected(t, "True or False", e);
	} else if (bytes_is(key, "shape")) {
		bit = 4;
		failed = read_shape(h, t, e);
	} else {
		return err_set(e, ERR_INPUT,
		               "npy header: expected descr, fortran_order and shape, found '%.*s'",
		               (int)(key.n > 40 ? 40 : key.n), (const char *)key.p);
	}
	if (!failed && (*seen & bit))
		return err_set(e, ERR_INPUT, "npy header: '%.*s' appears twice", (int)key.n,
		               (const char *)key.p);
	*seen |= bit;
	return failed;
}

/* Column order only matters when two axes or more are longer than one. */
static bool order_matters(const struct shape *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->rank; i++)
		n += s->dim[i] > 1;
	return n > 1;
}

int npy_header_parse(struct npy_header *out, struct bytes head, size_t n_file, struct err *e)
{
	struct npy_header h = { 0 };
	size_t from = head.n > NPY_MAGIC && head.p[NPY_MAGIC] == 1 ? 10 : 12;
	struct text t;
	unsigned seen = 0;
	char text[128];

	if (npy_header_size(&h.at, head, e))
		return -1;
	if (h.at > head.n || h.at > n_file)
		return err_set(e, ERR_INPUT, "npy header: expected %zu bytes, found %zu", h.at,
		               head.n);
	t = (struct text){ (const char *)head.p + from, h.at - from, 0, from };
	if (!take(&t, '{'))
		return expected(&t, "'{'", e);
	while (!take(&t, '}')) {
		if (read_pair(&h, &t, &seen, e))
			return -1;
		if (!take(&t, ',')) {
			if (take(&t, '}'))
				break;
			return expected(&t, "',' or '}'", e);
		}
	}
	blanks(&t);
	if (t.pos != t.n)
		return expected(&t, "blanks to its end", e);
	if (seen != 7)
		return err_set(e, ERR_INPUT, "npy header: expected descr, fortran_order and shape");
	if (!shape_bytes(&h.n_bytes, h.dtype, &h.shape))
		return err_set(e, ERR_INPUT, "npy header: shape %s overflows",
		               shape_text(text, sizeof text, h.dtype, &h.shape));
	if (h.n_bytes != n_file - h.at)
		return err_set(e, ERR_INPUT, "npy data: expected %zu bytes for %s, found %zu",
		               h.n_bytes, shape_text(text, sizeof text, h.dtype, &h.shape),
		               n_file - h.at);
	h.fortran = h.fortran && order_matters(&h.shape);
	*out = h;
	return 0;
}

/* ---- order */

/* An element of n bytes, its `part`s (two of a complex) reversed. */
static inline void put(unsigned char *out, const unsigned char *in, size_t n, size_t part)
{
	if (!part) {
		memcpy(out, in, n);
		return;
	}
	for (size_t i = 0; i < n; i += part)
		for (size_t j = 0; j < part; j++)
			out[i + j] = in[i + part - 1 - j];
}

/* out[i][k] (rows `out_step` elements apart) from in[k][i] (`in_step`), in
 * tiles, so that both sides stay within the cache. */
static inline void turn(unsigned char *restrict out, const unsigned char *restrict in, size_t rows,
                        size_t cols, size_t out_step, size_t in_step, size_t n, size_t part)
{
	enum { TILE = 32 };

	for (size_t i0 = 0; i0 < rows; i0 += TILE)
		for (size_t k0 = 0; k0 < cols; k0 += TILE)
			for (size_t i = i0; i < rows && i < i0 + TILE; i++)
				for (size_t k = k0; k < cols && k < k0 + TILE; k++)
					put(out + (i * out_step + k) * n,
					    in + (k * in_step + i) * n, n, part);
}

/* Element sizes as constants of the loop. */
static void turn_by_size(unsigned char *out, const unsigned char *in, size_t rows, size_t cols,
                         size_t out_step, size_t in_step, size_t n, size_t part)
{
	if (part)
		turn(out, in, rows, cols, out_step, in_step, n, part);
	else if (n == 1)
		turn(out, in, rows, cols, out_step, in_step, 1, 0);
	else if (n == 2)
		turn(out, in, rows, cols, out_step, in_step, 2, 0);
	else if (n == 4)
		turn(out, in, rows, cols, out_step, in_step, 4, 0);
	else
		turn(out, in, rows, cols, out_step, in_step, 8, 0);
}

void npy_unpack(unsigned char *out, const unsigned char *in, const struct npy_header *h)
{
	const struct shape *s = &h->shape;
	size_t n = dtype_info(h->dtype)->block_bytes, count = h->n_bytes / n;
	size_t part = !h->swapped ? 0 : h->dtype == DT_C64 ? 4 : n;
	size_t rows, cols, middle;

	if (count == 0)
		return;
	if (!h->fortran) {
		for (size_t i = 0; i < count; i++)
			put(out + i * n, in + i * n, n, part);
		return;
	}
	/* [rows][middle...][cols]: for each middle place, a matrix to turn */
	rows = s->dim[0];
	cols = s->dim[s->rank - 1];
	middle = count / rows / cols;
	for (size_t m = 0; m < middle; m++) {
		size_t rest = m, place = 0, step = 1;

		/* m counts in row order: its last axis moves fastest; `place` is
		 * the same index counted with the first axis fastest */
		size_t index[SHAPE_MAX_RANK];
		for (unsigned k = s->rank - 1; k-- > 1;) {
			index[k] = rest % s->dim[k];
			rest /= s->dim[k];
		}
		for (unsigned k = 1; k + 1 < s->rank; k++) {
			place += index[k] * step;
			step *= s->dim[k];
		}
		turn_by_size(out + m * cols * n, in + place * rows * n, rows, cols, middle * cols,
		             rows * middle, n, part);
	}
}

int npy_parse(struct tensor *out, struct bytes file, struct arena *a, struct err *e)
{
	struct npy_header h;
	unsigned char *data;

	if (npy_header_parse(&h, file, file.n, e))
		return -1;
	*out = (struct tensor){
		.name = "",
		.dtype = h.dtype,
		.shape = h.shape,
		.data = { file.p + h.at, h.n_bytes },
	};
	if (npy_is_plain(&h))
		return 0;
	data = arena_new(a, h.n_bytes, 1, e);
	if (!data)
		return -1;
	npy_unpack(data, file.p + h.at, &h);
	out->data.p = data;
	return 0;
}
