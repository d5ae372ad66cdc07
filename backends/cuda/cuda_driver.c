/* cuda_driver.c - libcuda.so.1 and the emulator, opened by name. The numbers are those of the CUDA driver
 * API, which do not change; no toolkit is needed to build this. */
#define _GNU_SOURCE /* dladdr */
#include "backends/cuda/cuda_driver.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda_backend.h"
#include "backends/cuda/cuda_blas.h"

#define GPU_IMAGE(module) gpu_ptx_##module
#include "backends/gpu/images.h"

typedef struct driver {
  gpu_api api;
  char path[PATH_MAX];
  bool ready;
} driver;

static driver real, emulated;
static const char *emulator_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void wh_cuda_emulator_path(const char *path) { emulator_path = path; }

typedef struct call {
  const char *name;
  void *to;
} call;

static wh_status find_calls(void *library, gpu_api *api) {
  const call calls[] = {{"cuInit", &api->init},
                        {"cuDriverGetVersion", &api->driver_version},
                        {"cuDeviceGetCount", &api->device_count},
                        {"cuDeviceGet", &api->device_get},
                        {"cuDeviceGetName", &api->device_name},
                        {"cuDeviceTotalMem_v2", &api->device_memory},
                        {"cuDeviceGetAttribute", &api->device_attribute},
                        {"cuDevicePrimaryCtxRetain", &api->context_retain},
                        {"cuDevicePrimaryCtxRelease_v2", &api->context_release},
                        {"cuCtxSetCurrent", &api->context_set},
                        {"cuGetErrorName", &api->error_name},
                        {"cuGetErrorString", &api->error_text},
                        {"cuMemAlloc_v2", &api->alloc},
                        {"cuMemFree_v2", &api->release},
                        {"cuMemGetInfo_v2", &api->memory_info},
                        {"cuMemHostAlloc", &api->host_alloc},
                        {"cuMemFreeHost", &api->host_release},
                        {"cuMemHostGetDevicePointer_v2", &api->host_address},
                        {"cuMemcpyHtoDAsync_v2", &api->upload},
                        {"cuMemcpyDtoHAsync_v2", &api->download},
                        {"cuMemcpyDtoDAsync_v2", &api->copy},
                        {"cuMemcpyPeerAsync", &api->copy_peer},
                        {"cuCtxEnablePeerAccess", &api->peer_enable},
                        {"cuMemsetD8Async", &api->fill},
                        {"cuLaunchKernel", &api->launch},
                        {"cuModuleLoadDataEx", &api->module_load},
                        {"cuModuleUnload", &api->module_unload},
                        {"cuModuleGetFunction", &api->module_function},
                        {"cuFuncSetAttribute", &api->function_set},
                        {"cuStreamCreate", &api->stream_create},
                        {"cuStreamDestroy_v2", &api->stream_destroy},
                        {"cuStreamSynchronize", &api->stream_synchronize},
                        {"cuStreamWaitEvent", &api->stream_wait},
                        {"cuEventCreate", &api->event_create},
                        {"cuEventDestroy_v2", &api->event_destroy},
                        {"cuEventRecord", &api->event_record},
                        {"cuEventSynchronize", &api->event_synchronize},
                        {"cuEventElapsedTime", &api->event_elapsed},
                        {"cuStreamBeginCapture_v2", &api->capture_begin},
                        {"cuStreamEndCapture", &api->capture_end},
                        {"cuGraphInstantiateWithFlags", &api->graph_instantiate},
                        {"cuGraphLaunch", &api->graph_launch},
                        {"cuGraphDestroy", &api->graph_destroy},
                        {"cuGraphExecDestroy", &api->exec_destroy}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    void *f = dlsym(library, calls[i].name);
    if (!f)
      return WH_FAIL(ERR_UNAVAILABLE, "cuda: %s has no %s: it is no driver, or one that is too old",
                     api->library, calls[i].name);
    memcpy(calls[i].to, &f, sizeof f); /* ISO C has no conversion from an object's address to a function's */
  }
  const call others[] = {{"cuDeviceGetPCIBusId", &api->device_bus},
                         {"cuLaunchKernelEx", &api->launch_config}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) { /* which the backend can do without */
    void *f = dlsym(library, others[i].name);
    memcpy(others[i].to, &f, sizeof f);
  }
  return WH_OK;
}

/* PTX as devices of 9.0 and more take it: what gpu_follow left as comments becomes instructions
 * (kernels/gpu.h). */
static void follow(char *image) {
  static const char *const lines[] = {"// griddepcontrol.wait;", "// griddepcontrol.launch_dependents;"};
  char *target = strstr(image, ".target sm_80");
  if (target) memcpy(target, ".target sm_90", strlen(".target sm_90"));
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    for (char *at = image; (at = strstr(at, lines[i]));) memcpy(at, "  ", 2);
}

static wh_status open_driver(driver *d, const char *missing) {
  d->api = (gpu_api){.name = "cuda",
                     .library = d->path,
                     .attributes = {[GPU_ATTRIBUTE_PROCESSORS] = 16,
                                    [GPU_ATTRIBUTE_SHARED_PER_BLOCK] = 97,
                                    [GPU_ATTRIBUTE_CAPABILITY_MAJOR] = 75,
                                    [GPU_ATTRIBUTE_CAPABILITY_MINOR] = 76,
                                    [GPU_ATTRIBUTE_L2_BYTES] = 38},
                     .jit_log = 5,
                     .jit_log_bytes = 6,
                     .images = gpu_images,
                     .least_major = 8,
                     .warpgroup_isa = "sm_90",
                     .driver_wanted = WH_CUDA_VERSION,
                     .follow_major = 9,
                     .follow = follow,
                     .blas = d == &real ? &cuda_blas : &cuda_blas_emulated};
  void *library = dlopen(d->path, RTLD_NOW | RTLD_LOCAL); /* stays open: drivers cannot be closed */
  if (!library) return WH_FAIL(ERR_UNAVAILABLE, "cuda: %s (%s)", missing, dlerror());
  return find_calls(library, &d->api);
}

static wh_status get(driver *d, const char *missing, const gpu_api **out) {
  (void)pthread_mutex_lock(&lock);
  wh_status st = d->ready ? WH_OK : open_driver(d, missing);
  d->ready = st == WH_OK;
  (void)pthread_mutex_unlock(&lock);
  *out = &d->api;
  return st;
}

wh_status cuda_driver(const gpu_api **out) {
  (void)snprintf(real.path, sizeof real.path, "%s", "libcuda.so.1");
  return get(&real, "there is no NVIDIA driver", out);
}

/* Beside the file that this code was loaded from. */
static bool beside(char *path, size_t n_bytes) {
  Dl_info info;
  if (!dladdr(&real, &info) || !info.dli_fname) return false;
  const char *slash = strrchr(info.dli_fname, '/');
  const int n = snprintf(path, n_bytes, "%.*s/whimbrel-ptxemu.so", slash ? (int)(slash - info.dli_fname) : 1,
                         slash ? info.dli_fname : ".");
  return n > 0 && (size_t)n < n_bytes;
}

wh_status cuda_emulator(const gpu_api **out) {
  (void)pthread_mutex_lock(&lock);
  bool named = true;
  if (emulator_path)
    (void)snprintf(emulated.path, sizeof emulated.path, "%s", emulator_path);
  else
    named = beside(emulated.path, sizeof emulated.path);
  (void)pthread_mutex_unlock(&lock);
  if (!named) return WH_FAIL(ERR_UNAVAILABLE, "cuda: the system does not say where the emulator lies");
  return get(&emulated, "there is no emulator", out);
}
