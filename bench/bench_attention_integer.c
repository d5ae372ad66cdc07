/* bench_attention_integer.c - what prefill attention would gain by integer products at AVX-512 VNNI (ADR
 * 0016): the library's fp32 code, included here, against definitions of docs/evidence/attention_integer.py,
 * in one run.
 *
 * 96 query vectors of one KV head see 4096 positions. Each definition is first compared, bit for bit, with
 * its plain C form. Times are medians of PAIRS: each run is between two of the fp32 code and is measured in
 * their mean; when other work came in between, or the machine changed its speed, it is repeated. Usage:
 * bench_attention_integer (pin it: taskset -c 1) */
#define WH_ATTENTION_VNNI 1
#include "backends/cpu/avx512/attention_vec_avx512.h"

#include "backends/cpu/attention_cache_float.h"

#include "backends/cpu/attention_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <x86intrin.h>

#include "bench/timing.h"

wh_attention_fn wh_bench_attention(void);
wh_kv_append_fn wh_bench_kv_append(void);
/* All of the library's functions are in use. */
wh_attention_fn wh_bench_attention(void) { return attend_team; }
wh_kv_append_fn wh_bench_kv_append(void) { return append_team; }

enum { ROWS = 96, DEPTH = 4096, CHUNK = WH_ATTENTION_CHUNK, N_CHUNKS = DEPTH / CHUNK, R = 6, PAIRS = 41 };

/* How a variant weighs values. Codes of p * (scale of the position's values), by groups of positions. */
typedef struct definition {
  const char *name;
  int block, key_max;    /* scores: dimensions of a block, largest code; 0: fp32 */
  int group, weight_max; /* weights: positions of a group, largest code; 0: fp32 */
} definition;

static const definition definitions[] = {
    {"fp32 (the library)", 0, 0, 0, 0},
    {"scores: heads, 4095", -1, 4095, 0, 0},
    {"scores: 64, 5792", 64, 5792, 0, 0},
    {"scores: 32, 8191", 32, 8191, 0, 0},
    {"heads, 4095; chunk, 12 bits", -1, 4095, 64, 4095},
    {"heads, 4095; 16, 15 bits", -1, 4095, 16, 32767},
    {"heads, 4095; 8, 16 bits", -1, 4095, 8, 65535},
    {"heads, 4095; two limbs", -1, 4095, 64, 1 << 23},
    {"64, 5792; 8, 16 bits", 64, 5792, 8, 65535},
    {"32, 8191; 8, 16 bits", 32, 8191, 8, 65535},
    {"32, 8191; two limbs", 32, 8191, 64, 1 << 23},
};

typedef struct problem {
  int64_t dim, rows;       /* rows: ROWS */
  float *q, *k, *v;        /* [ROWS][dim] scaled; [DEPTH][dim] */
  uint16_t *keys, *values; /* f16 tiles, as the library's */
  int16_t *key_codes;      /* tiles [dim / 2][64][2] */
  float *key_scales;       /* [chunk][block][64] */
  int16_t *value_codes;    /* tiles [32][dim][2]: two positions lie together */
  float *value_scales;     /* [chunk][64] */
  float *y;                /* [ROWS][dim] */
  void *scratch;
} problem;

/* What an integer variant has beside the library's workspace. */
typedef struct codes {
  int16_t q[ROWS * 128];
  float q_scales[ROWS * 4];
  int16_t p[ROWS * CHUNK], p_low[ROWS * CHUNK];
  float unit[ROWS * 8];  /* [row][group] */
  int32_t bias[8 * 128]; /* [group][dim]: 32768 times the sum of the group's values */
} codes;

static int64_t block_of(const definition *d, int64_t dim) { return d->block < 0 ? dim : d->block; }

