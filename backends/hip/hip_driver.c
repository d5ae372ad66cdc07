/* hip_driver.c - libamdhip64.so, opened by name. The numbers are those of HIP's headers, which ROCm keeps;
 * none of it is needed to build this. */
#include "backends/hip/hip_driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "backends/hip/hip_backend.h"

#define GPU_IMAGE(module) gpu_hip_##module
#include "backends/gpu/images.h"

static const char *library_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool ready;

void wh_hip_library_path(const char *path) { library_path = path; }

/* ---- where HIP's calls have another shape than CUDA's ---- */

static const char *(*name_of_error)(gpu_result);
static const char *(*text_of_error)(gpu_result);

static gpu_result error_name(gpu_result result, const char **text) {
  *text = name_of_error(result);
  return GPU_SUCCESS;
}
static gpu_result error_text(gpu_result result, const char **text) {
  *text = text_of_error(result);
  return GPU_SUCCESS;
}
/* All of a block's shared memory may be dynamic: nothing to ask for. */
static gpu_result function_set(void *function, int attribute, int value) {
  (void)function;
  (void)attribute;
  (void)value;
  return GPU_SUCCESS;
}

/* Its copies find the devices by their addresses. */
static gpu_result copy_peer(uint64_t to, void *to_context, uint64_t from, void *from_context, size_t n_bytes,
                            void *stream);

static gpu_api hip = {.name = "hip",
                      .attributes = {[GPU_ATTRIBUTE_PROCESSORS] = 63,
                                     [GPU_ATTRIBUTE_SHARED_PER_BLOCK] = 74,
                                     [GPU_ATTRIBUTE_CAPABILITY_MAJOR] = 23,
                                     [GPU_ATTRIBUTE_CAPABILITY_MINOR] = 61,
                                     [GPU_ATTRIBUTE_L2_BYTES] = 19},
                      .jit_log = 5,
                      .jit_log_bytes = 6,
                      .images = gpu_images,
                      .least_major = 9, /* gfx9: GCN 5, CDNA, RDNA */
                      .driver_wanted = 0,
                      .error_name = error_name,
                      .error_text = error_text,
                      .function_set = function_set,
                      .copy_peer = copy_peer};

static gpu_result copy_peer(uint64_t to, void *to_context, uint64_t from, void *from_context, size_t n_bytes,
                            void *stream) {
  (void)to_context;
  (void)from_context;
  return hip.copy(to, from, n_bytes, stream);
}

typedef struct call {
  const char *name;
  void *to;
} call;

static wh_status find_calls(void *library) {
  const call calls[] = {{"hipInit", &hip.init},
                        {"hipDriverGetVersion", &hip.driver_version},
                        {"hipGetDeviceCount", &hip.device_count},
                        {"hipDeviceGet", &hip.device_get},
                        {"hipDeviceGetName", &hip.device_name},
                        {"hipDeviceTotalMem", &hip.device_memory},
                        {"hipDeviceGetAttribute", &hip.device_attribute},
                        {"hipDevicePrimaryCtxRetain", &hip.context_retain},
                        {"hipDevicePrimaryCtxRelease", &hip.context_release},
                        {"hipCtxSetCurrent", &hip.context_set},
                        {"hipGetErrorName", &name_of_error},
                        {"hipGetErrorString", &text_of_error},
                        {"hipMalloc", &hip.alloc},
                        {"hipFree", &hip.release},
                        {"hipMemGetInfo", &hip.memory_info},
                        {"hipHostMalloc", &hip.host_alloc},
                        {"hipHostFree", &hip.host_release},
                        {"hipHostGetDevicePointer", &hip.host_address},
                        {"hipMemcpyHtoDAsync", &hip.upload},
                        {"hipMemcpyDtoHAsync", &hip.download},
                        {"hipMemcpyDtoDAsync", &hip.copy},
                        {"hipMemsetD8Async", &hip.fill},
                        {"hipModuleLaunchKernel", &hip.launch},
                        {"hipModuleLoadDataEx", &hip.module_load},
                        {"hipModuleUnload", &hip.module_unload},
                        {"hipModuleGetFunction", &hip.module_function},
                        {"hipStreamCreateWithFlags", &hip.stream_create},
                        {"hipStreamDestroy", &hip.stream_destroy},
                        {"hipStreamSynchronize", &hip.stream_synchronize},
                        {"hipStreamWaitEvent", &hip.stream_wait},
                        {"hipEventCreateWithFlags", &hip.event_create},
                        {"hipEventDestroy", &hip.event_destroy},
                        {"hipEventRecord", &hip.event_record},
                        {"hipEventSynchronize", &hip.event_synchronize},
                        {"hipEventElapsedTime", &hip.event_elapsed},
                        {"hipStreamBeginCapture", &hip.capture_begin},
                        {"hipStreamEndCapture", &hip.capture_end},
                        {"hipGraphInstantiateWithFlags", &hip.graph_instantiate},
                        {"hipGraphLaunch", &hip.graph_launch},
                        {"hipGraphDestroy", &hip.graph_destroy},
                        {"hipGraphExecDestroy", &hip.exec_destroy}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    void *f = dlsym(library, calls[i].name);
    if (!f)
      return WH_FAIL(ERR_UNAVAILABLE, "hip: %s has no %s: it is no HIP runtime, or one that is too old",
                     hip.library, calls[i].name);
    memcpy(calls[i].to, &f, sizeof f); /* ISO C has no conversion from an object's address to a function's */
  }
  void *bus = dlsym(library, "hipDeviceGetPCIBusId"); /* for reports only */
  memcpy(&hip.device_bus, &bus, sizeof bus);
  return WH_OK;
}

static wh_status open_library(void) {
  hip.library = library_path ? library_path : "libamdhip64.so";
  void *library = dlopen(hip.library, RTLD_NOW | RTLD_LOCAL); /* stays open: drivers cannot be closed */
  if (!library) return WH_FAIL(ERR_UNAVAILABLE, "hip: there is no HIP runtime of AMD's (%s)", dlerror());
  return find_calls(library);
}

wh_status hip_driver(const gpu_api **out) {
  (void)pthread_mutex_lock(&lock);
  wh_status st = ready ? WH_OK : open_library();
  ready = st == WH_OK;
  (void)pthread_mutex_unlock(&lock);
  *out = &hip;
  return st;
}
