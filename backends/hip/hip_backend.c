/* hip_backend.c - the HIP backend's struct of functions: names of devices, and the driver behind them. */
#include "backends/hip/hip_backend.h"

#include <string.h>

#include "backends/gpu/gpu_backend.h"
#include "backends/hip/hip_driver.h"

static uint32_t hip_count(void) {
  const gpu_api *api = NULL;
  uint32_t n = 0;
  return hip_driver(&api) == WH_OK && gpu_count(api, &n) == WH_OK ? n : 0;
}

/* "hip", "hip:N". */
static wh_status read_name(const char *name, uint32_t *index) {
  static const char prefix[] = "hip";
  if (!name || strncmp(name, prefix, sizeof prefix - 1) != 0) return WH_OK;
  const char *at = name + sizeof prefix - 1;
  if (!*at) return WH_OK;
  if (at[0] != ':' || at[1] < '0' || at[1] > '9' || at[2])
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "device '%.64s': after hip may come the number of a device, as in hip:1", name);
  *index = (uint32_t)(at[1] - '0');
  return WH_OK;
}

static wh_status hip_open(uint32_t index, const wh_device_options *options, void **out) {
  const gpu_api *api = NULL;
  WH_TRY(read_name(options->name, &index));
  WH_TRY(hip_driver(&api));
  return gpu_open(api, index, options, out);
}

const wh_backend wh_backend_hip = {
    .name = "hip", .count = hip_count, .open = hip_open, GPU_BACKEND_FUNCTIONS};