/* docs/NUMERICS.md, "quantize_wide": one block */
static float to_codes(const float *x, int64_t n, int largest, int16_t *code, int64_t stride) {
  float top = 0.0f;
  for (int64_t i = 0; i < n; i++) top = fmaxf(top, fabsf(x[i]));
  const float factor = top < 0x1p-100f ? 0.0f : (float)largest / top;
  for (int64_t i = 0; i < n; i++) code[i * stride] = (int16_t)rintf(x[i] * factor);
  return top < 0x1p-100f ? 0.0f : top / (float)largest;
}

static void store_codes(problem *t, const definition *d) {
  const int64_t dim = t->dim, block = block_of(d, dim);
  int16_t row[128];
  for (int64_t pos = 0; pos < DEPTH; pos++) {
    const int64_t c = pos / CHUNK, j = pos % CHUNK;
    for (int64_t b = 0; d->block && b < dim / block; b++)
      t->key_scales[(c * (dim / block) + b) * CHUNK + j] =
          to_codes(t->k + pos * dim + b * block, block, d->key_max, row + b * block, 1);
    for (int64_t i = 0; d->block && i < dim; i++)
      t->key_codes[c * CHUNK * dim + (i / 2 * CHUNK + j) * 2 + i % 2] = row[i];
    if (d->group)
      t->value_scales[pos] = to_codes(t->v + pos * dim, dim, 4095,
                                      t->value_codes + c * CHUNK * dim + j / 2 * dim * 2 + j % 2, 2);
  }
}

static vi dot16(vi acc, vi a, vi b) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}

static inline vi bcast_pair(const int16_t *p) {
  int32_t two;
  memcpy(&two, p, sizeof two);
  return vi_set32(two);
}

/* ---- scores */

INLINE void score_codes(const int n, const int whole, const problem *t, const codes *x, int64_t block,
                        int64_t c, int64_t row, int first, float *s) {
  const int64_t dim = t->dim, n_blocks = whole ? 1 : dim / block;
  const int16_t *k = t->key_codes + c * CHUNK * dim + first * 2;
  vf acc[R][4];
  for (int64_t b = 0; b < n_blocks; b++) {
    vi dot[R][4], key[4];
    UNROLL
    for (int r = 0; r < R; r++) UNROLL
    for (int i = 0; i < n; i++) dot[r][i] = vi_set32(0);
    for (int64_t e = b * block / 2; e < (b + 1) * block / 2; e++) {
      UNROLL
      for (int i = 0; i < n; i++) {
        key[i] = vi_load(k + (e * CHUNK + i * VF_LANES) * 2);
        IN_REGISTER(key[i]);
      }
      UNROLL
      for (int r = 0; r < R; r++) {
        const vi q = bcast_pair(x->q + (row + r) * dim + e * 2);
        UNROLL
        for (int i = 0; i < n; i++) dot[r][i] = dot16(dot[r][i], key[i], q);
      }
    }
    UNROLL
    for (int i = 0; i < n; i++) {
      const vf scale = vf_load(t->key_scales + (c * n_blocks + b) * CHUNK + first + i * VF_LANES);
      UNROLL
      for (int r = 0; r < R; r++)
        acc[r][i] = vf_fma(vf_mul(scale, vf_set1(x->q_scales[(row + r) * n_blocks + b])),
                           vf_from_int(dot[r][i]), !whole && b ? acc[r][i] : vf_zero());
    }
  }
  UNROLL
  for (int r = 0; r < R; r++) UNROLL
  for (int i = 0; i < n; i++) vf_store(s + r * CHUNK + i * VF_LANES, acc[r][i]);
}

static __attribute__((noinline)) void scores_whole(const problem *t, const codes *x, int64_t c, int64_t row,
                                                   float *s) {
  score_codes(4, 1, t, x, t->dim, c, row, 0, s);
}
static __attribute__((noinline)) void scores_64(const problem *t, const codes *x, int64_t c, int64_t row,
                                                float *s) {
  for (int first = 0; first < CHUNK; first += 2 * VF_LANES)
    score_codes(2, 0, t, x, 64, c, row, first, s + first);
}
static __attribute__((noinline)) void scores_blocks(const problem *t, const codes *x, int64_t c, int64_t row,
                                                    float *s) {
  for (int first = 0; first < CHUNK; first += 2 * VF_LANES)
    score_codes(2, 0, t, x, 32, c, row, first, s + first);
}

