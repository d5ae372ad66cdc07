// gather_rows.cu - rows of a table by their ids, dequantised (docs/NUMERICS.md, "gather_rows").
#include "backends/gpu/kernels/dequantize.h"
#include "backends/gpu/kernels/gather.h"

/* A warp takes 256 elements of a row, a lane eight of them or, of float types, every 32nd. */
GPU_KERNEL_FN(gather_rows, gpu_gather_args) {
  if (blockIdx.x == gridDim.x - 1) {
    report_ids(a);
    return;
  }
  const uint64_t item = (uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp(), i = item / a.pieces;
  if (i >= a.n_ids) return;
  const uint32_t begin = (uint32_t)(item % a.pieces) * 256, end = begin + 256 < a.n ? begin + 256 : a.n;
  const int32_t id = gpu_at<const int32_t>(a.ids)[i];
  const bool there = is_row(a, id);
  const uint8_t *row = gpu_at<const uint8_t>(a.table) + (there ? (uint64_t)id : 0) * a.row_bytes;
  float *y = gpu_at<float>(a.y) + i * a.n, v[8] = {0};
  const uint32_t elems = gpu_block_elems(a.dtype);
  if (elems == 1) {
    for (uint32_t j = begin + gpu_lane(); j < end; j += GPU_WARP) y[j] = there ? gpu_float_at(a.dtype, row, j) : 0.0f;
    return;
  }
  const uint32_t at = begin + gpu_lane() * 8;
  if (at >= end) return; /* whole blocks */
  const uint8_t *block = row + (uint64_t)(at / elems) * gpu_block_bytes(a.dtype);
  if (there && elems == 32) gpu_dequantise_32(a.dtype, block, at % 32, v);
  if (there && elems == 256) gpu_dequantise_256(a.dtype, block, at % 256, v);
#pragma unroll
  for (uint32_t k = 0; k < 8; k++) y[at + k] = v[k];
}
