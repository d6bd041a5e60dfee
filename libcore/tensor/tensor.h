/* SPDX-License-Identifier: MIT */
/* tensor.h - name, dtype, shape, bytes. The door of tensor/. */
/* clang-format off */
#ifndef CLM_TENSOR_H
#define CLM_TENSOR_H

#include "util/arena.h"
#include "util/bytes.h"

/* Element types of files. Block types (GGUF) hold `block` elements in
 * `block_bytes` bytes along the last axis. */
enum dtype {
	DT_BOOL, DT_I8, DT_I16, DT_I32, DT_I64, DT_U8, DT_U16, DT_U32, DT_U64,
	DT_F16, DT_BF16, DT_F32, DT_F64, DT_C64,
	DT_F8_E4M3, DT_F8_E5M2, DT_F8_E8M0,
	/* GGUF blocks, specs in the GGUF documentation */
	DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_Q8_0, DT_Q8_1,
	DT_Q2_K, DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_Q8_K,
	DT_IQ1_S, DT_IQ1_M, DT_IQ2_XXS, DT_IQ2_XS, DT_IQ2_S, DT_IQ3_XXS, DT_IQ3_S,
	DT_IQ4_NL, DT_IQ4_XS, DT_TQ1_0, DT_TQ2_0, DT_MXFP4, DT_NVFP4, DT_Q1_0, DT_Q2_0,
	DT_COUNT
};

struct dtype_info {
	const char *name;       /* "f16", "q4_0" */
	unsigned block;         /* elements a block; 1 for plain types */
	unsigned block_bytes;
	bool is_float;          /* a plain floating type that converts to f32 */
};
const struct dtype_info *dtype_info(enum dtype t);
/* n elements (a multiple of the block) to f32; false if this build has no
 * decoder for t. Exact for all plain floats, ints are converted. */
bool dtype_to_f32(enum dtype t, float *out, const void *in, size_t n);
/* f32 to f16, bf16 (round to nearest even), f32, f64, and the GGUF blocks
 * that have an encoder (q4_0 q4_1 q5_0 q5_1 q8_0, q2_k to q6_k, iq4_nl iq4_xs
 * mxfp4 nvfp4); false otherwise. */
bool dtype_from_f32(enum dtype t, void *out, const float *in, size_t n);
/* One row, by the importance q[n] of its columns where the type heeds that;
 * NULL: none. */
bool dtype_from_f32_by(enum dtype t, void *out, const float *in, const float *q, size_t n);
float f16_to_f32(uint16_t h);
uint16_t f16_from_f32(float f);
float bf16_to_f32(uint16_t h);
uint16_t bf16_from_f32(float f);

enum { SHAPE_MAX_RANK = 8 };
struct shape {
	unsigned rank;
	size_t dim[SHAPE_MAX_RANK]; /* row-major, the last axis is contiguous */
};
struct shape shape_of(unsigned rank, ...);              /* size_t each */
bool shape_equal(const struct shape *a, const struct shape *b);
bool shape_count(size_t *out, const struct shape *s);   /* false: overflow */
/* Bytes of a tensor; false on overflow or a last axis that is no multiple
 * of the block. */
bool shape_bytes(size_t *out, enum dtype t, const struct shape *s);
/* "[2048,1024] f16" into out. Returns out. */
const char *shape_text(char *out, size_t room, enum dtype t, const struct shape *s);

struct tensor {
	const char *name;
	enum dtype dtype;
	struct shape shape;
	struct bytes data;   /* row-major; p NULL until loaded where a container packs it */
};

/* MLX affine quantization of rows (specs: MLX formats 5.2-5.4), the rule of
 * its CPU kernel: half to even, the true maximum. `stored` DT_F32 gives the
 * codes that MLX itself chooses whatever it stores the scales in (its codes
 * are for the unrounded scale); DT_F16 or DT_BF16 gives the codes nearest
 * to what a reader of the rounded scales will see.
 * w: [n_rows][n_cols] f32; q: packed little-endian bit string, n_cols *
 * bits / 8 bytes a row; scale, bias: [n_rows][n_cols / group] as f32 that
 * are then stored by the caller in its dtype; the codes are chosen for the
 * scale and bias ROUNDED to `stored` (DT_F16, DT_BF16 or DT_F32). group is a
 * multiple of 8, at most AFFINE_MAX_GROUP. */
enum { AFFINE_MAX_GROUP = 256 };
void affine_quantize(void *q, float *scale, float *bias, const float *w, size_t n_rows,
                     size_t n_cols, unsigned bits, unsigned group, enum dtype stored);
/* Scale and bias of one group, as a reader of `stored` sees them, and the
 * codes: the least sum of weight * error^2 that a search over clipped ranges
 * with least squares finds. */
void affine_fit(uint8_t *code, float *scale, float *bias, const float *w, const float *weight,
                unsigned n, unsigned bits, enum dtype stored);
/* One row back: out[i] = scale * code + bias in f32. scales and biases are
 * of dtype t, n_cols / group each. */
void affine_dequantize_row(float *out, const void *q, const void *scales, const void *biases,
                           enum dtype t, size_t n_cols, unsigned bits, unsigned group);
/* Reads code i of a packed row. */
unsigned affine_code(const void *q, size_t i, unsigned bits);
/* n codes (a multiple of 8) of 2..8 bits to and from the packed form. */
void affine_pack(void *q, const uint8_t *code, size_t n, unsigned bits);
void affine_unpack(uint8_t *code, const void *q, size_t n, unsigned bits);

/* Adds to *lost the squares of f - d, to *all those of f, each times its h (NULL: 1), in
 * f32 over runs of 256 values. */
void squares_add(double *lost, double *all, const float *f, const float *d, const float *h,
                 size_t n);

/* MLX's other modes: small floats with a scale of one byte a group. */
enum coding { CODING_AFFINE, CODING_MXFP4, CODING_MXFP8, CODING_NVFP4, CODING_COUNT };
struct coding_info { const char *name; unsigned bits, group; };
const struct coding_info *coding_info(enum coding c); /* affine: MLX's defaults */
/* The one of these with such codes and groups, scales being bytes. */
enum coding coding_of(unsigned bits, unsigned group);
/* n values (whole groups) of one that is not affine; scales: n / group. */
void coding_quantize(enum coding c, void *q, uint8_t *scales, const float *w, size_t n);
void coding_dequantize(enum coding c, float *out, const void *q, const uint8_t *scales, size_t n);
/* mxfp4 and nvfp4 as affine codes of 5 bits in the same groups, exactly. */
void coding_to_affine(enum coding c, void *q, float *scales, float *biases, const void *in,
                      const uint8_t *s, size_t n);

/* GGUF blocks as affine codes: bits, group, and whether affine_from_blocks()
 * can split them (all but q8_k; q4_0 to q8_0 give f16 scales, the others f32;
 * only iq4_xs may round, once). The bias of q4_0 is -8 times
 * its scale, of q5_0 -16, of q8_0 -128: infinite in f16 where the scale is
 * above 8188, 4094 or 511, which no sane file has. */
struct affine_form { unsigned bits, group; enum dtype scale; };
bool affine_form_of(struct affine_form *out, enum dtype t);
/* One row of n_cols elements of block type t to the MLX packing. scales and
 * biases: n_cols / group of out->scale each. */
void affine_from_blocks(void *q, void *scales, void *biases, enum dtype t, const void *in,
                        size_t n_cols);

#endif