/* ---- weights to codes */

/* Each of 16 lanes: the largest of the 8 lanes of a group; lanes 2 g and 2 g + 1 hold that of group g of 8.
 */
static inline vf max_of_eights(const vf y[4]) {
  const vf a = vf_max(_mm512_shuffle_f32x4(y[0], y[1], 0x88), _mm512_shuffle_f32x4(y[0], y[1], 0xdd)),
           b = vf_max(_mm512_shuffle_f32x4(y[2], y[3], 0x88), _mm512_shuffle_f32x4(y[2], y[3], 0xdd));
  /* four lanes of a and b are what is left of a group: 0 1 2 3 and 4 5 6 7 */
  const vf s = vf_max(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
  /* pairs: a0 b0 a1 b1 ..., that is groups 0 4 1 5 2 6 3 7 */
  return vf_max(s, _mm512_permute_ps(s, 0xb1));
}

static inline void store_codes16(int16_t *to, vi c) {
  _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi32_epi16(c));
}

INLINE void weigh(const int group, const int largest, const float *p, const float *scales, int64_t n,
                  codes *x) {
  for (int64_t row = 0; row < n; row += VF_LANES) {
    float tops[4][VF_LANES], factor[4][VF_LANES];
    vf lanes[VF_LANES];
    const vf most = vf_set1((float)largest), one_code = vf_set1(1.0f / (float)largest),
             tiny = vf_set1(0x1p-100f);
    if (group >= 16) /* of each row: 1 or 4 values */
      for (int i = 0; i < 64 / group; i++) {
        for (int r = 0; r < VF_LANES; r++) {
          const float *at = p + (row + r) * CHUNK;
          lanes[r] = vf_mul(vf_load(at + i * VF_LANES), vf_load(scales + i * VF_LANES));
          if (group == 64)
            for (int e = 1; e < 4; e++)
              lanes[r] = vf_max(lanes[r], vf_mul(vf_load(at + e * VF_LANES), vf_load(scales + e * VF_LANES)));
        }
        const vf top = vf_max_of_rows(lanes);
        const __mmask16 live = _mm512_cmp_ps_mask(top, tiny, _CMP_GE_OQ);
        vf_store(factor[i], _mm512_maskz_div_ps(live, most, top));
        vf_store(tops[i], _mm512_maskz_mul_ps(live, top, one_code));
      }
    for (int r = 0; r < VF_LANES; r++) {
      const float *at = p + (row + r) * CHUNK;
      vf y[4], f[4];
      UNROLL
      for (int i = 0; i < 4; i++) y[i] = vf_mul(vf_load(at + i * VF_LANES), vf_load(scales + i * VF_LANES));
      if (group == 8) {
        const vf top = max_of_eights(y);
        const __mmask16 live = _mm512_cmp_ps_mask(top, tiny, _CMP_GE_OQ);
        const vf all = _mm512_maskz_div_ps(live, most, top), unit = _mm512_maskz_mul_ps(live, top, one_code);
        /* group g is at lanes 4 (g % 4) + 2 (g / 4) */
        const vi at8 = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 4, 8, 12, 2, 6, 10, 14);
        _mm256_storeu_ps(x->unit + (row + r) * 8, _mm512_castps512_ps256(_mm512_permutexvar_ps(at8, unit)));
        UNROLL
        for (int i = 0; i < 4; i++) {
          const int g0 = 2 * i, g1 = 2 * i + 1, l0 = 4 * (g0 % 4) + 2 * (g0 / 4),
                    l1 = 4 * (g1 % 4) + 2 * (g1 / 4);
          f[i] = _mm512_permutexvar_ps(
              _mm512_setr_epi32(l0, l0, l0, l0, l0, l0, l0, l0, l1, l1, l1, l1, l1, l1, l1, l1), all);
        }
      } else {
        for (int i = 0; i < 64 / group; i++) x->unit[(row + r) * (64 / group) + i] = tops[i][r];
        UNROLL
        for (int i = 0; i < 4; i++) f[i] = vf_set1(factor[group == 64 ? 0 : i][r]);
      }
      UNROLL
      for (int i = 0; i < 4; i++) {
        vi c = _mm512_cvtps_epi32(vf_mul(y[i], f[i]));
        if (largest == 65535) c = _mm512_sub_epi32(c, vi_set32(32768));
        int16_t *to = x->p + (row + r) * CHUNK + i * VF_LANES;
        if (largest <= 65535) {
          store_codes16(to, c);
        } else {
          store_codes16(to, _mm512_srli_epi32(c, 12));
          store_codes16(x->p_low + (to - x->p), _mm512_and_si512(c, vi_set32(4095)));
        }
      }
    }
  }
}

