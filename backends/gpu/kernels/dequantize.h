/* dequantize.h - from a file's blocks to fp32 on the device (docs/NUMERICS.md, "gather_rows"): eight
 * neighbouring elements of a row at a time. Layouts are GGUF's, little-endian; blocks lie at any address. */
#ifndef WH_GPU_DEQUANTIZE_H
#define WH_GPU_DEQUANTIZE_H

#include "backends/gpu/kernels/gpu.h"
#include "whimbrel/tensor.h"

GPU_FN uint32_t gpu_le16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
GPU_FN uint32_t gpu_le32(const uint8_t *p) { return gpu_le16(p) | gpu_le16(p + 2) << 16; }
GPU_FN float gpu_le_f16(const uint8_t *p) { return gpu_f16_to_f32((uint16_t)gpu_le16(p)); }

/* Elements of a block, and its bytes; a type of single elements has blocks of one. */
GPU_FN uint32_t gpu_block_elems(uint32_t dtype) {
  switch (dtype) {
#define GPU_BLOCK(name, number, text, elems, bytes, cls) \
  case number:                                           \
    return elems;
    WH_DTYPE_LIST(GPU_BLOCK)
#undef GPU_BLOCK
    default:
      return 1;
  }
}
GPU_FN uint32_t gpu_block_bytes(uint32_t dtype) {
  switch (dtype) {
#define GPU_BLOCK(name, number, text, elems, bytes, cls) \
  case number:                                           \
    return bytes;
    WH_DTYPE_LIST(GPU_BLOCK)
#undef GPU_BLOCK
    default:
      return 0;
  }
}

/* ---- codes of a block: element e is e0 + i, e0 a multiple of 8 ---- */

