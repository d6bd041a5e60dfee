/* SPDX-License-Identifier: MIT */
/* cl_persist_meet.c - who does what of a persistent step's phases, and between which of
 * them the groups meet */
#include <string.h>

#include "exec/persist.h"

/* How the rows of tiles are shared out: a division that the groups are spared. */
void phases_share(struct walk *w)
{
	int units = (int)w->d->x->info.units;

	for (size_t i = 0; i < w->n; i++) {
		struct phase *p = &w->phase[i];
		int all = p->pairs ? p->tiles / 2 : p->tiles;

		p->each = all / units;
		p->more = all % units;
	}
}

/* Whether what one product gives is all that the next one takes, both of one
 * row and one part: then it goes there without a meeting. */
static bool is_edge(const struct phase *p, const struct phase *q)
{
	int n = p->part[0].width;

	if (p->kind != PHASE_PRODUCT || q->kind != PHASE_PRODUCT || p->parts != 1 + p->pairs ||
	    p->part[0].first || p->part[0].n != n || q->n_in != n || p->part[0].y != q->x)
		return false;
	return q->input == (p->pairs ? INPUT_HALF : INPUT_NORM);
}

/* Sums onto a slot read what their own group wrote there. */
static bool own_sums(const struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->phase[i].add && w->phase[i].parts != 1)
			return false;
	return true;
}

/* Where the groups meet. A room of a ring is emptied two before its turn
 * comes: there must be a meeting between. Mixtures meet after every phase. */
void phases_meet(struct walk *w)
{
	bool edges = w->o->half && w->r->max_rows == 1 && !w->route && own_sums(w);
	int meets = 0, last[EDGE_RINGS][2] = { { -1, -1 }, { -1, -1 } };

	memset(w->o->edges, 0, sizeof w->o->edges);
	for (size_t i = 0; i + 1 < w->n; i++) {
		struct phase *p = &w->phase[i], *q = p + 1;
		int ring = p->pairs;

		if (edges && is_edge(p, q) && last[ring][0] < meets) {
			p->to = q->from = (struct edge){ 1 + ring, (int)(w->o->edges[ring]++ % EDGE_RING) };
			last[ring][0] = last[ring][1];
			last[ring][1] = meets;
		} else {
			p->comes = 1;
			q->meets = ++meets;
		}
	}
	w->o->meetings = (unsigned)meets;
}
