/* attention_tile.h - attention of prompts (docs/NUMERICS.md, "attention") over an f16 cache: a block has 64
 * query vectors of a KV head and goes through the chunks that they see. Keys and values of a chunk come into
 * shared memory by copies that go on while the block computes: the next chunk's keys during the sum over
 * values, its values during the scores.
 *
 * A warp has 16 of the vectors, each half of it eight; a lane has four positions of the scores, and D dims of
 * the values. So a value from shared memory serves eight fma or four, and what a warp hands on, probabilities
 * and factors, is its own. The vectors' (m, l) are with the lanes 0..7 of their half. */
#ifndef WH_GPU_ATTENTION_TILE_H
#define WH_GPU_ATTENTION_TILE_H

#include "backends/gpu/kernels/attention.h"

/* What the block's vectors see, in shared memory. */
struct tile_vectors {
  int32_t low[ATTENTION_TILE_VECTORS], high[ATTENTION_TILE_VECTORS]; /* of one that is not there: 0, -1 */
  int32_t sequence[ATTENTION_TILE_VECTORS];
};

/* A lane's part of it. */
template <int D>
struct tile_lane {
  uint32_t first;             /* of the half's eight vectors, in the block */
  float span_m, span_l, m, l; /* of vector first + lane % 8: of this span's chunks, and of the spans before */
  float span[8][D];
};

/* n pieces of 16 bytes. */
GPU_FN void copy_tile(uint8_t *to, const uint8_t *from, uint32_t n) {
  for (uint32_t i = threadIdx.x; i < n; i += ATTENTION_TILE_THREADS)
    gpu_copy_async16(to + i * 16, from + i * 16);
  gpu_copy_commit();
}

/* The places of the block's vectors, by warps; y of those that have none is 0. */
GPU_FN void find_tile_vectors(const gpu_attention_args &a, uint32_t kv_head, uint32_t v0, tile_vectors *x) {
  const uint32_t ratio = a.heads / a.kv_heads,
                 each = ATTENTION_TILE_VECTORS / (ATTENTION_TILE_THREADS / GPU_WARP);
  for (uint32_t i = gpu_warp() * each; i < (gpu_warp() + 1) * each; i++) {
    const uint32_t row = (v0 + i) / ratio;
    gpu_place at = {nullptr, 0, 0, 0};
    const bool there = row < a.places.rows;
    const bool ok =
        there && !gpu_find_place(a.places, row, &at) &&
        gpu_has_pages(a.places, at.pages, (uint32_t)at.low / GPU_KV_CHUNK, (uint32_t)at.high / GPU_KV_CHUNK);
    if (gpu_lane() == 0) {
      x->sequence[i] = ok ? at.sequence : -1;
      x->low[i] = ok ? at.low : 0;
      x->high[i] = ok ? at.high : -1;
    }
    if (there && !ok)
      for (uint32_t d = gpu_lane(); d < a.value_dim; d += GPU_WARP)
        gpu_at<float>(a.y)[((uint64_t)row * a.heads + kv_head * ratio + (v0 + i) % ratio) * a.value_dim + d] =
            0.0f;
  }
}

/* q' = q * scale, [dim][64]. */
GPU_FN void load_tile_queries(const gpu_attention_args &a, uint32_t kv_head, uint32_t v0,
                              const tile_vectors &x, float *queries) {
  const uint32_t ratio = a.heads / a.kv_heads, i = threadIdx.x % ATTENTION_TILE_VECTORS;
  const uint64_t at = (uint64_t)((v0 + i) / ratio) * a.heads + kv_head * ratio + (v0 + i) % ratio;
  const float *q = gpu_at<const float>(a.q) + at * a.dim;
  for (uint32_t d = threadIdx.x / ATTENTION_TILE_VECTORS * 4; d < a.dim;
       d += ATTENTION_TILE_THREADS / ATTENTION_TILE_VECTORS * 4) {
    float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (x.sequence[i] >= 0) gpu_load_floats<4>(q + d, v);
    for (uint32_t e = 0; e < 4; e++) queries[(d + e) * ATTENTION_TILE_VECTORS + i] = v[e] * a.scale;
  }
}

/* ---- a chunk ---- */

