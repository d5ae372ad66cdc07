/* avx2/rowops_avx2.c - row ops, eight lanes at a time; the bits of ref/rowops_ref.c. Tails are masked, so
 * nothing is read or written past a row. */
#include "backends/cpu/avx2/rowops_norm_avx2.h"
#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"

void wh_k_rms_norm__avx2(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end; /* whole rows: y may be x, whose sum must be complete before it changes */
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    wh_rms_apply_avx2(a->y + i * a->ldy, x, a->w, wh_rms_factor_avx2(x, a->n, a->eps), a->n);
  }
}

void wh_k_layer_norm__avx2(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, mean = wh_sum64_avx2(x, a->n) / (float)a->n;
    float r = 1.0f / sqrtf(wh_sum64_squares_avx2(x, a->n, mean) / (float)a->n + a->eps);
    for (int64_t j = 0; j < a->n; j += 8) {
      __m256 d = _mm256_sub_ps(wh_load_avx2(x + j, a->n - j), _mm256_set1_ps(mean));
      __m256 weight = a->w ? wh_load_avx2(a->w + j, a->n - j) : _mm256_set1_ps(1.0f);
      __m256 bias = a->b ? wh_load_avx2(a->b + j, a->n - j) : _mm256_setzero_ps();
      wh_store_avx2(y + j, a->n - j, _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(r)), weight, bias));
    }
  }
}

void wh_k_softmax__avx2(const wh_softmax_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, top_value = x[0];
    int64_t j = 0;
    if (a->n >= 8) {
      __m256 top = _mm256_loadu_ps(x);
      for (j = 8; j + 8 <= a->n; j += 8) top = _mm256_max_ps(_mm256_loadu_ps(x + j), top);
      __m128 t = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
      t = _mm_max_ps(t, _mm_movehl_ps(t, t));
      top_value = _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
    }
    for (; j < a->n; j++) top_value = x[j] > top_value ? x[j] : top_value;
    const __m256 top = _mm256_set1_ps(top_value);
    for (j = 0; j < a->n; j += 8)
      wh_store_avx2(y + j, a->n - j, wh_exp_ps_avx2(_mm256_sub_ps(wh_load_avx2(x + j, a->n - j), top)));
    const __m256 sum = _mm256_set1_ps(wh_sum64_avx2(y, a->n));
    for (j = 0; j < a->n; j += 8)
      wh_store_avx2(y + j, a->n - j, _mm256_div_ps(wh_load_avx2(y + j, a->n - j), sum));
  }
}

void wh_k_rope_table__avx2(const wh_rope_table_args *a, const wh_worker *w) {
  int64_t begin, end;
  const __m256 mscale = _mm256_set1_ps(a->mscale);
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *cosines = a->y + i * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *inv_freq = a->inv_freq + i * a->ld_inv_freq;
    const __m256 position = _mm256_set1_ps((float)a->positions[i]);
    for (int64_t j = 0; j < a->n_freq; j += 8) {
      int64_t left = a->n_freq - j;
      __m256 s, c;
      wh_sincos_ps_avx2(_mm256_mul_ps(position, wh_load_avx2(inv_freq + j, left)), &s, &c);
      wh_store_avx2(cosines + j, left, _mm256_mul_ps(c, mscale));
      wh_store_avx2(sines + j, left, _mm256_mul_ps(s, mscale));
    }
  }
}

/* (x0, x1) -> (x0 c - x1 s, x0 s + x1 c) */
static inline void rotate(__m256 *x0, __m256 *x1, __m256 c, __m256 s) {
  __m256 y0 = _mm256_fmsub_ps(*x0, c, _mm256_mul_ps(*x1, s)); /* fma(x0, c, -(x1 * s)): negation is exact */
  *x1 = _mm256_fmadd_ps(*x0, s, _mm256_mul_ps(*x1, c));
  *x0 = y0;
}

static void rope_neox(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += 8) {
    int64_t left = n_freq - j;
    __m256 x0 = wh_load_avx2(x + j, left), x1 = wh_load_avx2(x + n_freq + j, left);
    rotate(&x0, &x1, wh_load_avx2(cosines + j, left), wh_load_avx2(sines + j, left));
    wh_store_avx2(y + j, left, x0);
    wh_store_avx2(y + n_freq + j, left, x1);
  }
}

/* Pairs are split and joined inside 128-bit lanes, so the table is brought into the same order: 0 1 4 5 2 3
 * 6 7. */
static void rope_norm(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += 8) {
    int64_t left = n_freq - j;
    __m256 c = wh_load_avx2(cosines + j, left), s = wh_load_avx2(sines + j, left);
    c = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(c), _MM_SHUFFLE(3, 1, 2, 0)));
    s = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(s), _MM_SHUFFLE(3, 1, 2, 0)));
    __m256 p = wh_load_avx2(x + 2 * j, 2 * left), q = _mm256_setzero_ps();
    if (left > 4) q = wh_load_avx2(x + 2 * j + 8, 2 * left - 8);
    __m256 x0 = _mm256_shuffle_ps(p, q, 0x88), x1 = _mm256_shuffle_ps(p, q, 0xdd);
    rotate(&x0, &x1, c, s);
    wh_store_avx2(y + 2 * j, 2 * left, _mm256_unpacklo_ps(x0, x1));
    if (left > 4) wh_store_avx2(y + 2 * j + 8, 2 * left - 8, _mm256_unpackhi_ps(x0, x1));
  }
}

