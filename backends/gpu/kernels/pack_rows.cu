/* pack_rows.cu - quantised activations in the order that products of warpgroups read (warpgroup_args.h). */
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/warpgroup_args.h"

/* Eight fp16 of whole numbers, each exact. */
GPU_FN gpu_u128 eight_halves(const int32_t v[8]) {
  gpu_u128 r;
  for (uint32_t i = 0; i < 4; i++)
    r.w[i] = (uint32_t)gpu_f32_to_f16((float)v[2 * i]) | (uint32_t)gpu_f32_to_f16((float)v[2 * i + 1]) << 16;
  return r;
}

/* A thread has a block of 32 of a row; the 128 rows of a tile lie side by side. */
GPU_KERNEL_FN(pack_rows, gpu_warpgroup_pack_args) {
  const uint32_t row_in = threadIdx.x, block = blockIdx.x, tile = blockIdx.y, group = block / 8;
  const uint32_t row = tile * WARPGROUP_ROWS + row_in;
  const bool there = row < a.rows;
  uint8_t *to = gpu_at<uint8_t>(a.y + ((uint64_t)tile * a.n_groups + group) * WARPGROUP_GROUP_BYTES);
  const uint64_t at = (uint64_t)row * a.n_groups * 8 + block;
  int8_t q[32];
  for (uint32_t i = 0; i < 2; i++) {
    gpu_u128 v = {{0, 0, 0, 0}};
    if (there) v = gpu_load128(gpu_at<const uint8_t>(a.x + at * 32 + i * 16));
    memcpy(q + 16 * i, &v, 16);
  }
  const int32_t scale = there ? 1 << gpu_at<const uint8_t>(a.x_shifts)[at] : 1;
  uint8_t *codes = to + block % 8 / 2 * WARPGROUP_CODE_BYTES + block % 2 * (WARPGROUP_CODE_BYTES / 2);
#pragma unroll
  for (uint32_t piece = 0; piece < 4; piece++) { /* step of the block, half of the step */
    const uint32_t h = piece / 2, half = piece % 2;
    int32_t v[8];
#pragma unroll
    for (uint32_t e = 0; e < 8; e++) v[e] = q[8 * (e / 2) + 4 * half + h + 2 * (e % 2)] * scale;
    *(gpu_u128 *)(codes + piece * WARPGROUP_ROWS * 16 + row_in * 16) = eight_halves(v);
  }
  const int32_t sum = there ? gpu_at<const int16_t>(a.x_sums)[at] : 0, low = sum & 127;
  uint8_t *tail = to + GPU_QUANT_CHUNKS * WARPGROUP_CODE_BYTES;
  uint16_t *sums = (uint16_t *)(tail + WARPGROUP_ROWS * 4) + row_in * 8 + block % 8;
  sums[0] = gpu_f32_to_f16((float)(sum - low));
  sums[WARPGROUP_ROWS * 8] = gpu_f32_to_f16((float)low);
  if (block % 8 == 0) ((float *)tail)[row_in] = there ? gpu_at<const float>(a.x_scales)[at / 8] : 0.0f;
}
