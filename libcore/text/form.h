/* SPDX-License-Identifier: MIT */
/* form.h - Unicode's normal forms. */
#ifndef CLM_TEXT_FORM_H
#define CLM_TEXT_FORM_H

#include "text/normal.h"

/* Appends valid UTF-8 in the form `kind` (NORMAL_NFC .. NORMAL_NFKD). The
 * time grows with the length even for long runs of combining marks. */
NEED int form_add(struct buf *out, struct bytes text, enum normal_kind kind,
                  struct normal_room *room, struct err *e);

#endif
