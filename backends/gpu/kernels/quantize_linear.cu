// quantize_linear.cu - docs/NUMERICS.md, "quantize_linear, dequantize_linear": codes of 4 to 32 bits; those of 4 lie two
// to a byte, the first in the low half, and a row ends with its last byte.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/nn_args.h"

GPU_FN bool is_half(uint32_t type) { return type == GPU_I4 || type == GPU_U4; }

/* Code i of an array whose rows are `row` long. */
GPU_FN int64_t read_code(uint32_t type, uint64_t p, int64_t row, int64_t i) {
  if (!is_half(type)) return (int64_t)gpu_load_integer(type, p, i);
  const uint32_t byte = gpu_at<const uint8_t>(p)[i / row * ((row + 1) / 2) + i % row / 2];
  const uint32_t code = byte >> (i % row % 2 * 4) & 15u;
  return type == GPU_I4 ? (int64_t)(code ^ 8u) - 8 : (int64_t)code;
}

/* The scale of element i, and which zero point is its. */
GPU_FN int64_t cell_of(const gpu_quantize_args &a, int64_t i) {
  uint64_t rest = (uint64_t)i;
  const int64_t inner = gpu_split(a.inner, &rest), j = gpu_split(a.n, &rest);
  return (int64_t)rest * a.by_outer + (int64_t)gpu_divide(a.block, (uint64_t)j) * a.by_axis + inner * a.by_inner;
}
GPU_FN int64_t zero_of(const gpu_quantize_args &a, int64_t cell) {
  return a.zero ? read_code(a.type, a.zero, a.zero_row, cell) : 0;
}

GPU_FN int64_t code_of(const gpu_quantize_args &a, int64_t i) {
  const int64_t cell = cell_of(a, i);
  const float q = rintf(gpu_at<const float>(a.x)[i] / gpu_at<const float>(a.scale)[cell]) + (float)zero_of(a, cell);
  return !(q > (float)a.least) ? a.least : q < (float)a.most ? (int64_t)q : a.most; /* a NaN is the least */
}

/* A thread has an element, or a byte of two. */
GPU_KERNEL_FN(quantize_linear, gpu_quantize_args) {
  const int64_t i = gpu_thread();
  if (i >= a.threads) return;
  if (!is_half(a.type)) {
    gpu_store_integer(a.type, a.y, i, (uint64_t)code_of(a, i));
    return;
  }
  const int64_t bytes = (a.row + 1) / 2, column = i % bytes * 2, first = i / bytes * a.row + column;
  uint32_t y = (uint32_t)code_of(a, first) & 15u;
  if (column + 1 < a.row) y |= ((uint32_t)code_of(a, first + 1) & 15u) << 4;
  gpu_at<uint8_t>(a.y)[i] = (uint8_t)y;
}

GPU_KERNEL_FN(dequantize_linear, gpu_quantize_args) {
  const int64_t i = gpu_thread();
  if (i >= a.threads) return;
  const int64_t cell = cell_of(a, i), code = read_code(a.type, a.x, a.row, i);
  gpu_at<float>(a.y)[i] = (float)(code - zero_of(a, cell)) * gpu_at<const float>(a.scale)[cell];
}
