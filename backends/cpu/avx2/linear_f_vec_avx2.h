/* linear_f_vec_avx2.h - how tall and wide the register tiles of linear_f_tiles.h are. */
#ifndef WH_CPU_LINEAR_F_VEC_AVX2_H
#define WH_CPU_LINEAR_F_VEC_AVX2_H

#include "backends/cpu/avx2/vec_avx2.h"

#define ASKS_FOR_ALL true
#define TILE_ROWS 6
#define TALL_ROWS 6
#define TILE_VECS 2
#define WIDE_ROWS 3

#endif
