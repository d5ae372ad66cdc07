/* attention_cache_q8.h - caches of q8_0: products of quantised queries with their keys, their values as a
 * value_job wants them, stores. Included once by a kernel file; attention_driver.h uses what it defines. */
#ifndef WH_CPU_ATTENTION_CACHE_Q8_H
#define WH_CPU_ATTENTION_CACHE_Q8_H

#define PACKED_DTYPE WH_DTYPE_Q8_0
#include "backends/cpu/attention_tiles.h"

#define BLOCK WH_KV_BLOCK
#define BLOCK_BYTES ((int64_t)sizeof(wh_kv_q8_block))

/* codes = rint(x * factor) of one block, within -127..127; all 0 for a factor of 0, whatever x is */
static void quantize_block(const float *x, float factor, int8_t codes[BLOCK]) {
  if (factor == 0.0f) {
    memset(codes, 0, BLOCK);
    return;
  }
  for (int i = 0; i < BLOCK; i += VF_LANES)
    vf_store_s8(codes + i, vf_max(vf_mul(vf_load(x + i), vf_set1(factor)), vf_set1(-127.0f)));
}

/* Quantised queries of an item; they take the place of the widened keys, which integer dots do without. */
typedef struct q8_queries {
  int8_t *codes; /* [vector][head_dim] */
  float *scale;  /* [vector][block] */
  int32_t *bias; /* [vector][block]: what a dot begins with, to undo the bias of the keys' codes */
} q8_queries;

static q8_queries queries_at(const wh_attention_args *a, const wh_attention_workspace *w) {
  const int64_t n_blocks = a->head_dim / BLOCK;
  q8_queries q = {.scale = w->keys};
  q.bias = (int32_t *)(void *)(q.scale + WH_ATTENTION_BLOCK * n_blocks);
  q.codes = (int8_t *)(q.bias + WH_ATTENTION_BLOCK * n_blocks);
  return q;
}
_Static_assert(WH_ATTENTION_BLOCK *(2 * sizeof(float) + BLOCK) <= BLOCK * WH_ATTENTION_CHUNK * sizeof(float),
               "quantised queries fit the space of widened keys");

static void prepare_queries(const wh_attention_args *a, const wh_attention_workspace *w, int64_t n_vecs) {
  const q8_queries q = queries_at(a, w);
  for (int64_t i = 0; i < n_vecs * (a->head_dim / BLOCK); i++) {
    const float *x = w->q + i * BLOCK;
    float factor;
    q.scale[i] = wh_kv_query_scale(wh_kv_top(x, BLOCK), &factor);
    quantize_block(x, factor, q.codes + i * BLOCK);
    int32_t sum = 0;
    for (int d = 0; d < BLOCK; d++) sum += q.codes[i * BLOCK + d];
    q.bias[i] = -DOT_BIAS * sum;
  }
}

/* Scores of query vectors against keys of a tile of 64: lanes are positions. */
typedef struct score_job {
  const wh_kv_q8_block *k;
  int64_t n_blocks;
  q8_queries q; /* at the first of the tile */
  float *s;     /* [r][64] */
  int first;    /* position of the first lane */
  ahead next;
} score_job;

INLINE vi bcast_codes(const int8_t *codes) {
  int32_t four;
  memcpy(&four, codes, sizeof four);
  return vi_set32(four);
}

/* The integer dots of block b. */
INLINE void score_dots(const int r_max, const int n, const score_job *t, int64_t b, vi dot[TILE][4]) {
  const uint8_t *codes = t->k[b].codes + t->first * 4;
  vi key[4];
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) dot[r][i] = vi_set32(t->q.bias[r * t->n_blocks + b]);
  for (int64_t g = 0; g < BLOCK / 4; g++) { /* four dimensions */
    if (b * 8 + g < t->next.rows) prefetch(&t->next, b * 8 + g, 5);
    UNROLL_8
    for (int i = 0; i < n; i++) {
      key[i] = vi_key(vi_load(codes + g * 4 * WH_ATTENTION_CHUNK + i * VF_LANES * 4));
      IN_REGISTER(key[i]);
    }
    UNROLL_8
    for (int r = 0; r < r_max; r++) {
      vi x = bcast_codes(t->q.codes + (r * t->n_blocks + b) * BLOCK + g * 4);
      UNROLL_8
      for (int i = 0; i < n; i++) dot[r][i] = vi_dot(dot[r][i], key[i], x);
    }
  }
}

