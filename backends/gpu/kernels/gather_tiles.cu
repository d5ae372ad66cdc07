// gather_tiles.cu - rows by their ids (docs/NUMERICS.md, "gather_rows") of a table that a product packed: an embedding
// that is the output's matrix as well is on the device once.
#include "backends/gpu/kernels/gather.h"
#include "backends/gpu/kernels/packed.h"

GPU_FN void row_of_f32(const gpu_gather_args &a, uint32_t id, uint32_t begin, uint32_t end, float *y) {
  const uint64_t quads = ((uint64_t)a.n + 3) / 4;
  const float *tile = gpu_at<const float>(a.table) + id / GPU_F32_ROWS * quads * 4 * GPU_F32_ROWS;
  for (uint32_t j = begin + gpu_lane(); j < end; j += GPU_WARP)
    y[j] = tile[((uint64_t)(j / 4) * GPU_F32_ROWS + id % GPU_F32_ROWS) * 4 + j % 4];
}

GPU_FN void row_of_codes(const gpu_gather_tiles_args &a, uint32_t id, uint32_t group, uint32_t end, float *y) {
  const uint32_t at = group * 256 + gpu_lane() * 8;
  float v[8];
  if (at >= end) return; /* whole blocks */
  packed_values(a.form, a.rows.table, id, group, v);
#pragma unroll
  for (uint32_t j = 0; j < 8; j++) y[at + j] = v[j];
}

/* A warp takes 256 elements of a row. */
GPU_KERNEL_FN(gather_tiles, gpu_gather_tiles_args) {
  const gpu_gather_args &g = a.rows;
  if (blockIdx.x == gridDim.x - 1) {
    report_ids(g);
    return;
  }
  const uint64_t item = (uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp(), i = item / g.pieces;
  if (i >= g.n_ids) return;
  const uint32_t group = (uint32_t)(item % g.pieces), begin = group * 256, end = begin + 256 < g.n ? begin + 256 : g.n;
  const int32_t id = gpu_at<const int32_t>(g.ids)[i];
  float *y = gpu_at<float>(g.y) + i * g.n;
  if (!is_row(g, id)) {
    for (uint32_t j = begin + gpu_lane(); j < end; j += GPU_WARP) y[j] = 0.0f;
  } else if (a.form.bits == 0) {
    row_of_f32(g, (uint32_t)id, begin, end, y);
  } else {
    row_of_codes(a, (uint32_t)id, group, end, y);
  }
}
