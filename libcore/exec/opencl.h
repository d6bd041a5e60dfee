/* SPDX-License-Identifier: MIT */
/* opencl.h - the OpenCL device, its buffers, programs and launches (private
 * to exec/; nothing else includes OpenCL's own header).
 *
 * opencl.c chooses and opens a device, cl_status.c names its errors,
 * cl_memory.c keeps its buffers and cl_parts.c cuts them from larger ones,
 * cl_weight.c, cl_repack.c and cl_kv.c keep what lies in them,
 * kernels.c says which kernel rows there are, program.c builds them,
 * launch.c turns a record into a list of launches, cl_persist.c into one,
 * cl_team.c parts of the list, and cl_step.c runs them over a step. */
#ifndef CLM_EXEC_OPENCL_H
#define CLM_EXEC_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "exec/record.h"

/* ---- what a device can do, as bits that kernel rows ask for */
enum need {
	NEED_CPU = 1,          /* a device of type CPU */
	NEED_NVIDIA = 2,       /* takes inline PTX */
	NEED_HOPPER = 4,       /* and that for sm_90a, where it is uncovered (program.c) */
};

struct program;
/* Host memory, mapped for good. */
struct pinned {
	cl_mem m;
	void *p;
	size_t n_bytes;
};
/* A large buffer that parts are cut from. */
enum { MAX_SLABS = 32 };
struct slab {
	cl_mem m;
	size_t n, used, parts;
};
enum repack { REPACK_4, REPACK_8, REPACK_16, REPACK_SCALES, N_REPACKS };
enum { N_RAW = 3 };
enum found { FOUND_PART, FOUND_LANE, FOUND_BOUND, FOUND_N_LIST, FOUND_LIST, FOUND_MASS, FOUND_HEAD,
             FOUND_FEW, N_FOUND };
struct opencl {
	struct exec *x;
	cl_platform_id platform;
	cl_device_id id;
	cl_context context;
	cl_command_queue queue;
	unsigned can;              /* NEED_ bits it satisfies */
	size_t max_alloc;          /* bytes of one buffer; checks lower it */
	size_t local_memory;       /* bytes of a group */
	size_t border;             /* bytes to which parts of a buffer are aligned */
	bool fast_fma;             /* a GPU with fused products */
	unsigned width;            /* lanes of the vectors of CPU rows */
	bool one_memory;           /* kernels reach memory by addresses that others were given */
	bool inline_asm;           /* CPU rows may have it: PoCL 5 does not survive it in a kernel */
	bool host_memory;          /* reads the host's memory as fast as its own */
	char *cache_dir;           /* NULL: none */
	struct buf device_facts;   /* name, maker, versions: part of a program's key */
	struct program *programs;
	/* shared by all records, grown by plans: see device_rooms() */
	cl_mem scratch, table;
	size_t n_scratch, n_table; /* bytes */
	size_t n_rooms;            /* counts the changes of either */
	struct pinned stage;       /* the table as the host fills it */
	struct pinned result;      /* of the last run */
	cl_mem found[N_FOUND];     /* what is asked in place of a result, and found for it */
	size_t n_found[N_FOUND];
	struct pinned back;        /* what of that came back */
	cl_mem probe;              /* what limits read; NULL before the first measure */
	struct slab slab[MAX_SLABS];
	cl_kernel repack[N_REPACKS];
	cl_mem raw[N_RAW];         /* rows, scales and biases on their way into tiles */
	bool no_persist;           /* groups of one launch do not run beside each other */
	bool busy;                 /* work that reads the host's memory may be under way */
	struct blas *blas;         /* NULL: no products by the library (blas.h) */
	struct arena arena;
};

/* ---- cl_status.c */
/* "CL_INVALID_VALUE"; NULL for a status OpenCL does not name. */
const char *cl_status_name(cl_int status);
/* ERR_MACHINE: "WHAT: CL_NAME". Always returns -1. */
int cl_fail(struct err *e, cl_int status, const char *fmt, ...) PRINTF(3, 4);

