/* attention_cache_float.h - caches of f16 and f32: products with their keys, their values as a value_job
 * wants them, stores. Included once by a kernel file; attention_driver.h uses what it defines. */
#ifndef WH_CPU_ATTENTION_CACHE_FLOAT_H
#define WH_CPU_ATTENTION_CACHE_FLOAT_H

#define PACKED_DTYPE WH_DTYPE_F16
#include "backends/cpu/attention_tiles.h"

INLINE vf load_cached(const wh_dtype dtype, const void *p, int64_t i) {
  return dtype == WH_DTYPE_F16 ? vf_from_f16((const uint16_t *)p + i) : vf_load((const float *)p + i);
}

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

/* Scores of query vectors against keys of a tile of 64: lanes are positions, each lane one chain over the
 * dimensions. */
typedef struct score_job {
  wh_dtype dtype; /* of k */
  const float *q; /* [r][n_dim] */
  const void *k;  /* [n_dim][64] */
  int64_t n_dim;
  float *s;  /* [r][64] */
  int first; /* position of the first lane */
  ahead next;
} score_job;

/* The dimension that is `step` behind where q and k are. q: of each third row; the two that follow are in
 * reach of an address. */
INLINE void score_step(const wh_dtype dtype, const int r_max, const int n, const int step,
                       const char *const *q, int64_t ldq, const char *k, vf acc[TILE][4]) {
  vf key[4];
  UNROLL_8
  for (int i = 0; i < n; i++) {
    key[i] = load_cached(dtype, k, step * WH_ATTENTION_CHUNK + i * VF_LANES);
  }
  UNROLL_8
  for (int r = 0; r < r_max; r++) {
    const vf x = vf_set1(((const float *)(const void *)(q[r / 3] + r % 3 * ldq))[step]);
    UNROLL_8
    for (int i = 0; i < n; i++) vf_accumulate(acc[r][i], x, key[i]);
  }
}

INLINE void score_tile_rn(const wh_dtype dtype, const int r_max, const int n, const score_job *t) {
  const int64_t elem = dtype == WH_DTYPE_F16 ? 2 : 4;
  vf acc[TILE][4];
  int64_t left = t->n_dim, ldq = left * (int64_t)sizeof(float);
  const char *q[TILE / 3], *k = (const char *)t->k + t->first * elem;
  UNROLL_8
  for (int r = 0; r < r_max; r += 3) q[r / 3] = (const char *)t->q + r * ldq;
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
#define STEP(s)                                   \
  score_step(dtype, r_max, n, s, q, ldq, k, acc); \
  KEEP_APART(ldq)
#define ADVANCE(steps)                    \
  k += (steps)*WH_ATTENTION_CHUNK * elem; \
  UNROLL_8                                \
  for (int r = 0; r < r_max; r += 3) {    \
    q[r / 3] += (steps) * sizeof(float);  \
    KEEP_APART(q[r / 3]);                 \
  }
  for (const int64_t until = left - t->next.rows; left > until && left > 0; left--) {
    prefetch(&t->next, t->n_dim - left, (int)(t->next.step / 64));
    STEP(0);
    ADVANCE(1)
  }
  for (; left >= 4; left -= 4) {
    STEP(0);
    STEP(1);
    STEP(2);
    STEP(3);
    ADVANCE(4)
  }
  for (; left > 0; left--) {
    STEP(0);
    ADVANCE(1)
  }
#undef STEP
#undef ADVANCE
  float *s = t->s + t->first;
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) vf_store(s + r * WH_ATTENTION_CHUNK + i * VF_LANES, acc[r][i]);
}

TILE_TABLE(score, f16, WH_DTYPE_F16, TILE_VECS)
TILE_TABLE(score, f32, WH_DTYPE_F32, TILE_VECS)

/* Scores of r query vectors against positions [low, high). */
static void score_tile(int r, score_job *t, int low, int high) {
  const int most = TILE_VECS(r);
  const int64_t rows = t->next.rows;
  for (t->first = low / VF_LANES * VF_LANES; t->first < high;) {
    const int left = (high - t->first + VF_LANES - 1) / VF_LANES, n = left < most ? left : most;
    if (t->dtype == WH_DTYPE_F16)
      score_tiles_f16[r - 1][n - 1](t);
    else
      score_tiles_f32[r - 1][n - 1](t);
    t->first += n * VF_LANES;
    t->next.rows = 0; /* the first pass has asked for all */
  }
  t->next.rows = rows;
  t->next.row += rows;
}

