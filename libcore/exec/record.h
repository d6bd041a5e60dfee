/* SPDX-License-Identifier: MIT */
/* record.h - what a recorded step is, for the backends (private to exec/) */
#ifndef CLM_EXEC_RECORD_H
#define CLM_EXEC_RECORD_H

#include "exec/exec.h"

enum op_kind {
	OP_EMBED, OP_NORM_RMS, OP_MATMUL, OP_ROPE, OP_KV_WRITE, OP_ATTENTION, OP_GLU, OP_ADD, OP_SCALE,
	OP_PICK, OP_CONV, OP_GAIN, OP_NORM_LAYER, OP_ACT, OP_ENCODE, OP_COPY, OP_ROUTE, OP_EXPERTS,
	OP_MIX, OP_DECAY, OP_DELTA, OP_COUNT
};
enum { OP_PARTS = 4, OP_MORE = 3, MOST_EXPERTS = 1024, MOST_USED = 64 };

struct slot {
	const char *name;
	size_t n;              /* row width */
	bool out;              /* over output rows */
	size_t first, last;    /* ops between which it lives */
	size_t offset;         /* bytes into the scratch, 64-aligned; planned at the end */
};

struct op {
	enum op_kind kind;
	struct slot *dst, *src, *src2, *more[OP_MORE];
	struct op_product part[OP_PARTS];
	size_t n_parts;
	bool add;
	const struct weight *w, *shift, *b;
	bool by_position;      /* the table's rows are taken by position, not token */
	float eps;
	size_t n_heads, head_dim;
	size_t rope;           /* index into record.rope */
	struct attention att;
	struct conv conv;
	struct delta delta;
	size_t layer;
	enum activation act;
	float scale, cap;
	struct copy copy;
	struct routing routing;
	size_t n_used;         /* runs of a row that have a matrix each; src2: which */
	void *plan;            /* the backend's own, in the record's arena */
};

struct record {
	struct exec *x;
	struct exec_kv *kv;
	struct arena arena;
	struct op *op;         /* [n_ops] */
	size_t n_ops, room_ops;
	struct slot **slot;
	size_t n_slots, room_slots;
	struct rope *rope;     /* the distinct ones; the step table gets cos and sin rows of each */
	size_t n_ropes, room_ropes;
	struct slot *result;
	size_t max_rows, max_out;
	bool asks;             /* steps may ask */
	struct answer *answer; /* [max_out], of the last step that did */
	size_t n_adapters;     /* adapters below this are known to every op_gain() */
	size_t n_tokens;       /* ids below this are known to every op_embed() */
	size_t n_positions;    /* ... and to op_embed_position() */
	size_t *window;        /* [n_groups]: most positions that are read; 0: all */
	const float **angles;  /* [n_ropes], of the step that runs */
	size_t scratch_bytes;  /* of all slots, planned by lifetime */
	struct err err;        /* the first failure while recording */
	bool ended;
	bool recurs;           /* some op carries states along */
	void *plan;            /* the backend's own */
};

/* A backend is a way to run the list. Every entry is required; what has no
 * limits worth a measure gives 0 for each.
 *
 * exec.c asks the backends in the order opencl, cpu, ref; the first that
 * takes the device's name opens it. Under "auto" a backend takes the name if
 * it has something better than what comes after it (opencl: a GPU), and one
 * that takes it but cannot open it is passed over.
 *
 * open() fills x->device, x->device_name, x->rows_name and x->info.units and
 * .memory; exec.c the rest of info. Whatever allocates or builds adds to
 * x->n_events, and what it holds to x->n_bytes. Slots of one record lie in
 * one scratch (slot.offset) that all records of a device share: plan() grows
 * it to r->scratch_bytes, so that run() never does. */