/* ---- values */

INLINE void sum_codes(const int n, const int group, const int largest, const problem *t, const codes *x,
                      int64_t c, int64_t row, int64_t column, const wh_attention_state *state,
                      const wh_attention_workspace *w, bool merge) {
  const int64_t dim = t->dim;
  const int16_t *v = t->value_codes + c * CHUNK * dim + column * 2;
  const int two = largest > 65535;
  vf acc[R][4];
  UNROLL
  for (int r = 0; r < R; r++) UNROLL
  for (int i = 0; i < n; i++) acc[r][i] = vf_zero();
  for (int g = 0; g < CHUNK / group; g++) {
    UNROLL
    for (int part = 0; part < 1 + two; part++) {
      const int16_t *codes_of = part ? x->p_low : x->p;
      vi dot[R][4], value[4];
      UNROLL
      for (int i = 0; i < n; i++) {
        const vi start = largest == 65535 ? vi_load(x->bias + g * dim + column + i * VF_LANES) : vi_set32(0);
        UNROLL
        for (int r = 0; r < R; r++) dot[r][i] = start;
      }
      const int16_t *values = v + g * group * dim;
      codes_of += row * CHUNK + g * group;
      for (int e = 0; e < group / 2; e++) {
        UNROLL
        for (int i = 0; i < n; i++) {
          value[i] = vi_load(values + (e * dim + i * VF_LANES) * 2);
          IN_REGISTER(value[i]);
        }
        UNROLL
        for (int r = 0; r < R; r++) {
          const vi p = bcast_pair(codes_of + r * CHUNK + e * 2);
          UNROLL
          for (int i = 0; i < n; i++) dot[r][i] = dot16(dot[r][i], value[i], p);
        }
      }
      UNROLL
      for (int r = 0; r < R; r++) UNROLL
      for (int i = 0; i < n; i++) {
        const vf f = vf_from_int(dot[r][i]), unit = vf_set1(x->unit[(row + r) * (CHUNK / group) + g]);
        if (two && part == 0)
          acc[r][i] = f; /* the high limb, until the low one is there */
        else
          acc[r][i] = two ? vf_mul(unit, vf_fma(acc[r][i], vf_set1(4096.0f), f)) : vf_fma(unit, f, acc[r][i]);
      }
    }
  }
  UNROLL
  for (int r = 0; r < R; r++) {
    float *o = state->o + (row + r) * dim + column;
    UNROLL
    for (int i = 0; i < n; i++) {
      if (merge)
        acc[r][i] = vf_fma(vf_load(o + i * VF_LANES), vf_set1(w->a[row + r]),
                           vf_mul(acc[r][i], vf_set1(w->b[row + r])));
      vf_store(o + i * VF_LANES, acc[r][i]);
    }
  }
}