/* ---- cl_memory.c */
/* A buffer of n bytes; NULL with ERR_MACHINE without room. Counted. */
NEED cl_mem buffer_open(struct opencl *d, size_t n_bytes, struct err *e);
/* Host memory that the device reads in place. Counted as no bytes. */
NEED cl_mem buffer_over(struct opencl *d, const void *p, size_t n_bytes, struct err *e);
void buffer_close(struct opencl *d, cl_mem m);
NEED int buffer_write(struct opencl *d, cl_mem m, size_t at, const void *p, size_t n_bytes,
                      struct err *e);
NEED int buffer_read(struct opencl *d, cl_mem m, size_t at, void *p, size_t n_bytes,
                     struct err *e);
/* Grows what all records share, in bytes. */
NEED int device_rooms(struct opencl *d, size_t n_scratch, size_t n_table, size_t n_result,
                      struct err *e);
/* Grows what is found, in bytes. */
NEED int device_found(struct opencl *d, const size_t n_bytes[N_FOUND], struct err *e);
void device_rooms_close(struct opencl *d);
/* Waits until nothing reads the host's memory. */
NEED int device_idle(struct opencl *d, struct err *e);

/* ---- cl_parts.c: what one kernel is to reach */
/* As buffer_open(), but cut from a slab where this device has special rows;
 * ended with buffer_close(). */
NEED cl_mem part_open(struct opencl *d, size_t n_bytes, struct err *e);
/* Which slab a buffer is part of, and its place there in bytes. */
bool part_find(struct opencl *d, cl_mem m, size_t *slab, size_t *at);
/* Ends a part; false: it is none. */
bool part_close(struct opencl *d, cl_mem m);

/* ---- cl_weight.c: a weight as chunks of rows, each within one buffer */
enum side { SIDE_DATA, SIDE_SCALES, SIDE_BIASES };
struct chunk {
	cl_mem data, scales, biases; /* tiles: scales with their biases, no biases */
	size_t first, n;           /* rows */
};
struct cl_weight {
	struct chunk *chunk;
	size_t n_chunks;
	enum dtype dtype;          /* of FLOAT data as it lies on the device: vectors are f32 */
	bool tiled;                /* repacked: kernels/nvidia/tile.clh */
	bool aligned;              /* rows begin on 16 bytes and are read 8 elements at a time */
};
int opencl_weight(struct weight *w, struct err *e);
void opencl_weight_end(struct weight *w);

/* ---- cl_repack.c: weights as tiles */
enum { TILE_ROWS = 16, TILE_COLUMNS = 128 };
/* Whether the device takes what the special rows are written in. */
bool repack_probe(struct opencl *d);
/* And PTX for sm_90a. */
bool grouped_probe(struct opencl *d);
bool repack_takes(const struct opencl *d, const struct weight_desc *w);
/* Fills the chunk, whose rows are set. */
NEED int repack_chunk(struct opencl *d, const struct weight_desc *w, struct chunk *c,
                      struct err *e);
void repack_close(struct opencl *d);

/* ---- cl_kv.c */
struct cl_kv {
	cl_mem *keys, *values;     /* [n_layers] */
};
int opencl_kv(struct exec_kv *k, struct err *e);
void opencl_kv_end(struct exec_kv *k);
int opencl_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e);
int opencl_kv_move(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first,
                   size_t n, void *keys, void *values, struct err *e);
/* Portable rows: keys of neighbouring dimensions that lie side by side: 8, or 1. */
size_t kv_key_step(const struct exec_kv_layer *l);

/* ---- kernels.c */
struct kernel_row {
	enum op_kind op;
	unsigned step;             /* which launch of the op, where it has several */
	unsigned needs;
	size_t max_tokens;         /* live rows it suits; 0: any */
	const char *text, *entry;
	const char *options;       /* facts of the row */
	unsigned lanes;            /* work-items of a group; 1: an item is a unit of work */
	unsigned rows, tokens;     /* rows of the result and of the step a group does */
};
enum {
	ATTENTION_WHOLE, ATTENTION_SPLIT, ATTENTION_MERGE, PAGES_WHOLE, PAGES_SPLIT, PAGES_MERGE,
};
/* Queries (rows times heads that share a head of keys) of a group of PAGES_ rows. */
enum { PAGE_QUERIES = 64 };
enum { EMBED_ROWS, EMBED_TILES };
/* Run by run; all runs of a matrix at once. Repacked: for few rows (short inputs
 * by fewer lanes); runs sorted, their inputs prepared, products. */
