/* linear_q_super_i8mm.c - products with types with super-blocks of 256: NEON with matrix products of bytes
 * (usmmla). */
#define WH_LINEAR_Q_I8MM 1
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q2_k, i8mm)
WH_LINEAR_Q_TILE(q3_k, i8mm)
WH_LINEAR_Q_TILE(q4_k, i8mm)
WH_LINEAR_Q_TILE(q5_k, i8mm)
WH_LINEAR_Q_TILE(q6_k, i8mm)
