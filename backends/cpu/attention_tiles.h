/* attention_tiles.h - the arithmetic of attention on register tiles, written over one vector type.
 *
 * Included once by each attention_<isa>.c, which first defines the vector type `vf` of VF_LANES floats, its
 * operations vf_zero, vf_set1, vf_load, vf_store, vf_add, vf_sub, vf_mul, vf_div, vf_max, vf_fma (a * b + c),
 * vf_hmax, vf_exp_nonpositive, vf_tanh, vf_sum64_tree, vf_from_f16 (loads VF_LANES halves), vf_store_f16, and
 *   TILE           query vectors of a register tile: 6
 *   TILE_VECS(r)   vectors of each of r rows: r * TILE_VECS accumulators, TILE_VECS operands and a broadcast
 *                  fit the registers. */
#ifndef WH_CPU_ATTENTION_TILES_H
#define WH_CPU_ATTENTION_TILES_H

#include <string.h>

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_split.h"
#include "core/base/exact_math.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL /* loops of a constant length are unrolled anyway */
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif
/* Has x in a register here: gcc otherwise keeps some operands of a full tile in memory. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

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

/* Cache lines to ask for while a tile computes: one row per step, `rows` of them. */
typedef struct ahead {
  const char *at;
  int64_t step; /* bytes per row; 0 asks for the same line again, which costs nothing that the tile needs */
} ahead;

INLINE vf load_cached(const wh_dtype dtype, const void *p, int64_t i) {
  return dtype == WH_DTYPE_F16 ? vf_from_f16((const uint16_t *)p + i) : vf_load((const float *)p + i);
}

INLINE void prefetch(const ahead *next, int64_t row, const int lines) {
  UNROLL
  for (int i = 0; i < lines; i++) __builtin_prefetch(next->at + row * next->step + i * 64, 0, 3);
}

/* Scores of query vectors against a tile of 64 keys: lanes are positions, each lane one chain over the
 * dimensions. In passes of TILE_VECS vectors. */
typedef struct score_job {
  wh_dtype dtype; /* of k */
  const float *q; /* [r][n_dim] */
  const void *k;  /* [n_dim][64] */
  int64_t n_dim;
  float *s; /* [r][64] */
  ahead next;
} score_job;

INLINE void score_tile_r(const wh_dtype dtype, const int r_max, const score_job *t) {
  enum { N_MAX = 4 };
  const int n = TILE_VECS(r_max);
  const int64_t n_dim = t->n_dim;
  for (int pass = 0; pass < WH_ATTENTION_CHUNK; pass += n * VF_LANES) {
    const ahead next = pass == 0 ? t->next : (ahead){(const char *)t->q, 0};
    vf acc[TILE][N_MAX], key[N_MAX];
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
    for (int64_t d = 0; d < n_dim; d++) {
      prefetch(&next, d, dtype == WH_DTYPE_F16 ? 2 : 4);
      UNROLL
      for (int i = 0; i < n; i++) {
        key[i] = load_cached(dtype, t->k, d * WH_ATTENTION_CHUNK + pass + i * VF_LANES);
        IN_REGISTER(key[i]);
      }
      UNROLL
      for (int r = 0; r < r_max; r++) {
        vf x = vf_set1(t->q[r * n_dim + d]);
        UNROLL
        for (int i = 0; i < n; i++) acc[r][i] = vf_fma(x, key[i], acc[r][i]);
      }
    }
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < n; i++) vf_store(t->s + r * WH_ATTENTION_CHUNK + pass + i * VF_LANES, acc[r][i]);
  }
}

/* Instantiated for each r so that the accumulators stay in registers. */
#define FOR_EACH_ROW_COUNT(r, CALL) \
  switch (r) {                      \
    case 1:                         \
      CALL(1);                      \
      return;                       \
    case 2:                         \
      CALL(2);                      \
      return;                       \
    case 3:                         \
      CALL(3);                      \
      return;                       \
    case 4:                         \
      CALL(4);                      \
      return;                       \
    case 5:                         \
      CALL(5);                      \
      return;                       \
    case 6:                         \
      CALL(6);                      \
      return;                       \
  }