/* Queries are used as they are. */
static void prepare_queries(const wh_attention_args *a, const wh_attention_workspace *w, int64_t n_vecs) {
  (void)a;
  (void)w;
  (void)n_vecs;
}

/* One tile widens the cache as it reads it. More tiles share a widened copy. */
static void score_chunk(const wh_attention_args *a, const wh_attention_workspace *w, const chunk_view *c) {
  const int64_t elem = a->dtype == WH_DTYPE_F16 ? 2 : 4, row = WH_ATTENTION_CHUNK * elem;
  const char *k = (const char *)a->keys + c->tile * a->head_dim * row;
  score_job t = {.dtype = a->dtype, .k = k, .n_dim = a->head_dim};
  t.next = lines_ahead(c, a->keys, a->head_dim * row, a->head_dim, row, 0);
  if (!c->one && a->dtype == WH_DTYPE_F16) {
    unpack_f16((const uint16_t *)(const void *)k, w->keys, a->head_dim * WH_ATTENTION_CHUNK);
    t.dtype = WH_DTYPE_F32;
    t.k = w->keys;
  }
  for (int64_t i = c->begin; i < c->end; i += c->step) {
    t.q = w->q + i * a->head_dim;
    t.s = w->p + i * WH_ATTENTION_CHUNK;
    const int r = (int)(c->end - i < c->step ? c->end - i : c->step);
    score_tile(r, &t, c->j0[i], c->j1[i + r - 1]);
  }
}

/* Rows [j0, j1) of the values of a tile as floats, padded with zeros to a multiple of 16. */
static void unpack_values(const wh_attention_args *a, int64_t at, int j0, int j1, float *buffer) {
  const int64_t n = a->value_dim, ld = wh_attention_pad(n);
  if (ld == n) {
    unpack_f16((const uint16_t *)a->values + at + j0 * n, buffer + j0 * n, (j1 - j0) * n);
    return;
  }
  for (int j = j0; j < j1; j++) {
    float *to = buffer + j * ld;
    if (a->dtype == WH_DTYPE_F32)
      memcpy(to, (const float *)a->values + at + j * n, (size_t)n * sizeof *to);
    else
      unpack_f16((const uint16_t *)a->values + at + j * n, to, n);
    for (int64_t d = n; d < ld; d++) to[d] = 0.0f;
  }
}

static void open_values(const wh_attention_args *a, const wh_attention_workspace *w, const chunk_view *c,
                        value_job *t) {
  const int64_t elem = a->dtype == WH_DTYPE_F16 ? 2 : 4, row = a->value_dim * elem;
  const int64_t at = c->tile * WH_ATTENTION_CHUNK * a->value_dim;
  const char *v = (const char *)a->values + at * elem;
  t->dtype = a->dtype;
  t->v = v;
  t->next = lines_ahead(c, a->values, WH_ATTENTION_CHUNK * row, WH_ATTENTION_CHUNK, row, elem);
  if (t->ld != a->value_dim || (!c->one && a->dtype == WH_DTYPE_F16)) {
    unpack_values(a, at, c->j0[c->begin], c->j1[c->end - 1], w->values);
    t->dtype = WH_DTYPE_F32;
    t->v = w->values;
  }
}

/* One row of one head to position `pos` of a tile. */
static void append_row(const wh_kv_append_args *a, const float *x, int64_t tile, int64_t pos) {
  enum { DIMS = 64 };
  const int64_t n = a->head_dim, base = tile * WH_ATTENTION_CHUNK * n;
  float *floats = (float *)a->cache + base;
  uint16_t *halves = (uint16_t *)a->cache + base, piece[DIMS];
  if (!a->is_key) {
    if (a->dtype == WH_DTYPE_F32)
      memcpy(floats + pos * n, x, (size_t)n * sizeof *x);
    else
      pack_f16(x, halves + pos * n, n);
    return;
  }
  for (int64_t d = 0; d < n; d += DIMS) {
    int64_t dims = n - d < DIMS ? n - d : DIMS;
    if (a->dtype == WH_DTYPE_F16) pack_f16(x + d, piece, dims);
    for (int64_t e = 0; e < dims; e++) {
      if (a->dtype == WH_DTYPE_F32)
        floats[(d + e) * WH_ATTENTION_CHUNK + pos] = x[d + e];
      else
        halves[(d + e) * WH_ATTENTION_CHUNK + pos] = piece[e];
    }
  }
}

#endif
