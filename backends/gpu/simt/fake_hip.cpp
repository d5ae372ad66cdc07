/* fake_hip.cpp - a libamdhip64.so whose device is the host: the module API of HIP as backends/hip calls it,
 * over simt. Work is done when it is given, so streams and events are only counted. The kernels are those
 * linked with it; a module's bytes are not looked at.
 *
 * Options, in the environment variable SIMT: wave=32|64 (without it devices 0, 2 .. have 64 lanes, as gfx90a,
 * and the others 32, as gfx1030), seed=N (0: ascending orders), devices=N (2), memory=MiB (4096), fail=N (the
 * N-th call that may fail does). */
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "backends/gpu/simt/simt.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

/* hip_runtime_api.h's numbers. */
enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  LAUNCH_FAILURE = 719,
  UNKNOWN = 999
};
enum {
  ATTRIBUTE_MAJOR = 23,
  ATTRIBUTE_L2_BYTES = 19,
  ATTRIBUTE_MINOR = 61,
  ATTRIBUTE_PROCESSORS = 63,
  ATTRIBUTE_SHARED_PER_BLOCK = 74
};

struct options {
  uint64_t wave = 0, seed = 0, devices = 2, memory = 4096, fail = 0;
};

std::recursive_mutex mutex;
std::map<uintptr_t, size_t> blocks; /* what is allocated: address, bytes */
uint64_t bytes_taken, n_calls, n_handles;
char launch_error[160];

const uint64_t MAX_DEVICES = 8;
char contexts[MAX_DEVICES];
thread_local uint64_t current; /* device */

const options &chosen() {
  static const options o = [] {
    options read;
    const struct {
      const char *name;
      uint64_t *value;
    } known[] = {{"wave=", &read.wave},
                 {"seed=", &read.seed},
                 {"devices=", &read.devices},
                 {"memory=", &read.memory},
                 {"fail=", &read.fail}};
    const char *text = getenv("SIMT");
    for (const char *at = text ? text : ""; *at; at += strcspn(at, ","), at += *at == ',')
      for (const auto &k : known)
        if (strncmp(at, k.name, strlen(k.name)) == 0) *k.value = strtoull(at + strlen(k.name), NULL, 10);
    return read;
  }();
  return o;
}

uint32_t wave_of(uint64_t device) { return chosen().wave ? (uint32_t)chosen().wave : device % 2 ? 32 : 64; }

/* What a stream recorded: a graph, and what is made of it, is such a list. */
typedef std::vector<std::function<int()>> recording;
std::map<void *, recording *> recorders; /* by stream */

/* Does it, or has it recorded; locked. */
int give(void *stream, const std::function<int()> &work) {
  const auto at = recorders.find(stream);
  if (at == recorders.end()) return work();
  at->second->push_back(work);
  return SUCCESS;
}

bool fails() { return ++n_calls == chosen().fail; }

/* Whether [at, at + n) lies within one allocation. */
bool is_allocated(uintptr_t at, size_t n) {
  auto after = blocks.upper_bound(at);
  if (after == blocks.begin()) return false;
  --after;
  return at - after->first <= after->second && n <= after->second - (at - after->first);
}

int take(void **out, size_t n) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails() || bytes_taken + n > chosen().memory << 20) return OUT_OF_MEMORY;
  void *p = NULL;
  if (posix_memalign(&p, 256, n ? n : 1) != 0) return OUT_OF_MEMORY;
  memset(p, 0xff, n); /* NaNs */
  blocks[(uintptr_t)p] = n;
  bytes_taken += n;
  *out = p;
  return SUCCESS;
}

int give_back(void *p) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  const auto found = blocks.find((uintptr_t)p);
  if (!p) return SUCCESS;
  if (found == blocks.end()) return INVALID_VALUE;
  bytes_taken -= found->second;
  blocks.erase(found);
  free(p);
  return SUCCESS;
}

