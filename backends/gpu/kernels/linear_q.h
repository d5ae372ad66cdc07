/* linear_q.h - the block and group steps of docs/NUMERICS.md, "linear, quantised weights", on fragments of
 * the matrix unit: what decoding and prompts share. Records: linear_format.h. */
#ifndef WH_GPU_LINEAR_Q_H
#define WH_GPU_LINEAR_Q_H

#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/linear_format.h"

/* A type of weights, by its choices (core/base/quant_format.h). Values with a bias are computed with as
 * (code - bias) * 2^(8 - bits), which is one bit flipped in the upper bits of a byte; the scale takes the
 * factor back, exactly. */
template <int BITS, int BIAS, int BOOK, int SCALE, int MIN>
struct quant_type {
  static constexpr int bits = BITS, book = BOOK, scale = SCALE, min = MIN;
  static constexpr bool bytes = BITS == 8, biased = BIAS >= 0 && BOOK == WH_CODEBOOK_NONE && BITS < 8;
  static constexpr bool halves = SCALE >= WH_SCALE_SUB16, has_d = SCALE >= WH_SCALE_SUB32;
  static constexpr bool has_dmin = MIN >= WH_MIN_SUB32;
  static constexpr int low_bits = BITS >= 4 ? 4 : 0, high_bits = BITS == 8 ? 0 : BITS - low_bits;
  static constexpr uint32_t chunk_bytes = gpu_chunk_bytes(BITS, SCALE, MIN);
  static constexpr uint32_t head_bytes = gpu_head_bytes(SCALE, MIN);
};

/* WH_QUANT_FORMATS makes a type of each row: quant_q4_0, ... */
#define QUANT_TYPE(type, lower, bits, bias, book, scale, min) \
  typedef quant_type<bits, bias, WH_CODEBOOK_##book, WH_SCALE_##scale, WH_MIN_##min> quant_##lower;
WH_QUANT_FORMATS(QUANT_TYPE)
#undef QUANT_TYPE

GPU_FN float float_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
struct gpu_pair { /* loaded as 8 bytes */
  alignas(8) uint32_t w[2];
};

GPU_FN uint32_t load32(const uint8_t *p) { return *(const uint32_t *)p; }

/* ---- a record, as a lane has it ---- */

template <class T>
struct quant_chunk {
  uint32_t codes[T::bytes ? 8 : 4], pairs[2], singles;
  uint32_t scale[2], min[2];
};

template <class T>
GPU_FN void load_chunk(quant_chunk<T> *c, const uint8_t *p) {
  const uint32_t lane = gpu_lane(), g = lane / 4;
  for (int i = 0; i < (T::bytes ? 2 : T::low_bits ? 1 : 0); i++, p += 512) {
    const gpu_u128 v = gpu_load128(p + lane * 16);
    for (int j = 0; j < 4; j++) c->codes[i * 4 + j] = v.w[j];
  }
  if (T::high_bits >= 2) {
    c->pairs[0] = load32(p + lane * 8), c->pairs[1] = load32(p + lane * 8 + 4);
    p += 256;
  }
  if (T::high_bits % 2) {
    c->singles = load32(p + lane * 4);
    p += 128;
  }
  const bool eight = T::scale == WH_SCALE_F16 || T::halves;
  c->scale[0] = load32(p + g * (eight ? 8 : 4));
  if (eight) c->scale[1] = load32(p + g * 8 + 4);
  if (T::min == WH_MIN_F16) c->min[0] = load32(p + 64 + g * 8), c->min[1] = load32(p + 64 + g * 8 + 4);
}

/* What a group's head says about rows g and g + 8. */
struct quant_head {
  float d[2], minus_dmin[2];
};
template <class T>
GPU_FN void load_head(quant_head *h, const uint8_t *p) {
  const uint32_t g = gpu_lane() / 4;
  for (int r = 0; r < 2; r++) {
    if (!T::has_d) {
      h->d[r] = 1.0f;
    } else if (T::has_dmin) {
      const uint32_t both = load32(p + g * 8 + r * 4);
      h->d[r] = gpu_f16_to_f32((uint16_t)both);
      h->minus_dmin[r] = -gpu_f16_to_f32((uint16_t)(both >> 16));
    } else {
      h->d[r] = gpu_f16_to_f32((uint16_t)(load32(p + g * 4) >> (16 * r)));
    }
  }
}

/* ---- a block of it, ready to multiply ---- */

