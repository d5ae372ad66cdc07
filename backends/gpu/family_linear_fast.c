/* family_linear_fast.c - products of many rows in mode `fast`: both operands as bf16, multiplied by the
 * vendor's library (docs/NUMERICS.md, "Mode fast"). */
#include <stdio.h>

#include "backends/gpu/device.h"
#include "backends/gpu/kernels/activations.h"
#include "backends/gpu/kernels/fast_args.h"

#define THREADS 256
#define PIECE 256 /* elements of a row that a warp has */

bool gpu_is_fast(const gpu_device *d, int64_t rows) {
  return d->blas && !atomic_load(&d->blas_failed) && rows >= FAST_LEAST_ROWS;
}
/* Rows of both operands are multiples of 16 bytes, as the library's kernels want them. */
bool gpu_takes_fast(const gpu_device *d, const gpu_weights *w, int64_t rows) {
  return gpu_is_fast(d, rows) && w->dtype != WH_DTYPE_F32 && w->n_experts == 1 && w->k % 8 == 0 &&
         w->n % 4 == 0;
}

/* Scratch is the workspace, the matrix, the rows; gpu_weights_of has seen to it that sizes fit. */
static uint64_t workspace_bytes(const gpu_weights *w, int64_t rows) {
  const uint64_t most = FAST_MOST_WORKSPACE_BYTES, y = (uint64_t)rows * (uint64_t)w->n * 4;
  return y > most / FAST_PARTS ? most : gpu_section(y * FAST_PARTS);
}
static uint64_t matrix_bytes(const gpu_weights *w) {
  return gpu_section((uint64_t)w->n * (uint64_t)w->k * 2);
}
uint64_t gpu_fast_bytes(const gpu_weights *w, int64_t rows) {
  return workspace_bytes(w, rows) + matrix_bytes(w) + gpu_section((uint64_t)rows * (uint64_t)w->k * 2);
}

static gpu_grid grid_of(uint64_t threads) {
  const uint64_t blocks = (threads + THREADS - 1) / THREADS;
  return (gpu_grid){blocks > INT32_MAX ? UINT32_MAX : (uint32_t)blocks, 1, 1, THREADS, 0}; /* refused */
}

static wh_status multiply(gpu_emit *e, const gpu_blas_product *p) {
  gpu_device *d = e->d;
  const wh_status st = d->api->blas->multiply(d->blas, p, e->stream);
  if (st == WH_OK) return WH_OK;
  (void)pthread_mutex_lock(&d->lock);
  if (!atomic_load(&d->blas_failed))
    (void)snprintf(d->about[1], sizeof d->about[1], "%s; exact from now on: %.200s", d->api->library,
                   wh_last_error()->message);
  atomic_store(&d->blas_failed, true);
  (void)pthread_mutex_unlock(&d->lock);
  return st;
}

wh_status gpu_emit_fast(gpu_emit *e, const gpu_step *s, const gpu_weights *w, const gpu_linear_args *a) {
  const gpu_linear_matrix *m = &a->matrices[0];
  const uint64_t workspace = workspace_bytes(w, a->rows), matrix = s->scratch + workspace,
                 rows = matrix + matrix_bytes(w);
  if (s->scratch_bytes < gpu_fast_bytes(w, a->rows)) return WH_FAIL(ERR_INTERNAL, "too little scratch");
  const gpu_fast_weights_args weights = {.form = gpu_packed_form_of(w),
                                         .w = m->w,
                                         .y = matrix,
                                         .n = m->n,
                                         .k = a->k,
                                         .pieces = (a->k + PIECE - 1) / PIECE};
  const gpu_fast_rows_args x = {
      .x = a->x,
      .x_shifts = a->x_shifts,
      .x_low = a->x_low,
      .x_scales = a->x_scales,
      .y = rows,
      .rows = a->rows,
      .k = a->k,
      .padded = (uint32_t)(w->quant ? gpu_q8a_of(1, a->k).padded : gpu_q13a_of(1, a->k).padded)};
  WH_TRY(gpu_launch(e, GPU_K_fast_weights, grid_of((uint64_t)m->n * weights.pieces * 32), &weights,
                    sizeof weights));
  WH_TRY(gpu_launch(e, GPU_K_fast_rows, grid_of((uint64_t)a->rows * (a->k / 8)), &x, sizeof x));
  const gpu_blas_product p = {.x = rows,
                              .w = matrix,
                              .y = m->y,
                              .bias = m->bias,
                              .residual = m->residual,
                              .rows = a->rows,
                              .n = m->n,
                              .k = a->k,
                              .workspace = s->scratch,
                              .workspace_bytes = workspace};
  return multiply(e, &p);
}
