/* SPDX-License-Identifier: MIT */
/* exec.h - devices, weights, and the recorded step. The door of exec/.
 *
 * A step is recorded once and replayed. record_*() and op_*() build a flat list of ops over
 * named slots for up to `max_rows` rows, every shape checked as it is recorded; record_end()
 * plans the memory and builds the kernels. record_run() then replays the list over a step table
 * (tokens, positions, page tables): it allocates nothing, looks nothing up, builds nothing.
 *
 * Numbers: slots are f32; every sum is f32 in an order fixed per weight form. The bits of a row
 * depend only on its own token, position and keys, never on the other rows of the step, the
 * bucket or the page numbers. */
#ifndef CLM_EXEC_H
#define CLM_EXEC_H

#include "exec/ask.h"
#include "exec/tap.h"
#include "tensor/tensor.h"
#include "util/buf.h"

/* ---- the device */
struct exec;

struct exec_options {
	const char *device;    /* as for --device; NULL: $CLM_DEVICE, else auto */
	const char *isa;       /* cpu: "v2", "v3", "v4", "v4vnni", "v4amx", "plain"; NULL: the best */
	const char *cache_dir; /* built programs; NULL: ~/.cache/clm by XDG; "": none */
	int threads;           /* 0: all */
	unsigned flags;
	const struct exec_tap *tap; /* of the cpu device, NULL: none; must outlive it */
};
enum {
	EXEC_EXACT = 1,        /* f32 matrix inputs and f32 cache everywhere */
	EXEC_FAST = 2,         /* 8-bit matrix inputs where a row for them exists */
	EXEC_RELAXED = 4,      /* order of sums may depend on the batch */
};
NEED int exec_open(struct exec **out, const struct exec_options *o, struct err *e);
void exec_close(struct exec *x);

struct exec_info {
	const char *backend;   /* "cpu", "opencl", "ref" */
	const char *device;    /* name as the maker gives it */
	const char *rows;      /* which kernels run: "v4vnni", "opencl-portable", ... */
	int units;             /* threads or compute units */
	size_t memory;         /* bytes the device has; 0: unknown */
	bool exact;
};
void exec_describe(const struct exec *x, struct exec_info *out);
/* Every device this machine offers, one line each into `out`, tab-separated:
 * NAME (as for --device), backend, device, units, memory bytes. */
NEED int exec_list(struct buf *out, struct err *e);
/* Bytes held on the device now, and the count of allocations and program
 * builds since exec_open(): a replayed step must leave the count alone. */
size_t exec_bytes(const struct exec *x);
size_t exec_read(const struct exec *x);  /* bytes that steps brought back from the device */
size_t exec_events(const struct exec *x);
/* How often the host has waited for the device: once a step, for its result. */
size_t exec_waits(const struct exec *x);
/* What the device can do at most, measured when asked (about 50 ms): bytes or operations a
 * second, for a launch and a barrier of all groups seconds. 0: it has no such thing. */
enum limit { LIMIT_READ, LIMIT_FMA, LIMIT_DOT16, LIMIT_DOT8, LIMIT_MATRIX, LIMIT_LAUNCH,
             LIMIT_BARRIER, LIMIT_COUNT };
NEED int exec_limit(struct exec *x, enum limit what, double *value, struct err *e);

/* ---- weights: few forms, many formats */
enum form { FORM_FLOAT, FORM_AFFINE };
struct weight_desc {
	const char *name;      /* for messages */
	enum form form;
	enum dtype dtype;      /* f32 f16 bf16 f8_e4m3 f8_e5m2; AFFINE: scales, not f8 */
	size_t n_out, n_in;    /* y[n_out] = W x[n_in]; a vector has n_out 1 */
	unsigned bits, group;  /* AFFINE: 2 3 4 5 6 8; 16 32 64 128; MLX's packing */
	const void *data;      /* any alignment */
	const void *scales, *biases; /* AFFINE: [n_out][n_in / group] */
	/* a stack: so many matrices of n_out / n_stack rows each, one after the
	 * other, or each where its piece says; 0: one matrix */
	size_t n_stack;
	const struct weight_piece *piece; /* [n_stack], in place of the three above; or NULL */
};
struct weight_piece { const void *data, *scales, *biases; };
struct weight;
/* The bytes are borrowed until weight_close(): host backends use them in
 * place. ERR_INPUT for a form no row takes, ERR_MACHINE without room. */
NEED int weight_open(struct weight **out, struct exec *x, const struct weight_desc *d,
                     struct err *e);
void weight_close(struct weight *w);

/* ---- the cache of keys and values: pages of 32 positions */
enum { PAGE_POSITIONS = 32, KV_STATES = 4 };
struct exec_kv_layer {
	size_t n_heads, k_dim, v_dim;
	unsigned group;        /* layers of a group share page tables (full, sliding, ...) */
	bool v_in_k;           /* a value is the last v_dim of its key, and not kept again */
	/* A recurrent layer has states in place of keys and values: arrays of f32 of these sizes
	 * (0: no such array). Its page is what they are after the last computed of its positions; a
	 * list that names one page for many pages of positions keeps the last states alone. */
	size_t state[KV_STATES][3];
};
/* Floats of the states before `part`; of all of them for KV_STATES. 0: keys and values. */
size_t exec_kv_state(const struct exec_kv_layer *l, size_t part);
struct exec_kv;
/* n_pages[g] pages for every layer of group g, in f16, or f32 with
 * EXEC_EXACT. Host memory is touched only when written. */
NEED int exec_kv_open(struct exec_kv **out, struct exec *x, const struct exec_kv_layer *layer,
                      size_t n_layers, const size_t *n_pages, size_t n_groups, struct err *e);
void exec_kv_close(struct exec_kv *k);
enum dtype exec_kv_dtype(const struct exec_kv *k);       /* DT_F16 or DT_F32 */
/* Copies page `src` over page `dst` in every layer of the group. */
NEED int exec_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e);
/* Canonical rows [head][n][dim] in exec_kv_dtype() of n positions of one
 * page from `first` on; how a page lies in memory stays in here. Of a
 * recurrent layer `keys` are the states, `values` nothing, all n alike. */
NEED int exec_kv_export(struct exec_kv *k, size_t layer, int32_t page, size_t first, size_t n,
                        void *keys, void *values, struct err *e);
NEED int exec_kv_import(struct exec_kv *k, size_t layer, int32_t page, size_t first, size_t n,
                        const void *keys, const void *values, struct err *e);

/* ---- recording */
#include "exec/op.h"

/* ---- replaying */
struct step {
	size_t n_rows, n_out, n_seqs;
	const int32_t *token, *pos, *seq; /* [n_rows]; rows of one sequence in rising positions */
	const int32_t *out;               /* [n_out]: rows */
	const int32_t *adapter;           /* [n_rows]: whose gains; NULL: 0 for all */
	const int32_t *const *pages;      /* [g * n_seqs + s][pos / PAGE_POSITIONS] */
	const size_t *n_pages;            /* [n_groups * n_seqs] */
	const struct ask *ask;            /* [n_out], of a record of record_asks(); NULL: the result */
};
NEED int record_run(struct record *r, const struct step *s, struct err *e);
/* The result of the last run, [n_out][n]; until the next run on this device. With step.ask only
 * those rows are there that were asked for. */
const float *record_output(const struct record *r);
/* Of the last run, one with step.ask: [n_out]. A device may give the row all the same. */
const struct answer *record_answers(const struct record *r);
/* An output row of that run that was not asked for; the device is waited for once more. */
NEED int record_row(struct record *r, size_t i, const float **row, struct err *e);

#endif
