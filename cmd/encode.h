/* SPDX-License-Identifier: MIT */
/* encode.h - many texts to ids at once, printed in order */
#ifndef CLM_CMD_ENCODE_H
#define CLM_CMD_ENCODE_H

#include "feed.h"

struct encode_options {
	bool count, pieces, no_special, no_parse, bos, no_bos;
	int threads; /* 0: all */
};
/* Each text of the files, as `feed` cuts them. */
NEED int encode_files(const struct encode_options *o, const struct tokenizer *t,
                      const struct feed_options *feed, char **files, struct err *e);

#endif
