/* SPDX-License-Identifier: MIT */
/* stop.h - stop strings that straddle tokens. Private to gen/.
 *
 * Text goes in piece by piece and comes out as soon as it is sure to be no
 * part of a stop string. The result depends on the whole text only, never on
 * where the pieces were cut: the stop string that is complete first ends the
 * text; of those that are complete at the same byte, the longest. */
#ifndef CLM_GEN_STOP_H
#define CLM_GEN_STOP_H

#include "gen/gen.h"

struct stop_string {
	const unsigned char *text; /* borrowed */
	size_t n;
	size_t *fall; /* [n + 1] Knuth-Morris-Pratt: where to go on after a miss */
	size_t at;    /* bytes of it that the text ends with */
	int which;    /* of the request's */
};
struct stop {
	struct stop_string string[STOP_MAX];
	size_t n;
	struct buf held; /* the text that may still become a stop string */
	int hit;         /* which of the request's was complete; -1: none */
};

/* The strings stay borrowed from the request. */
NEED int stop_init(struct stop *s, const struct request *r, struct err *e);
void stop_release(struct stop *s);
/* Takes the next text and appends to `out` what is sure. 1 when a stop string
 * is complete: the text before it is out, nothing more will come. */
NEED int stop_add(struct stop *s, struct bytes text, struct buf *out, struct err *e);
/* No more text: what is held is no stop string. */
NEED int stop_end(struct stop *s, struct buf *out, struct err *e);

#endif
