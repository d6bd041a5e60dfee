/* SPDX-License-Identifier: MIT */
/* peft.c - adapters as PEFT and as mlx-lm keep them, read
 *
 * Given a file of tensors and its configuration; gives modules with their
 * matrices and scale. What an adapter of low-rank sides cannot say (whole
 * weights, biases, other methods) is refused by name. */
#include "convert/peft.h"

#include <math.h>
#include <string.h>

/* ---- modules */

struct module *module_of(struct modules *m, const char *path, size_t n, struct err *e)
{
	struct module *o = m->module;

	for (; o < m->module + m->n; o++)
		if (strlen(o->path) == n && !memcmp(o->path, path, n))
			return o;
	o->path = arena_text(&m->arena, path, n, e);
	m->n += o->path != NULL;
	return o->path ? o : NULL;
}

float *module_floats(struct modules *m, struct source *s, const struct tensor *t, bool turned,
                     struct err *e)
{
	size_t n, rows = t->shape.dim[0], cols = t->shape.rank > 1 ? t->shape.dim[1] : 1;
	struct bytes data;
	float *x, *y;

	if (!t->shape.rank || t->shape.rank > 2 || !dtype_info(t->dtype)->is_float ||
	    !shape_count(&n, &t->shape) || !n) {
		char have[96];

		err_set(e, ERR_INPUT, "expected floats of one or two axes, found %s",
		        shape_text(have, sizeof have, t->dtype, &t->shape));
		return NULL;
	}
	x = arena_new(&m->arena, n, sizeof *x, e);
	y = x && turned ? arena_new(&m->arena, n, sizeof *y, e) : x;
	if (!y || source_data(s, t, &data, &m->arena, e))
		return NULL;
	dtype_to_f32(t->dtype, x, data.p, n);
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i])) {
			err_set(e, ERR_INPUT, "element %zu is no finite number", i);
			return NULL;
		}
	for (size_t i = 0; turned && i < n; i++)
		y[i % cols * rows + i / cols] = x[i];
	return y;
}

void modules_release(struct modules *m)
{
	arena_release(&m->arena);
	*m = (struct modules){ 0 };
}

enum part { PART_A, PART_B, PART_M, PART_TABLE_A, PART_TABLE_B, PART_IA3, PARTS };

/* Keeps a matrix of [rows][cols], now in PEFT's order, and its sizes. */
static int keep(struct module *o, enum part part, const float *x, size_t rows, size_t cols,
                struct err *e)
{
	bool a = part == PART_A || part == PART_TABLE_A;
	size_t *rank = &o->rank, have = a ? rows : cols;

	if (part == PART_M) {
		o->m = x;
		return !o->n_out || o->n_out == rows ? (o->n_out = rows, 0) :
		       err_set(e, ERR_INPUT, "expected [%zu], found [%zu]", o->n_out, rows);
	}
	if (part == PART_IA3 && rows == 1 && cols > 1)
		return o->in = x, o->n_in = cols, 0;
	if (part == PART_IA3)
		return o->out = x, o->n_out = rows, 0;
	if (*rank && *rank != have)
		return err_set(e, ERR_INPUT, "expected a rank of %zu, found %zu", *rank, have);
	*rank = have;
	*(a ? &o->a : &o->b) = x;
	*(a ? &o->n_in : &o->n_out) = a ? cols : rows;
	o->table = part == PART_TABLE_A || part == PART_TABLE_B;
	return 0;
}

/* ---- PEFT */