static void score_tile(int r, const score_job *t) {
#define CALL_F16(n) score_tile_r(WH_DTYPE_F16, n, t)
#define CALL_F32(n) score_tile_r(WH_DTYPE_F32, n, t)
  if (t->dtype == WH_DTYPE_F16) {
    FOR_EACH_ROW_COUNT(r, CALL_F16)
  } else {
    FOR_EACH_ROW_COUNT(r, CALL_F32)
  }
#undef CALL_F16
#undef CALL_F32
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

/* Values weighted by the probabilities of query vectors: lanes are dimensions, each one chain over the
 * visible positions. */
typedef struct value_job {
  wh_dtype dtype;     /* of v */
  const float *p;     /* [r][64] */
  const void *v;      /* [64][ld], at the first column of the tile */
  float *o;           /* [r][ld], likewise */
  int64_t ld;         /* a multiple of 16 */
  const int *j0, *j1; /* visible positions of each vector */
  int low, high;      /* those that all of them see */
  bool before, after; /* some see positions before or after those */
  int fresh;          /* vectors from here on store o; those before merge it */
  const float *a, *b;
  ahead next;
} value_job;

/* Positions [j0, j1) for one vector alone, its sums in memory. Rare: the borders of what a tile sees. */
static __attribute__((noinline)) void value_row(const value_job *t, int n, int r, int j0, int j1,
                                                float *sum) {
  for (int j = j0; j < j1; j++) {
    vf x = vf_set1(t->p[r * WH_ATTENTION_CHUNK + j]);
    for (int i = 0; i < n * VF_LANES; i += VF_LANES)
      vf_store(sum + i, vf_fma(x, load_cached(t->dtype, t->v, j * t->ld + i), vf_load(sum + i)));
  }
}

/* n vectors of columns. The query vectors walk the positions that all of them see together; what one sees
 * before or after those, it walks alone. */
INLINE void value_tile_rn(const wh_dtype dtype, const int r_max, const int n, const value_job *t) {
  vf acc[TILE][4], value[4];
  float sum[TILE][4 * VF_LANES];
  const int high = t->high;
  UNROLL
  for (int r = 0; r < r_max; r++) UNROLL
  for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
  if (t->before) {
    memset(sum, 0, sizeof sum);
    for (int r = 0; r < r_max; r++)
      value_row(t, n, r, t->j0[r], t->j1[r] < t->low ? t->j1[r] : t->low, sum[r]);
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < n; i++) acc[r][i] = vf_load(sum[r] + i * VF_LANES);
  }
  for (int j = t->low; j < high; j++) {
    prefetch(&t->next, j, (n * VF_LANES * (dtype == WH_DTYPE_F16 ? 2 : 4) + 63) / 64);
    UNROLL
    for (int i = 0; i < n; i++) {
      value[i] = load_cached(dtype, t->v, j * t->ld + i * VF_LANES);
      IN_REGISTER(value[i]);
    }
    UNROLL
    for (int r = 0; r < r_max; r++) {
      vf x = vf_set1(t->p[r * WH_ATTENTION_CHUNK + j]);
      UNROLL
      for (int i = 0; i < n; i++) acc[r][i] = vf_fma(x, value[i], acc[r][i]);
    }
  }
  if (t->after) {
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < n; i++) vf_store(sum[r] + i * VF_LANES, acc[r][i]);
    for (int r = 0; r < r_max; r++) value_row(t, n, r, high > t->j0[r] ? high : t->j0[r], t->j1[r], sum[r]);
    UNROLL
    for (int r = 0; r < r_max; r++) UNROLL
    for (int i = 0; i < n; i++) acc[r][i] = vf_load(sum[r] + i * VF_LANES);
  }
  UNROLL
  for (int r = 0; r < r_max; r++) {
    float *o = t->o + r * t->ld;
    if (r < t->fresh) {
      UNROLL
      for (int i = 0; i < n; i++)
        acc[r][i] = vf_fma(vf_load(o + i * VF_LANES), vf_set1(t->a[r]), vf_mul(acc[r][i], vf_set1(t->b[r])));
    }
    UNROLL
    for (int i = 0; i < n; i++) vf_store(o + i * VF_LANES, acc[r][i]);
  }
}