int new_handle(void **out) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails()) return UNKNOWN;
  *out = malloc(1);
  n_handles++;
  return *out ? SUCCESS : OUT_OF_MEMORY;
}
int end_handle(void *p) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (p) n_handles--;
  free(p);
  return SUCCESS;
}

}  // namespace

/* What is still there: for tests. */
EXPORT uint64_t simt_left(void) { return blocks.size() + n_handles; }

EXPORT int hipInit(unsigned) { return fails() ? UNKNOWN : SUCCESS; }
EXPORT int hipDriverGetVersion(int *v) {
  return *v = 50200000, chosen().devices ? SUCCESS : INVALID_DEVICE; /* as HIP's does */
}
EXPORT int hipGetDeviceCount(int *n) { return *n = (int)chosen().devices, fails() ? NO_DEVICE : SUCCESS; }
EXPORT int hipDeviceGet(int *d, int i) { return *d = i, fails() ? UNKNOWN : SUCCESS; }
EXPORT int hipDeviceGetName(char *name, int n, int device) {
  (void)snprintf(name, (size_t)n, "this host as GPU %d, waves of %u", device, wave_of((uint64_t)device));
  return fails() ? UNKNOWN : SUCCESS;
}
EXPORT int hipDeviceTotalMem(size_t *n, int) {
  return *n = chosen().memory << 20, fails() ? UNKNOWN : SUCCESS;
}
EXPORT int hipDeviceGetAttribute(int *v, int which, int) {
  if (fails()) return UNKNOWN;
  switch (which) {
    case ATTRIBUTE_MAJOR:
      return *v = 9, SUCCESS;
    case ATTRIBUTE_MINOR:
      return *v = 0, SUCCESS;
    case ATTRIBUTE_L2_BYTES:
      return *v = 8 << 20, SUCCESS;
    case ATTRIBUTE_PROCESSORS:
      return *v = 4, SUCCESS;
    case ATTRIBUTE_SHARED_PER_BLOCK:
      return *v = 64 << 10, SUCCESS;
    default:
      return INVALID_VALUE;
  }
}
EXPORT int hipDevicePrimaryCtxRetain(void **context, int device) {
  *context = &contexts[device % MAX_DEVICES];
  return fails() ? UNKNOWN : SUCCESS;
}
EXPORT int hipDevicePrimaryCtxRelease(int) { return SUCCESS; }
EXPORT int hipCtxSetCurrent(void *context) {
  current = (uint64_t)((const char *)context - contexts);
  return SUCCESS;
}
EXPORT const char *hipGetErrorName(int e) {
  return e == OUT_OF_MEMORY    ? "hipErrorOutOfMemory"
         : e == LAUNCH_FAILURE ? "hipErrorLaunchFailure"
                               : "hipErrorUnknown";
}
EXPORT const char *hipGetErrorString(int e) {
  return e == LAUNCH_FAILURE && launch_error[0] ? launch_error
         : e == OUT_OF_MEMORY                   ? "out of memory"
                                                : "unknown error";
}

EXPORT int hipMalloc(void **p, size_t n) { return take(p, n); }
EXPORT int hipFree(void *p) { return give_back(p); }
EXPORT int hipHostMalloc(void **p, size_t n, unsigned) { return take(p, n); }
EXPORT int hipHostFree(void *p) { return give_back(p); }
EXPORT int hipHostGetDevicePointer(void **device, void *host, unsigned) {
  return *device = host, fails() ? UNKNOWN : SUCCESS;
}
EXPORT int hipMemGetInfo(size_t *left, size_t *total) {
  *total = chosen().memory << 20;
  *left = *total - bytes_taken;
  return SUCCESS;
}

