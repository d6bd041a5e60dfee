/* SPDX-License-Identifier: MIT */
/* making.h - what the commands that write models share: the form that is
 * asked for, the bar, and notes */
#ifndef CLM_CMD_MAKING_H
#define CLM_CMD_MAKING_H

#include "cli.h"
#include "convert/convert.h"

struct making {
	struct progress progress;
	bool quiet;
};
/* Begins the bar and makes the options tell of bytes done and of what could
 * not be kept. `m` must outlive the conversion. */
void making_begin(struct making *m, struct convert_options *o, const char *title,
                  const struct cli_common *c);

/* The dtype of "keep f16 bf16 f32", by its place. */
enum dtype making_dtype(int word);
/* A GGUF is asked for, by name or by the format's word. */
bool making_is_gguf(const char *out, bool named);
/* Bits, codings, recipes and block types into the options; misuse of the
 * option ends here. */
void making_form(struct convert_options *o, const char *option, const char *form, bool gguf);

#endif
