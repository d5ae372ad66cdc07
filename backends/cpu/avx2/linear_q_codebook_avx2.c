/* linear_q_codebook_avx2.c - products with types whose codes index a table: AVX2. */
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(iq4_nl, avx2)
WH_LINEAR_Q_TILE(iq4_xs, avx2)
WH_LINEAR_Q_TILE(mxfp4, avx2)
