/* linear_q_codebook_dotprod.c - products with types whose codes index a table: NEON with dots of four bytes
 * (sdot). */
#define WH_LINEAR_Q_DOTPROD 1
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(iq4_nl, dotprod)
WH_LINEAR_Q_TILE(iq4_xs, dotprod)
WH_LINEAR_Q_TILE(mxfp4, dotprod)