enum {
	EXPERTS_EACH, EXPERTS_GROUPED, EXPERTS_FEW, EXPERTS_FEW_SHORT, EXPERTS_SORT, EXPERTS_PREPARE,
	EXPERTS_PREPARE_SHORT, EXPERTS_AFFINE, EXPERTS_WIDE, EXPERTS_FLOAT,
};
/* Words of a sorted list before its tiles: kernels/nvidia/experts.cl. */
enum { LIST_HEAD = 16 };
enum { ROPE_ALONE, ROPE_TURN }; /* TURN: of q and k, which is written to the cache with v */
/* Products by form; on a CPU they prepare their input first. */
enum {
	MATMUL, MATMUL_AFFINE, MATMUL_TILES, UNPACK_WEIGHT, UNPACK_BIAS, /* for a library: blas.h */
	FLOAT_PREPARE, FLOAT_VEC, FLOAT_TILE,
	AFFINE_PREPARE, ONE_PREPARE, AFFINE_VEC, AFFINE_FEW, AFFINE_TILE, EXACT_PREPARE, EXACT_TILE,
	FLOAT_PANELS, FLOAT_PANEL, CODES_PANELS, CODES_PANEL, /* PANELS: prepares them */
	/* many rows, repacked weights: WIDE has groups of 128, SETS share columns,
	 * FOUR is 4 bits in smaller groups */
	TOKENS_PREPARE, TOKENS_FLOAT, TOKENS_FLOAT_SETS, TOKENS_AFFINE, TOKENS_AFFINE_SETS,
	TOKENS_FOUR, TOKENS_FOUR_SETS, TOKENS_WIDE,
	/* four warps multiply together */
	GROUPED_PREPARE, GROUPED_FLOAT, GROUPED_AFFINE,
};
/* The row for a launch of `op` over n tokens: the first that fits. Rows of
 * growing max_tokens are asked for in turn by n = the last one's + 1. */
const struct kernel_row *kernel_find(const struct opencl *d, enum op_kind op, unsigned step,
                                     size_t n_tokens);
/* "portable", or what the special rows are called that run here. */
const char *kernel_rows_name(const struct opencl *d);

/* ---- program.c: text and options to a program, kept on disk */
/* The program of a row with these options besides the row's own; built later
 * by programs_build(). */
NEED struct program *program_want(struct opencl *d, const struct kernel_row *row,
                                  const char *options, struct err *e);
NEED int programs_build(struct opencl *d, struct err *e);
/* Whether such a program builds here; if not, it is forgotten. */
bool program_tries(struct opencl *d, const struct kernel_row *row, const char *options,
                   struct err *e);
NEED cl_kernel program_kernel(struct program *p, const char *entry, struct err *e);
/* True once for each launch step of a program. */
bool program_first(struct program *p, unsigned step);
void programs_close(struct opencl *d);
/* Programs taken from the disk cache so far, and compiled. */
void programs_count(const struct opencl *d, size_t *n_cached, size_t *n_compiled);

/* ---- launch.c: ops as launches whose arguments are set once, but for a few
 * numbers of the step that CPU rows take as arguments */
