/* linear_q_super_neon.c - products with types with super-blocks of 256: NEON. */
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q2_k, neon)
WH_LINEAR_Q_TILE(q3_k, neon)
WH_LINEAR_Q_TILE(q4_k, neon)
WH_LINEAR_Q_TILE(q5_k, neon)
WH_LINEAR_Q_TILE(q6_k, neon)
