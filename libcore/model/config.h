/* SPDX-License-Identifier: MIT */
/* config.h - the readers of hyperparameters (private to model/) */
#ifndef CLM_MODEL_CONFIG_H
#define CLM_MODEL_CONFIG_H

#include "model/family.h"
#include "model/model.h"

/* Each fills what its file says; config_read() checks the result once. */
NEED int config_from_json(struct config *c, struct source *s, const cJSON *json, struct err *e);
NEED int config_from_examples(struct config *c, struct source *s, const cJSON *json, struct err *e);
/* config_text.c: where the source has a text model within a larger one sets text_at; our name to
 * the one there. */
void config_text_find(struct config *c, const struct family *f, struct source *s);
bool config_text_name(const struct config *c, char *out, size_t room, const char *name);
/* Parts of config_from_json(): the rotary embedding, and what differs between
 * layers; rope_scaling alone. */
NEED int config_rope_json(struct config *c, const struct family *f, const cJSON *json,
                          struct err *e);
NEED int config_layers_json(struct config *c, const struct family *f, const cJSON *json,
                            struct err *e);
/* The delta rule, of families that have it; which layers, where layer_types does not say. */
NEED int config_recur_json(struct config *c, const struct family *f, const cJSON *json,
                           struct err *e);
NEED int config_recur_blocks(struct config *c, const struct family *f, const cJSON *json,
                             struct err *e);
/* Latent attention, of families that have it. */
NEED int config_latent_json(struct config *c, const struct family *f, const cJSON *json,
                            struct err *e);
/* What layer i keeps of a position, in group 0. */
void config_cache_layer(const struct config *c, size_t i, struct exec_kv_layer *out);
/* Layers of two kinds, after config_layers_json() (config_kinds.c); rope_divisor of ROPE_PART. */
NEED int config_kinds_json(struct config *c, const struct family *f, const cJSON *json,
                           struct err *e);
void config_part_divisors(struct config *c);
/* Experts, of families that have them. */
NEED int config_experts_json(struct config *c, const struct family *f, const cJSON *json,
                             struct err *e);
NEED int config_check_latent(const struct config *c, struct err *e);
NEED int config_check_recur(const struct config *c, struct err *e);
NEED int config_check_kinds(const struct config *c, struct err *e);
NEED int config_check_experts(const struct config *c, struct err *e);
NEED int config_rope_scaling(struct config *c, const cJSON *json, struct err *e);
NEED int config_from_gguf(struct config *c, struct source *s, struct err *e);
NEED int config_from_llama2c(struct config *c, struct source *s, struct err *e);

/* The rope of one model, all kinds, from the config; `local`: of the layers
 * that slide, where these have their own. */
void config_rope(const struct config *c, struct rope *out, bool local);
/* Fills rope_divisor from the llama3 parameters. */
void config_llama3_divisors(struct config *c);

/* What yarn multiplies cosines and sines by: 1 for a factor of at most 1. */
double config_yarn_gain(double factor, double mscale);

#endif
