/* SPDX-License-Identifier: MIT */
/* making.c - forms, bar and notes of the commands that write models */
#include "making.h"

#include <stdio.h>

static void on_progress(void *arg, size_t done, size_t all)
{
	struct making *m = arg;
	char text[64];

	snprintf(text, sizeof text, "%.0f of %.0f MiB", (double)done / 0x1p20, (double)all / 0x1p20);
	progress_at(&m->progress, (double)done, (double)all, text);
}

static void on_note(void *arg, const char *text)
{
	struct making *m = arg;

	if (m->quiet)
		return;
	progress_clear(&m->progress);
	cli_warn("note: %s", text);
}

void making_begin(struct making *m, struct convert_options *o, const char *title,
                  const struct cli_common *c)
{
	m->quiet = c->quiet;
	progress_begin(&m->progress, title, c);
	o->progress = on_progress;
	o->note = on_note;
	o->arg = m;
}

enum dtype making_dtype(int word)
{
	static const enum dtype dtypes[] = { DT_COUNT, DT_F16, DT_BF16, DT_F32 };

	return dtypes[word];
}

bool making_is_gguf(const char *out, bool named)
{
	return named || bytes_ends(bytes_of(out), ".gguf");
}

void making_form(struct convert_options *o, const char *option, const char *form, bool gguf)
{
	struct target t;
	bool for_gguf, known = recipe_is_known(form, &for_gguf);

	if (known && for_gguf == gguf) {
		o->recipe = form;
		return;
	}
	if (!target_parse(&t, form) || (!t.bits && t.blocks == DT_COUNT))
		cli_misuse("%s %s: %s", option, form,
		           known && for_gguf ? "is for a GGUF" :
		           known             ? "is not for a GGUF" :
		                               "no such form");
	if (!t.bits && !gguf)
		cli_misuse("%s %s: is for a GGUF", option, form);
	o->bits = t.bits;
	o->group = t.bits ? t.group : o->group;
	o->coding = t.coding;
	o->blocks = t.blocks;
}
