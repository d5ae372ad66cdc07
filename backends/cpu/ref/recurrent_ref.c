/* ref/recurrent_ref.c - the products of docs/NUMERICS.md, "Recurrent layers", in plain C. */
#include <math.h>

#include "backends/cpu/nn_kernels.h"
#include "backends/cpu/recurrent_run.h"
#include "backends/cpu/whole.h"

#define CHUNK 512 /* of the contract: linear, float weights */

static void product(const float *r, const float *v, int64_t h, int64_t begin, int64_t end, float *out) {
  for (int64_t i = begin; i < end; i++) {
    float y = 0.0f;
    for (int64_t k0 = 0; k0 < h; k0 += CHUNK) {
      float sum = 0.0f;
      for (int64_t k = k0; k < min_i64(k0 + CHUNK, h); k++) sum = fmaf(v[k], r[i * h + k], sum);
      y = y + sum;
    }
    out[i] = y;
  }
}

void wh_k_rnn__ref(const wh_recurrent_args *a, const wh_worker *w) { wh_recurrent_run(a, w, product); }
void wh_k_gru__ref(const wh_recurrent_args *a, const wh_worker *w) { wh_recurrent_run(a, w, product); }
void wh_k_lstm__ref(const wh_recurrent_args *a, const wh_worker *w) { wh_recurrent_run(a, w, product); }
