/* ref/rowops_ref.c - docs/NUMERICS.md in plain C: norms, rotary embedding, activations, gathers, elementwise
 * ops. The shipped fallback and what every other kernel is checked against. Kernels are pure and allocate
 * nothing. */
#include <string.h>

#include "backends/cpu/ref/rowops_sum_ref.h"
#include "backends/cpu/rowops_kernels.h"

void wh_k_rms_norm__ref(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, r = wh_ref_rms_factor(x, a->n, a->eps);
    for (int64_t j = 0; j < a->n; j++) y[j] = a->w ? (x[j] * r) * a->w[j] : x[j] * r;
  }
}

void wh_k_layer_norm__ref(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, mean = wh_ref_sum64(x, a->n) / (float)a->n;
    const float root = sqrtf(wh_ref_sum64_deviations(x, a->n, mean) / (float)a->n + a->eps);
    for (int64_t j = 0; j < a->n; j++) {
      float v = (x[j] - mean) / root;
      if (a->w) v = v * a->w[j];
      y[j] = a->b ? v + a->b[j] : v;
    }
  }
}

void wh_k_rope_table__ref(const wh_rope_table_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *cosines = a->y + i * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *inv_freq = a->inv_freq + i * a->ld_inv_freq;
    for (int64_t j = 0; j < a->n_freq; j++) {
      float s, c;
      wh_sincos_f32((float)a->positions[i] * inv_freq[j], &s, &c);
      cosines[j] = c * a->mscale;
      sines[j] = s * a->mscale;
    }
  }
}

void wh_k_rope__ref(const wh_rope_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows * a->heads, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t row = i / a->heads, head = i % a->heads;
    const float *cosines = a->table + row * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *x = a->x + row * a->ldx + head * a->head_dim;
    float *y = a->y + row * a->ldy + head * a->head_dim;
    for (int64_t j = 0; j < a->n_freq; j++) {
      int64_t p0 = a->neox ? j : 2 * j, p1 = a->neox ? j + a->n_freq : 2 * j + 1;
      float x0 = x[p0], x1 = x[p1], c = cosines[j], s = sines[j];
      y[p0] = fmaf(x0, c, -(x1 * s));
      y[p1] = fmaf(x0, s, x1 * c);
    }
    for (int64_t j = 2 * a->n_freq; j < a->head_dim; j++) y[j] = x[j];
  }
}

#define REF_GATED(op, activation)                                        \
  void wh_k_##op##__ref(const wh_gated_args *a, const wh_worker *w) {    \
    int64_t begin, end;                                                  \
    wh_worker_range(w, a->rows, &begin, &end);                           \
    for (int64_t i = begin; i < end; i++) {                              \
      const float *g = a->a + i * a->lda, *u = a->b + i * a->ldb;        \
      float *y = a->y + i * a->ldy;                                      \
      for (int64_t j = 0; j < a->n; j++) y[j] = activation(g[j]) * u[j]; \
    }                                                                    \
  }
REF_GATED(swiglu, wh_silu_f32)
REF_GATED(geglu, wh_gelu_tanh_f32)

void wh_k_gather_rows__ref(const wh_gather_rows_args *a, const wh_worker *w) {
  int64_t begin, end;
  size_t row_bytes = 0;
  if (!wh_dtype_row_bytes(a->dtype, (uint64_t)a->n, &row_bytes)) return; /* the graph was verified */
  wh_worker_range(w, a->n_ids, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *y = a->y + i * a->n;
    if (!wh_gather_has_row(a, i)) {
      memset(y, 0, (size_t)a->n * sizeof *y);
      continue;
    }
    (void)wh_dequantize_row(a->dtype, (const char *)a->table + (size_t)a->ids[i] * row_bytes, y, a->n);
    if (a->scale != 1.0f)
      for (int64_t j = 0; j < a->n; j++) y[j] = a->scale * y[j];
  }
}

#define REF_BINARY(op, operator)                                                       \
  void wh_k_##op##__ref(const wh_binary_args *a, const wh_worker *w) {                 \
    int64_t begin, end;                                                                \
    wh_worker_range(w, a->n, &begin, &end);                                            \
    for (int64_t i = begin; i < end; i++) a->y[i] = a->a[i] operator a->b[i % a->b_n]; \
  }
REF_BINARY(add, +)
REF_BINARY(sub, -)
REF_BINARY(mul, *)
REF_BINARY(div, /)

/* `expr` is a function of x (and of a->alpha). */
#define REF_UNARY(op, expr)                                           \
  void wh_k_##op##__ref(const wh_unary_args *a, const wh_worker *w) { \
    int64_t begin, end;                                               \
    wh_worker_range(w, a->n, &begin, &end);                           \
    for (int64_t i = begin; i < end; i++) {                           \
      float x = a->x[i];                                              \
      a->y[i] = (expr);                                               \
    }                                                                 \
  }
REF_UNARY(scale, x * a->alpha)
REF_UNARY(softcap, wh_tanh_f32(x / a->alpha) * a->alpha)
REF_UNARY(silu, wh_silu_f32(x))
REF_UNARY(gelu, wh_gelu_tanh_f32(x))
REF_UNARY(gelu_erf, wh_gelu_erf_f32(x))
REF_UNARY(tanh, wh_tanh_f32(x))
REF_UNARY(erf, wh_erf_f32(x))
REF_UNARY(sigmoid, wh_sigmoid_f32(x))
REF_UNARY(exp, wh_exp_f32(x))
REF_UNARY(neg, -x)
REF_UNARY(sqrt, sqrtf(x))

void wh_k_softmax__ref(const wh_softmax_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, top = x[0];
    for (int64_t j = 1; j < a->n; j++) top = x[j] > top ? x[j] : top;
    for (int64_t j = 0; j < a->n; j++) y[j] = wh_exp_f32(x[j] - top);
    float sum = wh_ref_sum64(y, a->n);
    for (int64_t j = 0; j < a->n; j++) y[j] = y[j] / sum;
  }
}
