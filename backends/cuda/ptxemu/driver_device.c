/* driver_device.c - cuInit, devices, contexts; the lock and the failures that are asked for; what ptxemu.h
 * promises. */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"
#include "backends/cuda/ptxemu/ptxemu.h"
#include "backends/cuda/ptxemu/report.h"

#pragma GCC visibility push(default)
CUresult cuInit(unsigned flags);
CUresult cuDriverGetVersion(int *version);
CUresult cuDeviceGet(CUdevice *device, int ordinal);
CUresult cuDeviceGetCount(int *n);
CUresult cuDeviceGetName(char *name, int n, CUdevice device);
CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device);
CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice device);
CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer);
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device);
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device);
CUresult cuCtxSetCurrent(CUcontext context);
CUresult cuCtxGetCurrent(CUcontext *context);
CUresult cuCtxGetDevice(CUdevice *device);
CUresult cuCtxSynchronize(void);
CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned flags);
CUresult cuGetErrorName(CUresult error, const char **text);
CUresult cuGetErrorString(CUresult error, const char **text);
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found);
#pragma GCC visibility pop

driver_state driver;
_Thread_local CUcontext driver_current;
static pthread_mutex_t lock;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool options_are_bad;

static void begin(void) {
  pthread_mutexattr_t
      a; /* a host function of a stream may not call the API, but an emulator should not hang on it */
  (void)pthread_mutexattr_init(&a);
  (void)pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
  (void)pthread_mutex_init(&lock, &a);
  (void)pthread_mutexattr_destroy(&a);
  options_are_bad = !options_from_environment(&driver.options);
  if (options_are_bad)
    report_add("options",
               "the environment variable PTXEMU holds an option that is not known, or a value out of range");
  report_quiet(driver.options.quiet);
}

static void take(void) {
  (void)pthread_once(&once, begin);
  (void)pthread_mutex_lock(&lock);
}

/* Counts the call. */
static bool is_to_fail(void) {
  const unsigned n = ++driver.n_calls, at = driver.options.fail_at;
  return n == at || (driver.options.lost && at && n > at);
}

CUresult driver_enter(call_kind kind) {
  take();
  if (kind != CALL_DESTROYS && is_to_fail()) {
    if (driver.options.fail_code) return (CUresult)driver.options.fail_code;
    return kind == CALL_ALLOCATES ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_UNKNOWN;
  }
  if (!driver.is_initialised) return CUDA_ERROR_NOT_INITIALIZED;
  const bool in_context = kind == CALL_IN_CONTEXT || kind == CALL_ALLOCATES;
  if (in_context && (!driver_current || !driver_current->references)) return CUDA_ERROR_INVALID_CONTEXT;
  if (kind == CALL_DESTROYS && !driver_current) return CUDA_ERROR_INVALID_CONTEXT;
  return CUDA_SUCCESS;
}

CUresult driver_leave(CUresult r) {
  (void)pthread_mutex_unlock(&lock);
  return r;
}

/* ---- devices ---- */

