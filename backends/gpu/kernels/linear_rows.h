/* linear_rows.h - which rows a block of a product has, and its epilogue (docs/NUMERICS.md, "linear,
 * epilogue"). */
#ifndef WH_GPU_LINEAR_ROWS_H
#define WH_GPU_LINEAR_ROWS_H

#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/linear_args.h"

#define LINEAR_KERNEL(name, ...) \
  GPU_KERNEL_FN(name, gpu_linear_args) { __VA_ARGS__(a); }

GPU_FN gpu_row_tile row_tile_at(const gpu_linear_args &a, uint32_t index) {
  if (a.tiles) return gpu_at<const gpu_row_tile>(a.tiles)[index];
  gpu_row_tile r;
  r.first = index * a.tile_rows;
  r.count = a.rows - r.first < a.tile_rows ? a.rows - r.first : a.tile_rows;
  r.expert = 0;
  if (a.selected) {
    const int32_t e = gpu_at<const int32_t>(a.selected)[r.first];
    r.expert = e < 0 ? 0 : (uint32_t)e < a.n_experts ? (uint32_t)e : a.n_experts - 1;
  }
  return r;
}

/* Row of y of the tile's row i. */
GPU_FN uint32_t y_row(const gpu_linear_args &a, const gpu_row_tile &r, uint32_t i) {
  return a.order ? gpu_at<const uint32_t>(a.order)[r.first + i] : r.first + i;
}
/* Row of x; rows past the tile's are its last one, whose results are not stored. */
GPU_FN uint32_t x_row(const gpu_linear_args &a, const gpu_row_tile &r, uint32_t i) {
  const uint32_t y = y_row(a, r, i < r.count ? i : r.count - 1);
  return a.rows_per_x == 1 ? y : y / a.rows_per_x;
}

/* The matrix that this block has a part of. Every use selects its fields anew, from the launch's arguments,
 * so that what only the epilogue needs takes no registers before it. */
GPU_FN gpu_linear_matrix matrix_of_block(const gpu_linear_args &a) {
  gpu_linear_matrix m = a.matrices[0];
#pragma unroll
  for (uint32_t i = 1; i < GPU_MOST_MATRICES; i++)
    if (blockIdx.x >= a.matrices[i].first_block) m = a.matrices[i];
  return m;
}

GPU_FN void store_output(const gpu_linear_matrix &m, uint32_t row, uint32_t column, float v) {
  const uint64_t at = (uint64_t)row * m.n + column;
  if (m.bias) v = v + gpu_at<const float>(m.bias)[column];
  if (m.residual) v = gpu_at<const float>(m.residual)[at] + v;
  gpu_at<float>(m.y)[at] = v;
}

#endif
