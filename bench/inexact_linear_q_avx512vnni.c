/* inexact_linear_q_avx512vnni.c - products without the contract's costs: AVX-512 with VNNI. */
#define WH_LINEAR_Q_VNNI 1
#define WH_LINEAR_Q_INEXACT 1
#define WH_LINEAR_Q_ONE_WAY 1
#include "bench/inexact_linear_q.h"

#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

#define INEXACT_KERNEL(type, lower, isa, needs) WH_LINEAR_Q_TILE(lower, inexact_##isa)
INEXACT_TYPES(INEXACT_KERNEL, avx512vnni, 0)
