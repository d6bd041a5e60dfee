/* SPDX-License-Identifier: MIT */
/* grids.h - inside tensor/: the tables of grids.c. */
#ifndef CLM_TENSOR_GRIDS_H
#define CLM_TENSOR_GRIDS_H

#include <stdint.h>

extern const uint16_t iq2_xxs_grid[256];
extern const uint16_t iq2_xs_grid[512];
extern const uint16_t iq2_s_grid[1024];
extern const uint16_t iq3_xxs_grid[256];
extern const uint16_t iq3_s_grid[512];
extern const uint16_t iq1_grid[2048];

#endif
