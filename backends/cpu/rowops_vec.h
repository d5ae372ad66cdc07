/* rowops_vec.h - row ops over vectors (vec.h); the bits of ref/rowops_ref.c. Nothing is read or written past
 * a row. Included by each rowops_<isa>.c, which defines KERNEL(op), the kernel's name, before it. */
#ifndef WH_CPU_ROWOPS_VEC_H
#define WH_CPU_ROWOPS_VEC_H

#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_norm.h"
#include "backends/cpu/rowops_units.h"

void KERNEL(rms_norm)(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end; /* whole rows: y may be x, whose sum must be complete before it changes */
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    rms_apply(a->y + i * a->ldy, x, a->w, rms_factor(x, a->n, a->eps), a->n);
  }
}

void KERNEL(layer_norm)(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy, mean = sum64(x, a->n) / (float)a->n;
    const vf root = vf_set1(sqrtf(sum64_deviations(x, a->n, mean) / (float)a->n + a->eps));
    for (int64_t j = 0; j < a->n; j += VF_LANES) {
      const int64_t left = a->n - j;
      vf v = vf_div(vf_sub(vf_load_left(x + j, left), vf_set1(mean)), root);
      if (a->w) v = vf_mul(v, vf_load_left(a->w + j, left));
      if (a->b) v = vf_add(v, vf_load_left(a->b + j, left));
      vf_store_left(y + j, left, v);
    }
  }
}

/* The last vector of a row may overlap the one before it: a maximum takes an element twice. */
static inline float row_max(const float *x, int64_t n) {
  float top = x[0];
  if (n < VF_LANES) {
    for (int64_t j = 1; j < n; j++) top = x[j] > top ? x[j] : top;
    return top;
  }
  vf tops = vf_load(x);
  for (int64_t j = VF_LANES; j < n; j += VF_LANES)
    tops = vf_max(vf_load(x + (j + VF_LANES <= n ? j : n - VF_LANES)), tops);
  return vf_max_halves(tops);
}

/* y = exp(x - top); returns the sum64 of y. The lanes behind the end add +0, which changes none. */
static inline float exp_and_sum(const float *x, float *y, int64_t n, vf top) {
  vf s[SUM_VECS];
  int64_t j = 0;
  UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = vf_zero();
  for (; j + 64 <= n; j += 64) {
    UNROLL
    for (int v = 0; v < SUM_VECS; v += VF_MANY) {
      vf d[VF_MANY], p[VF_MANY];
      UNROLL
      for (int i = 0; i < VF_MANY; i++) d[i] = vf_sub(vf_load(x + j + (v + i) * VF_LANES), top);
      vf_exp_of(VF_MANY, false, d, p);
      UNROLL
      for (int i = 0; i < VF_MANY; i++) {
        vf_store(y + j + (v + i) * VF_LANES, p[i]);
        s[v + i] = vf_add(s[v + i], p[i]);
      }
    }
  }
  for (int v = 0; j < n; v++, j += VF_LANES) {
    const vf p = vf_exp_nonpositive(vf_sub(vf_load_left(x + j, n - j), top));
    vf_store_left(y + j, n - j, p);
    s[v] = vf_add(s[v], n - j < VF_LANES ? vf_keep_first(n - j, p) : p);
  }
  return vf_sum64_tree(s);
}

void KERNEL(softmax)(const wh_softmax_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = a->x + i * a->ldx;
    float *y = a->y + i * a->ldy;
    const vf sum = vf_set1(exp_and_sum(x, y, a->n, vf_set1(row_max(x, a->n))));
    for (int64_t j = 0; j < a->n; j += VF_LANES)
      vf_store_left(y + j, a->n - j, vf_div(vf_load_left(y + j, a->n - j), sum));
  }
}

void KERNEL(rope_table)(const wh_rope_table_args *a, const wh_worker *w) {
  int64_t begin, end;
  const vf mscale = vf_set1(a->mscale);
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *cosines = a->y + i * 2 * a->n_freq, *sines = cosines + a->n_freq;
    const float *inv_freq = a->inv_freq + i * a->ld_inv_freq;
    const vf position = vf_set1((float)a->positions[i]);
    for (int64_t j = 0; j < a->n_freq; j += VF_LANES) {
      const int64_t left = a->n_freq - j;
      vf s, c;
      vf_sincos(vf_mul(position, vf_load_left(inv_freq + j, left)), &s, &c);
      vf_store_left(cosines + j, left, vf_mul(c, mscale));
      vf_store_left(sines + j, left, vf_mul(s, mscale));
    }
  }
}

/* (x0, x1) -> (x0 c - x1 s, x0 s + x1 c) */
static inline void rotate(vf *x0, vf *x1, vf c, vf s) {
  vf y0 = vf_fms(*x0, c, vf_mul(*x1, s)); /* fma(x0, c, -(x1 * s)): negation is exact */
  *x1 = vf_fma(*x0, s, vf_mul(*x1, c));
  *x0 = y0;
}

