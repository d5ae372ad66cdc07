/* inexact_linear_q.h - the quantised products without what exactness costs, for bench_exact. AVX-512 with
 * VNNI. */
#ifndef WH_BENCH_INEXACT_LINEAR_Q_H
#define WH_BENCH_INEXACT_LINEAR_Q_H

#include "backends/cpu/linear_q.h"

/* Right only where every block of the activations has the largest magnitude of its row: eight times less than
 * the product then. */
void wh_k_linear_q4_0__inexact(const wh_linear_q_args *args, const wh_worker *worker);
void wh_k_linear_q8_0__inexact(const wh_linear_q_args *args, const wh_worker *worker);
void wh_k_linear_q6_k__inexact(const wh_linear_q_args *args, const wh_worker *worker);

#endif
