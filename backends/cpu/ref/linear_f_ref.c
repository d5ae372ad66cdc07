/* linear_f_ref.c - docs/NUMERICS.md, "linear, float weights", in plain C over the file's rows. */
#include <math.h>
#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "core/base/exact_math.h"

/* Weight k of a row; the file's bytes may have any alignment. */
static float weight(wh_dtype dtype, const uint8_t *row, int64_t k) {
  uint16_t half;
  float x;
  if (dtype == WH_DTYPE_F32) {
    memcpy(&x, row + k * 4, sizeof x);
    return x;
  }
  memcpy(&half, row + k * 2, sizeof half);
  return dtype == WH_DTYPE_F16 ? wh_f32_from_f16(half) : wh_f32_from_bf16(half);
}

static float dot(wh_dtype dtype, const uint8_t *row, const float *x, int64_t n_k) {
  float y = 0.0f;
  for (int64_t k0 = 0; k0 < n_k; k0 += WH_LINEAR_F_CHUNK) {
    int64_t end = n_k - k0 < WH_LINEAR_F_CHUNK ? n_k : k0 + WH_LINEAR_F_CHUNK;
    float a = 0.0f;
    for (int64_t k = k0; k < end; k++) a = fmaf(x[k], weight(dtype, row, k), a);
    y = y + a;
  }
  return y;
}

void wh_k_linear_f_ref(const wh_linear_f_args *a, const wh_worker *worker) {
  const wh_linear_layout *l = a->layout;
  size_t row_bytes = (size_t)l->k * (l->dtype == WH_DTYPE_F32 ? 4 : 2);
  int64_t begin, end;
  wh_worker_range(worker, l->n, &begin, &end);
  for (int64_t n = begin; n < end; n++)
    for (int64_t m = 0; m < a->m; m++) {
      float y = dot(l->dtype, (const uint8_t *)a->w + (size_t)n * row_bytes, a->x + m * a->ldx, l->k);
      if (a->bias) y = y + a->bias[n];
      if (a->residual) y = a->residual[m * a->ldr + n] + y;
      a->y[m * a->ldy + n] = y;
    }
}
