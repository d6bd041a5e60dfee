/* SPDX-License-Identifier: MIT */
/* encode.h - many texts to ids at once, printed in order */
#ifndef CLM_CMD_ENCODE_H
#define CLM_CMD_ENCODE_H

#include "tokens.h"

/* Each text of the files, as `feed` cuts them, over `threads` (0: all).
 * *failed counts the records that were refused. */
NEED int encode_files(const struct tokens *k, const struct feed_options *feed, int threads,
                      char **files, size_t *failed, struct err *e);

#endif