#define VALUES(name, n, group, largest)                                                                    \
  static __attribute__((noinline)) void name(const problem *t, const codes *x, int64_t c, int64_t row,     \
                                             const wh_attention_state *s, const wh_attention_workspace *w, \
                                             bool m) {                                                     \
    for (int64_t column = 0; column < t->dim; column += (n)*VF_LANES)                                      \
      sum_codes(n, group, largest, t, x, c, row, column, s, w, m);                                         \
  }
VALUES(values_64, 2, 64, 4095)
VALUES(values_16, 2, 16, 32767)
VALUES(values_8, 2, 8, 65535)
VALUES(values_limbs, 2, 64, 1 << 23)

/* 32768 times the sums of eight positions, which codes of p are off by. */
static void value_bias(const problem *t, int64_t c, codes *x) {
  const int16_t *v = t->value_codes + c * CHUNK * t->dim;
  const vi ones = _mm512_set1_epi16(1);
  for (int g = 0; g < 8; g++)
    for (int64_t column = 0; column < t->dim; column += VF_LANES) {
      vi sum = vi_set32(0);
      for (int e = g * 4; e < g * 4 + 4; e++) sum = dot16(sum, vi_load(v + (e * t->dim + column) * 2), ones);
      _mm512_storeu_si512(x->bias + g * t->dim + column, _mm512_slli_epi32(sum, 15));
    }
}

/* ---- all of it */

typedef struct cycles {
  double queries, scores, softmax, weights, values, all;
} cycles;

static void attend(problem *t, const definition *d, codes *x, cycles *spent) {
  const int64_t dim = t->dim;
  int32_t table[N_CHUNKS], j0[ROWS] = {0}, j1[ROWS];
  for (int32_t i = 0; i < N_CHUNKS; i++) table[i] = i;
  for (int i = 0; i < ROWS; i++) j1[i] = CHUNK;
  wh_attention_args a = {.dtype = WH_DTYPE_F16,
                         .rows = ROWS,
                         .n_heads = 1,
                         .n_kv_heads = 1,
                         .head_dim = dim,
                         .value_dim = dim,
                         .keys = t->keys,
                         .values = t->values,
                         .page_table = table,
                         .table = N_CHUNKS,
                         .y = t->y,
                         .ldy = dim,
                         .scratch = t->scratch};
  const wh_worker worker = {.index = 0, .count = 1};
  wh_attention_workspace w = wh_attention_workspace_at(t->scratch, &a, &worker);
  const wh_attention_item item = {.n_rows = ROWS, .n_heads = 1, .n_vecs = ROWS, .chunk_end = N_CHUNKS};
  cycles z = {0};
  uint64_t begin = __rdtsc(), at = begin, now;
#define LAP(part) (now = __rdtsc(), z.part += (double)(now - at), at = now)
  memcpy(w.q, t->q, (size_t)(ROWS * dim) * sizeof *w.q);
  for (int i = 0; i < ROWS; i++) {
    w.low[i] = 0;
    w.high[i] = DEPTH;
  }
  const int64_t block = block_of(d, dim);
  if (d->block)
    for (int64_t b = 0; b < ROWS * dim / block; b++)
      x->q_scales[b] = to_codes(w.q + b * block, block, d->key_max, x->q + b * block, 1);
  LAP(queries);
  for (int64_t c = 0; c < N_CHUNKS; c++) {
    const bool sets = c % WH_ATTENTION_SPAN == 0;
    const chunk_view view = {
        .tile = c, .next_tile = c + 1 < N_CHUNKS ? c + 1 : -1, .end = ROWS, .step = R, .j0 = j0, .j1 = j1};
    if (d->block == 0) score_chunk(&a, &w, &view);
    for (int64_t i = 0; i < ROWS && d->block; i += R)
      (d->block < 0 ? scores_whole : d->block == 64 ? scores_64 : scores_blocks)(t, x, c, i, w.p + i * CHUNK);
    LAP(scores);
    for (int64_t i = 0; i < ROWS; i += VF_LANES)
      softmax_rows(w.p + i * CHUNK, 0.0f, j0 + i, j1 + i, VF_LANES, w.m + i, w.l + i);
    if (sets) {
      memcpy(w.state.m, w.m, ROWS * sizeof(float));
      memcpy(w.state.l, w.l, ROWS * sizeof(float));
    } else {
      merge_factors(0, t->rows, &w.state, &w);
    }
    LAP(softmax);
    const float *scales = t->value_scales + c * CHUNK;
    if (d->group == 64 && d->weight_max == 4095) weigh(64, 4095, w.p, scales, ROWS, x);
    if (d->group == 64 && d->weight_max > 65535) weigh(64, 1 << 23, w.p, scales, ROWS, x);
    if (d->group == 16) weigh(16, 32767, w.p, scales, ROWS, x);
    if (d->group == 8) weigh(8, 65535, w.p, scales, ROWS, x);
    if (d->group == 8) value_bias(t, c, x);
    LAP(weights);
    if (d->group == 0) {
      value_job job = {.ld = dim};
      open_values(&a, &w, &view, &job);
      for (int64_t i = 0; i < ROWS; i += R) {
        job.p = w.p + i * CHUNK;
        job.j0 = j0 + i;
        job.j1 = j1 + i;
        job.a = w.a + i;
        job.b = w.b + i;
        job.fresh = sets ? 0 : R;
        job.o = w.state.o + i * dim;
        value_tile(R, &job);
      }
    }
    for (int64_t i = 0; i < ROWS && d->group; i += R)
      (d->group == 16          ? values_16
       : d->group == 8         ? values_8
       : d->weight_max > 65535 ? values_limbs
                               : values_64)(t, x, c, i, &w.state, &w, !sets);
    LAP(values);
    if (c % WH_ATTENTION_SPAN == WH_ATTENTION_SPAN - 1) {
      const span_range span = {c - (WH_ATTENTION_SPAN - 1), c + 1};
      merge_span(&a, &item, span, &w);
    }
    LAP(softmax);
  }
  for (int64_t v = 0; v < ROWS; v++) store_output(&a, &item, v, w.all.l[v], w.all.o + v * dim);
  LAP(softmax);
  z.all = (double)(now - begin);
  *spent = z;
}

