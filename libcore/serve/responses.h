/* SPDX-License-Identifier: MIT */
/* responses.h - OpenAI's Responses: what was asked, and what of the answer
 * was told. Private to serve/. */
#ifndef CLM_SERVE_RESPONSES_H
#define CLM_SERVE_RESPONSES_H

#include "serve/call.h"

enum item_kind { ITEM_NONE, ITEM_MESSAGE, ITEM_REASONING };

/* Hangs on the call, whose body is the request in the form of a chat. */
struct responses {
	cJSON *asked;              /* the body as it came */
	size_t n_events, n_items;
	enum item_kind open;       /* the item that is being told, */
	struct buf text, likely;   /* its text so far, and that of its tokens */
	struct buf items;          /* those that ended, with commas between */
};
extern const struct voice responses_voice;
/* Sets the chat's "messages" from what was asked. */
NEED int responses_messages(cJSON *chat, const cJSON *asked, struct fault *f);

#endif