template <class T>
struct quant_block {
  static constexpr int n = T::halves ? 2 : 1;
  uint32_t codes[4];
  float scale[n][2]; /* of rows g and g + 8 */
  float min[2];
  uint32_t min_codes[2]; /* SUB16: each half's minimum in place of its codes */
};

GPU_FN constexpr uint32_t four_bytes(int a, int b, int c, int d) {
  return ((uint32_t)a & 255u) | ((uint32_t)b & 255u) << 8 | ((uint32_t)c & 255u) << 16 |
         ((uint32_t)d & 255u) << 24;
}

/* Four values for the indices in the low 16 bits. */
template <int BOOK>
GPU_FN uint32_t look_up(uint32_t indices) {
  constexpr int iq4[16] = {WH_CODEBOOK_IQ4_VALUES}, fp4[16] = {WH_CODEBOOK_FP4_VALUES};
  uint32_t table[4];
  for (int i = 0; i < 4; i++)
    table[i] = BOOK == WH_CODEBOOK_IQ4
                   ? four_bytes(iq4[4 * i], iq4[4 * i + 1], iq4[4 * i + 2], iq4[4 * i + 3])
                   : four_bytes(fp4[4 * i], fp4[4 * i + 1], fp4[4 * i + 2], fp4[4 * i + 3]);
  const uint32_t lower = gpu_pick_bytes(table[0], table[1], indices & 0x7777u),
                 upper = gpu_pick_bytes(table[2], table[3], indices & 0x7777u);
  return gpu_pick_bytes(lower, upper, 0x3210u | (indices & 0x8888u) >> 1);
}

/* Register i of block b. */
template <class T>
GPU_FN uint32_t widen(const quant_chunk<T> &c, int b, int i) {
  if (T::bytes) return c.codes[T::bytes ? b * 4 + i : 0];
  const uint32_t word = c.codes[b * 2 + i % 2];
  if (T::book != WH_CODEBOOK_NONE) return look_up<T::book>(i / 2 ? word >> 16 : word);
  if (T::biased && T::bits == 4) return gpu_masked_xor(i / 2 ? word : word << 4, 0xf0f0f0f0u, 0x80808080u);
  uint32_t v = 0;
  if (T::low_bits) v = (i / 2 ? word >> 4 : word) & 0x0f0f0f0fu;
  if (T::high_bits >= 2) v |= (c.pairs[b] >> (2 * i) & 0x03030303u) << T::low_bits;
  if (T::high_bits % 2) v |= (c.singles >> (4 * b + i) & 0x01010101u) << (T::bits - 1);
  return T::biased ? (v << (8 - T::bits)) ^ 0x80808080u : v;
}

/* Scale of half h of block b and row g + 8 r: for the type's values, and for what `widen` makes of them. */
template <class T>
GPU_FN float plain_scale_of(const quant_chunk<T> &c, const quant_head &head, int b, int h, int r) {
  float s;
  if (T::scale == WH_SCALE_F16) {
    s = gpu_f16_to_f32((uint16_t)(c.scale[r] >> (16 * b)));
  } else if (T::scale == WH_SCALE_E8M0) {
    const uint32_t e = c.scale[0] >> (16 * r + 8 * b) & 255u;
    s = (e ? float_bits(e << 23) : 0x1p-127f) * 0.5f;
  } else if (T::scale == WH_SCALE_SUB32) {
    s = head.d[r] * (float)(int8_t)(c.scale[0] >> (16 * r + 8 * b));
  } else if (T::scale == WH_SCALE_SUB16) {
    s = head.d[r] * (float)(int8_t)(c.scale[r] >> (16 * b + 8 * h));
  } else {
    s = head.d[r] * (float)(c.scale[r] >> (16 * b + 8 * h) & 15u);
  }
  return s;
}
template <class T>
GPU_FN float scale_of(const quant_chunk<T> &c, const quant_head &head, int b, int h, int r) {
  const float s = plain_scale_of(c, head, b, h, r);
  return T::biased ? s * (1.0f / (float)(1 << (8 - T::bits))) : s;
}

