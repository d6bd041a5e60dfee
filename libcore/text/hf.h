/* SPDX-License-Identifier: MIT */
/* hf.h - tokenizer.json, between the file that reads its tables and the one
 * that reads its parts. */
#ifndef CLM_TEXT_HF_H
#define CLM_TEXT_HF_H

#include "text/tokenizer.h"

enum { PART_BYTES = 4 << 20 }; /* of one part's JSON */

/* Each takes the JSON text of a part (null is fine) and sets the tokenizer
 * up. ERR_INPUT names a type or a value that is not known. */
NEED int hf_read_normalizer(struct tokenizer *t, struct bytes json, struct err *e);
NEED int hf_read_splitter(struct tokenizer *t, struct bytes json, struct err *e);
NEED int hf_read_ends(struct tokenizer *t, struct bytes json, struct err *e);
NEED int hf_read_decoder(struct tokenizer *t, struct bytes json, struct err *e);

#endif
