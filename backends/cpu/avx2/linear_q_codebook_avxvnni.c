/* linear_q_codebook_avxvnni.c - products with types whose codes index a table: AVX-VNNI (256-bit vpdpbusd).
 */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(iq4_nl, avxvnni)
WH_LINEAR_Q_TILE(iq4_xs, avxvnni)
WH_LINEAR_Q_TILE(mxfp4, avxvnni)
