/* targets.c - see targets.h. */
#include "tests/backend/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/hip/hip_backend.h"
#include "backends/host2/host2_backend.h"

#ifdef WH_EMULATOR
#include "backends/cuda/cuda_backend.h"
#include "tests/cuda/emulator_options.h"
#endif

static const char *counters_path;

void targets_count(const char *path) { counters_path = path; }

static wh_status open_named(const wh_backend *backend, const char *name, const char *isa, uint32_t n_threads,
                            const wh_allocator *allocator, suite_target *out) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.name = name;
  o.isa = isa;
  o.n_threads = n_threads;
  o.allocator = allocator;
  o.binding = WH_BINDING_NONE;
  *out = (suite_target){.label = backend->name, .backend = backend};
  WH_TRY(backend->open(0, &o, &out->dev));
  if (backend == &wh_backend_cpu) wh_cpu_share_all(out->dev); /* cases are small, and are to be run by teams */
  return WH_OK;
}

wh_status target_open(const wh_backend *backend, const char *isa, uint32_t n_threads,
                      const wh_allocator *allocator, suite_target *out) {
  const char *name = strcmp(backend->name, "cuda") == 0 ? "cuda:emulated" : backend->name;
  return open_named(backend, name, isa, n_threads, allocator, out);
}

static void add_named(targets *t, const wh_backend *backend, const char *name, const char *isa,
                      uint32_t n_threads, const char *label) {
  if (t->n == MAX_TARGETS || open_named(backend, name, isa, n_threads, NULL, &t->items[t->n]) != WH_OK) {
    (void)fprintf(stderr, "%s does not open: %s\n", label, wh_last_error()->message);
    abort();
  }
  (void)snprintf(t->labels[t->n], sizeof t->labels[t->n], "%s", label);
  t->items[t->n].label = t->labels[t->n];
  t->n++;
}

static void add(targets *t, const wh_backend *backend, const char *isa, uint32_t n_threads,
                const char *label) {
  add_named(t, backend, backend->name, isa, n_threads, label);
}

void targets_open(targets *t) {
  char levels[96], label[64];
  suite_target probe;
  wh_device_info info = WH_DEVICE_INFO_INIT;
  t->n = 0;
  if (target_open(&wh_backend_cpu, NULL, 1, NULL, &probe) != WH_OK) abort();
  probe.backend->get_info(probe.dev, &info);
  (void)snprintf(levels, sizeof levels, "%s", info.isa_levels);
  probe.backend->close(probe.dev);
  for (char *level = strtok(levels, " "); level; level = strtok(NULL, " ")) {
    (void)snprintf(label, sizeof label, "cpu %s", level);
    add(t, &wh_backend_cpu, level, 2, label);
  }
  add(t, &wh_backend_host2, "seed:1,delay:20", 1, "host2");
#ifdef WH_EMULATOR /* the build has an nvcc */
  emulator_options("seed=3,strict,refuse_approx,memory=512,profile=a100");
  if (counters_path) emulator_options("count");
  add_named(t, &wh_backend_cuda, "cuda:emulated", NULL, 1, "cuda emulated");
  if (getenv("WH_TEST_GPU")) { /* scripts/gpu-check: the machine has one */
    add_named(t, &wh_backend_cuda, "cuda", NULL, 1, "cuda");
  }
#endif
#ifdef WH_SIMT /* the build has a C++ compiler */
  wh_hip_library_path(WH_SIMT);
  add_named(t, &wh_backend_hip, "hip:0", NULL, 1, "hip simt, waves of 64");
  add_named(t, &wh_backend_hip, "hip:1", NULL, 1, "hip simt, waves of 32");
#endif
}

void targets_open_warpgroups(targets *t) {
#ifdef WH_EMULATOR
  /* so few that some products of 33 to 64 rows have blocks for all, and others of quantised weights for a
   * third */
  emulator_options("profile=h100,processors=3");
  add_named(t, &wh_backend_cuda, "cuda:emulated", NULL, 1, WARPGROUP_TARGET);
#else
  (void)t;
#endif
}

unsigned targets_close(targets *t) {
  for (size_t i = 0; i < t->n; i++) t->items[i].backend->close(t->items[i].dev);
#ifdef WH_EMULATOR
  const bool written = !counters_path || emulator_write_counters(counters_path);
  return emulator_take_reports() + !written;
#else
  return 0;
#endif
}
