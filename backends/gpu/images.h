/* images.h - the modules of all kernels as a provider's driver reads them: `gpu_images`, which gpu_api points
 * to. A provider defines GPU_IMAGE(module), the name of what its build made of the module, and includes this
 * once. */
#include "backends/gpu/kernels.h"

#define GPU_KERNEL(module, name) extern const char GPU_IMAGE(module)[];
#include "backends/gpu/kernels_all.def"
#undef GPU_KERNEL

static const char *const gpu_images[GPU_N_KERNELS] = {
#define GPU_KERNEL(module, name) GPU_IMAGE(module),
#include "backends/gpu/kernels_all.def"
#undef GPU_KERNEL
};
