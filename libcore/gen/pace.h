/* SPDX-License-Identifier: MIT */
/* pace.h - how many rows of prompts a pass carries beside decoding sessions.
 * Private to gen/.
 *
 * Streams should hardly notice a long prompt: a pass with a piece of it takes
 * less than twice the time of one without. How long each takes is measured
 * as they run. Rows' bits do not depend on it. */
#ifndef CLM_GEN_PACE_H
#define CLM_GEN_PACE_H

#include <stddef.h>

enum { PACE_SIZES = 16, PACE_LEAST = 16 };

struct pace {
	double alone[PACE_SIZES]; /* seconds of a pass that decodes 2^i rows, usually; 0: not known */
	unsigned n_alone[PACE_SIZES]; /* how often measured, up to a few */
	double beside;            /* rows that prompts may have, within [PACE_LEAST, most] */
	size_t most;
	size_t n_mixed;           /* passes since one was measured alone */
};
void pace_init(struct pace *p, size_t most);
/* For a pass with so many decoding rows; 0: they go alone, to be measured. */
size_t pace_rows(const struct pace *p, size_t decoding);
double pace_seconds(void); /* of a clock that only goes on */
void pace_note(struct pace *p, size_t decoding, size_t prompts, double seconds);

#endif
