/* hip_driver.h - HIP's module API by dlopen. */
#ifndef WH_HIP_DRIVER_H
#define WH_HIP_DRIVER_H

#include "backends/gpu/gpu_api.h"
#include "core/base/status.h"

/* Opened once, and open until the process ends. ERR_UNAVAILABLE: there is none, or it lacks something. */
wh_status hip_driver(const gpu_api **out);

#endif
