/* SPDX-License-Identifier: MIT */
/* api.h - the handlers of the routes. Private to serve/. */
#ifndef CLM_SERVE_API_H
#define CLM_SERVE_API_H

#include "serve/http.h"

/* page.c */
void api_root(struct exchange *x);
void api_page(struct exchange *x);
/* operations.c */
void api_health(struct exchange *x);
void api_livez(struct exchange *x);
void api_metrics(struct exchange *x);
void api_tokenize(struct exchange *x);
void api_detokenize(struct exchange *x);
/* catalogue.c */
void api_models(struct exchange *x);
void api_model(struct exchange *x);
void api_version(struct exchange *x);
void api_tags(struct exchange *x);
void api_ps(struct exchange *x);
void api_show(struct exchange *x);
void api_no_push(struct exchange *x);
/* blobs.c */
void api_blob(struct exchange *x);
void api_blob_put(struct exchange *x);
/* admin.c */
void api_copy(struct exchange *x);
void api_delete(struct exchange *x);
void api_create(struct exchange *x);
/* pulling.c */
void api_pull(struct exchange *x);
/* props.c */
void api_props(struct exchange *x);
void api_slots(struct exchange *x);
/* keep.c */
void api_load(struct exchange *x);
void api_unload(struct exchange *x);
/* completions.c */
void api_completions(struct exchange *x);
/* embeddings.c */
void api_embeddings(struct exchange *x);
void api_embed(struct exchange *x);
void api_old_embeddings(struct exchange *x);
/* ollama.c */
void api_generate(struct exchange *x);
void api_ollama_chat(struct exchange *x);
/* messages.c */
void api_messages(struct exchange *x);
void api_count_tokens(struct exchange *x);
/* score.c */
void api_score(struct exchange *x);
/* responses.c */
void api_responses(struct exchange *x);
void api_response_tokens(struct exchange *x);
/* openai_chat.c */
void api_chat(struct exchange *x);
void api_apply_template(struct exchange *x);
void api_chat_tokens(struct exchange *x);

#endif
