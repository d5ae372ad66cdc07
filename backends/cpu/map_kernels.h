/* map_kernels.h - prototypes of the elementwise loops, made from kernels_map.def. */
#ifndef WH_CPU_MAP_KERNELS_H
#define WH_CPU_MAP_KERNELS_H

#include "backends/cpu/map.h"

#define WH_MAP_KERNEL(name, type, isa, needs) void wh_k_##name##_##type##__##isa(const wh_map_run *r);
#include "backends/cpu/kernels_map.def"

#endif
