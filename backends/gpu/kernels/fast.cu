// fast.cu - operands of products in bf16, for mode `fast`: what the exact kernels compute with, rounded once.
#include "backends/gpu/kernels/fast_args.h"
#include "backends/gpu/kernels/packed.h"

/* To the nearest, ties to even; values are finite, as scales are. */
GPU_FN uint32_t bf16_of(float x) {
  const uint32_t bits = wh_f32_bits(x);
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

GPU_FN void store_eight(uint64_t y, const float v[8]) {
  gpu_u128 r;
#pragma unroll
  for (uint32_t i = 0; i < 4; i++) r.w[i] = bf16_of(v[2 * i]) | bf16_of(v[2 * i + 1]) << 16;
  *gpu_at<gpu_u128>(y) = r;
}

GPU_KERNEL_FN(fast_weights, gpu_fast_weights_args) {
  const uint64_t item = (uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp();
  const uint32_t row = (uint32_t)(item / a.pieces), group = (uint32_t)(item % a.pieces), at = group * 256 + gpu_lane() * 8;
  float v[8];
  if (row >= a.n || at >= a.k) return;
  if (a.form.bits == GPU_WIDE_BITS)
    packed_wide_values(a.form, a.w, row, group, v);
  else
    packed_values(a.form, a.w, row, group, v);
  store_eight(a.y + ((uint64_t)row * a.k + at) * 2, v);
}

GPU_KERNEL_FN(fast_rows, gpu_fast_rows_args) {
  const uint64_t pieces = a.k / 8, item = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x, row = item / pieces;
  if (row >= a.rows) return;
  const uint64_t at = item % pieces * 8, x_at = row * a.padded + at;
  float v[8];
  if (a.x_low) {
    const float scale = gpu_at<const float>(a.x_scales)[x_at / 128];
    for (uint32_t j = 0; j < 8; j++)
      v[j] = scale * (float)((int32_t)gpu_at<const int8_t>(a.x)[x_at + j] * 128 + gpu_at<const int8_t>(a.x_low)[x_at + j]);
  } else {
    const float scale = gpu_at<const float>(a.x_scales)[x_at / 256];
    const int32_t shift = gpu_at<const uint8_t>(a.x_shifts)[x_at / 32];
    for (uint32_t j = 0; j < 8; j++) v[j] = scale * (float)((int32_t)gpu_at<const int8_t>(a.x)[x_at + j] * (1 << shift));
  }
  store_eight(a.y + (row * a.k + at) * 2, v);
}
