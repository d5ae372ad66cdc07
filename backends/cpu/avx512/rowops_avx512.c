/* avx512/rowops_avx512.c - row ops, sixteen lanes at a time; the bits of ref/rowops_ref.c. Tails are masked,
 * so nothing is read or written past a row. */
#include "backends/cpu/avx512/rowops_norm_avx512.h"
#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"

void wh_k_rms_norm__avx512(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end; /* whole rows: y may be x, whose sum must be complete before it changes */
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    wh_rms_apply_avx512(a->y + i * a->ldy, x, a->w, wh_rms_factor_avx512(x, a->n, a->eps), a->n);
  }
}

void wh_k_layer_norm__avx512(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, mean = wh_sum64_avx512(x, a->n) / (float)a->n;
    float r = 1.0f / sqrtf(wh_sum64_squares_avx512(x, a->n, mean) / (float)a->n + a->eps);
    for (int64_t j = 0; j < a->n; j += 16) {
      __mmask16 m = wh_lanes_avx512(a->n - j);
      __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + j), _mm512_set1_ps(mean));
      __m512 weight = a->w ? _mm512_maskz_loadu_ps(m, a->w + j) : _mm512_set1_ps(1.0f);
      __m512 bias = a->b ? _mm512_maskz_loadu_ps(m, a->b + j) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(y + j, m, _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(r)), weight, bias));
    }
  }
}

void wh_k_softmax__avx512(const wh_softmax_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy;
    __m512 top = _mm512_set1_ps(x[0]);
    for (int64_t j = 0; j < a->n; j += 16) {
      __mmask16 m = wh_lanes_avx512(a->n - j);
      top = _mm512_mask_max_ps(top, m, _mm512_maskz_loadu_ps(m, x + j), top);
    }
    top = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    for (int64_t j = 0; j < a->n; j += 16) {
      __mmask16 m = wh_lanes_avx512(a->n - j);
      _mm512_mask_storeu_ps(y + j, m, wh_exp_ps_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + j), top)));
    }
    __m512 sum = _mm512_set1_ps(wh_sum64_avx512(y, a->n));
    for (int64_t j = 0; j < a->n; j += 16) {
      __mmask16 m = wh_lanes_avx512(a->n - j);
      _mm512_mask_storeu_ps(y + j, m, _mm512_div_ps(_mm512_maskz_loadu_ps(m, y + j), sum));
    }
  }
}

void wh_k_rope_table__avx512(const wh_rope_table_args *a, const wh_worker *w) {
  int64_t begin, end;
  const __m512 mscale = _mm512_set1_ps(a->mscale);
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *cosines = a->y + i * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *inv_freq = a->inv_freq + i * a->ld_inv_freq;
    const __m512 position = _mm512_set1_ps((float)a->positions[i]);
    for (int64_t j = 0; j < a->n_freq; j += 16) {
      __mmask16 m = wh_lanes_avx512(a->n_freq - j);
      __m512 s, c;
      wh_sincos_ps_avx512(_mm512_mul_ps(position, _mm512_maskz_loadu_ps(m, inv_freq + j)), &s, &c);
      _mm512_mask_storeu_ps(cosines + j, m, _mm512_mul_ps(c, mscale));
      _mm512_mask_storeu_ps(sines + j, m, _mm512_mul_ps(s, mscale));
    }
  }
}

/* (x0, x1) -> (x0 c - x1 s, x0 s + x1 c) */
static inline void rotate(__m512 *x0, __m512 *x1, __m512 c, __m512 s) {
  __m512 y0 = _mm512_fmsub_ps(*x0, c, _mm512_mul_ps(*x1, s)); /* fma(x0, c, -(x1 * s)): negation is exact */
  *x1 = _mm512_fmadd_ps(*x0, s, _mm512_mul_ps(*x1, c));
  *x0 = y0;
}

static void rope_neox(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += 16) {
    __mmask16 m = wh_lanes_avx512(n_freq - j);
    __m512 x0 = _mm512_maskz_loadu_ps(m, x + j), x1 = _mm512_maskz_loadu_ps(m, x + n_freq + j);
    rotate(&x0, &x1, _mm512_maskz_loadu_ps(m, cosines + j), _mm512_maskz_loadu_ps(m, sines + j));
    _mm512_mask_storeu_ps(y + j, m, x0);
    _mm512_mask_storeu_ps(y + n_freq + j, m, x1);
  }
}

static void rope_norm(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  for (int64_t j = 0; j < n_freq; j += 16) {
    __mmask16 m = wh_lanes_avx512(n_freq - j);
    __mmask16 ma = wh_lanes_avx512(2 * (n_freq - j)), mb = wh_lanes_avx512(2 * (n_freq - j) - 16);
    __m512 p = _mm512_maskz_loadu_ps(ma, x + 2 * j), q = _mm512_maskz_loadu_ps(mb, x + 2 * j + 16);
    __m512 x0 = _mm512_permutex2var_ps(p, even, q), x1 = _mm512_permutex2var_ps(p, odd, q);
    rotate(&x0, &x1, _mm512_maskz_loadu_ps(m, cosines + j), _mm512_maskz_loadu_ps(m, sines + j));
    _mm512_mask_storeu_ps(y + 2 * j, ma, _mm512_permutex2var_ps(x0, low, x1));
    _mm512_mask_storeu_ps(y + 2 * j + 16, mb, _mm512_permutex2var_ps(x0, high, x1));
  }
}

