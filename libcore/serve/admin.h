/* SPDX-License-Identifier: MIT */
/* admin.h - models that clients add and take away. Private to serve/. */
#ifndef CLM_SERVE_ADMIN_H
#define CLM_SERVE_ADMIN_H

#include "serve/call.h"
#include "util/arena.h"

struct route;
/* Only where the server lets clients manage its models. */
bool admin_route(const struct route *r);
/* A body that goes to disk as it comes, whatever its length. */
bool upload_route(const struct route *r);
void upload_add(struct exchange *x, struct bytes piece); /* on the thread at the sockets */
void upload_close(struct exchange *x);                   /* what is not whole vanishes */
/* The file of a blob, in the arena: "sha256:HEX" or "sha256-HEX". NULL with a
 * fault: 400, 404 where it has to be there. */
char *blob_path(struct arena *a, const char *digest, bool there, struct fault *f);
/* A model's name for the table, ":latest" cut off. */
NEED int admin_name(char out[256], const char *name, struct fault *f);
/* A record of progress, and the last one: "success", or the fault. */
void admin_status(struct exchange *x, bool streams, const char *fmt, ...) PRINTF(3, 4);
void admin_end(struct exchange *x, bool streams, const struct fault *f);
/* What the model was created with goes where the request says nothing. */
void settings_apply(struct call *c);
/* Adds the messages that it was created with. */
void settings_messages(const struct call *c, cJSON *all);
/* Their sound copy goes in; what settings tell to Ollama's clients comes out,
 * members after "license" of /api/show. */
NEED int settings_check(const cJSON *o, struct fault *f);
void settings_show(struct buf *b, const char *settings, const char *name);

#endif
