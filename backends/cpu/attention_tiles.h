/* attention_tiles.h - the arithmetic of attention on register tiles that does not depend on how keys are
 * stored, written over one vector type.
 *
 * Included once by each kernel file, by way of attention_cache_<kind>.h, after attention_vec_<isa>.h, which
 * defines the vector type `vf` of VF_LANES floats, its operations, and
 *   TILE           query vectors of a register tile: 6
 *   TILE_VECS(r)   vectors of each of r rows: r * TILE_VECS accumulators, TILE_VECS operands and a broadcast
 *                  fit the registers. */
#ifndef WH_CPU_ATTENTION_TILES_H
#define WH_CPU_ATTENTION_TILES_H

#include <string.h>

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_q8.h"
#include "backends/cpu/attention_split.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL /* loops of a constant length are unrolled anyway */
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif
/* Has x in a register here: gcc otherwise keeps some operands of a full tile in memory. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

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

/* Cache lines to ask for while a tile computes. */
typedef struct ahead {
  const char *at;
  int64_t step;   /* bytes per row of the tile; 0 asks for the same line again, which costs nothing that the
                     tile needs */
  int64_t column; /* bytes per column of values */
} ahead;

INLINE void prefetch(const ahead *next, int64_t row, const int lines) {
  UNROLL
  for (int i = 0; i < lines; i++) __builtin_prefetch(next->at + row * next->step + i * 64, 0, 3);
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
  wh_dtype dtype;      /* of v */
  const float *p;      /* [r][64] */
  const void *v;       /* floats: [64][ld]; q8_0: codes in blocks; at the first column of the tile */
  const float *scales; /* q8_0: [block][64], at the tile's first block */
  float *o;            /* [r][ld], at the first column of the tile */
  int64_t ld;          /* a multiple of 16 */
  const int *j0, *j1;  /* visible positions of each vector */
  int fresh;           /* vectors from here on store o; those before merge it */
  const float *a, *b;
  ahead next;
} value_job;

INLINE vf load_value(const wh_dtype dtype, const value_job *t, int64_t j, const int column) {
  if (dtype == WH_DTYPE_F32) return vf_load((const float *)t->v + j * t->ld + column);
  if (dtype == WH_DTYPE_F16) return vf_from_f16((const uint16_t *)t->v + j * t->ld + column);
  const int block = column / WH_KV_BLOCK, at = column % WH_KV_BLOCK;
  const char *codes = (const char *)t->v + block * (int64_t)sizeof(wh_kv_q8_block);
  return vf_mul(vf_from_s8(codes + j * WH_KV_BLOCK + at), vf_set1(t->scales[block * WH_ATTENTION_CHUNK + j]));
}

/* Lines per position of n vectors of columns in the cache. */
INLINE int value_lines(const wh_dtype dtype, const int n) {
  if (PACKED_DTYPE == WH_DTYPE_Q8_0) return 1;
  return (n * VF_LANES * (dtype == WH_DTYPE_F16 ? 2 : 4) + 63) / 64;
}

/* n vectors of columns. Positions that all query vectors see, [low, high), take the short way; before and
 * after those a vector takes only what it sees. */
