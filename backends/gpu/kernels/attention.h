/* attention.h - attention (docs/NUMERICS.md, "attention") over one type of cache; attention_<type>.cu
 * instantiate it.
 *
 * A warp takes `V` query vectors of one KV head and goes through the chunks that they see, so what it reads
 * of keys and values serves all of them; the warps of a block have neighbouring vectors of that head and find
 * the tiles in the L1 cache. Scores: lanes are positions i and i + 32, as in sum64. Values: a lane has `D`
 * neighbouring dims, and the chain over positions. Warps do not wait for each other.
 *
 * A block takes all chunks, or those of one unit (a chunk, or a span) and leaves their (m, l, o) for
 * attention_combine: short of vectors, only so there is work for a whole device. */
#ifndef WH_GPU_ATTENTION_H
#define WH_GPU_ATTENTION_H

#include "backends/gpu/kernels/attention_shared.h"
#include "backends/gpu/kernels/places.h"
#include "backends/gpu/kernels/q8_code.h"

/* A warp's vectors. */
template <int V>
struct attention_vectors {
  const int32_t *pages[V];
  int32_t low[V], high[V]; /* positions that it sees */
  uint64_t at[V];          /* row * heads + head */
  uint32_t ok;             /* bits: it exists, and all that it sees is there */
};

/* (m, l, o) of each vector; of o the lane's dims. */
template <int V, int D>
struct attention_state {
  float m[V], l[V], o[V][D];
};

/* ---- loads ---- */

template <int BYTES>
GPU_FN void load_words(const uint8_t *p, uint32_t *w) {
  if (BYTES % 16 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 16; i++) {
      const gpu_u128 v = gpu_load128(p + i * 16);
#pragma unroll
      for (int k = 0; k < 4; k++) w[i * 4 + k] = v.w[k];
    }
  } else if (BYTES == 8) {
    const uint2 v = *(const uint2 *)(const void *)p;
    w[0] = v.x;
    w[1] = v.y;
  } else if (BYTES == 4) {
    w[0] = *(const uint32_t *)(const void *)p;
  } else if (BYTES == 2) {
    w[0] = *(const uint16_t *)(const void *)p;
  } else {
    w[0] = *p;
  }
}

/* Element e of what load_words brought. */
template <uint32_t DTYPE>
GPU_FN float element(const uint32_t *w, int e) {
  if (DTYPE == WH_DTYPE_F16) return gpu_f16_to_f32((uint16_t)(w[e / 2] >> (e % 2 * 16)));
  if (DTYPE == WH_DTYPE_Q8_0) return (float)(int8_t)(uint8_t)(w[e / 4] >> (e % 4 * 8));
  return wh_f32_from_bits(w[e]);
}

/* D dims from d on of position j; those from `dim` on are +0. ALIGNED: dim is a multiple of D. */
template <uint32_t DTYPE, int D, bool ALIGNED>
GPU_FN void load_value(const uint8_t *tile, uint32_t dim, uint32_t j, uint32_t d, float v[D]) {
  const int size = DTYPE == WH_DTYPE_F32 ? 4 : DTYPE == WH_DTYPE_F16 ? 2 : 1;
  const uint8_t *p = tile + gpu_cache_offset(DTYPE, false, dim, j, d);
  uint32_t w[(D * size + 3) / 4];
#pragma unroll
  for (int k = 0; k < D; k++) v[k] = 0.0f;
  if (d >= dim) return;
  if (ALIGNED) load_words<D * size>(p, w);
#pragma unroll
  for (int k = 0; k < D; k++) {
    if (!ALIGNED && d + k >= dim) continue;
    if (!ALIGNED) load_words<size>(p + k * size, w);
    v[k] = element<DTYPE>(w, ALIGNED ? k : 0);
  }
  if (DTYPE == WH_DTYPE_Q8_0) {
    const uint16_t *scales =
        (const uint16_t *)(const void *)(tile + (uint64_t)(d / GPU_KV_BLOCK) * GPU_KV_BLOCK_BYTES);
    const float scale = gpu_f16_to_f32(scales[j]);
#pragma unroll
    for (int k = 0; k < D; k++) v[k] = scale * v[k];
  }
}

/* ---- queries ---- */

/* q' = q * scale into shared memory, [dim][V]; of q8_0 its codes, [blocks][V][32], then their scales,
 * [blocks][V]. */
