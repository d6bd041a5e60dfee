/* SPDX-License-Identifier: MIT */
/* body.c - a request's body is one JSON object */
#include "serve/call.h"

cJSON *body_parse(struct exchange *x, struct fault *f)
{
	struct err e;
	cJSON *o;

	if (!x->body.n) {
		fault_set(f, 400, "invalid_json", "missing request body");
		return NULL;
	}
	o = json_parse(buf_bytes(&x->body), &e);
	if (!o)
		fault_set(f, 400, "invalid_json", "%s", e.text);
	else if (!cJSON_IsObject(o))
		fault_set(f, 400, "invalid_json", "expected an object, found %s", json_kind(o));
	if (o && !cJSON_IsObject(o)) {
		cJSON_Delete(o);
		return NULL;
	}
	return o;
}

cJSON *body_open(struct exchange *x)
{
	struct fault f;
	cJSON *o = body_parse(x, &f);

	if (!o)
		respond_fault(x, &f);
	return o;
}

void body_handle(struct exchange *x,
                 int (*work)(struct exchange *, const cJSON *, struct fault *))
{
	cJSON *o = body_open(x);
	struct fault f;

	if (!o)
		return;
	if (work(x, o, &f))
		respond_fault(x, &f);
	cJSON_Delete(o);
}
