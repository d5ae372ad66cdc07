/* linear_q_kernels.h - prototypes of every kernel in kernels_linear_q.def. */
#ifndef WH_CPU_LINEAR_Q_KERNELS_H
#define WH_CPU_LINEAR_Q_KERNELS_H

#include "backends/cpu/linear_q.h"

#define WH_KERNEL(type, lower, isa, needs) \
  void wh_k_linear_##lower##__##isa(const wh_linear_q_args *args, const wh_worker *worker);
#include "backends/cpu/kernels_linear_q.def"
#undef WH_KERNEL

#endif
