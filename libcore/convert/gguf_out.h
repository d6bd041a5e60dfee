/* SPDX-License-Identifier: MIT */
/* gguf_out.h - the metadata of a GGUF as it is written (private to convert/) */
#ifndef CLM_CONVERT_GGUF_OUT_H
#define CLM_CONVERT_GGUF_OUT_H

#include "convert/plan.h"

struct gguf_out {
	struct writer *w;
	const struct plan *p;
	char arch[32], key[96];
	struct err *e;
};

/* "ARCH.rest", until the next call. */
const char *gguf_out_key(struct gguf_out *o, const char *rest);
/* gguf_own.c: heads of keys, feed-forwards, and what only some architectures have. ERR_INPUT where
 * the architecture's rule is another than the model's. */
NEED int gguf_own(struct gguf_out *o, const struct config *c);

#endif
