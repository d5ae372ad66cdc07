/* linear_q_block_avx2.c - products with types with blocks of 32: AVX2. */
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, avx2)
WH_LINEAR_Q_TILE(q4_1, avx2)
WH_LINEAR_Q_TILE(q5_0, avx2)
WH_LINEAR_Q_TILE(q5_1, avx2)
WH_LINEAR_Q_TILE(q8_0, avx2)
