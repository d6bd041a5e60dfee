/* SPDX-License-Identifier: MIT */
/* declare.c - names, types and shapes of the output's tensors, before their bytes
 *
 * Given a plan with its forms; tells the writer each tensor, in the order
 * that stream.c gives their bytes in. */
#include "convert/plan.h"

#include <stdio.h>

enum { NAME_ROOM = 256 };

static int declare_as(struct writer *w, const char *path, const char *leaf, enum dtype d,
                      const struct shape *logical, size_t last, struct err *e)
{
	char name[NAME_ROOM + 16];
	struct shape s = *logical;

	if (s.rank)
		s.dim[s.rank - 1] = last;
	snprintf(name, sizeof name, "%s%s%s", path, *leaf ? "." : "", leaf);
	return writer_declare(w, name, d, &s, e);
}

int stream_declare(const struct plan *p, struct writer *w, struct err *e)
{
	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *t = &p->item[i];
		char path[NAME_ROOM];
		struct target form;
		size_t last = t->shape.rank ? t->shape.dim[t->shape.rank - 1] : 0;
		enum dtype d;

		if (item_path(p, t, path, sizeof path, e))
			return -1;
		if (item_is_triple(t, &form)) {
			d = t->out == OUT_SAME ? t->scales->dtype : t->dtype;
			if (declare_as(w, path, "weight", DT_U32, &t->shape, last * form.bits / 32, e) ||
			    declare_as(w, path, "scales", d, &t->shape, last / form.group, e) ||
			    (form.coding == CODING_AFFINE &&
			     declare_as(w, path, "biases", d, &t->shape, last / form.group, e)))
				return -1;
			continue;
		}
		d = t->out == OUT_SAME ? t->weight->dtype : t->dtype;
		if (item_name(p, t, path, sizeof path, e) || declare_as(w, path, "", d, &t->shape, last, e))
			return -1;
	}
	return 0;
}
