/* inexact_linear_q_avx2.c - products without the contract's costs: AVX2. */
#define WH_LINEAR_Q_INEXACT 1
#define WH_LINEAR_Q_ONE_WAY 1
#include "bench/inexact_linear_q.h"

#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

#define INEXACT_KERNEL(type, lower, isa, needs) WH_LINEAR_Q_TILE(lower, inexact_##isa)
INEXACT_TYPES(INEXACT_KERNEL, avx2, 0)
