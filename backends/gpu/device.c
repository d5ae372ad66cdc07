/* device.c - opening a GPU, and what is said of it. */
#include <stdio.h>
#include <string.h>

#include "backends/gpu/device.h"
#include "backends/gpu/kernels/fast_args.h"
#include "core/base/cpu_budget.h"

wh_status gpu_check(const gpu_api *api, gpu_result result, const char *what) {
  const char *text = NULL, *name = NULL;
  if (result == GPU_SUCCESS) return WH_OK;
  (void)api->error_text(result, &text);
  (void)api->error_name(result, &name);
  if (!text) text = "an error that the driver has no words for";
  if (!name) name = "unknown";
  if (result == GPU_OUT_OF_MEMORY)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "%s: %s: %s (%s)", api->name, what, text, name);
  return WH_FAIL(ERR_DEVICE, "%s: %s: %s (%s)", api->name, what, text, name);
}

wh_status gpu_enter(const gpu_device *d) {
  return gpu_check(d->api, d->api->context_set(d->context), "making the device current");
}

/* Of the calls before a device is known: without one, some drivers already fail at the first of them. */
static wh_status check_start(const gpu_api *api, gpu_result result, const char *what) {
  if (result == GPU_NO_DEVICE || result == GPU_INVALID_DEVICE)
    return WH_FAIL(ERR_UNAVAILABLE, "%s: the driver (%s) finds no GPU, or none that this user may open",
                   api->name, api->library);
  return gpu_check(api, result, what);
}

/* The driver, started; its version is one that reads the kernels. */
static wh_status start(const gpu_api *api, int *version) {
  WH_TRY(check_start(api, api->driver_version(version), "asking for the driver's version"));
  if (*version < api->driver_wanted)
    return WH_FAIL(ERR_UNAVAILABLE,
                   "%s: the driver (%s) is of version %d.%d and the kernels need %d.%d: update the driver",
                   api->name, api->library, *version / 1000, *version % 1000 / 10, api->driver_wanted / 1000,
                   api->driver_wanted % 1000 / 10);
  return check_start(api, api->init(0), "starting the driver");
}

wh_status gpu_count(const gpu_api *api, uint32_t *out) {
  int version = 0, n = 0;
  WH_TRY(start(api, &version));
  WH_TRY(check_start(api, api->device_count(&n), "counting devices"));
  *out = n > 0 ? (uint32_t)n : 0;
  return WH_OK;
}

static wh_status attribute(const gpu_device *d, gpu_attribute which, int *out) {
  return gpu_check(d->api, d->api->device_attribute(out, d->api->attributes[which], d->device),
                   "asking for a device's limits");
}

static wh_status read_limits(gpu_device *d) {
  int major = 0, minor = 0, shared = 0, l2 = 0;
  size_t memory = 0;
  WH_TRY(gpu_check(d->api, d->api->device_name(d->title, (int)sizeof d->title, d->device),
                   "asking for a device's name"));
  WH_TRY(gpu_check(d->api, d->api->device_memory(&memory, d->device), "asking for a device's memory"));
  WH_TRY(attribute(d, GPU_ATTRIBUTE_CAPABILITY_MAJOR, &major));
  WH_TRY(attribute(d, GPU_ATTRIBUTE_CAPABILITY_MINOR, &minor));
  WH_TRY(attribute(d, GPU_ATTRIBUTE_PROCESSORS, &d->processors));
  WH_TRY(attribute(d, GPU_ATTRIBUTE_SHARED_PER_BLOCK, &shared));
  if (attribute(d, GPU_ATTRIBUTE_L2_BYTES, &l2) != WH_OK) l2 = 0; /* only reported */
  if (major < d->api->least_major)
    return WH_FAIL(ERR_UNAVAILABLE, "%s: %s has compute capability %d.%d; the kernels need %d.0",
                   d->api->name, d->title, major, minor, d->api->least_major);
  if (d->api->device_bus && d->api->device_bus(d->bus, (int)sizeof d->bus, d->device) != GPU_SUCCESS)
    d->bus[0] = '\0';
  d->memory_bytes = memory;
  d->shared_per_block = shared > 0 ? (uint32_t)shared : 0;
  d->l2_bytes = l2 > 0 ? (uint64_t)l2 : 0;
  (void)snprintf(d->isa, sizeof d->isa, "sm_%d%d", major, minor);
  d->warpgroups = d->api->warpgroup_isa && strcmp(d->isa, d->api->warpgroup_isa) == 0;
  d->follows =
      !d->no_graphs && d->api->launch_config && d->api->follow_major && major >= d->api->follow_major;
  (void)snprintf(d->reason, sizeof d->reason, "PTX for sm_%d0 on %s", d->api->least_major, d->isa);
  return WH_OK;
}

