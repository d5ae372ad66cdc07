/* linear_f_ref.c - docs/NUMERICS.md, "linear, float weights", in plain C over the file's rows. */
#include <math.h>
#include <string.h>

#include "backends/cpu/linear_f_kernels.h"

/* Weight k of a row; the file's bytes may have any alignment. */
static float weight(const uint8_t *row, int64_t k) {
  float x;
  memcpy(&x, row + k * 4, sizeof x);
  return x;
}

static float dot(const uint8_t *row, const float *x, int64_t n_k) {
  float y = 0.0f;
  for (int64_t k0 = 0; k0 < n_k; k0 += WH_LINEAR_F_CHUNK) {
    int64_t end = n_k - k0 < WH_LINEAR_F_CHUNK ? n_k : k0 + WH_LINEAR_F_CHUNK;
    float a = 0.0f;
    for (int64_t k = k0; k < end; k++) a = fmaf(x[k], weight(row, k), a);
    y = y + a;
  }
  return y;
}

void wh_k_linear_f_ref(const wh_linear_f_args *a, const wh_worker *worker) {
  const wh_linear_layout *l = a->layout;
  size_t row_bytes = (size_t)l->k * sizeof(float);
  int64_t begin, end;
  wh_worker_range(worker, l->n, &begin, &end);
  for (int64_t n = begin; n < end; n++)
    for (int64_t m = 0; m < a->m; m++) {
      float y = dot((const uint8_t *)a->w + (size_t)n * row_bytes, a->x + m * a->ldx, l->k);
      if (a->bias) y = y + a->bias[n];
      if (a->residual) y = a->residual[m * a->ldr + n] + y;
      a->y[m * a->ldy + n] = y;
    }
}

const wh_linear_f_isa *wh_k_linear_f_steps_ref(void) { return NULL; }
