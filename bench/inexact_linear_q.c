/* inexact_linear_q.c - the same template as the real kernels, compiled without the contract's costs. */
#define WH_LINEAR_Q_VNNI 1
#define WH_LINEAR_Q_INEXACT 1
#include "bench/inexact_linear_q.h"

#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, inexact)
WH_LINEAR_Q_TILE(q8_0, inexact)
WH_LINEAR_Q_TILE(q6_k, inexact)
