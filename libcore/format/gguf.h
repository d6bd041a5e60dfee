/* SPDX-License-Identifier: MIT */
/* gguf.h - inside format/: what GGUF's reader and writer share. */
#ifndef CLM_FORMAT_GGUF_H
#define CLM_FORMAT_GGUF_H

#include "tensor/tensor.h"

enum { GGUF_MAGIC = 0x46554747, GGUF_MAX_NAME = 63, GGUF_MAX_RANK = 4 };

/* False if GGUF has no such tensor type. */
bool gguf_type_id(unsigned *id, enum dtype t);

#endif
