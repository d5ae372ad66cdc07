/* kernels.h - the kernels of all modules, by number. A module is one source kernels/<module>.cu, and one PTX.
 */
#ifndef WH_GPU_KERNELS_H
#define WH_GPU_KERNELS_H

/* GPU_KERNEL(module, name): the function `name` of the module. A family's list is kernels_<family>.def. */
typedef enum gpu_kernel {
#define GPU_KERNEL(module, name) GPU_K_##name,
#include "backends/gpu/kernels_all.def"
#undef GPU_KERNEL
  GPU_N_KERNELS
} gpu_kernel;

#endif
