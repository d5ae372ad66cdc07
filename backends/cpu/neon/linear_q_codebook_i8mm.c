/* linear_q_codebook_i8mm.c - products with types whose codes index a table: NEON with matrix products of
 * bytes (usmmla). */
#define WH_LINEAR_Q_I8MM 1
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(iq4_nl, i8mm)
WH_LINEAR_Q_TILE(iq4_xs, i8mm)
WH_LINEAR_Q_TILE(mxfp4, i8mm)
