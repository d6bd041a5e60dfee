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

/* What a weight becomes. */
struct target {
	enum coding coding;          /* MLX's modes */
	unsigned bits, group;        /* of one; bits 0: it stays */
	enum dtype blocks;           /* in a GGUF; DT_COUNT: by `bits`, or it stays */
};
/* "4", "4:32", "mxfp4", "q4_k", "keep"; false: no such form. */
bool target_parse(struct target *out, const char *word);
/* The form of the weights whose name, with or without ".weight", fits. */
struct rule { const char *pattern; struct target to; };
/* Lines of PATTERN FORM [GROUP], '#' begins a comment; kept by the arena. */
NEED int rules_parse(struct rule **out, size_t *n, struct bytes text, struct arena *a,
                     struct err *e);
/* mixed_3_6 (mlx-lm's), q4_k_m (llama-quantize's), ...; which of the two. */
bool recipe_is_known(const char *name, bool *gguf);

/* An adapter's directory or file, of any layout, and the part of it that is taken. */
struct fuse_use { const char *path; double scale; };

/* How one weight fared. */
struct outcome {
	const char *name;            /* ours */
	char from[16], to[16];
	size_t n_values, n_bytes;    /* of the output */
	bool coded;                  /* it is quantized in the output */
	double error;                /* sum of squares of what was lost over that of what was */
};

enum convert_format { CONVERT_AUTO, CONVERT_MLX, CONVERT_NPZ, CONVERT_SAFETENSORS, CONVERT_GGUF };
struct convert_options {
	enum convert_format format;  /* AUTO: by the end of the output's name; else MLX */
	bool as_dir; /* NPZ: the mlx-examples layout; SAFETENSORS: a Hugging Face directory */
	enum dtype dtype;            /* cast floats to f16, bf16 or f32; DT_COUNT: keep */
	unsigned bits, group;        /* bits 0: keep; as mlx_lm.convert -q */
	enum coding coding;          /* the mode of these */
	enum dtype blocks;           /* a GGUF's block type for all; DT_COUNT: by `bits` */
	const char *recipe;          /* goes before them; NULL: none */
	const struct rule *rule;     /* go before that, the first that fits */
	size_t n_rules;
	struct moment_set *moments;  /* quantize by these; NULL: by the plain rule */
	int threads;                 /* 0: all */
	void (*outcome)(void *arg, const struct outcome *o); /* may be NULL */
	void *outcome_arg;
	const struct fuse_use *fuse; /* adapters that become part of the weights */
	size_t n_fuse;
	bool dequantize;
	bool deflate;                /* NPZ members */
	size_t shard_bytes;          /* 0: 5 GiB */
	/* Both may be NULL, as may outcome. A note is one line about what could not be kept. */
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

/* ---- quantization that is measured */
struct quantize_options {
	struct convert_options convert; /* its outcome() is taken */
	struct bytes calibrate;      /* text to quantize by; p NULL: the plain rule */
	struct bytes evaluate;       /* text to compare output and source on; p NULL: none */
	double bits_per_weight;      /* 0: as convert says; else rules are made to come to this */
	size_t tokens;               /* of the calibration that the size is judged by; 0: 512 */
	size_t window;               /* positions that see each other; 0: 2048 */
	const char *device;          /* that compares */
};
struct quantize_result {
	size_t n_values, n_bytes;    /* of the output's tensors */
	double ppl_source, ppl, kl, agree; /* evaluated: KL in nats a token, a part of all */
	size_t n_tokens;             /* 0: it was not */
	struct buf table, json;      /* the whole as tab-separated lines, and as an object */
};
/* As convert_model(), then the measures. The caller releases the buffers. */
NEED int quantize_model(struct quantize_result *out, const char *in, const char *to,
                        const struct quantize_options *o, struct err *e);

#endif
