/* inexact_linear_q_avx512vnni_fma.c - products without the contract's costs: AVX-512 with VNNI, sums
 * converted by an addition. */
#define WH_LINEAR_Q_VNNI 1
#define WH_LINEAR_Q_FMA 1
#define WH_LINEAR_Q_INEXACT 1
#include "bench/inexact_linear_q.h"

#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

#define INEXACT_KERNEL(type, lower, isa, needs) \
  WH_LINEAR_Q_MANY_ROWS(lower, inexact_##isa, inexact_avx512vnni)
INEXACT_TYPES(INEXACT_KERNEL, avx512vnni_fma, 0)
