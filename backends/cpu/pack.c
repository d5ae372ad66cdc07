/* pack.c - weights to the layout that core chose among those that claim.c lists, on the device's threads. */
#include "backends/cpu/conv_codes_winograd.h"
#include "backends/cpu/conv_winograd.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/matmul_codes.h"
#include "core/base/finite.h"

typedef struct pack_job {
  const wh_graph *g;
  wh_pack_task *tasks;
  const wh_expert_layout *layouts;
  size_t n_tasks;
} pack_job;

/* Weights used in place are only looked at: row by row. */
static bool rows_finite(const wh_value_info *w, const wh_linear_layout *l, int64_t begin, int64_t end) {
  enum { PIECE = 256 }; /* a multiple of every block */
  const wh_dtype_info *t = wh_dtype_get(l->dtype);
  size_t row_bytes = (size_t)l->k / t->block_elems * t->block_bytes;
  float piece[PIECE];
  for (int64_t r = begin; r < end; r++)
    for (int64_t k = 0; k < l->k; k += PIECE) {
      int64_t n = l->k - k < PIECE ? l->k - k : PIECE;
      const char *src =
          (const char *)w->data + (size_t)r * row_bytes + (size_t)k / t->block_elems * t->block_bytes;
      if (!wh_dequantize_row(l->dtype, src, piece, n)) return true;
      if (!wh_all_finite(piece, (size_t)n)) return false;
    }
  return true;
}

/* The worker's share of the task's part of n items. */
static void share_of_part(const wh_worker *w, const wh_pack_task *t, int64_t n, int64_t *begin,
                          int64_t *end) {
  const int64_t first = n * t->part / t->n_parts, last = n * (t->part + 1) / t->n_parts;
  wh_worker_range(w, last - first, begin, end);
  *begin += first;
  *end += first;
}

/* Of a matmul or a convolution what is not finite is a value like others. */
static bool pack_panels(const wh_expert_layout *l, const void *src, void *dst, int64_t begin, int64_t end) {
  wh_linear_layout rows = l->matrix;
  switch (l->matrix.id) {
    case WH_MATMUL_PANELS:
      wh_matmul_pack(&l->matrix, src, dst, begin, end);
      return true;
    case WH_CODES_PANELS + 2:
    case WH_CODES_PANELS + 4:
      wh_matmul_codes_pack(&l->matrix, src, dst, begin, end);
      return true;
    case WH_CONV_CODES_PANELS:
    case WH_CONV_CODES_PANELS + 1:
    case WH_CONV_CODES_COLUMNS:
    case WH_CONV_CODES_TILES:
      wh_conv_codes_pack(&l->matrix, src, dst, begin, end);
      return true;
    case WH_CONV_CODES_WINOGRAD:
      wh_codes_winograd_pack(&l->matrix, src, dst, begin, end);
      return true;
    case WH_CONV_WINOGRAD_PANELS:
    case WH_CONV_WINOGRAD_WIDE:
      wh_winograd_pack(&l->matrix, src, dst, begin, end);
      return true;
    case WH_CONV_PANELS:
      rows.id = WH_LINEAR_F_WHOLE;
      (void)wh_linear_f_pack(&rows, src, dst, begin, end);
      return true;
    default:
      return wh_expert_linear_pack(l, src, dst, begin, end);
  }
}

static void pack_worker(void *arg, const wh_worker *worker) {
  const pack_job *job = arg;
  for (size_t i = 0; i < job->n_tasks; i++) {
    wh_pack_task *t = &job->tasks[i];
    const wh_expert_layout *l = &job->layouts[i];
    const wh_value_info *weight = &job->g->values[t->weight];
    int64_t begin, end;
    bool finite;
    if (!t->dst) {
      share_of_part(worker, t, l->n_experts * l->matrix.n, &begin, &end);
      finite = rows_finite(weight, &l->matrix, begin, end);
    } else {
      share_of_part(worker, t, l->n_experts * l->matrix.n_panels, &begin, &end);
      finite = pack_panels(l, weight->data, t->dst, begin, end);
    }
    if (!finite) __atomic_store_n(&t->finite, false, __ATOMIC_RELAXED);
  }
}

static wh_status task_layout(const cpu_device *d, const wh_graph *g, const wh_pack_task *t,
                             wh_expert_layout *out) {
  const wh_value_info *w = &g->values[t->weight];
  const wh_node_info *node = &g->nodes[t->node];
  if (wh_cpu_is_matmul(node))
    WH_TRY(wh_cpu_matmul_layout(d, g, node, out));
  else if (wh_cpu_is_conv(node))
    WH_TRY(wh_cpu_conv_layout(d, g, node, out));
  else
    WH_TRY(wh_cpu_weight_layout(d, g, &w->shape, out));
  if (t->layout != out->matrix.id && (t->layout || t->dst))
    return WH_FAIL(ERR_INTERNAL, "weight '%s' has no layout %u", w->name, t->layout);
  return WH_OK;
}

wh_status wh_cpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  cpu_device *d = dev;
  wh_expert_layout *layouts = wh_alloc_array(d->alloc, n_tasks, sizeof *layouts);
  if (!layouts) return WH_OOM("pack layouts");
  wh_status st = WH_OK;
  for (size_t i = 0; i < n_tasks && st == WH_OK; i++) {
    tasks[i].finite = true;
    st = task_layout(d, g, &tasks[i], &layouts[i]);
  }
  if (st == WH_OK) {
    pack_job job = {g, tasks, layouts, n_tasks};
    wh_cpu_lock(d);
    wh_team_run(d->team, pack_worker, &job);
    wh_cpu_unlock(d);
  }
  wh_free(d->alloc, layouts);
  return st;
}
