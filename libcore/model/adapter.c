/* SPDX-License-Identifier: MIT */
/* adapter.c - an adapter's files to low-rank sides of modules
 *
 * Given MLX's directory (adapters.safetensors or .npz, adapter_config.json)
 * or either file; gives each module's matrices in f32, turned the way the
 * products read them, the scale folded in. Leaves other layouts to convert.
 * LoRA: Hu et al., 2021, arXiv:2106.09685; DoRA: Liu et al., 2024,
 * arXiv:2402.09353; IA3: Liu et al., 2022, arXiv:2205.05638 */
#include "model/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NPZ_SCALE = 20, RANK_MAX = 4096 };

struct reading {
	struct adapter *a;
	struct source *s;
	double scale;
	struct digest *digest;
};

static const struct {
	const char *end;
	unsigned rank;         /* of the tensor */
} leaves[] = { { ".lora_a", 2 }, { ".lora_b", 2 }, { ".m", 1 }, { ".ia3_out", 1 },
	       { ".ia3_in", 1 } };
enum leaf { LEAF_A, LEAF_B, LEAF_M, LEAF_OUT, LEAF_IN, LEAVES };

/* ---- the configuration */

static int read_parameters(struct reading *r, const cJSON *c, struct err *e)
{
	const cJSON *p = json_get(c, "lora_parameters");
	const char *kind = "lora";

	if (json_get_text(c, "fine_tune_type", &kind, e) < 0 ||
	    json_get_bool(c, "clm_table_only", &r->a->table_only, e) < 0)
		return -1;
	if (!strcmp(kind, "full"))
		return err_set(e, ERR_INPUT, "fine_tune_type: full: whole weights are a model of their "
		               "own, expected lora or dora");
	if (strcmp(kind, "lora") && strcmp(kind, "dora") && strcmp(kind, "ia3"))
		return err_set(e, ERR_INPUT, "fine_tune_type: expected lora or dora, found %s", kind);
	if (!strcmp(kind, "ia3"))
		return 0;
	switch (json_get_f64(p, "scale", &r->scale, e)) {
	case 0:
		return err_set(e, ERR_INPUT, "lora_parameters.scale: missing");
	case 1:
		if (isfinite(r->scale) && fabs(r->scale) < 1e6)
			return 0;
		return err_set(e, ERR_INPUT, "lora_parameters.scale: %g", r->scale);
	}
	return err_in(e, "lora_parameters");
}

static int read_config(struct reading *r, struct err *e)
{
	struct bytes text;
	cJSON *c;
	int rc = source_sibling(r->s, "adapter_config.json", &text, e);

	if (rc < 0)
		return -1;
	if (rc == 0 && source_container(r->s) == CONTAINER_NPZ) {
		r->scale = NPZ_SCALE; /* mlx-examples kept no configuration */
		return 0;
	}
	if (rc == 0)
		return err_set(e, ERR_INPUT, "adapter_config.json: missing");
	digest_add(r->digest, text);
	c = json_parse(text, e);
	rc = c ? read_parameters(r, c, e) : -1;
	cJSON_Delete(c);
	return rc ? err_in(e, "adapter_config.json") : 0;
}

/* ---- tensors */

static int leaf_of(const char *name)
{
	for (int i = 0; i < LEAVES; i++)
		if (bytes_ends(bytes_of(name), leaves[i].end))
			return i;
	return -1;
}

static struct side *side_of(struct adapter *a, const char *name, size_t n, struct err *e)
{
	struct side *s = a->side;

	for (; s < a->side + a->n_sides; s++)
		if (strlen(s->path) == n && !memcmp(s->path, name, n))
			return s;
	s->path = arena_text(&a->arena, name, n, e);
	a->n_sides += s->path != NULL;
	return s->path ? s : NULL;
}

/* As floats; [rows][cols] become [cols][rows], times `by`. */
static float *turned(struct adapter *a, const float *x, size_t rows, size_t cols, double by,
                     struct err *e)
{
	float *y = arena_new(&a->arena, rows * cols, sizeof *y, e);

	for (size_t i = 0; y && i < rows; i++)
		for (size_t k = 0; k < cols; k++)
			y[k * rows + i] = (float)((double)x[i * cols + k] * by);
	return y;
}

static int same_size(size_t *have, size_t n, const char *what, struct err *e)
{
	if (!*have)
		*have = n;
	return *have == n ? 0 : err_set(e, ERR_INPUT, "expected %zu %s, found %zu", *have, what, n);
}

/* Of experts: A is [experts][rank][in], B [experts][out][rank], as products read them. */
static int keep_stack(struct reading *r, struct side *s, enum leaf leaf, const struct tensor *t,
                      float *x, struct err *e)
{
	const size_t *n = t->shape.dim;

	if ((s->a || s->b || s->m || s->out || s->in) && !s->n_stack)
		return err_set(e, ERR_INPUT, "expected no stack, as its other tensors are none");
	if (same_size(&s->n_stack, n[0], "experts", e) ||
	    same_size(&s->rank, n[leaf == LEAF_A ? 1 : 2], "ranks", e))
		return -1;
	if (leaf == LEAF_A) {
		s->a = x;
		return same_size(&s->n_in, n[2], "inputs", e);
	}
	for (size_t i = 0; i < n[0] * n[1] * n[2]; i++)
		x[i] = (float)((double)x[i] * r->scale);
	s->b = x;
	return same_size(&s->n_out, n[1], "outputs", e);
}

