/* device.c - the CPU device: its features, its threads, and who may use them. */
#include <stdio.h>
#include <string.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/prefetch.h"

uint32_t wh_cpu_count(void) { return 1; }

void wh_cpu_close(void *dev) {
  cpu_device *d = dev;
  if (!d) return;
  wh_team_destroy(d->team);
  wh_thread_binding_deinit(&d->threads);
  wh_fast_blas_close(&d->blas);
  wh_topology_deinit(&d->topology);
  wh_cpu_budget_deinit(&d->budget);
  wh_turn_deinit(&d->turn);
  wh_free(d->alloc, d);
}

/* On most machines there is nothing to decide, and hwloc, which takes milliseconds, is not asked. */
static wh_status create_team(cpu_device *d, int n_threads, wh_binding wanted) {
  static const wh_topology unknown = {0};
  bool ask = wanted == WH_BINDING_AUTO ? d->budget.n_nodes > 1 && n_threads > 1 : wanted != WH_BINDING_NONE;
  WH_TRY(wh_thread_binding_plan(ask ? wh_cpu_topology(d) : &unknown, n_threads,
                                ask ? wanted : WH_BINDING_NONE, d->alloc, &d->threads));
  if (!ask && wanted == WH_BINDING_AUTO) d->threads.reason = n_threads > 1 ? "one memory node" : "one thread";
  return wh_team_create_bound(&d->threads, d->alloc, &d->team);
}

static const char *prefetch_name(const cpu_device *d) {
  static const char *const names[] = {"temporal", "non-temporal", "none", "temporal"};
  return names[d->fetch];
}

/* The reference kernels leave it to the processor. */
static void choose_prefetch(cpu_device *d, wh_prefetch wanted) {
  const wh_cpu_make make = wh_cpu_make_detect();
  d->fetch = wh_cpu_fetch_of(&make, &d->fetch_why);
  if (wanted != WH_PREFETCH_AUTO) {
    d->fetch = wanted == WH_PREFETCH_NONTEMPORAL ? WH_CPU_FETCH_PAST_CACHES : WH_CPU_FETCH;
    d->fetch_why = "as asked for";
  }
  (void)snprintf(d->product_reason, sizeof d->product_reason, "%s; few rows with %s prefetch (%s)", d->reason,
                 d->fetch == WH_CPU_FETCH_NOT ? "no" : prefetch_name(d), d->fetch_why);
  if (d->features == 0) (void)snprintf(d->product_reason, sizeof d->product_reason, "%s", d->reason);
}

/* The system is asked for tiles when the level that is wanted has them; why there are none is said in any
 * case. */
static wh_status choose_level(cpu_device *d, const char *isa) {
  uint64_t wanted;
  d->available = wh_cpu_features_detect();
  const bool detected = d->available & WH_CPU_AMX;
  if (!detected || (wh_cpu_level_mask(isa, d->available, &wanted) == WH_OK && wanted & WH_CPU_AMX))
    d->no_tiles = wh_cpu_tiles_ask();
  if (d->no_tiles) d->available &= ~(uint64_t)WH_CPU_AMX;
  const wh_status st = wh_cpu_level_mask(isa, d->available, &d->features);
  if (st == WH_ERR_UNAVAILABLE && d->no_tiles && strcmp(isa, "amxint8") == 0)
    return WH_FAIL(ERR_UNAVAILABLE, "instruction set level 'amxint8': %s", d->no_tiles);
  return st;
}