static void rope_neox(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += VF_LANES) {
    const int64_t left = n_freq - j;
    vf x0 = vf_load_left(x + j, left), x1 = vf_load_left(x + n_freq + j, left);
    rotate(&x0, &x1, vf_load_left(cosines + j, left), vf_load_left(sines + j, left));
    vf_store_left(y + j, left, x0);
    vf_store_left(y + n_freq + j, left, x1);
  }
}

static void rope_norm(const float *x, float *y, const float *cosines, const float *sines, int64_t n_freq) {
  for (int64_t j = 0; j < n_freq; j += VF_LANES) {
    const int64_t left = n_freq - j, left_q = 2 * left - VF_LANES;
    vf p = vf_load_left(x + 2 * j, 2 * left), q = vf_load_left(x + 2 * j + VF_LANES, left_q), x0, x1;
    vf_split_pairs(p, q, &x0, &x1);
    rotate(&x0, &x1, vf_in_order_of_pairs(vf_load_left(cosines + j, left)),
           vf_in_order_of_pairs(vf_load_left(sines + j, left)));
    vf_join_pairs(x0, x1, &p, &q);
    vf_store_left(y + 2 * j, 2 * left, p);
    vf_store_left(y + 2 * j + VF_LANES, left_q, q);
  }
}

void KERNEL(rope)(const wh_rope_args *a, const wh_worker *w) {
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

#define GATED(op, activation)                                                                    \
  void KERNEL(op)(const wh_gated_args *a, const wh_worker *w) {                                  \
    for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {  \
      const float *g = a->a + u.row * a->lda + u.column, *up = a->b + u.row * a->ldb + u.column; \
      float *y = a->y + u.row * a->ldy + u.column;                                               \
      for (int64_t j = 0; j < u.count; j += VF_LANES) {                                          \
        const int64_t left = u.count - j;                                                        \
        vf v = activation(vf_load_left(g + j, left));                                            \
        vf_store_left(y + j, left, vf_mul(v, vf_load_left(up + j, left)));                       \
      }                                                                                          \
    }                                                                                            \
  }
GATED(swiglu, vf_silu)
GATED(geglu, vf_gelu_tanh)

/* b repeats every b_n elements: walk it in stretches that do not wrap. */
#define BINARY(op, vector_op)                                                              \
  void KERNEL(op)(const wh_binary_args *a, const wh_worker *w) {                           \
    int64_t begin, end;                                                                    \
    wh_worker_range(w, a->n, &begin, &end);                                                \
    for (int64_t i = begin, stretch; i < end; i += stretch) {                              \
      int64_t at = a->b_n == 1 ? 0 : i % a->b_n;                                           \
      stretch = a->b_n == 1 || end - i < a->b_n - at ? end - i : a->b_n - at;              \
      for (int64_t j = 0; j < stretch; j += VF_LANES) {                                    \
        const int64_t left = stretch - j;                                                  \
        vf b = a->b_n == 1 ? vf_set1(a->b[0]) : vf_load_left(a->b + at + j, left);         \
        vf_store_left(a->y + i + j, left, vector_op(vf_load_left(a->a + i + j, left), b)); \
      }                                                                                    \
    }                                                                                      \
  }
BINARY(add, vf_add)
BINARY(sub, vf_sub)
BINARY(mul, vf_mul)
BINARY(div, vf_div)

/* `expr` is a function of the vector x (and of alpha). */
#define UNARY(op, expr)                                         \
  void KERNEL(op)(const wh_unary_args *a, const wh_worker *w) { \
    int64_t begin, end;                                         \
    const vf alpha = vf_set1(a->alpha);                         \
    (void)alpha;                                                \
    wh_worker_range(w, a->n, &begin, &end);                     \
    for (int64_t i = begin; i < end; i += VF_LANES) {           \
      vf x = vf_load_left(a->x + i, end - i);                   \
      vf_store_left(a->y + i, end - i, (expr));                 \
    }                                                           \
  }
UNARY(scale, vf_mul(x, alpha))
UNARY(softcap, vf_mul(vf_tanh(vf_div(x, alpha)), alpha))
UNARY(silu, vf_silu(x))
UNARY(gelu, vf_gelu_tanh(x))
UNARY(gelu_erf, vf_gelu_erf(x))
UNARY(tanh, vf_tanh(x))
UNARY(erf, vf_erf(x))
UNARY(sigmoid, vf_sigmoid(x))
UNARY(exp, vf_exp(x))

void KERNEL(expert_sum)(const wh_expert_sum_args *a, const wh_worker *w) {
  for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->slots * a->n + u.column, *weights = a->weights + u.row * a->slots;
    const int64_t at = u.row * a->n + u.column;
    for (int64_t j = 0; j < u.count; j += VF_LANES) {
      const int64_t left = u.count - j;
      vf sum = vf_mul(vf_set1(weights[0]), vf_load_left(x + j, left));
      for (int64_t i = 1; i < a->slots; i++)
        sum = vf_fma(vf_set1(weights[i]), vf_load_left(x + i * a->n + j, left), sum);
      if (a->residual) sum = vf_add(vf_load_left(a->residual + at + j, left), sum);
      vf_store_left(a->y + at + j, left, sum);
    }
  }
}

#endif
