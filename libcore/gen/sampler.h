/* SPDX-License-Identifier: MIT */
/* sampler.h - samplers that share their room. Private to gen/. */
#ifndef CLM_GEN_SAMPLER_H
#define CLM_GEN_SAMPLER_H

#include "gen/gen.h"

/* Working memory of one draw: many samplers of one vocabulary, one room. */
struct sampler_room;
NEED int sampler_room_open(struct sampler_room **out, size_t vocab, struct err *e);
void sampler_room_close(struct sampler_room *room);

/* The ids that the next draw alone may give, a bit each, borrowed until then;
 * the probabilities are theirs. NULL: all. */
void sampler_allow(struct sampler *s, const uint64_t *allowed);
/* Whether every draw is the best logit's id, as it comes. */
bool sampler_greedy(const struct sampler *s);
/* As sampler_open(), with a room that outlives the sampler. What the last
 * draw left (for sampler_top()) holds until the room's next draw. */
NEED int sampler_open_in(struct sampler **out, const struct request *r, struct sampler_room *room,
                         const int32_t *exempt, size_t n_exempt, struct err *e);

/* What a device must tell for the next draw, of which log-probabilities are
 * wanted of the n_top best, the drawn one among them; 0: none. */
void sampler_ask(const struct sampler *s, size_t n_top, struct ask *out);
/* The token that sampler_draw() would give for the row. false: that is not
 * certain, and nothing is drawn. The answer stays for sampler_top(). */
bool sampler_take(struct sampler *s, const struct answer *a, int32_t *id, float *logprob);
/* As sampler_draw(), in another room. */
int32_t sampler_draw_in(struct sampler *s, struct sampler_room *room, const float *logits,
                        const int32_t *history, size_t n_history, float *logprob);
/* As sampler_top(), of any row of logits. */
size_t sampler_top_of(struct sampler *s, const float *logits, size_t n, int32_t *id,
                      float *logprob);

#endif
