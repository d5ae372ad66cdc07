/* attention_tiles.h - the arithmetic of attention on register tiles, written over one vector type.
 *
 * Included once by each attention_<isa>.c, which first defines the vector type `vf` of VF_LANES floats, its
 * operations vf_zero, vf_set1, vf_load, vf_store, vf_add, vf_sub, vf_mul, vf_div, vf_max, vf_fma (a * b + c),
 * vf_hmax, vf_exp_nonpositive, vf_tanh, vf_sum64_tree, vf_from_f16 (loads VF_LANES halves), vf_store_f16, and
 *   TILE   query vectors of a register tile; TILE * 4 accumulators, 4 operands and a broadcast fit the
 * registers. */
#ifndef WH_CPU_ATTENTION_TILES_H
#define WH_CPU_ATTENTION_TILES_H

#include <string.h>

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_split.h"
#include "core/base/exact_math.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll_count(8)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

static void unpack_f16(const uint16_t *src, float *dst, int64_t n) {
  int64_t i = 0;
  for (; i + VF_LANES <= n; i += VF_LANES) vf_store(dst + i, vf_from_f16(src + i));
  for (; i < n; i++) dst[i] = wh_f32_from_f16(src[i]);
}

static void pack_f16(const float *src, uint16_t *dst, int64_t n) {
  int64_t i = 0;
  for (; i + VF_LANES <= n; i += VF_LANES) vf_store_f16(dst + i, vf_load(src + i));
  for (; i < n; i++) dst[i] = wh_f16_from_f32(src[i]);
}

static void scale_row(const float *x, float s, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_mul(vf_load(x + i), vf_set1(s)));
  for (; i < n; i++) y[i] = x[i] * s;
}

static void divide_row(const float *x, float s, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_div(vf_load(x + i), vf_set1(s)));
  for (; i < n; i++) y[i] = x[i] / s;
}

/* all = fma(all, a, o * b); n is a multiple of 16 */
static void merge_row(float *all, float a, const float *o, float b, int64_t n) {
  for (int64_t i = 0; i < n; i += VF_LANES)
    vf_store(all + i, vf_fma(vf_load(all + i), vf_set1(a), vf_mul(vf_load(o + i), vf_set1(b))));
}

/* Scores of r query vectors against a tile of 64 keys: lanes are positions, each lane one chain over the
 * dimensions. In passes of four vectors, so that a broadcast feeds four products. */
INLINE void score_tile_r(const int r_max, const float *q, int64_t ldq, const float *k, int64_t n_dim,
                         float *s) {
  for (int pass = 0; pass < WH_ATTENTION_CHUNK; pass += 4 * VF_LANES) {
    vf acc[TILE][4], key[4];
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < 4; i++) acc[r][i] = vf_zero();
    for (int64_t d = 0; d < n_dim; d++) {
      UNROLL
      for (int i = 0; i < 4; i++) key[i] = vf_load(k + d * WH_ATTENTION_CHUNK + pass + i * VF_LANES);
      UNROLL
      for (int r = 0; r < r_max; r++) {
        vf x = vf_set1(q[r * ldq + d]);
        UNROLL
        for (int i = 0; i < 4; i++) acc[r][i] = vf_fma(x, key[i], acc[r][i]);
      }
    }
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < 4; i++) vf_store(s + r * WH_ATTENTION_CHUNK + pass + i * VF_LANES, acc[r][i]);
  }
}

/* r <= TILE vectors; instantiated for each r so that the accumulators stay in registers. */
static void score_tile(int r, const float *q, int64_t ldq, const float *k, int64_t n_dim, float *s) {
  switch (r) {
    case 1:
      score_tile_r(1, q, ldq, k, n_dim, s);
      return;
    case 2:
      score_tile_r(2, q, ldq, k, n_dim, s);
      return;
    case 3:
      score_tile_r(3, q, ldq, k, n_dim, s);
      return;
#if TILE > 3
    case 4:
      score_tile_r(4, q, ldq, k, n_dim, s);
      return;
    case 5:
      score_tile_r(5, q, ldq, k, n_dim, s);
      return;
    case 6:
      score_tile_r(6, q, ldq, k, n_dim, s);
      return;
#endif
  }
}

