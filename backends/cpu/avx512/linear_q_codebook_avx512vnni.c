/* linear_q_codebook_avx512vnni.c - products with types whose codes index a table: AVX-512 with VNNI. */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(iq4_nl, avx512vnni)
WH_LINEAR_Q_TILE(iq4_xs, avx512vnni)
WH_LINEAR_Q_TILE(mxfp4, avx512vnni)
