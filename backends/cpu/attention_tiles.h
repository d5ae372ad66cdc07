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
#include "backends/cpu/unroll.h"

#if defined(__clang__)
#define UNROLL_8 /* loops of a constant length are unrolled anyway */
#else
#define UNROLL_8 _Pragma("GCC unroll 8")
#endif
/* Has x in a register here: gcc otherwise keeps some operands of a full tile in memory. */
#ifndef IN_REGISTER
#define IN_REGISTER(x) __asm__("" : "+v"(x))
#endif

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

/* Cache lines to ask for while a tile computes: first those further on in it, then those of the next one.
 * Addresses are numbers, as they may lie outside the cache. Register tiles that share a tile of the cache ask
 * for some of its rows each: all at once are more than a core can wait for. */
typedef struct ahead {
  uintptr_t here, there; /* where the byte at offset 0 would be: below offset `turn`, and from there on */
  int64_t turn, offset;
  int64_t step;      /* bytes per row of the tile */
  int64_t column;    /* bytes per column of values */
  int64_t row, rows; /* those to ask for; rows is 0 where there is nothing */
} ahead;

/* Of the tile's row-th row of those to ask for. Into the second cache: tiles of a head lie apart, so nothing
 * else brings their lines, and asking the first for all of them limits what is read (on Zen 4 decoding at a
 * depth of 4096 takes half as long with this). */
INLINE void prefetch(const ahead *next, int64_t row, const int lines) {
  const int64_t at = next->offset + (next->row + row) * next->step;
  const uintptr_t line = (at < next->turn ? next->here : next->there) + (uintptr_t)at;
  UNROLL_8
  for (int i = 0; i < lines; i++) __builtin_prefetch((const void *)(line + (uintptr_t)i * 64), 0, 2);
}

/* Tiles are functions of constants, so that the sums of r rows x n vectors stay in registers: `stem`_tile_rn
 * is instantiated for each. One function for each tile: inlined into one, gcc runs out of general registers
 * and takes vector registers instead. `most`: vectors of each of r rows. */
#define TILE_FN(stem, kind, type, most, r, n)                       \
  static void stem##_tile_##kind##_##r##_##n(const stem##_job *t) { \
    stem##_tile_rn(type, r, (n) < most(r) ? (n) : most(r), t);      \
  }
#define TILE_FNS(stem, kind, type, most, r) \
  TILE_FN(stem, kind, type, most, r, 1)     \
  TILE_FN(stem, kind, type, most, r, 2)     \
  TILE_FN(stem, kind, type, most, r, 3)     \
  TILE_FN(stem, kind, type, most, r, 4)
#define TILE_NAMES(stem, kind, r)                                                             \
  {                                                                                           \
    stem##_tile_##kind##_##r##_1, stem##_tile_##kind##_##r##_2, stem##_tile_##kind##_##r##_3, \
        stem##_tile_##kind##_##r##_4                                                          \
  }
/* The table stem_tiles_kind[r - 1][n - 1]. */
#define TILE_TABLE(stem, kind, type, most)                                             \
  TILE_FNS(stem, kind, type, most, 1)                                                  \
  TILE_FNS(stem, kind, type, most, 2)                                                  \
  TILE_FNS(stem, kind, type, most, 3)                                                  \
  TILE_FNS(stem, kind, type, most, 4)                                                  \
  TILE_FNS(stem, kind, type, most, 5)                                                  \
  TILE_FNS(stem, kind, type, most, 6)                                                  \
  static void (*const stem##_tiles_##kind[TILE][4])(const stem##_job *) = {            \
      TILE_NAMES(stem, kind, 1), TILE_NAMES(stem, kind, 2), TILE_NAMES(stem, kind, 3), \
      TILE_NAMES(stem, kind, 4), TILE_NAMES(stem, kind, 5), TILE_NAMES(stem, kind, 6)};

#define EXP_VECS 2 /* at a time: more would be spilled */
/* exp(x - m) of a row in place. Not inlined where it is seldom called: what it has in common with the way
 * that is taken instead would be done for both. */
INLINE void exp_any(float *row, float m) {
  for (int i = 0; i < WH_ATTENTION_CHUNK; i += VF_LANES)
    vf_store(row + i, vf_exp_nonpositive(vf_sub(vf_load(row + i), vf_set1(m))));
}
static __attribute__((noinline)) void exp_seldom(float *row, float m) { exp_any(row, m); }