#ifdef DOTS_IN_PAIRS
/* The same by products of two positions with two query vectors, eight dimensions at a time. An odd last
 * vector is multiplied with itself. */
INLINE void score_dots_in_pairs(const int r_max, const int n, const score_job *t, int64_t b,
                                vi dot[TILE][4]) {
  const uint8_t *codes = t->k[b].codes + t->first * 4;
  const int64_t row = 4 * WH_ATTENTION_CHUNK;
  vi sum[(TILE + 1) / 2][4][2];
  UNROLL_8
  for (int r = 0; r < r_max; r += 2) UNROLL_8
  for (int i = 0; i < n; i++) sum[r / 2][i][0] = sum[r / 2][i][1] = vi_set32(0);
  for (int64_t g = 0; g < BLOCK / 4; g += 2) {
    for (int64_t four = b * 8 + g, i = 0; i < 2 && four + i < t->next.rows; i++)
      prefetch(&t->next, four + i, 5);
    vi pair[(TILE + 1) / 2];
    UNROLL_8
    for (int r = 0; r < r_max; r += 2) {
      const int8_t *q = t->q.codes + (r * t->n_blocks + b) * BLOCK + g * 4;
      pair[r / 2] = vi_load_pair(q, r + 1 < r_max ? q + t->n_blocks * BLOCK : q);
    }
    UNROLL_8
    for (int i = 0; i < n; i++) {
      const uint8_t *at = codes + g * row + i * VF_LANES * 4;
      const vi first = vi_key(vi_load(at)), second = vi_key(vi_load(at + row));
      const vi low = vi_pairs_low(first, second), high = vi_pairs_high(first, second);
      UNROLL_8
      for (int r = 0; r < r_max; r += 2) {
        sum[r / 2][i][0] = vi_dot_pairs(sum[r / 2][i][0], low, pair[r / 2]);
        sum[r / 2][i][1] = vi_dot_pairs(sum[r / 2][i][1], high, pair[r / 2]);
      }
    }
  }
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) {
    const vi low = sum[r / 2][i][0], high = sum[r / 2][i][1];
    dot[r][i] =
        vi_add32(r % 2 ? vi_odd(low, high) : vi_even(low, high), vi_set32(t->q.bias[r * t->n_blocks + b]));
  }
}
#endif

INLINE void score_block(const int r_max, const int n, const score_job *t, int64_t b, vi dot[TILE][4]) {
#ifdef DOTS_IN_PAIRS
  if (r_max > 1) {
    score_dots_in_pairs(r_max, n, t, b, dot);
    return;
  }
#endif
  score_dots(r_max, n, t, b, dot);
}

INLINE void score_tile_rn(const wh_dtype dtype, const int r_max, const int n, const score_job *t) {
  (void)dtype;
  vf acc[TILE][4];
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
  for (int64_t b = 0; b < t->n_blocks; b++) {
    vi dot[TILE][4];
    score_block(r_max, n, t, b, dot);
    UNROLL_8
    for (int i = 0; i < n; i++) {
      vf scale = vf_from_f16(t->k[b].scale + t->first + i * VF_LANES);
      UNROLL_8
      for (int r = 0; r < r_max; r++)
        acc[r][i] = vf_fma(scale, vf_mul(vf_from_int(dot[r][i]), vf_set1(t->q.scale[r * t->n_blocks + b])),
                           acc[r][i]);
    }
  }
  UNROLL_8
  for (int r = 0; r < r_max; r++) UNROLL_8
  for (int i = 0; i < n; i++) vf_store(t->s + r * WH_ATTENTION_CHUNK + t->first + i * VF_LANES, acc[r][i]);
}

TILE_TABLE(score, q8, WH_DTYPE_Q8_0, DOT_VECS)