/* What changes the base, or says what sides cannot. */
static int refuse(const cJSON *c, struct err *e)
{
	static const char *const unless_null[] = { "alora_invocation_tokens", "layer_replication",
		                                   "arrow_config", "target_parameters", "use_bdlora",
		                                   "trainable_token_indices" };
	static const char *const altered[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };
	const cJSON *init = json_get(c, "init_lora_weights");
	bool qalora = false;

	for (size_t i = 0; i < sizeof unless_null / sizeof *unless_null; i++) {
		const cJSON *v = json_get(c, unless_null[i]);

		if (v && !cJSON_IsNull(v) && !cJSON_IsFalse(v))
			return err_set(e, ERR_INPUT, "%s: not supported", unless_null[i]);
	}
	if (json_get_bool(c, "use_qalora", &qalora, e) < 0)
		return -1;
	if (qalora)
		return err_set(e, ERR_INPUT, "use_qalora: not supported");
	for (size_t i = 0; cJSON_IsString(init) && i < sizeof altered / sizeof *altered; i++)
		if (bytes_starts(bytes_of(init->valuestring), altered[i]))
			return err_set(e, ERR_INPUT, "init_lora_weights: %s alters the base: convert "
			               "the adapter back to plain LoRA first", init->valuestring);
	return 0;
}

/* Whether (.*\.)?(pattern)$ matches; -1: a pattern that is more than a name. */
static int names(const char *pattern, const char *path)
{
	size_t n = 0, all = strlen(path);
	char text[256];

	pattern += *pattern == '^';
	for (const char *p = pattern; *p; p++) {
		p += *p == '\\' && p[1] == '.';
		if (strchr("\\^$*+?()[]{}|", *p) || n + 1 == sizeof text)
			return -1;
		text[n++] = *p;
	}
	text[n] = '\0';
	return n <= all && !memcmp(path + all - n, text, n) && (n == all || path[all - n - 1] == '.');
}

static int scale_of(double *out, const cJSON *c, const struct module *o, struct err *e)
{
	const cJSON *each, *pattern = json_get(c, "alpha_pattern");
	bool rs = false;
	double alpha = 8;

	if (json_get_f64(c, "lora_alpha", &alpha, e) < 0 || json_get_bool(c, "use_rslora", &rs, e) < 0)
		return -1;
	cJSON_ArrayForEach(each, pattern) {
		int yes = names(each->string, o->path);

		if (yes < 0 || !cJSON_IsNumber(each))
			return err_set(e, ERR_INPUT, "alpha_pattern: expected module names and "
			               "numbers, found \"%s\"", each->string);
		if (yes) {
			alpha = each->valuedouble;
			break;
		}
	}
	*out = alpha / (rs ? sqrt((double)o->rank) : (double)o->rank);
	return isfinite(*out) ? 0 : err_set(e, ERR_INPUT, "lora_alpha: %g", alpha);
}

static const struct {
	const char *end;
	enum part part;
} endings[] = {
	{ ".lora_A.weight", PART_A },             { ".lora_A.default.weight", PART_A },
	{ ".lora_B.weight", PART_B },             { ".lora_B.default.weight", PART_B },
	{ ".lora_magnitude_vector", PART_M },     { ".lora_magnitude_vector.weight", PART_M },
	{ ".lora_magnitude_vector.default.weight", PART_M },
	{ ".lora_embedding_A", PART_TABLE_A },    { ".lora_embedding_A.default", PART_TABLE_A },
	{ ".lora_embedding_B", PART_TABLE_B },    { ".lora_embedding_B.default", PART_TABLE_B },
	{ ".ia3_l", PART_IA3 },                   { ".ia3_l.default", PART_IA3 },
};

static int read_one(struct modules *m, struct source *s, const struct tensor *t, struct err *e)
{
	static const char prefix[] = "base_model.model.";
	const char *name = t->name;
	size_t i = 0, n_endings = sizeof endings / sizeof *endings;
	struct module *o;
	float *x;

	if (!bytes_starts(bytes_of(name), prefix))
		return err_set(e, ERR_INPUT, "expected a name that begins with %s", prefix);
	while (i < n_endings && !bytes_ends(bytes_of(name), endings[i].end))
		i++;
	if (i == n_endings)
		return err_set(e, ERR_INPUT, "not a low-rank side: biases and modules saved whole "
		               "are not read");
	name += strlen(prefix);
	if (strlen(name) <= strlen(endings[i].end))
		return err_set(e, ERR_INPUT, "no module's name");
	o = module_of(m, name, strlen(name) - strlen(endings[i].end), e);
	x = o ? module_floats(m, s, t, false, e) : NULL;
	if (!x)
		return -1;
	if (endings[i].part < PART_IA3 && endings[i].part != PART_M && t->shape.rank != 2)
		return err_set(e, ERR_INPUT, "expected a matrix");
	return keep(o, endings[i].part, x, t->shape.dim[0], t->shape.rank > 1 ? t->shape.dim[1] : 1,
	            e);
}