CUresult cuInit(unsigned flags) {
  take();
  if (is_to_fail())
    return driver_leave(driver.options.fail_code ? (CUresult)driver.options.fail_code : CUDA_ERROR_UNKNOWN);
  if (flags || options_are_bad) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  if (driver.is_initialised) return driver_leave(CUDA_SUCCESS);
  driver.n_devices = driver.options.n_devices;
  driver.random = driver.options.seed;
  for (unsigned d = 0; d < driver.n_devices; d++) {
    driver.contexts[d].device = (int)d;
    if (memory_open(&driver.memory[d], driver.options.memory_mb << 20)) continue;
    while (d) memory_close(&driver.memory[--d]);
    return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  }
  streams_open();
  driver.is_initialised = true;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuDriverGetVersion(int *version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  take();
  *version = (int)driver.options.version;
  return driver_leave(CUDA_SUCCESS);
}

static bool has_device(CUdevice d) { return d >= 0 && (unsigned)d < driver.n_devices; }

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!device || !has_device(ordinal))
    return driver_leave(device ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE);
  *device = ordinal;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuDeviceGetCount(int *n) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!n) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  *n = (int)driver.n_devices;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuDeviceGetName(char *name, int n, CUdevice device) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!name || n < 1 || !has_device(device)) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  (void)snprintf(name, (size_t)n, "%s", driver.options.profile->title);
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!value || !has_device(device)) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  const device_profile *p = driver.options.profile;
  const struct {
    int attribute, value;
  } known[] = {{ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
               {ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
               {ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
               {ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
               {ATTRIBUTE_MAX_GRID_DIM_X, INT32_MAX},
               {ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
               {ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
               {ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, DEFAULT_SHARED},
               {ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
               {ATTRIBUTE_WARP_SIZE, EXEC_WARP},
               {ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
               {ATTRIBUTE_CLOCK_RATE, p->clock_khz},
               {ATTRIBUTE_MULTIPROCESSOR_COUNT,
                driver.options.processors ? (int)driver.options.processors : p->multiprocessors},
               {ATTRIBUTE_INTEGRATED, 0},
               {ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
               {ATTRIBUTE_CONCURRENT_KERNELS, 1},
               {ATTRIBUTE_PCI_BUS_ID, device},
               {ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
               {ATTRIBUTE_ASYNC_ENGINE_COUNT, 2},
               {ATTRIBUTE_UNIFIED_ADDRESSING, 1},
               {ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, p->major},
               {ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, p->minor},
               {ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, p->shared_multiprocessor},
               {ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, p->shared_optin}};
  *value = 0; /* what the emulator does not have */
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].attribute == attribute) *value = known[i].value;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice device) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!n || !has_device(device)) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  *n = driver.memory[device].limit;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!can || !has_device(device) || !has_device(peer)) return driver_leave(CUDA_ERROR_INVALID_DEVICE);
  *can = device != peer;
  return driver_leave(CUDA_SUCCESS);
}

/* ---- contexts ---- */

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!context || !has_device(device)) return driver_leave(CUDA_ERROR_INVALID_DEVICE);
  driver.contexts[device].references++;
  *context = &driver.contexts[device];
  return driver_leave(CUDA_SUCCESS);
}

static void report_leaks(int device) {
  const unsigned modules = modules_close(device), streams = streams_close(device),
                 events = events_close(device), graphs = graphs_close(device);
  uint64_t bytes = 0;
  const size_t n = memory_live(&driver.memory[device], &bytes);
  if (n)
    report_add("leak", "%llu allocations with %llu bytes on device %d were not freed", (unsigned long long)n,
               (unsigned long long)bytes, device);
  if (modules) report_add("leak", "%u modules on device %d were not unloaded", modules, device);
  if (streams || events)
    report_add("leak", "%u streams and %u events on device %d were not destroyed", streams, events, device);
  if (graphs) report_add("leak", "%u graphs on device %d were not destroyed", graphs, device);
  memory_device *m = &driver.memory[device];
  for (size_t i = 0; i < m->n_blocks; i++)
    if (!m->blocks[i].is_free) (void)memory_free(m, m->blocks[i].at);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  take();
  if (!driver.is_initialised || !has_device(device) || !driver.contexts[device].references)
    return driver_leave(CUDA_ERROR_INVALID_CONTEXT);
  if (driver.contexts[device].references == 1) {
    (void)driver_finish(-1);
    report_leaks(device);
    driver.error[device] = CUDA_SUCCESS;
  }
  driver.contexts[device].references--;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuCtxSetCurrent(CUcontext context) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (!r) driver_current = context;
  return driver_leave(r);
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  if (!context) return CUDA_ERROR_INVALID_VALUE;
  *context = driver_current;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (!r && device) *device = driver_device();
  return driver_leave(r);
}

CUresult cuCtxSynchronize(void) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  return driver_leave(r ? r : driver_finish(driver_device()));
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned flags) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  return driver_leave(r ? r : peer && !flags ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT);
}

/* ---- errors, and functions by name ---- */

static const struct {
  CUresult error;
  const char *name, *text;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "not initialised"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "no such device"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "no such context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no PTX that this device can run"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "PTX with an error"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "no such object"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "not in this state"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "not done yet"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources for a launch"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED",
     "work did what it may not do; see the emulator's reports"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "a stream that records cannot do this"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "what the stream recorded was spoilt by an earlier error"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"}};

static CUresult describe(CUresult error, const char **text, bool name) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  *text = NULL;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].error == error) *text = name ? errors[i].name : errors[i].text;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult error, const char **text) { return describe(error, text, true); }
CUresult cuGetErrorString(CUresult error, const char **text) { return describe(error, text, false); }

/* Names without their version: the second one where there are two. */
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
  (void)version;
  (void)flags;
  if (!name || !function) return CUDA_ERROR_INVALID_VALUE;
  Dl_info here;
  char full[128];
  *function = NULL;
  (void)snprintf(full, sizeof full, "%s_v2", name);
  void *self =
      dladdr((void *)(uintptr_t)cuInit, &here) ? dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
  if (self) {
    *function = dlsym(self, full);
    if (!*function) *function = dlsym(self, name);
    (void)dlclose(self);
  }
  if (found) *found = *function ? 0 : 1;
  return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

/* ---- ptxemu.h ---- */

EXPORT int ptxemu_set(const char *options) {
  take();
  const bool fine = options_set(options, &driver.options);
  if (fine && strstr(options, "fail=")) driver.n_calls = 0;
  if (fine) report_quiet(driver.options.quiet);
  if (fine && strstr(options, "seed=")) driver.random = driver.options.seed;
  (void)driver_leave(CUDA_SUCCESS);
  return fine ? 0 : -1;
}

EXPORT unsigned ptxemu_report_count(void) { return report_count(); }
EXPORT const char *ptxemu_report(unsigned i) { return report_text(i); }

EXPORT void ptxemu_clear(void) {
  take();
  report_clear();
  memset(driver.error, 0, sizeof driver.error);
  (void)driver_leave(CUDA_SUCCESS);
}

EXPORT unsigned ptxemu_calls(void) { return driver.n_calls; }

EXPORT void ptxemu_instructions(uint64_t *warps, uint64_t *lanes_) {
  *warps = driver.n_warp_instructions;
  *lanes_ = driver.n_lane_instructions;
}
