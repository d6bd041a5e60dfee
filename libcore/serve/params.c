/* SPDX-License-Identifier: MIT */
/* params.c - members of a JSON body to a request's options
 *
 * The interfaces name the same things differently; a table per interface
 * says which is which, gen's own table checks the values. */
#include <stdio.h>
#include <string.h>

#include "serve/call.h"

static const struct request_option *option_of(const char *name)
{
	for (size_t i = 0; i < n_request_options; i++)
		if (strcmp(request_options[i].name, name) == 0)
			return &request_options[i];
	return NULL;
}

static int range(const struct param *p, const cJSON *v, const char *name, struct fault *f)
{
	if (p->min == 0 && p->max == 0)
		return 0;
	if (!cJSON_IsNumber(v))
		return fault_param(f, name, "invalid_type", "%s: expected a number, found %s", name,
		                   json_kind(v));
	if (!(v->valuedouble >= p->min && v->valuedouble <= p->max))
		return fault_param(f, name, "invalid_value",
		                   "%s: expected a number from %g to %g, found %g", name, p->min,
		                   p->max, v->valuedouble);
	return 0;
}

int params_set(struct request *r, const struct param *p, size_t n, const cJSON *o,
               const char *prefix, struct fault *f)
{
	char name[96];
	struct err e;

	for (size_t i = 0; i < n; i++) {
		const struct request_option *opt = option_of(p[i].option);
		const cJSON *v = json_get(o, p[i].json);

		if (!v || !opt || cJSON_IsNull(v))
			continue;
		snprintf(name, sizeof name, "%s%s", prefix, p[i].json);
		if (range(&p[i], v, name, f))
			return -1;
		if (request_set_json(r, opt, v, &e) == 0)
			continue;
		return fault_param(f, name,
		                   strstr(e.text, "found a") ? "invalid_type" : "invalid_value", "%s",
		                   e.text);
	}
	return 0;
}

int param_bool(const cJSON *o, const char *key, bool *out, struct fault *f)
{
	struct err e;
	int rc = json_get_bool(o, key, out, &e);

	return rc < 0 ? fault_param(f, key, "invalid_type", "%s", e.text) : rc;
}

int param_int(const cJSON *o, const char *key, int64_t min, int64_t max, int64_t *out,
              struct fault *f)
{
	struct err e;
	int64_t v;
	int rc = json_get_i64(o, key, &v, &e);

	if (rc < 0)
		return fault_param(f, key, "invalid_type", "%s", e.text);
	if (rc && (v < min || v > max))
		return fault_param(f, key, "invalid_value",
		                   "%s: expected a number from %lld to %lld, found %lld", key,
		                   (long long)min, (long long)max, (long long)v);
	if (rc)
		*out = v;
	return rc;
}

int param_text(const cJSON *o, const char *key, const char **out, struct fault *f)
{
	struct err e;
	int rc = json_get_text(o, key, out, &e);

	return rc < 0 ? fault_param(f, key, "invalid_type", "%s", e.text) : rc;
}
