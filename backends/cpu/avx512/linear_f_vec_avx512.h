/* linear_f_vec_avx512.h - how tall and wide the register tiles of linear_f_tiles.h are. */
#ifndef WH_CPU_LINEAR_F_VEC_AVX512_H
#define WH_CPU_LINEAR_F_VEC_AVX512_H

#include "backends/cpu/avx512/vec_avx512.h"

/* On a Granite Rapids products of hundreds of rows take a tenth less time without: its own prefetching does
 * it. */
#define ASKS_FOR_ALL false
#define TILE_ROWS 12
#define TALL_ROWS 24
#define TILE_VECS 2
#define WIDE_ROWS 12

#endif
