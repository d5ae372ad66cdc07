/* linear_h_ref.c - docs/NUMERICS.md, "linear, 16-bit weights", in plain C over the file's rows: each block of
 * 128 weights is quantised once for all rows of the call. */
#include <math.h>
#include <string.h>

#include "backends/cpu/linear_h_format.h"
#include "core/base/quantize_wide.h"

/* The file's bytes may have any alignment. */
static float weight(wh_dtype dtype, const uint8_t *row, int64_t k) {
  uint16_t half;
  memcpy(&half, row + k * 2, sizeof half);
  return dtype == WH_DTYPE_F16 ? wh_f32_from_f16(half) : wh_f32_from_bf16(half);
}

static void panel_ref(const wh_linear_h_panel *p) {
  for (int64_t c = 0; c < p->n_cols; c++) {
    const uint8_t *row = p->w + (size_t)(c * p->k) * 2;
    float y[WH_Q13A_TILE] = {0.0f};
    for (int64_t k = 0, b = 0; k < p->k; k += WH_Q13A_BLOCK, b++) {
      const int64_t n = p->k - k < WH_Q13A_BLOCK ? p->k - k : WH_Q13A_BLOCK;
      float w[WH_Q13A_BLOCK], w_scale;
      int16_t w_q[WH_Q13A_BLOCK];
      for (int64_t i = 0; i < n; i++) w[i] = weight(p->dtype, row, k + i);
      (void)wh_q13a_quantize_block(w, n, w_q, &w_scale);
      for (int64_t r = 0; r < p->n_rows; r++) {
        const int64_t at = b * p->x->rows + p->row + r;
        const int16_t *x_q = p->x->q + at * WH_Q13A_BLOCK;
        int32_t dot = 0;
        for (int64_t i = 0; i < n; i++) dot += (int32_t)w_q[i] * x_q[i];
        y[r] = fmaf(w_scale * p->x->scale[at], (float)dot, y[r]);
      }
    }
    for (int64_t r = 0; r < p->n_rows; r++) {
      const float v = p->bias ? y[r] + p->bias[c] : y[r];
      p->y[r * p->ldy + c] = p->residual ? p->residual[r * p->ldr + c] + v : v;
    }
  }
}

void wh_k_linear_h__ref(const wh_linear_q_args *args, const wh_worker *worker) {
  wh_linear_h_run(args, worker, panel_ref, 1);
}