static int keep(struct reading *r, struct side *s, enum leaf leaf, const struct tensor *t,
                const float *x, struct err *e)
{
	size_t n0 = t->shape.dim[0], n1 = t->shape.dim[1];

	if (s->n_stack)
		return err_set(e, ERR_INPUT, "a stack of experts takes lora_a and lora_b of rank 3 "
		               "alone");
	switch (leaf) {
	case LEAF_A:
		s->a = turned(r->a, x, n0, n1, 1, e);
		return !s->a || same_size(&s->n_in, n0, "inputs", e) ||
		       same_size(&s->rank, n1, "ranks", e);
	case LEAF_B:
		s->b = turned(r->a, x, n0, n1, r->scale, e);
		return !s->b || same_size(&s->rank, n0, "ranks", e) ||
		       same_size(&s->n_out, n1, "outputs", e);
	case LEAF_IN:
		s->in = x;
		return same_size(&s->n_in, n0, "inputs", e);
	default:
		*(leaf == LEAF_M ? &s->m : &s->out) = x;
		return same_size(&s->n_out, n0, "outputs", e);
	}
}

static int read_tensor(struct reading *r, const struct tensor *t, struct err *e)
{
	int leaf = leaf_of(t->name);
	struct bytes data;
	struct side *s;
	char shape[96];
	size_t n;
	float *x;

	if (leaf < 0)
		return err_set(e, ERR_INPUT, "expected a name ending in .lora_a, .lora_b or .m");
	if ((t->shape.rank != leaves[leaf].rank && (t->shape.rank != 3 || leaf > LEAF_B)) ||
	    !dtype_info(t->dtype)->is_float ||
	    !shape_count(&n, &t->shape) || !n)
		return err_set(e, ERR_INPUT, "expected floats of rank %u, found %s", leaves[leaf].rank,
		               shape_text(shape, sizeof shape, t->dtype, &t->shape));
	x = arena_new(&r->a->arena, n, sizeof *x, e);
	s = x ? side_of(r->a, t->name, strlen(t->name) - strlen(leaves[leaf].end), e) : NULL;
	if (!s || source_data(r->s, t, &data, &r->a->arena, e))
		return -1;
	dtype_to_f32(t->dtype, x, data.p, n);
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return err_set(e, ERR_INPUT, "element %zu is no finite number", i);
	digest_add(r->digest, bytes_of(t->name));
	digest_add(r->digest, (struct bytes){ (const unsigned char *)x, n * sizeof *x });
	if (t->shape.rank == 3)
		return keep_stack(r, s, (enum leaf)leaf, t, x, e);
	return keep(r, s, (enum leaf)leaf, t, x, e) ? -1 : 0;
}

static int check_side(const struct side *s, struct err *e)
{
	if (!s->a != !s->b)
		return err_set(e, ERR_INPUT, "%s.%s: missing", s->path, s->a ? "lora_b" : "lora_a");
	if (s->rank > RANK_MAX)
		return err_set(e, ERR_INPUT, "%s: rank %zu, at most %d", s->path, s->rank, RANK_MAX);
	return 0;
}

static int read_all(struct reading *r, struct err *e)
{
	size_t n = source_count(r->s);

	r->a->side = arena_new(&r->a->arena, n, sizeof *r->a->side, e);
	if (!r->a->side || read_config(r, e))
		return -1;
	if (!n)
		return err_set(e, ERR_INPUT, "no tensors");
	for (size_t i = 0; i < n; i++)
		if (read_tensor(r, source_tensor(r->s, i), e))
			return err_in(e, "%s", source_tensor(r->s, i)->name);
	for (size_t i = 0; i < r->a->n_sides; i++)
		if (check_side(&r->a->side[i], e))
			return -1;
	return 0;
}

/* The file of a directory that holds the tensors. */
static int open_file(struct source **out, const char *path, struct arena *a, struct err *e)
{
	static const char *const names[] = { "adapters.safetensors", "adapters.npz" };
	char *file;

	if (!file_is_dir(path))
		return source_open(out, path, e);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		file = file_join(a, path, names[i], e);
		if (!file)
			return -1;
		if (file_exists(file))
			return source_open(out, file, e);
	}
	return err_set(e, ERR_INPUT, "%s: expected an adapter: adapters.safetensors or .npz", path);
}

int adapter_open(struct adapter **out, const char *path, struct err *e)
{
	struct reading r = { .a = calloc(1, sizeof *r.a) };
	int rc;

	if (!r.a)
		return err_memory(e, sizeof *r.a);
	rc = open_file(&r.s, path, &r.a->arena, e) || digest_open(&r.digest, e);
	if (!rc && read_all(&r, e))
		rc = err_in(e, "%s", source_path(r.s));
	if (!rc) {
		rc = digest_close(r.digest, r.a->digest, e);
		r.digest = NULL;
	}
	digest_abort(r.digest);
	source_close(r.s);
	if (rc) {
		adapter_close(r.a);
		return -1;
	}
	*out = r.a;
	return 0;
}

void adapter_close(struct adapter *a)
{
	if (!a)
		return;
	arena_release(&a->arena);
	free(a);
}

const char *adapter_digest(const struct adapter *a)
{
	return a->digest;
}
