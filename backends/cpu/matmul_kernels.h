/* matmul_kernels.h - prototypes of the products that read both operands where they lie. */
#ifndef WH_CPU_MATMUL_KERNELS_H
#define WH_CPU_MATMUL_KERNELS_H

#include "backends/cpu/matmul.h"

#define WH_MATMUL_KERNEL(type, isa, needs) void wh_k_matmul_##type##__##isa(const wh_matmul_part *p);
#include "backends/cpu/kernels_matmul.def"

#endif