/* s[i][h]: vector first + i with position lane % 16 + 16 h. */
GPU_FN void tile_scores(uint32_t dim, const float *queries, const uint8_t *keys, float s[8][4]) {
  const uint8_t *p = keys + gpu_lane() % 16 * 16;
#pragma unroll
  for (int i = 0; i < 8; i++)
#pragma unroll
    for (int h = 0; h < 4; h++) s[i][h] = 0.0f;
  for (uint32_t d = 0; d < dim; d += 8, p += GPU_KV_CHUNK * 16) {
    uint32_t k[4][4];
#pragma unroll
    for (int h = 0; h < 4; h++) load_words<16>(p + h * 256, k[h]);
#pragma unroll
    for (int e = 0; e < 8; e++) {
      float q[8];
      gpu_load_floats<8>(queries + (d + e) * ATTENTION_TILE_VECTORS, q);
#pragma unroll
      for (int h = 0; h < 4; h++) {
        const float key = element<WH_DTYPE_F16>(k[h], e);
#pragma unroll
        for (int i = 0; i < 8; i++) s[i][h] = fmaf(q[i], key, s[i][h]);
      }
    }
  }
}

/* Of the lane's vector (as (m, l) are kept): which of the chunk's positions it sees; none: both 0. */
GPU_FN void tile_visible(const tile_vectors &x, uint32_t vector, int32_t sequence, uint32_t c, int32_t *begin,
                         int32_t *end) {
  const int32_t base = (int32_t)(c * GPU_KV_CHUNK), low = x.low[vector], high = x.high[vector];
  const bool sees = x.sequence[vector] == sequence && low < base + GPU_KV_CHUNK && high >= base;
  *begin = sees && low > base ? low - base : 0;
  *end = !sees ? 0 : high < base + GPU_KV_CHUNK - 1 ? high - base + 1 : GPU_KV_CHUNK;
}

/* Scores to probabilities, [64][ATTENTION_TILE_STRIDE] in the warp's shared memory; (m, l) of the lane's
 * vector. */
GPU_FN void tile_weigh(const gpu_attention_args &a, float s[8][4], int32_t begin, int32_t end, float *p,
                       float *lane_m, float *lane_l) {
  const uint32_t half = gpu_lane() & 16u, at = gpu_lane() & 15u;
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) {
    const int32_t from = gpu_shfl(begin, half + i), to = gpu_shfl(end, half + i);
    float m = -INFINITY;
#pragma unroll
    for (int h = 0; h < 4; h++) {
      const int32_t j = (int32_t)at + 16 * h;
      if (a.softcap > 0.0f) s[i][h] = wh_tanh_f32(s[i][h] / a.softcap) * a.softcap;
      if (j >= from && j < to) m = fmaxf(m, s[i][h]); /* of a NaN the other */
    }
#pragma unroll
    for (uint32_t k = 8; k; k /= 2) m = fmaxf(m, gpu_shfl_xor(m, k));
#pragma unroll
    for (int h = 0; h < 4; h++) {
      const int32_t j = (int32_t)at + 16 * h;
      s[i][h] = j >= from && j < to ? wh_exp_f32(s[i][h] - m) : 0.0f;
    }
    float l = (s[i][0] + s[i][2]) + (s[i][1] + s[i][3]); /* gpu_tree64 */
#pragma unroll
    for (uint32_t k = 8; k; k /= 2) l = l + gpu_shfl_xor(l, k);
    if (at == i) *lane_m = m, *lane_l = l;
  }
  gpu_warp_sync(); /* nobody reads the last chunk's any more */
#pragma unroll
  for (int h = 0; h < 4; h++) {
    gpu_u128 *to = (gpu_u128 *)(void *)(p + (at + 16 * h) * ATTENTION_TILE_STRIDE + half / 2);
#pragma unroll
    for (int i = 0; i < 8; i += 4)
      to[i / 4] = {{wh_f32_bits(s[i][h]), wh_f32_bits(s[i + 1][h]), wh_f32_bits(s[i + 2][h]),
                    wh_f32_bits(s[i + 3][h])}};
  }
  gpu_warp_sync();
}

