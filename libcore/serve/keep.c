/* SPDX-License-Identifier: MIT */
/* keep.c - how long a model stays open after a request, and
 * POST /v1/models/load and /v1/models/unload */
#include "serve/keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "util/num.h"

bool keep_duration(double *out, const char *text)
{
	static const struct { const char *unit; double seconds; } units[] = {
		{ "ns", 1e-9 }, { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
	};
	double sum = 0, sign = 1;
	char *end;

	if (num_f64(out, text))
		return true;
	if (*text == '-' || *text == '+')
		sign = *text++ == '-' ? -1 : 1;
	if (!*text)
		return false;
	while (*text) {
		double v = strtod(text, &end);
		size_t u, n;

		if (end == text || !isfinite(v) || v < 0)
			return false;
		for (u = 0; u < 6; u++) {
			n = strlen(units[u].unit);
			if (!strncmp(end, units[u].unit, n) && !(end[n] >= 'a' && end[n] <= 'z'))
				break;
		}
		if (u == 6)
			return false;
		sum += v * units[u].seconds;
		text = end + n;
	}
	*out = sign * sum;
	return true;
}

int keep_alive(struct exchange *x, const cJSON *body, struct fault *f)
{
	const cJSON *v = json_get(body, "keep_alive");
	double keep;

	if (!v || cJSON_IsNull(v))
		return 0;
	if (cJSON_IsNumber(v))
		keep = v->valuedouble;
	else if (!cJSON_IsString(v) || !keep_duration(&keep, v->valuestring))
		return fault_param(f, "keep_alive", "invalid_value",
		                   "keep_alive: expected seconds or a duration");
	x->keep = keep;
	x->keeps = true;
	return 0;
}

static bool empty(const cJSON *v)
{
	return !v || cJSON_IsNull(v) || (cJSON_IsArray(v) && !v->child) ||
	       (cJSON_IsString(v) && !v->valuestring[0]);
}

bool keep_ends(const cJSON *body)
{
	const cJSON *v = json_get(body, "keep_alive");
	double keep = 1;

	if (cJSON_IsNumber(v))
		keep = v->valuedouble;
	else if (cJSON_IsString(v) && !keep_duration(&keep, v->valuestring))
		return false;
	return keep == 0 && empty(json_get(body, "prompt")) && empty(json_get(body, "messages"));
}

int keep_end(struct exchange *x, const char *name, struct fault *f)
{
	struct serve *s = x->serve;
	struct slot *t;

	pthread_mutex_lock(&s->models.lock);
	t = models_slot(s, name, f);
	if (t) {
		x->model = t->name;
		models_retire(s, t);
	}
	pthread_mutex_unlock(&s->models.lock);
	return t ? 0 : -1;
}

/* ---- by name */

static void respond_state(struct exchange *x, const char *name, bool loaded)
{
	struct buf b = { 0 };

	buf_add_text(&b, "{\"id\":");
	json_add_string(&b, bytes_of(name));
	buf_printf(&b, ",\"object\":\"model\",\"loaded\":%s}", loaded ? "true" : "false");
	respond_json(x, &b);
	buf_release(&b);
}

static int load(struct exchange *x, const cJSON *o, struct fault *f)
{
	const struct served *d;
	const char *name = NULL;

	if (param_text(o, "model", &name, f) < 0 || keep_alive(x, o, f))
		return -1;
	d = server_model(x, name, f);
	if (!d)
		return -1;
	x->model = d->m.name;
	respond_state(x, d->m.name, true);
	return 0;
}

static int unload(struct exchange *x, const cJSON *o, struct fault *f)
{
	const char *name = NULL;

	if (param_text(o, "model", &name, f) < 0 || keep_end(x, name, f))
		return -1;
	respond_state(x, x->model, false);
	return 0;
}

void api_load(struct exchange *x)
{
	body_handle(x, load);
}

void api_unload(struct exchange *x)
{
	body_handle(x, unload);
}
