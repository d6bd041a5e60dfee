/* SPDX-License-Identifier: MIT */
/* step.h - a step's table checked, and its angles (private to exec/) */
#ifndef CLM_EXEC_STEP_H
#define CLM_EXEC_STEP_H

#include "exec/record.h"

/* Every token, sequence, row and page that the record's ops will touch is
 * there. ERR_INPUT, naming the row, when one is not. */
NEED int step_check(const struct record *r, const struct step *s, struct err *e);
/* Fills r->angles for the step's positions. */
void step_angles(struct record *r, const struct step *s);

#endif
