/* SPDX-License-Identifier: MIT */
/* ids.c - a list of ids that grows. */
#include <stdlib.h>

#include "text/text.h"
#include "util/num.h"

int ids_reserve(struct ids *v, size_t n, struct err *e)
{
	size_t room = v->room ? v->room : 64, need, n_bytes;
	int32_t *id;

	if (!num_add(&need, v->n, n))
		return err_memory(e, SIZE_MAX);
	if (need <= v->room)
		return 0;
	while (room < need)
		room *= 2;
	if (!num_mul(&n_bytes, room, sizeof *id))
		return err_memory(e, SIZE_MAX);
	id = realloc(v->id, n_bytes);
	if (!id)
		return err_memory(e, n_bytes);
	v->id = id;
	v->room = room;
	return 0;
}

int ids_add(struct ids *v, int32_t id, struct err *e)
{
	if (v->n == v->room && ids_reserve(v, 1, e))
		return -1;
	v->id[v->n++] = id;
	return 0;
}

void ids_release(struct ids *v)
{
	if (!v)
		return;
	free(v->id);
	*v = (struct ids){ 0 };
}
