/* SPDX-License-Identifier: MIT */
/* bell.h - wakes the connections that a pass has news for. Private to serve/. */
#ifndef CLM_SERVE_BELL_H
#define CLM_SERVE_BELL_H

#include "util/err.h"

struct exchange;
struct bell;

NEED int bell_open(struct bell **out, struct err *e);
/* After the engine has ended; all are awake. */
void bell_close(struct bell *b);
/* The engine's thread alone: x, with a reference that moves in, is to be woken
 * when it rings. */
void bell_hold(struct bell *b, struct exchange *x);
void bell_ring(struct bell *b);

#endif