/* A row by the definition in plain C; its distance from binary64 over unrounded keys and values in *error. */
static void plain(const problem *t, const definition *d, int64_t row, float *y, double *error) {
  const int64_t dim = t->dim, block = block_of(d, dim);
  const float *q = t->q + row * dim;
  float span_o[128], all_o[128], span_m = 0, span_l = 0, all_m = 0, all_l = 0;
  double s64[DEPTH], top64 = -1e30, sum64 = 0, miss = 0, size = 0;
  for (int64_t c = 0; c < N_CHUNKS; c++) {
    float p[CHUNK], lanes[CHUNK], m = -INFINITY, o[128] = {0};
    for (int64_t j = 0; j < CHUNK; j++) {
      const float *k = t->k + (c * CHUNK + j) * dim;
      float s = 0.0f;
      double exact = 0.0;
      for (int64_t i = 0; i < dim; i++) exact += (double)q[i] * (double)k[i];
      s64[c * CHUNK + j] = exact;
      top64 = exact > top64 ? exact : top64;
      for (int64_t i = 0; i < dim && !d->block; i++)
        s = fmaf(q[i], wh_f32_from_f16(wh_f16_from_f32(k[i])), s);
      for (int64_t b = 0; d->block && b < dim / block; b++) {
        int16_t qc[128], kc[128];
        const float qs = to_codes(q + b * block, block, d->key_max, qc, 1),
                    ks = to_codes(k + b * block, block, d->key_max, kc, 1);
        int32_t dot = 0;
        for (int64_t i = 0; i < block; i++) dot += qc[i] * kc[i];
        s = fmaf(ks * qs, (float)dot, s);
      }
      p[j] = s;
      m = s > m ? s : m;
    }
    for (int j = 0; j < CHUNK; j++) lanes[j] = p[j] = wh_exp_f32(p[j] - m);
    for (int h = 32; h > 0; h /= 2)
      for (int i = 0; i < h; i++) lanes[i] = lanes[i] + lanes[i + h];
    const float l = lanes[0];
    for (int j = 0; j < CHUNK && !d->group; j++)
      for (int64_t i = 0; i < dim; i++)
        o[i] = fmaf(p[j], wh_f32_from_f16(wh_f16_from_f32(t->v[(c * CHUNK + j) * dim + i])), o[i]);
    for (int g = 0; d->group && g < CHUNK / d->group; g++) {
      int64_t dot[128] = {0}, low[128] = {0};
      float most = 0.0f, folded[CHUNK];
      int16_t vc[CHUNK][128];
      for (int j = 0; j < d->group; j++) {
        const int64_t pos = c * CHUNK + g * d->group + j;
        folded[j] = p[g * d->group + j] * to_codes(t->v + pos * dim, dim, 4095, vc[j], 1);
        most = folded[j] > most ? folded[j] : most;
      }
      const float factor = most < 0x1p-100f ? 0.0f : (float)d->weight_max / most,
                  unit = most < 0x1p-100f ? 0.0f : most * (1.0f / (float)d->weight_max);
      for (int j = 0; j < d->group; j++) {
        const int32_t code = (int32_t)rintf(folded[j] * factor), part = d->weight_max > 65535 ? 12 : 0;
        for (int64_t i = 0; i < dim; i++) {
          dot[i] += (int64_t)(code >> part) * vc[j][i];
          low[i] += (int64_t)(code & ((1 << part) - 1)) * vc[j][i];
        }
      }
      for (int64_t i = 0; i < dim; i++) {
        if (dot[i] != (int32_t)dot[i] || low[i] != (int32_t)low[i])
          exit(3); /* the bound on an int32 is wrong */
        o[i] = d->weight_max > 65535 ? unit * fmaf((float)dot[i], 4096.0f, (float)low[i])
                                     : fmaf(unit, (float)dot[i], o[i]);
      }
    }
    const bool sets = c % WH_ATTENTION_SPAN == 0, ends = c % WH_ATTENTION_SPAN == WH_ATTENTION_SPAN - 1;
    const float top = sets || m > span_m ? m : span_m, a = sets ? 0.0f : wh_exp_f32(span_m - top),
                b = sets ? 1.0f : wh_exp_f32(m - top);
    span_l = sets ? l : fmaf(span_l, a, l * b);
    for (int64_t i = 0; i < dim; i++) span_o[i] = sets ? o[i] : fmaf(span_o[i], a, o[i] * b);
    span_m = top;
    if (!ends) continue;
    const bool first = c < WH_ATTENTION_SPAN;
    const float most = first || span_m > all_m ? span_m : all_m, e = first ? 0.0f : wh_exp_f32(all_m - most),
                f = wh_exp_f32(span_m - most);
    all_l = first ? span_l : fmaf(all_l, e, span_l * f);
    for (int64_t i = 0; i < dim; i++) all_o[i] = first ? span_o[i] : fmaf(all_o[i], e, span_o[i] * f);
    all_m = most;
  }
  for (int64_t j = 0; j < DEPTH; j++) sum64 += s64[j] = exp(s64[j] - top64);
  for (int64_t i = 0; i < dim; i++) {
    double o = 0.0;
    for (int64_t j = 0; j < DEPTH; j++) o += s64[j] / sum64 * (double)t->v[j * dim + i];
    y[i] = all_o[i] / all_l;
    miss += ((double)y[i] - o) * ((double)y[i] - o);
    size += o * o;
  }
  *error = sqrt(miss / size);
}

