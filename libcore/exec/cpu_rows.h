/* SPDX-License-Identifier: MIT */
/* cpu_rows.h - the CPU kernels of one instruction set as a table of
 * functions; kernels/cpu/ says what each is given (private to exec/).
 *
 * The first argument is the item. Memory that a kernel takes as bytes or as
 * ints is given so. */
#ifndef CLM_EXEC_CPU_ROWS_H
#define CLM_EXEC_CPU_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPU_AFFINE_BITS = 6, CPU_AFFINE_GROUPS = 4, CPU_BLOCK = 2048, CPU_FLOAT_CHUNK = 512 };
/* as in vec.h, matmul.clh and cache.clh */
enum { CPU_F32, CPU_F16, CPU_BF16, CPU_E4M3, CPU_E5M2 };
enum { CPU_ADD = 1, CPU_BIAS = 2, CPU_TWICE = 4, CPU_PAST = 8 };
/* integers of prepared inputs; the first as 256 h + l, both from -128 to 127 */
enum { CPU_MOST = 32639, CPU_MOST_FAST = 127 };
enum { CPU_SIDE = 16, CPU_SPLIT_STEP = 32, CPU_SPLIT_CHUNK = 256, CPU_CODES_ROWS = 64 };
/* Items of split_tile(). */
static inline size_t cpu_split_items(size_t n_out, size_t n_rows)
{
	size_t rows = n_rows <= CPU_SIDE ? 4 * CPU_SIDE : 2 * CPU_SIDE;

	return (n_out + rows - 1) / rows;
}
/* of panel.clh */
static inline size_t cpu_panel_rows(size_t width)
{
	return width == 16 ? 14 : 6;
}
/* A product of panels: codes of groups (0: floats), so many a word. */
struct cpu_panel { size_t width, n_in, n_out, group, codes; };
/* Tiles that share what a lane has of the inputs: what the cache holds of
 * them, two at least, and as much work for each thread as for the others. */
size_t cpu_panel_tiles(const struct cpu_panel *p, size_t threads);
/* Of scratch. */
size_t cpu_panel_bytes(const struct cpu_panel *p, size_t n_tiles);
/* Items that prepare the input of so many tokens. */
size_t cpu_panel_items(const struct cpu_panel *p, size_t n_rows);
enum { CPU_KEY_BLOCK = 16, CPU_SPAN = 512, CPU_STATE_HEAD = 16 };

struct cpu_affine {
	void (*prepare)(size_t item, const float *x, uint64_t x_at, int *q, uint64_t q_at,
	                int n_rows, int n_in, int most);
	/* one token's, as vec() reads it */
	void (*prepare_one)(size_t item, const float *x, uint64_t x_at, int *q, uint64_t q_at,
	                    int n_rows, int n_in, int most);
	void (*prepare_exact)(size_t item, const float *x, uint64_t x_at, int *q, uint64_t q_at,
	                      int n_rows, int n_in);
	void (*vec)(size_t item, const unsigned char *w, uint64_t w_at, const unsigned char *s,
	            uint64_t s_at, const unsigned char *b, uint64_t b_at, int s_type,
	            const int *q, uint64_t q_at, float *y, uint64_t y_at, const float *bias,
	            uint64_t bias_at, int flags, int n_rows, int n_out, int n_in, int n_block);
	void (*few)(size_t item, const unsigned char *w, uint64_t w_at, const unsigned char *s,
	             uint64_t s_at, const unsigned char *b, uint64_t b_at, int s_type,
	             const int *q, uint64_t q_at, float *y, uint64_t y_at, const float *bias,
	             uint64_t bias_at, int flags, int n_rows, int n_out, int n_in, int n_block,
	             int *scratch);
	void (*tile)(size_t item, const unsigned char *w, uint64_t w_at, const unsigned char *s,
	             uint64_t s_at, const unsigned char *b, uint64_t b_at, int s_type,
	             const int *q, uint64_t q_at, float *y, uint64_t y_at, const float *bias,
	             uint64_t bias_at, int flags, int n_rows, int n_out, int n_in, int n_block,
	             int n_tokens, int *scratch);
	void (*exact)(size_t item, const unsigned char *w, uint64_t w_at, const unsigned char *s,
	              uint64_t s_at, const unsigned char *b, uint64_t b_at, int s_type,
	              const int *q, uint64_t q_at, float *y, uint64_t y_at, const float *bias,
	              uint64_t bias_at, int flags, int n_rows, int n_out, int n_in, int n_block,
	              int n_tokens, int *scratch);
};