/* D dims of position j, which are there where `d` is below the values' dim. */
template <int D>
GPU_FN void add_tile_values(const uint8_t *values, uint32_t value_dim, uint32_t d, const float *p,
                            int32_t begin, int32_t end, float o[8][D]) {
  const uint32_t half = gpu_lane() & 16u;
  int32_t from = GPU_KV_CHUNK, to = 0;
  uint32_t ranges[8]; /* of the half's vectors */
  bool same = true;
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) {
    const int32_t b = gpu_shfl(begin, half + i), e = gpu_shfl(end, half + i);
    ranges[i] = (uint32_t)b | (uint32_t)e << 16;
    same = same && ranges[i] == ranges[0];
    if (e && b < from) from = b;
    if (e > to) to = e;
#pragma unroll
    for (int k = 0; k < D; k++) o[i][k] = 0.0f;
  }
  if (d >= value_dim) return;
  p += half / 2;
  values += (uint64_t)from * value_dim * 2 + d * 2;
  for (int32_t j = from; j < to; j++, values += value_dim * 2) {
    uint32_t words[D / 2];
    float w[8], v[D];
    load_words<D * 2>(values, words);
    gpu_load_floats<8>(p + j * ATTENTION_TILE_STRIDE, w);
#pragma unroll
    for (int k = 0; k < D; k++) v[k] = element<WH_DTYPE_F16>(words, k);
    if (same) {
#pragma unroll
      for (int i = 0; i < 8; i++)
#pragma unroll
        for (int k = 0; k < D; k++) o[i][k] = fmaf(w[i], v[k], o[i][k]);
    } else {
#pragma unroll
      for (int i = 0; i < 8; i++)
        if (j >= (int32_t)(ranges[i] & 0xffffu) && j < (int32_t)(ranges[i] >> 16))
#pragma unroll
          for (int k = 0; k < D; k++) o[i][k] = fmaf(w[i], v[k], o[i][k]);
    }
  }
}

/* The chunk's o joins the span's, and at a span's end, the span's what y has of the spans before. */
template <int D>
GPU_FN void add_tile_chunk(const gpu_attention_args &a, const tile_vectors &x, uint32_t c, uint32_t d,
                           uint32_t kv_head, uint32_t v0, bool sees, float m, float l, const float o[8][D],
                           tile_lane<D> *y) {
  const uint32_t half = gpu_lane() & 16u, vector = y->first + (gpu_lane() & 7u), ratio = a.heads / a.kv_heads;
  const uint32_t begins = (uint32_t)x.low[vector] / GPU_KV_CHUNK,
                 last = (uint32_t)x.high[vector] / GPU_KV_CHUNK;
  const bool sets = c == begins || c % GPU_KV_SPAN == 0,
             ends = sees && (c == last || (c + 1) % GPU_KV_SPAN == 0);
  float of_all = 0.0f, of_one = 0.0f;
  if (sees) combine(sets, &y->span_m, &y->span_l, m, l, &of_all, &of_one);
  const uint32_t seen = gpu_ballot(sees) >> half, set = gpu_ballot(sets) >> half,
                 ended = gpu_ballot(ends) >> half;
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) {
    const float all = gpu_shfl(of_all, half + i), one = gpu_shfl(of_one, half + i);
    if (!(seen >> i & 1)) continue;
#pragma unroll
    for (int k = 0; k < D; k++)
      y->span[i][k] = set >> i & 1 ? o[i][k] : fmaf(y->span[i][k], all, o[i][k] * one);
  }
  if (!gpu_ballot(ends)) return;
  const bool first = c / GPU_KV_SPAN == begins / GPU_KV_SPAN;
  if (ends) combine(first, &y->m, &y->l, y->span_m, y->span_l, &of_all, &of_one);
  const uint32_t firsts = gpu_ballot(first) >> half, lasts = gpu_ballot(c == last) >> half;
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) {
    const float all = gpu_shfl(of_all, half + i), one = gpu_shfl(of_one, half + i),
                sum = gpu_shfl(y->l, half + i);
    if (!(ended >> i & 1) || d >= a.value_dim) continue;
    const uint32_t v = v0 + y->first + i;
    float *to = gpu_at<float>(a.y) +
                ((uint64_t)(v / ratio) * a.heads + kv_head * ratio + v % ratio) * a.value_dim + d;
#pragma unroll
    for (int k = 0; k < D; k++) {
      const float all_o = firsts >> i & 1 ? y->span[i][k] : fmaf(to[k], all, y->span[i][k] * one);
      to[k] = lasts >> i & 1 ? all_o / sum : all_o;
    }
  }
}

/* ---- a block ---- */

/* The first chunk from c on that a vector of the sequence sees; none: UINT32_MAX. */
GPU_FN uint32_t next_chunk(const tile_vectors &x, int32_t sequence, uint32_t c) {
  uint32_t next = 0xffffffffu;
  for (uint32_t i = gpu_lane(); i < ATTENTION_TILE_VECTORS; i += GPU_WARP) {
    if (x.sequence[i] != sequence || x.high[i] / GPU_KV_CHUNK < (int32_t)c) continue;
    const uint32_t first = (uint32_t)x.low[i] / GPU_KV_CHUNK, mine = first > c ? first : c;
    next = mine < next ? mine : next;
  }
  for (uint32_t k = GPU_WARP / 2; k; k /= 2) {
    const uint32_t other = gpu_shfl_xor(next, k);
    next = other < next ? other : next;
  }
  return next;
}