enum launch_when { WHEN_ALWAYS, WHEN_WHOLE, WHEN_SPLIT };
enum room { ROOM_SCRATCH, ROOM_TABLE, ROOM_POS, ROOM_SEQ /* + a group of layers */ };
enum live_number { LIVE_ROWS, LIVE_ELEMENTS, LIVE_TILE, LIVE_SPANS };
enum { MAX_BINDINGS = 8, MAX_LIVE = 3, MAX_IDLE = 2, MAX_WORDS = 30 };
struct launch {
	cl_kernel kernel;
	const struct blas_call *blas; /* in place of a kernel */
	const struct kernel_row *row;
	const char *name;          /* of the op's result, for messages */
	enum launch_when when;     /* attention in one piece, or by spans */
	size_t min_rows, max_rows; /* live rows for which it runs */
	bool out;                  /* rows are the step's output rows */
	size_t groups;             /* along the width; the rest follows the live rows */
	size_t tokens;             /* live rows a group does; 0: as many as the step lets it */
	bool rows_first;           /* rows along the first axis, the width along the second */
	/* rows are slots of runs, so many a row and sorted by so many matrices, `pad` for each
	 * that has any; 0: they are the step's */
	size_t n_used, n_stack, pad;
	bool spans;                /* the third axis is the step's spans */
	bool runs;                 /* the second is its runs, whatever `tokens` says */
	bool flat;                 /* all on one axis */
	size_t width;              /* flat: not by groups, but row->rows elements an item */
	bool first;                /* of its kernel on this device */
	struct { cl_uint arg; unsigned room; } bound[MAX_BINDINGS];
	size_t n_bound;
	struct { cl_uint arg; enum live_number what; size_t value; } live[MAX_LIVE];
	size_t n_live;
	struct { cl_uint arg; cl_int value; } idle[MAX_IDLE]; /* 0 while warming */
	size_t n_idle;
	/* flat: its arguments once more, for cl_team.c; which are memory, a cl_mem each */
	uint64_t word[MAX_WORDS];
	uint32_t memory;
	size_t n_local;            /* bytes */
	unsigned bits, group;      /* the form of its codes; 0: it has none */
};
/* Words at the head of the step table, as in kernels/common.clh; positions of
 * a span, as in kernels/attention.cl and nvidia/attend.clh. */
enum { STEP_ROWS, STEP_OUT, STEP_SPANS, STEP_RUNS, STEP_WORDS };
enum { SPAN = 512, NVIDIA_SPAN = 256, RESULT_FLAG = 64 /* bytes behind a result */ };
/* The record as one launch (cl_persist.c); no kernel: it has none. */
struct persist {
	cl_kernel kernel;
	cl_mem phases, sync;
	size_t n_phases;
	unsigned meetings;         /* of the groups, in a step */
	unsigned edges[2];         /* rooms of each ring that a step goes through */
	cl_uint turn[2];           /* those gone through */
	cl_uint met;               /* what the counter of the groups has come to */
	bool half;                 /* slots between products hold f16 */
};
/* Launches of a step of one row as phases of one (cl_team.c). */
struct team {
	size_t first, end;         /* in place of these launches */
	cl_kernel kernel;
	cl_mem phases, parts;
	size_t n_phases, stride;
	size_t *launch;            /* [n_phases] */
	uint64_t *words;           /* as `phases` is to be */
	uint32_t *part;            /* as `parts` is before each step */
};
struct teams {
	struct team *team;         /* [n] */
	size_t n, n_groups;
	cl_kernel place;
	cl_mem places;
	size_t spans;              /* of the step that the phases are for; 0: none yet */
	enum launch_when when;
};
/* What is asked of output rows (cl_best.c); no kernels: the host looks. */
enum { BEST_STAGES = 5, ASK_WORDS = 4 };
struct best {
	cl_kernel kernel[BEST_STAGES];
};
struct cl_plan {
	struct persist persist;
	struct best best;
	struct teams teams;
	struct launch *launch;
	size_t n_launches, room_launches;
	struct blas_choice *choice; /* products that may go two ways */
	size_t n_choices, room_choices;
	size_t n_rooms;            /* of the device when arguments were last bound */
	/* words of the step table; after them, for each group and sequence, the
	 * word where its pages begin, then the pages */
	size_t token_at, pos_at, out_at, row_pages_at, row_pages_step, *angle_at, end_at;
	size_t adapter_at;         /* used where some op asks for adapters */
	size_t ask_at;             /* what is asked of output rows, where it may be */
	size_t run_at, run_rows;   /* where runs of at most so many rows of a sequence begin */
	size_t part_at;            /* floats into the scratch: spans of attention */
	size_t n_parts;            /* rows * heads * spans that have room there */
	size_t max_heads;
	size_t input_at;           /* floats into the scratch: prepared inputs of a product */
	cl_mem *place;             /* ROOM_POS, ROOM_SEQ ... where launches want them */
	size_t n_places;
};
/* Positions of the shortest span that attention on this device has. */
size_t span_of(const struct opencl *d);
/* Fills the record's plan; dry: only asks for the programs. */
NEED int launches_make(struct record *r, bool dry, struct err *e);
/* Floats of prepared inputs that the CPU rows need, and those for NVIDIA. */
size_t cpu_inputs(const struct record *r);
size_t tokens_inputs(const struct record *r);
size_t experts_inputs(const struct record *r);
/* Most tiles of `pad` slots for the runs of so many rows. */
size_t experts_tiles(size_t rows, size_t n_used, size_t n_stack, size_t pad);
/* Rows of a sequence that attention by pages takes at a time. */
size_t pages_run(const struct record *r);