static int check_module(const struct module *o, struct err *e)
{
	if (!o->a != !o->b || (!o->a && !o->in && !o->out))
		return err_set(e, ERR_INPUT, "%s: half of it is missing", o->path);
	return 0;
}

int peft_read(struct modules *m, struct source *s, const cJSON *c, struct err *e)
{
	const char *kind = "";
	size_t n = source_count(s);

	*m = (struct modules){ 0 };
	if (json_get_text(c, "peft_type", &kind, e) < 0 || refuse(c, e))
		return err_in(e, "adapter_config.json");
	if (strcmp(kind, "LORA") && strcmp(kind, "IA3"))
		return err_set(e, ERR_INPUT, "adapter_config.json: peft_type: expected LORA or IA3, "
		               "found %s", kind);
	m->ia3 = !strcmp(kind, "IA3");
	m->table_only = true;
	m->module = arena_new(&m->arena, n, sizeof *m->module, e);
	if (!m->module)
		return -1;
	if (!n)
		return err_set(e, ERR_INPUT, "no tensors");
	for (size_t i = 0; i < n; i++)
		if (read_one(m, s, source_tensor(s, i), e))
			return err_in(e, "%s", source_tensor(s, i)->name);
	for (size_t i = 0; i < m->n; i++)
		if (check_module(&m->module[i], e) ||
		    (m->module[i].a && scale_of(&m->module[i].scale, c, &m->module[i], e)))
			return -1;
	return 0;
}

/* ---- MLX */

static int read_mlx(struct modules *m, struct source *s, const struct tensor *t, struct err *e)
{
	static const char *const ends[] = { ".lora_a", ".lora_b", ".m" };
	size_t i = 0;
	struct module *o;
	float *x;

	while (i < 3 && !bytes_ends(bytes_of(t->name), ends[i]))
		i++;
	if (i == 3 || t->shape.rank != (i < 2 ? 2 : 1))
		return err_set(e, ERR_INPUT, "expected a matrix .lora_a or .lora_b, or a vector .m");
	o = module_of(m, t->name, strlen(t->name) - strlen(ends[i]), e);
	x = o ? module_floats(m, s, t, i < 2, e) : NULL;
	if (!x)
		return -1;
	return keep(o, (enum part)i, x, t->shape.dim[i < 2], i < 2 ? t->shape.dim[0] : 1, e);
}

int mlx_read(struct modules *m, struct source *s, const cJSON *c, struct err *e)
{
	size_t n = source_count(s);
	double scale = 20; /* of mlx-examples, which kept no configuration */
	int rc = c ? json_get_f64(json_get(c, "lora_parameters"), "scale", &scale, e) : 1;

	*m = (struct modules){ 0 };
	if (rc == 0 || !isfinite(scale) || fabs(scale) >= 1e6)
		rc = err_set(e, ERR_INPUT, "lora_parameters.scale: expected a number");
	if (rc < 0 || (c && json_get_bool(c, "clm_table_only", &m->table_only, e) < 0))
		return err_in(e, "adapter_config.json");
	m->module = arena_new(&m->arena, n, sizeof *m->module, e);
	if (!m->module)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (read_mlx(m, s, source_tensor(s, i), e))
			return err_in(e, "%s", source_tensor(s, i)->name);
	for (size_t i = 0; i < m->n; i++) {
		if (check_module(&m->module[i], e))
			return -1;
		m->module[i].scale = scale;
		m->module[i].table = bytes_ends(bytes_of(m->module[i].path), "embed_tokens");
	}
	return 0;
}
