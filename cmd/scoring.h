/* SPDX-License-Identifier: MIT */
/* scoring.h - many tasks through one scorer, told in order */
#ifndef CLM_CMD_SCORING_H
#define CLM_CMD_SCORING_H

#include "feed.h"
#include "known.h"
#include "tell.h"

struct scoring {
	struct task_rules rules;
	struct tell tell;
	struct known known;
	struct scorer *scorer;
	struct feed *feed;
	bool records;          /* the input is */
	bool joined;           /* all texts are one, each ended by `end` */
	int32_t end;
	size_t least;          /* tokens that a text must have */
	struct task *first, **last;
	size_t n, n_failed, n_tokens, n_passes, n_done;
	struct err err;        /* of a text: it stops all */
};
/* Tells the tasks until the feed ends. */
NEED int scoring_run(struct scoring *s, struct model *m, struct err *e);
void scoring_release(struct scoring *s);

#endif
