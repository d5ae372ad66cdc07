/* work.c - what a stream does when its turn comes. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"
#include "backends/cuda/ptxemu/profile.h"
#include "backends/cuda/ptxemu/report.h"

void work_free(work *w) {
  if (!w) return;
  free(w->parameters);
  free(w->staged);
  free(w);
}

static memory_device *device_of(uint64_t at, uint64_t n) {
  for (unsigned d = 0; d < driver.n_devices; d++)
    if (memory_holds(&driver.memory[d], at, n)) return &driver.memory[d];
  return NULL;
}

/* Copies check when they run: what was free then may have been freed since they were asked for. */
static bool check(const work *w, memory_device *d, uint64_t at, uint64_t n, bool writes, const char *what) {
  if (!d) return true;
  const memory_byte state = memory_state(d, at, n);
  if (state == BYTE_OUTSIDE || state == BYTE_FREED) {
    report_add(state == BYTE_FREED ? "use-after-free" : "out-of-bounds", "%s of %llu bytes at 0x%llx, %s",
               what, (unsigned long long)n, (unsigned long long)at,
               state == BYTE_FREED ? "which was freed" : "which no allocation holds whole");
    return false;
  }
  exec_copy_touches(d, at, n, writes, w->id, stream_ordered, what);
  return true;
}

static void copy(const work *w) {
  memory_device *to = device_of(w->to, w->n), *from = w->staged ? NULL : device_of(w->from, w->n);
  if (!check(w, from, w->from, w->n, false, "a copy that reads") ||
      !check(w, to, w->to, w->n, true, "a copy that writes"))
    return;
  const void *source = w->staged ? w->staged : (const void *)(uintptr_t)w->from;
  memmove((void *)(uintptr_t)w->to, source, w->n);
  if (!to) return;
  if (!from) {
    memory_mark_set(to, w->to, w->n);
    return;
  }
  /* bytes that were never written stay so in the copy */
  memmove(to->state + (w->to - (uint64_t)(uintptr_t)to->base),
          from->state + (w->from - (uint64_t)(uintptr_t)from->base), w->n);
}

static void set(const work *w) {
  memory_device *to = device_of(w->to, w->n * w->width);
  if (!to || !check(w, to, w->to, w->n * w->width, true, "a memset")) return;
  unsigned char *p = (unsigned char *)(uintptr_t)w->to;
  for (uint64_t i = 0; i < w->n; i++) memcpy(p + i * w->width, &w->value, w->width);
  memory_mark_set(to, w->to, w->n * w->width);
}

static void launch(const work *w) {
  struct exec_profile profile;
  exec_launch l = {.module = w->function->module->ptx,
                   .kernel = w->function->ptx,
                   .grid = {w->grid[0], w->grid[1], w->grid[2]},
                   .block = {w->block[0], w->block[1], w->block[2]},
                   .dynamic_shared = w->dynamic_shared,
                   .parameters = w->parameters,
                   .devices = driver.memory,
                   .n_devices = driver.n_devices,
                   .op = w->id,
                   .follows = w->follows,
                   .ordered = stream_ordered,
                   .seed = driver.options.seed ? driver.options.seed + w->id : 0,
                   .sample = driver.options.sample,
                   .max_steps = driver.options.max_steps,
                   .truncating_mma = driver.options.truncating_mma,
                   .n_warp_instructions = &driver.n_warp_instructions,
                   .n_lane_instructions = &driver.n_lane_instructions};
  bool fine = true;
  if (driver.options.count) {
    l.profile = &profile;
    fine = profile_begin(&profile, &l);
  }
  fine = fine && exec_run(&l);
  if (l.profile && profile.executed) fine = profile_end(&profile, &l) && fine;
  if (!fine)
    report_add("out-of-memory", "the emulator had not enough memory to run %s", w->function->ptx->name);
}

void work_run(work *w, int device) {
  const unsigned before = report_count();
  switch (w->kind) {
    case WORK_KERNEL:
      launch(w);
      break;
    case WORK_COPY:
      copy(w);
      break;
    case WORK_SET:
      set(w);
      break;
    case WORK_CALL:
      w->call(w->argument);
      break;
  }
  if (report_count() != before) driver.error[device] = CUDA_ERROR_LAUNCH_FAILED;
}