/* One function for each tile: inlined into one, gcc runs out of general registers and takes vector registers
 * instead. */
#define VALUE_TILE(type, r, n)                                                     \
  static void value_tile_##type##_##r##_##n(const value_job *t) {                  \
    value_tile_rn(WH_DTYPE_##type, r, (n) < TILE_VECS(r) ? (n) : TILE_VECS(r), t); \
  }
#define VALUE_TILES(type, r) \
  VALUE_TILE(type, r, 1) VALUE_TILE(type, r, 2) VALUE_TILE(type, r, 3) VALUE_TILE(type, r, 4)
#define VALUE_NAMES(type, r)                                                               \
  {                                                                                        \
    value_tile_##type##_##r##_1, value_tile_##type##_##r##_2, value_tile_##type##_##r##_3, \
        value_tile_##type##_##r##_4                                                        \
  }
// clang-format off
VALUE_TILES(F16, 1) VALUE_TILES(F16, 2) VALUE_TILES(F16, 3) VALUE_TILES(F16, 4) VALUE_TILES(F16, 5) VALUE_TILES(F16, 6)
VALUE_TILES(F32, 1) VALUE_TILES(F32, 2) VALUE_TILES(F32, 3) VALUE_TILES(F32, 4) VALUE_TILES(F32, 5) VALUE_TILES(F32, 6)
static void (*const value_tiles[2][TILE][4])(const value_job *) = {
    {VALUE_NAMES(F16, 1), VALUE_NAMES(F16, 2), VALUE_NAMES(F16, 3),
     VALUE_NAMES(F16, 4), VALUE_NAMES(F16, 5), VALUE_NAMES(F16, 6)},
    {VALUE_NAMES(F32, 1), VALUE_NAMES(F32, 2), VALUE_NAMES(F32, 3),
     VALUE_NAMES(F32, 4), VALUE_NAMES(F32, 5), VALUE_NAMES(F32, 6)},
};
// clang-format on

/* All columns of r query vectors; `next_elem_bytes` is that of the rows which t->next asks for. */
static void value_tile(int r_max, value_job *t, int64_t next_elem_bytes) {
  const int64_t elem_bytes = t->dtype == WH_DTYPE_F16 ? 2 : 4;
  t->low = t->j0[0];
  t->high = t->j1[0];
  t->before = t->after = false;
  for (int r = 1; r < r_max; r++) {
    t->before |= t->j0[r] != t->j0[0];
    t->after |= t->j1[r] != t->j1[0];
    t->low = t->j0[r] > t->low ? t->j0[r] : t->low;
    t->high = t->j1[r] < t->high ? t->j1[r] : t->high;
  }
  if (t->high < t->low) t->high = t->low; /* nothing in common */
  const int64_t most = TILE_VECS(r_max);
  for (int64_t left = t->ld / VF_LANES; left > 0;) {
    int64_t n =
        left > most ? (left == 5 && most == 4 ? 3 : most) : left; /* 3 + 2 keeps more sums going than 4 + 1 */
    value_tiles[t->dtype != WH_DTYPE_F16][r_max - 1][n - 1](t);
    left -= n;
    t->v = (const char *)t->v + n * VF_LANES * elem_bytes;
    t->o += n * VF_LANES;
    if (t->next.step) t->next.at += n * VF_LANES * next_elem_bytes;
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
