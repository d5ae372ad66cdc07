// quantize.cu - quantize_act and quantize_wide (docs/NUMERICS.md), gates, and gates that end in quantize_act. The codes
// are written whole, padding included (activations.h).
#include "backends/gpu/kernels/lm_args.h"
#include "backends/gpu/kernels/rows.h"

#define PIECES_OF_BLOCK(a) (blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp())

/* A warp takes one group; `make(x, u)` is its element. */
template <typename F>
GPU_FN void quantize_piece(const gpu_rows_args &a, F make) {
  const uint64_t piece = PIECES_OF_BLOCK(a);
  const uint32_t group = (uint32_t)(piece % a.pieces), at = group * GPU_Q8A_GROUP + gpu_lane() * 8;
  const uint64_t row = piece / a.pieces;
  if (row >= a.rows) return;
  float v[8] = {0}, u[8] = {0};
  if (at < a.n) { /* whole blocks of 32 */
    gpu_load_floats<8>(gpu_at<const float>(a.x) + row * a.n + at, v);
    if (a.u) gpu_load_floats<8>(gpu_at<const float>(a.u) + row * a.n + at, u);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = make(v[i], u[i]);
  }
  gpu_quantize_group(v, a.n - group * GPU_Q8A_GROUP, gpu_q8a_group_at(a.y, a.form.q8a, row, group));
}

GPU_KERNEL_FN(quantize_act, gpu_rows_args) {
  quantize_piece(a, [](float x, float) { return x; });
}
GPU_KERNEL_FN(swiglu_q8a, gpu_rows_args) {
  quantize_piece(a, [](float x, float u) { return wh_silu_f32(x) * u; });
}
GPU_KERNEL_FN(geglu_q8a, gpu_rows_args) {
  quantize_piece(a, [](float x, float u) { return wh_gelu_tanh_f32(x) * u; });
}

/* A warp takes a block of 128, a lane 4 elements. A code is 128 high + low, low from 0 to 127. */
GPU_KERNEL_FN(quantize_wide, gpu_rows_args) {
  const uint64_t piece = PIECES_OF_BLOCK(a);
  const uint32_t block = (uint32_t)(piece % a.pieces), at = block * GPU_Q13A_BLOCK + gpu_lane() * 4;
  const uint64_t row = piece / a.pieces;
  if (row >= a.rows) return;
  const float *x = gpu_at<const float>(a.x) + row * a.n;
  float v[4];
  uint32_t largest = 0;
  for (uint32_t i = 0; i < 4; i++) { /* rows of any length: no wider loads */
    v[i] = at + i < a.n ? x[at + i] : 0.0f;
    largest = gpu_larger(largest, gpu_magnitude(v[i]));
  }
  for (uint32_t m = 1; m < GPU_WARP; m *= 2) largest = gpu_larger(largest, gpu_shfl_xor(largest, m));
  const float top = wh_f32_from_bits(largest);
  const bool finite = largest < 0x7f800000u, zero = !finite || top < 0x1p-100f;
  const float factor = zero ? 0.0f : 4095.0f / top;
  int32_t high[4], low[4];
  for (int i = 0; i < 4; i++) {
    const int32_t code = finite ? (int32_t)rintf(v[i] * factor) : 0;
    high[i] = code >> 7;
    low[i] = code & 127;
  }
  const gpu_q13a &f = a.form.q13a;
  const uint64_t to = row * f.padded + at;
  *gpu_at<uint32_t>(a.y + to) = gpu_pack4(high);
  *gpu_at<uint32_t>(a.y + f.low + to) = gpu_pack4(low);
  if (gpu_lane() == 0)
    gpu_at<float>(a.y + f.scales)[piece] = !finite ? wh_f32_from_bits(0x7fc00000u) : zero ? 0.0f : top / 4095.0f;
}

template <typename F>
GPU_FN void gate(const gpu_gated_args &a, F activation) {
  const float *x = gpu_at<const float>(a.x), *u = gpu_at<const float>(a.u);
  float *y = gpu_at<float>(a.y);
  for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.n; i += (uint64_t)gridDim.x * blockDim.x)
    y[i] = activation(x[i]) * u[i];
}
GPU_KERNEL_FN(swiglu, gpu_gated_args) {
  gate(a, [](float x) { return wh_silu_f32(x); });
}
GPU_KERNEL_FN(geglu, gpu_gated_args) {
  gate(a, [](float x) { return wh_gelu_tanh_f32(x); });
}
