/* cuda_backend.h - NVIDIA GPUs, and the emulator of one. */
#ifndef WH_CUDA_BACKEND_H
#define WH_CUDA_BACKEND_H

#include "core/backend_abi.h"

/* Devices are named by wh_device_options.name: "cuda" is the driver's first, "cuda:1" its second,
 * "cuda:emulated" the interpreter of PTX (ptxemu/README.md; PTXEMU in the environment steers it),
 * "cuda:emulated:1" its second. */
extern const wh_backend wh_backend_cuda;

/* Where the emulator lies when it is not whimbrel-ptxemu.so beside the object that holds this code: for tests
 * that link it. Before a device is opened; `path` is borrowed. */
void wh_cuda_emulator_path(const char *path);
/* Where cuBLASLt lies, for mode `fast`, when the loader is not to look for it; the emulator, on which
 * NVIDIA's does not run, has none without this. Before a device is opened; `path` is borrowed. */
void wh_cuda_blas_path(const char *path);

#endif
