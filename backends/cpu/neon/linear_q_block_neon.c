/* linear_q_block_neon.c - products with types with blocks of 32: NEON. */
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, neon)
WH_LINEAR_Q_TILE(q4_1, neon)
WH_LINEAR_Q_TILE(q5_0, neon)
WH_LINEAR_Q_TILE(q5_1, neon)
WH_LINEAR_Q_TILE(q8_0, neon)
