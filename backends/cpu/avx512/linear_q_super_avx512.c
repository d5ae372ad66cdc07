/* linear_q_super_avx512.c - products with types with super-blocks of 256: AVX-512 without VNNI. */
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q2_k, avx512)
WH_LINEAR_Q_TILE(q3_k, avx512)
WH_LINEAR_Q_TILE(q4_k, avx512)
WH_LINEAR_Q_TILE(q5_k, avx512)
WH_LINEAR_Q_TILE(q6_k, avx512)
