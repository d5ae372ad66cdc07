/* neon/rowops_neon.c - row ops, four lanes at a time; the bits of ref/rowops_ref.c. Nothing is read or
 * written past a row. */
#include "backends/cpu/neon/rowops_norm_neon.h"
#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"

void wh_k_rms_norm__neon(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end; /* whole rows: y may be x, whose sum must be complete before it changes */
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    wh_rms_apply_neon(a->y + i * a->ldy, x, a->w, wh_rms_factor_neon(x, a->n, a->eps), a->n);
  }
}

void wh_k_layer_norm__neon(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, mean = wh_sum64_neon(x, a->n) / (float)a->n;
    float r = 1.0f / sqrtf(wh_sum64_squares_neon(x, a->n, mean) / (float)a->n + a->eps);
    for (int64_t j = 0; j < a->n; j += 4) {
      const int64_t left = a->n - j;
      float32x4_t d = vsubq_f32(wh_load_neon(x + j, left), vdupq_n_f32(mean));
      float32x4_t weight = a->w ? wh_load_neon(a->w + j, left) : vdupq_n_f32(1.0f);
      float32x4_t bias = a->b ? wh_load_neon(a->b + j, left) : vdupq_n_f32(0.0f);
      wh_store_neon(y + j, left, wh_fma_neon(vmulq_n_f32(d, r), weight, bias));
    }
  }
}

void wh_k_softmax__neon(const wh_softmax_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, top = x[0];
    int64_t j = 0;
    if (a->n >= 4) {
      float32x4_t tops = vld1q_f32(x);
      for (j = 4; j + 4 <= a->n; j += 4) tops = vmaxq_f32(tops, vld1q_f32(x + j));
      top = vmaxvq_f32(tops);
    }
    for (; j < a->n; j++) top = x[j] > top ? x[j] : top;
    for (j = 0; j < a->n; j += 4)
      wh_store_neon(y + j, a->n - j, wh_exp_neon(vsubq_f32(wh_load_neon(x + j, a->n - j), vdupq_n_f32(top))));
    const float32x4_t sum = vdupq_n_f32(wh_sum64_neon(y, a->n));
    for (j = 0; j < a->n; j += 4)
      wh_store_neon(y + j, a->n - j, vdivq_f32(wh_load_neon(y + j, a->n - j), sum));
  }
}

void wh_k_rope_table__neon(const wh_rope_table_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *cosines = a->y + i * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *inv_freq = a->inv_freq + i * a->ld_inv_freq;
    for (int64_t j = 0; j < a->n_freq; j += 4) {
      const int64_t left = a->n_freq - j;
      float32x4_t s, c;
      wh_sincos_neon(vmulq_n_f32(wh_load_neon(inv_freq + j, left), (float)a->positions[i]), &s, &c);
      wh_store_neon(cosines + j, left, vmulq_n_f32(c, a->mscale));
      wh_store_neon(sines + j, left, vmulq_n_f32(s, a->mscale));
    }
  }
}

/* (x0, x1) -> (x0 c - x1 s, x0 s + x1 c) */
static inline void rotate(float32x4_t *x0, float32x4_t *x1, float32x4_t c, float32x4_t s) {
  float32x4_t y0 = wh_fma_neon(*x0, c, vnegq_f32(vmulq_f32(*x1, s)));
  *x1 = wh_fma_neon(*x0, s, vmulq_f32(*x1, c));
  *x0 = y0;
}

static void rope_neox(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += 4) {
    const int64_t left = n_freq - j;
    float32x4_t x0 = wh_load_neon(x + j, left), x1 = wh_load_neon(x + n_freq + j, left);
    rotate(&x0, &x1, wh_load_neon(cosines + j, left), wh_load_neon(sines + j, left));
    wh_store_neon(y + j, left, x0);
    wh_store_neon(y + n_freq + j, left, x1);
  }
}

static void rope_norm(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += 4) {
    const int64_t left = n_freq - j;
    float32x4_t p = wh_load_neon(x + 2 * j, 2 * left), q = wh_load_neon(x + 2 * j + 4, 2 * left - 4);
    float32x4_t x0 = vuzp1q_f32(p, q), x1 = vuzp2q_f32(p, q);
    rotate(&x0, &x1, wh_load_neon(cosines + j, left), wh_load_neon(sines + j, left));
    wh_store_neon(y + 2 * j, 2 * left, vzip1q_f32(x0, x1));
    wh_store_neon(y + 2 * j + 4, 2 * left - 4, vzip2q_f32(x0, x1));
  }
}