/* Scores to probabilities in place; positions outside [j0, j1) become +0 by way of a score of -inf. */
static void softmax_row(float *s, float cap, int j0, int j1, float *m_out, float *l_out) {
  enum { N = WH_ATTENTION_CHUNK / VF_LANES };
  if (cap > 0.0f)
    for (int i = 0; i < WH_ATTENTION_CHUNK; i += VF_LANES)
      vf_store(s + i, vf_mul(vf_tanh(vf_div(vf_load(s + i), vf_set1(cap))), vf_set1(cap)));
  for (int j = 0; j < j0; j++) s[j] = -INFINITY;
  for (int j = j1; j < WH_ATTENTION_CHUNK; j++) s[j] = -INFINITY;
  vf x[N], top;
  UNROLL
  for (int i = 0; i < N; i++) x[i] = vf_load(s + i * VF_LANES);
  top = x[0];
  UNROLL
  for (int i = 1; i < N; i++) top = vf_max(top, x[i]);
  float m = vf_hmax(top);
  UNROLL
  for (int i = 0; i < N; i++) {
    x[i] = vf_exp_nonpositive(vf_sub(x[i], vf_set1(m)));
    vf_store(s + i * VF_LANES, x[i]);
  }
  *m_out = m;
  *l_out = vf_sum64_tree(x);
}

/* For vectors [begin, end): the state's M and L take in the chunk's m and l; a and b are the factors of O and
 * o. */
static void merge_factors(int64_t begin, int64_t end, const wh_attention_state *state,
                          const wh_attention_workspace *w) {
  int64_t v = begin;
  for (; v + VF_LANES <= end; v += VF_LANES) {
    vf m = vf_load(w->m + v), m_all = vf_load(state->m + v), top = vf_max(m_all, m);
    vf a = vf_exp_nonpositive(vf_sub(m_all, top)), b = vf_exp_nonpositive(vf_sub(m, top));
    vf_store(state->l + v, vf_fma(vf_load(state->l + v), a, vf_mul(vf_load(w->l + v), b)));
    vf_store(state->m + v, top);
    vf_store(w->a + v, a);
    vf_store(w->b + v, b);
  }
  for (; v < end; v++) {
    float m = w->m[v], m_all = state->m[v], top = m > m_all ? m : m_all;
    w->a[v] = wh_exp_f32(m_all - top);
    w->b[v] = wh_exp_f32(m - top);
    state->l[v] = fmaf(state->l[v], w->a[v], w->l[v] * w->b[v]);
    state->m[v] = top;
  }
}

typedef struct value_job {
  const float *p, *v; /* p [r][64]; v [64][ld] */
  int64_t ld;         /* of v and o; a multiple of 16 */
  const int *j0, *j1; /* visible positions of each vector */
  const float *a, *b;
  int fresh; /* vectors from here on store o; those before merge it */
  float *o;
} value_job;

INLINE void add_values(const int r_max, const int n, vf acc[TILE][4], const value_job *t, int64_t col,
                       int r_begin, int j_begin, int j_end) {
  vf value[4];
  for (int j = j_begin; j < j_end; j++) {
    UNROLL
    for (int i = 0; i < n; i++) value[i] = vf_load(t->v + j * t->ld + col + i * VF_LANES);
    UNROLL
    for (int r = 0; r < r_max; r++) {
      vf x = vf_set1(t->p[(r_begin + r) * WH_ATTENTION_CHUNK + j]);
      UNROLL
      for (int i = 0; i < n; i++) acc[r_begin + r][i] = vf_fma(x, value[i], acc[r_begin + r][i]);
    }
  }
}

/* n vectors of columns of o: lanes are dimensions, each one chain over the visible positions. All r query
 * vectors walk the positions that they share together; what one sees before or after those, it walks alone.
 */
