/* linear_q_block_avx512vnni_fma.c - products with types with blocks of 32: AVX-512 with VNNI, sums
 * converted and shifted by fma. */
#define WH_LINEAR_Q_VNNI 1
#define WH_LINEAR_Q_FMA 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_MANY_ROWS(q4_0, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q4_1, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q5_0, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q5_1, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q8_0, avx512vnni_fma, avx512vnni)
