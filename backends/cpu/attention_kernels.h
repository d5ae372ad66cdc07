/* attention_kernels.h - prototypes of the attention kernels, from kernels_attention.def. */
#ifndef WH_CPU_ATTENTION_KERNELS_H
#define WH_CPU_ATTENTION_KERNELS_H

#include "backends/cpu/attention.h"

/* For the list's first column: which types of cache a kernel stores. */
#define IS_FLOAT(dtype) ((dtype) == WH_DTYPE_F16 || (dtype) == WH_DTYPE_F32)
#define IS_Q8(dtype) ((dtype) == WH_DTYPE_Q8_0)
#define IS_ANY(dtype) (IS_FLOAT(dtype) || IS_Q8(dtype))

#define WH_ATTENTION_KERNEL(stores, isa, needs)                                      \
  void wh_k_attention_##isa(const wh_attention_args *args, const wh_worker *worker); \
  void wh_k_kv_append_##isa(const wh_kv_append_args *args, const wh_worker *worker);
#include "backends/cpu/kernels_attention.def"
#undef WH_ATTENTION_KERNEL

#endif
