/* SPDX-License-Identifier: MIT */
/* encode.h - many texts to ids at once, printed in order */
#ifndef CLM_CMD_ENCODE_H
#define CLM_CMD_ENCODE_H

#include "tokens.h"

struct encode_totals {
	size_t n_failed, n_texts, n_bytes, n_ids;
	double seconds, processor; /* of the work itself; of all threads together */
};
/* Each text of the files, as `feed` cuts them, over `threads` (0: all).
 * n_failed counts the records that were refused. */
NEED int encode_files(const struct tokens *k, const struct feed_options *feed, int threads,
                      char **files, struct encode_totals *totals, struct err *e);

#endif
