#include "tests/cuda/emulator.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those before it */
#include <cmocka.h>

emulator cu;
static CUcontext context;

static void find(void *library, const char *name, void *to) {
  void *f = dlsym(library, name);
  if (!f) fail_msg("the emulator has no %s", name);
  memcpy(to, &f, sizeof f);
}

void emulator_open(void) {
  void *so = dlopen(WH_EMULATOR, RTLD_NOW | RTLD_LOCAL);
  if (!so) fail_msg("%s", dlerror());
  const struct {
    const char *name;
    void *to;
  } calls[] = {{"cuInit", &cu.init},
               {"cuDevicePrimaryCtxRetain", &cu.context_retain},
               {"cuDevicePrimaryCtxRelease_v2", &cu.context_release},
               {"cuCtxSetCurrent", &cu.context_set},
               {"cuCtxSynchronize", &cu.synchronize},
               {"cuMemAlloc_v2", &cu.alloc},
               {"cuMemFree_v2", &cu.release},
               {"cuMemHostAlloc", &cu.host_alloc},
               {"cuMemFreeHost", &cu.host_free},
               {"cuMemcpyHtoD_v2", &cu.upload},
               {"cuMemcpyDtoH_v2", &cu.download},
               {"cuMemcpyHtoDAsync_v2", &cu.upload_async},
               {"cuMemcpyDtoHAsync_v2", &cu.download_async},
               {"cuMemsetD32_v2", &cu.set32},
               {"cuModuleLoadData", &cu.module_load},
               {"cuModuleUnload", &cu.module_unload},
               {"cuModuleGetFunction", &cu.module_function},
               {"cuModuleGetGlobal_v2", &cu.module_global},
               {"cuLaunchKernel", &cu.launch},
               {"cuLaunchKernelEx", &cu.launch_config},
               {"cuStreamCreate", &cu.stream_create},
               {"cuStreamDestroy_v2", &cu.stream_destroy},
               {"cuStreamSynchronize", &cu.stream_synchronize},
               {"cuStreamWaitEvent", &cu.stream_wait},
               {"cuEventCreate", &cu.event_create},
               {"cuEventDestroy_v2", &cu.event_destroy},
               {"cuEventRecord", &cu.event_record},
               {"cuDeviceGetCount", &cu.device_count},
               {"cuDeviceGetAttribute", &cu.device_attribute},
               {"ptxemu_set", &cu.set},
               {"ptxemu_report_count", &cu.report_count},
               {"ptxemu_report", &cu.report},
               {"ptxemu_clear", &cu.clear},
               {"ptxemu_calls", &cu.calls},
               {"ptxemu_profile_get", &cu.profile_get},
               {"ptxemu_profile_clear", &cu.profile_clear}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) find(so, calls[i].name, calls[i].to);
  assert_int_equal(cu.set("devices=2,memory=256,quiet,strict"), 0);
  assert_int_equal(cu.init(0), CUDA_SUCCESS);
  assert_int_equal(cu.context_retain(&context, 0), CUDA_SUCCESS);
  assert_int_equal(cu.context_set(context), CUDA_SUCCESS);
}

bool emulator_reported(const char *kind) {
  for (unsigned i = 0; i < cu.report_count() && cu.report(i); i++)
    if (!strncmp(cu.report(i), kind, strlen(kind)) && cu.report(i)[strlen(kind)] == ':') return true;
  for (unsigned i = 0; i < cu.report_count() && cu.report(i); i++) print_message("  %s\n", cu.report(i));
  return false;
}

void emulator_expect_none(void) {
  for (unsigned i = 0; i < cu.report_count() && cu.report(i); i++) print_message("  %s\n", cu.report(i));
  assert_int_equal(cu.report_count(), 0);
}

CUmodule emulator_module(const char *file) {
  char path[1024];
  (void)snprintf(path, sizeof path, "%s/%s", WH_TEST_PTX, file);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *text = calloc(1, 1 << 20);
  assert_non_null(text);
  assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
  (void)fclose(f);
  CUmodule m = NULL;
  assert_int_equal(cu.module_load(&m, text), CUDA_SUCCESS);
  free(text);
  return m;
}

CUfunction emulator_function(CUmodule m, const char *name) {
  CUfunction f = NULL;
  if (cu.module_function(&f, m, name)) fail_msg("no kernel %s", name);
  return f;
}

CUdeviceptr emulator_room(size_t n) {
  CUdeviceptr p = 0;
  assert_int_equal(cu.alloc(&p, n), CUDA_SUCCESS);
  return p;
}

CUdeviceptr emulator_upload(const void *from, size_t n) {
  const CUdeviceptr p = emulator_room(n);
  assert_int_equal(cu.upload(p, from, n), CUDA_SUCCESS);
  return p;
}

void emulator_download(void *p, CUdeviceptr at, size_t n) {
  assert_int_equal(cu.download(p, at, n), CUDA_SUCCESS);
}

CUresult emulator_run(CUfunction f, unsigned blocks, unsigned threads, unsigned shared, void **parameters) {
  const CUresult r = cu.launch(f, blocks, 1, 1, threads, 1, 1, shared, NULL, parameters, NULL);
  return r ? r : cu.synchronize();
}
