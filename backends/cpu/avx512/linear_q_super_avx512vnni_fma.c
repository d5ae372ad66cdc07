/* linear_q_super_avx512vnni_fma.c - products with types with super-blocks of 256: AVX-512 with VNNI, sums
 * converted and shifted by fma. */
#define WH_LINEAR_Q_VNNI 1
#define WH_LINEAR_Q_FMA 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_MANY_ROWS(q2_k, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q3_k, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q4_k, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q5_k, avx512vnni_fma, avx512vnni)
WH_LINEAR_Q_MANY_ROWS(q6_k, avx512vnni_fma, avx512vnni)
