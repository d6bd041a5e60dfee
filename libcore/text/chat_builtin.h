/* SPDX-License-Identifier: MIT */
/* chat_builtin.h - templates for models that bring none. */
#ifndef CLM_TEXT_CHAT_BUILTIN_H
#define CLM_TEXT_CHAT_BUILTIN_H

struct chat_builtin {
	const char *name, *title;
	const char *token; /* a vocabulary with this token takes it */
	const char *types; /* so do these model_types */
	const char *text;
};
/* From special to general; the last, ChatML, fits all. */
enum { CHAT_BUILTINS = 4 };
extern const struct chat_builtin chat_builtins[CHAT_BUILTINS];

#endif