/* The same where all of it is normal numbers. */
INLINE void exp_normal(float *row, float m) {
  UNROLL_8
  for (int i = 0; i < WH_ATTENTION_CHUNK; i += EXP_VECS * VF_LANES) {
    vf x[EXP_VECS], y[EXP_VECS];
    UNROLL_8
    for (int j = 0; j < EXP_VECS; j++) x[j] = vf_sub(vf_load(row + i + j * VF_LANES), vf_set1(m));
    vf_exp_normal(EXP_VECS, x, y);
    UNROLL_8
    for (int j = 0; j < EXP_VECS; j++) vf_store(row + i + j * VF_LANES, y[j]);
  }
}

INLINE vf sum_by_halves(const float *row) {
  enum { N = WH_ATTENTION_CHUNK / VF_LANES };
  vf x[N / 2];
  UNROLL_8
  for (int i = 0; i < N / 2; i++)
    x[i] = vf_add(vf_load(row + i * VF_LANES), vf_load(row + (i + N / 2) * VF_LANES));
  UNROLL_8
  for (int h = N / 4; h > 0; h /= 2) UNROLL_8
  for (int i = 0; i < h; i++) x[i] = vf_add(x[i], x[i + h]);
  return x[0];
}

/* Scores of up to VF_LANES query vectors to probabilities in place; what a vector does not see becomes +0, by
 * way of a score of -inf. Vectors go through each step together: a reduction of one alone would wait for
 * itself. */