template <uint32_t DTYPE, int V>
GPU_FN void prepare_queries(const gpu_attention_args &a, const attention_vectors<V> &x, float *room) {
  const uint32_t lane = gpu_lane(), blocks = a.dim / GPU_KV_BLOCK;
#pragma unroll
  for (int i = 0; i < V; i++) {
    const float *q = gpu_at<const float>(a.q) + x.at[i] * a.dim;
    const bool ok = x.ok >> i & 1;
    if constexpr (DTYPE != WH_DTYPE_Q8_0)
      for (uint32_t d = lane; d < a.dim; d += GPU_WARP) room[d * V + i] = ok ? q[d] * a.scale : 0.0f;
    for (uint32_t b = 0; DTYPE == WH_DTYPE_Q8_0 && b < blocks; b++) {
      const float v = ok ? q[b * GPU_KV_BLOCK + lane] * a.scale : 0.0f, top = gpu_q8_top(v);
      const bool zero = top < 0x1p-100f, finite = top < INFINITY;
      const int32_t code = gpu_q8_code(v * (zero || !finite ? 0.0f : 127.0f / top));
      uint32_t word = ((uint32_t)code & 255u) << (lane % 4 * 8);
      word |= gpu_shfl_xor(word, 1);
      word |= gpu_shfl_xor(word, 2);
      if (lane % 4 == 0) ((uint32_t *)(void *)room)[(b * V + i) * 8 + lane / 4] = word;
      if (lane == 0) room[blocks * V * 8 + b * V + i] = zero ? 0.0f : finite ? top / 127.0f : NAN;
    }
  }
  gpu_warp_sync();
}

/* ---- a chunk ---- */

/* s[i][h]: vector i with the key at position lane + 32 h of the tile. */
template <uint32_t DTYPE, int V>
GPU_FN void float_scores(const gpu_attention_args &a, const float *queries, const uint8_t *tile,
                         float s[V][2]) {
  const int unit = DTYPE == WH_DTYPE_F16 ? 8 : 4;
  const uint8_t *p = tile + gpu_lane() * 16;
  uint32_t d = 0;
#pragma unroll 2
  for (; d + unit <= a.dim; d += unit, p += GPU_KV_CHUNK * 16) {
    uint32_t k[2][4];
    float q[unit * V];
    load_words<16>(p, k[0]);
    load_words<16>(p + GPU_WARP * 16, k[1]);
    gpu_load_floats<unit * V>(queries + d * V, q);
#pragma unroll
    for (int e = 0; e < unit; e++)
#pragma unroll
      for (int i = 0; i < V; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) s[i][h] = fmaf(q[e * V + i], element<DTYPE>(k[h], e), s[i][h]);
  }
  if (d == a.dim) return;
  uint32_t k[2][4];
  load_words<16>(p, k[0]);
  load_words<16>(p + GPU_WARP * 16, k[1]);
#pragma unroll
  for (int e = 0; e < unit; e++)
    if (d + e < a.dim)
#pragma unroll
      for (int i = 0; i < V; i++)
#pragma unroll
        for (int h = 0; h < 2; h++)
          s[i][h] = fmaf(queries[(d + e) * V + i], element<DTYPE>(k[h], e), s[i][h]);
}

template <int V>
GPU_FN void q8_scores(const gpu_attention_args &a, const float *queries, const uint8_t *tile, float s[V][2]) {
  const uint32_t blocks = a.dim / GPU_KV_BLOCK, lane = gpu_lane();
  const uint8_t *codes = (const uint8_t *)(const void *)queries;
  for (uint32_t b = 0; b < blocks; b++, tile += GPU_KV_BLOCK_BYTES) {
    uint32_t k[2][8], q[8];
    float scale[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const uint8_t *p = tile + GPU_KV_CHUNK * 2 + (lane + h * GPU_WARP) * 16;
      load_words<16>(p, k[h]);
      load_words<16>(p + GPU_KV_CHUNK * 16, k[h] + 4);
      scale[h] = gpu_f16_to_f32(((const uint16_t *)(const void *)tile)[lane + h * GPU_WARP]);
    }
#pragma unroll
    for (int i = 0; i < V; i++) {
      load_words<32>(codes + (b * V + i) * 32, q);
      const float u = queries[blocks * V * 8 + b * V + i];
#pragma unroll
      for (int h = 0; h < 2; h++) {
        int32_t dot = 0;
#pragma unroll
        for (int w = 0; w < 8; w++) dot = gpu_dp4a((int32_t)q[w], (int32_t)k[h][w], dot);
        s[i][h] = fmaf(scale[h], (float)dot * u, s[i][h]);
      }
    }
  }
}

