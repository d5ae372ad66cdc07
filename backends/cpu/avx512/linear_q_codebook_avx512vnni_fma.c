/* linear_q_codebook_avx512vnni_fma.c - products with types whose codes index a table: AVX-512 with VNNI, sums
 * converted and shifted by fma. */
#define WH_LINEAR_Q_VNNI 1
#define WH_LINEAR_Q_FMA 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_MANY_ROWS(iq4_nl, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(iq4_xs, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(mxfp4, avx512vnni_fma, avx512vnni)
