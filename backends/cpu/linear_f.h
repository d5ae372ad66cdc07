/* linear_f.h - products of fp32 activations with F32 weights: packing and kernels.
 * Arithmetic: docs/NUMERICS.md, "linear, float weights". */
#ifndef WH_CPU_LINEAR_F_H
#define WH_CPU_LINEAR_F_H

#include "backends/cpu/linear_q.h"

WH_NODISCARD wh_status wh_linear_f_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k,
                                          wh_linear_layout *out);
/* As wh_linear_q_pack; false when a weight is not finite. */
bool wh_linear_f_pack(const wh_linear_layout *layout, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end);

/* As wh_linear_q_unpack_row. */
void wh_linear_f_unpack_row(const wh_linear_layout *layout, const void *packed, int64_t row, float *y);

/* What tiles do with sums in registers. */
typedef struct wh_product_ops {
  const struct wh_chain_op *ops;
  size_t n_ops;       /* 0: nothing */
  int64_t row, col;   /* what the first row and column of the sums are to the ops */
  const float *reads; /* an operand's row and column 0, where it has one for each sum: asked for ahead */
  int64_t ld_reads;
} wh_product_ops;

/* What becomes of finished sums while they are at hand (product_end.h). */
typedef struct wh_product_end {
  /* Sums [rows][ld] of columns [col, col + cols) of rows [row, row + rows) of the whole product; the results
   * may go where they are. */
  void (*run)(void *of, const float *sums, int64_t ld, int64_t row, int64_t rows, int64_t col, int64_t cols);
  /* For tiles that have these rows' sums in registers; false: there are no ops that do all. */
  bool (*find_ops)(void *of, int64_t row, int64_t rows, struct wh_product_ops *out);
  void *of;
  int64_t row, col; /* where what is computed lies within the whole */
} wh_product_end;

static inline void wh_product_end_run(const wh_product_end *e, const float *sums, int64_t ld, int64_t row,
                                      int64_t rows, int64_t col, int64_t cols) {
  if (rows > 0 && cols > 0) e->run(e->of, sums, ld, e->row + row, rows, e->col + col, cols);
}

typedef struct wh_linear_f_args {
  const wh_linear_layout *layout;
  const void *w;
  const float *x; /* [m][ldx] */
  int64_t ldx, m;
  float *y;
  int64_t ldy;
  const float *bias, *residual; /* as in wh_linear_q_args */
  int64_t ldr;
  uint64_t features;         /* of which it looks at WH_CPU_MANY_WAYS */
  const wh_product_end *end; /* or NULL; of few rows the sums are in y. No bias and residual with it */
  uint32_t step;
  void *scratch; /* wh_linear_f_scratch_bytes per worker, 64-byte aligned, worker i at i * that */
  size_t scratch_bytes;
} wh_linear_f_args;

typedef void (*wh_linear_f_fn)(const wh_linear_f_args *args, const wh_worker *worker);
wh_linear_f_fn wh_linear_f_select(uint64_t features, wh_dtype dtype, const char **name);
/* Scratch of one worker for products of this layout; a multiple of 64. */
size_t wh_linear_f_scratch_bytes(uint64_t features, const wh_linear_layout *layout, int64_t m_max);

#endif