/* The first of the chunk's positions that the vector sees, and the end of those; none: both 0. */
template <int V>
GPU_FN void visible(const attention_vectors<V> &x, int i, uint32_t active, uint32_t c, int32_t *begin,
                    int32_t *end) {
  const int32_t base = (int32_t)(c * GPU_KV_CHUNK);
  const bool sees = (active >> i & 1) && x.low[i] < base + GPU_KV_CHUNK && x.high[i] >= base;
  *begin = sees && x.low[i] > base ? x.low[i] - base : 0;
  *end = !sees ? 0 : x.high[i] < base + GPU_KV_CHUNK - 1 ? x.high[i] - base + 1 : GPU_KV_CHUNK;
}

/* Scores to probabilities in shared memory, [64][V]: m and l. */
template <int V, int D>
GPU_FN void weigh(const gpu_attention_args &a, const float s[V][2], const int32_t begin[V],
                  const int32_t end[V], float *p, attention_state<V, D> *y) {
  const int32_t lane = (int32_t)gpu_lane();
  gpu_warp_sync(); /* nobody reads the last chunk's any more */
#pragma unroll
  for (int i = 0; i < V; i++) {
    float v[2], m = -INFINITY;
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int32_t j = lane + h * 32;
      v[h] = a.softcap > 0.0f ? wh_tanh_f32(s[i][h] / a.softcap) * a.softcap : s[i][h];
      if (j >= begin[i] && j < end[i]) m = fmaxf(m, v[h]); /* of a NaN the other */
    }
    for (uint32_t k = GPU_WARP / 2; k; k /= 2) m = fmaxf(m, gpu_shfl_xor(m, k));
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int32_t j = lane + h * 32;
      v[h] = j >= begin[i] && j < end[i] ? wh_exp_f32(v[h] - m) : 0.0f;
      p[j * V + i] = v[h];
    }
    y->m[i] = m;
    y->l[i] = gpu_tree64(v[0], v[1]);
  }
  gpu_warp_sync();
}

/* o: the chain over the positions that each vector sees. ALL: those are the same, and values are aligned. */
template <uint32_t DTYPE, int V, int D, bool ALL>
GPU_FN void add_values(const gpu_attention_args &a, const uint8_t *tile, uint32_t d, const float *p,
                       const int32_t begin[V], const int32_t end[V], int32_t from, int32_t to,
                       attention_state<V, D> *y) {
#pragma unroll ALL ? 4 : 1
  for (int32_t j = from; j < to; j++) {
    float v[D], w[V];
    load_value<DTYPE, D, ALL>(tile, a.value_dim, (uint32_t)j, d, v);
    load_words<V * 4>((const uint8_t *)(const void *)(p + j * V), (uint32_t *)(void *)w);
#pragma unroll
    for (int i = 0; i < V; i++)
      if (ALL || (j >= begin[i] && j < end[i]))
#pragma unroll
        for (int k = 0; k < D; k++) y->o[i][k] = fmaf(w[i], v[k], y->o[i][k]);
  }
}

/* ---- combination ---- */

/* (M, L) takes in (m, l), or becomes it; the factors of O and o. */
GPU_FN void combine(bool sets, float *all_m, float *all_l, float m, float l, float *of_all, float *of_one) {
  const float top = sets || m > *all_m ? m : *all_m;
  *of_all = sets ? 0.0f : wh_exp_f32(*all_m - top);
  *of_one = sets ? 1.0f : wh_exp_f32(m - top);
  *all_l = sets ? l : fmaf(*all_l, *of_all, l * *of_one);
  *all_m = top;
}

template <int V, int D>
GPU_FN void leave_partial(const gpu_attention_args &a, const attention_vectors<V> &x, int i, uint32_t unit,
                          uint32_t d, const attention_state<V, D> &y) {
  const attention_partial to = attention_partial_of(a, x.at[i], unit);
#pragma unroll
  for (int k = 0; k < D; k++)
    if (d + k < a.value_dim) to.o[d + k] = y.o[i][k];
  if (d != 0) return;
  to.ml[0] = y.m[i];
  to.ml[1] = y.l[i];
}

