/* SPDX-License-Identifier: MIT */
/* judge.h - a model that reads text, and how far two of them differ
 * (private to convert/) */
#ifndef CLM_CONVERT_JUDGE_H
#define CLM_CONVERT_JUDGE_H

#include "model/model.h"

struct judge {
	struct exec *x;
	struct model *m;
	size_t window;          /* positions that see each other */
};
/* window 0: 2048, or what the model has. The source stays borrowed. */
NEED int judge_open(struct judge *j, struct source *s, const char *device,
                    const struct exec_tap *tap, size_t window, int threads, struct err *e);
void judge_close(struct judge *j);   /* zeroed is fine */
/* Runs all ids, logits and all, and drops what comes. */
NEED int judge_read(struct judge *j, const int32_t *id, size_t n, struct err *e);

struct verdict {
	double nll_a, nll_b;    /* sums of -ln p of the tokens that follow */
	double kl;              /* sum of KL(a || b), nats */
	size_t n, agree;        /* rows; of them, with the same most likely token */
};
/* Both read the ids, window by window. */
NEED int judge_compare(struct verdict *out, struct judge *a, struct judge *b, const int32_t *id,
                       size_t n, struct err *e);

#endif