void wh_k_rope__neon(const wh_rope_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows * a->heads, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t row = i / a->heads, head = i % a->heads;
    const float *cosines = a->table + row * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *x = a->x + row * a->ldx + head * a->head_dim;
    float *y = a->y + row * a->ldy + head * a->head_dim;
    (a->neox ? rope_neox : rope_norm)(x, y, cosines, sines, a->n_freq);
    if (y != x)
      for (int64_t j = 2 * a->n_freq; j < a->head_dim; j++) y[j] = x[j];
  }
}

#define NEON_GATED(op, activation)                                                                   \
  void wh_k_##op##__neon(const wh_gated_args *a, const wh_worker *w) {                               \
    for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {      \
      const float *g = a->a + u.row * a->lda + u.column, *up = a->b + u.row * a->ldb + u.column;     \
      float *y = a->y + u.row * a->ldy + u.column;                                                   \
      for (int64_t j = 0; j < u.count; j += 4) {                                                     \
        const int64_t left = u.count - j;                                                            \
        wh_store_neon(y + j, left,                                                                   \
                      vmulq_f32(activation(wh_load_neon(g + j, left)), wh_load_neon(up + j, left))); \
      }                                                                                              \
    }                                                                                                \
  }
NEON_GATED(swiglu, wh_silu_neon)
NEON_GATED(geglu, wh_gelu_tanh_neon)

/* b repeats every b_n elements: walk it in stretches that do not wrap. */
#define NEON_BINARY(op, vector_op)                                                              \
  void wh_k_##op##__neon(const wh_binary_args *a, const wh_worker *w) {                         \
    int64_t begin, end;                                                                         \
    wh_worker_range(w, a->n, &begin, &end);                                                     \
    for (int64_t i = begin, stretch; i < end; i += stretch) {                                   \
      int64_t at = a->b_n == 1 ? 0 : i % a->b_n;                                                \
      stretch = a->b_n == 1 || end - i < a->b_n - at ? end - i : a->b_n - at;                   \
      for (int64_t j = 0; j < stretch; j += 4) {                                                \
        const int64_t left = stretch - j;                                                       \
        float32x4_t b = a->b_n == 1 ? vdupq_n_f32(a->b[0]) : wh_load_neon(a->b + at + j, left); \
        wh_store_neon(a->y + i + j, left, vector_op(wh_load_neon(a->a + i + j, left), b));      \
      }                                                                                         \
    }                                                                                           \
  }
NEON_BINARY(add, vaddq_f32)
NEON_BINARY(sub, vsubq_f32)
NEON_BINARY(mul, vmulq_f32)
NEON_BINARY(div, vdivq_f32)

/* `expr` is a function of the vector x (and of alpha). */
#define NEON_UNARY(op, expr)                                           \
  void wh_k_##op##__neon(const wh_unary_args *a, const wh_worker *w) { \
    int64_t begin, end;                                                \
    const float32x4_t alpha = vdupq_n_f32(a->alpha);                   \
    (void)alpha;                                                       \
    wh_worker_range(w, a->n, &begin, &end);                            \
    for (int64_t i = begin; i < end; i += 4) {                         \
      float32x4_t x = wh_load_neon(a->x + i, end - i);                 \
      wh_store_neon(a->y + i, end - i, (expr));                        \
    }                                                                  \
  }
NEON_UNARY(scale, vmulq_f32(x, alpha))
NEON_UNARY(softcap, vmulq_f32(wh_tanh_neon(vdivq_f32(x, alpha)), alpha))
NEON_UNARY(silu, wh_silu_neon(x))
NEON_UNARY(gelu, wh_gelu_tanh_neon(x))
NEON_UNARY(gelu_erf, wh_gelu_erf_neon(x))
NEON_UNARY(tanh, wh_tanh_neon(x))
NEON_UNARY(sigmoid, wh_sigmoid_neon(x))
NEON_UNARY(exp, wh_exp_neon(x))

void wh_k_expert_sum__neon(const wh_expert_sum_args *a, const wh_worker *w) {
  for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->slots * a->n + u.column, *weights = a->weights + u.row * a->slots;
    const int64_t at = u.row * a->n + u.column;
    for (int64_t j = 0; j < u.count; j += 4) {
      const int64_t left = u.count - j;
      float32x4_t sum = vmulq_n_f32(wh_load_neon(x + j, left), weights[0]);
      for (int64_t i = 1; i < a->slots; i++)
        sum = wh_fma_neon(vdupq_n_f32(weights[i]), wh_load_neon(x + i * a->n + j, left), sum);
      if (a->residual) sum = vaddq_f32(wh_load_neon(a->residual + at + j, left), sum);
      wh_store_neon(a->y + at + j, left, sum);
    }
  }
}
