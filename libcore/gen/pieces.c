/* SPDX-License-Identifier: MIT */
/* pieces.c - a vocabulary's texts as a tree of bytes */
#include "gen/pieces.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_MAX = 4096 };

struct bytes pieces_text(const struct pieces *p, int32_t id)
{
	return (struct bytes){ p->text.p + p->at[id], p->at[id + 1] - p->at[id] };
}

/* The text within an answer: not its first token, which may lose a space. */
static int add_text(struct pieces *p, const struct tokenizer *t, int32_t id, struct err *e)
{
	unsigned char spelled[TOKEN_SPELLED];
	size_t from = p->text.n;
	struct detok d;

	p->special[id] = tokenizer_special(t, id);
	if (p->special[id]) {
		graph_spell_token(spelled, id);
		return buf_add(&p->text, spelled, sizeof spelled) ? buf_check(&p->text, e) : 0;
	}
	detok_init(&d, t);
	d.started = d.raw = true;
	if (detok_add(&d, id, &p->text, e))
		return -1;
	if (p->text.n - from > PIECE_MAX ||
	    (p->text.n > from && memchr(p->text.p + from, TOKEN_MARK, p->text.n - from)))
		p->text.n = from;
	return 0;
}

static int collect(struct pieces *p, const struct tokenizer *t, struct err *e)
{
	size_t known = tokenizer_size(t);

	for (size_t i = 0; i < p->vocab; i++) {
		p->at[i] = (uint32_t)p->text.n;
		p->twin[i] = -1;
		if (i < known && add_text(p, t, (int32_t)i, e))
			return -1;
		if (p->text.n > UINT32_MAX / 2)
			return err_set(e, ERR_INPUT, "the vocabulary: its texts are too long");
	}
	p->at[p->vocab] = (uint32_t)p->text.n;
	return 0;
}

static int by_text(const void *a, const void *b, void *arg)
{
	const struct pieces *p = arg;
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	struct bytes s = pieces_text(p, x), t = pieces_text(p, y);
	int c = memcmp(s.p, t.p, s.n < t.n ? s.n : t.n);

	if (c || s.n != t.n)
		return c ? c : s.n < t.n ? -1 : 1;
	return x < y ? -1 : 1;
}

static int add_nodes(struct pieces *p, int32_t id, size_t from, size_t *room, struct err *e)
{
	struct bytes t = pieces_text(p, id);

	for (size_t d = from; d < t.n; d++) {
		if (p->n == *room) {
			struct piece_node *more = realloc(p->node, 2 * *room * sizeof *more);

			if (!more)
				return err_memory(e, 2 * *room * sizeof *more);
			p->node = more;
			*room *= 2;
		}
		p->node[p->n++] = (struct piece_node){ 0, -1, id, (uint16_t)(d + 1), t.p[d] };
	}
	p->depth = t.n > p->depth ? t.n : p->depth;
	return 0;
}

static size_t common(struct bytes a, struct bytes b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

/* Where each subtree ends: the next node that is no deeper. */
static int set_skips(struct pieces *p, struct err *e)
{
	uint32_t *open = malloc((p->depth + 1) * sizeof *open);
	size_t n = 0;

	if (!open)
		return err_memory(e, (p->depth + 1) * sizeof *open);
	for (size_t i = 0; i <= p->n; i++) {
		while (n && (i == p->n || p->node[open[n - 1]].depth >= p->node[i].depth))
			p->node[open[--n]].skip = (uint32_t)i;
		if (i < p->n)
			open[n++] = (uint32_t)i;
	}
	free(open);
	return 0;
}

static int grow_tree(struct pieces *p, struct err *e)
{
	int32_t *order = malloc((p->vocab + 1) * sizeof *order), last = -1;
	size_t n = 0, room = 1024;
	int rc = -1;

	p->node = malloc(room * sizeof *p->node);
	if (!order || !p->node) {
		err_memory(e, p->vocab * sizeof *order);
		goto done;
	}
	for (size_t i = 0; i < p->vocab; i++)
		if (p->at[i + 1] > p->at[i])
			order[n++] = (int32_t)i;
	qsort_r(order, n, sizeof *order, by_text, p);
	for (size_t i = 0; i < n; i++) {
		struct bytes t = pieces_text(p, order[i]);
		size_t same = last < 0 ? 0 : common(t, pieces_text(p, last));

		if (last >= 0 && same == t.n && t.n == pieces_text(p, last).n) {
			p->twin[order[i]] = p->node[p->n - 1].id;
			p->node[p->n - 1].id = order[i];
			continue;
		}
		if (add_nodes(p, order[i], same, &room, e))
			goto done;
		p->node[p->n - 1].id = last = order[i];
	}
	rc = set_skips(p, e);
done:
	free(order);
	return rc;
}

int pieces_open(struct pieces **out, const struct tokenizer *t, size_t vocab, struct err *e)
{
	struct pieces *p = calloc(1, sizeof *p);

	if (!p)
		return err_memory(e, sizeof *p);
	p->vocab = vocab;
	p->at = calloc(vocab + 1, sizeof *p->at);
	p->twin = calloc(vocab + 1, sizeof *p->twin);
	p->special = calloc(vocab + 1, sizeof *p->special);
	if (!p->at || !p->twin || !p->special) {
		err_memory(e, vocab * 9);
		goto fail;
	}
	if (buf_add(&p->text, "", 0) || collect(p, t, e) || grow_tree(p, e))
		goto fail;
	*out = p;
	return 0;
fail:
	pieces_close(p);
	return -1;
}

void pieces_close(struct pieces *p)
{
	if (!p)
		return;
	buf_release(&p->text);
	free(p->at);
	free(p->twin);
	free(p->special);
	free(p->node);
	free(p);
}