/* Whether one instruction of this CPU adds products of bytes, and the rows may name it. */
bool cpu_dots_bytes(const struct opencl *d);
/* What all CPU rows are built with, and more (launch_cpu.c). Returns out. */
const char *cpu_options(char *out, size_t room, const struct opencl *d, const char *more);
/* ---- cl_persist.c: a step in one launch */
/* Fills the plan's, where the record allows it; dry: only asks for the program. */
NEED int persist_make(struct record *r, bool dry, struct err *e);
void persist_end(struct opencl *d, struct persist *o);
NEED int persist_bind(struct opencl *d, struct persist *o, struct err *e);
NEED int persist_run(struct opencl *d, struct persist *o, struct err *e);

/* ---- cl_team.c: a step of one row in a few launches, on a CPU */
/* Fills the plan's, where the device allows it; dry: only asks for the programs. */
NEED int teams_make(struct record *r, bool dry, struct err *e);
void teams_end(struct opencl *d, struct teams *t);
/* Tells the phases where rooms are. */
NEED int teams_bind(struct record *r, struct err *e);
/* Sets the phases for a step of one row that sees so many spans. */
NEED int teams_set(struct record *r, size_t spans, enum launch_when when, struct err *e);
NEED int team_run(struct opencl *d, const struct teams *all, const struct team *t, struct err *e);
/* Each kernel, over no phases. */
NEED int teams_warm(struct opencl *d, const struct teams *t, struct err *e);

/* ---- cl_best.c: what is asked of output rows */
bool best_here(const struct record *r);
/* Fills the plan's, where the device does it; dry: only asks for the program. */
NEED int best_make(struct record *r, bool dry, struct err *e);
void best_end(struct best *b);
/* What the step asks, in ASK_WORDS a row of the step table. */
void best_table(int32_t *t, const struct step *s);
NEED int best_run(const struct record *r, const struct step *s, struct err *e);
/* Each kernel over a row of which nothing is asked. */
NEED int best_warm(const struct record *r, struct err *e);
/* Waits for what was found, and for the rows that are wanted whole. */
NEED int best_read(struct record *r, const struct step *s, struct err *e);
/* Brings one more row. */
NEED int best_row(struct record *r, size_t i, struct err *e);

/* ---- cl_plan.c: the step table's layout, and all that a record needs before
 * its first step */
int opencl_plan(struct record *r, struct err *e);
void opencl_plan_end(struct record *r);

/* ---- cl_step.c */
int opencl_run(struct record *r, const struct step *s, const float *const *angles, struct err *e);
const float *opencl_output(const struct record *r);
/* Runs each kernel of the plan over no rows: what a driver does at a first
 * launch is done before the first step. */
NEED int launches_warm(struct record *r, struct err *e);
/* Seconds that launches first .. end - 1 take with so many live rows, of no sequence.
 * Before the first step. */
NEED int launches_time(struct record *r, size_t first, size_t end, size_t rows, double *seconds,
                       struct err *e);

/* ---- limits_opencl.c */
int opencl_limit(struct exec *x, enum limit what, double *value, struct err *e);

#endif