static float gauss(void) {
  static uint64_t seed = 1;
  float sum = 0.0f;
  for (int i = 0; i < 12; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    sum += (float)(seed >> 40) * 0x1p-24f;
  }
  return sum - 6.0f;
}

static void *alloc(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) exit(2);
  return p;
}

static long times_interrupted(void) {
  struct rusage usage = {0};
  (void)getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

static int run(int64_t dim) {
  const size_t n = (size_t)(DEPTH * dim);
  size_t scratch = 0;
  (void)wh_attention_workspace_bytes(dim, dim, &scratch);
  problem t = {.dim = dim,
               .rows = ROWS,
               .q = alloc(ROWS * 128 * 4),
               .k = alloc(n * 4),
               .v = alloc(n * 4),
               .keys = alloc(n * 2),
               .values = alloc(n * 2),
               .key_codes = alloc(n * 2),
               .key_scales = alloc(n / 8 * 4),
               .value_codes = alloc(n * 2),
               .value_scales = alloc(DEPTH * 4),
               .y = alloc(ROWS * 128 * 4),
               .scratch = alloc(scratch)};
  codes *x = alloc(sizeof *x);
  for (size_t i = 0; i < n; i++) t.k[i] = gauss(), t.v[i] = gauss();
  for (int64_t i = 0; i < ROWS * dim; i++) t.q[i] = gauss() * 2.0f / sqrtf((float)dim);
  for (int64_t pos = 0; pos < DEPTH; pos++)
    for (int64_t i = 0; i < dim; i++) {
      const int64_t tile = pos / CHUNK * CHUNK * dim;
      t.keys[tile + i * CHUNK + pos % CHUNK] = wh_f16_from_f32(t.k[pos * dim + i]);
      t.values[pos * dim + i] = wh_f16_from_f32(t.v[pos * dim + i]);
    }
  printf(
      "\nheads of %d: %d query vectors over %d positions; shares of the time of fp32\n"
      "| definition | relative error | gain (10 %% to 90 %%) | all | scores | softmax | weights to codes | "
      "sums |\n"
      "|---|---|---|---|---|---|---|---|\n",
      (int)dim, ROWS, DEPTH);
  for (size_t i = 0; i < sizeof definitions / sizeof *definitions; i++) {
    const definition *d = &definitions[i];
    double gains[PAIRS], parts[5][PAIRS], error = 0.0;
    cycles z;
    store_codes(&t, d);
    attend(&t, d, x, &z);
    for (int64_t row = 0; row < ROWS; row += ROWS - 1) {
      float y[128];
      plain(&t, d, row, y, &error);
      if (memcmp(y, t.y + row * dim, (size_t)dim * sizeof *y) != 0) {
        printf("%s: row %d of heads of %d differs from its plain form\n", d->name, (int)row, (int)dim);
        return 1;
      }
    }
    size_t r = 0;
    for (int attempt = 0; r < PAIRS && attempt < 20 * PAIRS; attempt++) {
      cycles before, after;
      const long switches = times_interrupted();
      attend(&t, &definitions[0], x, &before);
      attend(&t, d, x, &z);
      attend(&t, &definitions[0], x, &after);
      const double base = (before.all + after.all) / 2, drift = before.all / after.all;
      if (drift > TIMING_DRIFT || drift < 1 / TIMING_DRIFT || times_interrupted() != switches) continue;
      gains[r] = base / z.all;
      parts[0][r] = z.all / base;
      parts[1][r] = z.scores / base;
      parts[2][r] = z.softmax / base;
      parts[3][r] = z.weights / base;
      parts[4][r++] = z.values / base;
    }
    if (r == 0) {
      printf("the machine's speed changed within every repetition\n");
      return 2;
    }
    const double gain = timing_median(gains, r); /* sorts them */
    printf("| %s | %.1e | %.2f (%.2f to %.2f) |", d->name, error, gain, gains[r / 10], gains[r - 1 - r / 10]);
    for (int e = 0; e < 5; e++) printf(" %.2f |", timing_median(parts[e], r));
    printf("\n");
    (void)fflush(stdout);
  }
  return 0;
}

int main(void) {
  if (!__builtin_cpu_supports("avx512vnni")) {
    printf("this needs AVX-512 VNNI\n");
    return 2;
  }
  return run(64) || run(128);
}