void wh_k_rope__avx512(const wh_rope_args *a, const wh_worker *w) {
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

#define AVX512_GATED(op, activation)                                                             \
  void wh_k_##op##__avx512(const wh_gated_args *a, const wh_worker *w) {                         \
    for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {  \
      const float *g = a->a + u.row * a->lda + u.column, *up = a->b + u.row * a->ldb + u.column; \
      float *y = a->y + u.row * a->ldy + u.column;                                               \
      for (int64_t j = 0; j < u.count; j += 16) {                                                \
        __mmask16 m = wh_lanes_avx512(u.count - j);                                              \
        __m512 v = activation(_mm512_maskz_loadu_ps(m, g + j));                                  \
        _mm512_mask_storeu_ps(y + j, m, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, up + j)));     \
      }                                                                                          \
    }                                                                                            \
  }
AVX512_GATED(swiglu, wh_silu_ps_avx512)
AVX512_GATED(geglu, wh_gelu_tanh_ps_avx512)

/* b repeats every b_n elements: walk it in stretches that do not wrap. */
#define AVX512_BINARY(op, vector_op)                                                                  \
  void wh_k_##op##__avx512(const wh_binary_args *a, const wh_worker *w) {                             \
    int64_t begin, end;                                                                               \
    wh_worker_range(w, a->n, &begin, &end);                                                           \
    for (int64_t i = begin, stretch; i < end; i += stretch) {                                         \
      int64_t at = a->b_n == 1 ? 0 : i % a->b_n;                                                      \
      stretch = a->b_n == 1 || end - i < a->b_n - at ? end - i : a->b_n - at;                         \
      for (int64_t j = 0; j < stretch; j += 16) {                                                     \
        __mmask16 m = wh_lanes_avx512(stretch - j);                                                   \
        __m512 b = a->b_n == 1 ? _mm512_set1_ps(a->b[0]) : _mm512_maskz_loadu_ps(m, a->b + at + j);   \
        _mm512_mask_storeu_ps(a->y + i + j, m, vector_op(_mm512_maskz_loadu_ps(m, a->a + i + j), b)); \
      }                                                                                               \
    }                                                                                                 \
  }
AVX512_BINARY(add, _mm512_add_ps)
AVX512_BINARY(sub, _mm512_sub_ps)
AVX512_BINARY(mul, _mm512_mul_ps)
AVX512_BINARY(div, _mm512_div_ps)

/* `expr` is a function of the vector x (and of alpha). */
#define AVX512_UNARY(op, expr)                                           \
  void wh_k_##op##__avx512(const wh_unary_args *a, const wh_worker *w) { \
    int64_t begin, end;                                                  \
    const __m512 alpha = _mm512_set1_ps(a->alpha);                       \
    (void)alpha;                                                         \
    wh_worker_range(w, a->n, &begin, &end);                              \
    for (int64_t i = begin; i < end; i += 16) {                          \
      __mmask16 m = wh_lanes_avx512(end - i);                            \
      __m512 x = _mm512_maskz_loadu_ps(m, a->x + i);                     \
      _mm512_mask_storeu_ps(a->y + i, m, (expr));                        \
    }                                                                    \
  }
AVX512_UNARY(scale, _mm512_mul_ps(x, alpha))
AVX512_UNARY(softcap, _mm512_mul_ps(wh_tanh_ps_avx512(_mm512_div_ps(x, alpha)), alpha))
AVX512_UNARY(silu, wh_silu_ps_avx512(x))
AVX512_UNARY(gelu, wh_gelu_tanh_ps_avx512(x))
AVX512_UNARY(gelu_erf, wh_gelu_erf_ps_avx512(x))
AVX512_UNARY(tanh, wh_tanh_ps_avx512(x))
AVX512_UNARY(sigmoid, wh_sigmoid_ps_avx512(x))
AVX512_UNARY(exp, wh_exp_ps_avx512(x))

void wh_k_expert_sum__avx512(const wh_expert_sum_args *a, const wh_worker *w) {
  for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->slots * a->n + u.column, *weights = a->weights + u.row * a->slots;
    const int64_t at = u.row * a->n + u.column;
    for (int64_t j = 0; j < u.count; j += 16) {
      const __mmask16 m = wh_lanes_avx512(u.count - j);
      __m512 sum = _mm512_mul_ps(_mm512_set1_ps(weights[0]), _mm512_maskz_loadu_ps(m, x + j));
      for (int64_t i = 1; i < a->slots; i++)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(weights[i]), _mm512_maskz_loadu_ps(m, x + i * a->n + j), sum);
      if (a->residual) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(m, a->residual + at + j), sum);
      _mm512_mask_storeu_ps(a->y + at + j, m, sum);
    }
  }
}
