/* SPDX-License-Identifier: MIT */
/* pace.h - how many rows of prompts a pass carries beside decoding sessions.
 * Private to gen/.
 *
 * Streams should hardly notice a long prompt: a pass with a piece of it takes
 * less than twice the time of one without. What a piece will take is told
 * from what others took: so much for any, for each row, for what lies before
 * each row, for each output. Rows' bits do not depend on it. */
#ifndef CLM_GEN_PACE_H
#define CLM_GEN_PACE_H

#include <stddef.h>

enum { PACE_SIZES = 40, PACE_COSTS = 4 };

/* What prompts have in a pass. */
struct pace_load {
	size_t rows, outs; /* outs: logits that are wanted of them */
	double before;     /* positions before each row, in all */
};
struct pace {
	double alone[PACE_SIZES]; /* seconds of a pass that decodes so many rows; 0: not known */
	unsigned n_alone[PACE_SIZES];         /* how often measured, up to a few */
	double cost[PACE_COSTS];              /* seconds; see pace.c */
	double doubt[PACE_COSTS][PACE_COSTS]; /* their covariance */
	size_t n_noted;                       /* passes with prompts beside others, up to 1 */
	size_t n_mixed;                       /* passes since one was measured alone */
};
void pace_init(struct pace *p);
/* Seconds that prompts may have in a pass with so many decoding rows, while so
 * many sessions wait for their first token. 0: they go alone, to be measured;
 * HUGE_VAL: nobody decodes. */
double pace_seconds_for(const struct pace *p, size_t decoding, size_t waiting);
/* Rows more, after so many positions, that bring the load to that time; each
 * wants an output or none does. At least 1 where there is no load yet. */
size_t pace_fit(const struct pace *p, const struct pace_load *l, double seconds, size_t before,
                int outs);
/* n rows more, the first after so many positions. */
void pace_add(struct pace_load *l, size_t before, size_t n, size_t outs);
double pace_clock(void); /* seconds of a clock that only goes on */
void pace_note(struct pace *p, size_t decoding, const struct pace_load *l, double seconds);

#endif
