/* hip_backend.h - AMD's GPUs through the module API of HIP. */
#ifndef WH_HIP_BACKEND_H
#define WH_HIP_BACKEND_H

#include "core/backend_abi.h"

/* Devices "hip" and "hip:N". */
extern const wh_backend wh_backend_hip;

/* What is opened in place of libamdhip64.so: for tests. Before a device is opened; `path` is borrowed. */
void wh_hip_library_path(const char *path);

#endif
