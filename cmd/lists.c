/* SPDX-License-Identifier: MIT */
/* lists.c - what clm-info lists: tensors, devices, families */
#include "lists.h"

#include "cli.h"
#include "model/model.h"
#include "rows.h"

#include <string.h>

/* Names come from the file: nothing in them may end a column or a line. */
static void put_name(const char *name)
{
	for (; *name; name++)
		cli_printf((unsigned char)*name < 32 || *name == 127 ? "\\x%02x" : "%c",
		           (unsigned char)*name);
}

void tell_tensors(const struct source *s, bool json)
{
	cli_puts(json ? "[" : "name\tdtype\tshape\tbytes\tfile\n");
	for (size_t i = 0; i < source_count(s); i++) {
		const struct tensor *t = source_tensor(s, i);
		struct rows r = { .json = json };
		char shape[160];
		size_t bytes = 0;

		shape_text(shape, sizeof shape, t->dtype, &t->shape);
		*(strchr(shape, ']') + 1) = 0;
		(void)!shape_bytes(&bytes, t->dtype, &t->shape);
		if (!json) {
			put_name(t->name);
			cli_printf("\t%s\t%s\t%zu\t%s\n", dtype_info(t->dtype)->name, shape, bytes,
			           file_name(source_file(s, t)));
			continue;
		}
		cli_puts(i ? ",\n " : "");
		row_text(&r, "name", t->name);
		row_text(&r, "dtype", dtype_info(t->dtype)->name);
		row_begin(&r, "shape");
		cli_puts(shape);
		row_number(&r, "bytes", bytes);
		row_text(&r, "file", file_name(source_file(s, t)));
		cli_puts("}");
	}
	cli_puts(json ? "]\n" : "");
}

int tell_devices(bool json, struct err *e)
{
	static const char *const keys[] = { "name", "backend", "device", "units", "memory" };
	struct buf b = { 0 };
	char *line, *rest;
	const char *comma = "";

	if (exec_list(&b, e)) {
		buf_release(&b);
		return -1;
	}
	if (!json)
		cli_puts("name\tbackend\tdevice\tunits\tmemory\n");
	cli_puts(json ? "[" : "");
	rest = (char *)b.p;
	while (rest && (line = strsep(&rest, "\n")) && (*line || rest)) {
		struct rows r = { .json = true };

		if (!json) {
			cli_printf("%s\n", line);
			continue;
		}
		cli_puts(comma);
		for (size_t i = 0; i < sizeof keys / sizeof *keys && line; i++)
			row_text(&r, keys[i], strsep(&line, "\t"));
		cli_puts("}");
		comma = ",\n ";
	}
	cli_puts(json ? "]\n" : "");
	buf_release(&b);
	return 0;
}

int tell_families(bool json, struct err *e)
{
	static const char *const keys[] = { "family", "class", "gguf", "has" };
	struct buf b = { 0 };

	cli_puts(json ? "[" : "family\tclass\tgguf\thas\n");
	for (size_t i = 0; i < family_count(); i++) {
		struct rows r = { .json = true };
		struct family_files f;
		const char *v[] = { family_name(i), NULL, NULL, NULL };

		b.n = 0;
		family_has(&b, i);
		buf_add_byte(&b, 0);
		if (buf_check(&b, e)) {
			buf_release(&b);
			return -1;
		}
		family_files(&f, v[0]);
		v[1] = f.class;
		v[2] = f.gguf ? f.gguf : "-";
		v[3] = (const char *)b.p;
		if (!json) {
			cli_printf("%s\t%s\t%s\t%s\n", v[0], v[1], v[2], v[3]);
			continue;
		}
		cli_puts(i ? ",\n " : "");
		for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
			row_text(&r, keys[k], v[k]);
		cli_puts("}");
	}
	cli_puts(json ? "]\n" : "");
	buf_release(&b);
	return 0;
}
