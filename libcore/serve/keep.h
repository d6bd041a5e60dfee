/* SPDX-License-Identifier: MIT */
/* keep.h - how long a model stays open after a request. Private to serve/. */
#ifndef CLM_SERVE_KEEP_H
#define CLM_SERVE_KEEP_H

#include "serve/call.h"

/* "5m", "1h30m", "300ms", "-1": Go's durations, or seconds. */
bool keep_duration(double *out, const char *text);
/* The body's keep_alive: seconds or a duration; negative is for ever, 0 closes
 * the model after the request. Absent: the model's own. */
NEED int keep_alive(struct exchange *x, const cJSON *body, struct fault *f);
/* Does the body ask for nothing but an end of the model? */
bool keep_ends(const cJSON *body);
/* Ends it, once nothing runs on it any more; it need not be open. */
NEED int keep_end(struct exchange *x, const char *name, struct fault *f);

#endif
