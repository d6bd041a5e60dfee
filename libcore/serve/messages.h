/* SPDX-License-Identifier: MIT */
/* messages.h - what Anthropic's requests hold. Private to messages.c. */
#ifndef CLM_SERVE_MESSAGES_H
#define CLM_SERVE_MESSAGES_H

#include "serve/call.h"

/* The system text and the messages, in the template's form; the caller
 * deletes *out, after a fault too. */
NEED int messages_read(struct call *c, cJSON **out, struct fault *f);
/* {"name", "description", "input_schema"} in OpenAI's form, checked; NULL
 * with a fault. */
cJSON *messages_tools(const cJSON *in, struct fault *f);

#endif
