/* linear_q_super_dotprod.c - products with types with super-blocks of 256: NEON with dots of four bytes
 * (sdot). */
#define WH_LINEAR_Q_DOTPROD 1
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q2_k, dotprod)
WH_LINEAR_Q_TILE(q3_k, dotprod)
WH_LINEAR_Q_TILE(q4_k, dotprod)
WH_LINEAR_Q_TILE(q5_k, dotprod)
WH_LINEAR_Q_TILE(q6_k, dotprod)
