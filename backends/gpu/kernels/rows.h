/* rows.h - what kernels over rows share: sum64, the largest magnitude, eight floats at once, and the codes of
 * quantised activations. */
#ifndef WH_GPU_ROWS_H
#define WH_GPU_ROWS_H

#include "backends/gpu/kernels/activations.h"
#include "backends/gpu/kernels/gpu.h"

/* The tree of sum64, where a warp's lane i holds lanes i and i + 32. All lanes get the sum: in every step two
 * lanes add the same two numbers. */
GPU_FN float gpu_tree64(float low, float high) {
  float s = low + high;
#pragma unroll
  for (uint32_t h = GPU_WARP / 2; h; h /= 2) s = s + gpu_shfl_xor(s, h);
  return s;
}

/* sum64 over n elements by one warp; `add(lane, j)` is the lane with element j in it. */
template <typename F>
GPU_FN float gpu_sum64(uint32_t n, F add) {
  float low = 0.0f, high = 0.0f;
  uint64_t j = gpu_lane(); /* of 64 bits, so that places are offsets of one address */
  for (; j + 480 < n; j += 512)
#pragma unroll
    for (uint64_t k = 0; k < 512; k += 64) {
      low = add(low, j + k);
      high = add(high, j + k + 32);
    }
  for (; j + 32 < n; j += 64) {
    low = add(low, j);
    high = add(high, j + 32);
  }
  if (j < n) low = add(low, j);
  return gpu_tree64(low, high);
}

/* Magnitudes are compared as integers, whose order is the same and in which a NaN is the largest. */
GPU_FN uint32_t gpu_magnitude(float x) { return wh_f32_bits(x) & 0x7fffffffu; }
GPU_FN uint32_t gpu_larger(uint32_t x, uint32_t y) { return x > y ? x : y; }

/* N floats at once, N a multiple of 4; the address is a multiple of 16. */
template <int N>
GPU_FN void gpu_load_floats(const float *from, float *to) {
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    const gpu_u128 v = gpu_load128(from + i);
#pragma unroll
    for (int k = 0; k < 4; k++) to[i + k] = wh_f32_from_bits(v.w[k]);
  }
}

/* Where a group of 256 of a row of q8a goes. */
struct gpu_q8a_group {
  int8_t *codes;
  uint8_t *shifts;
  int16_t *sums;
  float *scale;
};
GPU_FN gpu_q8a_group gpu_q8a_group_at(uint64_t q8a, const gpu_q8a &f, uint64_t row, uint32_t group) {
  const uint64_t at = row * (f.padded / GPU_Q8A_GROUP) + group;
  return {gpu_at<int8_t>(q8a) + at * GPU_Q8A_GROUP, gpu_at<uint8_t>(q8a + f.shifts) + at * 8,
          gpu_at<int16_t>(q8a + f.sums) + at * 8, gpu_at<float>(q8a + f.scales) + at};
}

/* Four codes as bytes of a word, the first lowest. */
GPU_FN uint32_t gpu_pack4(const int32_t *c) {
  return ((uint32_t)c[0] & 255u) | ((uint32_t)c[1] & 255u) << 8 | ((uint32_t)c[2] & 255u) << 16 |
         (uint32_t)c[3] << 24;
}

/* The same of four numbers of at most 127 in magnitude, rounded: added to the shifter they are rounded to
 * whole ones, and the lowest byte is the code. */
GPU_FN uint32_t gpu_round4(const float *v, float factor) {
  uint32_t c[4];
#pragma unroll
  for (int i = 0; i < 4; i++) c[i] = wh_f32_bits(v[i] * factor + SHIFTER);
  return gpu_pick_bytes(gpu_pick_bytes(c[0], c[1], 0x0040u), gpu_pick_bytes(c[2], c[3], 0x0040u), 0x5410u);
}

/* quantize_act of a group by one warp: a lane holds the elements 8 lane .. 8 lane + 7, those from `n` on as
 * +0. */
GPU_FN void gpu_quantize_group(const float v[8], uint32_t n, const gpu_q8a_group &to) {
  const uint32_t lane = gpu_lane(), block = lane / 4;
  const bool exists = lane * 8 < n;
  uint32_t largest = 0;
#pragma unroll
  for (int i = 0; i < 8; i++) largest = gpu_larger(largest, gpu_magnitude(v[i]));
  for (uint32_t m = 1; m < 4; m *= 2) largest = gpu_larger(largest, gpu_shfl_xor(largest, m));
  const float block_top = wh_f32_from_bits(largest);
  for (uint32_t m = 4; m < 32; m *= 2) largest = gpu_larger(largest, gpu_shfl_xor(largest, m));
  const float top = wh_f32_from_bits(largest);
  const bool zero = top < 0x1p-100f;
  int32_t k = 3;
  if (!zero) k = block_top * 8.0f <= top ? 3 : block_top * 4.0f <= top ? 2 : block_top * 2.0f <= top ? 1 : 0;
  const int32_t t = 3 - (zero ? 0 : k);
  const bool none = zero || !(top < INFINITY); /* codes of a group that is not finite are 0 */
  const float factor = zero ? 0.0f : (127.0f / top) * (float)(1 << k);
  uint2 codes;
  codes.x = none ? 0 : gpu_round4(v, factor);
  codes.y = none ? 0 : gpu_round4(v + 4, factor);
  int32_t sum = gpu_dp4a((int32_t)codes.x, 0x01010101, gpu_dp4a((int32_t)codes.y, 0x01010101, 0));
  for (uint32_t m = 1; m < 4; m *= 2) sum += gpu_shfl_xor(sum, m);
  *(uint2 *)(void *)(to.codes + lane * 8) = codes;
  if (lane % 4 == 0) {
    to.shifts[block] = exists ? (uint8_t)t : (uint8_t)0;
    to.sums[block] = (int16_t)(sum * (1 << t)); /* 0 where nothing exists */
  }
  if (lane == 0) *to.scale = zero ? 0.0f : fmaf(top, 0.0f, (top / 127.0f) * 0.125f); /* NaN of an infinity */
}

#endif
