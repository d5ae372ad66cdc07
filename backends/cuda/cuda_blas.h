/* cuda_blas.h - cuBLASLt by dlopen. */
#ifndef WH_CUDA_BLAS_H
#define WH_CUDA_BLAS_H

#include "backends/gpu/blas.h"

/* Of the driver's devices; of the emulator's. */
extern const gpu_blas cuda_blas, cuda_blas_emulated;

#endif
