/* SPDX-License-Identifier: MIT */
/* config_out.h - pieces of the config.json that is written (private to convert/) */
#ifndef CLM_CONVERT_CONFIG_OUT_H
#define CLM_CONVERT_CONFIG_OUT_H

#include "convert/plan.h"

/* False where memory failed; what the key had is replaced. */
bool config_put(cJSON *o, const char *key, cJSON *v);
bool config_put_number(cJSON *o, const char *key, double v);
bool config_put_text(cJSON *o, const char *key, const char *v);
bool config_put_bool(cJSON *o, const char *key, bool v);
/* The shortest decimal that is this float. */
double config_decimal(float f);

/* config_own.c: what only some families have, by the keys of transformers and mlx-lm. */
bool config_put_own(cJSON *o, const struct config *c, const struct family_files *f);

#endif
