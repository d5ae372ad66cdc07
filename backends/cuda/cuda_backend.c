/* cuda_backend.c - the CUDA backend's struct of functions: names of devices, and the driver behind them. */
#include "backends/cuda/cuda_backend.h"

#include <string.h>

#include "backends/cuda/cuda_driver.h"
#include "backends/gpu/gpu_backend.h"

static uint32_t cuda_count(void) {
  const gpu_api *api = NULL;
  uint32_t n = 0;
  return cuda_driver(&api) == WH_OK && gpu_count(api, &n) == WH_OK ? n : 0;
}

/* "cuda", "cuda:N", "cuda:emulated", "cuda:emulated:N". */
static wh_status read_name(const char *name, bool *emulated, uint32_t *index) {
  static const char prefix[] = "cuda", word[] = ":emulated";
  *emulated = false;
  if (!name || strncmp(name, prefix, sizeof prefix - 1) != 0) return WH_OK;
  const char *at = name + sizeof prefix - 1;
  if (strncmp(at, word, sizeof word - 1) == 0) {
    *emulated = true;
    at += sizeof word - 1;
  }
  if (!*at) return WH_OK;
  if (at[0] != ':' || at[1] < '0' || at[1] > '9' || at[2])
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "device '%.64s': after cuda may come :emulated, and the number of a device, as in cuda:1",
                   name);
  *index = (uint32_t)(at[1] - '0');
  return WH_OK;
}

static wh_status cuda_open(uint32_t index, const wh_device_options *options, void **out) {
  const gpu_api *api = NULL;
  bool emulated;
  WH_TRY(read_name(options->name, &emulated, &index));
  WH_TRY(emulated ? cuda_emulator(&api) : cuda_driver(&api));
  return gpu_open(api, index, options, out);
}

const wh_backend wh_backend_cuda = {
    .name = "cuda", .count = cuda_count, .open = cuda_open, GPU_BACKEND_FUNCTIONS};
