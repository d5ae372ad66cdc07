/* linear_q_block_dotprod.c - products with types with blocks of 32: NEON with dots of four bytes (sdot). */
#define WH_LINEAR_Q_DOTPROD 1
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, dotprod)
WH_LINEAR_Q_TILE(q4_1, dotprod)
WH_LINEAR_Q_TILE(q5_0, dotprod)
WH_LINEAR_Q_TILE(q5_1, dotprod)
WH_LINEAR_Q_TILE(q8_0, dotprod)