/* Types of 32: element j is the low nibble of byte j, j + 16 its high one. */
GPU_FN int32_t gpu_nibble(const uint8_t *qs, uint32_t e) { return e < 16 ? qs[e] & 15 : qs[e - 16] >> 4; }
GPU_FN int32_t gpu_code5(const uint8_t *qh, const uint8_t *qs, uint32_t e) {
  return gpu_nibble(qs, e) | (int32_t)(gpu_le32(qh) >> e & 1u) << 4;
}
/* Types of 256. Two bits: of byte e % 32 of half e / 128. A nibble: of the 32 bytes that two blocks share. */
GPU_FN int32_t gpu_code2(const uint8_t *qs, uint32_t e) {
  return qs[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2) & 3;
}
GPU_FN int32_t gpu_nibble_k(const uint8_t *qs, uint32_t e) {
  const uint8_t byte = qs[e / 64 * 32 + e % 32];
  return e / 32 % 2 ? byte >> 4 : byte & 15;
}
/* Q3_K: six-bit scale i of the sixteen in twelve bytes. */
GPU_FN int32_t gpu_scale3(const uint8_t *packed, uint32_t i) {
  const int32_t low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
  return (low | (packed[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
}
/* Q4_K, Q5_K: scale and minimum i of the eight in twelve bytes. */
GPU_FN void gpu_scale_min(const uint8_t *p, uint32_t i, float *scale, float *min) {
  *scale = (float)(i < 4 ? p[i] & 63 : (p[i + 4] & 15) | p[i - 4] >> 6 << 4);
  *min = (float)(i < 4 ? p[i + 4] & 63 : p[i + 4] >> 4 | p[i] >> 6 << 4);
}
/* The table of IQ4_NL and IQ4_XS, and that of MXFP4, as bytes of words. */
GPU_FN int32_t gpu_iq4(int32_t code) {
  const uint32_t words[4] = {0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u};
  return (int8_t)(uint8_t)(words[code >> 2] >> (code % 4 * 8));
}
GPU_FN int32_t gpu_mxfp4(int32_t code) {
  const int32_t doubled = (int32_t)(0xc8643210u >> ((code & 7) * 4) & 15u);
  return code & 8 ? -doubled : doubled;
}

/* ---- eight elements from e0 on of the block at b; float types: from element e0 of the row at b ---- */

#define GPU_EIGHT(expression)                                   \
  _Pragma("unroll") for (uint32_t y_at = 0; y_at < 8; y_at++) { \
    const uint32_t e = e0 + y_at;                               \
    y[y_at] = (expression);                                     \
  }                                                             \
  return

GPU_FN void gpu_dequantise_32(uint32_t dtype, const uint8_t *b, uint32_t e0, float y[8]) {
  if (dtype == WH_DTYPE_MXFP4) { /* s = 2^(e - 128); the two smallest are subnormal */
    const uint32_t x = b[0];
    const float s = wh_f32_from_bits(x < 2 ? 0x00200000u << x : (x - 1) << 23);
    GPU_EIGHT(s * (float)gpu_mxfp4(gpu_nibble(b + 1, e)));
  }
  const float d = gpu_le_f16(b), m = gpu_le_f16(b + 2);
  switch (dtype) {
    case WH_DTYPE_Q4_0:
      GPU_EIGHT(d * (float)(gpu_nibble(b + 2, e) - 8));
    case WH_DTYPE_Q4_1:
      GPU_EIGHT(fmaf(d, (float)gpu_nibble(b + 4, e), m));
    case WH_DTYPE_Q5_0:
      GPU_EIGHT(d * (float)(gpu_code5(b + 2, b + 6, e) - 16));
    case WH_DTYPE_Q5_1:
      GPU_EIGHT(fmaf(d, (float)gpu_code5(b + 4, b + 8, e), m));
    case WH_DTYPE_IQ4_NL:
      GPU_EIGHT(d * (float)gpu_iq4(gpu_nibble(b + 2, e)));
    default: /* Q8_0 */
      GPU_EIGHT(d * (float)(int8_t)b[2 + e]);
  }
}

GPU_FN void gpu_dequantise_256(uint32_t dtype, const uint8_t *b, uint32_t e0, float y[8]) {
  float scale, min;
  switch (dtype) {
    case WH_DTYPE_Q2_K: {
      const float d = gpu_le_f16(b + 80), dmin = gpu_le_f16(b + 82);
      scale = d * (float)(b[e0 / 16] & 15);
      min = dmin * (float)(b[e0 / 16] >> 4);
      GPU_EIGHT(fmaf(scale, (float)gpu_code2(b + 16, e), -min));
    }
    case WH_DTYPE_Q3_K:
      scale = gpu_le_f16(b + 108) * (float)gpu_scale3(b + 96, e0 / 16);
      GPU_EIGHT(scale * (float)((gpu_code2(b + 32, e) | (b[e % 32] >> (e / 32) & 1) << 2) - 4));
    case WH_DTYPE_Q4_K:
      gpu_scale_min(b + 4, e0 / 32, &scale, &min);
      scale = gpu_le_f16(b) * scale;
      min = gpu_le_f16(b + 2) * min;
      GPU_EIGHT(fmaf(scale, (float)gpu_nibble_k(b + 16, e), -min));
    case WH_DTYPE_Q5_K:
      gpu_scale_min(b + 4, e0 / 32, &scale, &min);
      scale = gpu_le_f16(b) * scale;
      min = gpu_le_f16(b + 2) * min;
      GPU_EIGHT(fmaf(scale, (float)(gpu_nibble_k(b + 48, e) | (b[16 + e % 32] >> (e / 32) & 1) << 4), -min));
    case WH_DTYPE_Q6_K:
      scale = gpu_le_f16(b + 208) * (float)(int8_t)b[192 + e0 / 16];
      GPU_EIGHT(scale *
                (float)(((e / 64 % 2 ? b[e / 128 * 64 + e % 64] >> 4 : b[e / 128 * 64 + e % 64] & 15) |
                         gpu_code2(b + 128, e) << 4) -
                        32));
    default: { /* IQ4_XS */
      const uint32_t i = e0 / 32;
      const int32_t low = b[4 + i / 2] >> (i % 2 * 4) & 15, high = (int32_t)(gpu_le16(b + 2) >> (2 * i) & 3u);
      scale = gpu_le_f16(b) * (float)((low | high << 4) - 32);
      GPU_EIGHT(scale * (float)gpu_iq4(gpu_nibble(b + 8 + i * 16, e % 32)));
    }
  }
}
#undef GPU_EIGHT

/* Element j of a row of a float type. */
GPU_FN float gpu_float_at(uint32_t dtype, const uint8_t *row, uint64_t j) {
  if (dtype == WH_DTYPE_F32) return ((const float *)(const void *)row)[j];
  const uint16_t h = ((const uint16_t *)(const void *)row)[j];
  return dtype == WH_DTYPE_F16 ? gpu_f16_to_f32(h) : wh_f32_from_bf16(h);
}

#endif