INLINE void value_tile_rn(const int r_max, const int n, const value_job *t, int64_t col) {
  vf acc[TILE][4];
  int low = t->j0[0], high = t->j1[0];
  for (int r = 1; r < r_max; r++) {
    low = t->j0[r] > low ? t->j0[r] : low;
    high = t->j1[r] < high ? t->j1[r] : high;
  }
  if (high < low) high = low;
  UNROLL
  for (int r = 0; r < r_max; r++) {
    UNROLL
    for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
    add_values(1, n, acc, t, col, r, t->j0[r], t->j1[r] < low ? t->j1[r] : low);
  }
  add_values(r_max, n, acc, t, col, 0, low, high);
  UNROLL
  for (int r = 0; r < r_max; r++) {
    float *o = t->o + r * t->ld + col;
    add_values(1, n, acc, t, col, r, high, t->j1[r]);
    if (r < t->fresh) {
      UNROLL
      for (int i = 0; i < n; i++)
        acc[r][i] = vf_fma(vf_load(o + i * VF_LANES), vf_set1(t->a[r]), vf_mul(acc[r][i], vf_set1(t->b[r])));
    }
    UNROLL
    for (int i = 0; i < n; i++) vf_store(o + i * VF_LANES, acc[r][i]);
  }
}

INLINE void value_tile_r(const int r_max, const value_job *t) {
  int64_t left = t->ld / VF_LANES, col = 0;
  for (; left > 4; left -= 4, col += 4 * VF_LANES) {
    if (left == 5) { /* 3 + 2 keeps more accumulators busy than 4 + 1 */
      value_tile_rn(r_max, 3, t, col);
      left++, col -= VF_LANES;
    } else {
      value_tile_rn(r_max, 4, t, col);
    }
  }
  switch (left) {
    case 1:
      value_tile_rn(r_max, 1, t, col);
      return;
    case 2:
      value_tile_rn(r_max, 2, t, col);
      return;
    case 3:
      value_tile_rn(r_max, 3, t, col);
      return;
    case 4:
      value_tile_rn(r_max, 4, t, col);
      return;
  }
}

static void value_tile(int r, const value_job *t) {
  switch (r) {
    case 1:
      value_tile_r(1, t);
      return;
    case 2:
      value_tile_r(2, t);
      return;
    case 3:
      value_tile_r(3, t);
      return;
#if TILE > 3
    case 4:
      value_tile_r(4, t);
      return;
    case 5:
      value_tile_r(5, t);
      return;
    case 6:
      value_tile_r(6, t);
      return;
#endif
  }
}

/* n rows of one head into columns col.. of the key tile at element `tile` of the cache. */
static void append_keys(const wh_kv_append_args *a, const float *x, int64_t n, int64_t tile, int64_t col) {
  enum { DIMS = 64 };
  uint16_t half[DIMS];
  for (int64_t i = 0; i < n; i++, x += a->ldx) {
    if (a->dtype == WH_DTYPE_F32) {
      float *to = (float *)a->cache + tile + col + i;
      for (int64_t d = 0; d < a->head_dim; d++) to[d * WH_ATTENTION_CHUNK] = x[d];
      continue;
    }
    uint16_t *to = (uint16_t *)a->cache + tile + col + i;
    for (int64_t d = 0; d < a->head_dim; d += DIMS) {
      int64_t dims = a->head_dim - d < DIMS ? a->head_dim - d : DIMS;
      pack_f16(x + d, half, dims);
      for (int64_t e = 0; e < dims; e++) to[(d + e) * WH_ATTENTION_CHUNK] = half[e];
    }
  }
}

static void append_values(const wh_kv_append_args *a, const float *x, int64_t n, int64_t at) {
  for (int64_t i = 0; i < n; i++, x += a->ldx, at += a->head_dim) {
    if (a->dtype == WH_DTYPE_F32)
      memcpy((float *)a->cache + at, x, (size_t)a->head_dim * sizeof *x);
    else
      pack_f16(x, (uint16_t *)a->cache + at, a->head_dim);
  }
}

#endif
