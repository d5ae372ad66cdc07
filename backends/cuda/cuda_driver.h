/* cuda_driver.h - the driver API by dlopen. */
#ifndef WH_CUDA_DRIVER_H
#define WH_CUDA_DRIVER_H

#include "backends/gpu/gpu_api.h"
#include "core/base/status.h"

/* The machine's driver, or the emulator of one; opened once, and open until the process ends.
 * ERR_UNAVAILABLE: there is none, or it lacks something. */
wh_status cuda_driver(const gpu_api **out);
wh_status cuda_emulator(const gpu_api **out);

#endif