template <int D>
GPU_FN void attend_tile_chunks(const gpu_attention_args &a, const tile_vectors &x, int32_t sequence,
                               uint32_t kv_head, uint32_t v0, uint8_t *keys, uint8_t *values,
                               const float *queries, float *p) {
  const int32_t *pages = gpu_at<const int32_t>(a.places.page_table) + (uint64_t)sequence * a.places.table;
  const uint32_t key_pieces = a.dim * 8, value_pieces = a.value_dim * 8, d = gpu_lane() % 16 * D;
  tile_lane<D> y = {};
  y.first = gpu_warp() * 16 + gpu_lane() / 16 * 8;
  uint32_t c = next_chunk(x, sequence, 0);
  uint64_t tile = (uint64_t)pages[c] * a.kv_heads + kv_head;
  copy_tile(keys, gpu_at<const uint8_t>(a.keys) + tile * key_pieces * 16, key_pieces);
  copy_tile(values, gpu_at<const uint8_t>(a.values) + tile * value_pieces * 16, value_pieces);
  while (c != 0xffffffffu) {
    const uint32_t next = next_chunk(x, sequence, c + 1);
    if (next != 0xffffffffu) tile = (uint64_t)pages[next] * a.kv_heads + kv_head;
    int32_t begin, end;
    float m = 0.0f, l = 0.0f, o[8][D];
    tile_visible(x, y.first + (gpu_lane() & 7u), sequence, c, &begin, &end);
    const bool any = gpu_ballot(end != 0) != 0;
    gpu_copy_wait<1>(); /* keys */
    gpu_barrier();
    {
      float s[8][4];
      if (any) tile_scores(a.dim, queries + y.first, keys, s);
      gpu_barrier();
      copy_tile(keys, gpu_at<const uint8_t>(a.keys) + tile * key_pieces * 16,
                next != 0xffffffffu ? key_pieces : 0);
      if (any) tile_weigh(a, s, begin, end, p, &m, &l);
    }
    gpu_copy_wait<1>(); /* values */
    gpu_barrier();
    if (any) {
      add_tile_values<D>(values, a.value_dim, d, p, begin, end, o);
      add_tile_chunk<D>(a, x, c, d, kv_head, v0, end != 0, m, l, o, &y);
    }
    gpu_barrier();
    copy_tile(values, gpu_at<const uint8_t>(a.values) + tile * value_pieces * 16,
              next != 0xffffffffu ? value_pieces : 0);
    c = next;
  }
  gpu_copy_wait<0>();
}

template <int D>
GPU_FN void attend_tile(const gpu_attention_args &a) {
  GPU_DYNAMIC_SHARED(float, room);
  __shared__ tile_vectors x;
  if (blockIdx.x == gridDim.x - 1) {
    if (blockIdx.y == 0) gpu_report_places(a.places, a.fault, a.node);
    return;
  }
  /* late vectors see most: their blocks begin first */
  const uint32_t kv_head = blockIdx.y, v0 = (gridDim.x - 2 - blockIdx.x) * ATTENTION_TILE_VECTORS;
  float *queries = room, *p = queries + a.dim * ATTENTION_TILE_VECTORS;
  uint8_t *keys =
      (uint8_t *)(void *)(p + ATTENTION_TILE_THREADS / GPU_WARP * GPU_KV_CHUNK * ATTENTION_TILE_STRIDE);
  uint8_t *values = keys + a.dim * 2 * GPU_KV_CHUNK;
  find_tile_vectors(a, kv_head, v0, &x);
  gpu_barrier();
  load_tile_queries(a, kv_head, v0, x, queries);
  gpu_barrier();
  p += gpu_warp() * GPU_KV_CHUNK * ATTENTION_TILE_STRIDE;
  int32_t before = -1; /* sequences in the order of their numbers */
  for (;;) {
    int32_t sequence = 0x7fffffff;
    for (uint32_t i = 0; i < ATTENTION_TILE_VECTORS; i++)
      if (x.sequence[i] > before && x.sequence[i] < sequence) sequence = x.sequence[i];
    if (sequence == 0x7fffffff) return;
    attend_tile_chunks<D>(a, x, sequence, kv_head, v0, keys, values, queries, p);
    gpu_barrier();
    before = sequence;
  }
}

#endif
