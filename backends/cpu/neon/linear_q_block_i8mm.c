/* linear_q_block_i8mm.c - products with types with blocks of 32: NEON with matrix products of bytes (usmmla).
 */
#define WH_LINEAR_Q_I8MM 1
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, i8mm)
WH_LINEAR_Q_TILE(q4_1, i8mm)
WH_LINEAR_Q_TILE(q5_0, i8mm)
WH_LINEAR_Q_TILE(q5_1, i8mm)
WH_LINEAR_Q_TILE(q8_0, i8mm)
