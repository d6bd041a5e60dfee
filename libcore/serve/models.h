/* SPDX-License-Identifier: MIT */
/* models.h - which models there are, and which of them are open. Private to
 * serve/.
 *
 * A slot is a name that clients may ask for; it stays until the server ends.
 * What is open behind it is a served, of which a swap puts another in its
 * place; it is closed when no request holds it any more. A request for a model
 * that is not open waits aside, at no thread's cost, and comes back to a desk. */
#ifndef CLM_SERVE_MODELS_H
#define CLM_SERVE_MODELS_H

#include <pthread.h>

#include "serve/http.h"

struct batch;
struct serve;

struct served {
	struct serve_model m;
	struct engine *engine;
	struct slot *slot;
	struct batch *batch;       /* the engine's; NULL: an encoder */
	struct grammars *grammars; /* NULL: an encoder */
	size_t context;
	uint64_t stamp;            /* of the files that it was opened from */
	size_t uses;               /* exchanges that hold it */
	struct served *next;       /* among those to be closed */
	struct served *beside;     /* among the engine's */
	struct kv_pages pages;     /* after the last pass; under the lock of the metrics */
	size_t n_preempted;        /* likewise, what the metrics have counted */
};

enum slot_state { SLOT_OUT, SLOT_WANTED, SLOT_LOADING, SLOT_READY };
struct parked { struct exchange *x; struct parked *next; };

struct slot {
	char *name, *tag, *path;   /* tag: "name:latest" */
	char *settings;            /* JSON: what it was created with; NULL: nothing */
	struct serve_facts facts;
	enum slot_state state;
	struct served *live;       /* what new requests get */
	struct parked *parked;
	double keep_default, keep; /* seconds; < 0: for ever */
	double wanted_at, used_at, expires_at, failed_at, load_s; /* expires_at 0: never */
	size_t held;               /* bytes, when it was open last; 0: not yet */
	struct err error;          /* why it could not be opened */
	bool preload, gone;        /* gone: no client finds it any more */
	bool reload;               /* to be opened anew beside what is live */
	bool listed, seen;         /* found in a directory or the registry; and so the last time */
};

struct models {
	pthread_mutex_t lock;      /* of all of it, and of the uses */
	pthread_cond_t news;
	pthread_t thread;
	bool ready, runs, stop;    /* ready: lock and news are there */
	struct slot **slot;
	size_t n;
	struct served *retired;
	size_t n_parked;
	uint64_t n_loads;
};

/* ---- models.c */
NEED int models_open(struct serve *s, struct err *e);
void models_close(struct serve *s); /* after the engine */
NEED int models_add(struct serve *s, const struct serve_entry *m, struct err *e);
/* The slot of a name, the default tag ":latest" or none. NULL: there is none.
 * The lock is held by the caller. */
struct slot *models_find(struct serve *s, const char *name);
/* The same for the only model, where any name means it; with a fault. */
struct slot *models_slot(struct serve *s, const char *name, struct fault *f);
/* The adapter of a model by its name, from 1; 0: it has none of that name. */
int32_t models_adapter(const struct serve *s, const char *model, const char *name);
/* x waits until its model is open, or cannot be. */
void models_park(struct exchange *x);
/* x needs it no more. */
void models_drop(struct exchange *x);
/* Nobody waits any more: all come back to a desk. */
void models_unpark_all(struct serve *s);
/* What is live is closed once nobody holds it. The lock is held. */
void models_retire(struct serve *s, struct slot *t);
/* To be opened, if it is not. The lock is held. */
void models_want(struct serve *s, struct slot *t);
/* Of the slot's waiting requests. The lock is held. */
void models_unpark(struct serve *s, struct slot *t);

/* ---- keeper.c */
NEED int keeper_open(struct serve *s, struct err *e);
void keeper_close(struct serve *s);
uint64_t keeper_stamp(const char *path);

#endif