static wh_status init_device(cpu_device *d, const wh_device_options *o) {
  WH_TRY(choose_level(d, o->isa));
  WH_TRY(wh_cpu_budget_read(d->alloc, &d->budget));
  int n = o->n_threads ? (int)o->n_threads : wh_cpu_budget_threads(&d->budget);
  if (!o->n_threads && n > WH_TEAM_MAX_THREADS) n = WH_TEAM_MAX_THREADS;
  if (o->n_threads > WH_TEAM_MAX_THREADS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%u threads: must be 1 to %d", o->n_threads, WH_TEAM_MAX_THREADS);
  WH_TRY(create_team(d, n, (wh_binding)o->binding));
  wh_rowops_select(d->features, &d->rowops);
  wh_nn_select(d->features, &d->nn);
  if (d->numerics == WH_NUMERICS_FAST) wh_fast_blas_open(&d->blas);
  (void)snprintf(d->reason, sizeof d->reason, "highest level in use is %s", wh_cpu_level_name(d->features));
  choose_prefetch(d, (wh_prefetch)o->prefetch);
  size_t at = 0;
  for (int i = 0; wh_cpu_level_at(i); i++) {
    uint64_t mask;
    if (wh_cpu_level_mask(wh_cpu_level_at(i), d->available, &mask) != WH_OK) continue;
    int w = snprintf(d->levels + at, sizeof d->levels - at, "%s%s", at ? " " : "", wh_cpu_level_at(i));
    if (w > 0 && (size_t)w < sizeof d->levels - at) at += (size_t)w;
  }
  return WH_OK;
}

wh_status wh_cpu_open(uint32_t index, const wh_device_options *o, void **out) {
  if (index != 0)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "there is no cpu device %u: 0 is all processors", index);
  if (o->numerics != WH_NUMERICS_EXACT && o->numerics != WH_NUMERICS_FAST)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "unknown numerics mode %u", o->numerics);
  if (o->binding > WH_BINDING_CORES) return WH_FAIL(ERR_INVALID_ARGUMENT, "unknown binding %u", o->binding);
  if (o->prefetch > WH_PREFETCH_NONTEMPORAL)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "unknown kind of prefetch %u", o->prefetch);
  cpu_device *d = wh_alloc_zeroed(o->allocator, sizeof *d);
  if (!d) return WH_OOM("cpu device");
  d->alloc = o->allocator;
  d->numerics = (wh_numerics)o->numerics;
  wh_turn_init(&d->turn);
  wh_status st = init_device(d, o);
  if (st != WH_OK) {
    wh_cpu_close(d);
    return st;
  }
  *out = d;
  return WH_OK;
}

void wh_cpu_lock(cpu_device *d) { wh_turn_begin(&d->turn); }
void wh_cpu_unlock(cpu_device *d) { wh_turn_end(&d->turn); }

const wh_topology *wh_cpu_topology(cpu_device *d) {
  if (!d->has_topology) {
    if (wh_topology_init(&d->topology, d->alloc) != WH_OK)
      d->topology =
          (wh_topology){.alloc = d->alloc, .n_cpus = d->budget.n_cpus, .n_cores = d->budget.n_cores};
    d->has_topology = true;
  }
  return &d->topology;
}

void wh_cpu_get_info(void *dev, wh_device_info *info) {
  cpu_device *d = dev;
  wh_cpu_lock(d);
  const wh_topology *t = wh_cpu_topology(d);
  wh_cpu_unlock(d); /* from here on it stays as it is */
  info->n_threads = (uint32_t)wh_team_size(d->team);
  info->name = wh_backend_cpu.name;
  info->description = t->model_name ? t->model_name : "unknown";
  info->isa = wh_cpu_level_name(d->features);
  info->isa_levels = d->levels;
#if defined(__x86_64__)
  info->no_amx_reason = d->no_tiles;
#endif
  info->n_cores = (uint32_t)t->n_cores;
  info->n_cpus = (uint32_t)t->n_cpus;
  info->n_numa_nodes = (uint32_t)t->n_numa_nodes;
  info->numerics = (uint32_t)d->numerics;
  info->cpu_quota = t->quota;
  info->l1d_bytes = t->l1d_bytes;
  info->l2_bytes = t->l2_bytes;
  info->l3_bytes = t->l3_bytes;
  info->memory_bytes = t->memory_bytes;
  info->binding = d->threads.mode == WH_BINDING_NODES   ? "nodes"
                  : d->threads.mode == WH_BINDING_CORES ? "cores"
                                                        : "none";
  info->binding_reason = d->threads.reason;
  info->prefetch = d->features ? prefetch_name(d) : "none";
  info->prefetch_reason = d->features ? d->fetch_why : "reference kernels";
}

wh_status wh_cpu_measure_locked(void *dev, double seconds, wh_device_roofline *out) {
  wh_cpu_lock(dev);
  wh_status st = wh_cpu_measure(dev, seconds, out);
  wh_cpu_unlock(dev);
  return st;
}

void wh_cpu_parallel(void *dev, wh_parallel_fn fn, void *arg) {
  cpu_device *d = dev;
  wh_cpu_lock(d);
  wh_team_run_parts(d->team, fn, arg);
  wh_cpu_unlock(d);
}
