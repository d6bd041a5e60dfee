/* SPDX-License-Identifier: MIT */
/* config_gguf.h - the parts that GGUF metadata is read in (private to model/) */
#ifndef CLM_MODEL_CONFIG_GGUF_H
#define CLM_MODEL_CONFIG_GGUF_H

#include "model/config.h"

struct gguf_keys {
	struct source *s;
	char arch[64], key[128];
};

/* "ARCH.rest", until the next call. */
const char *gguf_key(struct gguf_keys *k, const char *rest);
/* A number that must be there. */
NEED int gguf_need(struct gguf_keys *k, const char *rest, size_t *out, struct err *e);

/* config_gguf_own.c, in the order that they are called: sizes of latent attention; yarn of it;
 * which layers have states; experts; what full layers have of their own. */
NEED int config_gguf_latent(struct config *c, const struct family *f, struct gguf_keys *k,
                            struct err *e);
NEED int config_gguf_mscale(struct config *c, struct gguf_keys *k, struct err *e);
NEED int config_gguf_states(struct config *c, const struct family *f, struct gguf_keys *k,
                            struct err *e);
NEED int config_gguf_experts(struct config *c, const struct family *f, struct gguf_keys *k,
                             struct err *e);
NEED int config_gguf_kinds(struct config *c, const struct family *f, struct gguf_keys *k,
                           struct err *e);

#endif
