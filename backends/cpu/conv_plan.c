/* conv_plan.c - see conv_plan.h. */
#include "backends/cpu/conv_plan.h"

#include <string.h>

#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* A task's places: with the taps of a chunk they stay in a second-level cache. */
#define TASK_PLACES 256
#define TASK_ROWS 96
#define TASKS_PER_WORKER 4

/* The distinct phases of an axis' taps; false: too many. */
static bool find_phases(const wh_window *w, int axis, wh_conv_plan *p) {
  int64_t n = 0;
  for (int64_t k = 0; k < w->kernel[axis]; k++) {
    const int64_t phase = k * w->dilation[axis] % w->stride[axis];
    int64_t i = 0;
    while (i < n && p->phase_at[axis][i] != phase) i++;
    if (i < n) {
      if (i == 0) break; /* they repeat */
      continue;
    }
    if (n == WH_CONV_PHASES) return false;
    p->phase_at[axis][n++] = phase;
  }
  p->phases[axis] = n;
  return true;
}

/* Fewer places, then fewer rows, until every worker has some tasks. */
static void cut_tasks(int64_t m, int64_t want, wh_conv_plan *p) {
  p->task_rows = min_i64(m, TASK_ROWS);
  p->task_places = TASK_PLACES;
  for (;;) {
    p->row_tasks = ceil_div(m, p->task_rows);
    p->place_tasks = ceil_div(p->places, p->task_places);
    if (p->row_tasks * p->place_tasks >= want) return;
    if (p->task_places > WH_CONV_LANES && p->places > WH_CONV_LANES)
      p->task_places /= 2;
    else if (p->task_rows > 12)
      p->task_rows = ceil_div(p->task_rows, 2);
    else
      return;
  }
}

static bool plan_bytes(int64_t c, int64_t kernel_volume, wh_conv_plan *p) {
  size_t copy = 0, taps, sums;
  const int64_t lanes = ceil_div(p->task_places, WH_CONV_LANES) * WH_CONV_LANES + WH_CONV_LANES;
  if (p->copies) {
    if (!wh_mul_size((size_t)c, (size_t)p->channel, &copy) || !wh_add_size(copy, WH_CONV_LANES, &copy))
      return false;
  } else {
    copy = (size_t)p->channel + 2 * WH_CONV_LANES; /* the last channels */
  }
  if (!wh_mul_size(copy, sizeof(float), &copy) || !wh_align_size(copy, 64, &copy)) return false;
  if (!wh_mul_size((size_t)c, (size_t)kernel_volume, &taps) || !wh_mul_size(taps, sizeof(float *), &taps) ||
      !wh_align_size(taps, 64, &taps))
    return false;
  sums = (size_t)(p->task_rows * lanes) * sizeof(float);
  p->tap_bytes = taps;
  p->sum_bytes = sums;
  p->shared_bytes = p->copies && !p->alone ? copy : 0;
  return wh_add_size(taps, sums, &p->worker_bytes) &&
         (p->shared_bytes || wh_add_size(p->worker_bytes, copy, &p->worker_bytes));
}

bool wh_conv_make_plan(const wh_window *w, int64_t n, int64_t group, int64_t c, int64_t m, int workers,
                       wh_conv_plan *p) {
  memset(p, 0, sizeof *p);
  p->fits = true;
  p->n_k = c * wh_window_volume(w->kernel);
  p->n_phases = 1;
  p->channel = 1;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    if (!find_phases(w, i, p)) {
      p->fits = false;
      return true;
    }
    const int64_t reach = (w->kernel[i] - 1) * w->dilation[i];
    p->size[i] = w->out[i] + reach / w->stride[i];
    p->n_phases *= p->phases[i];
    p->copies |= w->stride[i] != 1 || w->pad[i] || p->size[i] != w->in[i];
  }
  p->channel = p->n_phases;
  for (int i = 0; i < WH_WINDOW_AXES; i++)
    if (__builtin_mul_overflow(p->channel, p->size[i], &p->channel)) return false;
  p->places =
      wh_window_volume(w->out) ? ((w->out[0] - 1) * p->size[1] + w->out[1] - 1) * p->size[2] + w->out[2] : 0;
  p->alone = workers == 1 || n * group >= 2 * (int64_t)workers;
  cut_tasks(m, p->alone ? 1 : (int64_t)workers * TASKS_PER_WORKER, p);
  return plan_bytes(c, wh_window_volume(w->kernel), p);
}
