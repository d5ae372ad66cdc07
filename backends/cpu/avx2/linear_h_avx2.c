/* linear_h_avx2.c - products with 16-bit weights: AVX2. */
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_h_tile.h"

WH_LINEAR_H_TILE(avx2)
