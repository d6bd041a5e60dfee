/* SPDX-License-Identifier: MIT */
/* launch.h - the planner that turns ops into launches (private to exec/).
 *
 * Ops are walked twice by the same code: first dry, to collect the programs
 * they want, which are then built together; then to make the kernels and set
 * their arguments. */
#ifndef CLM_EXEC_LAUNCH_H
#define CLM_EXEC_LAUNCH_H

#include "exec/opencl.h"

struct blas_call;

struct planner {
	struct record *r;
	struct opencl *d;
	struct cl_plan *p;
	bool dry;
	size_t n_taken;        /* ops that follow the one at hand and are done with it */
	struct launch *last;   /* whose arguments are being set; NULL while dry */
	cl_uint n_args;
	cl_int status;
	struct err *e;
};

/* Begins a launch of the row with these options besides the row's own, of
 * `groups` groups along the width. Its arguments follow in order, then
 * launch_end(). */
NEED int launch_begin(struct planner *p, const struct op *op, const struct kernel_row *row,
                      const char *options, size_t groups);
NEED int launch_end(struct planner *p);
/* A call of the library in place of a launch, without arguments. */
NEED int launch_call(struct planner *p, const struct op *op, const struct blas_call *c);
void arg_int(struct planner *p, size_t v);
/* As arg_int(), but 0 while the kernel is only being warmed. */
void arg_idle(struct planner *p, size_t v);
void arg_float(struct planner *p, float v);
/* A place, as a ulong; a slot's place in floats of the scratch. */
void arg_at(struct planner *p, size_t at);
void arg_slot(struct planner *p, const struct slot *s);
void arg_mem(struct planner *p, cl_mem m);
void arg_local(struct planner *p, size_t n_bytes);
/* Memory that records share: bound again whenever it has grown. */
void arg_room(struct planner *p, unsigned room);
/* A number that each step sets anew. */
void arg_live(struct planner *p, enum live_number what);

/* ---- launch_ops.c, for other rows too */
/* launch_begin() and the first two arguments of all but the CPU rows. */
NEED int launch_table(struct planner *p, const struct op *op, const struct kernel_row *row,
                      const char *options, size_t groups);
/* The table's word that counts the live rows of a slot; which rows these are. */
size_t count_at(const struct slot *s);
void set_extent(struct planner *p, const struct slot *s);
const char *form_options(char *out, size_t room, const struct weight *w);
const char *act_options(const struct op *op);
const char *layer_options(char *out, size_t room, const struct planner *p, size_t layer);
void arg_layer(struct planner *p, size_t layer);
/* Where positions and page lists of the rows are. */
void arg_places(struct planner *p, size_t layer);
/* A product over one chunk of rows; the rows of a step for which it runs. */
struct piece { const struct op_product *part; const struct chunk *chunk; };
void arg_pieces(struct planner *p, const struct piece *piece, size_t n);
void set_rows(struct planner *p, const struct kernel_row *row, const struct piece *piece,
              size_t min_rows);

/* The products of an op by `plan`, those of one form together, up to OP_PARTS at
 * a time; tiled: only those that are repacked. */
NEED int plan_together(struct planner *p, const struct op *op, bool tiled,
                       int (*plan)(struct planner *p, const struct op *op,
                                   const struct piece *piece, size_t n));

/* ---- launch_cpu.c
 * A launch whose items are `groups` for each `tokens` live rows of s. */
NEED int cpu_begin(struct planner *p, const struct op *op, const struct kernel_row *row,
                   const char *options, size_t groups, const struct slot *s);
/* A slot, and memory from its beginning, as these rows take them; a type of numbers. */
void arg_floats(struct planner *p, const struct slot *s);
void arg_from(struct planner *p, cl_mem m);
size_t cpu_type(enum dtype t);
/* ---- launch_products.c */
NEED int cpu_products(struct planner *p, const struct op *op);

/* ---- launch_experts.c */
NEED int plan_copy(struct planner *p, const struct op *op);
NEED int plan_route(struct planner *p, const struct op *op);
NEED int plan_experts(struct planner *p, const struct op *op);
NEED int plan_mix(struct planner *p, const struct op *op);

/* ---- launch_nvidia.c: rows for tiles, for many rows of a step */
/* Products of one form over repacked weights, for min_rows .. most live rows. */
NEED int plan_tokens(struct planner *p, const struct op *op, const struct piece *piece, size_t n,
                     size_t min_rows, size_t most);
/* Whether the product `op` can make its own input, as `made` before it would. */
bool tokens_feed(const struct record *r, const struct op *made, const struct op *op);
/* Rows up to which products read x as it is. */
enum { TOKENS_FEW = 8 };
/* Form of a weight that is prepared for: two planes of bf16, or one of f16. Floats of so
 * many rows of elements, before those of the sums. */
bool two_planes(const struct weight_desc *w);
size_t input_floats(const struct weight_desc *w, size_t rows);
/* A norm or a gate that plan_tokens() does with the preparation of its input
 * runs for few rows alone. */
void leave_to_tokens(struct planner *p, const struct op *op);
/* ---- launch_nvidia_experts.c: stacks that are repacked */
NEED int plan_runs(struct planner *p, const struct op *op, const struct piece *piece, size_t n);
/* ---- launch_nvidia.c again
 * Attention by pages on the matrix unit, where shapes allow it. */
bool pages_take(const struct planner *p, const struct op *op);
NEED int plan_pages(struct planner *p, const struct op *op, unsigned step);

/* ---- launch_recur.c */
NEED int plan_conv(struct planner *p, const struct op *op);
NEED int plan_decay(struct planner *p, const struct op *op);
NEED int plan_delta(struct planner *p, const struct op *op);

/* ---- launch_encode.c */
NEED int plan_norm_layer(struct planner *p, const struct op *op);
NEED int plan_act(struct planner *p, const struct op *op);
NEED int plan_encode(struct planner *p, const struct op *op);

/* Groups for n rows of the result. */
size_t row_groups(size_t n, const struct kernel_row *row);

/* What a kernel is told of a weight's form. Returns out. */
const char *form_options(char *out, size_t room, const struct weight *w);

/* An op as launches of the portable rows (launch_ops.c), or of the CPU rows
 * (launch_cpu.c; NULL for an op that has none). */
int (*launch_op(enum op_kind kind))(struct planner *p, const struct op *op);
int (*launch_cpu_op(enum op_kind kind))(struct planner *p, const struct op *op);

#endif