/* As many threads as the processor's device would have. */
static wh_status create_team(gpu_device *d, uint32_t n_threads) {
  wh_cpu_budget budget;
  if (n_threads > WH_TEAM_MAX_THREADS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%u threads: must be 1 to %d", n_threads, WH_TEAM_MAX_THREADS);
  if (n_threads == 0) {
    WH_TRY(wh_cpu_budget_read(d->alloc, &budget));
    const int n = wh_cpu_budget_threads(&budget);
    wh_cpu_budget_deinit(&budget);
    n_threads = n < WH_TEAM_MAX_THREADS ? (uint32_t)n : WH_TEAM_MAX_THREADS;
  }
  return wh_team_create((int)n_threads, NULL, d->alloc, &d->team);
}

static wh_status init_device(gpu_device *d, uint32_t index, uint32_t n_threads) {
  uint32_t n = 0;
  WH_TRY(create_team(d, n_threads));
  WH_TRY(gpu_count(d->api, &n));
  (void)d->api->driver_version(&d->driver);
  if (index >= n)
    return WH_FAIL(ERR_UNAVAILABLE, "%s: there is no device %u; the driver (%s) has %u", d->api->name, index,
                   d->api->library, n);
  WH_TRY(gpu_check(d->api, d->api->device_get(&d->device, (int)index), "asking for a device"));
  WH_TRY(read_limits(d));
  gpu_ops_collect(d->ops);
  WH_TRY(gpu_check(d->api, d->api->context_retain(&d->context, d->device), "opening a device"));
  WH_TRY(gpu_enter(d));
  return gpu_check(d->api, d->api->stream_create(&d->stream, GPU_STREAM_NON_BLOCKING), "making a stream");
}

/* Without the library, products are exact, and `devices` says so. */
static void open_blas(gpu_device *d) {
  const wh_error_record kept = *wh_last_error();
  const char *name = NULL;
  if (d->api->blas->open(&d->blas, &name) == WH_OK)
    (void)snprintf(d->about[0], sizeof d->about[0], "%s; products of %d rows and more by %s", d->api->library,
                   FAST_LEAST_ROWS, name);
  else
    (void)snprintf(d->about[0], sizeof d->about[0], "%s; exact all the same: %.200s", d->api->library,
                   wh_last_error()->message);
  wh_error_set(&kept);
}

wh_status gpu_open(const gpu_api *api, uint32_t index, const wh_device_options *o, void **out) {
  if (o->numerics != WH_NUMERICS_EXACT && !(o->numerics == WH_NUMERICS_FAST && api->blas))
    return WH_FAIL(ERR_UNSUPPORTED, "%s: there are exact numerics only", api->name);
  if (o->isa && strcmp(o->isa, "auto") != 0)
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "%s: instruction-set levels are the processor's; a GPU has none to choose ('%.32s')",
                   api->name, o->isa);
  gpu_device *d = wh_alloc_zeroed(o->allocator, sizeof *d);
  if (!d) return WH_OOM("gpu device");
  d->api = api;
  d->alloc = o->allocator;
  d->no_graphs = o->gpu_graphs == WH_GPU_GRAPHS_OFF;
  (void)pthread_mutex_init(&d->lock, NULL);
  wh_status st = init_device(d, index, o->n_threads);
  if (st != WH_OK) {
    gpu_close(d);
    return st;
  }
  if (o->numerics == WH_NUMERICS_FAST) open_blas(d);
  *out = d;
  return WH_OK;
}

/* Errors are of work that nobody waited for: there is nobody left to hear of them. */
void gpu_close(void *dev) {
  gpu_device *d = dev;
  if (!d) return;
  const wh_error_record kept = *wh_last_error(); /* of the call that failed, when that is why it closes */
  if (d->context) {
    (void)gpu_enter(d); /* it is the thread's already, most of the time */
    if (d->stream) (void)d->api->stream_destroy(d->stream);
    if (d->blas) d->api->blas->close(d->blas);
    gpu_modules_unload(d);
    (void)d->api->context_release(d->device);
  }
  wh_team_destroy(d->team);
  (void)pthread_mutex_destroy(&d->lock);
  wh_free(d->alloc, d);
  wh_error_set(&kept);
}

void gpu_get_info(void *dev, wh_device_info *info) {
  const gpu_device *d = dev;
  const bool failed = atomic_load(&d->blas_failed);
  info->n_threads = 1;
  info->name = d->api->name;
  info->description = d->title;
  info->isa = info->isa_levels = d->isa;
  info->n_cores = info->n_cpus = (uint32_t)d->processors;
  info->n_numa_nodes = 1;
  info->numerics = d->blas && !failed ? WH_NUMERICS_FAST : WH_NUMERICS_EXACT;
  info->l2_bytes = d->l2_bytes;
  info->memory_bytes = d->memory_bytes;
  info->bus_id = d->bus[0] ? d->bus : NULL;
  info->binding = "none";
  info->binding_reason = d->about[failed][0] ? d->about[failed] : d->api->library;
  info->prefetch = "none";
  info->prefetch_reason = "a GPU hides latency by other warps";
}

/* ---- work of the host ---- */

void gpu_parallel(void *dev, wh_parallel_fn fn, void *arg) {
  wh_team_run_parts(((gpu_device *)dev)->team, fn, arg);
}