INLINE void softmax_rows(float *s, float cap, const int32_t *j0, const int32_t *j1, int n, float *m_out,
                         float *l_out) {
  enum { N = WH_ATTENTION_CHUNK / VF_LANES };
  vf lanes[VF_LANES], least[VF_LANES];
  float m[VF_LANES], l[VF_LANES];
  for (int r = 0; r < n; r++) {
    float *row = s + r * WH_ATTENTION_CHUNK;
    if (cap > 0.0f)
      for (int i = 0; i < N; i++)
        vf_store(row + i * VF_LANES,
                 vf_mul(vf_tanh(vf_div(vf_load(row + i * VF_LANES), vf_set1(cap))), vf_set1(cap)));
    if (j1[r] - j0[r] < WH_ATTENTION_CHUNK)
      for (int i = 0; i < N; i++)
        vf_store(row + i * VF_LANES, vf_visible(vf_load(row + i * VF_LANES), i * VF_LANES, j0[r], j1[r]));
    lanes[r] = least[r] = vf_load(row);
    UNROLL_8
    for (int i = 1; i < N; i++) {
      const vf x = vf_load(row + i * VF_LANES);
      lanes[r] = vf_max(lanes[r], x);
      least[r] = vf_at_most(x, least[r]);
    }
  }
  for (int r = n; r < VF_LANES; r++) lanes[r] = vf_zero();
  vf_store(m, vf_max_of_rows(lanes));
  for (int r = 0; r < n; r++) {
    float *row = s + r * WH_ATTENTION_CHUNK;
    /* where a NaN hides from the test, all that comes of the row is NaN */
    if (!VF_LDEXP_IN_STEPS)
      exp_any(row, m[r]);
    else if (vf_all(vf_not_less(vf_sub(least[r], vf_set1(m[r])), vf_set1(-87.0f))))
      exp_normal(row, m[r]);
    else
      exp_seldom(row, m[r]);
    lanes[r] = sum_by_halves(row);
  }
  vf_store(l, vf_sum_of_rows(lanes));
  memcpy(m_out, m, (size_t)n * sizeof *m);
  memcpy(l_out, l, (size_t)n * sizeof *l);
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

/* Positions of a chunk: [first, last) are seen by some of a tile's query vectors, [low, high) by all. */
typedef struct seen_range {
  int first, last, low, high;
} seen_range;

static seen_range seen_by(int n, const int32_t *j0, const int32_t *j1) {
  seen_range s = {j0[0], j1[0], j0[0], j1[0]};
  for (int r = 1; r < n; r++) {
    s.first = j0[r] < s.first ? j0[r] : s.first;
    s.last = j1[r] > s.last ? j1[r] : s.last;
    s.low = j0[r] > s.low ? j0[r] : s.low;
    s.high = j1[r] < s.high ? j1[r] : s.high;
  }
  if (s.high <= s.low) s.low = s.high = s.last; /* nothing in common */
  return s;
}

/* Values weighted by the probabilities of query vectors: lanes are dimensions, each one chain over the
 * visible positions. */
typedef struct value_job {
  wh_dtype dtype;         /* of v */
  const float *p;         /* [r][64] */
  const void *v;          /* floats: [64][ld]; q8_0: codes in blocks; at the first column of the tile */
  const float *scales;    /* q8_0: [block][64], at the tile's first block */
  float *o;               /* [r][ld], at the first column of the tile */
  int64_t ld;             /* a multiple of 16 */
  const int32_t *j0, *j1; /* visible positions of each vector */
  seen_range seen;
  int fresh; /* vectors from here on store o; those before merge it */
  const float *a, *b;
  ahead next;
} value_job;

/* A vector of position j from `column` on. v: that position of floats; of q8_0 the job says where. */
INLINE vf load_value(const wh_dtype dtype, const value_job *t, const char *v, int64_t j, const int column) {
  if (dtype == WH_DTYPE_F32) return vf_load((const float *)(const void *)v + column);
  if (dtype == WH_DTYPE_F16) return vf_from_f16((const uint16_t *)(const void *)v + column);
  const int block = column / WH_KV_BLOCK, at = column % WH_KV_BLOCK;
  const char *codes = (const char *)t->v + block * (int64_t)sizeof(wh_kv_q8_block);
  return vf_mul(vf_from_s8(codes + j * WH_KV_BLOCK + at), vf_set1(t->scales[block * WH_ATTENTION_CHUNK + j]));
}

/* Bytes from a position to the next where values are floats. */
INLINE int64_t value_row(const wh_dtype dtype, const value_job *t) {
  return dtype == WH_DTYPE_Q8_0 ? 0 : t->ld * (dtype == WH_DTYPE_F16 ? 2 : 4);
}

/* Lines per position of n vectors of columns in the cache, of which the tile may have a widened copy. */
INLINE int value_lines(const value_job *t, const int n) {
  if (PACKED_DTYPE == WH_DTYPE_Q8_0) return 1;
  return (int)((n * VF_LANES * t->next.column + 63) / 64);
}

/* Position j + step, which all query vectors see; p and v are at position j. */
INLINE void value_step(const wh_dtype dtype, const int r_max, const int n, const value_job *t, int64_t j,
                       const int step, const float *p, const char *v, int64_t row, vf acc[TILE][4]) {
  vf value[4];
  UNROLL_8
  for (int i = 0; i < n; i++) {
    value[i] = load_value(dtype, t, v + step * row, j + step, i * VF_LANES);
  }
  UNROLL_8
  for (int r = 0; r < r_max; r++) {
    const vf x = vf_set1(p[r * WH_ATTENTION_CHUNK + step]);
    UNROLL_8
    for (int i = 0; i < n; i++) vf_accumulate(acc[r][i], x, value[i]);
  }
}

/* n vectors of columns. Positions that all query vectors see, [low, high), take the short way; before and
 * after those a vector takes only what it sees. */
INLINE void value_tile_rn(const wh_dtype dtype, const int r_max, const int n, const value_job *t) {
  vf acc[TILE][4];
  const int last = t->seen.last, high = t->seen.high;
  const int64_t row = value_row(dtype, t);
  int low = t->seen.low;
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
  for (int j = t->seen.first;; low = last) {
    for (; j < low; j++) {
      vf value[4];
      for (int i = 0; i < n; i++)
        value[i] = load_value(dtype, t, (const char *)t->v + j * row, j, i * VF_LANES);
      UNROLL_8
      for (int r = 0; r < r_max; r++) {
        vf x = vf_set1(t->p[r * WH_ATTENTION_CHUNK + j]);
        UNROLL_8
        for (int i = 0; i < n; i++)
          acc[r][i] = vf_fma_if(j >= t->j0[r] && j < t->j1[r], x, value[i], acc[r][i]);
      }
    }
    if (j == last) break;
    const float *p = t->p + j;
    const char *v = (const char *)t->v + j * row;
#define ADVANCE(steps) \
  j += (steps);        \
  p += (steps);        \
  v += (steps)*row;    \
  KEEP_APART(v)
    for (const int64_t until = j + t->next.rows; j < until && j < high;) {
      prefetch(&t->next, j, value_lines(t, n));
      value_step(dtype, r_max, n, t, j, 0, p, v, row, acc);
      ADVANCE(1);
    }
    while (j + 4 <= high) {
      UNROLL_8
      for (int i = 0; i < 4; i++) value_step(dtype, r_max, n, t, j, i, p, v, row, acc);
      ADVANCE(4);
    }
    while (j < high) {
      value_step(dtype, r_max, n, t, j, 0, p, v, row, acc);
      ADVANCE(1);
    }
#undef ADVANCE
  }
  /* read before anything is stored, which might be the job for all a compiler knows */
  const float *a = t->a, *b = t->b;
  const int64_t ld = t->ld;
  const int fresh = t->fresh;
  float *o = t->o;
  UNROLL_8
  for (int r = 0; r < r_max; r++, o += ld) {
    if (r < fresh) {
      UNROLL_8
      for (int i = 0; i < n; i++)
        acc[r][i] = vf_fma(vf_load(o + i * VF_LANES), vf_set1(a[r]), vf_mul(acc[r][i], vf_set1(b[r])));
    }
    UNROLL_8
    for (int i = 0; i < n; i++) vf_store(o + i * VF_LANES, acc[r][i]);
  }
}

TILE_TABLE(value, packed, PACKED_DTYPE, TILE_VECS)
TILE_TABLE(value, f32, WH_DTYPE_F32, TILE_VECS)

/* All columns of r query vectors. */
static void value_tile(int r_max, value_job *t) {
  const char *v = t->v;
  const float *scales = t->scales;
  const int64_t most = TILE_VECS(r_max), elem = t->dtype == WH_DTYPE_F16 ? 2 : 4, offset = t->next.offset;
  t->seen = seen_by(r_max, t->j0, t->j1);
  for (int64_t column = 0; column < t->ld;) {
    int64_t left = (t->ld - column) / VF_LANES;
    int64_t n =
        left > most ? (left == 5 && most == 4 ? 3 : most) : left; /* 3 + 2 keeps more sums going than 4 + 1 */
    if (t->dtype == WH_DTYPE_Q8_0) {
      int64_t block = column / WH_KV_BLOCK;
      t->v = v + block * (int64_t)sizeof(wh_kv_q8_block) + column % WH_KV_BLOCK;
      t->scales = scales + block * WH_ATTENTION_CHUNK;
    } else {
      t->v = v + column * elem;
    }
    if (t->dtype == WH_DTYPE_F32)
      value_tiles_f32[r_max - 1][n - 1](t);
    else
      value_tiles_packed[r_max - 1][n - 1](t);
    column += n * VF_LANES;
    t->o += n * VF_LANES;
    t->next.offset += n * VF_LANES * t->next.column;
  }
  t->v = v;
  t->scales = scales;
  t->next.offset = offset;
  t->next.row += t->next.rows;
}

/* What an item's query vectors have to do with one chunk. */
typedef struct chunk_view {
  int64_t tile, next_tile;  /* of the cache; next_tile: where the item goes on, -1: it ends */
  int64_t begin, end, step; /* the vectors that see it, in register tiles of at most `step` */
  const int32_t *j0, *j1;   /* vector i sees positions [j0[i], j1[i]) of it; both ascend */
  bool one;                 /* a single register tile: it widens the cache as it reads */
} chunk_view;

/* How far ahead of its reads a tile that streams the cache asks for lines: a few times latency x bandwidth.
 */
#define AHEAD_BYTES 8192

/* A single tile asks for what it will read a little later; more tiles, which share what they read, for the
 * next chunk, each for its part. */
static ahead lines_ahead(const chunk_view *c, const void *cache, int64_t tile_bytes, int64_t rows,
                         int64_t step, int64_t column) {
  const int64_t tiles = (c->end - c->begin + c->step - 1) / c->step;
  const uintptr_t here = (uintptr_t)cache + (uintptr_t)(c->tile * tile_bytes),
                  next = (uintptr_t)cache + (uintptr_t)(c->next_tile * tile_bytes);
  const int64_t far = c->one && tile_bytes > AHEAD_BYTES ? AHEAD_BYTES : tile_bytes;
  ahead a = {.here = here + (uintptr_t)far,
             .turn = tile_bytes - far,
             .step = step,
             .column = column,
             .rows = (rows + tiles - 1) / tiles};
  if (c->next_tile >= 0)
    a.there = next - (uintptr_t)a.turn;
  else if (a.turn > 0)
    a.there = here; /* read again by then: costs nothing */
  else
    a.rows = 0;
  return a;
}

#endif