struct cpu_rows {
	const char *name;
	int width;             /* lanes of a vector */
	unsigned fast_bits;    /* codes of as many meet 8-bit inputs, exactly and faster */
	/* tokens that codes meet a few at a time, and from which lanes are tokens */
	size_t few_most, panels_from;
	const struct cpu_affine (*affine)[CPU_AFFINE_GROUPS]; /* [CPU_AFFINE_BITS] */
	void (*float_prepare)(size_t item, const float *x, uint64_t x_at, float *q, uint64_t q_at,
	                      int n_rows, int n_in);
	void (*float_vec)(size_t item, const unsigned char *w, uint64_t w_at, int w_type,
	                  const float *q, uint64_t q_at, float *y, uint64_t y_at,
	                  const float *bias, uint64_t bias_at, int flags, int n_rows, int n_out,
	                  int n_in, int n_block);
	void (*float_tile)(size_t item, const unsigned char *w, uint64_t w_at, int w_type,
	                   const float *q, uint64_t q_at, float *y, uint64_t y_at,
	                   const float *bias, uint64_t bias_at, int flags, int n_rows, int n_out,
	                   int n_in, int n_block, int n_tokens, float *scratch);
	void (*panel_prepare_float)(size_t item, const float *x, uint64_t x_at, float *q,
	                            uint64_t q_at, int n_rows, int n_in);
	void (*panel_prepare_codes)(size_t item, const float *x, uint64_t x_at, int *q,
	                            uint64_t q_at, int n_rows, int n_in, int bits, int group,
	                            int quads, int most);
	void (*panel_float)(size_t item, const unsigned char *w, uint64_t w_at, int w_type,
	                    const float *q, uint64_t q_at, float *y, uint64_t y_at,
	                    const float *bias, uint64_t bias_at, int flags, int n_rows, int n_out,
	                    int n_in, int n_tiles, float *scratch);
	void (*panel_codes)(size_t item, const unsigned char *w, uint64_t w_at,
	                    const unsigned char *s, uint64_t s_at, const unsigned char *b,
	                    uint64_t b_at, int s_type, const int *q, uint64_t q_at, float *y,
	                    uint64_t y_at, const float *bias, uint64_t bias_at, int flags,
	                    int n_rows, int n_out, int n_in, int bits, int group, int quads,
	                    int n_tiles, float *scratch);
	/* NULL: no matrix unit */
	void (*split_prepare)(size_t item, const float *x, uint64_t x_at, uint32_t *q,
	                      uint64_t q_at, int n_rows, int n_in);
	void (*split_tile)(size_t item, const unsigned char *w, uint64_t w_at, int w_type,
	                   const uint32_t *q, uint64_t q_at, float *y, uint64_t y_at,
	                   const float *bias, uint64_t bias_at, int flags, int n_rows, int n_out,
	                   int n_in, uint32_t *scratch);
	void (*codes_prepare)(size_t item, const float *x, uint64_t x_at, int *q, uint64_t q_at,
	                      int n_rows, int n_in, int group);
	void (*codes_tile)(size_t item, const unsigned char *w, uint64_t w_at,
	                   const unsigned char *s, uint64_t s_at, const unsigned char *b,
	                   uint64_t b_at, int s_type, const int *q, uint64_t q_at, float *y,
	                   uint64_t y_at, const float *bias, uint64_t bias_at, int flags,
	                   int n_rows, int n_out, int n_in, int bits, int group, int *scratch);
	void (*norm_rms)(size_t item, const float *x, uint64_t x_at, float *y, uint64_t y_at,
	                 const float *g, uint64_t g_at, int n, float eps);
	void (*rope)(size_t item, float *x, uint64_t x_at, const float *angles, uint64_t angles_at,
	             int n_heads, int head_dim, int dims, int interleaved);
	void (*glu)(size_t item, const float *gate, uint64_t gate_at, const float *up,
	            uint64_t up_at, float *y, uint64_t y_at, uint64_t n, int act);
	void (*add)(size_t item, const float *x, uint64_t x_at, float *y, uint64_t y_at, uint64_t n);
	void (*scale)(size_t item, float *y, uint64_t y_at, uint64_t n, float by, float cap);
	void (*activate)(size_t item, float *x, uint64_t x_at, uint64_t n, int act);
	void (*norm_layer)(size_t item, const float *x, uint64_t x_at, float *y, uint64_t y_at,
	                   const float *g, const float *b, int n, float eps);
	void (*encode)(size_t item, const float *q, uint64_t q_at, const float *k, uint64_t k_at,
	               const float *v, uint64_t v_at, float *y, uint64_t y_at, int n_rows,
	               int n_heads, int dim, float scale, float *scratch);
	void (*conv)(size_t item, const float *x, uint64_t x_at, float *y, uint64_t y_at,
	             const float *w, uint64_t w_at, float *states, uint64_t part, uint64_t size,
	             const int *pages, int pos, int n_rows, int channels, int taps, int act);
	void (*delta)(size_t item, const float *q, uint64_t q_step, const float *k, uint64_t k_step,
	              const float *v, uint64_t v_step, const float *decay, int g_step,
	              const float *beta, float *y, float *states, uint64_t part, uint64_t size,
	              const int *pages, int pos, int n_rows, int n_heads, int per, int k_dim,
	              int v_dim, float eps);
	void (*decay)(size_t item, float *x, uint64_t x_at, const float *rate, const float *bias,
	              int n_heads, int n);
	void (*kv_write)(size_t item, const float *k, uint64_t k_at, const float *v, uint64_t v_at,
	                 unsigned char *keys, uint64_t keys_at, unsigned char *values,
	                 uint64_t values_at, int type, const int *pos, const int *seq,
	                 const int *pages, uint64_t page_stride, int n_heads, int k_dim,
	                 int v_dim);
	void (*attention)(size_t item, const float *q, uint64_t q_at, float *y, uint64_t y_at,
	                  const unsigned char *keys, uint64_t keys_at, const unsigned char *values,
	                  uint64_t values_at, int type, const int *pos, const int *seq,
	                  const int *pages, uint64_t page_stride, int n_rows, int n_heads,
	                  int n_kv_heads, int k_dim, int v_dim, float scale, float cap, int window,
	                  int n_tile, int n_spans, float *part, uint64_t part_at,
	                  const float *sinks, float *scratch);
	void (*attention_merge)(size_t item, const float *part, uint64_t part_at, float *y,
	                        uint64_t y_at, const int *pos, int n_heads, int v_dim, int window,
	                        int n_spans, const float *sinks, float *scratch);
};

/* The rows of an instruction set by name ("v3"; NULL: the best there is), if
 * this machine has it. NULL if not. */
const struct cpu_rows *cpu_rows_find(const char *isa);
/* Flags of affine products of one token that depend on the maker of this machine's processor,
 * and on whether the last cache holds all weights. */
int cpu_fetch_flags(bool held);

#endif