/* A span's end, where a block takes all chunks: y holds O of the spans before, and at last the result. */
template <int V, int D>
GPU_FN void add_span(const gpu_attention_args &a, const attention_vectors<V> &x, int i, uint32_t c,
                     uint32_t d, const attention_state<V, D> &span, float *all_m, float *all_l) {
  float *y = gpu_at<float>(a.y) + x.at[i] * a.value_dim + d, of_all, of_one;
  const uint32_t first = (uint32_t)x.low[i] / GPU_KV_CHUNK, last = (uint32_t)x.high[i] / GPU_KV_CHUNK;
  const bool sets = c / GPU_KV_SPAN == first / GPU_KV_SPAN;
  combine(sets, all_m, all_l, span.m[i], span.l[i], &of_all, &of_one);
#pragma unroll
  for (int k = 0; k < D; k++)
    if (d + k < a.value_dim) {
      const float o = sets ? span.o[i][k] : fmaf(y[k], of_all, span.o[i][k] * of_one);
      y[k] = c == last ? o / *all_l : o;
    }
}

/* What vector i has after chunk c. */
template <int V, int D>
GPU_FN void add_chunk(const gpu_attention_args &a, const attention_vectors<V> &x, int i, uint32_t c,
                      uint32_t d, const attention_state<V, D> &chunk, attention_state<V, D> *span,
                      float *all_m, float *all_l) {
  const uint32_t first = (uint32_t)x.low[i] / GPU_KV_CHUNK, last = (uint32_t)x.high[i] / GPU_KV_CHUNK;
  const bool sets = c == first || c % GPU_KV_SPAN == 0;
  float of_all, of_one;
  if (a.unit == 1) {
    leave_partial(a, x, i, c, d, chunk);
    return;
  }
  combine(sets, &span->m[i], &span->l[i], chunk.m[i], chunk.l[i], &of_all, &of_one);
#pragma unroll
  for (int k = 0; k < D; k++)
    span->o[i][k] = sets ? chunk.o[i][k] : fmaf(span->o[i][k], of_all, chunk.o[i][k] * of_one);
  if (c < last && (c + 1) % GPU_KV_SPAN != 0) return;
  if (a.unit)
    leave_partial(a, x, i, c / GPU_KV_SPAN, d, *span);
  else
    add_span(a, x, i, c, d, *span, all_m, all_l);
}

/* ---- a warp ---- */

