// packed.h - single rows of the matrices that products packed (linear_format.h), read back as numbers.
#ifndef WH_GPU_PACKED_H
#define WH_GPU_PACKED_H

#include "backends/gpu/kernels/dequantize.h"
#include "backends/gpu/kernels/linear_format.h"

/* Where a lane's eight elements of a row lie in a record: linear_format.h. */
struct piece {
  const uint8_t *record, *head;
  uint32_t lane, high, b; /* of the fragment: its lane, the upper 8 rows or not, the block */
  uint32_t block;         /* of the group */
};

/* Element j of the eight as an integer. */
GPU_FN int32_t code_at(const gpu_packed_form &a, const piece &p, uint32_t j) {
  const uint32_t low = a.bits >= 4 ? 4 : 0, i = p.high + j / 4 * 2;
  const uint8_t *pairs = p.record + (low ? 512 : 0), *singles = pairs + (a.bits - low >= 2 ? 256 : 0);
  if (a.bits == 8) return (int8_t)p.record[p.b * 512 + p.lane * 16 + i * 4 + j % 4];
  const uint8_t *word = p.record + p.lane * 16 + (2 * p.b + p.high) * 4;
  if (a.codebook != WH_CODEBOOK_NONE) {
    const int32_t index = word[j / 2] >> (j % 2 * 4) & 15;
    return a.codebook == WH_CODEBOOK_IQ4 ? gpu_iq4(index) : gpu_mxfp4(index);
  }
  int32_t code = low ? word[j % 4] >> (j / 4 * 4) & 15 : 0;
  if (a.bits - low >= 2) code |= (pairs[p.lane * 8 + p.b * 4 + j % 4] >> (2 * i) & 3) << low;
  if ((a.bits - low) % 2) code |= (singles[p.lane * 4 + j % 4] >> (i + 4 * p.b) & 1) << (a.bits - 1);
  return a.bias_log2 < 0 ? code : code - (1 << a.bias_log2);
}

/* w = scale * code + min of the lane's elements; without a minimum the product alone. */
GPU_FN void scale_of(const gpu_packed_form &a, const piece &p, uint32_t r, float *scale, float *min) {
  const uint8_t *scales = p.record + gpu_code_bytes(a.bits);
  const uint32_t at = r % 8 * 2 + r / 8, half = p.lane % 4 / 2;
  const bool both = a.min >= WH_MIN_SUB32;
  float d = 0.0f, dmin = 0.0f;
  if (a.scale >= WH_SCALE_SUB32) d = gpu_le_f16(p.head + at * (both ? 4 : 2));
  if (both) dmin = gpu_le_f16(p.head + at * 4 + 2);
  *min = 0.0f;
  switch (a.scale) {
    case WH_SCALE_F16:
      *scale = gpu_le_f16(scales + (at * 2 + p.b) * 2);
      if (a.min == WH_MIN_F16) *min = gpu_le_f16(scales + 64 + (at * 2 + p.b) * 2);
      return;
    case WH_SCALE_E8M0: {
      const uint32_t e = scales[at * 2 + p.b]; /* 2^(e - 128); the two smallest are subnormal */
      *scale = wh_f32_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
      return;
    }
    case WH_SCALE_SUB32:
      *scale = d * (float)(int8_t)scales[at * 2 + p.b];
      if (both) *min = -(dmin * (float)p.head[64 + r * 8 + p.block]);
      return;
    default: { /* SUB16 */
      const uint8_t s = scales[at * 4 + p.b * 2 + half];
      *scale = d * (both ? (float)(s & 15) : (float)(int8_t)s);
      if (both) *min = -(dmin * (float)(s >> 4));
    }
  }
}

/* Of a row's 256 elements from 256 `group` on, the lane's eight: those from 8 lane on, which there are. */
GPU_FN void packed_values(const gpu_packed_form &a, uint64_t table_at, uint32_t row, uint32_t group,
                          float v[8]) {
  const uint32_t tile = row / GPU_TILE_ROWS, r = row % GPU_TILE_ROWS, block = gpu_lane() / 4,
                 in = tile % GPU_TILES;
  const uint8_t *table = gpu_at<const uint8_t>(table_at);
  const piece p = {
      table + gpu_records_at(&a.matrix, tile, group, block / 2) + (uint64_t)in * a.matrix.chunk_bytes,
      table + gpu_heads_at(&a.matrix, tile, group) + (uint64_t)in * a.matrix.head_bytes,
      r % 8 * 4 + gpu_lane() % 4,
      r / 8,
      block % 2,
      block};
  float scale, min;
  scale_of(a, p, r, &scale, &min);
#pragma unroll
  for (uint32_t j = 0; j < 8; j++) {
    const float q = (float)code_at(a, p, j);
    v[j] = a.min == WH_MIN_NONE ? scale * q : fmaf(scale, q, min);
  }
}

/* The same of 16-bit weights, whose codes have two limbs; their groups have 128. */
GPU_FN void packed_wide_values(const gpu_packed_form &a, uint64_t table_at, uint32_t row, uint32_t group,
                               float v[8]) {
  const uint32_t tile = row / GPU_TILE_ROWS, r = row % GPU_TILE_ROWS, in = tile % GPU_TILES;
  const uint32_t own = group * 2 + gpu_lane() / 16, block = gpu_lane() % 16 / 4;
  const uint8_t *table = gpu_at<const uint8_t>(table_at);
  const uint8_t *record = table + gpu_records_at(&a.matrix, tile, own, block / 2) +
                          (uint64_t)in * a.matrix.chunk_bytes + block % 2 * 1024 +
                          (r % 8 * 4 + gpu_lane() % 4) * 16 + r / 8 * 4;
  const float *scales =
      (const float *)(table + gpu_heads_at(&a.matrix, tile, own) + (uint64_t)in * a.matrix.head_bytes);
  const float scale = scales[r % 8 * 2 + r / 8];
#pragma unroll
  for (uint32_t j = 0; j < 8; j++) {
    const uint8_t *limb = record + j / 4 * 8 + j % 4;
    v[j] = scale * (float)((int32_t)(int8_t)limb[0] * 128 + limb[512]);
  }
}

#endif
