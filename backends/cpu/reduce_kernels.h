/* reduce_kernels.h - prototypes of the reductions, made from kernels_reduce.def. */
#ifndef WH_CPU_REDUCE_KERNELS_H
#define WH_CPU_REDUCE_KERNELS_H

#include "backends/cpu/reduce.h"

#define WH_REDUCE_KERNEL(name, type, isa, needs)                          \
  void wh_k_reduce_##name##_##type##_rows__##isa(const wh_reduce_run *r); \
  void wh_k_reduce_##name##_##type##_columns__##isa(const wh_reduce_run *r);
#include "backends/cpu/kernels_reduce.def"

#endif