INLINE void value_tile_rn(const wh_dtype dtype, const int r_max, const int n, const value_job *t) {
  vf acc[TILE][4], value[4];
  int first = t->j0[0], last = t->j1[0], low = first, high = last;
  for (int r = 1; r < r_max; r++) {
    first = t->j0[r] < first ? t->j0[r] : first;
    last = t->j1[r] > last ? t->j1[r] : last;
    low = t->j0[r] > low ? t->j0[r] : low;
    high = t->j1[r] < high ? t->j1[r] : high;
  }
  if (high <= low) low = high = last; /* nothing in common */
  UNROLL
  for (int r = 0; r < r_max; r++) UNROLL
  for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
  for (int j = first;; low = last) {
    for (; j < low; j++) {
      for (int i = 0; i < n; i++) value[i] = load_value(dtype, t, j, i * VF_LANES);
      UNROLL
      for (int r = 0; r < r_max; r++) {
        vf x = vf_set1(t->p[r * WH_ATTENTION_CHUNK + j]);
        UNROLL
        for (int i = 0; i < n; i++)
          acc[r][i] = vf_fma_if(j >= t->j0[r] && j < t->j1[r], x, value[i], acc[r][i]);
      }
    }
    if (j == last) break;
    for (; j < high; j++) {
      prefetch(&t->next, j, value_lines(dtype, n));
      UNROLL
      for (int i = 0; i < n; i++) {
        value[i] = load_value(dtype, t, j, i * VF_LANES);
        IN_REGISTER(value[i]);
      }
      UNROLL
      for (int r = 0; r < r_max; r++) {
        vf x = vf_set1(t->p[r * WH_ATTENTION_CHUNK + j]);
        UNROLL
        for (int i = 0; i < n; i++) acc[r][i] = vf_fma(x, value[i], acc[r][i]);
      }
    }
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
#define VALUE_TILE(kind, type, r, n)                                    \
  static void value_tile_##kind##_##r##_##n(const value_job *t) {       \
    value_tile_rn(type, r, (n) < TILE_VECS(r) ? (n) : TILE_VECS(r), t); \
  }
#define VALUE_TILES(kind, type, r) \
  VALUE_TILE(kind, type, r, 1)     \
  VALUE_TILE(kind, type, r, 2) VALUE_TILE(kind, type, r, 3) VALUE_TILE(kind, type, r, 4)
#define VALUE_NAMES(kind, r)                                                               \
  {                                                                                        \
    value_tile_##kind##_##r##_1, value_tile_##kind##_##r##_2, value_tile_##kind##_##r##_3, \
        value_tile_##kind##_##r##_4                                                        \
  }
// clang-format off
#define ALL_VALUE_TILES(kind, type) \
  VALUE_TILES(kind, type, 1) VALUE_TILES(kind, type, 2) VALUE_TILES(kind, type, 3) \
  VALUE_TILES(kind, type, 4) VALUE_TILES(kind, type, 5) VALUE_TILES(kind, type, 6)
#define ALL_VALUE_NAMES(kind) \
  {VALUE_NAMES(kind, 1), VALUE_NAMES(kind, 2), VALUE_NAMES(kind, 3), \
   VALUE_NAMES(kind, 4), VALUE_NAMES(kind, 5), VALUE_NAMES(kind, 6)}
ALL_VALUE_TILES(packed, PACKED_DTYPE)
ALL_VALUE_TILES(f32, WH_DTYPE_F32)
// clang-format on
static void (*const value_tiles[2][TILE][4])(const value_job *) = {ALL_VALUE_NAMES(packed),
                                                                   ALL_VALUE_NAMES(f32)};

/* All columns of r query vectors. */
static void value_tile(int r_max, value_job *t) {
  const char *v = t->v;
  const float *scales = t->scales;
  const int64_t most = TILE_VECS(r_max), elem = t->dtype == WH_DTYPE_F16 ? 2 : 4;
  for (int64_t column = 0; column < t->ld;) {
    int64_t left = (t->ld - column) / VF_LANES;
    int64_t n =
        left > most ? (left == 5 && most == 4 ? 3 : most) : left; /* 3 + 2 keeps more sums going than 4 + 1 */
    value_tiles[t->dtype == WH_DTYPE_F32][r_max - 1][n - 1](t);
    column += n * VF_LANES;
    if (t->dtype == WH_DTYPE_Q8_0) {
      int64_t block = column / WH_KV_BLOCK;
      t->v = v + block * (int64_t)sizeof(wh_kv_q8_block) + column % WH_KV_BLOCK;
      t->scales = scales + block * WH_ATTENTION_CHUNK;
    } else {
      t->v = v + column * elem;
    }
    t->o += n * VF_LANES;
    t->next.at += n * VF_LANES * t->next.column;
  }
}

/* What an item's query vectors have to do with one chunk. */
typedef struct chunk_view {
  int64_t tile;             /* of 64 positions, counted over the whole cache */
  int64_t begin, end, step; /* the vectors that see it, in register tiles of at most `step` */
  int low, high;            /* the positions that any of them sees */
  bool one;                 /* a single register tile: it widens the cache as it reads */
  bool more;                /* the item goes on with the next chunk */
} chunk_view;

/* How far ahead of its reads a tile that streams the cache asks for lines: a few times latency x bandwidth.
 */
#define AHEAD_BYTES 8192

#endif
