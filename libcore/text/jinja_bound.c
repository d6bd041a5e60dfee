/* SPDX-License-Identifier: MIT */
/* jinja_bound.c - methods of dicts, lists and loops. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

static int d_get(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *key = arg_get(a, 0, "key"), *other = arg_get(a, 1, "default");
	struct value *at;

	if (!key)
		return run_fail(r, "get: expected a key");
	if (value_get(r, self->dict, key, &at))
		return -1;
	*out = at ? *at : other ? *other : value_none();
	return 0;
}

static int parts(struct run *r, const struct value *self, bool keys, bool values, struct value *out)
{
	if (value_list(r, LIST_LIST, self->dict->n, out))
		return -1;
	for (size_t i = 0; i < self->dict->n; i++) {
		const struct pair *p = &self->dict->at[i];
		struct value both;

		if (keys && values &&
		    (value_list(r, LIST_TUPLE, 2, &both) || value_push(r, &both, p->key) ||
		     value_push(r, &both, p->value)))
			return -1;
		if (value_push(r, out, keys && values ? both : keys ? p->key : p->value))
			return -1;
	}
	return 0;
}

static int d_keys(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return parts(r, self, true, false, out);
}

static int d_values(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	(void)a;
	return parts(r, self, false, true, out);
}

static int d_items(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return parts(r, self, true, true, out);
}

static int d_copy(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)r;
	(void)a;
	*out = *self; /* nothing changes them */
	return 0;
}

static int changing(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	(void)a;
	(void)out;
	return run_fail(r, "%s cannot be changed by a template", value_name(self));
}

static int l_index(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	for (size_t i = 0; a->n && i < self->list->n; i++) {
		int same = value_equal(r, &self->list->at[i], &a->at[0]);

		if (same < 0)
			return -1;
		*out = value_int((int64_t)i);
		if (same)
			return 0;
	}
	return run_fail(r, "index: not in the list");
}

static int l_count(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	int64_t n = 0;

	for (size_t i = 0; a->n && i < self->list->n; i++) {
		int same = value_equal(r, &self->list->at[i], &a->at[0]);

		if (same < 0)
			return -1;
		n += same;
	}
	*out = value_int(n);
	return 0;
}

static int o_cycle(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	if (!a->n)
		return run_fail(r, "cycle: expected values");
	*out = a->at[self->loop->at % a->n];
	return 0;
}

static int o_changed(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	struct value now;
	int same;

	if (value_list(r, LIST_TUPLE, a->n, &now))
		return -1;
	for (size_t i = 0; i < a->n; i++)
		if (value_push(r, &now, a->at[i]))
			return -1;
	same = value_equal(r, &now, &self->loop->changed);
	if (same < 0)
		return -1;
	self->loop->changed = now;
	*out = value_bool(!same);
	return 0;
}

static const struct bound {
	enum value_kind of;
	struct function f;
} methods[] = {
	{ V_DICT, { .name = "get", .fn = d_get } },
	{ V_DICT, { .name = "keys", .fn = d_keys } },
	{ V_DICT, { .name = "values", .fn = d_values } },
	{ V_DICT, { .name = "items", .fn = d_items } },
	{ V_DICT, { .name = "copy", .fn = d_copy } },
	{ V_DICT, { .name = "update", .fn = changing } },
	{ V_DICT, { .name = "pop", .fn = changing } },
	{ V_DICT, { .name = "setdefault", .fn = changing } },
	{ V_DICT, { .name = "clear", .fn = changing } },
	{ V_LIST, { .name = "index", .fn = l_index } },
	{ V_LIST, { .name = "count", .fn = l_count } },
	{ V_LIST, { .name = "copy", .fn = d_copy } },
	{ V_LIST, { .name = "append", .fn = changing } },
	{ V_LIST, { .name = "extend", .fn = changing } },
	{ V_LIST, { .name = "insert", .fn = changing } },
	{ V_LIST, { .name = "pop", .fn = changing } },
	{ V_LIST, { .name = "remove", .fn = changing } },
	{ V_LIST, { .name = "reverse", .fn = changing } },
	{ V_LIST, { .name = "sort", .fn = changing } },
	{ V_LIST, { .name = "clear", .fn = changing } },
	{ V_LOOP, { .name = "cycle", .fn = o_cycle } },
	{ V_LOOP, { .name = "changed", .fn = o_changed } },
};

const struct function *jinja_method(enum value_kind of, struct bytes name)
{
	if (of == V_STRING)
		return jinja_text_method(name);
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (methods[i].of == of && bytes_is(name, methods[i].f.name))
			return &methods[i].f;
	return NULL;
}
