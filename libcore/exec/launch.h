/* SPDX-License-Identifier: MIT */
/* launch.h - the planner that turns ops into launches (private to exec/).
 *
 * Ops are walked twice by the same code: first dry, to collect the programs
 * they want, which are then built together; then to make the kernels and set
 * their arguments. */
#ifndef CLM_EXEC_LAUNCH_H
#define CLM_EXEC_LAUNCH_H

#include "exec/opencl.h"

struct planner {
	struct record *r;
	struct opencl *d;
	struct cl_plan *p;
	bool dry;
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

/* Groups for n rows of the result. */
size_t row_groups(size_t n, const struct kernel_row *row);

/* An op as launches of the portable rows (launch_ops.c), or of the CPU rows
 * (launch_cpu.c; NULL for an op that has none). */
int (*launch_op(enum op_kind kind))(struct planner *p, const struct op *op);
int (*launch_cpu_op(enum op_kind kind))(struct planner *p, const struct op *op);

#endif