template <class T>
GPU_FN void unpack_block(quant_block<T> *w, const quant_chunk<T> &c, const quant_head &head, int b) {
  const bool upper = gpu_lane() % 4 >= 2; /* this lane has the upper half of a block */
  for (int i = 0; i < 4; i++) w->codes[i] = widen(c, b, i);
  for (int h = 0; h < w->n; h++)
    for (int r = 0; r < 2; r++) w->scale[h][r] = scale_of(c, head, b, h, r);
  for (int r = 0; r < 2; r++) {
    if (T::min == WH_MIN_F16) w->min[r] = gpu_f16_to_f32((uint16_t)(c.min[r] >> (16 * b)));
    if (T::min == WH_MIN_SUB16) {
      const uint32_t m = c.scale[r] >> (16 * b + (upper ? 12 : 4)) & 15u;
      w->min_codes[r] = m * 0x01010101u;
    }
  }
}

/* ---- steps of 16 rows and 8 tokens: element e of a lane is row g + 8 (e / 2), token 2 t + e % 2 ---- */

/* What 8 tokens have in one block: codes of token g; of tokens 2 t and 2 t + 1 the rest. */
struct token_block {
  uint32_t codes[2];
  float two_t[2]; /* 2^t */
  float sum[2];   /* of codes, << t */
};

GPU_FN float two_to(uint32_t t) { return float_bits((t + 127u) << 23); }

template <class T>
GPU_FN void block_step(const quant_block<T> &w, const token_block &x, float g[4], int32_t minima[4]) {
  for (int h = 0; h < w.n; h++) {
    int32_t dot[4] = {SHIFTER_BITS, SHIFTER_BITS, SHIFTER_BITS, SHIFTER_BITS};
    /* of halves with scales of their own: zeros where the other half is */
    const uint32_t mask = !T::halves || (int)(gpu_lane() % 4 / 2) == h ? 0xffffffffu : 0u;
    const uint32_t codes[2] = {x.codes[0] & mask, x.codes[1] & mask};
    gpu_mma_s8(dot, w.codes, codes);
    for (int e = 0; e < 4; e++) {
      const float t = x.two_t[e % 2], exact = fmaf(float_bits((uint32_t)dot[e]), t, -SHIFTER * t);
      g[e] = fmaf(w.scale[h][e / 2], exact, g[e]);
    }
  }
  if (T::min == WH_MIN_F16)
    for (int e = 0; e < 4; e++) g[e] = fmaf(w.min[e / 2], x.sum[e % 2], g[e]);
  if (T::min == WH_MIN_SUB16) { /* sum over halves of mn (bsum << t) */
    int32_t dot[4] = {0, 0, 0, 0};
    const uint32_t codes[4] = {w.min_codes[0], w.min_codes[1], w.min_codes[0], w.min_codes[1]};
    gpu_mma_s8(dot, codes, x.codes);
    for (int e = 0; e < 4; e++) minima[e] += dot[e] * (int32_t)x.two_t[e % 2];
  }
}

/* SUB32: minima of a group's 8 blocks, of rows g and g + 8: lanes 0 and 1 of four have four each. */
GPU_FN void load_minima(uint32_t min[2], const uint8_t *head) {
  const uint32_t g = gpu_lane() / 4, t = gpu_lane() % 4;
  for (uint32_t r = 0; r < 2; r++) min[r] = t < 2 ? load32(head + 64 + (g + 8 * r) * 8 + t * 4) : 0;
}
/* J of the group from those and the sums of token g, int16 [8 blocks]. A sum v is 256 h + l with h and l of a
 * signed byte each: |v| <= 127 * 256. */
GPU_FN void minima_of_group(const uint32_t min[2], const int16_t *sums, int32_t minima[4]) {
  const gpu_pair v = *(const gpu_pair *)(const void *)(sums + gpu_lane() % 2 * 4);
  const uint32_t low = gpu_pick_bytes(v.w[0], v.w[1], 0x6420u),
                 above = gpu_pick_bytes(v.w[0], v.w[1], 0x7531u);
  const uint32_t carry = low >> 7 & 0x01010101u; /* byte by byte */
  const uint32_t x[4] = {min[0], min[1], 0, 0},
                 of_high[2] = {((above & 0x7f7f7f7fu) + carry) ^ (above & 0x80808080u), 0},
                 of_low[2] = {low, 0};
  int32_t h[4] = {0, 0, 0, 0};
  gpu_mma_s8(h, x, of_high);
  for (int e = 0; e < 4; e++) minima[e] = h[e] * 256;
  gpu_mma_s8(minima, x, of_low);
}

template <class T>
GPU_FN void group_step(const quant_head &head, const int32_t minima[4], float g[4]) {
  if (T::has_dmin)
    for (int e = 0; e < 4; e++) g[e] = fmaf(head.minus_dmin[e / 2], (float)minima[e], g[e]);
}

#endif
