/* linear_q_block_avx512.c - products with types with blocks of 32: AVX-512 without VNNI. */
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, avx512)
WH_LINEAR_Q_TILE(q4_1, avx512)
WH_LINEAR_Q_TILE(q5_0, avx512)
WH_LINEAR_Q_TILE(q5_1, avx512)
WH_LINEAR_Q_TILE(q8_0, avx512)
