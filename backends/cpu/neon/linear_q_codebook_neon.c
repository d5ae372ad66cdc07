/* linear_q_codebook_neon.c - products with types whose codes index a table: NEON. */
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(iq4_nl, neon)
WH_LINEAR_Q_TILE(iq4_xs, neon)
WH_LINEAR_Q_TILE(mxfp4, neon)
