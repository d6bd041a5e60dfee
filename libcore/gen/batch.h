/* SPDX-License-Identifier: MIT */
/* batch.h - what batch.c and plan.c share. Private to these two. */
#ifndef CLM_GEN_BATCH_H
#define CLM_GEN_BATCH_H

#include "gen/latency.h"
#include "gen/outputs.h"
#include "gen/pace.h"
#include "gen/session.h"

struct batch {
	struct talk talk;
	size_t max_sessions, chunk;
	struct session *first, **last; /* the queue */
	size_t n_queued;
	struct session **running; /* [n_running], the oldest first */
	size_t n_running;
	struct model_work *work; /* the pass being planned, [n_work] */
	struct session **worker; /* whose it is */
	size_t n_work, n_rows;
	size_t n_told, max_told; /* rows of it that are told of; at most */
	uint64_t arrivals, turn; /* turn: whose prompt was fed last */
	bool closing, paced;
	struct pace pace;
	struct latency latency;
	struct outputs *outputs;
	size_t n_decoding;     /* rows of the pass */
	struct pace_load load; /* what its prompts are */
	size_t n_preempted;
};

/* In the order of their numbers; of one number, those that ran before first. */
void batch_enqueue(struct batch *b, struct session *s, bool ran);
void batch_stop_running(struct batch *b, size_t i);
/* Appends to the sequences of those who have a part in the next pass. */
void batch_plan(struct batch *b);

#endif