void wh_k_rope__avx2(const wh_rope_args *a, const wh_worker *w) {
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

#define AVX2_GATED(op, activation)                                                               \
  void wh_k_##op##__avx2(const wh_gated_args *a, const wh_worker *w) {                           \
    for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {  \
      const float *g = a->a + u.row * a->lda + u.column, *up = a->b + u.row * a->ldb + u.column; \
      float *y = a->y + u.row * a->ldy + u.column;                                               \
      for (int64_t j = 0; j < u.count; j += 8) {                                                 \
        int64_t left = u.count - j;                                                              \
        __m256 v = activation(wh_load_avx2(g + j, left));                                        \
        wh_store_avx2(y + j, left, _mm256_mul_ps(v, wh_load_avx2(up + j, left)));                \
      }                                                                                          \
    }                                                                                            \
  }
AVX2_GATED(swiglu, wh_silu_ps_avx2)
AVX2_GATED(geglu, wh_gelu_tanh_ps_avx2)

/* b repeats every b_n elements: walk it in stretches that do not wrap. */
#define AVX2_BINARY(op, vector_op)                                                            \
  void wh_k_##op##__avx2(const wh_binary_args *a, const wh_worker *w) {                       \
    int64_t begin, end;                                                                       \
    wh_worker_range(w, a->n, &begin, &end);                                                   \
    for (int64_t i = begin, stretch; i < end; i += stretch) {                                 \
      int64_t at = a->b_n == 1 ? 0 : i % a->b_n;                                              \
      stretch = a->b_n == 1 || end - i < a->b_n - at ? end - i : a->b_n - at;                 \
      for (int64_t j = 0; j < stretch; j += 8) {                                              \
        int64_t left = stretch - j;                                                           \
        __m256 b = a->b_n == 1 ? _mm256_set1_ps(a->b[0]) : wh_load_avx2(a->b + at + j, left); \
        wh_store_avx2(a->y + i + j, left, vector_op(wh_load_avx2(a->a + i + j, left), b));    \
      }                                                                                       \
    }                                                                                         \
  }
AVX2_BINARY(add, _mm256_add_ps)
AVX2_BINARY(sub, _mm256_sub_ps)
AVX2_BINARY(mul, _mm256_mul_ps)
AVX2_BINARY(div, _mm256_div_ps)

/* `expr` is a function of the vector x (and of alpha). */
#define AVX2_UNARY(op, expr)                                           \
  void wh_k_##op##__avx2(const wh_unary_args *a, const wh_worker *w) { \
    int64_t begin, end;                                                \
    const __m256 alpha = _mm256_set1_ps(a->alpha);                     \
    (void)alpha;                                                       \
    wh_worker_range(w, a->n, &begin, &end);                            \
    for (int64_t i = begin; i < end; i += 8) {                         \
      __m256 x = wh_load_avx2(a->x + i, end - i);                      \
      wh_store_avx2(a->y + i, end - i, (expr));                        \
    }                                                                  \
  }
AVX2_UNARY(scale, _mm256_mul_ps(x, alpha))
AVX2_UNARY(softcap, _mm256_mul_ps(wh_tanh_ps_avx2(_mm256_div_ps(x, alpha)), alpha))
AVX2_UNARY(silu, wh_silu_ps_avx2(x))
AVX2_UNARY(gelu, wh_gelu_tanh_ps_avx2(x))
AVX2_UNARY(gelu_erf, wh_gelu_erf_ps_avx2(x))
AVX2_UNARY(tanh, wh_tanh_ps_avx2(x))
AVX2_UNARY(sigmoid, wh_sigmoid_ps_avx2(x))
AVX2_UNARY(exp, wh_exp_ps_avx2(x))

void wh_k_expert_sum__avx2(const wh_expert_sum_args *a, const wh_worker *w) {
  for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->slots * a->n + u.column, *weights = a->weights + u.row * a->slots;
    const int64_t at = u.row * a->n + u.column;
    for (int64_t j = 0; j < u.count; j += 8) {
      const int64_t left = u.count - j;
      __m256 sum = _mm256_mul_ps(_mm256_set1_ps(weights[0]), wh_load_avx2(x + j, left));
      for (int64_t i = 1; i < a->slots; i++)
        sum = _mm256_fmadd_ps(_mm256_set1_ps(weights[i]), wh_load_avx2(x + i * a->n + j, left), sum);
      if (a->residual) sum = _mm256_add_ps(wh_load_avx2(a->residual + at + j, left), sum);
      wh_store_avx2(a->y + at + j, left, sum);
    }
  }
}