EXPORT int hipMemcpyHtoDAsync(void *to, void *from, size_t n, void *) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails() || !is_allocated((uintptr_t)to, n)) return INVALID_VALUE;
  return memcpy(to, from, n), SUCCESS;
}
EXPORT int hipMemcpyDtoHAsync(void *to, void *from, size_t n, void *) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails() || !is_allocated((uintptr_t)from, n)) return INVALID_VALUE;
  return memcpy(to, from, n), SUCCESS;
}
EXPORT int hipMemcpyDtoDAsync(void *to, void *from, size_t n, void *stream) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails() || !is_allocated((uintptr_t)to, n) || !is_allocated((uintptr_t)from, n)) return INVALID_VALUE;
  return give(stream, [=] { return memmove(to, from, n), SUCCESS; });
}
EXPORT int hipMemsetD8Async(void *to, unsigned char v, size_t n, void *stream) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails() || !is_allocated((uintptr_t)to, n)) return INVALID_VALUE;
  return give(stream, [=] { return memset(to, v, n), SUCCESS; });
}

EXPORT int hipModuleLoadDataEx(void **module, const void *, unsigned, int *, void **) {
  return new_handle(module);
}
EXPORT int hipModuleUnload(void *module) { return end_handle(module); }
EXPORT int hipModuleGetFunction(void **f, void *, const char *name) {
  const simt::kernel *k = simt::find(name);
  if (fails() || !k) return NOT_FOUND;
  return *f = (void *)k, SUCCESS;
}
EXPORT int hipModuleLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared_bytes, void *stream, void **parameters,
                                 void **) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  const uint64_t seed = chosen().seed + current;
  const uint32_t wave = wave_of(current);
  if (fails() || !parameters) return INVALID_VALUE;
  const simt::kernel *k = (const simt::kernel *)f;
  const char *from = (const char *)parameters[0];
  const std::vector<char> args(from, from + k->arg_bytes);
  return give(stream, [=] {
    const char *error = simt::launch(k, {gx, gy, gz}, {bx, by, bz}, shared_bytes, wave, seed, args.data());
    if (!error) return (int)SUCCESS;
    (void)snprintf(launch_error, sizeof launch_error, "%s: %s", k->name, error);
    return (int)LAUNCH_FAILURE;
  });
}

EXPORT int hipStreamCreateWithFlags(void **s, unsigned) { return new_handle(s); }
EXPORT int hipStreamDestroy(void *s) { return end_handle(s); }
EXPORT int hipStreamSynchronize(void *) { return fails() ? UNKNOWN : SUCCESS; }
EXPORT int hipStreamWaitEvent(void *, void *, unsigned) { return fails() ? UNKNOWN : SUCCESS; }
EXPORT int hipEventCreateWithFlags(void **e, unsigned) { return new_handle(e); }
EXPORT int hipEventDestroy(void *e) { return end_handle(e); }
EXPORT int hipEventRecord(void *, void *) { return fails() ? UNKNOWN : SUCCESS; }
EXPORT int hipEventSynchronize(void *) { return fails() ? UNKNOWN : SUCCESS; }
EXPORT int hipEventElapsedTime(float *ms, void *, void *) { return *ms = 1.0f, SUCCESS; }

EXPORT int hipStreamBeginCapture(void *stream, int) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails() || recorders.count(stream)) return UNKNOWN;
  return recorders[stream] = new recording, SUCCESS;
}
EXPORT int hipStreamEndCapture(void *stream, void **graph) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  const auto at = recorders.find(stream);
  if (at == recorders.end()) return INVALID_HANDLE;
  recording *r = at->second;
  recorders.erase(at);
  if (fails()) return delete r, UNKNOWN;
  n_handles++;
  return *graph = r, SUCCESS;
}
EXPORT int hipGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (fails()) return OUT_OF_MEMORY;
  n_handles++;
  return *exec = new recording(*(const recording *)graph), SUCCESS;
}
EXPORT int hipGraphLaunch(void *exec, void *) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  int result = fails() ? UNKNOWN : SUCCESS;
  for (const auto &work : *(const recording *)exec)
    if (result == SUCCESS) result = work();
  return result;
}
EXPORT int hipGraphDestroy(void *graph) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  n_handles--;
  return delete (recording *)graph, SUCCESS;
}
EXPORT int hipGraphExecDestroy(void *exec) { return hipGraphDestroy(exec); }
