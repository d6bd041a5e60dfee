/* SPDX-License-Identifier: MIT */
/* family.h - facts of a model family (private to model/) */
#ifndef CLM_MODEL_FAMILY_H
#define CLM_MODEL_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

struct family {
	const char *name;          /* config.json's model_type */
	const char *gguf;          /* general.architecture */
	bool qkv_bias;             /* q, k and v have biases unless the config says otherwise */
	bool qk_norm;              /* a norm per head of q and k before the rotation */
	bool window_everywhere;    /* sliding_window alone makes every layer slide */
	bool window_by_flag;       /* use_sliding_window, from max_window_layers on */
	bool gguf_interleaved;     /* q and k rows lie in adjacent pairs in a GGUF */
};

const struct family *family_find(const char *model_type);
const struct family *family_of_gguf(const char *architecture);

#endif