/* The vectors, and which chunks of the block's unit they see: bounds of all. */
template <int V>
GPU_FN void find_vectors(const gpu_attention_args &a, uint32_t kv_head, uint32_t begin, uint32_t end,
                         attention_vectors<V> *x) {
  const uint32_t ratio = a.heads / a.kv_heads;
  const uint64_t v0 = ((uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp()) * V;
  x->ok = 0;
#pragma unroll
  for (int i = 0; i < V; i++) {
    const uint64_t row = (v0 + i) / ratio;
    gpu_place at = {nullptr, 0, 0};
    x->at[i] = row * a.heads + kv_head * ratio + (uint32_t)((v0 + i) % ratio);
    const bool ok = row < a.places.rows && !gpu_find_place(a.places, row, &at);
    x->pages[i] = at.pages;
    x->low[i] = at.low;
    x->high[i] = at.high;
    const uint32_t first = (uint32_t)at.low / GPU_KV_CHUNK, last = (uint32_t)at.high / GPU_KV_CHUNK;
    if (ok &&
        gpu_has_pages(a.places, at.pages, first > begin ? first : begin, last < end - 1 ? last : end - 1))
      x->ok |= 1u << i;
  }
}

/* Chunks [begin, end) for the vectors of `active`, which are of one sequence. */
template <uint32_t DTYPE, int V, int D>
GPU_FN void attend_chunks(const gpu_attention_args &a, const attention_vectors<V> &x, uint32_t active,
                          const int32_t *pages, uint32_t kv_head, uint32_t d, uint32_t begin, uint32_t end,
                          const float *queries, float *p) {
  const uint64_t key_bytes = gpu_cache_tile_bytes(DTYPE, true, a.dim),
                 value_bytes = gpu_cache_tile_bytes(DTYPE, false, a.value_dim);
  attention_state<V, D> span = {};
  float all_m[V] = {0}, all_l[V] = {0};
  for (uint32_t c = begin; c < end; c++) {
    attention_state<V, D> chunk;
    int32_t low[V], high[V], from = GPU_KV_CHUNK, to = 0;
    float s[V][2];
    bool same = true;
#pragma unroll
    for (int i = 0; i < V; i++) {
      visible(x, i, active, c, &low[i], &high[i]);
      if (high[i] == 0) continue;
      same = same && (to == 0 || (low[i] == from && high[i] == to));
      from = low[i] < from ? low[i] : from;
      to = high[i] > to ? high[i] : to;
    }
    if (to == 0) continue; /* its page may be none */
    const uint64_t tile = (uint64_t)pages[c] * a.kv_heads + kv_head;
    const uint8_t *keys = gpu_at<const uint8_t>(a.keys) + tile * key_bytes;
    const uint8_t *values = gpu_at<const uint8_t>(a.values) + tile * value_bytes;
#pragma unroll
    for (int i = 0; i < V; i++) {
      s[i][0] = s[i][1] = 0.0f;
#pragma unroll
      for (int k = 0; k < D; k++) chunk.o[i][k] = 0.0f;
    }
    if (DTYPE == WH_DTYPE_Q8_0)
      q8_scores<V>(a, queries, keys, s);
    else
      float_scores<DTYPE, V>(a, queries, keys, s);
    weigh<V, D>(a, s, low, high, p, &chunk);
    if (same && a.value_dim % D == 0)
      add_values<DTYPE, V, D, true>(a, values, d, p, low, high, from, to, &chunk);
    else
      add_values<DTYPE, V, D, false>(a, values, d, p, low, high, from, to, &chunk);
#pragma unroll
    for (int i = 0; i < V; i++)
      if (high[i]) add_chunk(a, x, i, c, d, chunk, &span, &all_m[i], &all_l[i]);
  }
}

template <uint32_t DTYPE, int V, int D>
GPU_FN void attend(const gpu_attention_args &a) {
  GPU_DYNAMIC_SHARED(float, room);
  const uint32_t slices = gridDim.y / a.kv_heads, kv_head = blockIdx.y / slices;
  const uint32_t d = (blockIdx.y % slices) * GPU_WARP * D + gpu_lane() * D;
  const uint32_t begin = blockIdx.z * a.unit, end = a.unit ? begin + a.unit : a.places.table;
  float *queries = room + gpu_warp() * (attention_warp_floats(DTYPE, V, a.dim));
  attention_vectors<V> x;
  if (!a.unit && blockIdx.x == gridDim.x - 1) {
    if (blockIdx.y == 0) gpu_report_places(a.places, a.fault, a.node);
    return;
  }
  find_vectors(a, kv_head, begin, end, &x);
  if (!a.unit) {
#pragma unroll
    for (int i = 0; i < V; i++)
      if (!(x.ok >> i & 1) && x.at[i] < (uint64_t)a.places.rows * a.heads)
        for (int k = 0; k < D; k++)
          if (d + k < a.value_dim) gpu_at<float>(a.y)[x.at[i] * a.value_dim + d + k] = 0.0f;
  }
  if (!x.ok) return;
  prepare_queries<DTYPE, V>(a, x, queries);
  for (uint32_t left = x.ok; left;) { /* vectors of one sequence at a time */
    const int32_t *pages = nullptr;
    uint32_t active = 0, first = 0xffffffffu, last = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
      if (!(left >> i & 1) || (pages && pages != x.pages[i])) continue;
      pages = x.pages[i];
      active |= 1u << i;
      const uint32_t f = (uint32_t)x.low[i] / GPU_KV_CHUNK, l = (uint32_t)x.high[i] / GPU_KV_CHUNK;
      first = f < first ? f : first;
      last = l > last ? l : last;
    }
    left &= ~active;
    attend_chunks<DTYPE, V, D>(a, x, active, pages, kv_head, d, first > begin ? first : begin,
                               last < end - 1 ? last + 1 : end, queries,
                               queries + attention_query_floats(DTYPE, V, a.dim));
  }
}

#define ATTENTION_KERNELS(type, dtype)                                                    \
  GPU_KERNEL_FN(attention_##type##_v1_d2, gpu_attention_args) { attend<dtype, 1, 2>(a); } \
  GPU_KERNEL_FN(attention_##type##_v1_d4, gpu_attention_args) { attend<dtype, 1, 4>(a); } \
  GPU_KERNEL_FN(attention_##type##_v1_d8, gpu_attention_args) { attend<dtype, 1, 8>(a); } \
  GPU_KERNEL_FN(attention_##type##_v4_d2, gpu_attention_args) { attend<dtype, 4, 2>(a); } \
  GPU_KERNEL_FN(attention_##type##_v4_d4, gpu_attention_args) { attend<dtype, 4, 4>(a); } \
  GPU_KERNEL_FN(attention_##type##_v4_d8, gpu_attention_args) { attend<dtype, 4, 8>(a); }

#endif
