/* modules.c - kernels, from the PTX that this library holds; a module is loaded when one of its kernels is
 * first launched. */
#include <string.h>

#include "backends/gpu/device.h"

static const struct {
  const char *name, *module;
} kernels[GPU_N_KERNELS] = {
#define GPU_KERNEL(module, name) {#name, #module},
#include "backends/gpu/kernels_all.def"
#undef GPU_KERNEL
};

static wh_status load_module(const gpu_device *d, gpu_kernel kernel, void **out) {
  char log[512] = "";
  int options[2] = {d->api->jit_log, d->api->jit_log_bytes};
  void *values[2] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  const char *image = d->api->images[kernel];
  char *copy = NULL;
  if (d->follows) {
    const size_t n = strlen(image) + 1;
    copy = wh_alloc_array(d->alloc, n, 1);
    if (!copy) return WH_OOM("a module");
    memcpy(copy, image, n);
    d->api->follow(copy);
  }
  const gpu_result r = d->api->module_load(out, copy ? copy : image, 2, options, values);
  wh_free(d->alloc, copy);
  if (r == GPU_SUCCESS) return WH_OK;
  log[strcspn(log, "\n")] = '\0';
  (void)gpu_check(d->api, r, log[0] ? log : "loading kernels");
  return wh_fail_prefix("module '%s'", kernels[kernel].module);
}

/* Kernels of one module follow each other in the list, or not: the first one's place holds it. */
static wh_status find_module(gpu_device *d, gpu_kernel kernel, void **out) {
  size_t first = 0;
  while (strcmp(kernels[first].module, kernels[kernel].module) != 0) first++;
  if (!d->modules[first]) WH_TRY(load_module(d, kernel, &d->modules[first]));
  *out = d->modules[first];
  return WH_OK;
}

static wh_status prepare(gpu_device *d, gpu_kernel kernel, uint32_t shared_bytes) {
  gpu_function *f = &d->functions[kernel];
  void *module = NULL;
  if (!f->function) {
    WH_TRY(find_module(d, kernel, &module));
    WH_TRY(gpu_check(d->api, d->api->module_function(&f->function, module, kernels[kernel].name),
                     kernels[kernel].name));
  }
  if (shared_bytes > f->shared_bytes) {
    WH_TRY(gpu_check(d->api, d->api->function_set(f->function, GPU_FUNCTION_SHARED_BYTES, (int)shared_bytes),
                     kernels[kernel].name));
    f->shared_bytes = shared_bytes;
  }
  return WH_OK;
}

wh_status gpu_kernel_get(gpu_device *d, gpu_kernel kernel, uint32_t shared_bytes, void **out) {
  if ((unsigned)kernel >= GPU_N_KERNELS) return WH_FAIL(ERR_INTERNAL, "there is no kernel %d", (int)kernel);
  (void)pthread_mutex_lock(&d->lock);
  wh_status st = prepare(d, kernel, shared_bytes);
  *out = d->functions[kernel].function;
  (void)pthread_mutex_unlock(&d->lock);
  return st;
}

void gpu_modules_unload(gpu_device *d) {
  for (size_t i = 0; i < GPU_N_KERNELS; i++)
    if (d->modules[i]) (void)d->api->module_unload(d->modules[i]);
}