/* Scores of r query vectors against positions [low, high). */
static void score_tile(int r, score_job *t, int low, int high) {
  const int most = DOT_VECS(r);
  const int64_t rows = t->next.rows;
  for (t->first = low / VF_LANES * VF_LANES; t->first < high;) {
    const int left = (high - t->first + VF_LANES - 1) / VF_LANES, n = left < most ? left : most;
    score_tiles_q8[r - 1][n - 1](t);
    t->first += n * VF_LANES;
    t->next.rows = 0; /* the first pass has asked for all */
  }
  t->next.rows = rows;
  t->next.row += rows;
}

static void score_chunk(const wh_attention_args *a, const wh_attention_workspace *w, const chunk_view *c) {
  const q8_queries q = queries_at(a, w);
  score_job t = {.k = wh_kv_q8_tile(a->keys, a->head_dim, c->tile), .n_blocks = a->head_dim / BLOCK};
  /* rows of four dimensions, a little longer than 4 lines: the tile has scales, too */
  t.next = lines_ahead(c, a->keys, t.n_blocks * BLOCK_BYTES, t.n_blocks * 8, BLOCK_BYTES / 8, 0);
  for (int64_t i = c->begin; i < c->end; i += c->step) {
    t.q.codes = q.codes + i * a->head_dim;
    t.q.scale = q.scale + i * t.n_blocks;
    t.q.bias = q.bias + i * t.n_blocks;
    t.s = w->p + i * WH_ATTENTION_CHUNK;
    const int r = (int)(c->end - i < c->step ? c->end - i : c->step);
    score_tile(r, &t, c->j0[i], c->j1[i + r - 1]);
  }
}

/* One tile widens values as it reads them, with the scales widened here; more tiles share a widened copy. */
static void open_values(const wh_attention_args *a, const wh_attention_workspace *w, const chunk_view *c,
                        value_job *t) {
  const wh_kv_q8_block *tile = wh_kv_q8_tile(a->values, a->value_dim, c->tile);
  const int64_t n_blocks = a->value_dim / BLOCK;
  t->next = lines_ahead(c, a->values, n_blocks * BLOCK_BYTES, WH_ATTENTION_CHUNK, 64, BLOCK_BYTES / BLOCK);
  ahead rest = t->next; /* positions ask for a line each, and two blocks have 68 */
  for (int64_t b = 0; b + 1 < n_blocks && rest.rows; b += 2, rest.offset += 2 * BLOCK_BYTES)
    prefetch(&rest, WH_ATTENTION_CHUNK, 4);
  float scales[WH_ATTENTION_CHUNK];
  for (int64_t b = 0; b < n_blocks; b++) {
    float *s = c->one ? w->values + b * WH_ATTENTION_CHUNK : scales;
    for (int j = 0; j < WH_ATTENTION_CHUNK; j += VF_LANES) vf_store(s + j, vf_from_f16(tile[b].scale + j));
    for (int j = c->j0[c->begin]; !c->one && j < c->j1[c->end - 1]; j++)
      for (int i = 0; i < BLOCK; i += VF_LANES)
        vf_store(w->values + j * t->ld + b * BLOCK + i,
                 vf_mul(vf_from_s8(tile[b].codes + wh_kv_value_code(i, j)), vf_set1(s[j])));
  }
  t->dtype = c->one ? WH_DTYPE_Q8_0 : WH_DTYPE_F32;
  t->v = c->one ? (const void *)tile->codes : w->values;
  t->scales = w->values;
}

/* One row of one head to position `pos` of a tile. */
static void append_row(const wh_kv_append_args *a, const float *x, int64_t tile, int64_t pos) {
  wh_kv_q8_block *block = (wh_kv_q8_block *)a->cache + tile * (a->head_dim / BLOCK);
  for (int64_t b = 0; b < a->head_dim / BLOCK; b++, block++, x += BLOCK) {
    int8_t codes[BLOCK];
    float factor;
    block->scale[pos] = wh_kv_scale(wh_kv_top(x, BLOCK), &factor);
    quantize_block(x, factor, codes);
    if (!a->is_key) {
      memcpy(block->codes + wh_kv_value_code(0, pos), codes, BLOCK);
      continue;
    }
    for (int64_t d = 0; d < BLOCK; d++)
      block->codes[wh_kv_key_code(d, pos)] = (uint8_t)(codes[d] + WH_KV_KEY_BIAS);
  }
}

#endif
