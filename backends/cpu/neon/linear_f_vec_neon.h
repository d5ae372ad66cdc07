/* linear_f_vec_neon.h - how tall and wide the register tiles of linear_f_tiles.h are. */
#ifndef WH_CPU_LINEAR_F_VEC_NEON_H
#define WH_CPU_LINEAR_F_VEC_NEON_H

#include "backends/cpu/neon/vec_neon.h"

#define ASKS_FOR_ALL true
#define TILE_ROWS 6
#define TALL_ROWS 6
#define TILE_VECS 4
#define WIDE_ROWS 2

#endif
