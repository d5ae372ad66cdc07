/* linear_q_super_avx2.c - products with types with super-blocks of 256: AVX2. */
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q2_k, avx2)
WH_LINEAR_Q_TILE(q3_k, avx2)
WH_LINEAR_Q_TILE(q4_k, avx2)
WH_LINEAR_Q_TILE(q5_k, avx2)
WH_LINEAR_Q_TILE(q6_k, avx2)
