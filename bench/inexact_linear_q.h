/* inexact_linear_q.h - the quantised products without what exactness costs, for bench_exact: the kernels'
 * template once more, without a shift for each block of activations and with sums that run on through the
 * groups. Right only where the activations have one shift of 0 everywhere and one scale for a whole row. */
#ifndef WH_BENCH_INEXACT_LINEAR_Q_H
#define WH_BENCH_INEXACT_LINEAR_Q_H

#include "backends/cpu/linear_q.h"

/* X(type, lower-case name, instruction set, needed features) */
#define INEXACT_TYPES(X, isa, needs) \
  X(Q4_0, q4_0, isa, needs)          \
  X(Q4_1, q4_1, isa, needs)          \
  X(Q5_0, q5_0, isa, needs)          \
  X(Q5_1, q5_1, isa, needs)          \
  X(Q8_0, q8_0, isa, needs)          \
  X(Q2_K, q2_k, isa, needs)          \
  X(Q3_K, q3_k, isa, needs)          \
  X(Q4_K, q4_k, isa, needs)          \
  X(Q5_K, q5_k, isa, needs)          \
  X(Q6_K, q6_k, isa, needs)          \
  X(IQ4_NL, iq4_nl, isa, needs)      \
  X(IQ4_XS, iq4_xs, isa, needs)      \
  X(MXFP4, mxfp4, isa, needs)
#define INEXACT_KERNELS(X)                                                      \
  INEXACT_TYPES(X, avx2, WH_CPU_AVX2)                                           \
  INEXACT_TYPES(X, avx512, WH_CPU_AVX2 | WH_CPU_AVX512)                         \
  INEXACT_TYPES(X, avx512vnni, WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI) \
  INEXACT_TYPES(X, avx512vnni_fma, WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI)

#define INEXACT_PROTOTYPE(type, lower, isa, needs) \
  void wh_k_linear_##lower##__inexact_##isa(const wh_linear_q_args *args, const wh_worker *worker);
INEXACT_KERNELS(INEXACT_PROTOTYPE)
#undef INEXACT_PROTOTYPE

#endif
