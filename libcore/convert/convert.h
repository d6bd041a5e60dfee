/* SPDX-License-Identifier: MIT */
/* convert.h - models to models. The door of convert/.
 *
 * Any source that format/ reads becomes an MLX directory, a Hugging Face
 * directory, an NPZ, a safetensors file or a GGUF. Weights move bit by bit
 * unless a cast or quantization is asked for or the target cannot hold the
 * form they have (then a note says so). Equal options and equal weights
 * give equal bytes, whichever container they came from. */
#ifndef CLM_CONVERT_H
#define CLM_CONVERT_H

#include "model/model.h"
#include "text/text.h"

enum convert_format { CONVERT_AUTO, CONVERT_MLX, CONVERT_NPZ, CONVERT_SAFETENSORS, CONVERT_GGUF };
struct convert_options {
	enum convert_format format;  /* AUTO: by the end of the output's name; else MLX */
	bool as_dir; /* NPZ: the mlx-examples layout; SAFETENSORS: a Hugging Face directory */
	enum dtype dtype;            /* cast floats to f16, bf16 or f32; DT_COUNT: keep */
	unsigned bits, group;        /* bits 0: keep; affine quantization as mlx_lm.convert -q */
	bool dequantize;
	bool deflate;                /* NPZ members */
	size_t shard_bytes;          /* 0: 5 GiB */
	/* Both may be NULL. A note is one line about what could not be kept. */
	void (*progress)(void *arg, size_t done_bytes, size_t all_bytes);
	void (*note)(void *arg, const char *text);
	void *arg;
};
/* Keeps everything. */
void convert_options_init(struct convert_options *o);

/* Tensor by tensor, bounded memory; the output appears whole or not at all.
 * ERR_MISUSE: options that do not go together; ERR_INPUT names the file. */
NEED int convert_model(const char *in, const char *out, const struct convert_options *o,
                       struct err *e);

/* ---- adapters */
enum adapter_layout { ADAPTER_AUTO, ADAPTER_MLX, ADAPTER_PEFT };
/* An adapter's directory in the other layout (AUTO), or in the one named. ERR_INPUT for what
 * low-rank sides cannot say. */
NEED int convert_adapter(const char *in, const char *out, enum adapter_layout to, struct err *e);
/* Whether the path is an adapter's: its directory, or a file in it. */
bool is_adapter(const char *path);
/* adapter_open() of either layout, or of IA3; what is not MLX's is converted on first use
 * into $XDG_CACHE_HOME/clm/adapters, keyed by the digest of its bytes. */
NEED int convert_adapter_open(struct adapter **out, const char *path, struct err *e);

#endif
