/* SPDX-License-Identifier: MIT */
/* peft.h - an adapter between layouts (private to convert/) */
#ifndef CLM_CONVERT_PEFT_H
#define CLM_CONVERT_PEFT_H

#include "convert/convert.h"

/* One module: LoRA's two matrices and DoRA's magnitudes, or IA3's gains, as
 * f32; a [rank][n_in], b [n_out][rank]. NULL: it has none. */
struct module {
	const char *path;
	size_t rank, n_in, n_out;
	const float *a, *b, *m;
	const float *out, *in;
	bool table;            /* a side of embeddings: a [rank][ids], b [dim][rank] */
	double scale;
};
struct modules {
	struct arena arena;
	struct module *module; /* [n], by path */
	size_t n;
	bool ia3, table_only;
};

/* From files in PEFT's layout or in MLX's. `source` has the weights and
 * adapter_config.json beside them. */
NEED int peft_read(struct modules *out, struct source *s, const cJSON *config, struct err *e);
NEED int mlx_read(struct modules *out, struct source *s, const cJSON *config, struct err *e);
/* A directory that appears whole. */
NEED int peft_write(const struct modules *m, const char *out, struct err *e);
NEED int mlx_write(const struct modules *m, const char *out, struct err *e);

/* An adapter of either layout, or IA3 as PEFT has it; whichever is there. */
NEED int modules_open(struct modules *out, const char *path, struct err *e);
/* The module of a path of n bytes, made where it is missing. */
struct module *module_of(struct modules *m, const char *path, size_t n, struct err *e);
/* A tensor's floats, [cols][rows] if turned. */
NEED float *module_floats(struct modules *m, struct source *s, const struct tensor *t, bool turned,
                          struct err *e);
void modules_release(struct modules *m);

#endif