struct backend {
	const char *name;
	bool (*takes)(const char *device);
	int (*list)(struct buf *out, struct err *e);         /* its lines of exec_list() */
	int (*open)(struct exec *x, const struct exec_options *o, struct err *e);
	void (*close)(struct exec *x);
	int (*weight)(struct weight *w, struct err *e);      /* upload; desc is checked and set */
	void (*weight_end)(struct weight *w);
	int (*kv)(struct exec_kv *k, struct err *e);
	void (*kv_end)(struct exec_kv *k);
	int (*kv_copy)(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e);
	int (*kv_move)(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first, size_t n,
	               void *keys, void *values, struct err *e);
	int (*plan)(struct record *r, struct err *e);        /* choose rows, build, scratch */
	void (*plan_end)(struct record *r);
	/* A step that asks: the backend fills r->answer and says so, or leaves a result. */
	int (*run)(struct record *r, const struct step *s, const float *const *angles, struct err *e);
	bool (*answers)(const struct record *r);             /* NULL: never */
	int (*row)(struct record *r, size_t i, struct err *e); /* ... then brings a row to the result */
	const float *(*output)(const struct record *r);
	int (*limit)(struct exec *x, enum limit what, double *value, struct err *e);
};
/* angles[k]: [n_rows][dims] f32 of record.rope[k], cos of pair i at i and sin
 * at dims / 2 + i, times the rope's scale, computed in double by exec. */

struct exec {
	const struct backend *backend;
	void *device;          /* the backend's own */
	struct exec_info info;
	unsigned flags;
	const struct exec_tap *tap;
	size_t n_bytes, n_events, n_read, n_waits;
	float *angle_room;     /* step angles, sized when a record ends */
	size_t n_angle_room;
	char device_name[256], rows_name[64];
};
struct weight {
	struct exec *x;
	struct weight_desc d;
	void *device;
	struct arena arena;
};
struct exec_kv {
	struct exec *x;
	struct exec_kv_layer *layer;
	size_t n_layers, n_groups;
	size_t *n_pages;
	enum dtype dtype;
	void *device;
};

extern const struct backend backend_ref, backend_cpu, backend_opencl;

/* Zeroed host memory on a border of 64, counted in x; untouched pages cost
 * nothing. */
NEED void *exec_host_new(struct exec *x, size_t n_bytes, struct err *e);
void exec_host_end(struct exec *x, void *p);
/* Bytes of a row of the weight's codes or floats, and of its scales; and of all rows, biases
 * too. */
size_t weight_row_bytes(const struct weight_desc *d);
size_t weight_scale_bytes(const struct weight_desc *d);
size_t weight_bytes(const struct weight_desc *d);
/* Bytes of a page of keys and values whose rows are this long, or of states (all are keys). */
size_t kv_page_bytes(const struct exec_kv *k, size_t layer, bool values, size_t dim);
/* Rows from `row` on of one sequence; 0: the row before is of the same. */
size_t step_run(const struct step *s, size_t row);
/* The page that position `pos` of a row's sequence lies in. */
int32_t step_page(const struct step *s, unsigned group, size_t row, size_t pos);
/* Whether the states of a row go to its page: the last of its run, or of the page, where the
 * next position has another (a list may name one page many times: states go on in it). */
bool step_keeps(const struct step *s, unsigned group, size_t row);
/* Where the matrix of a row begins, and the row's number in it. */
struct weight_piece weight_rows(const struct weight_desc *d, size_t *row);
/* Keeps the first failure of a record, under the op's name. */
void record_fail(struct record *r, const char *fmt, ...) PRINTF(2, 3);
/* How many rows of the slot this step fills. */
size_t slot_rows(const struct slot *s, const struct step *step);
/* Where the gains of the slot's row begin in a vector of all adapters'. */
size_t slot_gain(const struct slot *s, const struct step *step, size_t row);
/* op_gain() over rows of the slot at x. */
void gain_rows(float *x, const struct op *op, const struct step *s, size_t begin, size_t end);
/* An array of the record's arena made ready for one more element. */
NEED int record_grow(struct record *r, void **array, size_t n, size_t *room, size_t size);

#endif
