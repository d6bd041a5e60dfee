/* SPDX-License-Identifier: MIT */
/* open.c - a model's files, tokenizer, device and weights from options */
#include "open.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_TOKENS = 1024 }; /* of a text in a batch, as a guess */

#define AT(member) offsetof(struct open_options, member)

const struct cli_option open_model_table[OPEN_MODEL_N] = {
	{ 'm', "model", "MODEL", CLI_TEXT, AT(model),
	  .help = "a model: its directory, any file of it, or a GGUF, NPZ, ...", .env = true },
};

const struct cli_option open_adapter_table[OPEN_ADAPTER_N] = {
	{ 0, "adapter", "DIR[=SCALE]", CLI_TEXTS, AT(adapters),
	  .help = "a LoRA, DoRA or IA3 adapter, PEFT's or MLX's; may be repeated" },
};

const struct cli_option open_device_table[OPEN_DEVICE_N] = {
	{ 0, "device", "NAME", CLI_TEXT, AT(device), .env = true, .words = "auto cpu opencl ref",
	  .help = "auto, cpu, opencl, opencl:PLATFORM.DEVICE or ref" },
	{ 0, "threads", "N", CLI_INT, AT(threads), .env = true, .max = 4096,
	  .help = "threads of the cpu device; 0 is all" },
	{ 0, "isa", "NAME", CLI_TEXT, AT(isa), .env = true, .words = "plain v2 v3 v4 v4vnni v4amx",
	  .help = "instruction set of the cpu device; the best there is" },
	{ 0, "exact", NULL, CLI_FLAG, AT(exact), .env = true,
	  .help = "32-bit floats everywhere" },
	{ 0, "fast", NULL, CLI_FLAG, AT(fast), .env = true,
	  .help = "8-bit inputs to the products, where that is faster" },
	{ 0, "relaxed", NULL, CLI_FLAG, AT(relaxed), .env = true,
	  .help = "results may depend on what else runs in the batch" },
};

int open_files(struct opened *o, const struct open_options *a, struct err *e)
{
	if (!a->model)
		cli_misuse("no model: give -m MODEL, or set CLM_MODEL");
	return source_open(&o->source, a->model, e);
}

int open_texts(struct opened *o, const struct open_options *a, struct err *e)
{
	if (!a->model)
		cli_misuse("no model: give -m MODEL, or set CLM_MODEL");
	return source_open_bare(&o->source, a->model, e) || open_tokenizer(o, e) ? -1 : 0;
}

int open_tokenizer(struct opened *o, struct err *e)
{
	if (tokenizer_open(&o->tokenizer, o->source, e))
		return err_in(e, "%s", source_path(o->source));
	return 0;
}

int open_device(struct opened *o, const struct open_options *a, int verbose, struct err *e)
{
	struct exec_options x = { .device = a->device, .isa = a->isa, .threads = a->threads };
	struct exec_info info;

	if (a->exact && a->fast)
		cli_misuse("--exact and --fast are opposites");
	x.flags = (a->exact ? EXEC_EXACT : 0u) | (a->fast ? EXEC_FAST : 0u) |
	          (a->relaxed ? EXEC_RELAXED : 0u);
	if (adapters_open(&o->adapters, &a->adapters, e) || exec_open(&o->exec, &x, e))
		return -1;
	exec_describe(o->exec, &info);
	if (verbose)
		cli_warn("backend=%s device=\"%s\" rows=%s units=%d exact=%s", info.backend, info.device,
		         info.rows, info.units, info.exact ? "yes" : "no");
	return 0;
}

int open_weights(struct opened *o, const struct model_options *m, bool quiet, struct err *e)
{
	struct model_options with = m ? *m : (struct model_options){ 0 };

	if (!with.n_sets && o->adapters.set.n) {
		with.sets = &o->adapters.set;
		with.n_sets = 1;
	}
	if (model_open(&o->model, o->source, o->exec, &with, e))
		return -1;
	if (model_left_out(o->model) && !quiet)
		cli_warn("note: left out: %s", model_left_out(o->model));
	return 0;
}

/* A quarter of the device's memory, or of the machine's. */
static size_t cache_memory(const struct opened *o)
{
	struct exec_info info;
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);

	exec_describe(o->exec, &info);
	if (info.memory)
		return info.memory / 4;
	return pages > 0 && page > 0 ? (size_t)pages / 4 * (size_t)page : (size_t)1 << 30;
}

size_t open_cache_tokens(const struct opened *o, size_t batch, size_t context, struct err *e)
{
	struct config c;
	enum { STATES_HELD = 16 }; /* of sequences, and checkpoints of them */
	size_t per_token, longest, want, most, states;

	if (config_read(&c, o->source, e)) {
		err_in(e, "%s", source_path(o->source));
		return 0;
	}
	per_token = config_cache_bytes(&c, sizeof(uint16_t));
	longest = context && context < c.max_pos ? context : c.max_pos;
	want = batch * (longest < TEXT_TOKENS ? longest : TEXT_TOKENS);
	want = want > longest ? want : longest;
	most = cache_memory(o);
	states = STATES_HELD * config_state_bytes(&c);
	most = (most > 2 * states ? most - states : most / 2) / per_token;
	config_release(&c);
	return (want < most ? want : most) + 2 * PAGE_POSITIONS * batch;
}

void open_release(struct opened *o)
{
	model_close(o->model);
	adapters_close(&o->adapters);
	exec_close(o->exec);
	tokenizer_close(o->tokenizer);
	source_close(o->source);
	memset(o, 0, sizeof *o);
}
